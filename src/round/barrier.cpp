#include "round/barrier.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/fingerprint.h"

namespace syzygy::barrier {
namespace {

std::string number(std::uint64_t value) { return std::to_string(value); }

std::uint32_t distinct_parties(const std::vector<Arrival>& arrivals) {
  std::vector<std::string_view> parties;
  parties.reserve(arrivals.size());
  for (const Arrival& arrival : arrivals) parties.push_back(arrival.party.value);
  std::ranges::sort(parties);
  return static_cast<std::uint32_t>(std::ranges::unique(parties).begin() - parties.begin());
}

Reply refused(ErrorCode code, std::string reason, std::string message,
              std::map<std::string, std::string> metadata = {}) {
  Reply reply;
  reply.error = Error{code, std::move(reason), std::move(message), std::move(metadata), std::nullopt};
  return reply;
}

Past past_of(const Record& record, std::uint32_t present) {
  Past past;
  past.generation = record.generation;
  past.state = record.state;
  past.quorum = record.quorum;
  past.present = present;
  past.completed_by = record.completed_by;
  past.reason = record.reason;
  past.ended_at = record.ended_at;
  return past;
}

// The record while a batch is folded into it, with what would be too slow to look up in its lists.
class Fold {
 public:
  Fold(Record record, std::size_t commands, Instant now, const Settings& settings)
      : record_(std::move(record)), settings_(settings) {
    record_.now = std::max(record_.now, now);
    record_.arrivals.reserve(record_.arrivals.size() + commands);  // the index holds on to their names
    index();
  }

  Reply apply(const Enter& enter);
  Reply apply(const Await& await);
  Reply apply(const Sever& sever);
  Reply apply(const Tick&) {
    end_leases();
    return {};
  }
  Reply apply(const Grace& grace);

  // Of a generation that waits: whoever fell silent is not counted any more.
  void end_leases();

  [[nodiscard]] const Record& record() const { return record_; }
  [[nodiscard]] std::uint32_t present() const { return static_cast<std::uint32_t>(parties_.size()); }
  Record take_record() { return std::move(record_); }
  std::vector<Past> take_ended() { return std::move(ended_); }

 private:
  [[nodiscard]] bool takes_arrivals() const;
  // What `incarnation` is told of the present generation.
  [[nodiscard]] Reply told(const IncarnationId& incarnation) const {
    return view(past_of(record_, present()), incarnation);
  }
  void index();
  Arrival* find(const IncarnationId& incarnation);
  [[nodiscard]] const Past* past_with(const IncarnationId& incarnation) const;
  void open_generation(std::uint32_t quorum);
  void arrive(const PartyName& party, const IncarnationId& incarnation, Duration lease);
  void end(State state);
  [[nodiscard]] std::optional<Reply> refuse(std::uint32_t quorum, const PartyName& party,
                                            const IncarnationId& incarnation);
  [[nodiscard]] Reply mismatch(std::uint32_t quorum) const;
  void moved() { record_.revision = record_.revision.next(); }

