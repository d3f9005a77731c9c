// replay.h - what a broken invariant leaves behind: the record, the commands and the instant, in a file that replays
// it.
//
// The file is self-contained (settings included) and holds what the record holds: names, plans, hosts; no secrets,
// since records have none. `syzygyd --replay FILE` folds it again and prints what happens.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "round/barrier.h"
#include "round/command.h"
#include "round/round.h"

namespace syzygy::engine {

struct Replay {
  bool is_barrier = false;
  std::string broken;  // as it was found
  Instant now;
  round::Settings round_settings;
  barrier::Settings barrier_settings;
  std::string record;                 // encoded
  std::vector<std::string> commands;  // encoded
};

std::string encode(const Replay& replay);
// Errors: kDataLoss, reasons REPLAY_NEWER and REPLAY_CORRUPT.
Result<Replay> decode_replay(std::string_view bytes);

// Writes it into `directory` (made where it is missing) under a name of its own, and returns the path. Error:
// kUnavailable REPLAY_NOT_WRITTEN.
Result<std::string> write_replay(const std::string& directory, const std::string& name, const Replay& replay);

// Folds the file's commands into its record again. Returns what broke ("" if nothing does any more) and, for people,
// what went in.
struct Replayed {
  std::string broken;
  std::string text;
};
Result<Replayed> replay(const std::string& path);

}  // namespace syzygy::engine
