#include <algorithm>

#include "migration/rules/rules.h"
#include "migration/rules/words.h"
#include "migration/sql/lexer.h"

namespace syzygy {
namespace {

constexpr std::size_t kNameBytesMax = 63;

// As the server keeps it: whole characters, as many as fit.
std::string_view kept(std::string_view name) {
  std::size_t size = std::min(name.size(), kNameBytesMax);
  while (size < name.size() && size > 0 && (static_cast<unsigned char>(name[size]) & 0xC0) == 0x80) --size;
  return name.substr(0, size);
}

// The name that an action gives to something; what it only mentions, another statement has named.
std::string_view given_name(const Action& action) {
  switch (action.kind) {
    case ActionKind::kCreate:
    case ActionKind::kReplace:
      return action.object.name;
    case ActionKind::kAddColumn:
    case ActionKind::kAddConstraint:
      return action.part;
    case ActionKind::kRename:
      return action.new_name;
    default:
      return {};
  }
}

void check_identifier_too_long(const Action& action, const Subject& subject, Report& report) {
  constexpr std::size_t kLongestCharacter = 4;
  const std::string_view name = given_name(action);  // as the parser keeps it, which is as the server does
  if (name.size() + kLongestCharacter <= kNameBytesMax) return;
  Lexer lexer(subject.dialect, subject.statement().text);
  while (const auto token = lexer.next_visible()) {
    if (token->kind != LexemeKind::kWord && token->kind != LexemeKind::kQuotedName) continue;
    const std::string written = name_of(subject.dialect, *token);
    if (written.size() <= kNameBytesMax || kept(written) != name) continue;
    report.add("the name " + written + " has " + std::to_string(written.size()) +
               " bytes, and the server keeps 63: " + std::string(name));
    return;
  }
}

}  // namespace

const Rule kIdentifierTooLong{
    .id = "identifier-too-long",
    .title = "A name that the server cuts short",
    .group = HazardGroup::kCannotWork,
    .severity = Severity::kWarning,
    .tables = Tables::kAny,
    .triggers = "Something is created, added or renamed under a name of more than 63 bytes.",
    .why =
        "PostgreSQL keeps the first 63 bytes and says so only in a NOTICE. Tools that look the name up in the "
        "catalogue do not find it, and two names that differ only behind the 63rd byte are one: the second is an "
        "error, or with IF NOT EXISTS silently not created.",
    .safe = "ALTER TABLE orders ADD COLUMN billing_address_confirmed_at timestamptz;",
    .fires = {{.sql =
                   "ALTER TABLE orders ADD COLUMN customer_billing_address_last_confirmed_by_the_customer_herself_at "
                   "timestamptz",
               .seen = "SELECT count(*) = 1 FROM pg_attribute WHERE attname = "
                       "'customer_billing_address_last_confirmed_by_the_customer_herself'"},
              {.sql = R"sql(CREATE TABLE parcels (sender bigint, receiver bigint);
CREATE INDEX IF NOT EXISTS parcels_that_the_carrier_took_over_in_perfectly_good_order_from_sender ON parcels (sender);
CREATE INDEX IF NOT EXISTS parcels_that_the_carrier_took_over_in_perfectly_good_order_from_receiver ON parcels (receiver))sql",
               .seen = "SELECT count(*) = 1 FROM pg_indexes WHERE tablename = 'parcels'"}},
    .silent = {{.sql = "ALTER TABLE orders ADD COLUMN "
                       "customer_billing_address_last_confirmed_by_the_customer_herself timestamptz"},
               {.sql = "COMMENT ON TABLE orders IS "
                       "'customer_billing_address_last_confirmed_by_the_customer_herself_at_the_desk'"}},
    .check = check_identifier_too_long,
    .parts = true,
};

}  // namespace syzygy
