// postgres_parser.h - PostgreSQL's own grammar, behind one function: the only place that touches libpg_query.
//
// Reads the JSON tree, never the protobuf one, whose decoders overflow the stack on long expressions. Any bytes give an
// answer: a tree, or why there is none. The grammar is PostgreSQL 15's: newer syntax is "not understood", which is an
// answer too, never a verdict. May be called from any thread.
#pragma once

#include <boost/json/value.hpp>
#include <cstddef>
#include <expected>
#include <string>
#include <string_view>

namespace syzygy {

inline constexpr std::size_t kParseBytesMax = 1 << 20;  // of one statement: more is "too large to judge"
inline constexpr std::size_t kParseDepthMax = 1'000;    // of the tree: more is "too deep to judge"

struct NotParsed {
  enum class Why {
    kSyntax,    // the grammar refuses it; `position` says where
    kTooLarge,  // more than kParseBytesMax
    kTooDeep,   // nested deeper than kParseDepthMax, or than the parser's own stack
    kBytes,     // NUL bytes or invalid UTF-8
  };
  Why why = Why::kSyntax;
  std::string message;       // the parser's own words, or ours; one line
  std::size_t position = 0;  // byte offset in the statement
};

// The value of "stmt" of the one statement in `text`: {"AlterTableStmt": {...}}. An empty text gives an empty object;
// several statements are kSyntax. The tree lives in `memory`, which may be a pool that is dropped with it.
std::expected<boost::json::value, NotParsed> parse_postgres(std::string_view text,
                                                            const boost::json::storage_ptr& memory = {});

// The body of DO or CREATE FUNCTION ... LANGUAGE plpgsql, as PL/pgSQL's parser sees it: the list of functions, each
// with its statements and the SQL in them as text. `text` is the whole statement. kSyntax: it does not understand the
// body.
std::expected<boost::json::value, NotParsed> parse_plpgsql(std::string_view text,
                                                           const boost::json::storage_ptr& memory = {});

}  // namespace syzygy
