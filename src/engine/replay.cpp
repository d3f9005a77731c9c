#include "engine/replay.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "base/encoding.h"
#include "base/name.h"
#include "round/codec.h"
#include "round/step.h"

namespace syzygy::engine {
namespace {

constexpr std::string_view kMagic = "syzygy-replay";
constexpr std::uint64_t kReplayVersion = 2;  // 2: quiet_until
constexpr std::uint64_t kCommandsMax = 10'000'000;

// The settings in one list each, read and written by the same visit: a new one is added here once.
template <class Settings, class Visit>
void each_number(Settings& s, Visit visit) {
  if constexpr (requires { s.lock_delay_unfenced; }) {
    visit(s.lease), visit(s.lease_max), visit(s.lease_unfenced), visit(s.lock_delay_unfenced), visit(s.linger);
    visit(s.decline), visit(s.wait_default), visit(s.parties_max), visit(s.members_max), visit(s.gathering_max);
    visit(s.lingering_max), visit(s.requests_max), visit(s.quiet_until);
  } else {
    visit(s.lease), visit(s.lease_max), visit(s.linger), visit(s.parties_max), visit(s.arrivals_max);
  }
}

struct WriteNumber {
  Writer& out;
  void operator()(const Duration& d) const { out.signed_number(d.count()); }
  void operator()(const Instant& i) const { out.signed_number(i.ms); }
  void operator()(const std::size_t& n) const { out.number(n); }
};
struct ReadNumber {
  Reader& in;
  void operator()(Duration& d) const { d = Duration{in.signed_number()}; }
  void operator()(Instant& i) const { i = Instant{in.signed_number()}; }
  void operator()(std::size_t& n) const { n = in.number(); }
};

std::unexpected<Error> corrupt() {
  return failure(ErrorCode::kDataLoss, "REPLAY_CORRUPT",
                 "this is no replay file of syzygyd, or a damaged one; give a file that a frozen target left behind");
}

std::string_view name_of(const round::Command& command) {
  static constexpr std::string_view kNames[] = {"Join",  "Renew",      "Confirm",      "Progressed",    "Report",
                                                "Leave", "SeverRound", "ResolveBegin", "ResolveFinish", "SetTarget",
                                                "Tick",  "Grace",      "Remind"};
  static_assert(std::size(kNames) == std::variant_size_v<round::Command>);
  return kNames[command.index()];
}
std::string_view name_of(const barrier::Command& command) {
  static constexpr std::string_view kNames[] = {"Enter", "Await", "Sever", "Tick", "Grace"};
  static_assert(std::size(kNames) == std::variant_size_v<barrier::Command>);
  return kNames[command.index()];
}

template <class Command, class Decode>
Result<std::vector<Command>> commands_of(const Replay& replay, Decode decode, std::string& text) {
  std::vector<Command> commands;
  for (const std::string& bytes : replay.commands) {
    auto command = decode(bytes);
    if (!command) return std::unexpected(std::move(command.error()));
    text += "  " + std::string(name_of(*command)) + "\n";
    commands.push_back(*std::move(command));
  }
  return commands;
}

}  // namespace

std::string encode(const Replay& replay) {
  Writer out;
  out.string(kMagic);
  out.number(kReplayVersion);
  out.boolean(replay.is_barrier);
  out.string(replay.broken);
  out.signed_number(replay.now.ms);
  each_number(replay.round_settings, WriteNumber{out});
  each_number(replay.barrier_settings, WriteNumber{out});
  out.string(replay.record);
  out.number(replay.commands.size());
  for (const std::string& command : replay.commands) out.string(command);
  return std::move(out).bytes();
}

Result<Replay> decode_replay(std::string_view bytes) {
  Reader in(bytes);
  if (in.string() != kMagic) return corrupt();
  const std::uint64_t version = in.number();
  if (in.ok() && version > kReplayVersion) {
    return failure(ErrorCode::kDataLoss, "REPLAY_NEWER",
                   "this replay file is of version " + std::to_string(version) + "; this program knows up to " +
                       std::to_string(kReplayVersion) + ": use the syzygyd that wrote it");
  }
  Replay replay;
  replay.is_barrier = in.boolean();
  replay.broken = in.string();
  replay.now = Instant{in.signed_number()};
  each_number(replay.round_settings, ReadNumber{in});
  each_number(replay.barrier_settings, ReadNumber{in});
  replay.record = in.string();
  for (std::uint64_t n = in.count(kCommandsMax); n > 0 && in.ok(); --n) replay.commands.push_back(in.string());
  if (!in.ok() || !in.at_end()) return corrupt();
  return replay;
}

Result<std::string> write_replay(const std::string& directory, const std::string& name, const Replay& replay) {
  const std::string bytes = encode(replay);
  std::string base;
  for (const char c : name.substr(0, 60)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    base.push_back(plain ? c : '_');
  }
  const auto not_written = [&](const std::string& path) {
    return failure(ErrorCode::kUnavailable, "REPLAY_NOT_WRITTEN",
                   "cannot write the replay file " + path + ": " + std::strerror(errno));
  };
  std::error_code ignored;  // open() says what is wrong
  std::filesystem::create_directories(directory, ignored);
  for (int n = 0;; ++n) {
    std::string path = directory + "/" + base + "-" + std::to_string(replay.now.ms) +
                       (n == 0 ? "" : "-" + std::to_string(n)) + ".replay";
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
      if (errno == EEXIST && n < 1'000) continue;
      return not_written(path);
    }
    std::size_t written = 0;
    while (written < bytes.size()) {
      const ssize_t some = ::write(fd, bytes.data() + written, bytes.size() - written);
      if (some < 0 && errno == EINTR) continue;
      if (some <= 0) {
        auto error = not_written(path);
        ::close(fd);
        ::unlink(path.c_str());
        return error;
      }
      written += static_cast<std::size_t>(some);
    }
    ::close(fd);
    return path;
  }
}

Result<Replayed> replay(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return failure(ErrorCode::kNotFound, "REPLAY_NOT_FOUND", "cannot read " + path + ": " + std::strerror(errno));
  }
  const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  auto found = decode_replay(bytes);
  if (!found) return std::unexpected(std::move(found.error()));

  Replayed out;
  std::string commands_text;
  std::string what;
  if (found->is_barrier) {
    auto record = barrier::decode(found->record);
    if (!record) return std::unexpected(std::move(record.error()));
    auto commands = commands_of<barrier::Command>(*found, barrier::decode_command, commands_text);
    if (!commands) return std::unexpected(std::move(commands.error()));
    what = "barrier " + printable(record->name, 200) + " at revision " + std::to_string(record->revision.value);
    out.broken = barrier::step(*std::move(record), *commands, found->now, found->barrier_settings).broken;
  } else {
    auto record = round::decode(found->record);
    if (!record) return std::unexpected(std::move(record.error()));
    auto commands = commands_of<round::Command>(*found, round::decode_command, commands_text);
    if (!commands) return std::unexpected(std::move(commands.error()));
    what = "target " + printable(record->target.value, 200) + " at revision " + std::to_string(record->revision.value);
    out.broken = round::step(*std::move(record), *commands, found->now, found->round_settings).broken;
  }
  out.text = what + ", " + std::to_string(found->commands.size()) + " commands at " + std::to_string(found->now.ms) +
             ":\n" + commands_text + "found then: " + found->broken + "\n" +
             (out.broken.empty() ? "found now: nothing" : "found now: " + out.broken) + "\n";
  return out;
}

}  // namespace syzygy::engine
