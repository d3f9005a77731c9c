#include "migration/sql/postgres_parser.h"

#include <pg_query.h>
#include <pthread.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <utility>

#include "base/name.h"
#include "base/shown.h"

namespace syzygy {
namespace {

using Parsed = std::expected<boost::json::value, NotParsed>;

// The parser reports a position in characters, from 1.
std::size_t byte_of_character(std::string_view text, int position) {
  std::size_t i = 0;
  for (int n = 1; n < position && i < text.size(); ++n) {
    ++i;
    while (i < text.size() && (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80) ++i;
  }
  return i;
}

NotParsed too_deep() { return {NotParsed::Why::kTooDeep, "the statement is nested too deep to judge", 0}; }

// What libpg_query says of a text, as a value.
Parsed read_json(std::string_view tree, const boost::json::storage_ptr& memory) {
  boost::json::parse_options options;
  options.max_depth = kParseDepthMax;
  boost::system::error_code error;
  boost::json::value root = boost::json::parse({tree.data(), tree.size()}, error, memory, options);
  if (error == boost::json::error::too_deep) return std::unexpected(too_deep());
  if (error) return std::unexpected(NotParsed{NotParsed::Why::kSyntax, "the parser's answer could not be read", 0});
  return root;
}

Parsed read_tree(std::string_view tree, const boost::json::storage_ptr& memory) {
  auto root = read_json(tree, memory);
  if (!root) return root;
  auto* object = root->if_object();
  auto* list = object != nullptr ? object->if_contains("stmts") : nullptr;
  if (list == nullptr || !list->is_array()) {
    return std::unexpected(NotParsed{NotParsed::Why::kSyntax, "the parser's answer could not be read", 0});
  }
  auto& statements = list->get_array();
  if (statements.empty()) return boost::json::object(memory);
  if (statements.size() > 1) {
    return std::unexpected(NotParsed{NotParsed::Why::kSyntax, "several statements where one was expected", 0});
  }
  auto* statement = statements.front().if_object();
  if (statement == nullptr || !statement->contains("stmt")) return boost::json::object(memory);
  return std::move((*statement)["stmt"]);
}

std::unexpected<NotParsed> refusal(const std::string& text, const PgQueryError& error) {
  const std::string message = shown(error.message != nullptr ? error.message : "syntax error");
  // Its grammar has a stack of its own, with a limit: that much nesting is no mistake, only more than we can judge.
  if (message.starts_with("memory exhausted") || message.starts_with("stack depth limit")) {
    return std::unexpected(too_deep());
  }
  return std::unexpected(NotParsed{NotParsed::Why::kSyntax, message, byte_of_character(text, error.cursorpos)});
}

Parsed parse_here(const std::string& text, const boost::json::storage_ptr& memory) {
  PgQueryParseResult result = pg_query_parse(text.c_str());
  Parsed parsed = result.error == nullptr ? read_tree(result.parse_tree, memory) : refusal(text, *result.error);
  pg_query_free_parse_result(result);
  return parsed;
}

Parsed parse_body_here(const std::string& text, const boost::json::storage_ptr& memory) {
  PgQueryPlpgsqlParseResult result = pg_query_parse_plpgsql(text.c_str());
  Parsed parsed = result.error == nullptr ? read_json(result.plpgsql_funcs, memory) : refusal(text, *result.error);
  pg_query_free_plpgsql_parse_result(result);
  return parsed;
}

using Parser = Parsed (*)(const std::string& text, const boost::json::storage_ptr& memory);

struct Task {
  Parser parser;
  const std::string& text;
  const boost::json::storage_ptr& memory;
  Parsed parsed;
};

Parsed parse_with(Parser parser, std::string_view text, const boost::json::storage_ptr& memory) {
  if (text.size() > kParseBytesMax) {
    return std::unexpected(NotParsed{NotParsed::Why::kTooLarge,
                                     "the statement has " + std::to_string(text.size()) +
                                         " bytes, too large to judge (the limit is " + std::to_string(kParseBytesMax) +
                                         ")",
                                     0});
  }
  if (const auto nul = text.find('\0'); nul != std::string_view::npos) {
    return std::unexpected(NotParsed{NotParsed::Why::kBytes, "the statement contains a NUL byte", nul});
  }
  if (!is_utf8(text)) {
    return std::unexpected(NotParsed{NotParsed::Why::kBytes, "the statement is not valid UTF-8", 0});
  }

  // libpg_query writes its tree recursively, about 150 bytes of stack for every "+1" of a chain: the largest statement
  // that passed above needs 80 MB. So anything large goes to a thread with room for it, which is reserved, not used.
  static constexpr std::size_t kHereMax = 16 << 10;
  static constexpr std::size_t kStackBytes = 256 << 20;
  const std::string copy(text);
  if (copy.size() <= kHereMax) return parser(copy, memory);
  Task task{parser, copy, memory, boost::json::value()};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_t thread{};
  const int refused = pthread_create(
      &thread, &attributes,
      [](void* given) -> void* {
        auto& mine = *static_cast<Task*>(given);
        mine.parsed = mine.parser(mine.text, mine.memory);
        return nullptr;
      },
      &task);
  pthread_attr_destroy(&attributes);
  if (refused != 0) {
    return std::unexpected(NotParsed{NotParsed::Why::kTooLarge,
                                     "the statement has " + std::to_string(copy.size()) +
                                         " bytes, too large to judge in the memory that this process may use",
                                     0});
  }
  pthread_join(thread, nullptr);
  return std::move(task.parsed);
}

}  // namespace

std::expected<boost::json::value, NotParsed> parse_postgres(std::string_view text,
                                                            const boost::json::storage_ptr& memory) {
  return parse_with(parse_here, text, memory);
}

std::expected<boost::json::value, NotParsed> parse_plpgsql(std::string_view text,
                                                           const boost::json::storage_ptr& memory) {
  return parse_with(parse_body_here, text, memory);
}

}  // namespace syzygy
