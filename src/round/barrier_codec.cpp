// The barrier's bytes: encode() and decode() of barrier.h.
#include <limits>
#include <utility>

#include "base/encoding.h"
#include "round/barrier.h"

namespace syzygy::barrier {
namespace {

constexpr std::uint64_t kListMax = 1'000'000;

std::uint32_t small(Reader& in) {
  const std::uint64_t value = in.number();
  if (value > std::numeric_limits<std::uint32_t>::max()) in.fail();
  return in.ok() ? static_cast<std::uint32_t>(value) : 0;
}

State state(Reader& in) {
  const std::uint64_t value = in.number();
  if (value > static_cast<std::uint64_t>(State::kSevered)) in.fail();
  return in.ok() ? static_cast<State>(value) : State::kWaiting;
}

void write(Writer& out, const Arrival& arrival) {
  out.string(arrival.party.value);
  out.string(arrival.incarnation.value);
  out.signed_number(arrival.lease_ttl.count());
  out.signed_number(arrival.lease_until.ms);
  out.boolean(arrival.graced);
}

Arrival read_arrival(Reader& in) {
  Arrival arrival;
  arrival.party.value = in.string();
  arrival.incarnation.value = in.string();
  arrival.lease_ttl = Duration{in.signed_number()};
  arrival.lease_until = Instant{in.signed_number()};
  arrival.graced = in.boolean();
  return arrival;
}

void write(Writer& out, const Past& past) {
  out.number(past.generation.value);
  out.number(static_cast<std::uint64_t>(past.state));
  out.number(past.quorum);
  out.number(past.present);
  out.string(past.completed_by.value);
  out.string(past.reason);
  out.signed_number(past.ended_at.ms);
  std::string members;
  members.reserve(past.members.size() * sizeof(std::uint64_t));
  for (const std::uint64_t member : past.members) {
    for (int shift = 0; shift < 64; shift += 8) members.push_back(static_cast<char>(member >> shift & 0xff));
  }
  out.string(members);
}

Past read_past(Reader& in) {
  Past past;
  past.generation.value = in.number();
  past.state = state(in);
  past.quorum = small(in);
  past.present = small(in);
  past.completed_by.value = in.string();
  past.reason = in.string();
  past.ended_at = Instant{in.signed_number()};
  const std::string members = in.string();
  if (members.size() % sizeof(std::uint64_t) != 0) in.fail();
  past.members.reserve(members.size() / sizeof(std::uint64_t));
  for (std::size_t i = 0; i + sizeof(std::uint64_t) <= members.size(); i += sizeof(std::uint64_t)) {
    std::uint64_t member = 0;
    for (std::size_t n = 0; n < sizeof(std::uint64_t); ++n) {
      member |= static_cast<std::uint64_t>(static_cast<unsigned char>(members[i + n])) << (8 * n);
    }
    if (!past.members.empty() && member <= past.members.back()) in.fail();
    past.members.push_back(member);
  }
  return past;
}

std::unexpected<Error> corrupt(std::string what) {
  return failure(ErrorCode::kDataLoss, "RECORD_CORRUPT",
                 std::move(what) + " cannot be decoded: its bytes were damaged, or written by something else");
}

}  // namespace

std::string encode(const Record& record) {
  Writer out;
  out.number(kRecordVersion);
  out.string(record.name);
  out.number(record.revision.value);
  out.number(record.generation.value);
  out.number(static_cast<std::uint64_t>(record.state));
  out.number(record.quorum);
  out.number(record.arrivals.size());
  for (const Arrival& arrival : record.arrivals) write(out, arrival);
  out.string(record.completed_by.value);
  out.string(record.reason);
  out.signed_number(record.now.ms);
  out.signed_number(record.ended_at.ms);
  out.number(record.past.size());
  for (const Past& past : record.past) write(out, past);
  out.string(record.graced_boot);
  return std::move(out).bytes();
}

Result<Record> decode(std::string_view bytes) {
  Reader in(bytes);
  const std::uint64_t version = in.number();
  if (in.ok() && version > kRecordVersion) {
    return failure(ErrorCode::kDataLoss, "RECORD_NEWER",
                   "this barrier was written by a newer syzygyd (record version " + std::to_string(version) +
                       "; this program knows up to " + std::to_string(kRecordVersion) + "): run the newer program",
                   {{"version", std::to_string(version)}, {"known", std::to_string(kRecordVersion)}});
  }
  if (version == 0) return corrupt("a barrier's record");
  if (version == 1) {
    return failure(ErrorCode::kDataLoss, "RECORD_OLDER",
                   "this barrier was written by a syzygyd of before 0.1.0, whose barriers this program does not read: "
                   "use a barrier of another name, or begin with an empty store");
  }
  Record record;
  record.name = in.string();
  record.revision.value = in.number();
  record.generation.value = in.number();
  record.state = state(in);
  record.quorum = small(in);
  for (std::uint64_t n = in.count(kListMax); n > 0 && in.ok(); --n) record.arrivals.push_back(read_arrival(in));
  record.completed_by.value = in.string();
  record.reason = in.string();
  record.now = Instant{in.signed_number()};
  record.ended_at = Instant{in.signed_number()};
  for (std::uint64_t n = in.count(kPastGenerationsMax); n > 0 && in.ok(); --n) record.past.push_back(read_past(in));
  record.graced_boot = in.string();
  if (!in.ok() || !in.at_end()) return corrupt("a barrier's record");
  return record;
}

std::string encode(const Command& command) {
  Writer out;
  out.number(command.index());
  if (const auto* enter = std::get_if<Enter>(&command)) {
    out.number(enter->quorum);
    out.string(enter->party.value);
    out.string(enter->incarnation.value);
    out.signed_number(enter->lease.count());
  } else if (const auto* await = std::get_if<Await>(&command)) {
    out.number(await->generation.value);
    out.string(await->incarnation.value);
  } else if (const auto* sever = std::get_if<Sever>(&command)) {
    out.number(sever->quorum);
    out.string(sever->party.value);
    out.string(sever->incarnation.value);
    out.string(sever->reason);
  } else if (const auto* grace = std::get_if<Grace>(&command)) {
    out.string(grace->boot);
  }
  return std::move(out).bytes();
}

Result<Command> decode_command(std::string_view bytes) {
  Reader in(bytes);
  Command command;
  switch (in.number()) {
    case 0: {
      Enter enter;
      enter.quorum = small(in);
      enter.party.value = in.string();
      enter.incarnation.value = in.string();
      enter.lease = Duration{in.signed_number()};
      command = std::move(enter);
      break;
    }
    case 1: {
      Await await;
      await.generation.value = in.number();
      await.incarnation.value = in.string();
      command = std::move(await);
      break;
    }
    case 2: {
      Sever sever;
      sever.quorum = small(in);
      sever.party.value = in.string();
      sever.incarnation.value = in.string();
      sever.reason = in.string();
      command = std::move(sever);
      break;
    }
    case 3:
      command = Tick{};
      break;
    case 4: {
      Grace grace;
      grace.boot = in.string();
      command = std::move(grace);
      break;
    }
    default:
      in.fail();
  }
  if (!in.ok() || !in.at_end()) return corrupt("a barrier's command");
  return command;
}

}  // namespace syzygy::barrier
