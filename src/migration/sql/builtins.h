// builtins.h - how far the value of PostgreSQL's own functions may change, as pg_proc says it.
//
// Only functions that migrations call are listed; of any other one nothing is said. A name whose overloads differ has
// the least steady one's volatility. Each name is held against a real server in the tests. Functions of the extensions
// that make identifiers are listed as volatile, though no server knows them until they are installed.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace syzygy {

enum class Volatility : std::uint8_t {
  kImmutable,
  kStable,  // one value within a statement
  kVolatile,
};

// `name` without a schema.
std::optional<Volatility> volatility_of(std::string_view name);
// All that are known.
std::span<const std::string_view> functions_of(Volatility volatility);

}  // namespace syzygy
