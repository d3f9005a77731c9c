// session_threads.cpp - what all threads of a session share, and what those do that the caller does not see.
#include "client/cpp/session_impl.h"

#include <algorithm>
#include <utility>

namespace syzygy {
namespace {

constexpr std::size_t kEventsKept = 4'096;  // for a caller that is busy applying; older ones become a gap
constexpr Duration kRenewMin{20};

}  // namespace

// ---- What all threads share ----

void Session::Impl::merge(const v1::Target& target, const google::protobuf::RepeatedPtrField<v1::Event>* events,
                          bool gap) {
  {
    const std::lock_guard lock(mutex_);
    if (target.name().empty() && target.revision() == 0) return;  // an answer without a state
    bool news = false;
    if (events != nullptr) {  // from the watch, which brings each once and in order
      for (const auto& event : *events) {
        if (event.kind() == v1::EVENT_KIND_ROUND_MOVED && event.state_to() == v1::ROUND_STATE_DISSOLVED) {
          dissolved_why_[event.round_id()] = event.text();
        }
        if (event.kind() == v1::EVENT_KIND_DIVERGED && event.round_id() == self_.round.value) {
          diverged_heard_.emplace_back().set_first_difference(event.text());
        }
      }
      events_.insert(events_.end(), events->begin(), events->end());
      if (events_.size() > kEventsKept) {
        events_.erase(events_.begin(), events_.end() - static_cast<std::ptrdiff_t>(kEventsKept));
        gap_ = true;
      }
      gap_ = gap_ || gap;
      news = !events->empty();
    }
    if (is_newer(view_.get(), target)) {
      // A store that went back in time may grant a lower token than before; the fence judges it.
      if (view_ != nullptr && view_->epoch() != target.epoch()) self_.dealt = self_.running;
      view_ = std::make_shared<const v1::Target>(target);
      remember();
      news = true;
    }
    if (!news) return;
    fresh_ = true;
  }
  waker_->wake();
}

void Session::Impl::remember() {
  const RoundId& own = self_.running != Token{} ? self_.running_round : self_.round;
  if (!own.empty()) own_round_ = own.value;
  const v1::Round* round = find_round(*view_, RoundId(own_round_));
  if (round != nullptr && round->has_applier()) {
    applier_of_ = own_round_;
    applier_ = round->applier();
  }
  // Another life of the store replaces what was seen only once it has taken that: till then it has to be told.
  const bool another = remembered_ != nullptr && remembered_->epoch() != view_->epoch();
  if (another && (view_->has_resync() || view_->token() < remembered_->token())) return;
  remembered_ = view_;
}

std::optional<v1::Memory> Session::Impl::memory(bool with_round) const {
  if (remembered_ == nullptr) return std::nullopt;
  v1::Memory out;
  out.set_epoch(remembered_->epoch());
  out.set_revision(remembered_->revision());
  out.set_token(remembered_->token());
  const v1::Round* round = find_round(*remembered_, RoundId(own_round_));
  const bool needed = with_round || memory_refused_ || remembered_ != view_ || view_->has_resync();
  if (round == nullptr || !needed || round->state() == v1::ROUND_STATE_GATHERING) return out;
  v1::RememberedRound& was = *out.mutable_round();
  was.set_id(round->id());
  *was.mutable_plan() = round->plan();
  *was.mutable_quorum() = round->quorum();
  was.set_state(round->state());
  if (applier_of_ != own_round_) return out;
  was.set_applier(applier_.incarnation());
  was.set_applier_party(applier_.party());
  was.set_token(applier_.token());
  was.set_fenced(applier_.fenced() || (self_.fenced && self_.running.value == applier_.token()));
  return out;
}

void Session::Impl::set_lease(BootTime sent_at, const google::protobuf::Duration& left,
                              const google::protobuf::Duration* renew_after) {
  {
    const std::lock_guard lock(mutex_);
    if (sent_at < lease_sent_) return;  // an older answer that came late
    lease_sent_ = sent_at;
    lease_until_ = plus(sent_at, duration_of(left));
    lease_length_ = duration_of(left);
    if (renew_after != nullptr && duration_of(*renew_after).count() > 0)
      renew_after_ = std::max(duration_of(*renew_after), kRenewMin);
  }
  lease_waker_->wake();
}

void Session::Impl::set_contact(std::optional<Error> Impl::* which, const Error* lost) {
  {
    const std::lock_guard lock(mutex_);
    const bool was = (this->*which).has_value();
    if (lost != nullptr) {
      this->*which = *lost;
    } else {
      (this->*which).reset();
    }
    if (was == (lost != nullptr)) return;
  }
  waker_->wake();
}

bool Session::Impl::lease_is_over() const {
  return confirmed_ && !self_.fenced && (token_refused_ || BootClock::now() >= lease_until_);
}

// ---- The threads ----

void Session::Impl::start_threads() {
  if (lease_thread_.joinable()) {
    lease_waker_->wake();
    return;
  }
  lease_thread_ = std::thread([this] { keep_lease(); });
  v1::WatchTargetRequest from;
  from.set_target(options_.target.value);
  {
    const std::lock_guard lock(mutex_);
    from.set_epoch(view_ != nullptr ? view_->epoch() : "");
    from.set_revision(view_ != nullptr ? view_->revision() : 0);
  }
  watch_thread_ = std::thread([this, from] { keep_watch(from); });
}

void Session::Impl::end_threads() {
  {
    const std::lock_guard lock(mutex_);  // progress() starts no thread after this
    ending_.request(1);
  }
  lease_waker_->wake();
  progress_waker_->wake();
  for (std::thread* thread : {&lease_thread_, &watch_thread_, &progress_thread_}) {
    if (thread->joinable()) thread->join();
  }
}

// Sleeps until `until` or until woken; wakes the caller once an unfenced run's lease is over, also if that was before
// this call: the thread may have been busy with a renewal then.
void Session::Impl::await_lease(BootTime until) {
  BootTime lease_end = BootTime::max();
  bool over = false;
  {
    const std::lock_guard lock(mutex_);
    if (confirmed_ && !self_.fenced && lease_end_told_ != lease_until_) {
      over = BootClock::now() >= lease_until_;
      if (over) lease_end_told_ = lease_until_;
      lease_end = lease_until_;
    }
  }
  if (over) {
    waker_->wake();
    return;
  }
  lease_waker_->wait(std::min(until, lease_end), ending_.fd());
}

template <class Response>
void Session::Impl::await_flight(Flight<Response>& flight) {
  bool cancelled = false;
  while (!flight.done()) {
    if (ending_.signal() != 0 && !std::exchange(cancelled, true)) flight.cancel();
    if (cancelled) {
      lease_waker_->wait(BootTime::max());
    } else {
      await_lease(BootTime::max());
    }
  }
}

void Session::Impl::keep_lease() {
  Backoff backoff(client_->options().backoff_first, client_->options().backoff_max);
  BootTime retry_at{};
  std::uint64_t revision_told = 0;  // by the renewal before: the watch must have brought it by now
  bool refreshed = false;
  Token token_renewed;
  while (ending_.signal() == 0) {
    v1::RenewRequest request;
    BootTime at;
    Duration patience{0};
    bool member = false;
    {
      const std::lock_guard lock(mutex_);
      member = member_;
      request.set_target(options_.target.value);
      request.set_incarnation(options_.incarnation.value);
      request.set_token(self_.running.value);
      if (const auto known = memory(false)) *request.mutable_memory() = *known;
      patience =
          std::clamp(lease_length_ / 3, Duration{250}, std::max(client_->options().attempt_timeout, Duration{250}));
      at = self_.running != token_renewed ? BootTime{} : plus(lease_sent_, renew_after_);
    }
    at = std::max(at, retry_at);
    if (!member || BootClock::now() < at) {
      await_lease(member ? at : BootTime::max());
      continue;
    }

    // A try must leave time for another one, at another endpoint, within the lease.
    const auto flight =
        start_flight<v1::RenewResponse>(link(), request, plus(BootClock::now(), patience), lease_waker_);
    await_flight(*flight);
    if (ending_.signal() != 0) return;
    auto landed = land(link(), *flight);
    if (landed) {
      backoff.reset();
      retry_at = {};
      refreshed = false;
      token_renewed = Token(request.token());
      set_lease(flight->sent_at, landed->lease_left(), &landed->renew_after());
      set_contact(&Impl::renew_lost_, nullptr);
      bool behind = false;
      {
        const std::lock_guard lock(mutex_);
        memory_refused_ = false;
        if (request.token() != 0 && self_.running.value == request.token() && !landed->applier()) token_refused_ = true;
        behind = view_ != nullptr && revision_told > view_->revision();
        revision_told = landed->revision();
      }
      if (behind) {  // a watch that hangs: fetch what it should have brought
        v1::GetTargetRequest get;
        get.set_target(options_.target.value);
        auto got =
            client_->get_target(get, Bound{plus(BootClock::now(), client_->options().attempt_timeout), &ending_});
        if (got) merge(got->target(), nullptr, true);
        revision_told = 0;
      }
      {
        const std::lock_guard lock(mutex_);
        if (lease_is_over()) waker_->wake();
      }
      continue;
    }

    const Failed& why = landed.error();
    if (why.error.code == ErrorCode::kUnauthenticated && !std::exchange(refreshed, true) && link().refresh_token())
      continue;
    retry_at = plus(BootClock::now(), backoff.pause(chance(), why.error.retry_after));
    if (why.error.code == ErrorCode::kNotFound || why.error.code == ErrorCode::kFailedPrecondition) {
      {
        const std::lock_guard lock(mutex_);
        unknown_to_daemon_ = member_;
        memory_refused_ = true;
      }
      waker_->wake();
      set_contact(&Impl::renew_lost_, nullptr);
    } else {
      set_contact(&Impl::renew_lost_, &why.error);
    }
  }
}

void Session::Impl::keep_watch(v1::WatchTargetRequest from) {
  Backoff backoff(client_->options().backoff_first, client_->options().backoff_max);
  Waker pause;
  while (ending_.signal() == 0) {
    const auto on_change = [&](const v1::WatchTargetResponse& news) {
      backoff.reset();
      from.set_epoch(news.target().epoch());
      from.set_revision(news.target().revision());
      merge(news.target(), &news.events(), news.gap());
      return true;
    };
    const auto on_contact = [&](const Error* lost) { set_contact(&Impl::watch_lost_, lost); };
    auto ended = client_->watch_target(from, on_change, Bound{BootTime::max(), &ending_}, on_contact);
    if (ending_.signal() != 0) return;
    // A definite refusal (the target is gone, the token is no longer good) may be mended while we wait.
    if (!ended) set_contact(&Impl::watch_lost_, &ended.error());
    pause.wait(plus(BootClock::now(), backoff.pause(chance())), ending_.fd());
  }
}

void Session::Impl::send_progress() {
  constexpr Duration kApart{100};  // a run of many quick steps must not flood the daemon
  BootTime next_at{};
  while (ending_.signal() == 0) {
    v1::ProgressRequest request;
    {
      const std::lock_guard lock(mutex_);
      if (progress_ && self_.running != Token{} && BootClock::now() >= next_at) {
        request.set_target(options_.target.value);
        request.set_round_id(self_.running_round.value);
        request.set_incarnation(options_.incarnation.value);
        request.set_token(self_.running.value);
        *request.mutable_progress() = *std::exchange(progress_, std::nullopt);
      }
    }
    if (!request.has_progress()) {
      bool waiting = false;
      {
        const std::lock_guard lock(mutex_);
        waiting = progress_.has_value() && self_.running != Token{};
      }
      progress_waker_->wait(waiting ? next_at : BootTime::max(), ending_.fd());
      continue;
    }
    // One try: the next word will be newer.
    const auto flight = start_flight<v1::ProgressResponse>(
        link(), request, plus(BootClock::now(), client_->options().attempt_timeout), progress_waker_);
    bool cancelled = false;
    while (!flight->done()) {
      if (ending_.signal() != 0 && !std::exchange(cancelled, true)) flight->cancel();
      progress_waker_->wait(BootTime::max(), cancelled ? -1 : ending_.fd());
    }
    next_at = plus(BootClock::now(), kApart);
    if (!flight->status().ok() || !flight->response.severed()) continue;
    {
      const std::lock_guard lock(mutex_);
      severed_ = self_.running.value == request.token();
    }
    waker_->wake();
  }
}

}  // namespace syzygy
