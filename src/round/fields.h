// fields.h - how values become bytes and back: one list of fields per type serves both directions.
//
// Internal to src/round: the codec of records, commands and events. Fields are written in the listed order; a change of
// any list is a new version of what holds it (codec.h). Enumerations are numbers; one that this program does not know
// is malformed, and so is everything that the Encoder would have written otherwise: numbers too large for their field,
// sets and maps out of order.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/encoding.h"
#include "round/command.h"
#include "round/effect.h"
#include "round/round.h"

namespace syzygy {

template <class Io>
void fields(Io& io, Step& v) {
  io(v.id, v.direction, v.stage, v.content, v.atomic);
}
template <class Io>
void fields(Io& io, Plan& v) {
  io(v.target, v.stage, v.opaque, v.on_applier_lost, v.steps);
}

}  // namespace syzygy

namespace syzygy::round {

template <class Io>
void fields(Io& io, Quorum& v) {
  io(v.parties, v.roster);
}
template <class Io>
void fields(Io& io, Binding& v) {
  io(v.minted_id, v.system_id, v.database, v.application);
}
template <class Io>
void fields(Io& io, TargetOutcome& v) {
  io(v.round, v.token, v.state);
}
template <class Io>
void fields(Io& io, Member& v) {
  io(v.party, v.incarnation, v.host, v.client_version, v.release, v.may_apply, v.fail_on_divergence, v.has_from,
     v.order, v.seen_token, v.joined_at, v.lease_ttl, v.lease_until, v.graced, v.deadline, v.declined_until,
     v.standing);
}
template <class Io>
void fields(Io& io, Grant& v) {
  io(v.incarnation, v.party, v.token, v.settle, v.claimed, v.fenced, v.lease_ttl, v.lease_until, v.graced, v.from_step);
  if (io.version >= 2) io(v.unsure);
}
template <class Io>
void fields(Io& io, Run& v) {
  io(v.incarnation, v.party, v.token, v.fenced, v.ended);
}
template <class Io>
void fields(Io& io, Progress& v) {
  io(v.step_index, v.step, v.note, v.at);
}
template <class Io>
void fields(Io& io, Sever& v) {
  io(v.actor, v.reason, v.at, v.confirm_by);
}
template <class Io>
void fields(Io& io, Outcome& v) {
  io(v.message, v.failed_step, v.exit_code, v.steps_done, v.applier, v.token, v.in_target, v.at, v.revision);
}
template <class Io>
void fields(Io& io, Resolution& v) {
  io(v.incarnation, v.actor, v.token);
}
template <class Io>
void fields(Io& io, Round& v) {
  io(v.id, v.generation, v.plan, v.hash, v.state, v.asked, v.effective, v.members, v.completed_by, v.grant, v.last_run,
     v.remaining_from, v.progress, v.sever, v.resolution, v.outcome, v.acknowledged, v.diverged, v.opened_at,
     v.elected_at, v.ended_at, v.linger_until);
}
template <class Io>
void fields(Io& io, Visit& v) {
  io(v.at, v.last_step, v.release, v.host);
}
template <class Io>
void fields(Io& io, Excuse& v) {
  io(v.until, v.reason, v.actor);
}
template <class Io>
void fields(Io& io, Pin& v) {
  io(v.quorum, v.actor, v.reason);
}
template <class Io>
void fields(Io& io, Answered& v) {
  io(v.sequence, v.digest, v.verdict, v.round, v.from_step, v.token, v.notice, v.keep_until);
}
template <class Io>
void fields(Io& io, Presence& v) {
  io(v.party, v.release, v.lease_until);
}
template <class Io>
void fields(Io& io, Resync& v) {
  io(v.since, v.until, v.why, v.seen);
}
template <class Io>
void fields(Io& io, Record& v) {
  io(v.target, v.revision, v.token, v.generation, v.order, v.now, v.binding, v.pin, v.excuses, v.visits, v.rounds,
     v.guests, v.opaque_applied, v.answered, v.presences, v.graced_boot);
  if (io.version >= 2) io(v.epoch, v.former, v.resync);
}
template <class Io>
void fields(Io& io, Event& v) {
  io(v.revision, v.at, v.kind, v.round, v.party, v.incarnation, v.from, v.to, v.token, v.text, v.actor, v.data);
}
template <class Io>
void fields(Io& io, RequestId& v) {
  io(v.incarnation, v.sequence);
}
template <class Io>
void fields(Io& io, Snapshot& v) {
  io(v.token, v.last_outcome, v.recent, v.last_step);
}
template <class Io>
void fields(Io& io, Finding& v) {
  io(v.kind, v.from_step, v.step, v.outcome, v.committed, v.sessions_gone, v.begun_by);
}
template <class Io>
void fields(Io& io, RememberedRound& v) {
  io(v.id, v.plan, v.quorum, v.state, v.applier, v.applier_party, v.token, v.fenced);
}
template <class Io>
void fields(Io& io, Memory& v) {
  io(v.epoch, v.revision, v.token, v.round);
}
template <class Io>
void fields(Io& io, Join& v) {
  io(v.request, v.party, v.plan, v.quorum, v.timeout, v.lease, v.may_apply, v.fail_on_divergence, v.again, v.checked,
     v.binding, v.snapshot, v.host, v.client_version, v.release, v.fresh_round, v.memory);
}
template <class Io>
void fields(Io& io, Renew& v) {
  io(v.incarnation, v.token, v.memory);
}
template <class Io>
void fields(Io& io, Confirm& v) {
  io(v.request, v.round, v.token, v.claim, v.fenced, v.finding, v.row_token, v.reason);
}
template <class Io>
void fields(Io& io, Progressed& v) {
  io(v.round, v.incarnation, v.token, v.step_index, v.step, v.note);
}
template <class Io>
void fields(Io& io, Report& v) {
  io(v.request, v.round, v.token, v.result, v.message, v.failed_step, v.exit_code, v.steps_done, v.in_target,
     v.session_ended, v.row_token, v.memory);
}
template <class Io>
void fields(Io& io, Leave& v) {
  io(v.request, v.reason, v.token, v.session_ended, v.finding, v.acknowledge, v.party);
}
template <class Io>
void fields(Io& io, SeverRound& v) {
  io(v.request, v.round, v.actor, v.reason);
}
template <class Io>
void fields(Io& io, ResolveBegin& v) {
  io(v.request, v.round, v.seen, v.actor, v.reason);
}
template <class Io>
void fields(Io& io, ResolveFinish& v) {
  io(v.request, v.round, v.token, v.verdict, v.attest_stopped, v.attest_database_gone, v.claimed, v.found, v.actor,
     v.reason);
}
template <class Io>
void fields(Io& io, SetTarget& v) {
  io(v.request, v.actor, v.reason, v.change_pin, v.pin, v.excuse, v.excuse_for, v.rebind);
}
template <class Io>
void fields(Io&, Tick&) {}
template <class Io>
void fields(Io& io, Grace& v) {
  io(v.boot);
}
template <class Io>
void fields(Io& io, Remind& v) {
  io(v.memory);
}

// The last value of each enumeration.
constexpr State last_of(State) { return State::kSuperseded; }
constexpr Standing last_of(Standing) { return Standing::kLeft; }
constexpr Verdict last_of(Verdict) { return Verdict::kRefused; }
constexpr Direction last_of(Direction) { return Direction::kDown; }
constexpr Stage last_of(Stage) { return Stage::kPostDeploy; }
constexpr PlanStage last_of(PlanStage) { return PlanStage::kAll; }
constexpr OnApplierLost last_of(OnApplierLost) { return OnApplierLost::kRetry; }
constexpr Claim last_of(Claim) { return Claim::kDeclined; }
constexpr RunResult last_of(RunResult) { return RunResult::kFencedOut; }
constexpr Finding::Kind last_of(Finding::Kind) { return Finding::Kind::kUnknown; }
constexpr EventKind last_of(EventKind) { return EventKind::kResyncEnded; }

template <class T, template <class...> class Template>
inline constexpr bool kIs = false;
template <template <class...> class Template, class... A>
inline constexpr bool kIs<Template<A...>, Template> = true;

struct Encoder {
  Writer out;
  std::uint64_t version = 0;  // of what holds the fields

