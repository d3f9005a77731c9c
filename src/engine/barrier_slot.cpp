#include "engine/barrier_slot.h"

#include <algorithm>

namespace syzygy::engine {

void BarrierMachine::for_each_milestone(const Decision& decision,
                                        const std::function<void(const std::string&)>& visit) {
  for (const barrier::Past& over : decision.ended) {
    visit(over.state == barrier::State::kOpen ? "BARRIER_OPEN" : "BARRIER_SEVERED");
  }
}

void BarrierSlot::unload() {
  record_ = nullptr;
  loaded_ = false;
}

void BarrierSlot::adopt(barrier::Record record) {
  record_ = std::make_unique<const barrier::Record>(std::move(record));
  loaded_ = true;
}

Result<void> BarrierSlot::take(std::optional<Loaded> loaded, bool) {
  barrier::Record record;
  record.name = name_;
  version_ = std::nullopt;
  bytes_ = 0;
  Result<void> outcome{};
  if (loaded) {
    auto decoded = barrier::decode(loaded->bytes);
    if (decoded) {
      record = *std::move(decoded);
    } else {
      freeze(decoded.error().message);
      outcome = std::unexpected(std::move(decoded.error()));
    }
    version_ = std::move(loaded->version);
    bytes_ = loaded->bytes.size();
  }
  adopt(std::move(record));
  if (!frozen_) learn_wake(*record_);

  // Somebody else wrote it: those whose generation ended meanwhile are told.
  std::vector<std::pair<WaitId, barrier::Reply>> over;
  for (const auto& [id, wait] : waits_) {
    if (record_->state == barrier::State::kWaiting && wait.generation == record_->generation) continue;
    barrier::Reply reply = barrier::view(*record_, wait.generation, wait.incarnation);
    if (reply.error || reply.state != barrier::State::kWaiting) over.emplace_back(id, std::move(reply));
  }
  for (auto& [id, reply] : over) answer(id, BarrierAnswer{std::move(reply)});
  return outcome;
}

void BarrierSlot::release(barrier::Decision decision, std::vector<BarrierMachine::Asker> askers,
                          const std::vector<barrier::Command>& commands) {
  Counters::add(lane_.counters().commands, askers.size());
  std::vector<std::pair<WaitId, const barrier::Past*>> over;
  if (!decision.ended.empty()) {
    over.reserve(waits_.size());
    for (const auto& [id, wait] : waits_) {
      const auto ended = std::ranges::find(decision.ended, wait.generation, &barrier::Past::generation);
      if (ended != decision.ended.end()) over.emplace_back(id, &*ended);
    }
  }
  for (std::size_t i = 0; i < askers.size(); ++i) {
    barrier::Reply& reply = decision.replies[i];
    const bool waits = askers[i].id != 0 && !reply.error && reply.state == barrier::State::kWaiting;
    if (waits) {
      begin_wait(std::move(askers[i]), commands[i], reply);
    } else if (askers[i].done) {
      askers[i].place = Place();
      askers[i].done(BarrierAnswer{std::move(reply)});
    }
  }
  for (const auto& [id, past] : over) answer(id, BarrierAnswer{barrier::view(*past, waits_.at(id).incarnation)});
}

void BarrierSlot::begin_wait(BarrierMachine::Asker asker, const barrier::Command& command,
                             const barrier::Reply& reply) {
  const IncarnationId* who = nullptr;
  if (const auto* enter = std::get_if<barrier::Enter>(&command)) who = &enter->incarnation;
  if (const auto* await = std::get_if<barrier::Await>(&command)) who = &await->incarnation;
  // Whoever came now stands last.
  const auto arrival = std::find_if(record_->arrivals.rbegin(), record_->arrivals.rend(),
                                    [&](const barrier::Arrival& a) { return who != nullptr && a.incarnation == *who; });
  if (arrival == record_->arrivals.rend()) {
    asker.done(BarrierAnswer{reply});
    return;
  }
  // It must be able to ask again before its lease is over.
  const Steady asks_again = lane_.steady_now() + arrival->lease_ttl * 2 / 3;
  const WaitId id = asker.id;
  const Steady deadline = std::min(asker.deadline, asks_again);
  waits_.emplace(id, Wait{reply.generation, *who, std::move(asker.done), std::move(asker.place)});
  lane_.wait_begins(id, *this, deadline);
}

void BarrierSlot::answer(WaitId id, Result<BarrierAnswer> with) {
  auto node = waits_.extract(id);
  if (node.empty()) return;
  lane_.wait_over(id);
  node.mapped().place = Place();  // whoever asks again when he hears this finds it free
  node.mapped().done(std::move(with));
}

void BarrierSlot::expire(WaitId id) {
  const auto wait = waits_.find(id);
  if (wait == waits_.end()) return;
  if (!loaded_) {
    answer(id, failure(ErrorCode::kUnavailable, "STORE_UNAVAILABLE",
                       "the store could not be reached while you waited at barrier " + printable(name_, 200) +
                           "; ask again"));
    return;
  }
  answer(id, BarrierAnswer{barrier::view(*record_, wait->second.generation, wait->second.incarnation)});
}

void BarrierSlot::cancel(WaitId id) {
  answer(id, failure(ErrorCode::kCancelled, "WAIT_CANCELLED", "the caller gave up waiting"));
}

void BarrierSlot::end_waits(const Error& error) {
  while (!waits_.empty()) answer(waits_.begin()->first, std::unexpected(error));
}

}  // namespace syzygy::engine
