#include "round/step.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "base/sha256.h"
#include "round/election.h"
#include "round/invariants.h"
#include "round/planted.h"
#include "round/rules.h"

namespace syzygy::round {
namespace {

const RequestId* request_of(const Command& command) {
  return std::visit(
      [](const auto& c) -> const RequestId* {
        if constexpr (requires { c.request; }) {
          return &c.request;
        } else {
          return nullptr;
        }
      },
      command);
}

// The same body has the same digest, whatever fresh id the daemon put into this attempt of it, and whatever the client
// remembers by now.
std::string digest_of(const Command& command) {
  if (const Join* join = std::get_if<Join>(&command)) {
    Join plain = *join;
    plain.fresh_round = RoundId{};
    plain.memory.reset();
    return sha256_hex(encode(Command{std::move(plain)})).substr(0, 32);
  }
  if (const Report* report = std::get_if<Report>(&command)) {
    Report plain = *report;
    plain.memory.reset();
    return sha256_hex(encode(Command{std::move(plain)})).substr(0, 32);
  }
  return sha256_hex(encode(command)).substr(0, 32);
}

// The lease of the incarnation as it is stored: what a retried join is told.
std::optional<Instant> lease_of(const Record& record, const IncarnationId& incarnation) {
  for (const Round& round : record.rounds) {
    if (is_final(round.state)) continue;
    for (const Member& member : round.members) {
      if (member.incarnation == incarnation && member.standing == Standing::kLive) return member.lease_until;
    }
  }
  for (const Member& guest : record.guests) {
    if (guest.incarnation == incarnation) return guest.lease_until;
  }
  return std::nullopt;
}

std::optional<Reply> repeated(const Draft& draft, const RequestId& request, const std::string& digest) {
  const auto& answered = draft.record.answered;
  const auto kept = [&](const auto& entry) { return entry.second.keep_until > draft.now; };
  const auto before = answered.find(request.incarnation);
  if (before == answered.end() || !kept(*before)) {
    if (answered.size() < draft.settings.requests_max || PLANTED(requests_without_end)) return std::nullopt;
    if (static_cast<std::size_t>(std::ranges::count_if(answered, kept)) < draft.settings.requests_max) {
      return std::nullopt;
    }
    return refused(ErrorCode::kResourceExhausted, "REQUESTS_LIMIT",
                   "target " + draft.record.target.value + " remembers the requests of " +
                       std::to_string(draft.settings.requests_max) + " processes, which is the limit; try again later");
  }
  const Answered& last = before->second;
  if (request.sequence > last.sequence || PLANTED(repeated_executed)) return std::nullopt;
  if (request.sequence < last.sequence && PLANTED(old_executed)) return std::nullopt;
  if (request.sequence < last.sequence) {
    return refused(ErrorCode::kFailedPrecondition, "REQUEST_OLD",
                   "request " + std::to_string(request.sequence) + " of this process comes after its request " +
                       std::to_string(last.sequence) + " was executed; it is not executed any more",
                   {{"executed", std::to_string(last.sequence)}});
  }
  if (digest != last.digest && !PLANTED(altered_accepted)) {
    return refused(ErrorCode::kFailedPrecondition, "REQUEST_REUSED",
                   "request " + std::to_string(request.sequence) + " of this process was executed with another body");
  }
  Reply reply;
  reply.verdict = last.verdict;
  reply.round = last.round;
  reply.from_step = last.from_step;
  reply.token = last.token;
  reply.notice = last.notice;
  reply.lease_until = lease_of(draft.record, request.incarnation);
  return reply;
}

Reply execute(Draft& draft, const Command& command) {
  return std::visit(
      [&](const auto& c) -> Reply {
        using C = std::decay_t<decltype(c)>;
        if constexpr (std::is_same_v<C, Join>) return on_join(draft, c);
        if constexpr (std::is_same_v<C, Renew>) return on_renew(draft, c);
        if constexpr (std::is_same_v<C, Confirm>) return on_confirm(draft, c);
        if constexpr (std::is_same_v<C, Progressed>) return on_progress(draft, c);
        if constexpr (std::is_same_v<C, Report>) return on_report(draft, c);
        if constexpr (std::is_same_v<C, Leave>) return on_leave(draft, c);
        if constexpr (std::is_same_v<C, SeverRound>) return on_sever(draft, c);
        if constexpr (std::is_same_v<C, ResolveBegin>) return on_resolve_begin(draft, c);
        if constexpr (std::is_same_v<C, ResolveFinish>) return on_resolve_finish(draft, c);
        if constexpr (std::is_same_v<C, SetTarget>) return on_set_target(draft, c);
        return Reply{};  // Tick, Grace, Remind: looked at before
      },
      command);
}

void remember(Draft& draft, const Command& command, const RequestId& request, std::string digest, const Reply& reply) {
  Answered& answered = draft.record.answered[request.incarnation];
  const Instant kept_anyway = answered.keep_until;  // by its join: until its deadline, plus what a round lingers
  answered = Answered{request.sequence, std::move(digest), reply.verdict, reply.round,
                      reply.from_step,  reply.token,       reply.notice,  {}};
  Instant until = draft.now;
  if (const Join* join = std::get_if<Join>(&command)) {
    until = until + (join->timeout.count() > 0 ? join->timeout : draft.settings.wait_default);
  }
  answered.keep_until = std::max(kept_anyway, until + draft.settings.linger);
}

Reply answer(Draft& draft, const Command& command) {
  const RequestId* request = request_of(command);
  if (request == nullptr) return execute(draft, command);
  std::string digest = digest_of(command);
  if (auto again = repeated(draft, *request, digest)) return *again;
  Reply reply = execute(draft, command);
  // A refusal changed nothing, so its retry is judged anew.
  if (reply.verdict != Verdict::kRefused) remember(draft, command, *request, std::move(digest), reply);
  return reply;
}

// `b` is lent, not copied: records are large.
bool same_but_for_time(const Record& a, Record& b) {
  const Instant now = std::exchange(b.now, a.now);
  const bool same = a == b;
  b.now = now;
  return same;
}

}  // namespace

Decision step(Record record, std::span<const Command> commands, Instant now, const Settings& settings) {
  const Record before = record;
  Decision decision;
  decision.record = std::move(record);
  Record& changing = decision.record;
  changing.now = PLANTED(time_backwards) ? now : std::max(changing.now, now);
  Draft draft(changing, changing.now, settings);
  decision.replies.resize(commands.size());

  // Evidence and grace before anything is judged; then what time has ended; then reports, which may tell how a lost run
  // ended; then the rest.
  for (const Command& command : commands) take_evidence(draft, command);
  for (const Command& command : commands) {
    if (const Grace* grace = std::get_if<Grace>(&command)) on_grace(draft, *grace);
  }
  end_what_is_over(draft);
  for (const bool reports : {!PLANTED(reports_last), PLANTED(reports_last)}) {
    for (std::size_t i = 0; i < commands.size(); ++i) {
      if (std::holds_alternative<Report>(commands[i]) == reports) decision.replies[i] = answer(draft, commands[i]);
    }
  }
  end_what_is_over(draft);  // a round that everybody left
  const bool ticks = std::ranges::any_of(commands, [](const Command& c) { return std::holds_alternative<Tick>(c); });
  if (ticks || !PLANTED(elects_later)) elect(draft);
  compare_gatherings(draft);

  if (!same_but_for_time(before, changing)) {
    std::erase_if(changing.answered, [&](const auto& entry) { return entry.second.keep_until <= changing.now; });
    decision.changed = true;
  }
  decision.events = std::move(draft.events);
  decision.wake_at = next_wake(changing, settings);
  decision.broken =
      draft.broken.empty() ? broken_invariant(before, changing, decision.events) : std::move(draft.broken);
  return decision;
}

}  // namespace syzygy::round
