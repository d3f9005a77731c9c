// commands.h - random commands for one target, and every command as a line of text.
//
// A Chaos draws commands that make sense in the record it is shown (the round that is elected, the token it was given)
// and, every now and then, ones that do not: stale tokens, old requests, the same request with another body. The same
// seed draws the same commands.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "round/command.h"
#include "round/round.h"

namespace syzygy::round {

// Every field that has an effect, save for the fresh id that a daemon draws for each attempt.
std::string describe(const Command& command);
std::string describe_all(const Command& command);  // with the memory that came with it

class Chaos {
 public:
  explicit Chaos(std::uint64_t seed);

  Settings settings() const { return settings_; }
  bool forgetful() const { return forgetful_; }
  std::vector<Command> batch(const Record& record);
  // Some time later, often exactly when something ends, or a moment before or after; at times a clock that went back.
  Instant later(Instant now, std::optional<Instant> wake);

 private:
  bool chance(int percent);
  std::size_t below(std::size_t n);
  template <class T>
  const T& one_of(const std::vector<T>& values) {
    return values[below(values.size())];
  }

  Command draw(const Record& record);
  Command with_request(Command command, const IncarnationId& who);
  Join join(const Record& record);
  Confirm confirm(const Record& record, const Round& round);
  Report report(const Record& record, const Round& round);
  Memory memory(const Record& record);
  Finding finding(const Round& round);
  PartyName party();
  IncarnationId incarnation(const PartyName& party);
  Token token(const Record& record, Token right);

  std::mt19937_64 random_;
  Settings settings_;
  int parties_ = 3;
  bool forgetful_ = true;  // nothing in this story shows an older life
  Record newest_;          // that was ever seen
  std::vector<Plan> plans_;
  std::map<IncarnationId, std::uint64_t> sequence_;
  std::map<IncarnationId, Command> last_;
  std::uint64_t rounds_ = 0;
};

}  // namespace syzygy::round