  template <class... T>
  void operator()(T&... values) {
    (put(values), ...);
  }

  template <class T>
  void put(T& v) {
    if constexpr (std::is_same_v<T, std::string>) {
      out.string(v);
    } else if constexpr (std::is_same_v<T, bool>) {
      out.boolean(v);
    } else if constexpr (std::is_enum_v<T>) {
      out.number(static_cast<std::uint64_t>(v));
    } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
      out.signed_number(v);
    } else if constexpr (std::is_integral_v<T>) {
      out.number(v);
    } else if constexpr (std::is_same_v<T, Instant>) {
      out.signed_number(v.ms);
    } else if constexpr (std::is_same_v<T, Duration>) {
      out.signed_number(v.count());
    } else if constexpr (kIs<T, Id>) {
      out.string(v.value);
    } else if constexpr (kIs<T, Number>) {
      out.number(v.value);
    } else if constexpr (kIs<T, std::optional>) {
      out.boolean(v.has_value());
      if (v) put(*v);
    } else if constexpr (kIs<T, std::vector>) {
      out.number(v.size());
      for (auto& element : v) put(element);
    } else if constexpr (kIs<T, std::set>) {
      out.number(v.size());
      for (auto element : v) put(element);
    } else if constexpr (kIs<T, std::map>) {
      out.number(v.size());
      for (auto& [key, value] : v) {
        auto copy = key;
        put(copy);
        put(value);
      }
    } else {
      fields(*this, v);
    }
  }
};

