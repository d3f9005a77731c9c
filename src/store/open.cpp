#include "store/open.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "base/name.h"
#include "store/memory.h"
#include "store/postgres.h"
#include "store/redis.h"
#include "store/sqlite.h"

namespace syzygy {
namespace {

std::unexpected<Error> bad(std::string message) {
  return failure(ErrorCode::kInvalidArgument, "STORE_ADDRESS_INVALID", std::move(message));
}

struct Kind {
  std::string_view begins;  // of the address
  std::string_view form;    // what help and errors call it; empty: another spelling of the one before
  Result<void> (*check)(std::string_view address);
  Result<std::unique_ptr<Store>> (*open)(std::string_view address);
  bool in_directory = false;  // the rest of the address is a directory of this machine
};

Result<void> check_sqlite(std::string_view address) {
  if (address == "sqlite:") return bad("--store sqlite: lacks its directory: sqlite:/DIR.");
  return {};
}

Result<void> check_memory(std::string_view address) {
  if (address != "memory:") return bad("--store memory: takes nothing after its colon.");
  return {};
}

Result<std::unique_ptr<Store>> open_sqlite(std::string_view address) {
  return SqliteStore::open(address.substr(address.find(':') + 1));
}

Result<void> check_redis(std::string_view address) {
  auto url = parse_redis_url(address);
  if (!url) return std::unexpected(std::move(url.error()));
  return {};
}

Result<std::unique_ptr<Store>> open_redis(std::string_view address) {
  auto url = parse_redis_url(address);
  if (!url) return std::unexpected(std::move(url.error()));
  return RedisStore::open(*url);
}

Result<std::unique_ptr<Store>> open_memory(std::string_view) { return std::make_unique<MemoryStore>(); }

Result<void> check_postgres(std::string_view address) { return PostgresStore::check(address); }

Result<std::unique_ptr<Store>> open_postgres(std::string_view address) { return PostgresStore::open(address); }

constexpr std::array kKinds = {
    Kind{"sqlite:", "sqlite:/DIR", check_sqlite, open_sqlite, true},
    Kind{"postgresql://", "postgresql://HOST/DATABASE", check_postgres, open_postgres},
    Kind{"postgres://", "", check_postgres, open_postgres},
    Kind{"redis://", "redis://HOST", check_redis, open_redis},
    Kind{"rediss://", "", check_redis, open_redis},
    Kind{"redis+sentinel://", "redis+sentinel://HOSTS/?master=NAME", check_redis, open_redis},
    Kind{"rediss+sentinel://", "", check_redis, open_redis},
    Kind{"memory:", "memory:", check_memory, open_memory},
};

const Kind* kind_of(std::string_view address) {
  const auto* found = std::ranges::find_if(kKinds, [&](const Kind& kind) { return address.starts_with(kind.begins); });
  return found == kKinds.end() ? nullptr : found;
}

bool is_url_end(char c) { return c == '"' || c == '\'' || std::isspace(static_cast<unsigned char>(c)) != 0; }

}  // namespace

Result<void> check_store(std::string_view address) {
  const Kind* kind = kind_of(address);
  // Of an address that is not understood nothing is shown but its kind: the rest may be a password in any place.
  if (kind == nullptr) {
    const auto colon = address.find(':');
    const std::string_view said = address.substr(0, colon == std::string_view::npos ? 0 : colon + 1);
    return bad(fmt::format("--store {} is not known: use {}.", said.empty() ? "without a kind" : printable(said, 40),
                           kinds_of_store()));
  }
  return kind->check(address);
}

Result<std::unique_ptr<Store>> open_store(std::string_view address) {
  if (auto ok = check_store(address); !ok) return std::unexpected(std::move(ok.error()));
  return kind_of(address)->open(address);
}

std::string directory_of_store(std::string_view address) {
  const Kind* kind = kind_of(address);
  if (kind == nullptr || !kind->in_directory) return {};
  return std::string(address.substr(kind->begins.size()));
}

std::string kinds_of_store() {
  std::string text;
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    if (kKinds[i].form.empty()) continue;
    if (i > 0) text += i + 1 == kKinds.size() ? " or " : ", ";
    text += kKinds[i].form;
  }
  return text;
}

std::string without_passwords(std::string_view text) {
  std::string shown(text);
  for (std::size_t at = shown.find("://"); at != std::string::npos; at = shown.find("://", at)) {
    at += 3;
    const auto end = static_cast<std::size_t>(
        std::find_if(shown.begin() + static_cast<std::ptrdiff_t>(at), shown.end(), is_url_end) - shown.begin());
    // The last one: a password that is not percent-encoded may hold an @ itself.
    const auto host = std::string_view(shown).substr(0, end).rfind('@');
    const auto colon = shown.find(':', at);
    if (host == std::string_view::npos || colon >= host || host < at) continue;
    shown.replace(colon + 1, host - colon - 1, "***");
  }
  constexpr std::string_view kParameter = "password=";
  for (std::size_t at = shown.find(kParameter); at != std::string::npos; at = shown.find(kParameter, at)) {
    at += kParameter.size();
    const auto from = shown.begin() + static_cast<std::ptrdiff_t>(at);
    const auto end = std::find_if(from, shown.end(), [](char c) { return c == '&' || is_url_end(c); });
    shown.replace(from, end, "***");
  }
  return shown;
}

}  // namespace syzygy
