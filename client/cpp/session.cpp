#include "client/cpp/session.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>
#include "client/cpp/session_impl.h"

namespace syzygy {
namespace {

using namespace happening;  // NOLINT(google-build-using-namespace): its names are this file's subject

constexpr Duration kRereadApart{1'000};  // a hundred visits at once are one reason to read again

google::protobuf::Duration proto_of(Duration d) {
  google::protobuf::Duration out;
  out.set_seconds(d.count() / 1'000);
  out.set_nanos(static_cast<std::int32_t>(d.count() % 1'000 * 1'000'000));
  return out;
}

bool is_gathering(const v1::Target* view, const RoundId& round) {
  const v1::Round* own = view != nullptr ? find_round(*view, round) : nullptr;
  return own != nullptr && own->state() == v1::ROUND_STATE_GATHERING;
}

}  // namespace

bool is_last(const Happening& h) {
  return std::holds_alternative<Finished>(h) || std::holds_alternative<Refused>(h) ||
         std::holds_alternative<Unreachable>(h) || std::holds_alternative<PendingFailed>(h) ||
         std::holds_alternative<DeadlineReached>(h) || std::holds_alternative<Stopped>(h);
}

Session::Impl::Impl(std::shared_ptr<Client> client, SessionOptions options, const StopSource* stop)
    : client_(std::move(client)),
      options_(std::move(options)),
      stop_(stop),
      began_(BootClock::now()),
      deadline_(plus(began_, options_.timeout)),
      join_backoff_(client_->options().backoff_first, client_->options().backoff_max),
      rejoin_backoff_(client_->options().backoff_first, client_->options().backoff_max) {
  if (options_.incarnation.empty()) options_.incarnation = random_incarnation();
  self_.incarnation = options_.incarnation;
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
  epoll_event readable{};
  readable.events = EPOLLIN;
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, waker_->fd(), &readable);
  if (stop_ != nullptr) ::epoll_ctl(epoll_, EPOLL_CTL_ADD, stop_->fd(), &readable);
}

Session::Impl::~Impl() {
  close();
  ::close(epoll_);
}

// ---- The caller's thread ----

std::optional<Happening> Session::Impl::next(BootTime until) {
  while (true) {
    if (last_) return last_;
    waker_->clear();
    if (auto happening = turn()) {
      if (is_last(*happening)) last_ = happening;
      return happening;
    }
    const BootTime wake_at = std::min(until, due());
    const bool watch_stop = stop_ != nullptr && !stop_told_;
    if (!waker_->wait(wake_at, watch_stop ? stop_->fd() : -1) && BootClock::now() >= until) return std::nullopt;
  }
}

// One turn: tells what there is to tell, does what there is to do. Nullopt: wait until due(), or to be woken.
std::optional<Happening> Session::Impl::turn() {
  while (true) {
    if (!queue_.empty()) {
      auto happening = std::move(queue_.front());
      queue_.pop_front();
      return happening;
    }
    if (stop_wanted()) {
      const bool first = !std::exchange(stop_told_, true);
      if (first) ::epoll_ctl(epoll_, EPOLL_CTL_DEL, stop_->fd(), nullptr);  // it stays readable, and is told now
      if (!busy()) return stop_waiting(stop_->signal());
      if (first) return StopWanted{stop_->signal()};
    }
    if (auto news = tell_news()) return news;

    const Phase before = phase_;
    std::optional<Happening> happening;
    switch (phase_) {
      case Phase::kRead:
        happening = read_and_prepare();
        break;
      case Phase::kJoin:
        happening = go_on_joining();
        break;
      case Phase::kMember:
      case Phase::kLeft:
        happening = decide();
        break;
    }
    if (happening) return happening;
    if (phase_ == before && queue_.empty()) return std::nullopt;
  }
}

// What the threads have noticed.
std::optional<Happening> Session::Impl::tell_news() {
  const std::lock_guard lock(mutex_);
  const Error* lost = renew_lost_ ? &*renew_lost_ : watch_lost_ ? &*watch_lost_ : nullptr;
  if (lost != nullptr && !contact_told_lost_) {
    contact_told_lost_ = true;
    return ContactLost{*lost, true};
  }
  if (lost == nullptr && contact_told_lost_ && join_flight_ == nullptr && phase_ != Phase::kJoin) {
    contact_told_lost_ = false;
    return ContactRegained{};
  }
  if (self_.running != Token{} && lease_over_told_ != self_.running && lease_is_over()) {
    lease_over_told_ = self_.running;
    return LeaseOver{self_.running};
  }
  if (self_.running != Token{} && severed_ && !severed_told_) {
    severed_told_ = true;
    const v1::Round* round = view_ ? find_round(*view_, self_.running_round) : nullptr;
    return Severed{round != nullptr ? round->sever_reason() : std::string()};
  }
  if (fresh_) {
    fresh_ = false;
    return Changed{view_, self_.round, std::exchange(events_, {}), std::exchange(gap_, false)};
  }
  return std::nullopt;
}

std::optional<Happening> Session::Impl::read_and_prepare() {
  const BootTime now = BootClock::now();
  if (now >= deadline_) return deadline_reached(view());
  if (now < join_at_) return std::nullopt;
  auto read = options_.read_pending(cause_);
  if (!read) {
    if (ever_joined_) say_goodbye("what is pending cannot be read");
    return PendingFailed{std::move(read.error())};
  }
  pending_ = *std::move(read);

  join_ = v1::JoinRequest();
  *join_.mutable_request() = next_request();
  join_.set_target(options_.target.value);
  join_.set_party(options_.party.value);
  if (pending_.plan) *join_.mutable_plan() = *pending_.plan;
  if (options_.quorum) *join_.mutable_quorum() = *options_.quorum;
  // The daemon's count must not end before ours: what it ends is EXPIRED, and joined anew.
  *join_.mutable_timeout() = proto_of(std::max(deadline_ - BootClock::now(), Duration{1}));
  if (options_.lease.count() > 0) *join_.mutable_lease() = proto_of(options_.lease);
  join_.set_voter_only(options_.voter_only);
  join_.set_fail_on_divergence(options_.fail_on_divergence);
  join_.set_again(options_.again);
  join_.set_checked(pending_.checked);
  if (pending_.binding) *join_.mutable_binding() = *pending_.binding;
  if (pending_.snapshot) *join_.mutable_snapshot() = *pending_.snapshot;
  join_.set_host(options_.host);
  join_.set_client_version(options_.client_version);
  join_.set_release(options_.release);
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = memory(true)) *join_.mutable_memory() = *known;
  }

  phase_ = Phase::kJoin;
  join_began_ = BootClock::now();
  join_at_ = join_began_;
  joins_in_round_ = 0;
  join_patience_ = 1;
  join_token_refreshed_ = false;
  join_backoff_.reset();
  return std::nullopt;
}

BootTime Session::Impl::join_until() const {
  // A visit is answered at once, whether or not a daemon hears of it.
  if (!pending_.plan) return std::min(deadline_, plus(join_began_, options_.leave_bound));
  if (ever_joined_) return deadline_;
  return std::min(deadline_, plus(join_began_, client_->options().connect_timeout));
}

std::optional<Happening> Session::Impl::go_on_joining() {
  if (!join_flight_) {
    const BootTime now = BootClock::now();
    const bool visit = !pending_.plan;
    const BootTime give_up = join_until();
    if (now >= give_up) {
      Error why = link().unreachable(now - join_began_);
      if (visit) return finish(Ending::kNothingPending, view(), RoundId(), std::move(why.message));
      if (now >= deadline_) return deadline_reached(view(), std::move(why));
      return Unreachable{std::move(why)};
    }
    if (now < join_at_) return std::nullopt;
    const BootTime by = std::min(give_up, plus(now, client_->options().attempt_timeout * join_patience_));
    join_flight_ = start_flight<v1::JoinResponse>(link(), join_, by, waker_);
    return std::nullopt;
  }
  if (!join_flight_->done()) return std::nullopt;

  const auto flight = std::exchange(join_flight_, nullptr);
  auto landed = land(link(), *flight);
  if (landed) return joined(*std::move(landed), flight->sent_at);
  Failed why = std::move(landed.error());
  if (why.error.code == ErrorCode::kUnauthenticated && !std::exchange(join_token_refreshed_, true) &&
      link().refresh_token()) {
    return go_on_joining();
  }
  if (why.passing && !ever_joined_) {
    if (auto hopeless = link().hopeless(flight->line(), why, join_until(), stop_)) {
      why.error = *std::move(hopeless);
      why.passing = false;
      if (pending_.plan) return Unreachable{std::move(why.error)};
    }
  }
  return join_failed(std::move(why));
}

std::optional<Happening> Session::Impl::join_failed(Failed why) {
  if (!why.passing) {
    // Nothing pending stays true when the daemon is in trouble; that it disagrees (about the binding, say) matters.
    const bool trouble = why.error.code == ErrorCode::kUnavailable || why.error.code == ErrorCode::kResourceExhausted ||
                         why.error.code == ErrorCode::kInternal;
    if (!pending_.plan && trouble) {
      return finish(Ending::kNothingPending, view(), RoundId(), std::move(why.error.message));
    }
    return Refused{std::move(why.error)};
  }
  join_patience_ = why.error.reason == "NO_ANSWER" ? std::min(join_patience_ + 1, 6) : 1;
  Duration pause{0};
  if (++joins_in_round_ >= client_->options().endpoints.size()) {
    joins_in_round_ = 0;
    pause = join_backoff_.pause(chance(), why.error.retry_after);
  }
  join_at_ = plus(BootClock::now(), pause);
  if (pause > Duration{0} && !contact_told_lost_ && pending_.plan) {  // no endpoint answered
    contact_told_lost_ = true;
    return ContactLost{std::move(why.error), false};
  }
  if (pause == Duration{0}) return go_on_joining();
  return std::nullopt;
}

std::optional<Happening> Session::Impl::joined(const v1::JoinResponse& response, BootTime sent_at) {
  const RoundId round(response.round_id());
  const bool waits = response.verdict() == v1::VERDICT_WAIT || response.verdict() == v1::VERDICT_SETTLE;
  {
    const std::lock_guard lock(mutex_);
    self_.round = round;
    self_.settling = response.verdict() == v1::VERDICT_SETTLE;
    member_ = waits;
    unknown_to_daemon_ = false;
    diverged_heard_.clear();
    renew_lost_.reset();
  }
  if (waits) set_lease(sent_at, response.lease_left(), &response.renew_after());
  merge(response.target(), nullptr, false);
  ever_joined_ = true;
  joined_at_ = BootClock::now();

  const View present = view();
  switch (response.verdict()) {
    case v1::VERDICT_WAIT:
    case v1::VERDICT_SETTLE:
      if (!response.notice().empty()) queue_.emplace_back(Notice{response.notice()});
      phase_ = Phase::kMember;
      // Not the present view: what the watch has brought since is news, also where nobody called next() in between.
      decided_ = std::make_shared<const v1::Target>(response.target());
      diverged_told_.clear();
      reread_at_ = plus(joined_at_, options_.reread_every);
      start_threads();
      return std::nullopt;
    case v1::VERDICT_NOTHING_PENDING:
      return finish(Ending::kNothingPending, present, round, response.notice());
    case v1::VERDICT_APPLIED:
      return finish(Ending::kAlreadyApplied, present, round, response.notice());
    case v1::VERDICT_FAILED:
      return finish(Ending::kFailed, present, round, response.notice());
    case v1::VERDICT_INDETERMINATE:
      return finish(Ending::kIndeterminate, present, round, response.notice());
    default:
      return Refused{Error{ErrorCode::kInternal,
                           "VERDICT_UNKNOWN",
                           "The daemon answered the join with verdict " + std::to_string(response.verdict()) +
                               ", which this client does not know. Upgrade this client.",
                           {},
                           std::nullopt}};
  }
}

std::optional<Happening> Session::Impl::decide() {
  View view;
  Self self;
  bool unknown = false;
  std::vector<v1::Divergence> heard;
  {
    const std::lock_guard lock(mutex_);
    view = view_;
    self = self_;
    unknown = std::exchange(unknown_to_daemon_, false);
    heard = std::exchange(diverged_heard_, {});
  }
  const bool busy = self.running != Token{};
  if (phase_ == Phase::kMember && !busy && unknown) {
    join_again();
    return std::nullopt;
  }
  if (view != nullptr) {
    if (!busy) {
      auto others = divergences(*view, self.round);
      if (others != diverged_told_) {
        diverged_told_ = others;
        if (!others.empty()) {
          const v1::Round* own = find_round(*view, self.round);
          return Diverged{{own->diverged().begin(), own->diverged().end()}, view};
        }
      }
      // Whoever came with another plan has left before a view showed it.
      if (!heard.empty() && others.empty()) return Diverged{std::move(heard), view};
    }
    auto happening = std::visit([&](const auto& move) { return follow(view, move); }, next_move(*view, self));
    if (happening) return happening;
  }
  if ((phase_ == Phase::kMember || phase_ == Phase::kLeft) && !busy && BootClock::now() >= deadline_) {
    return deadline_reached(view);
  }
  return std::nullopt;
}

std::optional<Happening> Session::Impl::follow(const View& view, const moves::Wait&) {
  const View before = std::exchange(decided_, view);
  if (phase_ != Phase::kMember) return std::nullopt;
  RoundId round;
  bool idle = false;
  {
    const std::lock_guard lock(mutex_);
    round = self_.round;
    idle = self_.running == Token{} && !self_.settling;
  }
  if (!idle || !is_gathering(view.get(), round) || BootClock::now() >= deadline_) return std::nullopt;
  if (before != view && hints_at_change(before.get(), *view, round)) {
    reread_at_ = std::min(reread_at_, plus(reread_last_, kRereadApart));
  }
  if (BootClock::now() < reread_at_) return std::nullopt;
  return reread();
}

std::optional<Happening> Session::Impl::reread() {
  auto read = options_.read_pending(ReadCause::kRegular);
  reread_last_ = BootClock::now();
  reread_at_ = plus(reread_last_, options_.reread_every);
  if (!read) return RereadFailed{std::move(read.error())};
  if (same_plan(read->plan, pending_.plan)) return std::nullopt;
  // Without the goodbye the daemon would count this process in two rounds: it stays, and tries again soon.
  if (!say_goodbye("what is pending here has changed")) {
    reread_at_ = plus(BootClock::now(), std::min(options_.reread_every, options_.leave_bound));
    return std::nullopt;
  }
  join_again();
  return std::nullopt;
}

std::optional<Happening> Session::Impl::follow(const View& view, const moves::Claim& claim) {
  if (phase_ != Phase::kMember) return std::nullopt;
  const v1::Round* round = find_round(*view, claim.round);
  {
    const std::lock_guard lock(mutex_);
    self_.dealt = claim.token;
    self_.running = claim.token;
    self_.running_round = claim.round;
    self_.fenced = false;
    confirmed_ = false;
    token_refused_ = false;
    severed_ = false;
  }
  severed_told_ = false;
  lease_waker_->wake();  // the next renewal names the token
  return Elected{claim.token, claim.settle, *round, view};
}

std::optional<Happening> Session::Impl::follow(const View& view, const moves::Finish& done) {
  switch (done.state) {
    case v1::ROUND_STATE_SUCCEEDED:
      return finish(Ending::kApplied, view, done.round);
    case v1::ROUND_STATE_FAILED:
      return finish(Ending::kFailed, view, done.round);
    case v1::ROUND_STATE_DISSOLVED:
      return finish(Ending::kDissolved, view, done.round);
    default:
      return finish(Ending::kIndeterminate, view, done.round);
  }
}

std::optional<Happening> Session::Impl::follow(const View&, const moves::Rejoin&) {
  if (phase_ == Phase::kMember) join_again();
  return std::nullopt;
}

std::optional<Happening> Session::Impl::follow(const View&, const moves::Stop& stop) {
  Token running;
  {
    const std::lock_guard lock(mutex_);
    running = self_.running;
  }
  if (stop.why == moves::Stop::Why::kSevered) {
    if (std::exchange(severed_told_, true)) return std::nullopt;
    return Severed{stop.reason};
  }
  if (token_lost_told_ == running) return std::nullopt;
  token_lost_told_ = running;
  return TokenLost{running};
}

void Session::Impl::join_again() {
  {
    const std::lock_guard lock(mutex_);
    member_ = false;
    self_.round = RoundId();
    self_.settling = false;
  }
  phase_ = Phase::kRead;
  cause_ = ReadCause::kAgain;
  // A daemon that ends every round at once must not be joined in a tight loop.
  const BootTime now = BootClock::now();
  constexpr Duration kCalm{5'000};
  if (now - joined_at_ >= kCalm) rejoin_backoff_.reset();
  join_at_ = plus(now, now - joined_at_ >= kCalm ? Duration{0} : rejoin_backoff_.pause(chance()));
}

BootTime Session::Impl::due() const {
  switch (phase_) {
    case Phase::kRead:
      return std::min(join_at_, deadline_);
    case Phase::kJoin:
      return join_flight_ ? BootTime::max() : join_at_;
    case Phase::kMember:
    case Phase::kLeft: {
      const std::lock_guard lock(mutex_);
      if (self_.running != Token{}) return lease_until_ > BootClock::now() ? lease_until_ : BootTime::max();
      const bool rereads = phase_ == Phase::kMember && is_gathering(view_.get(), self_.round);
      return rereads ? std::min(deadline_, reread_at_) : deadline_;
    }
  }
  return deadline_;
}

v1::RequestId Session::Impl::next_request() {
  v1::RequestId request;
  request.set_incarnation(options_.incarnation.value);
  request.set_sequence(++sequence_);
  return request;
}

bool Session::Impl::say_goodbye(const std::string& reason) {
  v1::LeaveRequest request;
  *request.mutable_request() = next_request();
  request.set_target(options_.target.value);
  request.set_reason(reason);
  auto left = client_->leave(request, Bound{plus(BootClock::now(), options_.leave_bound), nullptr});
  const std::lock_guard lock(mutex_);
  // A daemon that does not know this process, or refuses, has heard it all the same.
  const bool told = left.has_value() || !may_heal(left.error());
  if (told) member_ = false;
  return told;
}

// One goodbye was tried, and that is enough: close() says no other.
void Session::Impl::end_membership() {
  const std::lock_guard lock(mutex_);
  member_ = false;
}

Happening Session::Impl::stop_waiting(int signal) {
  // An outcome that is known already is the better answer.
  if (const View present = view(); present != nullptr && (phase_ == Phase::kMember || phase_ == Phase::kLeft)) {
    Self self;
    {
      const std::lock_guard lock(mutex_);
      self = self_;
    }
    const Move move = next_move(*present, self);
    if (const auto* done = std::get_if<moves::Finish>(&move)) return *follow(present, *done);
  }
  const bool asked = join_flight_ != nullptr || phase_ == Phase::kMember || (phase_ == Phase::kJoin && sequence_ > 0);
  if (join_flight_) {
    join_flight_->cancel();
    while (!join_flight_->done()) waker_->wait(BootTime::max());
    join_flight_.reset();
  }
  // Where no daemon ever answered there is nobody to tell.
  bool told = left_told_ || !asked;
  if (asked && (ever_joined_ || link().ever_answered()))
    told = say_goodbye("stopped by signal " + std::to_string(signal));
  end_membership();
  return Stopped{signal, told};
}

// `contact`: why it could not join.
Happening Session::Impl::deadline_reached(const View& present, std::optional<Error> contact) {
  DeadlineReached out;
  out.view = present;
  {
    const std::lock_guard lock(mutex_);
    out.round = self_.round;
    if (contact) {
      out.contact = std::move(contact);
    } else if (renew_lost_) {
      out.contact = renew_lost_;
    } else if (watch_lost_) {
      out.contact = watch_lost_;
    }
  }
  if (!ever_joined_) {
    out.waits_for = WaitsFor::kDaemon;
  } else if (phase_ == Phase::kRead || phase_ == Phase::kJoin) {
    out.waits_for = waits_for_joining(present.get(), !out.contact);
  } else {
    out.waits_for = waits_for(present.get(), out.round);
  }
  if (phase_ == Phase::kMember) say_goodbye("its time to wait is over");
  end_membership();
  return out;
}

Happening Session::Impl::finish(Ending ending, const View& present, const RoundId& id, std::string warning) {
  Finished out;
  out.ending = ending;
  out.view = present;
  out.warning = std::move(warning);
  const v1::Round* round = present != nullptr && !id.empty() ? find_round(*present, id) : nullptr;
  const std::lock_guard lock(mutex_);
  // Told of another round's fate, it still stands in its own: close() says goodbye there.
  member_ = member_ && is_gathering(present.get(), self_.round);
  if (round != nullptr && ending != Ending::kNothingPending) {
    out.round = *round;
    out.outcome = round->outcome();
    // A round that never applied anything has no outcome; why it was dissolved, and by whom, stands in its event.
    if (const auto why = dissolved_why_.find(round->id());
        out.outcome.message().empty() && why != dissolved_why_.end()) {
      out.outcome.set_message(why->second);
    }
    out.by_this_process = self_.dealt != Token{} && out.outcome.token() == self_.dealt.value;
    if (ending == Ending::kFailed && round->outcome().revision() != 0) to_acknowledge_ = round->outcome().revision();
  }
  return out;
}

// ---- The face ----

Session::Session(std::shared_ptr<Client> client, SessionOptions options, const StopSource* stop)
    : impl_(std::make_unique<Impl>(std::move(client), std::move(options), stop)) {}
Session::~Session() = default;

std::optional<Happening> Session::next(BootTime until) { return impl_->next(until); }
int Session::fd() const { return impl_->fd(); }
Result<v1::ConfirmResponse> Session::confirm(const Claimed& claimed, BootTime until) {
  return impl_->confirm(claimed, until);
}
void Session::progress(v1::StepProgress step) { impl_->progress(std::move(step)); }
Session::MustStop Session::must_stop() const { return impl_->must_stop(); }
Result<v1::ReportResponse> Session::report(const RunResult& result, BootTime until) {
  return impl_->report(result, until);
}
Result<v1::LeaveResponse> Session::leave(std::string reason, bool session_ended, std::optional<v1::Finding> finding) {
  return impl_->leave(std::move(reason), session_ended, std::move(finding));
}
void Session::close() { impl_->close(); }
std::shared_ptr<const v1::Target> Session::view() const { return impl_->view(); }
const IncarnationId& Session::incarnation() const { return impl_->incarnation(); }
BootTime Session::deadline() const { return impl_->deadline(); }
BootTime Session::lease_until() const { return impl_->lease_until(); }

}  // namespace syzygy
