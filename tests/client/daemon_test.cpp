// The library against the real daemon, with its embedded store: gathering, electing, kill -9 and restart at each
// moment.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <mutex>
#include <sstream>
#include <thread>

#include "client/cpp/session.h"
#include "tests/support/held_port.h"
#include "tests/support/slowness.h"

extern char** environ;

namespace syzygy {
namespace {

using namespace happening;
using std::chrono::milliseconds;
using test::slowness;

// How long the daemon waits for whom it does not hear. `kPatient` where no lease may end, however busy the machine is.
enum class Leases : std::uint8_t { kPatient, kBrief };

// A syzygyd of this test's own. kill() is a power cut; start() brings it back at the same address.
class Daemon {
 public:
  explicit Daemon(Leases leases) : leases_(leases) {
    std::string pattern = (std::filesystem::temp_directory_path() / "syzygy-session-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
    folder_ = pattern;
    start();
  }
  ~Daemon() {
    end(SIGTERM);
    std::filesystem::remove_all(folder_);
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  void start() {
    const auto ports = folder_ / "ports";
    std::filesystem::remove(ports);
    // The kernel kills it together with the thread that started it: that is one of its own, for start() may be called
    // by a thread of a party.
    std::vector<std::string> words{"/usr/bin/setpriv",
                                   "--pdeathsig",
                                   "KILL",
                                   "--",
                                   SYZYGYD,
                                   "--http",
                                   "127.0.0.1:0",
                                   "--grpc",
                                   grpc(),
                                   "--store",
                                   "sqlite:" + (folder_ / "state").string(),
                                   "--port-file",
                                   ports.string(),
                                   "--kill-after",
                                   "1s"};
    const auto add = [&words](const char* flag, int ms) {
      words.insert(words.end(), {flag, std::to_string(ms) + "ms"});
    };
    const bool brief = leases_ == Leases::kBrief;
    add("--lease", (brief ? 1'000 : 15'000) * slowness());
    add("--lease-unfenced", (brief ? 2'000 : 15'000) * slowness());
    add("--lock-delay", (brief ? 1'500 : 10'000) * slowness());
    add("--decline", (brief ? 500 : 10'000) * slowness());
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t files;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawn_file_actions_addopen(&files, STDERR_FILENO, (folder_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                       0600);
    std::promise<int> spawned;
    keeper_ = std::jthread([&](const std::stop_token& stop) {
      spawned.set_value(::posix_spawn(&pid_, words[0].c_str(), &files, nullptr, argv.data(), environ));
      std::mutex mutex;
      std::unique_lock lock(mutex);
      std::condition_variable_any().wait(lock, stop, [] { return false; });
    });
    const int failed = spawned.get_future().get();
    ::posix_spawn_file_actions_destroy(&files);
    if (failed != 0) throw std::runtime_error("syzygyd cannot be started");
    const BootTime until = BootClock::now() + milliseconds(20'000) * slowness();
    while (!std::filesystem::exists(ports)) {
      if (BootClock::now() >= until || ::waitpid(pid_, nullptr, WNOHANG) != 0) {
        throw std::runtime_error("syzygyd does not serve:\n" + log());
      }
      std::this_thread::sleep_for(milliseconds(2));  // looks again; the bound is above
    }
  }
  void kill() { end(SIGKILL); }
  [[nodiscard]] std::string grpc() const { return "127.0.0.1:" + std::to_string(port_.port()); }
  [[nodiscard]] std::string log() const {
    std::ostringstream text;
    text << std::ifstream(folder_ / "log").rdbuf();
    return text.str();
  }

 private:
  void end(int signal) {
    if (pid_ <= 0) return;
    ::kill(pid_, signal);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
    keeper_ = {};
  }
  Leases leases_;
  std::filesystem::path folder_;
  test::HeldPort port_;
  pid_t pid_ = 0;
  std::jthread keeper_;
};

v1::Plan plan_of(const std::vector<std::string>& ids) {
  v1::Plan plan;
  plan.set_stage(v1::STAGE_ALL);
  for (const auto& id : ids) {
    auto* step = plan.add_steps();
    step->set_id(id);
    step->set_stage(v1::STAGE_PRE_DEPLOY);
    step->set_content(std::string(64, 'a'));
    step->set_atomic(true);
  }
  return plan;
}

// What the parties share: a target of sorts. Applying is counted, and happens only under a confirmed claim.
struct Database {
  std::mutex mutex;
  Token row;
  std::string outcome_of;  // the round whose outcome stands here
  Token outcome_token;
  int applied = 0;
};

// One party's process, as the CLI would drive a session.
class Party {
 public:
  Party(const Daemon& daemon, Database& database, std::string name, std::uint32_t quorum) : database_(database) {
    ClientOptions client;
    client.endpoints = parse_endpoints(daemon.grpc()).value();
    client.attempt_timeout = milliseconds(1'000);
    client.backoff_first = milliseconds(5);
    client.backoff_max = milliseconds(100);
    options.target = TargetName("orders");
    options.party = PartyName(std::move(name));
    options.quorum.emplace().set_parties(quorum);
    options.timeout = milliseconds(40'000) * slowness();
    options.read_pending = [this](ReadCause) -> Result<Pending> {
      const std::lock_guard lock(database_.mutex);
      Pending pending;
      if (database_.outcome_of.empty()) pending.plan = plan;
      pending.binding.emplace().set_minted_id("m1");
      pending.binding->set_system_id("s1");
      pending.binding->set_database("orders");
      pending.snapshot.emplace().set_token(database_.row.value);
      if (!database_.outcome_of.empty()) {
        auto* outcome = pending.snapshot->mutable_last_outcome();
        outcome->set_round_id(database_.outcome_of);
        outcome->set_token(database_.outcome_token.value);
        outcome->set_state(v1::ROUND_STATE_SUCCEEDED);
        pending.snapshot->set_last_step("0004");
      }
      return pending;
    };
    client_ = Client::open(client).value();
  }

  // Moments at which a test interferes; called with the session's name for it.
  std::function<void(const std::string&)> at = [](const std::string&) {};
  std::optional<v1::Plan> plan = plan_of({"0004"});
  SessionOptions options;
  StopSource stop;
  bool fails = false;

  // Until the last happening.
  Happening run() {
    Session session(client_, options, &stop);
    while (true) {
      auto happening = session.next(session.deadline() + milliseconds(20'000) * slowness());
      if (!happening) throw std::runtime_error("the session outlived its deadline");
      if (is_last(*happening)) return *happening;
      if (std::holds_alternative<Changed>(*happening)) at("changed");
      if (std::holds_alternative<Diverged>(*happening)) at("diverged");
      if (const auto* elected = std::get_if<Elected>(&*happening)) apply(session, *elected);
    }
  }

 private:
  void apply(Session& session, const Elected& elected) {
    at("elected");
    Claimed claimed;
    claimed.fenced = true;
    {
      const std::lock_guard lock(database_.mutex);
      if (elected.token < database_.row) {
        claimed.claim = v1::ConfirmRequest::CLAIM_REFUSED;
        claimed.row_token = database_.row;
      } else {
        database_.row = elected.token;
        auto& finding = claimed.finding.emplace();
        if (database_.outcome_of == elected.round.id()) {
          finding.set_kind(v1::Finding::KIND_OUTCOME);
          finding.mutable_outcome()->set_round_id(database_.outcome_of);
          finding.mutable_outcome()->set_token(database_.outcome_token.value);
          finding.mutable_outcome()->set_state(v1::ROUND_STATE_SUCCEEDED);
        } else {
          finding.set_kind(v1::Finding::KIND_WHOLE);
        }
      }
    }
    const auto answer = session.confirm(claimed, session.deadline());
    if (!answer || answer->verdict() != v1::VERDICT_PROCEED) return;
    at("applying");
    v1::StepProgress progress;
    progress.set_step_count(1);
    progress.set_step_id("0004");
    session.progress(progress);
    RunResult result;
    result.result = fails ? v1::ReportRequest::RESULT_FAILED : v1::ReportRequest::RESULT_SUCCEEDED;
    result.session_ended = true;
    if (session.must_stop() == Session::MustStop::kRequested) {
      at("stopping");
      v1::Finding whole;
      whole.set_kind(v1::Finding::KIND_WHOLE);
      static_cast<void>(session.leave("asked to stop", true, whole));
      return;
    }
    {
      const std::lock_guard lock(database_.mutex);
      if (database_.row != elected.token) {
        result.result = v1::ReportRequest::RESULT_FENCED_OUT;
        result.row_token = database_.row;
      } else if (!fails) {
        ++database_.applied;
        database_.outcome_of = elected.round.id();
        database_.outcome_token = elected.token;
        result.in_target = true;
        result.steps_done = 1;
      }
    }
    at("applied");
    EXPECT_TRUE(session.report(result, session.deadline()));
  }

  Database& database_;
  std::shared_ptr<Client> client_;
};

class DaemonTest : public ::testing::Test {
 protected:
  explicit DaemonTest(Leases leases = Leases::kPatient) : daemon(leases) {}

  std::vector<std::unique_ptr<Party>> parties(std::uint32_t n) {
    std::vector<std::unique_ptr<Party>> out;
    for (std::uint32_t i = 0; i < n; ++i)
      out.push_back(std::make_unique<Party>(daemon, database, "p" + std::to_string(i), n));
    return out;
  }
  static std::vector<Happening> run(const std::vector<std::unique_ptr<Party>>& all) {
    std::vector<std::optional<Happening>> ends(all.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < all.size(); ++i) threads.emplace_back([&, i] { ends[i] = all[i]->run(); });
    for (auto& thread : threads) thread.join();
    std::vector<Happening> out;
    for (auto& end : ends) out.push_back(std::move(*end));
    return out;
  }
  // Each applied, or came so late that it heard of it as done.
  void expect_applied_once(const std::vector<Happening>& ends) {
    int by_us = 0;
    for (const auto& end : ends) {
      const auto* finished = std::get_if<Finished>(&end);
      ASSERT_NE(finished, nullptr) << "kind " << end.index() << "\n" << daemon.log();
      EXPECT_TRUE(finished->ending == Ending::kApplied || finished->ending == Ending::kAlreadyApplied ||
                  finished->ending == Ending::kNothingPending)
          << static_cast<int>(finished->ending) << " " << finished->outcome.message();
      by_us += finished->by_this_process ? 1 : 0;
    }
    EXPECT_EQ(database.applied, 1);
    EXPECT_LE(by_us, 1);
  }

  Daemon daemon;
  Database database;
};

class BriefLeaseTest : public DaemonTest {
 protected:
  BriefLeaseTest() : DaemonTest(Leases::kBrief) {}
};

TEST_F(DaemonTest, ThreePartiesOneApplies) {
  const auto ends = run(parties(3));
  expect_applied_once(ends);
  EXPECT_EQ(std::ranges::count_if(ends, [](const Happening& h) { return std::get<Finished>(h).by_this_process; }), 1);
}

// The daemon is killed, and comes back, when the first party reaches the moment.
TEST_F(DaemonTest, ADaemonKilledAtAnyMomentChangesNothing) {
  for (const std::string moment : {"changed", "elected", "applying", "applied"}) {
    SCOPED_TRACE(moment);
    {  // a database of its own, as its target is
      const std::lock_guard lock(database.mutex);
      database.row = Token{};
      database.outcome_of.clear();
      database.applied = 0;
    }
    auto all = parties(3);
    std::atomic<bool> done{false};
    std::mutex one;
    for (auto& party : all) {
      party->options.target = TargetName("orders-" + moment);
      party->at = [&](const std::string& now) {
        if (now != moment || done.exchange(true)) return;
        const std::lock_guard lock(one);
        daemon.kill();
        daemon.start();
      };
    }
    expect_applied_once(run(all));
    EXPECT_TRUE(done);
  }
}

TEST_F(BriefLeaseTest, AnotherTakesOverWhenTheApplierDies) {
  auto all = parties(3);
  std::atomic<bool> dead{false};
  struct Gone {};
  for (auto& party : all) {
    party->at = [&](const std::string& now) {
      if (now == "applying" && !dead.exchange(true)) throw Gone();
    };
  }
  std::vector<std::optional<Happening>> ends(3);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      try {
        ends[i] = all[i]->run();
      } catch (const Gone&) {  // its session was closed without a word about the run
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::vector<Happening> rest;
  for (auto& end : ends) {
    if (end) rest.push_back(*end);
  }
  EXPECT_EQ(rest.size(), 2u);
  expect_applied_once(rest);
}

TEST_F(DaemonTest, AStoppedApplierHandsOver) {
  auto all = parties(2);
  std::atomic<bool> stopped{false};
  std::atomic<int> rolled_back{0};
  for (auto& party : all) {
    party->at = [&, raw = party.get()](const std::string& now) {
      if (now == "applying" && !stopped.exchange(true)) raw->stop.request(15);
      if (now == "stopping") ++rolled_back;
    };
  }
  // The one that was stopped says so, or has heard of the other's success before it was gone.
  for (const Happening& end : run(all)) {
    const auto* finished = std::get_if<Finished>(&end);
    EXPECT_TRUE(std::holds_alternative<Stopped>(end) || (finished != nullptr && finished->ending == Ending::kApplied));
  }
  EXPECT_EQ(rolled_back, 1);
  EXPECT_EQ(database.applied, 1);
}

TEST_F(DaemonTest, AFailureIsToldOnceToEachPartyAndThenTriedAnew) {
  auto all = parties(2);
  for (auto& party : all) party->fails = true;
  for (const auto& end : run(all)) EXPECT_EQ(std::get<Finished>(end).ending, Ending::kFailed);
  for (auto& party : all) party->fails = false;
  expect_applied_once(run(all));
}

TEST_F(DaemonTest, DifferentPlansDivergeUntilTheDeadline) {
  auto all = parties(2);
  std::array<std::atomic<bool>, 2> told{};
  all[1]->plan = plan_of({"0004", "0005"});
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i]->options.timeout = milliseconds(4'000) * slowness();
    all[i]->at = [&heard = told[i]](const std::string& now) { heard = heard || now == "diverged"; };
  }
  // Both at the same time: whoever left first would leave the other alone, and agreed.
  std::atomic<int> agreed{0};
  for (const auto& end : run(all)) {
    const auto& over = std::get<DeadlineReached>(end);
    agreed += over.waits_for == WaitsFor::kAgreement ? 1 : 0;
    EXPECT_NE(over.view, nullptr);
  }
  EXPECT_GE(agreed, 1);
  for (const auto& heard : told) EXPECT_TRUE(heard);
}

TEST_F(DaemonTest, AnotherQuorumIsRefused) {
  Party first(daemon, database, "p0", 2);
  Party second(daemon, database, "p1", 3);
  std::atomic<bool> here{false};
  first.at = [&](const std::string& now) {
    if (now != "changed") return;
    here = true;
    here.notify_all();
  };
  std::thread waiting([&] { EXPECT_TRUE(std::holds_alternative<Stopped>(first.run())); });
  here.wait(false);
  const auto end = second.run();
  first.stop.request(2);
  waiting.join();
  ASSERT_TRUE(std::holds_alternative<Refused>(end)) << end.index();
  EXPECT_EQ(std::get<Refused>(end).error.reason, "QUORUM_MISMATCH");
}

TEST_F(DaemonTest, SeveredWhileItGathers) {
  Party alone(daemon, database, "p0", 2);
  std::atomic<bool> here{false};
  alone.at = [&](const std::string&) {
    here = true;
    here.notify_all();
  };
  std::thread operates([&] {
    here.wait(false);
    ClientOptions options;
    options.endpoints = parse_endpoints(daemon.grpc()).value();
    const auto client = Client::open(options).value();
    v1::SeverRequest sever;
    *sever.mutable_request() = fresh_request();
    sever.set_target("orders");
    sever.set_reason("wrong release");
    sever.set_actor("test");
    const auto answer = client->sever(sever, Bound{BootClock::now() + milliseconds(10'000), nullptr});
    EXPECT_TRUE(answer) << answer.error().message;
  });
  const auto end = alone.run();
  operates.join();
  const auto& finished = std::get<Finished>(end);
  EXPECT_EQ(finished.ending, Ending::kDissolved);
  EXPECT_NE(finished.outcome.message().find("wrong release"), std::string::npos) << finished.outcome.message();
}

TEST_F(DaemonTest, BarriersOpenForAllAtOnce) {
  ClientOptions options;
  options.endpoints = parse_endpoints(daemon.grpc()).value();
  const auto client = Client::open(options).value();
  std::atomic<int> completed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      v1::EnterRequest enter;
      enter.set_namespace_("deploy");
      enter.set_quorum(3);
      enter.set_party("p" + std::to_string(i));
      enter.set_incarnation(random_incarnation().value);
      enter.mutable_wait()->set_seconds(20);
      const auto answer = client->enter(enter, Bound{BootClock::now() + milliseconds(20'000), nullptr});
      ASSERT_TRUE(answer) << answer.error().message;
      EXPECT_EQ(answer->state(), v1::BARRIER_STATE_OPEN);
      completed += answer->completed_by_you() ? 1 : 0;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(completed, 1);
}

}  // namespace
}  // namespace syzygy
