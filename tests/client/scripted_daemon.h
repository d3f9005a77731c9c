// scripted_daemon.h - a daemon that does what a test says: a real gRPC server on a free port of the loopback interface,
// with a target that the test moves by hand. It can go away and come back on the same port, and keeps what it was
// asked. A call may still be in a script when the test's own variables are gone: what scripts share, keep() holds.
#pragma once

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "client/cpp/client.h"
#include "ports.h"
#include "syzygy/rpc/status.pb.h"
#include "syzygy/v1/syzygy.grpc.pb.h"

namespace syzygy {

// As a daemon sends it: ErrorInfo, and RetryInfo where `retry` is set.
inline grpc::Status rich_error(grpc::StatusCode code, const std::string& reason, const std::string& message,
                               Duration retry = Duration{0}) {
  rpc::Status rich;
  rich.set_code(code);
  rich.set_message(message);
  rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("syzygy");
  (*info.mutable_metadata())["thing"] = "orders";
  auto* detail = rich.add_details();
  detail->set_type_url("type.googleapis.com/google.rpc.ErrorInfo");
  detail->set_value(info.SerializeAsString());
  if (retry.count() > 0) {
    rpc::RetryInfo when;
    when.mutable_retry_delay()->set_seconds(retry.count() / 1'000);
    when.mutable_retry_delay()->set_nanos(static_cast<int>(retry.count() % 1'000 * 1'000'000));
    detail = rich.add_details();
    detail->set_type_url("type.googleapis.com/google.rpc.RetryInfo");
    detail->set_value(when.SerializeAsString());
  }
  return grpc::Status(code, message, rich.SerializeAsString());
}

class ScriptedDaemon final : public v1::Coordinator::Service {
 public:
  // What a call is answered with, instead of the ordinary; may be set while calls come in.
  template <class Request, class Response>
  class Script {
   public:
    using Answer = std::function<grpc::Status(grpc::ServerContext&, const Request&, Response&)>;
    Script& operator=(Answer answer) {
      const std::lock_guard lock(mutex_);
      answer_ = std::move(answer);
      return *this;
    }
    [[nodiscard]] Answer get() const {
      const std::lock_guard lock(mutex_);
      return answer_;
    }

   private:
    mutable std::mutex mutex_;
    Answer answer_;
  };

  explicit ScriptedDaemon(std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials())
      : credentials_(std::move(credentials)) {
    target_.set_name("orders");
    target_.set_epoch("e1");
    target_.set_revision(1);
    start();
  }
  ~ScriptedDaemon() override { stop(); }

  void start() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = false;
    }
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(endpoint().text(), credentials_, &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    if (!server_ || port == 0) throw std::runtime_error("the scripted daemon cannot listen");
  }
  // Gone at once: open calls and streams break.
  void stop() {
    if (!server_) return;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    moved_.notify_all();
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    server_.reset();
  }
  [[nodiscard]] Endpoint endpoint() const { return port_.endpoint(); }

  // The target's next revision: `change` edits it; the watchers hear of it, with one event.
  void move(const std::function<void(v1::Target&)>& change, const v1::Event& event = {}) {
    {
      const std::lock_guard lock(mutex_);
      change(target_);
      target_.set_revision(target_.revision() + 1);
      events_[target_.revision()] = event;
    }
    moved_.notify_all();
  }
  // Sends every watcher its last state once more.
  void repeat() {
    {
      const std::lock_guard lock(mutex_);
      ++repeats_;
    }
    moved_.notify_all();
  }
  v1::Target target() {
    const std::lock_guard lock(mutex_);
    return target_;
  }

  // Waits until `holds`, which sees the daemon under its lock; false after 20 s.
  bool eventually(const std::function<bool()>& holds) {
    std::unique_lock lock(mutex_);
    return moved_.wait_for(lock, std::chrono::seconds(20), holds);
  }
  template <class Request>
  std::size_t count(const std::vector<Request>& log) {
    const std::lock_guard lock(mutex_);
    return log.size();
  }
  // What a log holds now: an attempt that its caller gave up may still come in.
  template <class Request>
  std::vector<Request> all(const std::vector<Request>& log) {
    const std::lock_guard lock(mutex_);
    return log;
  }
  // Blocks a handler until its caller has given up, or this daemon goes.
  grpc::Status never(grpc::ServerContext& context) {
    std::unique_lock lock(mutex_);
    while (!context.IsCancelled() && !stopping_) moved_.wait_for(lock, std::chrono::milliseconds(5));
    return {grpc::StatusCode::CANCELLED, "too late"};
  }

  // Lives until no call is under way any more; a variable of the test does not.
  template <class T, class... Args>
  T& keep(Args&&... args) {
    auto kept = std::make_shared<T>(std::forward<Args>(args)...);
    const std::lock_guard lock(mutex_);
    kept_.push_back(kept);
    return *kept;
  }

  // What was asked; to be read within eventually(), by all() or count(), or when nothing is under way.
  std::vector<v1::JoinRequest> joins;
  std::vector<v1::RenewRequest> renewals;
  std::vector<v1::ConfirmRequest> confirms;
  std::vector<v1::ProgressRequest> progresses;
  std::vector<v1::ReportRequest> reports;
  std::vector<v1::LeaveRequest> leaves;
  std::vector<v1::WatchTargetRequest> watches;
  std::vector<std::string> authorizations;

  Script<v1::JoinRequest, v1::JoinResponse> on_join;
  Script<v1::RenewRequest, v1::RenewResponse> on_renew;
  Script<v1::ConfirmRequest, v1::ConfirmResponse> on_confirm;
  Script<v1::ProgressRequest, v1::ProgressResponse> on_progress;
  Script<v1::ReportRequest, v1::ReportResponse> on_report;
  Script<v1::LeaveRequest, v1::LeaveResponse> on_leave;
  Script<v1::WatchTargetRequest, v1::WatchTargetResponse> on_watch;  // consulted first; OK: go on as ever
  Duration lease{60'000};                                            // to be changed within move()
  Duration renew_after{50};

  // The ordinary answer to a join: a member of `round`, which gathers.
  void enrol(const v1::JoinRequest& request, const std::string& round_id, v1::Target& target) {
    v1::Round* round = nullptr;
    for (auto& r : *target.mutable_rounds()) {
      if (r.id() == round_id) round = &r;
    }
    if (round == nullptr) {
      round = target.add_rounds();
      round->set_id(round_id);
      round->set_state(v1::ROUND_STATE_GATHERING);
      *round->mutable_plan() = request.plan();
      round->mutable_quorum()->set_parties(2);
    }
    for (const auto& m : round->members()) {
      if (m.incarnation() == request.request().incarnation()) return;
    }
    auto* member = round->add_members();
    member->set_party(request.party());
    member->set_incarnation(request.request().incarnation());
    member->set_standing(v1::Member::STANDING_COUNTED);
    member->set_may_apply(true);
    round->set_present(static_cast<std::uint32_t>(round->members_size()));
    target.set_revision(target.revision() + 1);
  }

 private:
  template <class Request, class Response>
  grpc::Status serve(grpc::ServerContext* context, const Request* request, Response* response,
                     std::vector<Request>& log, const Script<Request, Response>& script,
                     const std::function<void(v1::Target&)>& ordinary) {
    {
      const std::lock_guard lock(mutex_);
      log.push_back(*request);
      const auto metadata = context->client_metadata().find("authorization");
      authorizations.push_back(metadata == context->client_metadata().end()
                                   ? ""
                                   : std::string(metadata->second.data(), metadata->second.size()));
    }
    moved_.notify_all();
    if (const auto scripted = script.get()) return scripted(*context, *request, *response);
    {
      const std::lock_guard lock(mutex_);
      ordinary(target_);
    }
    moved_.notify_all();
    return grpc::Status::OK;
  }
  void fill(google::protobuf::Duration* out, Duration d) const {
    out->set_seconds(d.count() / 1'000);
    out->set_nanos(static_cast<int>(d.count() % 1'000 * 1'000'000));
  }

  grpc::Status Join(grpc::ServerContext* context, const v1::JoinRequest* request, v1::JoinResponse* response) override {
    return serve(context, request, response, joins, on_join, [&](v1::Target& target) {
      if (request->has_plan()) {
        enrol(*request, "r1", target);
        response->set_verdict(v1::VERDICT_WAIT);
        response->set_round_id("r1");
      } else {
        response->set_verdict(v1::VERDICT_NOTHING_PENDING);
      }
      *response->mutable_target() = target;
      fill(response->mutable_lease_left(), lease);
      fill(response->mutable_renew_after(), renew_after);
    });
  }
  grpc::Status Renew(grpc::ServerContext* context, const v1::RenewRequest* request,
                     v1::RenewResponse* response) override {
    return serve(context, request, response, renewals, on_renew, [&](v1::Target& target) {
      fill(response->mutable_lease_left(), lease);
      fill(response->mutable_renew_after(), renew_after);
      response->set_applier(request->token() != 0);
      response->set_revision(target.revision());
    });
  }
  grpc::Status Confirm(grpc::ServerContext* context, const v1::ConfirmRequest* request,
                       v1::ConfirmResponse* response) override {
    return serve(context, request, response, confirms, on_confirm, [&](v1::Target& target) {
      for (auto& round : *target.mutable_rounds()) {
        if (round.id() == request->round_id()) round.set_state(v1::ROUND_STATE_APPLYING);
      }
      target.set_revision(target.revision() + 1);
      response->set_verdict(v1::VERDICT_PROCEED);
      *response->mutable_target() = target;
      fill(response->mutable_lease_left(), lease);
    });
  }
  grpc::Status Progress(grpc::ServerContext* context, const v1::ProgressRequest* request,
                        v1::ProgressResponse* response) override {
    return serve(context, request, response, progresses, on_progress, [](v1::Target&) {});
  }
  grpc::Status Report(grpc::ServerContext* context, const v1::ReportRequest* request,
                      v1::ReportResponse* response) override {
    return serve(context, request, response, reports, on_report, [&](v1::Target& target) {
      for (auto& round : *target.mutable_rounds()) {
        if (round.id() != request->round_id()) continue;
        round.set_state(request->result() == v1::ReportRequest::RESULT_SUCCEEDED ? v1::ROUND_STATE_SUCCEEDED
                                                                                 : v1::ROUND_STATE_FAILED);
        round.mutable_outcome()->set_token(request->token());
        round.mutable_outcome()->set_revision(target.revision() + 1);
      }
      target.set_revision(target.revision() + 1);
      response->set_verdict(v1::VERDICT_DONE);
      *response->mutable_target() = target;
    });
  }
  grpc::Status Leave(grpc::ServerContext* context, const v1::LeaveRequest* request,
                     v1::LeaveResponse* response) override {
    return serve(context, request, response, leaves, on_leave, [&](v1::Target& target) {
      for (auto& round : *target.mutable_rounds()) {
        for (auto& member : *round.mutable_members()) {
          if (member.incarnation() == request->request().incarnation()) member.set_standing(v1::Member::STANDING_LEFT);
        }
      }
      target.set_revision(target.revision() + 1);
      response->set_verdict(v1::VERDICT_DONE);
      *response->mutable_target() = target;
    });
  }
  grpc::Status GetTarget(grpc::ServerContext*, const v1::GetTargetRequest*, v1::GetTargetResponse* response) override {
    const std::lock_guard lock(mutex_);
    *response->mutable_target() = target_;
    return grpc::Status::OK;
  }
  grpc::Status WatchTarget(grpc::ServerContext* context, const v1::WatchTargetRequest* request,
                           grpc::ServerWriter<v1::WatchTargetResponse>* writer) override {
    {
      const std::lock_guard lock(mutex_);
      watches.push_back(*request);
    }
    moved_.notify_all();
    if (const auto script = on_watch.get()) {
      v1::WatchTargetResponse ignored;
      if (auto status = script(*context, *request, ignored); !status.ok()) return status;
    }
    std::unique_lock lock(mutex_);
    std::uint64_t sent = 0;
    int repeated = repeats_;
    while (!context->IsCancelled() && !stopping_) {
      if (target_.revision() == sent && repeated == repeats_) {
        moved_.wait_for(lock, std::chrono::milliseconds(5));
        continue;
      }
      v1::WatchTargetResponse response;
      *response.mutable_target() = target_;
      // The event before is told once more: a client must bear that.
      for (std::uint64_t revision = std::max<std::uint64_t>(target_.revision(), 2) - 1; revision <= target_.revision();
           ++revision) {
        auto* event = response.add_events();
        if (const auto told = events_.find(revision); told != events_.end()) *event = told->second;
        event->set_revision(revision);
      }
      sent = target_.revision();
      repeated = repeats_;
      lock.unlock();
      if (!writer->Write(response)) return grpc::Status::OK;
      lock.lock();
    }
    return {grpc::StatusCode::UNAVAILABLE, "the daemon stops"};
  }

  std::shared_ptr<grpc::ServerCredentials> credentials_;
  std::mutex mutex_;
  std::condition_variable moved_;
  v1::Target target_;
  std::map<std::uint64_t, v1::Event> events_;  // by revision
  int repeats_ = 0;
  bool stopping_ = false;
  const DeafPort port_;  // its own, also between stop() and start()
  std::vector<std::shared_ptr<void>> kept_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace syzygy
