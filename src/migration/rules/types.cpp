#include "migration/rules/types.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>

namespace syzygy {
namespace {

struct Type {
  std::string_view name;
  std::optional<int> first;   // the length, or the precision
  std::optional<int> second;  // the scale
  bool array = false;
};

std::string_view plain_name(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 17> kSame = {
      {{"integer", "int4"},
       {"int", "int4"},
       {"serial", "int4"},
       {"serial4", "int4"},
       {"bigint", "int8"},
       {"bigserial", "int8"},
       {"serial8", "int8"},
       {"smallint", "int2"},
       {"smallserial", "int2"},
       {"serial2", "int2"},
       {"decimal", "numeric"},
       {"character varying", "varchar"},
       {"character", "bpchar"},
       {"char", "bpchar"},
       {"boolean", "bool"},
       {"real", "float4"},
       {"double precision", "float8"}}};
  const auto found = std::ranges::find(kSame, name, &std::pair<std::string_view, std::string_view>::first);
  return found != kSame.end() ? found->second : name;
}

Type read(std::string_view spelled) {
  Type type;
  if (spelled.ends_with("[]")) {
    type.array = true;
    spelled.remove_suffix(2);
  }
  const auto open = spelled.find('(');
  type.name = plain_name(spelled.substr(0, open));
  if (open == std::string_view::npos) {
    if (type.name == "bpchar" && spelled != "bpchar") type.first = 1;  // char is char(1)
    return type;
  }
  std::string_view rest = spelled.substr(open + 1);
  for (std::optional<int>* into : {&type.first, &type.second}) {
    int value = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (error != std::errc()) break;
    *into = value;
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    if (!rest.starts_with(',')) break;
    rest.remove_prefix(1);
  }
  return type;
}

bool is_text(std::string_view name) { return name == "text" || name == "varchar"; }

// How much of a kind of values a type holds; only within a kind does more hold less.
struct Rank {
  int kind = 0;
  int width = 0;
};
Rank rank(std::string_view name) {
  struct Known {
    std::string_view name;
    Rank rank;
  };
  static constexpr std::array<Known, 9> kRanks = {{{"int2", {1, 1}},
                                                   {"int4", {1, 2}},
                                                   {"int8", {1, 3}},
                                                   {"numeric", {1, 4}},
                                                   {"float4", {2, 1}},
                                                   {"float8", {2, 2}},
                                                   {"date", {3, 1}},
                                                   {"timestamp", {3, 2}},
                                                   {"cidr", {4, 1}}}};
  const auto found = std::ranges::find(kRanks, name, &Known::name);
  if (found != kRanks.end()) return found->rank;
  if (name == "timestamptz") return {3, 2};
  if (name == "inet") return {4, 2};
  return {};
}

bool grows(const std::optional<int>& from, const std::optional<int>& to) { return !to || (from && *from <= *to); }

}  // namespace

TypeChange type_change(std::string_view from_spelled, std::string_view to_spelled) {
  const Type from = read(from_spelled);
  const Type to = read(to_spelled);
  if (from_spelled.empty()) {
    // A type that holds whatever a column can have held: text. All else may hold less.
    const bool wide = to.name == "text" || (to.name == "varchar" && !to.first) || to.name == "int8" ||
                      (to.name == "numeric" && !to.first) || to.name == "timestamptz" || to.name == "jsonb" ||
                      to.name == "inet" || (to.name == "varchar" && to.first);
    return {.known = false, .rewrites = !is_text(to.name), .narrows = !wide, .unless_utc = false};
  }
  if (from_spelled == to_spelled) return {};
  TypeChange change;
  if (from.array != to.array) return {.known = true, .rewrites = true, .narrows = true, .unless_utc = false};

  const bool same = from.name == to.name;
  if (from.array) {  // of another element type or length: converted one by one
    change = type_change(from_spelled.substr(0, from_spelled.size() - 2), to_spelled.substr(0, to_spelled.size() - 2));
    change.rewrites = !same || to.first.has_value();
    change.unless_utc = false;
    return change;
  }
  if (from.name == "bit" && to.name == "varbit" && !to.first) return {};
  if (is_text(from.name) && is_text(to.name)) {
    // To text, to varchar, to a longer varchar: nothing to do.
    change.narrows =
        !grows(from.name == "text" ? std::nullopt : from.first, to.name == "text" ? std::nullopt : to.first);
    change.rewrites = change.narrows;
    return change;
  }
  if (same && from.name == "numeric") {
    if (!to.first) return {};
    const int scale_from = from.second.value_or(0);
    const int scale_to = to.second.value_or(0);
    const bool fits = from.first && *from.first - scale_from <= *to.first - scale_to && scale_from <= scale_to;
    change.narrows = !fits;
    change.rewrites = !from.first || scale_from != scale_to || *from.first > *to.first;
    return change;
  }
  if (same && (from.name == "varbit" || from.name == "timestamp" || from.name == "timestamptz" || from.name == "time" ||
               from.name == "timetz" || from.name == "interval")) {
    change.narrows = change.rewrites =
        !grows(from.first.value_or(6), to.first) && !(to.first && *to.first >= 6 && from.name != "varbit");
    if (from.name == "varbit") change.narrows = change.rewrites = !grows(from.first, to.first);
    return change;
  }
  if (same) {  // of another length: bpchar, bit
    change.rewrites = from.first != to.first;
    change.narrows = change.rewrites && !grows(from.first, to.first);
    return change;
  }
  if (from.name == "cidr" && (to.name == "inet" || is_text(to.name))) {
    change.rewrites = to.name != "inet";
    return change;
  }
  const bool zones =
      (from.name == "timestamp" && to.name == "timestamptz") || (from.name == "timestamptz" && to.name == "timestamp");
  change.rewrites = true;
  change.unless_utc = zones && !to.first;
  const Rank a = rank(from.name);
  const Rank b = rank(to.name);
  const bool to_any_text = to.name == "text" || (to.name == "varchar" && !to.first);
  const bool holds = to_any_text ||
                     (a.kind != 0 && a.kind == b.kind && a.width <= b.width && !(to.name == "numeric" && to.first)) ||
                     (from.name == "json" && to.name == "jsonb") || (from.name == "jsonb" && to.name == "json") ||
                     (from.name == "bpchar" && to.name == "varchar" && grows(from.first, to.first));
  change.narrows = !holds;
  return change;
}

}  // namespace syzygy
