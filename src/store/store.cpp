#include "store/store.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <limits>

#include "base/name.h"

namespace syzygy {
namespace {

std::unexpected<Error> refuse(const Change& change, const std::string& what) {
  return failure(ErrorCode::kInvalidArgument, "STORE_CHANGE_INVALID",
                 "The change of record '" + printable(change.key) + "' was not stored: " + what + ".",
                 {{"key", printable(change.key)}});
}

template <std::size_t kBytes>
std::string random_hex() {
  std::array<unsigned char, kBytes> bytes{};
  // Up to 256 bytes come at once or not at all; a process without randomness must not go on.
  while (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    if (errno != EINTR) std::abort();
  }
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * kBytes);
  for (const unsigned char byte : bytes) {
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

}  // namespace

std::string prefix_end(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (end.empty()) return std::string(kKeyBytesMax + 1, '\xff');
  end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

bool takes_no_writes(const Error& error) {
  return error.code == ErrorCode::kResourceExhausted || error.reason == "STORE_READ_ONLY" ||
         error.reason == "STORE_TOO_FEW_REPLICAS" || error.reason == "STORE_PERMISSION";
}

Result<void> check_changes(std::span<const Change> changes) {
  constexpr auto kRevisionMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  std::vector<std::string_view> keys;
  keys.reserve(changes.size());
  for (const Change& change : changes) {
    if (change.key.empty()) return refuse(change, "its key is empty");
    if (change.key.size() > kKeyBytesMax)
      return refuse(change, "its key has more than " + std::to_string(kKeyBytesMax) + " bytes");
    if (change.bytes.size() > kValueBytesMax)
      return refuse(change, "it has more than " + std::to_string(kValueBytesMax) + " bytes");
    const HistoryRow* before = nullptr;
    for (const HistoryRow& row : change.history) {
      if (row.bytes.size() > kValueBytesMax)
        return refuse(change, "a row of its history has more than " + std::to_string(kValueBytesMax) + " bytes");
      if (row.revision > kRevisionMax) return refuse(change, "a revision of its history is beyond 2^63");
      if (before != nullptr && row.revision <= before->revision)
        return refuse(change, "revision " + std::to_string(row.revision) + " of its history comes after revision " +
                                  std::to_string(before->revision));
      before = &row;
    }
    if (change.history_floor > kRevisionMax) return refuse(change, "the floor of its history is beyond 2^63");
    keys.push_back(change.key);
  }
  std::ranges::sort(keys);
  const auto twice = std::ranges::adjacent_find(keys);
  if (twice == keys.end()) return {};
  return refuse(*std::ranges::find(changes, *twice, &Change::key), "one call names it twice");
}

Result<void> Store::live_as(const std::string&) {
  return failure(ErrorCode::kFailedPrecondition, "STORE_NOT_MOVED",
                 fmt::format("The store {} cannot be moved: it ends with its process.", describe()));
}

Result<void> check_history_rises(const Change& change, std::uint64_t last) {
  if (change.history.empty() || change.history.front().revision > last) return {};
  return refuse(change, "revision " + std::to_string(change.history.front().revision) +
                            " is not above the newest of its history, " + std::to_string(last));
}

std::string mint_epoch() { return random_hex<16>(); }
std::string mint_commit() { return random_hex<8>(); }

Instant system_now() {
  return {std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch()).count()};
}

}  // namespace syzygy
