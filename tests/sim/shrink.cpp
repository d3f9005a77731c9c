#include "tests/sim/shrink.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace syzygy::sim {
namespace {

constexpr std::size_t kTriesMax = 1'500;

}  // namespace

std::string invariant_of(const std::string& broken) { return broken.substr(0, broken.find(':')); }

Shrunk shrink(std::uint64_t seed, std::string changes, const std::string& broken) {
  Shrunk shrunk;
  const std::string invariant = invariant_of(broken);
  // Keeps `change` if the same invariant breaks all the same.
  const auto keep = [&](const std::string& change) {
    if (shrunk.tries >= kTriesMax) return false;
    ++shrunk.tries;
    const std::string tried = changes.empty() ? change : changes + "," + change;
    Shape shape = draw_shape(seed);
    if (!apply_changes(shape, tried)) return false;
    const Played played = play(shape, false);
    if (played.broken.empty() || invariant_of(played.broken) != invariant) return false;
    changes = tried;
    return true;
  };
  const Shape drawn = draw_shape(seed);
  for (std::size_t n = 0; n < drawn.deployments; ++n) {
    if (keep("deployments=" + std::to_string(n))) break;
  }
  for (std::size_t n = 1; n < drawn.daemons; ++n) {
    if (keep("daemons=" + std::to_string(n))) break;
  }
  for (std::size_t n = drawn.quorum; n < drawn.parties; ++n) {
    if (keep("parties=" + std::to_string(n))) break;
  }
  if (drawn.many_lanes) keep("lanes=1");
  if (drawn.answers_tell) keep("answers=bare");
  if (drawn.hints_never) keep("hints=come");
  for (std::size_t kind = 0; kind < kFaults; ++kind) {
    if (drawn.rate[kind] > 0) keep("off=" + std::string(to_string(static_cast<Fault>(kind))));
  }
  // Of those that are left: halves, quarters, ..., then each.
  Shape shape = draw_shape(seed);
  apply_changes(shape, changes);
  const std::uint64_t struck = play(shape, false).struck;
  for (std::uint64_t length = (struck + 1) / 2; length > 0; length /= 2) {
    for (std::uint64_t from = 1; from <= struck; from += length) {
      keep("skip=" + std::to_string(from) + "-" + std::to_string(std::min(from + length, struck + 1)));
    }
  }
  shape = draw_shape(seed);
  apply_changes(shape, changes);
  shrunk.changes = std::move(changes);
  shrunk.played = play(shape, true);
  return shrunk;
}

}  // namespace syzygy::sim
