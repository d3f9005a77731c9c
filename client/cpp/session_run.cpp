// session_run.cpp - the applier's calls, on the caller's thread.
#include "client/cpp/session_impl.h"

#include <algorithm>
#include <utility>

namespace syzygy {
namespace {

using namespace happening;  // NOLINT(google-build-using-namespace): its names are this file's subject

constexpr Duration kReportAfterStop{10'000};

Error not_delivered(const Error& why) {
  Error error = why;
  error.reason = "REPORT_NOT_DELIVERED";
  error.message = "How the run ended could not be told to the daemon: " + why.message;
  return error;
}

}  // namespace

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

}  // namespace syzygy
