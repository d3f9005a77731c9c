#include "client/cpp/session.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "client/cpp/backoff.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/waker.h"

namespace syzygy {

namespace {

using namespace happening;  // NOLINT(google-build-using-namespace): its names are this file's subject

constexpr std::size_t kEventsKept = 4'096;  // for a caller that is busy applying; older ones become a gap
constexpr Duration kReportAfterStop{10'000};
constexpr Duration kRenewDefault{5'000};  // until the daemon has said how often
constexpr Duration kRenewMin{20};
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

Error not_delivered(const Error& why) {
  Error error = why;
  error.reason = "REPORT_NOT_DELIVERED";
  error.message = "How the run ended could not be told to the daemon: " + why.message;
  return error;
}

}  // namespace

bool is_last(const Happening& h) {
  return std::holds_alternative<Finished>(h) || std::holds_alternative<Refused>(h) ||
         std::holds_alternative<Unreachable>(h) || std::holds_alternative<PendingFailed>(h) ||
         std::holds_alternative<DeadlineReached>(h) || std::holds_alternative<Stopped>(h);
}

class Session::Impl {
 public:
  Impl(std::shared_ptr<Client> client, SessionOptions options, const StopSource* stop);
  ~Impl();

  std::optional<Happening> next(BootTime until);
  Result<v1::ConfirmResponse> confirm(const Claimed& claimed, BootTime until);
  void progress(v1::StepProgress step);
  MustStop must_stop() const;
  Result<v1::ReportResponse> report(const RunResult& result, BootTime until);
  Result<v1::LeaveResponse> leave(std::string reason, bool session_ended, std::optional<v1::Finding> finding);
  void close();

  int fd() const { return epoll_; }
  std::shared_ptr<const v1::Target> view() const {
    const std::lock_guard lock(mutex_);
    return view_;
  }
  const IncarnationId& incarnation() const { return options_.incarnation; }
  BootTime deadline() const { return deadline_; }
  BootTime lease_until() const {
    const std::lock_guard lock(mutex_);
    return lease_until_;
  }

 private:
  // Where the caller's thread is.
  enum class Phase {
    kRead,    // what is pending has to be read, and then joined with
    kJoin,    // a join is on its way
    kMember,  // joined: the view decides
    kLeft,    // left by the caller: only an outcome is still of interest
  };

  // -- the caller's thread
  std::optional<Happening> turn();
  std::optional<Happening> tell_news();
  std::optional<Happening> read_and_prepare();
  BootTime join_until() const;
  std::optional<Happening> go_on_joining();
  std::optional<Happening> joined(const v1::JoinResponse& response, BootTime sent_at);
  std::optional<Happening> join_failed(Failed why);
  std::optional<Happening> decide();
  std::optional<Happening> follow(const View& view, const moves::Wait&);
  std::optional<Happening> follow(const View& view, const moves::Claim& claim);
  std::optional<Happening> follow(const View& view, const moves::Finish& finish);
  std::optional<Happening> follow(const View& view, const moves::Rejoin& rejoin);
  std::optional<Happening> follow(const View& view, const moves::Stop& stop);
  std::optional<Happening> reread();
  Happening stop_waiting(int signal);
  Happening deadline_reached(const View& view, std::optional<Error> contact = std::nullopt);
  Happening finish(Ending ending, const View& view, const RoundId& round, std::string warning = {});
  bool say_goodbye(const std::string& reason);  // true: the daemon knows
  void end_membership();
  void join_again();
  v1::RequestId next_request();
  BootTime due() const;  // when the caller's thread has something to do by itself
  bool busy() const {    // it claims or runs: waiting is over for now
    const std::lock_guard lock(mutex_);
    return self_.running != Token{};
  }
  bool stop_wanted() const { return stop_ != nullptr && stop_->signal() != 0; }

  // -- any thread
  void merge(const v1::Target& target, const google::protobuf::RepeatedPtrField<v1::Event>* events, bool gap);
  void set_lease(BootTime sent_at, const google::protobuf::Duration& left,
                 const google::protobuf::Duration* renew_after);
  void set_contact(std::optional<Error> Impl::* which, const Error* lost);
  bool lease_is_over() const;  // REQUIRES: mutex_ held
  // What this process saw of the target last. REQUIRES: mutex_ held.
  std::optional<v1::Memory> memory(bool with_round) const;
  void remember();  // view_ as it is now. REQUIRES: mutex_ held

  // -- threads
  void start_threads();
  void end_threads();
  void keep_lease();
  void keep_watch(v1::WatchTargetRequest from);
  void send_progress();
  void await_lease(BootTime until);
  template <class Response>
  void await_flight(Flight<Response>& flight);

  Link& link() { return client_->impl_->link; }

  const std::shared_ptr<Client> client_;
  SessionOptions options_;
  const StopSource* const stop_;
  const std::shared_ptr<Waker> waker_ = std::make_shared<Waker>();  // of the caller's thread
  int epoll_ = -1;
  const BootTime began_;
  const BootTime deadline_;

  // -- of the caller's thread alone
  Phase phase_ = Phase::kRead;
  ReadCause cause_ = ReadCause::kFirst;
  std::optional<Happening> last_;
  std::deque<Happening> queue_;
  std::uint64_t sequence_ = 0;
  bool ever_joined_ = false;
  bool stop_told_ = false;
  bool closed_ = false;
  bool left_told_ = false;    // leave() was heard
  bool report_lost_ = false;  // a run ended and the daemon does not know: nothing must be said in its place
  std::optional<std::uint64_t> to_acknowledge_;
  Pending pending_;
  v1::JoinRequest join_;
  std::shared_ptr<Flight<v1::JoinResponse>> join_flight_;
  BootTime join_began_{};  // connect timeout counts from here
  BootTime join_at_{};     // not tried again before
  std::size_t joins_in_round_ = 0;
  int join_patience_ = 1;
  bool join_token_refreshed_ = false;
  Backoff join_backoff_;
  Backoff rejoin_backoff_;
  BootTime joined_at_{};
  BootTime reread_at_ = BootTime::max();
  BootTime reread_last_{};
  View decided_;  // the view that decide() saw last, or the one that the join was answered with
  std::vector<std::string> diverged_told_;
  bool severed_told_ = false;
  Token token_lost_told_;
  Token lease_over_told_;
  bool contact_told_lost_ = false;

  // -- shared
  mutable std::mutex mutex_;
  Self self_;
  bool confirmed_ = false;  // the running token's claim was answered PROCEED
  bool member_ = false;     // renewals make sense
  View view_;
  bool fresh_ = false;           // view_ was not told yet
  View remembered_;              // the newest of the life of the store in which this process saw most
  std::string own_round_;        // that it was in last
  std::string applier_of_;       // the round of:
  v1::Applier applier_;          // the last that it saw run there
  bool memory_refused_ = false;  // the daemon knew nothing of this process: it is told everything
  std::vector<v1::Event> events_;
  bool gap_ = false;
  std::map<std::string, std::string> dissolved_why_;  // by round
  BootTime lease_sent_{};
  BootTime lease_until_{};
  BootTime lease_end_told_{};                  // the lease_until_ at whose end the caller was woken
  Duration lease_length_ = 3 * kRenewDefault;  // of the last answer
  Duration renew_after_ = kRenewDefault;
  bool unknown_to_daemon_ = false;  // a renewal was refused: the daemon does not know this incarnation
  bool token_refused_ = false;      // a renewal said that the running token is not held any more
  bool severed_ = false;            // a progress call was answered so
  std::optional<Error> renew_lost_;
  std::optional<Error> watch_lost_;
  std::optional<v1::StepProgress> progress_;

  StopSource ending_;
  const std::shared_ptr<Waker> lease_waker_ = std::make_shared<Waker>();
  const std::shared_ptr<Waker> progress_waker_ = std::make_shared<Waker>();
  std::thread lease_thread_;
  std::thread watch_thread_;
  std::thread progress_thread_;
};

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
  {
    const std::lock_guard lock(mutex_);
    view = view_;
    self = self_;
    unknown = std::exchange(unknown_to_daemon_, false);
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

// ---- The applier's calls, on the caller's thread ----

Result<v1::ConfirmResponse> Session::Impl::confirm(const Claimed& claimed, BootTime until) {
  v1::ConfirmRequest request;
  {
    const std::lock_guard lock(mutex_);
    if (self_.running == Token{}) {
      return failure(ErrorCode::kFailedPrecondition, "NOT_ELECTED",
                     "This process was not elected: there is no claim to confirm.");
    }
    request.set_token(self_.running.value);
    request.set_round_id(self_.running_round.value);
  }
  *request.mutable_request() = next_request();
  request.set_target(options_.target.value);
  request.set_claim(claimed.claim);
  request.set_fenced(claimed.fenced);
  if (claimed.finding) *request.mutable_finding() = *claimed.finding;
  request.set_row_token(claimed.row_token.value);
  request.set_reason(claimed.reason);

  const BootTime sent_at = BootClock::now();
  auto answer = client_->confirm(request, Bound{until, stop_told_ ? nullptr : stop_});
  if (answer) {
    // Of all attempts the first one's moment: the lease may have been counted from that one.
    set_lease(sent_at, answer->lease_left(), nullptr);
    merge(answer->target(), nullptr, false);
  }
  const std::lock_guard lock(mutex_);
  if (answer && answer->verdict() == v1::VERDICT_PROCEED) {
    self_.fenced = claimed.fenced;
    confirmed_ = true;
    return answer;
  }
  const bool stopped = !answer && answer.error().reason == "STOPPED";
  if (!stopped) self_.running = Token{};  // after a stop it is the caller's leave() that ends the run
  if (answer && answer->verdict() != v1::VERDICT_STOP) {
    return failure(ErrorCode::kInternal, "VERDICT_UNKNOWN",
                   "The daemon answered the claim with verdict " + std::to_string(answer->verdict()) +
                       ", which this client does not know. Nothing was applied. Upgrade this client.");
  }
  return answer;
}

Result<v1::ReportResponse> Session::Impl::report(const RunResult& result, BootTime until) {
  v1::ReportRequest request;
  {
    const std::lock_guard lock(mutex_);
    if (self_.running == Token{}) {
      return failure(ErrorCode::kFailedPrecondition, "NOT_ELECTED",
                     "This process runs nothing: there is nothing to report.");
    }
    request.set_token(self_.running.value);
    request.set_round_id(self_.running_round.value);
    if (const auto known = memory(true)) *request.mutable_memory() = *known;
    progress_.reset();  // an older word than the report
  }
  *request.mutable_request() = next_request();
  request.set_target(options_.target.value);
  request.set_result(result.result);
  request.set_message(result.message);
  request.set_failed_step(result.failed_step);
  request.set_exit_code(result.exit_code);
  request.set_steps_done(result.steps_done);
  request.set_in_target(result.in_target);
  request.set_session_ended(result.session_ended);
  request.set_row_token(result.row_token.value);

  // A stop request shortens the time, whether it came before or comes now; the request stays the same one.
  const auto hurried = [&] { return std::min(until, plus(BootClock::now(), kReportAfterStop)); };
  auto answer = client_->report(request, stop_wanted() ? Bound{hurried(), nullptr} : Bound{until, stop_});
  if (!answer && answer.error().reason == "STOPPED") answer = client_->report(request, Bound{hurried(), nullptr});
  if (answer) merge(answer->target(), nullptr, false);
  {
    const std::lock_guard lock(mutex_);
    self_.running = Token{};
    confirmed_ = false;
  }
  if (answer) return answer;
  report_lost_ = may_heal(answer.error());
  if (report_lost_) return std::unexpected(not_delivered(answer.error()));
  return answer;
}

Result<v1::LeaveResponse> Session::Impl::leave(std::string reason, bool session_ended,
                                               std::optional<v1::Finding> finding) {
  if (join_flight_) {
    join_flight_->cancel();
    while (!join_flight_->done()) waker_->wait(BootTime::max());
    join_flight_.reset();
  }
  v1::LeaveRequest request;
  bool ran = false;
  {
    const std::lock_guard lock(mutex_);
    ran = self_.running != Token{};
    request.set_token(self_.running.value);
  }
  *request.mutable_request() = next_request();
  request.set_target(options_.target.value);
  request.set_reason(std::move(reason));
  request.set_session_ended(session_ended);
  if (finding) *request.mutable_finding() = *finding;
  auto answer = client_->leave(request, Bound{plus(BootClock::now(), options_.leave_bound), nullptr});
  if (answer) merge(answer->target(), nullptr, false);
  {
    const std::lock_guard lock(mutex_);
    self_.running = Token{};
    confirmed_ = false;
    member_ = false;
  }
  phase_ = Phase::kLeft;
  left_told_ = answer.has_value();
  // Who only waited is done. A stopped run's round may have an outcome, now or soon: next() tells it.
  if (!ran) last_ = Stopped{stop_wanted() ? stop_->signal() : 0, answer.has_value()};
  return answer;
}

void Session::Impl::progress(v1::StepProgress step) {
  {
    const std::lock_guard lock(mutex_);
    if (self_.running == Token{} || ending_.signal() != 0) return;
    progress_ = std::move(step);
    if (!progress_thread_.joinable()) progress_thread_ = std::thread([this] { send_progress(); });
  }
  progress_waker_->wake();
}

Session::MustStop Session::Impl::must_stop() const {
  const std::lock_guard lock(mutex_);
  if (stop_wanted()) return MustStop::kRequested;
  if (self_.running == Token{}) return MustStop::kNo;
  if (severed_) return MustStop::kSevered;
  if (lease_is_over()) return MustStop::kLeaseOver;
  if (view_ == nullptr) return MustStop::kNo;
  const Move move = next_move(*view_, self_);
  const auto* stop = std::get_if<moves::Stop>(&move);
  if (stop == nullptr) return MustStop::kNo;
  return stop->why == moves::Stop::Why::kSevered ? MustStop::kSevered : MustStop::kTokenLost;
}

void Session::Impl::close() {
  if (std::exchange(closed_, true)) return;
  bool waiting = false;
  {
    const std::lock_guard lock(mutex_);
    // A run that the caller gave up without a word is not ours to call ended: its lease has to run out.
    waiting = member_ && self_.running == Token{} && !report_lost_;
  }
  if (join_flight_) {
    join_flight_->cancel();
    while (!join_flight_->done()) waker_->wait(BootTime::max());
    join_flight_.reset();
    waiting = link().ever_answered();
  }
  if (to_acknowledge_) {
    v1::LeaveRequest request;
    *request.mutable_request() = next_request();
    request.set_target(options_.target.value);
    request.set_reason("the failure was told");
    request.set_acknowledge(*to_acknowledge_);
    request.set_party(options_.party.value);
    // Unheard it is told to the party once more, which is safe: it is only one retry too late.
    static_cast<void>(client_->leave(request, Bound{plus(BootClock::now(), options_.leave_bound), nullptr}));
  } else if (waiting) {
    say_goodbye("it waits no longer");
  }
  end_threads();
  if (!last_) last_ = Stopped{stop_wanted() ? stop_->signal() : 0, waiting};
}

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