  Record record_;
  const Settings& settings_;
  std::unordered_map<std::string_view, std::size_t> by_incarnation_;
  std::unordered_map<std::string_view, std::size_t> parties_;  // how many incarnations each has here
  bool leases_ended_ = false;                                  // of this instant, by which all of a step is judged
  std::vector<Past> ended_;
};

void Fold::index() {
  by_incarnation_.clear();
  parties_.clear();
  by_incarnation_.reserve(record_.arrivals.capacity());
  parties_.reserve(record_.arrivals.capacity());
  for (std::size_t i = 0; i < record_.arrivals.size(); ++i) {
    by_incarnation_.emplace(record_.arrivals[i].incarnation.value, i);
    ++parties_[record_.arrivals[i].party.value];
  }
}

Arrival* Fold::find(const IncarnationId& incarnation) {
  const auto it = by_incarnation_.find(incarnation.value);
  return it == by_incarnation_.end() ? nullptr : &record_.arrivals[it->second];
}

const Past* Fold::past_with(const IncarnationId& incarnation) const {
  const std::uint64_t member = fingerprint(incarnation.value);
  for (const Past& past : record_.past) {
    if (std::ranges::binary_search(past.members, member)) return &past;
  }
  return nullptr;
}

void Fold::end_leases() {
  if (record_.state != State::kWaiting || std::exchange(leases_ended_, true)) return;
  const auto gone = std::erase_if(record_.arrivals, [&](const Arrival& a) { return a.lease_until <= record_.now; });
  if (gone == 0) return;
  index();
  moved();
}

// Whether whoever comes now belongs to the present generation, or to the next one.
bool Fold::takes_arrivals() const {
  switch (record_.state) {
    case State::kWaiting:
      return record_.generation.value != 0;
    case State::kOpen:
      return false;
    case State::kSevered:
      return present() < record_.quorum && record_.now < record_.ended_at + settings_.linger;
  }
  return false;
}

void Fold::open_generation(std::uint32_t quorum) {
  if (record_.generation.value != 0) {
    Past past = past_of(record_, present());
    past.members.reserve(record_.arrivals.size());
    for (const Arrival& arrival : record_.arrivals) past.members.push_back(fingerprint(arrival.incarnation.value));
    std::ranges::sort(past.members);
    past.members.erase(std::ranges::unique(past.members).begin(), past.members.end());
    record_.past.insert(record_.past.begin(), std::move(past));
    if (record_.past.size() > kPastGenerationsMax) record_.past.resize(kPastGenerationsMax);
    std::size_t members = 0;
    for (Past& p : record_.past) {
      members += p.members.size();
      if (members > kPastMembersMax && &p != &record_.past.front()) p.members.clear();
    }
  }
  record_.generation = record_.generation.next();
  record_.state = State::kWaiting;
  record_.quorum = quorum;
  record_.arrivals.clear();
  record_.completed_by = {};
  record_.reason.clear();
  record_.ended_at = {};
  index();
}

void Fold::arrive(const PartyName& party, const IncarnationId& incarnation, Duration lease) {
  const Duration ttl = std::min(lease.count() > 0 ? lease : settings_.lease, settings_.lease_max);
  const Arrival& arrival = record_.arrivals.emplace_back(Arrival{party, incarnation, ttl, record_.now + ttl, false});
  by_incarnation_.emplace(arrival.incarnation.value, record_.arrivals.size() - 1);
  ++parties_[arrival.party.value];
  moved();
}

void Fold::end(State state) {
  record_.state = state;
  record_.ended_at = record_.now;
  ended_.push_back(past_of(record_, present()));
}

// What neither an enter nor a sever may do, whatever the generation's state.
std::optional<Reply> Fold::refuse(std::uint32_t quorum, const PartyName& party, const IncarnationId& incarnation) {
  if (quorum == 0 || quorum > settings_.parties_max) {
    return refused(ErrorCode::kInvalidArgument, "QUORUM_INVALID",
                   "a quorum of " + number(quorum) + " cannot be: give the number of parties, 1 to " +
                       number(settings_.parties_max),
                   {{"quorum", number(quorum)}, {"parties_max", number(settings_.parties_max)}});
  }
  if (const Arrival* known = find(incarnation); known != nullptr && known->party != party) {
    return refused(ErrorCode::kFailedPrecondition, "INCARNATION_REUSED",
                   "this incarnation has already entered barrier \"" + record_.name + "\" as party \"" +
                       known->party.value + "\"; give every entering an incarnation of its own",
                   {{"party", known->party.value}});
  }
  return std::nullopt;
}

Reply Fold::mismatch(std::uint32_t quorum) const {
  std::set<std::string> who;
  for (const Arrival& arrival : record_.arrivals) who.insert(arrival.party.value);
  std::string names;
  std::size_t named = 0;
  for (const std::string& party : who) {
    if (named++ == 10) {
      names += " and " + number(who.size() - 10) + " more";
      break;
    }
    names += (names.empty() ? "" : ", ") + party;
  }
  return refused(ErrorCode::kFailedPrecondition, "QUORUM_MISMATCH",
                 "barrier \"" + record_.name + "\" waits for " + number(record_.quorum) + " parties, as " + names +
                     " said, and not for " + number(quorum) +
                     "; let all parties give the same number, or sever the barrier",
                 {{"yours", number(quorum)}, {"theirs", number(record_.quorum)}, {"parties", names}});
}

Reply Fold::apply(const Enter& enter) {
  end_leases();
  if (auto no = refuse(enter.quorum, enter.party, enter.incarnation)) return *std::move(no);
  if (Arrival* known = find(enter.incarnation)) {
    if (record_.state == State::kWaiting) {
      if (enter.lease.count() > 0) known->lease_ttl = std::min(enter.lease, settings_.lease_max);
      known->lease_until = std::max(known->lease_until, record_.now + known->lease_ttl);
      known->graced = false;
    }
    return told(enter.incarnation);
  }
  if (const Past* past = past_with(enter.incarnation)) return view(*past, enter.incarnation);

  if (!takes_arrivals()) open_generation(enter.quorum);
  if (record_.state == State::kWaiting) {
    if (record_.arrivals.empty()) record_.quorum = enter.quorum;
    if (enter.quorum != record_.quorum) return mismatch(enter.quorum);
  }
  if (record_.arrivals.size() >= settings_.arrivals_max ||
      (present() >= settings_.parties_max && !parties_.contains(enter.party.value))) {
    return refused(ErrorCode::kResourceExhausted, "PARTIES_LIMIT",
                   "barrier \"" + record_.name + "\" already has " + number(record_.arrivals.size()) + " arrivals of " +
                       number(present()) + " parties; at most " + number(settings_.arrivals_max) + " of " +
                       number(settings_.parties_max) + " may wait in one generation",
                   {{"parties_max", number(settings_.parties_max)}, {"arrivals_max", number(settings_.arrivals_max)}});
  }
  arrive(enter.party, enter.incarnation, enter.lease);
  if (record_.state == State::kWaiting && present() >= record_.quorum) {
    record_.completed_by = enter.incarnation;
    end(State::kOpen);
  }
  return told(enter.incarnation);
}

Reply Fold::apply(const Await& await) {
  end_leases();
  if (await.generation == record_.generation && record_.state == State::kWaiting && record_.generation.value != 0) {
    Arrival* known = find(await.incarnation);
    if (known == nullptr) {
      return refused(ErrorCode::kFailedPrecondition, "LEASE_LOST",
                     "generation " + number(await.generation.value) + " of barrier \"" + record_.name +
                         "\" does not count this incarnation (any more): it was silent for longer than its lease, or "
                         "never entered; enter again",
                     {{"generation", number(await.generation.value)}});
    }
    known->lease_until = std::max(known->lease_until, record_.now + known->lease_ttl);
    known->graced = false;
  }
  if (await.generation == record_.generation && await.generation.value != 0) return told(await.incarnation);
  return view(record_, await.generation, await.incarnation);
}

Reply Fold::apply(const Sever& sever) {
  end_leases();
  if (auto no = refuse(sever.quorum, sever.party, sever.incarnation)) return *std::move(no);
  const bool known = find(sever.incarnation) != nullptr;
  if (known && record_.state != State::kWaiting) return told(sever.incarnation);
  if (!known) {
    if (const Past* past = past_with(sever.incarnation)) return view(*past, sever.incarnation);
    if (!takes_arrivals()) open_generation(sever.quorum);
    if (record_.state == State::kWaiting && record_.arrivals.empty()) record_.quorum = sever.quorum;
    // A full generation can still be given up; the severer is then simply not on its list.
    const bool room = record_.arrivals.size() < settings_.arrivals_max;
    if (room) arrive(sever.party, sever.incarnation, Duration{0});
  }
  if (record_.state == State::kWaiting) {
    record_.reason = sever.reason;
    end(State::kSevered);
    moved();
  }
  return told(sever.incarnation);
}

Reply Fold::apply(const Grace& grace) {
  if (record_.graced_boot != grace.boot && record_.state == State::kWaiting && !record_.arrivals.empty()) {
    record_.graced_boot = grace.boot;
    for (Arrival& arrival : record_.arrivals) {
      if (arrival.graced) continue;
      arrival.lease_until = std::max(arrival.lease_until, record_.now + arrival.lease_ttl);
      arrival.graced = true;
    }
  }
  end_leases();
  return {};
}

// The invariants of a barrier, on the way out of every step. Empty: all hold.
std::string broken_invariant(const Record& before, const Record& after, const std::vector<Past>& ended,
                             std::span<const Reply> replies) {
  if (after.revision < before.revision) return "the revision fell";
  if (after.generation < before.generation) return "the generation fell";
  if (after.now < before.now) return "time ran backwards";
  if (after.revision == before.revision && (after.generation != before.generation || after.state != before.state ||
                                            after.arrivals.size() != before.arrivals.size())) {
    return "a change that waiters can see has no revision";
  }
  std::vector<std::string_view> incarnations;
  incarnations.reserve(after.arrivals.size());
  for (const Arrival& arrival : after.arrivals) incarnations.push_back(arrival.incarnation.value);
  std::ranges::sort(incarnations);
  if (std::ranges::adjacent_find(incarnations) != incarnations.end()) return "an incarnation arrived twice";
  const std::uint32_t present = distinct_parties(after.arrivals);
  switch (after.state) {
    case State::kWaiting:
      if (present > 0 && present >= after.quorum) return "a complete generation waits";
      if (!after.completed_by.empty()) return "a waiting generation was completed by somebody";
      for (const Arrival& arrival : after.arrivals) {
        if (arrival.lease_until <= after.now) return "a waiting generation counts a party whose lease is over";
      }
      break;
    case State::kOpen:
      if (present < after.quorum || after.quorum == 0) return "a generation opened without its quorum";
      if (!std::ranges::binary_search(incarnations, std::string_view(after.completed_by.value)))
        return "an open generation was completed by nobody in it";
      break;
    case State::kSevered:
      if (!after.completed_by.empty()) return "a severed generation was completed by somebody";
      break;
  }
  if (before.generation == after.generation) {
    if (before.state != State::kWaiting &&
        (after.state != before.state || after.reason != before.reason || after.completed_by != before.completed_by ||
         after.ended_at != before.ended_at || after.quorum != before.quorum)) {
      return "a generation that was over changed";
    }
    if (before.state == State::kWaiting && after.quorum != before.quorum) {
      for (const Arrival& arrival : after.arrivals) {
        if (std::ranges::any_of(before.arrivals,
                                [&](const Arrival& a) { return a.incarnation == arrival.incarnation; })) {
          return "the quorum changed under those who wait";
        }
      }
    }
  } else if (before.generation.value != 0 && before.state != State::kWaiting) {
    for (const Past& past : after.past) {
      if (past.generation == before.generation &&
          (past.state != before.state || past.reason != before.reason || past.completed_by != before.completed_by)) {
        return "a generation that was over changed";
      }
    }
  }
  // Those who were there before keep their order, and were looked at when they came.
  std::vector<const Arrival*> newcomers;
  auto known = before.generation == after.generation ? before.arrivals.begin() : before.arrivals.end();
  for (const Arrival& arrival : after.arrivals) {
    const auto same = std::find_if(known, before.arrivals.end(),
                                   [&](const Arrival& a) { return a.incarnation == arrival.incarnation; });
    if (same == before.arrivals.end()) {
      newcomers.push_back(&arrival);
    } else {
      known = same + 1;
    }
  }
  for (std::size_t i = 0; i < after.past.size(); ++i) {
    const Past& past = after.past[i];
    const Generation newer = i == 0 ? after.generation : after.past[i - 1].generation;
    if (past.generation.next() != newer) return "a generation is missing";
    if (past.state == State::kWaiting) return "a generation was left while it waited";
    for (const Arrival* arrival : newcomers) {
      if (std::ranges::binary_search(past.members, fingerprint(arrival->incarnation.value))) {
        return "a member of one generation counts in the next";
      }
    }
  }
  std::map<Generation, State> over;
  for (const Past& past : ended) {
    if (!over.emplace(past.generation, past.state).second) return "a generation ended twice";
  }
  for (const Reply& reply : replies) {
    if (reply.error) continue;
    if (reply.completed_by_you && reply.state != State::kOpen)
      return "somebody completed a generation that is not open";
    const auto it = over.find(reply.generation);
    if (it != over.end() && it->second != reply.state) return "two are told different things of one generation";
  }
  return {};
}

}  // namespace

std::string_view to_string(State state) {
  switch (state) {
    case State::kWaiting:
      return "waiting";
    case State::kOpen:
      return "open";
    case State::kSevered:
      return "severed";
  }
  return "?";
}

Decision step(Record record, std::span<const Command> commands, Instant now, const Settings& settings) {
  const Record before = record;
  Fold fold(std::move(record), commands.size(), now, settings);
  if (commands.empty() || !std::holds_alternative<Grace>(commands.front())) fold.end_leases();
  Decision decision;
  decision.replies.reserve(commands.size());
  for (const Command& command : commands) {
    decision.replies.push_back(std::visit([&](const auto& c) { return fold.apply(c); }, command));
  }
  const Past present = past_of(fold.record(), fold.present());
  decision.ended = fold.take_ended();
  decision.record = fold.take_record();

  // Whoever came early in the batch hears how its generation ended later in it.
  for (std::size_t i = 0; i < commands.size(); ++i) {
    Reply& reply = decision.replies[i];
    if (reply.error || reply.state != State::kWaiting || reply.generation.value == 0) continue;
    const IncarnationId* who = nullptr;
    if (const auto* enter = std::get_if<Enter>(&commands[i])) who = &enter->incarnation;
    if (const auto* await = std::get_if<Await>(&commands[i])) who = &await->incarnation;
    if (who == nullptr) continue;
    const auto over = std::ranges::find(decision.ended, reply.generation, &Past::generation);
    if (over != decision.ended.end()) {
      reply = view(*over, *who);
    } else if (reply.generation == present.generation) {
      reply = view(present, *who);
    } else {
      reply = view(decision.record, reply.generation, *who);
    }
  }

  const Instant then = std::exchange(decision.record.now, before.now);
  decision.changed = decision.record != before;
  decision.record.now = then;
  if (decision.record.state == State::kWaiting) {
    for (const Arrival& arrival : decision.record.arrivals) {
      decision.wake_at = std::min(decision.wake_at.value_or(arrival.lease_until), arrival.lease_until);
    }
  }
  decision.broken = broken_invariant(before, decision.record, decision.ended, decision.replies);
  return decision;
}

Reply view(const Past& past, const IncarnationId& incarnation) {
  Reply reply;
  reply.generation = past.generation;
  reply.state = past.state;
  reply.present = past.present;
  reply.quorum = past.quorum;
  reply.completed_by_you = past.state == State::kOpen && past.completed_by == incarnation;
  reply.reason = past.reason;
  return reply;
}

Reply view(const Record& record, Generation generation, const IncarnationId& incarnation) {
  if (generation == record.generation && generation.value != 0) {
    return view(past_of(record, distinct_parties(record.arrivals)), incarnation);
  }
  for (const Past& past : record.past) {
    if (past.generation == generation) return view(past, incarnation);
  }
  return refused(ErrorCode::kNotFound, "GENERATION_UNKNOWN",
                 "barrier \"" + record.name + "\" is at generation " + number(record.generation.value) +
                     " and knows nothing of generation " + number(generation.value) +
                     (generation < record.generation ? " any more" : "") + "; enter to take part in the present one",
                 {{"generation", number(generation.value)}, {"present_generation", number(record.generation.value)}});
}

}  // namespace syzygy::barrier
