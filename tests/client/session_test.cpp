// One process's participation, against a scripted daemon: it goes away, comes back, is slow, repeats itself.
#include "client/cpp/session.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <random>
#include <thread>

#include "ports.h"
#include "scripted_daemon.h"
#include "tests/support/slowness.h"

namespace syzygy {
namespace {

using namespace happening;
using std::chrono::milliseconds;
using test::slowness;

v1::Plan plan_of(const std::vector<std::string>& ids) {
  v1::Plan plan;
  plan.set_stage(v1::STAGE_ALL);
  for (const auto& id : ids) {
    auto* step = plan.add_steps();
    step->set_id(id);
    step->set_stage(v1::STAGE_PRE_DEPLOY);
  }
  return plan;
}

ClientOptions quick_client(std::vector<Endpoint> endpoints) {
  ClientOptions options;
  options.endpoints = std::move(endpoints);
  // Whoever counts what the daemon was asked must not ask twice because the machine is busy.
  options.connect_timeout = milliseconds(15'000) * slowness();
  options.attempt_timeout = milliseconds(10'000) * slowness();
  options.backoff_first = milliseconds(5);
  options.backoff_max = milliseconds(50);
  return options;
}

BootTime in_time() { return BootClock::now() + milliseconds(20'000) * slowness(); }

std::shared_ptr<Client> client_of(ClientOptions options) { return Client::open(std::move(options)).value(); }

class SessionTest : public ::testing::Test {
 protected:
  SessionOptions options() {
    SessionOptions options;
    options.target = TargetName("orders");
    options.party = PartyName("eu");
    options.incarnation = IncarnationId("me");
    options.timeout = milliseconds(20'000) * slowness();
    options.quorum.emplace().set_parties(2);
    options.read_pending = [this](ReadCause cause) -> Result<Pending> {
      causes.push_back(cause);
      Pending pending;
      pending.plan = plan;
      return pending;
    };
    return options;
  }

  // The next happening of kind H; those in between are kept in `passed`. Fails the test after 20 s (on a slow machine
  // later).
  template <class H>
  H await(Session& session) {
    const BootTime until = in_time();
    while (BootClock::now() < until) {
      auto happening = session.next(until);
      if (!happening) break;
      passed.push_back(*happening);
      if (auto* wanted = std::get_if<H>(&*happening)) return *wanted;
      if (is_last(*happening)) break;
    }
    ADD_FAILURE() << "did not happen; last kind: " << (passed.empty() ? -1 : static_cast<int>(passed.back().index()));
    throw std::runtime_error("did not happen");
  }
  // Calls next() until `holds`. False after 20 s (on a slow machine later).
  static bool go_on_until(Session& session, const std::function<bool()>& holds) {
    const BootTime until = in_time();
    while (!holds() && BootClock::now() < until) session.next(BootClock::now() + milliseconds(5));
    return holds();
  }
  // The next view that shows such a round: those before it may still be on their way.
  void await_round(Session& session, const std::function<bool(const v1::Round&)>& wanted) {
    while (!wanted(await<Changed>(session).view->rounds(0))) {
    }
  }
  template <class H>
  std::size_t count() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(passed, [](const Happening& h) { return std::holds_alternative<H>(h); }));
  }

  static void elect(v1::Target& target, std::uint64_t token, const std::string& who = "me") {
    auto* round = target.mutable_rounds(0);
    round->set_state(v1::ROUND_STATE_ELECTED);
    round->mutable_applier()->set_incarnation(who);
    round->mutable_applier()->set_token(token);
  }
  static void end(v1::Target& target, v1::RoundState state) {
    auto* round = target.mutable_rounds(0);
    round->set_state(state);
    round->mutable_outcome()->set_state(state);
    round->mutable_outcome()->set_revision(target.revision() + 1);
  }
  // Up to a confirmed run under token 5.
  void run(Session& session, bool fenced) {
    await<Changed>(session);
    daemon.move([](auto& t) { elect(t, 5); });
    EXPECT_EQ(await<Elected>(session).token, Token(5));
    Claimed claimed;
    claimed.fenced = fenced;
    const auto answer = session.confirm(claimed, in_time());
    ASSERT_TRUE(answer) << answer.error().message;
    ASSERT_EQ(answer->verdict(), v1::VERDICT_PROCEED);
  }
  static RunResult success() {
    RunResult result;
    result.result = v1::ReportRequest::RESULT_SUCCEEDED;
    return result;
  }

  std::optional<v1::Plan> plan = plan_of({"0004", "0005"});
  std::vector<ReadCause> causes;
  std::vector<Happening> passed;
  ScriptedDaemon daemon;
};

TEST_F(SessionTest, TheWholeWay) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  run(session, true);
  ASSERT_TRUE(session.report(success(), in_time()));
  const auto finished = await<Finished>(session);
  EXPECT_EQ(finished.ending, Ending::kApplied);
  EXPECT_TRUE(finished.by_this_process);
  EXPECT_EQ(finished.round->id(), "r1");
  session.close();
  EXPECT_EQ(daemon.joins.size(), 1u);
  EXPECT_EQ(daemon.joins[0].plan().steps_size(), 2);
  EXPECT_EQ(daemon.joins[0].quorum().parties(), 2u);
  EXPECT_GT(daemon.joins[0].timeout().seconds(), 10);
  EXPECT_EQ(daemon.confirms.at(0).token(), 5u);
  // Sequences rise by one with every mutating request.
  EXPECT_EQ(daemon.joins[0].request().sequence(), 1u);
  EXPECT_EQ(daemon.confirms[0].request().sequence(), 2u);
  EXPECT_EQ(daemon.reports.at(0).request().sequence(), 3u);
  EXPECT_TRUE(daemon.leaves.empty());
}

TEST_F(SessionTest, AWaiterLearnsTheOutcomeOfAnother) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  await<Changed>(session);
  daemon.move([](auto& t) { end(t, v1::ROUND_STATE_SUCCEEDED); });
  const auto finished = await<Finished>(session);
  EXPECT_EQ(finished.ending, Ending::kApplied);
  EXPECT_FALSE(finished.by_this_process);
  // The last one is told again.
  EXPECT_TRUE(std::holds_alternative<Finished>(*session.next()));
}

TEST_F(SessionTest, NobodyListens) {
  const DeafPort a;
  const DeafPort b;
  auto client = quick_client({a.endpoint(), b.endpoint()});
  client.connect_timeout = milliseconds(2'000);
  client.attempt_timeout = milliseconds(1'000);
  const auto began = BootClock::now();
  Session session(client_of(client), options());
  const auto unreachable = await<Unreachable>(session);
  EXPECT_LT(BootClock::now() - began, milliseconds(10'000) * slowness());
  EXPECT_EQ(unreachable.error.code, ErrorCode::kUnavailable);
  EXPECT_EQ(unreachable.error.reason, "DAEMON_UNREACHABLE");
  for (const auto& port : {a.endpoint().text(), b.endpoint().text()}) {
    // gRPC writes "Connection refused", the probe "connection refused": which of them looked last is chance.
    EXPECT_NE(unreachable.error.message.find(port + ": "), std::string::npos) << unreachable.error.message;
    EXPECT_EQ(unreachable.error.message.find("no answer"), std::string::npos) << unreachable.error.message;
  }
  EXPECT_NE(unreachable.error.message.find("onnection refused"), std::string::npos) << unreachable.error.message;
  EXPECT_EQ(count<ContactLost>(), 1u);
}

TEST_F(SessionTest, WhatAnEndpointSaidIsNotForgottenForASilenceThatWasCutShort) {
  const DeafPort port;
  auto client = quick_client({port.endpoint()});
  client.connect_timeout = milliseconds(2'000) * slowness();
  client.attempt_timeout = milliseconds(60'000) * slowness();
  Session session(client_of(client), options());
  EXPECT_FALSE(await<ContactLost>(session).member);  // it was refused
  port.listen();                                     // and from now on nothing is said
  const auto unreachable = await<Unreachable>(session);
  EXPECT_NE(unreachable.error.message.find("onnection refused"), std::string::npos) << unreachable.error.message;
}

TEST_F(SessionTest, ADaemonThatNeverAnswersIsGivenUpInTime) {
  daemon.on_join = [&](auto& context, auto&, auto&) { return daemon.never(context); };
  auto client = quick_client({daemon.endpoint()});
  client.connect_timeout = milliseconds(500);
  client.attempt_timeout = milliseconds(100);
  Session session(client_of(client), options());
  const auto unreachable = await<Unreachable>(session);
  EXPECT_NE(unreachable.error.message.find("no answer in time"), std::string::npos) << unreachable.error.message;
  for (const auto& join : daemon.all(daemon.joins)) EXPECT_EQ(join.request().sequence(), 1u);
}

TEST_F(SessionTest, ItsOwnDeadlineComesBeforeTheConnectTimeout) {
  const DeafPort deaf;
  deaf.listen();
  auto mine = options();
  mine.timeout = milliseconds(300);
  Session session(client_of(quick_client({deaf.endpoint()})), mine);
  const auto over = await<DeadlineReached>(session);
  EXPECT_EQ(over.waits_for, WaitsFor::kDaemon);
  EXPECT_EQ(over.view, nullptr);
}

TEST_F(SessionTest, ASlowAnswerIsAskedForAgainUnderTheSameRequestId) {
  auto& asked = daemon.keep<std::atomic<int>>(0);
  daemon.on_join = [&](auto& context, auto& request, auto& response) {
    if (++asked == 1) return daemon.never(context);
    response.set_verdict(v1::VERDICT_WAIT);
    response.set_round_id("r1");
    v1::Target target = daemon.target();
    daemon.enrol(request, "r1", target);
    *response.mutable_target() = target;
    response.mutable_lease_left()->set_seconds(10);
    return grpc::Status::OK;
  };
  auto client = quick_client({daemon.endpoint()});
  client.attempt_timeout = milliseconds(200);
  Session session(client_of(client), options());
  await<Changed>(session);
  const auto joins = daemon.all(daemon.joins);
  ASSERT_GE(joins.size(), 2u);
  for (const auto& join : joins) EXPECT_EQ(join.SerializeAsString(), joins[0].SerializeAsString());
}

TEST_F(SessionTest, GoneInTheMiddleItComesBackAndResumes) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  await<Changed>(session);
  ASSERT_TRUE(daemon.eventually([&] { return !daemon.watches.empty() && !daemon.renewals.empty(); }));
  daemon.stop();
  const auto lost = await<ContactLost>(session);
  EXPECT_TRUE(may_heal(lost.why)) << lost.why.message;
  EXPECT_TRUE(lost.member);
  const auto seen = session.view()->revision();
  const auto watches = daemon.watches.size();
  daemon.move([](auto& t) { end(t, v1::ROUND_STATE_SUCCEEDED); });
  daemon.start();
  EXPECT_EQ(await<Finished>(session).ending, Ending::kApplied);
  EXPECT_EQ(daemon.count(daemon.joins), 1u);
  const auto all_watches = daemon.all(daemon.watches);
  ASSERT_GT(all_watches.size(), watches);
  EXPECT_EQ(all_watches[watches].epoch(), "e1");
  EXPECT_EQ(all_watches[watches].revision(), seen);
}

// Renewals and the watch notice each for itself that the daemon is gone and back: the second to notice is no news.
TEST_F(SessionTest, ContactLostAndRegainedAreToldInTurns) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  await<Changed>(session);
  daemon.stop();
  await<ContactLost>(session);
  daemon.start();
  await<ContactRegained>(session);
  daemon.move([](auto& t) { end(t, v1::ROUND_STATE_SUCCEEDED); });
  await<Finished>(session);
  bool lost = false;
  for (const Happening& happening : passed) {
    if (std::holds_alternative<ContactLost>(happening)) EXPECT_FALSE(std::exchange(lost, true)) << "lost twice";
    if (std::holds_alternative<ContactRegained>(happening)) EXPECT_TRUE(std::exchange(lost, false)) << "was not lost";
  }
}

TEST_F(SessionTest, WhatComesTwiceIsToldOnce) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  await<Changed>(session);
  ASSERT_TRUE(daemon.eventually([&] { return !daemon.watches.empty(); }));
  daemon.move([](auto& t) { elect(t, 5); });
  await<Elected>(session);
  for (int i = 0; i < 5; ++i) daemon.repeat();
  Claimed declined;
  declined.claim = v1::ConfirmRequest::CLAIM_DECLINED;
  daemon.on_confirm = [](auto&, auto&, auto& response) {
    response.set_verdict(v1::VERDICT_STOP);
    return grpc::Status::OK;
  };
  ASSERT_EQ(session.confirm(declined, in_time())->verdict(), v1::VERDICT_STOP);
  for (int i = 0; i < 5; ++i) daemon.repeat();
  daemon.move([](auto& t) { end(t, v1::ROUND_STATE_FAILED); });
  await<Finished>(session);
  EXPECT_EQ(count<Elected>(), 1u);
  std::vector<std::uint64_t> revisions;
  for (const auto& happening : passed) {
    if (const auto* changed = std::get_if<Changed>(&happening)) {
      for (const auto& event : changed->events) revisions.push_back(event.revision());
    }
  }
  EXPECT_TRUE(std::ranges::is_sorted(revisions, std::less_equal<>())) << "an event was told twice, or out of order";
}

TEST_F(SessionTest, ARefusedClaimIsElectedAgainAboveIt) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  await<Changed>(session);
  daemon.move([](auto& t) { elect(t, 5); });
  await<Elected>(session);
  daemon.on_confirm = [&](auto&, auto& request, auto& response) {
    EXPECT_EQ(request.row_token(), 9u);
    response.set_verdict(v1::VERDICT_STOP);
    return grpc::Status::OK;
  };
  Claimed refused;
  refused.claim = v1::ConfirmRequest::CLAIM_REFUSED;
  refused.row_token = Token(9);
  ASSERT_TRUE(session.confirm(refused, in_time()));
  daemon.move([](auto& t) { elect(t, 10); });
  EXPECT_EQ(await<Elected>(session).token, Token(10));
}

TEST_F(SessionTest, AReportIsDeliveredAfterAnOutageUnderTheSameRequestId) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  run(session, true);
  // The first try is taken and its answer lost with the daemon.
  daemon.on_report = [&](auto& context, auto&, auto&) { return daemon.never(context); };
  std::thread outage([&] {
    EXPECT_TRUE(daemon.eventually([&] { return daemon.reports.size() == 1; }));
    daemon.stop();
    daemon.on_report = nullptr;
    daemon.start();
  });
  const auto answer = session.report(success(), in_time());
  outage.join();
  ASSERT_TRUE(answer) << answer.error().message;
  const auto reports = daemon.all(daemon.reports);
  ASSERT_GE(reports.size(), 2u);
  for (const auto& report : reports) EXPECT_EQ(report.SerializeAsString(), reports[0].SerializeAsString());
  EXPECT_EQ(await<Finished>(session).ending, Ending::kApplied);
}

TEST_F(SessionTest, AReportThatCannotBeDeliveredSaysSoInTime) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  run(session, true);
  daemon.stop();
  const auto answer = session.report(success(), BootClock::now() + milliseconds(300));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().reason, "REPORT_NOT_DELIVERED");
  daemon.start();
  session.close();
  EXPECT_TRUE(daemon.leaves.empty())
      << "a run whose end is unknown to the daemon must not be left as if nothing had run";
}

TEST_F(SessionTest, AnUnfencedRunIsToldWhenItsLeaseIsOverByItsOwnClock) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  run(session, false);
  EXPECT_EQ(session.must_stop(), Session::MustStop::kNo);
  while (session.next(BootClock::now())) {
  }
  // One renewal makes the lease short, and no other is answered.
  auto& asked = daemon.keep<std::atomic<int>>(0);
  daemon.on_renew = [&](auto& context, auto&, auto& response) {
    if (++asked > 1) return daemon.never(context);
    response.mutable_lease_left()->set_nanos(300'000'000);
    response.mutable_renew_after()->set_nanos(50'000'000);
    response.set_applier(true);
    return grpc::Status::OK;
  };
  pollfd readable{session.fd(), POLLIN, 0};
  const BootTime until = in_time();
  bool over = false;
  while (!over && BootClock::now() < until) {
    ASSERT_EQ(::poll(&readable, 1, 20'000 * slowness()), 1);
    while (auto happening = session.next(BootClock::now()))
      over = over || std::holds_alternative<LeaseOver>(*happening);
  }
  ASSERT_TRUE(over);
  EXPECT_EQ(session.must_stop(), Session::MustStop::kLeaseOver);
  EXPECT_LE(session.lease_until(), BootClock::now());
}

TEST_F(SessionTest, AFencedRunGoesOnWithoutItsLease) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  run(session, true);
  daemon.move([&](auto&) { daemon.lease = milliseconds(200); });
  ASSERT_TRUE(go_on_until(session, [&] { return session.lease_until() < BootClock::now() + milliseconds(1'000); }));
  daemon.stop();
  ASSERT_TRUE(go_on_until(session, [&] { return BootClock::now() >= session.lease_until(); }));
  while (const auto happening = session.next(BootClock::now()))
    EXPECT_FALSE(std::holds_alternative<LeaseOver>(*happening));
  EXPECT_EQ(session.must_stop(), Session::MustStop::kNo);
  daemon.start();
  EXPECT_TRUE(session.report(success(), in_time()));
}

TEST_F(SessionTest, AnUnfencedRunWhoseTokenIsRefusedMustStop) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  run(session, false);
  daemon.on_renew = [](auto&, auto&, auto& response) {
    response.mutable_lease_left()->set_seconds(10);  // of the member, who is still welcome
    response.mutable_renew_after()->set_nanos(50'000'000);
    return grpc::Status::OK;
  };
  await<LeaseOver>(session);
  EXPECT_EQ(session.must_stop(), Session::MustStop::kLeaseOver);
}

TEST_F(SessionTest, TheLeaseCountsFromBeforeTheRenewalWasSent) {
  // An answer that comes late must not make the lease longer by that delay.
  constexpr milliseconds kDelay{150};
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  await<Changed>(session);
  auto& mutex = daemon.keep<std::mutex>();
  auto& reached_daemon = daemon.keep<BootTime>();
  daemon.on_renew = [&](auto&, auto&, auto& response) {
    const BootTime now = BootClock::now();
    std::unique_lock lock(mutex);
    if (reached_daemon == BootTime{}) {
      reached_daemon = now;
      std::condition_variable().wait_for(lock, kDelay, [] { return false; });
    }
    response.mutable_lease_left()->set_seconds(3'600);
    response.mutable_renew_after()->set_seconds(3'600);
    return grpc::Status::OK;
  };
  ASSERT_TRUE(go_on_until(session, [&] { return session.lease_until() > BootClock::now() + milliseconds(1'800'000); }));
  const std::lock_guard lock(mutex);
  EXPECT_LE(session.lease_until(), reached_daemon + milliseconds(3'600'000));
}

TEST_F(SessionTest, TheFirstEndpointIsDeaf) {
  const DeafPort refusing;
  Session session(client_of(quick_client({refusing.endpoint(), daemon.endpoint()})), options());
  await<Changed>(session);
  EXPECT_EQ(count<ContactLost>(), 0u) << "one of several was enough";
}

TEST_F(SessionTest, ASilentEndpointCostsOneAttempt) {
  const DeafPort silent;
  silent.listen();
  auto client = quick_client({silent.endpoint(), daemon.endpoint()});
  client.attempt_timeout = milliseconds(200);
  Session session(client_of(client), options());
  await<Changed>(session);
}

TEST_F(SessionTest, FailsOverToAnotherDaemon) {
  ScriptedDaemon second;
  Session session(client_of(quick_client({daemon.endpoint(), second.endpoint()})), options());
  await<Changed>(session);
  // The second shares the first one's store.
  second.move([&](auto& t) { t = daemon.target(); });
  daemon.stop();
  ASSERT_TRUE(second.eventually([&] { return !second.renewals.empty() && !second.watches.empty(); }));
  second.move([](auto& t) { end(t, v1::ROUND_STATE_SUCCEEDED); });
  EXPECT_EQ(await<Finished>(session).ending, Ending::kApplied);
  EXPECT_TRUE(second.joins.empty());
}

TEST_F(SessionTest, AStopLeavesAndSaysSo) {
  StopSource stop;
  Session session(client_of(quick_client({daemon.endpoint()})), options(), &stop);
  await<Changed>(session);
  std::thread signal([&] { stop.request(15); });
  const auto stopped = await<Stopped>(session);
  signal.join();
  EXPECT_EQ(stopped.signal, 15);
  EXPECT_TRUE(stopped.told);
  ASSERT_EQ(daemon.count(daemon.leaves), 1u);
  session.close();
  EXPECT_EQ(daemon.count(daemon.leaves), 1u) << "left once is enough";
}

TEST_F(SessionTest, AStopIsHeardWhileTheDaemonIsSilent) {
  const DeafPort silent;
  silent.listen();
  StopSource stop;
  auto client = quick_client({silent.endpoint()});
  client.attempt_timeout = milliseconds(60'000);
  client.connect_timeout = milliseconds(60'000);
  Session session(client_of(client), options(), &stop);
  EXPECT_FALSE(session.next(BootClock::now() + milliseconds(50)).has_value());
  stop.request(2);
  const auto stopped = await<Stopped>(session);
  EXPECT_EQ(stopped.signal, 2);
}

TEST_F(SessionTest, AStopWhileTheDaemonIsGoneIsBounded) {
  StopSource stop;
  auto mine = options();
  mine.leave_bound = milliseconds(200);
  Session session(client_of(quick_client({daemon.endpoint()})), mine, &stop);
  await<Changed>(session);
  daemon.stop();
  stop.request(15);
  EXPECT_FALSE(await<Stopped>(session).told);
}

TEST_F(SessionTest, OneGoodbyeIsTriedNotTwo) {
  StopSource stop;
  auto mine = options();
  mine.leave_bound = milliseconds(500) * slowness();
  daemon.on_leave = [&](auto& context, auto&, auto&) { return daemon.never(context); };
  Session session(client_of(quick_client({daemon.endpoint()})), mine, &stop);
  await<Changed>(session);
  stop.request(15);
  EXPECT_FALSE(await<Stopped>(session).told);
  session.close();
  ASSERT_TRUE(daemon.eventually([&] { return !daemon.leaves.empty(); }));
  const auto leaves = daemon.all(daemon.leaves);
  for (const auto& leave : leaves) EXPECT_EQ(leave.request().sequence(), leaves[0].request().sequence());
}

TEST_F(SessionTest, AStoppedApplierLeavesWithWhatStandsInTheTarget) {
  StopSource stop;
  Session session(client_of(quick_client({daemon.endpoint()})), options(), &stop);
  run(session, true);
  stop.request(15);
  EXPECT_EQ(await<StopWanted>(session).signal, 15);
  EXPECT_EQ(session.must_stop(), Session::MustStop::kRequested);
  v1::Finding finding;
  finding.set_kind(v1::Finding::KIND_WHOLE);
  ASSERT_TRUE(session.leave("SIGTERM", true, finding));
  EXPECT_EQ(await<Stopped>(session).signal, 15);
  ASSERT_EQ(daemon.leaves.size(), 1u);
  EXPECT_EQ(daemon.leaves[0].token(), 5u);
  EXPECT_TRUE(daemon.leaves[0].session_ended());
  EXPECT_EQ(daemon.leaves[0].finding().kind(), v1::Finding::KIND_WHOLE);
}

TEST_F(SessionTest, ASeveredRunIsToldByTheView) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  run(session, true);
  daemon.move([](auto& t) { t.mutable_rounds(0)->set_sever_reason("wrong release"); });
  EXPECT_EQ(await<Severed>(session).reason, "wrong release");
  EXPECT_EQ(session.must_stop(), Session::MustStop::kSevered);
  daemon.on_leave = [&](auto&, auto&, auto& response) {
    daemon.move([](auto& t) { end(t, v1::ROUND_STATE_FAILED); });
    response.set_verdict(v1::VERDICT_DONE);
    *response.mutable_target() = daemon.target();
    return grpc::Status::OK;
  };
  ASSERT_TRUE(session.leave("severed", true, std::nullopt));
  EXPECT_EQ(await<Finished>(session).ending, Ending::kFailed);
  EXPECT_EQ(count<Severed>(), 1u);
}

TEST_F(SessionTest, ASeveredRunIsToldByTheAnswerToItsProgress) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  run(session, true);
  daemon.on_progress = [](auto&, auto&, auto& response) {
    response.set_severed(true);
    return grpc::Status::OK;
  };
  session.progress(v1::StepProgress());
  await<Severed>(session);
  EXPECT_EQ(session.must_stop(), Session::MustStop::kSevered);
}

TEST_F(SessionTest, ProgressIsCoalescedAndNeverBlocks) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  run(session, true);
  daemon.on_progress = [&](auto&, auto&, auto&) { return grpc::Status::OK; };
  v1::StepProgress step;
  for (std::uint32_t i = 0; i < 1'000; ++i) {
    step.set_step_index(i);
    session.progress(step);
  }
  ASSERT_TRUE(daemon.eventually(
      [&] { return !daemon.progresses.empty() && daemon.progresses.back().progress().step_index() == 999; }));
  EXPECT_LT(daemon.progresses.size(), 100u);
  // Some heartbeats later: what was sent is not sent again.
  const auto renewals = daemon.count(daemon.renewals);
  ASSERT_TRUE(daemon.eventually([&] { return daemon.renewals.size() >= renewals + 6; }));
  EXPECT_TRUE(std::ranges::is_sorted(daemon.progresses, std::less_equal<>(),
                                     [](const auto& p) { return p.progress().step_index(); }));
  EXPECT_EQ(daemon.progresses.back().token(), 5u);
  EXPECT_EQ(daemon.progresses.back().incarnation(), "me");
}

TEST_F(SessionTest, AnotherElectionDuringARunMeansTheTokenIsLost) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  run(session, true);
  daemon.move([](auto& t) { elect(t, 6); });
  EXPECT_EQ(await<TokenLost>(session).token, Token(5));
  EXPECT_EQ(session.must_stop(), Session::MustStop::kTokenLost);
  EXPECT_EQ(count<Elected>(), 1u);
  daemon.on_report = [](auto&, auto&, auto& response) {
    response.set_verdict(v1::VERDICT_EVIDENCE);
    return grpc::Status::OK;
  };
  RunResult out;
  out.result = v1::ReportRequest::RESULT_FENCED_OUT;
  out.row_token = Token(6);
  ASSERT_TRUE(session.report(out, in_time()));
  EXPECT_EQ(await<Elected>(session).token, Token(6)) << "once its old run has ended";
}

TEST_F(SessionTest, SupersededItReadsAgainAndJoinsAgain) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  await<Changed>(session);
  plan = plan_of({"0005"});
  daemon.move([](auto& t) {
    t.mutable_rounds(0)->set_state(v1::ROUND_STATE_SUPERSEDED);
    t.mutable_rounds(0)->set_id("r0");  // the next join opens r1 anew
  });
  while (daemon.count(daemon.joins) < 2) await<Changed>(session);
  EXPECT_EQ(causes, (std::vector{ReadCause::kFirst, ReadCause::kAgain}));
  EXPECT_EQ(daemon.joins[1].request().sequence(), 2u);
  EXPECT_EQ(daemon.joins[1].plan().steps_size(), 1);
}

TEST_F(SessionTest, ADissolvedRoundIsNotJoinedAgain) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  await<Changed>(session);
  daemon.move([](auto& t) { end(t, v1::ROUND_STATE_DISSOLVED); });
  EXPECT_EQ(await<Finished>(session).ending, Ending::kDissolved);
}

TEST_F(SessionTest, WhatIsPendingIsReadAgainWhileItGathers) {
  auto mine = options();
  mine.reread_every = milliseconds(50);
  Session session(client_of(quick_client({daemon.endpoint()})), mine);
  await<Changed>(session);
  ASSERT_TRUE(go_on_until(session, [&] { return causes.size() >= 3; }));
  EXPECT_EQ(causes[2], ReadCause::kRegular);
  EXPECT_EQ(daemon.count(daemon.joins), 1u) << "nothing changed";
  plan = plan_of({"0005"});
  ASSERT_TRUE(go_on_until(session, [&] { return daemon.count(daemon.joins) >= 2; }));
  ASSERT_EQ(daemon.leaves.size(), 1u);
  EXPECT_LT(daemon.leaves[0].request().sequence(), daemon.joins[1].request().sequence());
  EXPECT_EQ(daemon.joins[1].plan().steps_size(), 1);
}

TEST_F(SessionTest, AVisitThatKnowsItsStepsMakesItReadAtOnce) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());  // every 30 s otherwise
  await<Changed>(session);
  plan.reset();
  daemon.move([](auto& t) { t.add_visits()->set_last_step("0005"); });
  EXPECT_EQ(await<Finished>(session).ending, Ending::kNothingPending);
  EXPECT_FALSE(daemon.joins.back().has_plan());
}

TEST_F(SessionTest, AVisitBeforeTheFirstLookAfterTheJoinMakesItReadToo) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  await<Changed>(session);  // of the join; what is on the watch comes while nobody calls next()
  plan.reset();
  daemon.move([](auto& t) { t.add_visits()->set_last_step("0005"); });
  const BootTime until = in_time();
  while (session.view()->visits_size() == 0 && BootClock::now() < until) std::this_thread::yield();
  ASSERT_EQ(session.view()->visits_size(), 1);
  EXPECT_EQ(await<Finished>(session).ending, Ending::kNothingPending);
}

