// session_impl.h - what a session is made of: the caller's thread (session.cpp), what the caller does while it applies
// (session_run.cpp), and the threads that renew, watch and tell progress (session_threads.cpp).
//
// A member belongs to the caller's thread alone, or to all, under mutex_; each says which. No lock is held during a
// call to the daemon.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client/cpp/backoff.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/session.h"
#include "client/cpp/waker.h"

namespace syzygy {

inline constexpr Duration kRenewDefault{5'000};  // until the daemon has said how often

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
  using Ending = happening::Ending;
  using View = happening::View;

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
  std::vector<v1::Divergence> diverged_heard_;  // by events, since decide() looked: in a view they may never stand
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

}  // namespace syzygy