struct Decoder {
  Reader in;
  std::uint64_t version = 0;

  template <class T, class Wide>
  T narrow(Wide wide) {
    if (std::in_range<T>(wide)) return static_cast<T>(wide);
    in.fail();
    return T{};
  }

  template <class... T>
  void operator()(T&... values) {
    (get(values), ...);
  }

  template <class T>
  void get(T& v) {
    static constexpr std::uint64_t kListMax = 10'000'000;
    if (!in.ok()) return;
    if constexpr (std::is_same_v<T, std::string>) {
      v = in.string();
    } else if constexpr (std::is_same_v<T, bool>) {
      v = in.boolean();
    } else if constexpr (std::is_enum_v<T>) {
      const std::uint64_t number = in.number();
      if (number > static_cast<std::uint64_t>(last_of(T{}))) return in.fail();
      v = static_cast<T>(number);
    } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
      v = narrow<T>(in.signed_number());
    } else if constexpr (std::is_integral_v<T>) {
      v = narrow<T>(in.number());
    } else if constexpr (std::is_same_v<T, Instant>) {
      v.ms = in.signed_number();
    } else if constexpr (std::is_same_v<T, Duration>) {
      v = Duration{in.signed_number()};
    } else if constexpr (kIs<T, Id>) {
      v.value = in.string();
    } else if constexpr (kIs<T, Number>) {
      v.value = in.number();
    } else if constexpr (kIs<T, std::optional>) {
      v.reset();
      if (in.boolean()) get(v.emplace());
    } else if constexpr (kIs<T, std::vector>) {
      v.clear();
      for (std::uint64_t left = in.count(kListMax); left > 0 && in.ok(); --left) get(v.emplace_back());
    } else if constexpr (kIs<T, std::set>) {
      v.clear();
      for (std::uint64_t left = in.count(kListMax); left > 0 && in.ok(); --left) {
        typename T::value_type element;
        get(element);
        if (!v.empty() && !(*v.rbegin() < element)) return in.fail();  // encode() writes them in order, each once
        v.insert(std::move(element));
      }
    } else if constexpr (kIs<T, std::map>) {
      v.clear();
      for (std::uint64_t left = in.count(kListMax); left > 0 && in.ok(); --left) {
        typename T::key_type key{};
        get(key);
        if (!v.empty() && !(v.rbegin()->first < key)) return in.fail();
        get(v[std::move(key)]);
      }
    } else {
      fields(*this, v);
    }
  }
};

// `value` is written, never changed: fields() takes it by reference because it serves both directions.
template <class T>
void write_fields(Writer& out, const T& value, std::uint64_t version = 0) {
  Encoder encoder{.out = {}, .version = version};
  encoder.put(const_cast<T&>(value));
  out.append(encoder.out.bytes());
}

}  // namespace syzygy::round