TEST_F(SessionTest, AFailedReReadIsToldAndTheWaitGoesOn) {
  auto mine = options();
  mine.reread_every = milliseconds(20);
  auto read = mine.read_pending;
  mine.read_pending = [read](ReadCause cause) -> Result<Pending> {
    if (cause == ReadCause::kRegular) return failure(ErrorCode::kUnavailable, "DATABASE", "no route to the database");
    return read(cause);
  };
  Session session(client_of(quick_client({daemon.endpoint()})), mine);
  EXPECT_EQ(await<RereadFailed>(session).why.reason, "DATABASE");
  daemon.move([](auto& t) { end(t, v1::ROUND_STATE_SUCCEEDED); });
  await<Finished>(session);
}

TEST_F(SessionTest, PendingThatCannotBeReadEndsIt) {
  auto mine = options();
  mine.read_pending = [](ReadCause) -> Result<Pending> {
    return failure(ErrorCode::kFailedPrecondition, "STEP_CHANGED", "0003 changed");
  };
  Session session(client_of(quick_client({daemon.endpoint()})), mine);
  EXPECT_EQ(await<PendingFailed>(session).error.reason, "STEP_CHANGED");
  EXPECT_TRUE(daemon.joins.empty());
}

TEST_F(SessionTest, AFailureIsAcknowledgedOnClose) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  await<Changed>(session);
  daemon.move([](auto& t) { end(t, v1::ROUND_STATE_FAILED); });
  const auto finished = await<Finished>(session);
  EXPECT_EQ(finished.ending, Ending::kFailed);
  EXPECT_TRUE(daemon.leaves.empty()) << "not before it was told";
  session.close();
  ASSERT_EQ(daemon.leaves.size(), 1u);
  EXPECT_EQ(daemon.leaves[0].acknowledge(), finished.outcome.revision());
  EXPECT_EQ(daemon.leaves[0].party(), "eu");
}

