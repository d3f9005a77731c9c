// ids.h - every identity of the protocol as a type of its own, so that a plan cannot be passed as a party.
//
// The vocabulary is that of src/round/PROTOCOL.md. An Id is an immutable string that compares and hashes; a Number is a
// counter that only rises. Neither validates: names that come from outside pass through name.h first.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

namespace syzygy {

template <class Tag>
struct Id {
  std::string value;

  Id() = default;
  explicit Id(std::string v) : value(std::move(v)) {}
  [[nodiscard]] bool empty() const { return value.empty(); }
  friend auto operator<=>(const Id&, const Id&) = default;
};

template <class Tag>
struct Number {
  std::uint64_t value = 0;

  constexpr Number() = default;
  constexpr explicit Number(std::uint64_t v) : value(v) {}
  [[nodiscard]] constexpr Number next() const { return Number{value + 1}; }
  friend constexpr auto operator<=>(Number, Number) = default;
};

using TargetName = Id<struct TargetTag>;          // one application's schema in one database, as the clusters call it
using PartyName = Id<struct PartyTag>;            // one cluster, by a stable name; never a pod's or a host's
using IncarnationId = Id<struct IncarnationTag>;  // one process that joined for a party: random, kept over its retries
using RoundId = Id<struct RoundTag>;              // a round's UUID
using StepId = Id<struct StepTag>;                // one migration: "0004" or "0004_add_email"
using PlanHash = Id<struct PlanHashTag>;          // SHA-256 of the canonical plan: 64 lower-case hexadecimal digits
using ReleaseName = Id<struct ReleaseTag>;        // a release of the target's application

using Token = Number<struct TokenTag>;  // fencing token of a target: only rises, outlives every round; 0 is "none"
using Revision = Number<struct RevisionTag>;      // of a target (or a barrier): rises by one with every event
using Generation = Number<struct GenerationTag>;  // of the rounds of a target (or of a barrier)

}  // namespace syzygy

template <class Tag>
struct std::hash<syzygy::Id<Tag>> {
  std::size_t operator()(const syzygy::Id<Tag>& id) const noexcept { return std::hash<std::string>{}(id.value); }
};