TEST_F(SessionTest, ItsDeadlineLeavesAndSaysWhatItWaitedFor) {
  auto mine = options();
  mine.timeout = milliseconds(2'000) * slowness();  // joined long before
  Session session(client_of(quick_client({daemon.endpoint()})), mine);
  const auto over = await<DeadlineReached>(session);
  EXPECT_EQ(over.waits_for, WaitsFor::kParties);
  EXPECT_EQ(over.round, RoundId("r1"));
  EXPECT_EQ(daemon.leaves.size(), 1u);
}

TEST_F(SessionTest, ItsDeadlineStrikesAlthoughTheDaemonIsGone) {
  auto mine = options();
  mine.timeout = milliseconds(2'000) * slowness();
  mine.leave_bound = milliseconds(100);
  Session session(client_of(quick_client({daemon.endpoint()})), mine);
  await<Changed>(session);
  daemon.stop();
  const auto over = await<DeadlineReached>(session);
  EXPECT_EQ(over.waits_for, WaitsFor::kParties);
  ASSERT_TRUE(over.contact);
}

// Its round is gone, and it cannot join again: what it waits for is no quorum.
TEST_F(SessionTest, ItsDeadlineStrikesWhileItJoinsAgain) {
  struct Case {
    const char* what;
    v1::RoundState other;  // the state of another round of the target, as it was heard last
    WaitsFor waits_for;
  };
  for (const Case& c : {Case{"nothing else is known", v1::ROUND_STATE_FAILED, WaitsFor::kDaemon},
                        Case{"another applies", v1::ROUND_STATE_APPLYING, WaitsFor::kTarget},
                        Case{"another is not known", v1::ROUND_STATE_INDETERMINATE, WaitsFor::kOperator}}) {
    SCOPED_TRACE(c.what);
    ScriptedDaemon alone;
    auto mine = options();
    mine.timeout = milliseconds(2'000) * slowness();
    auto client = quick_client({alone.endpoint()});
    client.attempt_timeout = milliseconds(200);
    Session session(client_of(client), mine);
    await<Changed>(session);
    alone.on_join = [&](auto& context, auto&, auto&) { return alone.never(context); };
    alone.move([&](auto& t) {
      t.mutable_rounds(0)->set_state(v1::ROUND_STATE_EXPIRED);
      auto* other = t.add_rounds();
      other->set_id("r2");
      other->set_state(c.other);
    });
    const auto over = await<DeadlineReached>(session);
    EXPECT_EQ(over.waits_for, c.waits_for);
    ASSERT_TRUE(over.contact);
    EXPECT_NE(over.contact->message.find(alone.endpoint().text()), std::string::npos) << over.contact->message;
    EXPECT_GT(alone.count(alone.joins), 1u);
  }
}

TEST_F(SessionTest, TheDeadlineDoesNotStrikeARun) {
  auto mine = options();
  mine.timeout = milliseconds(2'000) * slowness();
  Session session(client_of(quick_client({daemon.endpoint()})), mine);
  run(session, true);
  while (BootClock::now() <= session.deadline()) session.next(session.deadline() + milliseconds(1));
  while (const auto happening = session.next(BootClock::now())) ASSERT_FALSE(is_last(*happening));
  ASSERT_TRUE(session.report(success(), in_time()));
  EXPECT_EQ(await<Finished>(session).ending, Ending::kApplied);
}

TEST_F(SessionTest, NothingPendingIsNotedAsAVisit) {
  plan.reset();
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  const auto finished = await<Finished>(session);
  EXPECT_EQ(finished.ending, Ending::kNothingPending);
  EXPECT_EQ(finished.warning, "");
  EXPECT_FALSE(daemon.joins.at(0).has_plan());
}

TEST_F(SessionTest, NothingPendingNeedsNoDaemon) {
  plan.reset();
  const DeafPort silent;
  silent.listen();
  auto mine = options();
  mine.leave_bound = milliseconds(200);
  auto client = quick_client({silent.endpoint()});
  client.connect_timeout = milliseconds(60'000);
  Session session(client_of(client), mine);
  const auto finished = await<Finished>(session);
  EXPECT_EQ(finished.ending, Ending::kNothingPending);
  EXPECT_NE(finished.warning, "");
}

TEST_F(SessionTest, OneWhoCameToLookSettlesAndThenHasNothingPending) {
  plan.reset();
  auto& asked = daemon.keep<std::atomic<int>>(0);
  daemon.on_join = [&](auto&, auto&, auto& response) {
    if (++asked == 1) {
      daemon.move([](auto& t) {
        auto* round = t.add_rounds();
        round->set_id("r1");
        round->set_state(v1::ROUND_STATE_RECOVERING);
      });
      response.set_verdict(v1::VERDICT_SETTLE);
      response.set_round_id("r1");
      response.mutable_lease_left()->set_seconds(10);
    } else {
      response.set_verdict(v1::VERDICT_NOTHING_PENDING);
    }
    *response.mutable_target() = daemon.target();
    return grpc::Status::OK;
  };
  daemon.on_confirm = [&](auto&, auto&, auto& response) {
    daemon.move([](auto& t) { end(t, v1::ROUND_STATE_SUCCEEDED); });
    response.set_verdict(v1::VERDICT_STOP);
    *response.mutable_target() = daemon.target();
    return grpc::Status::OK;
  };
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  await<Changed>(session);
  daemon.move([](auto& t) {
    elect(t, 7);
    t.mutable_rounds(0)->mutable_applier()->set_settling(true);
  });
  const auto elected = await<Elected>(session);
  EXPECT_TRUE(elected.settle);
  Claimed claimed;
  claimed.fenced = true;
  claimed.finding.emplace().set_kind(v1::Finding::KIND_NOTHING);
  ASSERT_TRUE(session.confirm(claimed, in_time()));
  EXPECT_EQ(await<Finished>(session).ending, Ending::kNothingPending);
}

TEST_F(SessionTest, ADaemonThatForgotItIsJoinedAgain) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  await<Changed>(session);
  auto& forgot = daemon.keep<std::atomic<bool>>(true);
  daemon.on_renew = [&](auto&, auto&, auto& response) {
    if (forgot) return rich_error(grpc::StatusCode::NOT_FOUND, "MEMBER_UNKNOWN", "join again");
    response.mutable_lease_left()->set_seconds(10);
    return grpc::Status::OK;
  };
  ASSERT_TRUE(go_on_until(session, [&] { return daemon.count(daemon.joins) >= 2; }));
  forgot = false;
  EXPECT_EQ(daemon.all(daemon.joins)[1].request().sequence(), 2u);
  daemon.move([](auto& t) { end(t, v1::ROUND_STATE_SUCCEEDED); });
  EXPECT_EQ(await<Finished>(session).ending, Ending::kApplied);
}

TEST_F(SessionTest, ARefusalIsToldAsItIs) {
  daemon.on_join = [](auto&, auto&, auto&) {
    return rich_error(grpc::StatusCode::FAILED_PRECONDITION, "QUORUM_MISMATCH", "us says 3");
  };
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  const auto refused = await<Refused>(session);
  EXPECT_EQ(refused.error.reason, "QUORUM_MISMATCH");
  EXPECT_EQ(refused.error.message, "us says 3");
  EXPECT_EQ(refused.error.metadata.at("thing"), "orders");
  EXPECT_EQ(daemon.joins.size(), 1u);
}

TEST_F(SessionTest, AStoreInTroubleIsWaitedFor) {
  auto& asked = daemon.keep<std::atomic<int>>(0);
  daemon.on_join = [&](auto&, auto& request, auto& response) {
    if (++asked < 3) {
      return rich_error(grpc::StatusCode::UNAVAILABLE, "STORE_UNAVAILABLE", "the store is away", milliseconds(10));
    }
    v1::Target target = daemon.target();
    daemon.enrol(request, "r1", target);
    response.set_verdict(v1::VERDICT_APPLIED);
    *response.mutable_target() = target;
    return grpc::Status::OK;
  };
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  await<Finished>(session);
  EXPECT_EQ(daemon.joins.size(), 3u);
  EXPECT_EQ(daemon.joins[2].request().sequence(), 1u);
}

TEST_F(SessionTest, DivergenceIsToldWhenItChanges) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  await<Changed>(session);
  const auto diverge = [&](const std::string& other) {
    daemon.move([&](auto& t) {
      auto* round = t.mutable_rounds(0);
      round->clear_diverged();
      round->add_diverged()->set_other_round_id(other);
    });
  };
  diverge("r2");
  EXPECT_EQ(await<Diverged>(session).with.at(0).other_round_id(), "r2");
  daemon.move([](auto& t) { t.mutable_rounds(0)->set_present(2); });
  await_round(session, [](const v1::Round& round) { return round.present() == 2; });
  diverge("r3");
  EXPECT_EQ(await<Diverged>(session).with.at(0).other_round_id(), "r3");
  EXPECT_EQ(count<Diverged>(), 2u);
}

TEST_F(SessionTest, ADivergenceThatHasPassedIsToldByItsEvent) {
  Session session(client_of(quick_client({daemon.endpoint()})), options());
  await<Changed>(session);
  v1::Event event;
  event.set_kind(v1::EVENT_KIND_DIVERGED);
  event.set_round_id("another's");
  daemon.move([](auto&) {}, event);
  event.set_round_id("r1");
  event.set_text("step 2: 0005 here, 0006 there");
  daemon.move([](auto&) {}, event);
  const auto diverged = await<Diverged>(session);
  ASSERT_EQ(diverged.with.size(), 1u);
  EXPECT_EQ(diverged.with[0].first_difference(), event.text());
  EXPECT_EQ(diverged.with[0].other_parties_size(), 0);
  // Told with the view that shows it, it is told once.
  daemon.move([](auto& t) { t.mutable_rounds(0)->add_diverged()->set_other_round_id("r2"); }, event);
  EXPECT_EQ(await<Diverged>(session).with.at(0).other_round_id(), "r2");
  daemon.move([](auto& t) { end(t, v1::ROUND_STATE_SUCCEEDED); });
  await<Finished>(session);
  EXPECT_EQ(count<Diverged>(), 2u);
}

TEST_F(SessionTest, AWatchThatHangsIsMadeUpForByRenewals) {
  daemon.on_watch = [&](auto& context, auto&, auto&) { return daemon.never(context); };
  auto client = quick_client({daemon.endpoint()});
  client.attempt_timeout = milliseconds(60'000);
  Session session(client_of(client), options());
  await<Changed>(session);
  daemon.move([](auto& t) { end(t, v1::ROUND_STATE_SUCCEEDED); });
  EXPECT_EQ(await<Finished>(session).ending, Ending::kApplied);
}

// Whatever the daemon does, a session ends by its own deadline, and soon after.
TEST_F(SessionTest, WhateverTheDaemonDoesItEndsInTime) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  auto& random = daemon.keep<std::mt19937>(seed);
  auto& mutex = daemon.keep<std::mutex>();
  const auto one_of = [&random, &mutex](int n) {
    const std::lock_guard lock(mutex);
    return std::uniform_int_distribution<int>(0, n - 1)(random);
  };
  const auto mishap = [this, one_of](grpc::ServerContext& context) -> std::optional<grpc::Status> {
    switch (one_of(8)) {
      case 0:
        return daemon.never(context);
      case 1:
        return grpc::Status(grpc::StatusCode::UNKNOWN, "something");
      case 2:
        return grpc::Status(grpc::StatusCode::INTERNAL, "something else");
      case 3:
        return rich_error(grpc::StatusCode::UNAVAILABLE, "STORE_UNAVAILABLE", "away", milliseconds(one_of(30)));
      case 4:
        return rich_error(grpc::StatusCode::NOT_FOUND, "MEMBER_UNKNOWN", "join again");
      default:
        return std::nullopt;
    }
  };
  const auto any_state = [&] { return static_cast<v1::RoundState>(one_of(8) == 0 ? one_of(12) : one_of(5)); };
  daemon.on_join = [this, one_of, mishap](auto& context, auto& request, auto& response) {
    if (const auto broken = mishap(context); broken && broken->error_code() != grpc::StatusCode::NOT_FOUND)
      return *broken;
    daemon.move([&](auto& t) { daemon.enrol(request, "r" + std::to_string(one_of(3)), t); });
    *response.mutable_target() = daemon.target();
    response.set_verdict(one_of(2) == 0 ? v1::VERDICT_SETTLE : v1::VERDICT_WAIT);
    response.set_round_id("r" + std::to_string(one_of(3)));
    return grpc::Status::OK;
  };
  daemon.on_renew = [one_of, mishap](auto& context, auto&, auto& response) {
    if (const auto broken = mishap(context)) return *broken;
    response.mutable_lease_left()->set_nanos(one_of(1'000) * 1'000'000);
    response.mutable_renew_after()->set_nanos(one_of(50) * 1'000'000);
    response.set_revision(static_cast<std::uint64_t>(one_of(1'000'000)));
    return grpc::Status::OK;
  };
  daemon.on_watch = [mishap](auto& context, auto&, auto&) { return mishap(context).value_or(grpc::Status::OK); };
  daemon.on_leave = [mishap](auto& context, auto&, auto&) { return mishap(context).value_or(grpc::Status::OK); };

  std::atomic<bool> over{false};
  std::thread chaos([&] {
    while (!over) {
      daemon.move([&](auto& t) {
        for (auto& round : *t.mutable_rounds()) round.set_state(any_state());
        if (one_of(10) == 0 && t.rounds_size() > 0) t.mutable_rounds()->RemoveLast();
        if (one_of(20) == 0) t.set_epoch("e" + std::to_string(one_of(5)));
        if (t.rounds_size() > 0 && one_of(4) == 0) elect(t, static_cast<std::uint64_t>(one_of(50)));
      });
      if (one_of(10) == 0) {
        daemon.stop();
        daemon.start();
      }
      daemon.eventually([&, n = 0]() mutable { return over || ++n > 1; });  // until something else happened, too
    }
  });
  auto client = quick_client({daemon.endpoint()});
  client.attempt_timeout = milliseconds(100);
  client.connect_timeout = milliseconds(500);
  const auto shared = client_of(client);
  for (int i = 0; i < 10; ++i) {
    auto mine = options();
    mine.timeout = milliseconds(300);
    mine.leave_bound = milliseconds(100);
    mine.reread_every = milliseconds(50);
    mine.incarnation = IncarnationId();
    Session session(shared, mine);
    const BootTime by = session.deadline() + milliseconds(5'000) * slowness();
    bool ended = false;
    while (!ended && BootClock::now() < by) {
      const auto happening = session.next(by);
      ended = happening && is_last(*happening);
      if (happening && std::holds_alternative<Elected>(*happening)) {
        Claimed declined;
        declined.claim = v1::ConfirmRequest::CLAIM_DECLINED;
        static_cast<void>(session.confirm(declined, BootClock::now() + milliseconds(100)));
      }
    }
    EXPECT_TRUE(ended);
    const BootTime closing = BootClock::now();
    session.close();
    EXPECT_LT(BootClock::now() - closing, milliseconds(5'000) * slowness());
  }
  over = true;
  daemon.repeat();
  chaos.join();
}

}  // namespace
}  // namespace syzygy
