// postgres_test.cpp - what only PostgreSQL can do to an applier: sessions that live on, locks, poolers, lost
// connections.
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "migration/target/compare.h"
#include "tests/migration/target/suite.h"
#include "tests/support/postgres.h"
#include "tests/support/slowness.h"
#include "tests/support/tcp_proxy.h"

namespace syzygy::migration {
namespace {

using test::PostgresServer;

const std::string kCommit("commit\0", 7);  // the whole statement: "read committed" is another

class Postgres : public testing::Test {
 protected:
  static PostgresServer& server() { return PostgresServer::shared(); }
  std::string value(const std::string& sql) const { return server().value(database_, sql); }
  [[nodiscard]] std::string through(int port) const {
    return "postgresql://postgres@127.0.0.1:" + std::to_string(port) + "/" + database_;
  }
  static PlannedStep planned(const std::string& id, const std::string& sql, const StepOptions& options = {}) {
    return step(Dialect::kPostgres, id, sql, options);
  }
  static Snapshot snapshot(Target& target, const std::string& round = "round-1") {
    auto snap = target.snapshot(RoundId{round});
    EXPECT_TRUE(snap) << snap.error().message;
    return snap ? std::move(*snap) : Snapshot{};
  }
  // The pid of the session of this database that runs a statement like that; 0: none.
  [[nodiscard]] int running(const std::string& like) const {
    const std::string pid = value("select pid from pg_stat_activity where state = 'active' and datname = '" +
                                  database_ + "' and pid <> pg_backend_pid() and query like '%" + like + "%'");
    return pid.empty() ? 0 : std::stoi(pid);
  }
  // No session holds a lock of ours any more: those of tests before may still be on their way out, in databases of
  // their own.
  [[nodiscard]] bool no_advisory_locks() const {
    return eventually([&] {
      return value(
                 "select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from "
                 "pg_database where datname = current_database())") == "0";
    });
  }
  // Ends all other sessions of this database, and waits for their end.
  void terminate_others() const {
    value(
        "select pg_terminate_backend(pid, 30000) from pg_stat_activity where datname = current_database() and pid <> "
        "pg_backend_pid()");
  }
  static void terminate(int pid) {
    server().sql("postgres", "select pg_terminate_backend(" + std::to_string(pid) + ")");
  }
  // A statement that runs until that token stands.
  static std::string until_claimed(int token) {
    return "do $$ begin /* until claimed */ for i in 1..6000 loop exit when (select token from syzygy.fence) >= " +
           std::to_string(token) + "; perform pg_sleep(0.01); end loop; end $$";
  }
  static Settled::What settled(Target& target, const RunInfo& run, const PlannedStep& step) {
    auto result = target.settle(run, step.step, std::chrono::seconds(30), {}, {});
    auto* what = std::get_if<Settled>(&result);
    EXPECT_NE(what, nullptr);
    return what == nullptr ? Settled::What::kFencedOut : what->what;
  }

  std::string database_ = server().create_database();
  std::string url_ = server().url(database_);
};

// ---- identity, connecting

TEST_F(Postgres, KnowsTheServerAndTheDatabase) {
  auto target = prepared(url_);
  const auto identity = target->identity();
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->system, value("select system_identifier from pg_control_system()"));
  EXPECT_EQ(identity->database, database_);
  EXPECT_EQ(identity->id, value("select id from syzygy.fence"));
  EXPECT_EQ(target->describe(), "PostgreSQL " + database_ + " at 127.0.0.1:" + std::to_string(server().port()));
}

TEST_F(Postgres, AServerThatKeepsItsIdentityToItselfStillNamesTheDatabase) {
  const std::string role = database_ + "_kept_out";
  value("revoke execute on function pg_control_system() from public; create role " + role + " login");
  Snapshot seen;
  seen.id = "minted";
  const auto identity = opened(server().url(database_, role))->identity(seen);
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->system, "");
  EXPECT_EQ(identity->database, database_);
  EXPECT_EQ(identity->id, "minted");
}

TEST_F(Postgres, ConnectsByTheSocketToo) {
  EXPECT_TRUE(prepared(server().socket_url(database_))->fencing()->outside_transaction);
}

TEST_F(Postgres, ARefusalSaysWhoRefusesAndNeverThePassword) {
  const std::string host = "127.0.0.1:" + std::to_string(server().port());
  const struct {
    std::string url;
    std::string reason;
    std::string says;
  } cases[] = {
      {"postgresql://secretive:s3cr3t-word@" + host + "/" + database_, "DATABASE_REFUSED",
       "password authentication failed"},
      {"postgresql://postgres:s3cr3t-word@" + host + "/missing", "DATABASE_REFUSED", "\"missing\" does not exist"},
      {"postgresql://postgres:s3cr3t-word@127.0.0.1:" + std::to_string(test::free_port()) + "/x",
       "DATABASE_UNREACHABLE", "refused"},
      {"postgresql://postgres:s3cr3t-word@no-such-host.invalid/x", "DATABASE_UNREACHABLE", "no-such-host.invalid"},
      {"postgresql://postgres@" + host + "/x?password=s3cr3t-word&bad=1", "DATABASE_URL_INVALID", "cannot be read"},
      {"postgresql://postgres:s3cr3t-word%zz@" + host + "/x", "DATABASE_URL_INVALID", "cannot be read"},
      {"postgresql://postgres:s3cr3t-word@[::1/x", "DATABASE_URL_INVALID", "cannot be read"},
      {"mysql://root:s3cr3t-word@db/x", "DATABASE_URL_INVALID", "postgresql://"},
      {"s3cr3t-word", "DATABASE_URL_INVALID", "sqlite:///"},
      {"", "DATABASE_URL_INVALID", "postgresql://"},
  };
  for (const auto& one : cases) {
    auto target = open_target(one.url, quick());
    ASSERT_FALSE(target) << one.url;
    EXPECT_EQ(target.error().reason, one.reason) << target.error().message;
    EXPECT_TRUE(target.error().message.contains(one.says)) << target.error().message;
    if (one.url != "s3cr3t-word") {
      EXPECT_FALSE(target.error().message.contains("s3cr3t")) << target.error().message;
    }
    for (const Finding& finding : diagnose_target(one.url, quick())) {
      EXPECT_FALSE(finding.ok);
      if (one.url != "s3cr3t-word") {
        EXPECT_FALSE(finding.cause.contains("s3cr3t")) << finding.cause;
      }
    }
    EXPECT_FALSE(without_password(one.url).contains("s3cr3t")) << without_password(one.url);
  }
  auto target = opened("postgresql://secretive:hidden%20words@" + host + "/" + database_);
  EXPECT_TRUE(target->prepare());
}

TEST_F(Postgres, ShowsAUrlWithoutItsPassword) {
  const std::pair<std::string, std::string> cases[] = {
      {"postgresql://u:p@h:5432/d?sslmode=require", "postgresql://u@h:5432/d?sslmode=require"},
      {"postgresql://u@h/d", "postgresql://u@h/d"},
      {"postgres://h/d?password=p&port=1", "postgres://h/d?port=1"},
      {"postgresql://u:a@b/c@h/d", "postgresql://h/d"},
      {"sqlite:///srv/a.db", "sqlite:///srv/a.db"},
      {"host=h password=p", "(not a URL)"},
  };
  for (const auto& [url, shown] : cases) EXPECT_EQ(without_password(url), shown);
}

TEST_F(Postgres, ASchemaNameIsChecked) {
  for (const std::string& name : {std::string(), std::string("1a"), std::string("A"), std::string("a b"),
                                  std::string("a\"b"), std::string(41, 'a')}) {
    TargetOptions options = quick();
    options.schema = name;
    auto target = open_target(url_, options);
    ASSERT_FALSE(target) << name;
    EXPECT_EQ(target.error().reason, "SCHEMA_NAME_INVALID");
  }
  TargetOptions options = quick();
  options.schema = "fences";
  prepared(url_, options);
  EXPECT_EQ(value("select count(*) from fences.fence"), "1");
}

// ---- rights

TEST_F(Postgres, ARoleThatMayOnlyReadCanPeek) {
  auto owner = prepared(url_);
  claimed(*owner, run_info(1));
  ASSERT_EQ(text(apply(*owner, run_info(1), planned("0001", "create table a (id int)"))), "applied");
  const std::string role = database_ + "_reader";
  value("create role " + role + " login");
  const std::string reader_url = server().url(database_, role);
  // Without any right it is told which one is missing.
  const auto refused = opened(reader_url)->snapshot();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "DATABASE_REFUSED");
  EXPECT_TRUE(refused.error().message.contains("GRANT USAGE ON SCHEMA syzygy")) << refused.error().message;

  value("grant usage on schema syzygy to " + role + "; grant select on all tables in schema syzygy to " + role);
  auto reader = opened(reader_url);
  EXPECT_EQ(ids(snapshot(*reader)), std::vector<std::string>{"0001"});
  EXPECT_TRUE(reader->prepare());  // it stands: nothing to do
  const auto claim = reader->claim(claim_request(run_info(2)), {}, {});
  const auto* error = std::get_if<Error>(&claim);
  ASSERT_NE(error, nullptr) << text(claim);
  EXPECT_EQ(error->code, ErrorCode::kPermissionDenied);
}

TEST_F(Postgres, ARoleThatMayNotCreateIsToldSo) {
  const std::string role = database_ + "_poor";
  value("create role " + role + " login");
  auto target = opened(server().url(database_, role));
  EXPECT_FALSE(snapshot(*target).prepared);
  const auto done = target->prepare();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kPermissionDenied);
  EXPECT_TRUE(done.error().message.contains("permission denied")) << done.error().message;
  EXPECT_TRUE(done.error().message.contains("syzygy doctor")) << done.error().message;

  const auto finding = [&](const std::string& name) {
    for (const Finding& one : target->diagnose()) {
      if (one.name == name) return one;
    }
    ADD_FAILURE() << "no finding " << name;
    return Finding{};
  };
  EXPECT_FALSE(finding("rights to create the fence").ok);
  // What doctor prints works as it stands.
  std::string command = finding("rights to create the fence").next;
  value(command.substr(0, command.find("  --")));
  EXPECT_TRUE(finding("rights to create the fence").ok) << finding("rights to create the fence").cause;
  EXPECT_FALSE(finding("rights to migrate").ok);
  value(finding("rights to migrate").next);
  EXPECT_TRUE(finding("rights to migrate").ok);
  EXPECT_TRUE(target->prepare());
  claimed(*target, run_info(1));
  EXPECT_EQ(text(apply(*target, run_info(1), planned("0001", "create table a (id int)"))), "applied");
}

TEST_F(Postgres, DoctorNamesMissingRightsOnAFenceThatStands) {
  prepared(url_);
  const std::string role = database_ + "_guest";
  value("create role " + role + " login; grant usage on schema syzygy to " + role +
        "; grant select on all tables in schema syzygy to " + role);
  auto target = opened(server().url(database_, role));
  const auto findings = target->diagnose();
  const auto rights = std::ranges::find(findings, "rights on the fence", &Finding::name);
  ASSERT_NE(rights, findings.end());
  EXPECT_FALSE(rights->ok);
  value(rights->next);
  EXPECT_TRUE(std::holds_alternative<Claimed>(target->claim(claim_request(run_info(1)), {}, {})));
}

TEST_F(Postgres, SessionsThatAreReadOnlyByDefaultAreNoneForMigrations) {
  value("alter database " + database_ + " set default_transaction_read_only = on");
  const auto findings = diagnose_target(url_, quick());
  const auto writable = std::ranges::find(findings, "writable", &Finding::name);
  ASSERT_NE(writable, findings.end());
  EXPECT_TRUE(writable->ok);
  EXPECT_TRUE(writable->cause.contains("read-only")) << writable->cause;
  auto target = prepared(url_);
  claimed(*target, run_info(1));
  EXPECT_EQ(text(apply(*target, run_info(1), planned("0001", "create table a (id int)"))), "applied");
  EXPECT_EQ(
      text(apply(*target, run_info(1), planned("0002", "create index concurrently a_id on a (id)", {.atomic = false}))),
      "applied");
}

TEST_F(Postgres, DoctorNamesASearchPathThatLeadsNowhere) {
  const auto rights = [&] {
    const auto findings = diagnose_target(url_, quick());
    const auto found = std::ranges::find(findings, "rights to migrate", &Finding::name);
    return found == findings.end() ? Finding{} : *found;
  };
  value("alter database " + database_ + " set search_path = nowhere");
  EXPECT_FALSE(rights().ok);
  EXPECT_TRUE(rights().cause.contains("(nowhere)")) << rights().cause;
  value(rights().next);
  EXPECT_TRUE(rights().ok) << rights().cause;
  value("alter role postgres in database " + database_ + " reset search_path");
}

// ---- the fence against sessions that live on

// The server goes on with a statement whose client was killed: the successor's claim waits for it, and what the dead
// client had not committed is not there.
TEST_F(Postgres, AClaimWaitsForTheSessionOfAKilledApplier) {
  prepared(url_);
  const Forked applier([&] {
    auto target = opened(url_);
    claimed(*target, run_info(1, "old"));
    apply(*target, run_info(1, "old"), planned("0001", "create table a (id int)"));
    apply(*target, run_info(1, "old"), planned("0002", "insert into a values (2); select pg_sleep(60)"));
  });
  int pid = 0;
  ASSERT_TRUE(eventually([&] { return (pid = running("pg_sleep")) != 0; }));
  const_cast<Forked&>(applier).kill();

  auto successor = opened(url_);
  Heard heard;
  std::atomic<bool> done{false};
  ClaimResult result = ClaimCancelled{};
  std::jthread claimer([&] {
    result = successor->claim(claim_request(run_info(2, "new")), heard.listener(), {});
    done = true;
  });
  ASSERT_TRUE(eventually([&] { return heard.count(Progress::Kind::kBlocked) > 2; }));
  EXPECT_TRUE(
      heard.last(Progress::Kind::kBlocked).starts_with("blocked by the old applier: session " + std::to_string(pid)))
      << heard.last(Progress::Kind::kBlocked);
  EXPECT_FALSE(done);
  EXPECT_EQ(value("select token from syzygy.fence"), "1");
  terminate(pid);  // at last the server's session ends
  claimer.join();
  ASSERT_EQ(text(result), "claimed");
  EXPECT_EQ(ids(std::get<Claimed>(result).snapshot), std::vector<std::string>{"0001"});
  EXPECT_EQ(text(apply(*successor, run_info(2, "new"), planned("0002", "insert into a values (2)"), true)),
            "applied, outcome written");
  EXPECT_EQ(value("select count(*) from a"), "1");
}

TEST_F(Postgres, PolicyTerminateEndsTheOldSession) {
  prepared(url_);
  Forked applier([&] {
    auto target = opened(url_);
    claimed(*target, run_info(1, "old"));
    apply(*target, run_info(1, "old"), planned("0001", "select pg_sleep(60)"));
  });
  ASSERT_TRUE(eventually([&] { return running("pg_sleep") != 0; }));
  applier.kill();
  auto successor = opened(url_);
  Heard heard;
  ClaimRequest request = claim_request(run_info(2, "new"));
  request.policy = BlockedPolicy::kTerminate;
  EXPECT_EQ(text(successor->claim(request, heard.listener(), {})), "claimed");
  EXPECT_TRUE(heard.has(Progress::Kind::kTerminated, "told to end: "));
  EXPECT_LE(heard.count(Progress::Kind::kTerminated), 2);  // and that it is gone, if it went between two looks
  EXPECT_TRUE(eventually([&] { return running("pg_sleep") == 0; }));
}

TEST_F(Postgres, AServerThatLooksForItsClientEndsTheSessionByItself) {
  prepared(url_);
  Forked applier([&] {
    TargetOptions options = quick();
    options.client_check_interval = Duration{100};
    auto target = opened(url_, options);
    claimed(*target, run_info(1, "old"));
    apply(*target, run_info(1, "old"), planned("0001", "select pg_sleep(60)"));
  });
  ASSERT_TRUE(eventually([&] { return running("pg_sleep") != 0; }));
  applier.kill();
  EXPECT_EQ(text(opened(url_)->claim(claim_request(run_info(2, "new")), {}, {})), "claimed");
}

TEST_F(Postgres, AClaimGivesUpAtItsBoundAndOnAStop) {
  auto old_applier = prepared(url_);
  claimed(*old_applier, run_info(1, "old"));
  std::jthread applier([&] { apply(*old_applier, run_info(1, "old"), planned("0001", "select pg_sleep(60)")); });
  int pid = 0;
  ASSERT_TRUE(eventually([&] { return (pid = running("pg_sleep")) != 0; }));
  auto successor = opened(url_);
  ClaimRequest request = claim_request(run_info(2, "new"));
  request.wait_max = Duration{50};
  const auto result = successor->claim(request, {}, {});
  const auto* blocked = std::get_if<ClaimBlocked>(&result);
  ASSERT_NE(blocked, nullptr) << text(result);
  EXPECT_EQ(blocked->blocker.pid, pid);
  EXPECT_FALSE(blocked->committed);
  std::stop_source stop;
  request.wait_max = std::chrono::hours(1);
  EXPECT_EQ(
      text(successor->claim(request, [&](const Progress&) { stop.request_stop(); }, stop.get_token())), "cancelled");
  terminate(pid);
}

// The old run is outside a transaction: the new token stands at once, so that nothing more begins, but the claim is
// complete only when the statement is over.
TEST_F(Postgres, AClaimIsCompleteWhenNoHolderOfTheStepLockIsLeft) {
  auto old_applier = prepared(url_);
  claimed(*old_applier, run_info(1, "old"));
  std::string old_result;
  std::jthread applier([&] {
    old_result =
        text(apply(*old_applier, run_info(1, "old"), planned("0001", "select pg_sleep(60)", {.atomic = false})));
  });
  int pid = 0;
  ASSERT_TRUE(eventually([&] { return (pid = running("pg_sleep")) != 0; }));
  auto successor = opened(url_);
  ClaimRequest request = claim_request(run_info(2, "new"));
  request.wait_max = Duration{100};
  auto result = successor->claim(request, {}, {});
  ASSERT_NE(std::get_if<ClaimBlocked>(&result), nullptr) << text(result);
  EXPECT_TRUE(std::get<ClaimBlocked>(result).committed);
  EXPECT_EQ(std::get<ClaimBlocked>(result).blocker.pid, pid);
  EXPECT_EQ(value("select token from syzygy.fence"), "2");
  server().sql("postgres", "select pg_cancel_backend(" + std::to_string(pid) + ")");
  request.wait_max = std::chrono::seconds(30);
  result = successor->claim(request, {}, {});
  ASSERT_EQ(text(result), "claimed");
  EXPECT_EQ(std::get<Claimed>(result).previous.token, Token{1});
  applier.join();
  EXPECT_TRUE(old_result.starts_with("failed: ")) << old_result;
}

// The trap: whoever waits for a lock holds a snapshot, and CONCURRENTLY waits for snapshots.
TEST_F(Postgres, CreateIndexConcurrentlyPassesWhileOthersWaitInClaim) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1, "old");
  claimed(*target, run);
  ASSERT_EQ(text(apply(*target, run, planned("0001", "create table a (id int)"))), "applied");
  // A transaction of somebody else holds the build up until the claimers wait.
  test::PostgresServer::Rows ignored;
  std::atomic<bool> go{false};
  std::jthread holder([&] {
    auto other = prepared(url_, [] {
      TargetOptions options = quick();
      options.application = "other";
      return options;
    }());
    claimed(*other, run_info(1));
    std::stop_source stop;
    std::jthread stopper([&] {
      eventually([&] { return go.load(); });
      stop.request_stop();
    });
    other->apply_step(run_info(1), planned("0001", "insert into a values (1); select pg_sleep(60)"), {}, {},
                      stop.get_token());
  });
  ASSERT_TRUE(eventually([&] { return running("pg_sleep") != 0; }));
  std::string built;
  std::jthread builder([&] {
    built = text(apply(*target, run, planned("0002", "create index concurrently a_id on a (id)", {.atomic = false})));
  });
  ASSERT_TRUE(eventually([&] { return running("create index concurrently") != 0; }));
  Heard heard;
  std::vector<std::jthread> claimers;
  std::atomic<int> complete{0};
  for (int i = 0; i < 3; ++i) {
    claimers.emplace_back([&, i] {
      auto one = opened(url_);
      const auto number = static_cast<std::uint64_t>(i) + 2;
      const auto result = one->claim(claim_request(run_info(number, "new-" + std::to_string(i))), heard.listener(), {});
      if (std::holds_alternative<Claimed>(result) || std::holds_alternative<ClaimRefused>(result)) ++complete;
    });
  }
  ASSERT_TRUE(eventually([&] { return heard.count(Progress::Kind::kBlocked) > 5; }));
  go = true;
  builder.join();
  EXPECT_EQ(built, "applied");
  claimers.clear();
  EXPECT_EQ(complete, 3);
  EXPECT_EQ(value("select indisvalid from pg_index where indexrelid = 'a_id'::regclass"), "t");
}

// ---- locks

TEST_F(Postgres, ALockTimeoutIsTriedAgainUntilTheLockIsGiven) {
  auto target = prepared(url_);
  claimed(*target, run_info(1));
  ASSERT_EQ(text(apply(*target, run_info(1), planned("0001", "create table a (id int)"))), "applied");
  std::string done;
  Heard heard;
  {
    // Another session sits on the table until the step has been refused twice.
    std::stop_source stop;
    std::jthread holder([&] {
      auto other = prepared(url_, [] {
        TargetOptions options = quick();
        options.application = "other";
        return options;
      }());
      claimed(*other, run_info(1));
      other->apply_step(run_info(1), planned("0001", "lock table a; select pg_sleep(60)"), {}, {}, stop.get_token());
    });
    ASSERT_TRUE(eventually([&] { return running("pg_sleep") != 0; }));
    std::jthread stopper([&] {
      eventually([&] { return heard.count(Progress::Kind::kLockTimeout) >= 2; });
      stop.request_stop();
    });
    done = text(target->apply_step(run_info(1), planned("0002", "insert into a values (1); alter table a add b int"),
                                   {}, heard.listener(), {}));
  }
  EXPECT_EQ(done, "applied");
  EXPECT_GE(heard.count(Progress::Kind::kLockTimeout), 2);
  EXPECT_EQ(value("select count(*) from a"), "1");
}

TEST_F(Postgres, ALockThatIsNeverGivenIsAnErrorInTheEnd) {
  TargetOptions options = quick();
  options.lock_timeout = Duration{20};
  options.lock_attempts = 3;
  auto target = prepared(url_, options);
  claimed(*target, run_info(1));
  ASSERT_EQ(text(apply(*target, run_info(1), planned("0001", "create table a (id int)"))), "applied");
  std::stop_source stop;
  std::jthread holder([&] {
    TargetOptions other_options = quick();
    other_options.application = "other";
    auto other = prepared(url_, other_options);
    claimed(*other, run_info(1));
    other->apply_step(run_info(1), planned("0001", "lock table a; select pg_sleep(60)"), {}, {}, stop.get_token());
  });
  ASSERT_TRUE(eventually([&] { return running("pg_sleep") != 0; }));
  Heard heard;
  const auto result =
      target->apply_step(run_info(1), planned("0002", "alter table a add b int"), {}, heard.listener(), {});
  const auto* failed = std::get_if<StepFailed>(&result);
  ASSERT_NE(failed, nullptr) << text(result);
  EXPECT_EQ(failed->sql_state, "55P03");
  EXPECT_TRUE(failed->words.contains("3 attempts")) << failed->words;
  EXPECT_TRUE(failed->words.contains("session " + std::to_string(running("pg_sleep")))) << failed->words;
  EXPECT_EQ(heard.count(Progress::Kind::kLockTimeout), 2);
  EXPECT_TRUE(heard.last(Progress::Kind::kLockTimeout).contains("session " + std::to_string(running("pg_sleep"))));
  stop.request_stop();
}

TEST_F(Postgres, OtherRefusalsAreNotTriedAgain) {
  auto target = prepared(url_);
  claimed(*target, run_info(1));
  Heard heard;
  const auto result = target->apply_step(
      run_info(1), planned("0001", "set statement_timeout = 20; select pg_sleep(60)"), {}, heard.listener(), {});
  const auto* failed = std::get_if<StepFailed>(&result);
  ASSERT_NE(failed, nullptr) << text(result);  // a timeout of the database's is no stop of ours
  EXPECT_EQ(failed->sql_state, "57014");
  EXPECT_EQ(heard.count(Progress::Kind::kLockTimeout), 0);
}

// ---- what a migration's text can do

TEST_F(Postgres, ADeferredConstraintThatFailsAtTheCommitLeavesNothing) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  const auto result = apply(*target, run,
                            planned("0001",
                                    "create table a (id int primary key, of int references a deferrable initially "
                                    "deferred); insert into a values (1, 2)"),
                            true);
  const auto* failed = std::get_if<StepFailed>(&result);
  ASSERT_NE(failed, nullptr) << text(result);
  EXPECT_EQ(failed->sql_state, "23503");
  EXPECT_TRUE(failed->message.contains("COMMIT")) << failed->message;
  const Snapshot snap = snapshot(*target);
  EXPECT_TRUE(snap.applied.empty());
  EXPECT_FALSE(snap.outcome.has_value());
}

TEST_F(Postgres, NothingInAFileCanEndTheTransactionThatGuardsIt) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  PlannedStep two = planned("0001", "create table a (id int)");
  two.statements[0].text += "; commit; create table b (id int)";  // what no splitter would let through
  EXPECT_TRUE(text(apply(*target, run, two)).starts_with("failed: "));
  EXPECT_TRUE(text(apply(*target, run, planned("0001", "create table a (id int); do $$ begin commit; end $$")))
                  .starts_with("failed: "));
  EXPECT_EQ(value("select count(*) from pg_tables where tablename in ('a', 'b')"), "0");
}

TEST_F(Postgres, WhatAMigrationSetsForItsSessionEndsWithIt) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  value("create role " + database_ + "_role; grant create, usage on schema public to " + database_ + "_role");
  // Without rights on our tables, without a search path, and with a timeout: our own writes must not mind. They take
  // longer here than that timeout, and what takes it back, which it still holds for, does not.
  value(
      "create function slow() returns trigger language plpgsql as 'begin perform pg_catalog.pg_sleep(2); return new; "
      "end'; create trigger slow before insert on syzygy.history for each row execute function slow()");
  EXPECT_EQ(text(apply(*target, run,
                       planned("0001", "create table public.a (id int); set role " + database_ +
                                           "_role; select pg_catalog.set_config('search_path', '', false); set "
                                           "statement_timeout = 1000; set default_transaction_read_only = on"))),
            "applied");
  value("drop trigger slow on syzygy.history");
  EXPECT_EQ(text(apply(*target, run,
                       planned("0002",
                               "insert into a values (1); select pg_sleep(2); create table b (id "
                               "int)"))),
            "applied");
  EXPECT_EQ(value("select tableowner from pg_tables where tablename = 'b'"), "postgres");
  EXPECT_EQ(text(apply(*target, run, planned("0003", "set search_path = ''; vacuum public.a", {.atomic = false}))),
            "applied");
  EXPECT_EQ(text(apply(*target, run, planned("0004", "insert into a values (2)"))), "applied");
}

TEST_F(Postgres, NoticesAreHeard) {
  auto target = prepared(url_);
  claimed(*target, run_info(1));
  Heard heard;
  target->apply_step(run_info(1), planned("0001", "do $$ begin raise notice 'half of it is done'; end $$"), {},
                     heard.listener(), {});
  EXPECT_TRUE(heard.last(Progress::Kind::kNotice).contains("half of it is done"));
}

// ---- lost connections

TEST_F(Postgres, ASessionThatIsTerminatedInTheMiddleIsLostAndSettleTellsTheTruth) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  const PlannedStep slow = planned("0001", "create table a (id int); select pg_sleep(60)");
  ApplyResult result = Cancelled{};
  std::jthread applier([&] { result = apply(*target, run, slow); });
  int pid = 0;
  ASSERT_TRUE(eventually([&] { return (pid = running("pg_sleep")) != 0; }));
  terminate(pid);
  applier.join();
  ASSERT_TRUE(std::holds_alternative<Lost>(result)) << text(result);
  EXPECT_EQ(settled(*target, run, slow), Settled::What::kNotApplied);
  EXPECT_EQ(text(apply(*target, run, planned("0001", "create table a (id int)"))), "applied");
}

TEST_F(Postgres, ASessionThatIsTerminatedBetweenStepsIsReplaced) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  for (const std::string id : {"0001", "0002"}) {
    terminate_others();
    EXPECT_EQ(text(apply(*target, run, planned(id, "select 1", {.atomic = id == "0001"}))), "applied");
  }
  terminate_others();
  EXPECT_EQ(ids(snapshot(*target)).size(), 2u);
}

// The COMMIT arrives, its answer does not.
TEST_F(Postgres, ACommitWhoseAnswerIsLostIsFoundInTheHistory) {
  prepared(url_);
  test::TcpProxy proxy(server().port());
  auto target = opened(through(proxy.port()));
  const RunInfo run = run_info(1);
  claimed(*target, run);
  const PlannedStep one = planned("0001", "create table a (id int)");
  proxy.cut_after(kCommit);
  const auto result = apply(*target, run, one, true);
  ASSERT_TRUE(std::holds_alternative<Lost>(result)) << text(result);
  EXPECT_EQ(settled(*target, run, one), Settled::What::kApplied);
  EXPECT_TRUE(snapshot(*target).outcome.has_value());
  EXPECT_EQ(text(apply(*target, run, one)), "changed: step 0001 is in the history already");
}

TEST_F(Postgres, AClaimWhoseAnswerIsLostIsRepeated) {
  prepared(url_);
  test::TcpProxy proxy(server().port());
  auto target = opened(through(proxy.port()));
  claimed(*target, run_info(1, "old", "round-0"));
  proxy.cut_after(kCommit);
  const auto result = target->claim(claim_request(run_info(2)), {}, {});
  ASSERT_EQ(text(result), "claimed");
  EXPECT_EQ(proxy.cuts(), 1);
  EXPECT_EQ(std::get<Claimed>(result).previous.round, RoundId{"round-0"});
}

// The network goes, the server does not notice: settle() waits until the old session is gone.
TEST_F(Postgres, SettleWaitsForTheOldSession) {
  prepared(url_);
  test::TcpProxy proxy(server().port());
  auto target = opened(through(proxy.port()));
  const RunInfo run = run_info(1);
  claimed(*target, run);
  for (const bool atomic : {true, false}) {
    const PlannedStep slow = planned("0001", "select pg_sleep(60)", {.atomic = atomic});
    ApplyResult result = Cancelled{};
    std::jthread applier([&] { result = apply(*target, run, slow); });
    int pid = 0;
    ASSERT_TRUE(eventually([&] { return (pid = running("pg_sleep")) != 0; }));
    proxy.cut_clients();
    applier.join();
    ASSERT_TRUE(std::holds_alternative<Lost>(result)) << text(result);
    Heard heard;
    auto early = target->settle(run, slow.step, Duration{60}, heard.listener(), {});
    ASSERT_TRUE(std::holds_alternative<Error>(early));
    EXPECT_EQ(std::get<Error>(early).reason, "OLD_SESSION_RUNS");
    EXPECT_TRUE(heard.last(Progress::Kind::kBlocked).contains("session " + std::to_string(pid)));
    terminate(pid);
    EXPECT_EQ(settled(*target, run, slow), atomic ? Settled::What::kNotApplied : Settled::What::kBegun);
  }
  // What the next applier makes of it.
  const RunInfo next = run_info(2, "next");
  const Claimed claim = claimed(*target, next);
  const Plan plan{TargetName{"t"},
                  PlanStage::kAll,
                  false,
                  OnApplierLost::kStop,
                  {planned("0001", "select pg_sleep(60)", {.atomic = false}).step}};
  EXPECT_EQ(compare(plan, next.round, claim.snapshot, claim.previous),
            (Comparison{BegunUnfinished{StepId{"0001"}, run.round}}));
}

TEST_F(Postgres, SettleGivesUpAtItsBoundWhileTheServerIsDown) {
  PostgresServer own;
  const std::string database = own.create_database();
  const std::string url = own.url(database);
  auto target = prepared(url);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  ApplyResult result = Cancelled{};
  const PlannedStep slow = planned("0001", "create table a (id int); select pg_sleep(60)");
  Heard heard;
  std::jthread applier([&] { result = target->apply_step(run, slow, {}, heard.listener(), {}); });
  ASSERT_TRUE(eventually([&] { return heard.count(Progress::Kind::kStatement) == 2; }));
  own.stop();
  applier.join();
  ASSERT_TRUE(std::holds_alternative<Lost>(result)) << text(result);
  EXPECT_EQ(std::get<Lost>(result).error.reason, "DATABASE_UNREACHABLE");
  auto early = target->settle(run, slow.step, Duration{50}, heard.listener(), {});
  ASSERT_TRUE(std::holds_alternative<Error>(early));
  EXPECT_GE(heard.count(Progress::Kind::kReconnecting), 1);
  EXPECT_TRUE(std::holds_alternative<Error>(target->claim(claim_request(run_info(2)), {}, {})));
  own.start();
  EXPECT_EQ(settled(*target, run, slow), Settled::What::kNotApplied);
}

TEST_F(Postgres, ABreakGlassRunWhoseSessionIsLostTakesTheLockAgainInSettle) {
  prepared(url_);
  auto glass = opened(url_);
  BreakGlass request;
  request.incarnation = IncarnationId{"glass"};
  request.round = RoundId{"break-glass-1"};
  auto begun = glass->break_glass_begin(request, {}, {});
  ASSERT_TRUE(std::holds_alternative<BreakGlassStarted>(begun));
  const RunInfo run = run_info(std::get<BreakGlassStarted>(begun).token.value, "glass", "break-glass-1");
  terminate_others();
  const PlannedStep one = planned("0001", "create table a (id int)");
  ASSERT_TRUE(std::holds_alternative<Lost>(apply(*glass, run, one)));
  // Without the lock nothing more is applied.
  ASSERT_TRUE(std::holds_alternative<Lost>(apply(*glass, run, one)));
  EXPECT_EQ(settled(*glass, run, one), Settled::What::kNotApplied);
  ClaimRequest other = claim_request(run_info(run.token.value + 1, "other"));
  other.wait_max = Duration{50};
  auto blocked = opened(url_)->claim(other, {}, {});
  ASSERT_TRUE(std::holds_alternative<ClaimBlocked>(blocked)) << text(blocked);
  EXPECT_TRUE(std::get<ClaimBlocked>(blocked).blocker.break_glass);
  EXPECT_EQ(text(apply(*glass, run, one)), "applied");
}

// ---- steps outside a transaction

TEST_F(Postgres, AnInvalidIndexOfAFailedBuildIsDroppedAndBuiltAnew) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  ASSERT_EQ(text(apply(*target, run,
                       planned("0001",
                               "create schema s; create table s.a (id int); insert into s.a values (1), "
                               "(1); create table a (id int)"))),
            "applied");
  const PlannedStep build = planned("0002", "create unique index concurrently a_id on s.a (id)", {.atomic = false});
  const auto failed = apply(*target, run, build);
  ASSERT_TRUE(std::holds_alternative<StepFailed>(failed)) << text(failed);
  EXPECT_EQ(std::get<StepFailed>(failed).sql_state, "23505");
  ASSERT_EQ(value("select indisvalid from pg_index where indexrelid = 's.a_id'::regclass"), "f");
  // Of the same name, on another table, and valid: not ours to touch.
  value("create index a_id on a (id); delete from s.a where ctid = (select min(ctid) from s.a)");
  const RunInfo next = run_info(2, "b", "round-2");
  claimed(*target, next);
  Heard heard;
  EXPECT_EQ(text(target->apply_step(next, build, {}, heard.listener(), {})), "applied");
  EXPECT_EQ(heard.count(Progress::Kind::kIndexDropped), 1);
  EXPECT_EQ(value("select indisvalid from pg_index where indexrelid = 's.a_id'::regclass"), "t");
  EXPECT_EQ(value("select count(*) from pg_class where relname = 'a_id'"), "2");
}

TEST_F(Postgres, AStopInAStepOutsideATransactionSaysThatSomethingMayBeLeft) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  std::stop_source stop;
  std::jthread stopper([&] {
    eventually([&] { return running("pg_sleep") != 0; });
    stop.request_stop();
  });
  EXPECT_EQ(
      text(target->apply_step(run, planned("0001", "create table a (id int); select pg_sleep(60)", {.atomic = false}),
                              {}, {}, stop.get_token())),
      "cancelled, something left");
  stopper.join();
  const Snapshot snap = snapshot(*target);
  ASSERT_EQ(snap.begun.size(), 1u);
  EXPECT_FALSE(snap.begun[0].ended.empty());  // its end is known
  EXPECT_TRUE(no_advisory_locks());
}

TEST_F(Postgres, AStepOutsideATransactionMayBeginItsOwn) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  EXPECT_EQ(text(apply(*target, run,
                       planned("0001",
                               "begin; create table a (id int); commit; begin; insert into a values "
                               "(1); commit",
                               {.atomic = false}))),
            "applied");
  EXPECT_EQ(value("select count(*) from a"), "1");
  // One that fails inside its own transaction: the mark is written all the same.
  EXPECT_TRUE(text(apply(*target, run,
                         planned("0002",
                                 "begin; insert into a values (2); insert into nowhere values (1); "
                                 "commit",
                                 {.atomic = false})))
                  .starts_with("failed: "));
  EXPECT_EQ(value("select count(*) from a"), "1");
  EXPECT_TRUE(snapshot(*target).begun.at(0).ended.contains("nowhere"));
}

// ---- through a pooler

TEST_F(Postgres, APoolerIsRecognised) {
  prepared(url_);
  const test::Pooler pooler(server());
  auto target = opened(pooler.url(database_));
  const auto fencing = target->fencing();
  ASSERT_TRUE(fencing);
  EXPECT_FALSE(fencing->outside_transaction);
  EXPECT_TRUE(fencing->why_not.contains("pooler"));
  EXPECT_TRUE(opened(url_)->fencing()->outside_transaction);
  const auto findings = target->diagnose();
  const auto finding = std::ranges::find(findings, "pooler", &Finding::name);
  ASSERT_NE(finding, findings.end());
  EXPECT_FALSE(finding->ok);
  EXPECT_FALSE(finding->next.empty());
  BreakGlass request;
  const auto refused = target->break_glass_begin(request, {}, {});
  ASSERT_TRUE(std::holds_alternative<Error>(refused));
  EXPECT_EQ(std::get<Error>(refused).reason, "BREAK_GLASS_NEEDS_DIRECT_CONNECTION");
  EXPECT_FALSE(target->sessions_of(run_info(1))->can_see);
  const auto environment = target->exec_environment(run_info(1), "");
  ASSERT_EQ(environment->size(), 1u);  // a pooler would refuse PGOPTIONS
  EXPECT_EQ((*environment)[0].first, "PGAPPNAME");
}

TEST_F(Postgres, ThroughAPoolerAtomicStepsAreFencedAndOthersRunUnfenced) {
  const test::Pooler pooler(server());
  auto target = prepared(pooler.url(database_));
  const RunInfo run = run_info(1);
  claimed(*target, run);
  EXPECT_EQ(text(apply(*target, run, planned("0001", "create table a (id int)"))), "applied");
  EXPECT_EQ(text(apply(*target, run, planned("0002", "create index concurrently a_id on a (id)", {.atomic = false}))),
            "applied");
  EXPECT_TRUE(snapshot(*target).begun.empty());
  EXPECT_TRUE(no_advisory_locks());
  // Overtaken in the middle: it ran, and that is said.
  std::string result;
  std::jthread applier([&] {
    result =
        text(apply(*target, run, planned("0003", "insert into a values (1); " + until_claimed(2), {.atomic = false})));
  });
  ASSERT_TRUE(eventually([&] { return running("until claimed") != 0; }));
  EXPECT_EQ(text(opened(url_)->claim(claim_request(run_info(2, "b")), {}, {})), "claimed");
  applier.join();
  EXPECT_EQ(result, "fenced out by 2, after effect");
  EXPECT_EQ(text(apply(*target, run, planned("0004", "insert into a values (2)"))), "fenced out by 2");
}

// ---- a server that is there, and says nothing

// Every process of the server is stopped: TCP goes on answering, and nobody reads.
class Frozen {
 public:
  explicit Frozen(const PostgresServer& server) {
    std::ifstream file(server.directory() / "data" / "postmaster.pid");
    pid_t postmaster = 0;
    file >> postmaster;
    EXPECT_GT(postmaster, 0);
    stop(postmaster);
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      std::ifstream stat(entry.path() / "stat");
      pid_t pid = 0;
      std::string name;
      char state = 0;
      pid_t parent = 0;
      if (stat >> pid >> name >> state >> parent && parent == postmaster) stop(pid);
    }
  }
  ~Frozen() {
    for (const pid_t pid : stopped_) ::kill(pid, SIGCONT);
  }
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

 private:
  void stop(pid_t pid) {
    ::kill(pid, SIGSTOP);
    stopped_.push_back(pid);
  }
  std::vector<pid_t> stopped_;
};

TargetOptions impatient() {
  TargetOptions options = quick();
  options.connect_timeout = Duration{2'000};
  options.answer_timeout = Duration{1'000} * test::slowness();
  options.stop_timeout = Duration{300};
  options.tell_after = Duration{200};
  return options;
}

TEST_F(Postgres, AStatementThatRunsForLongIsToldOf) {
  TargetOptions options = quick();
  options.tell_after = Duration{200};
  auto target = prepared(url_, options);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  Heard heard;
  std::stop_source stop;
  std::jthread stopper([&] {
    eventually([&] { return heard.has(Progress::Kind::kWaiting, "still running, for "); });
    stop.request_stop();
  });
  EXPECT_EQ(
      text(target->apply_step(run, planned("0001", "select pg_sleep(600)"), {}, heard.listener(), stop.get_token())),
      "cancelled");
  EXPECT_TRUE(heard.has(Progress::Kind::kWaiting, " s: select pg_sleep(600)")) << heard.last(Progress::Kind::kWaiting);
}

TEST_F(Postgres, AFrozenServerIsToldOfAndDoesNotHoldAStopBack) {
  const RunInfo run = run_info(1);
  claimed(*prepared(url_), run);
  auto target = opened(url_, impatient());
  const PlannedStep step = planned("0001", "create table t (id int); select pg_sleep(600), 'long'");
  Heard heard;
  std::stop_source stop;
  std::string result;
  {
    std::jthread applier([&] { result = text(target->apply_step(run, step, {}, heard.listener(), stop.get_token())); });
    ASSERT_TRUE(eventually([&] { return running("long") != 0; }));
    const Frozen frozen(server());
    EXPECT_TRUE(eventually([&] {
      return heard.last(Progress::Kind::kWaiting).contains("takes no new connection either");
    })) << heard.last(Progress::Kind::kWaiting);
    stop.request_stop();
    applier.join();
  }
  EXPECT_TRUE(result.starts_with("lost")) << result;
  EXPECT_EQ(settled(*target, run, step), Settled::What::kNotApplied);
  EXPECT_EQ(value("select count(*) from pg_tables where tablename = 't'"), "0");
}

TEST_F(Postgres, AFrozenServerIsAnErrorForWhoOnlyReads) {
  prepared(url_);
  auto target = opened(url_, impatient());
  ASSERT_TRUE(target->snapshot());
  {
    const Frozen frozen(server());
    const auto snap = target->snapshot();
    ASSERT_FALSE(snap);
    EXPECT_EQ(snap.error().reason, "DATABASE_UNREACHABLE") << snap.error().message;
  }
  EXPECT_TRUE(target->snapshot());
}

TEST_F(Postgres, AProcessThatEndsDoesNotWaitForAFrozenServer) {
  TargetOptions options = impatient();
  options.answer_timeout = std::chrono::minutes(10);
  std::stop_source quit;
  options.quit = quit.get_token();
  auto target = prepared(url_, options);
  const Frozen frozen(server());
  quit.request_stop();
  EXPECT_FALSE(target->snapshot());
}

// ---- the guard of DDL

TEST_F(Postgres, TheGuardRefusesStaleTokens) {
  auto target = prepared(url_);
  claimed(*target, run_info(4, "a"));
  EXPECT_EQ(target->ddl_guard()->mode, DdlGuard::Mode::kNone);
  ASSERT_TRUE(target->install_ddl_guard({DdlGuard::Mode::kReject, {}, true}, "ada", "why not"));
  EXPECT_EQ(target->ddl_guard()->mode, DdlGuard::Mode::kReject);
  const auto with = [](const std::string& token, const std::string& bearer, const std::string& sql) {
    return "set syzygy.token = '" + token + "'; set syzygy.incarnation = '" + bearer + "'; " + sql;
  };
  EXPECT_NO_THROW(value("create table without_a_token (id int)"));
  EXPECT_NO_THROW(value(with("4", "a", "create table current (id int)")));
  for (const auto& [token, bearer] : {std::pair("3", "a"), std::pair("4", "b"), std::pair("5", "a")}) {
    EXPECT_THROW(value(with(token, bearer, "create table stale (id int)")), std::exception) << token << bearer;
  }
  // In the middle of a transaction, too: what it did before goes with it.
  std::jthread claimer([&] {
    eventually([&] { return running("until claimed") != 0; });
    claimed(*opened(url_), run_info(7, "b"));
  });
  EXPECT_THROW(
      value(with("4", "a",
                 "begin; create table early (id int); " + until_claimed(7) + "; create table late (id int); commit")),
      std::exception);
  claimer.join();
  EXPECT_EQ(value("select count(*) from pg_tables where tablename in ('stale', 'early', 'late')"), "0");
  EXPECT_TRUE(*target->remove_ddl_guard("ada", "enough"));
  EXPECT_FALSE(*target->remove_ddl_guard("ada", "enough"));
  EXPECT_NO_THROW(value(with("1", "z", "create table stale (id int)")));
  EXPECT_EQ(target->audit()->size(), 2U);
}

TEST_F(Postgres, TheGuardMayRequireATokenAndLetsOurOwnStepsPass) {
  auto target = prepared(url_);
  server().sql("postgres", "create role listed login");
  server().sql(database_, "grant all on schema public to listed");
  ASSERT_TRUE(target->install_ddl_guard({DdlGuard::Mode::kRequire, {"listed", "o'hara\\"}, true}, "ada", ""));
  const auto guard = target->ddl_guard();
  ASSERT_TRUE(guard);
  EXPECT_EQ(guard->mode, DdlGuard::Mode::kRequire);
  EXPECT_EQ(guard->roles, (std::vector<std::string>{"listed", "o'hara\\"}));
  EXPECT_THROW(value("create table nobody (id int)"), std::exception);
  EXPECT_NO_THROW(value("set syzygy.reason = 'by hand'; create table by_hand (id int)"));
  EXPECT_NO_THROW(value("set session authorization listed; create table listed (id int)"));

  const RunInfo run = run_info(1);
  claimed(*target, run);
  EXPECT_EQ(text(apply(*target, run, planned("0001", "create table a (id int)"))), "applied");
  EXPECT_EQ(text(apply(*target, run, planned("0002", "create index concurrently a_id on a (id)", {.atomic = false}))),
            "applied");
  EXPECT_EQ(text(apply(*target, run, planned("0003", "drop table a"))), "applied");
  // Our own tables, where they have an older layout.
  value(
      "set syzygy.reason = 'x'; alter table syzygy.fence drop column target; alter table syzygy.fence add column "
      "coordination text; update syzygy.meta set version = 1");
  EXPECT_TRUE(opened(url_)->prepare());
  ASSERT_TRUE(target->install_ddl_guard({DdlGuard::Mode::kReject, {}, true}, "ada", ""));
  EXPECT_NO_THROW(value("create table anybody (id int)"));
}

TEST_F(Postgres, TheGuardNeedsASuperuserAndSaysSo) {
  prepared(url_);
  server().sql("postgres", "create role plain login");
  server().sql(database_,
               "grant usage, create on schema syzygy to plain; grant all on all tables in schema syzygy to plain");
  auto target = opened(server().url(database_, "plain"));
  const auto done = target->install_ddl_guard({DdlGuard::Mode::kReject, {}, true}, "ada", "");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().reason, "GUARD_NEEDS_SUPERUSER");
  EXPECT_TRUE(done.error().message.contains("--print")) << done.error().message;
  const auto script = target->ddl_guard_script({DdlGuard::Mode::kRequire, {}, true});
  ASSERT_TRUE(script);
  server().sql(database_, "begin; " + *script + "commit");
  EXPECT_EQ(target->ddl_guard()->mode, DdlGuard::Mode::kRequire);
  server().sql(database_, "alter event trigger syzygy_guard disable");
  EXPECT_FALSE(target->ddl_guard()->enabled);
}

// ---- wrapped tools

TEST_F(Postgres, AWrappedToolsSessionsBearItsNameAndCanBeEnded) {
  auto target = prepared(url_);
  const RunInfo run = run_info(12, "incarnation one", "0b6f6d1e-7f2c-4f3a-9f0e-3f5b8d9a1c2e");
  claimed(*target, run);
  const auto environment = target->exec_environment(run, "-c work_mem=8MB");
  ASSERT_TRUE(environment);
  Forked tool([&] {
    for (const auto& [name, setting] : *environment) ::setenv(name.c_str(), setting.c_str(), 1);
    const std::string sql =
        "create table seen as select current_setting('syzygy.token') as token, "
        "current_setting('syzygy.incarnation') as incarnation, current_setting('syzygy.application') "
        "as application, current_setting('work_mem') as mem, current_setting('application_name') as "
        "name, current_setting('client_connection_check_interval') as interval; select pg_sleep(60)";
    ::execl((PostgresServer::programs() / "psql").c_str(), "psql", url_.c_str(), "-c",
            sql.substr(0, sql.find(';')).c_str(), "-c", sql.substr(sql.find(';') + 2).c_str(), nullptr);
    ::_exit(127);
  });
  ASSERT_TRUE(eventually([&] { return running("pg_sleep") != 0; }));
  const auto row = server().sql(database_, "select token, incarnation, application, mem, name from seen").at(0);
  EXPECT_EQ(row,
            (std::vector<std::string>{"12", "incarnation one", "default", "8MB", session_name(run.round, run.token)}));
  auto left = target->sessions_of(run);
  ASSERT_TRUE(left);
  EXPECT_TRUE(left->can_see);
  EXPECT_EQ(left->pids.size(), 1u);
  EXPECT_TRUE(target->sessions_of(run_info(13, "x", run.round.value))->pids.empty());
  left = target->end_sessions_of(run, std::chrono::seconds(30));
  ASSERT_TRUE(left);
  EXPECT_TRUE(left->pids.empty());
  EXPECT_NE(tool.wait(), 0);
}

TEST_F(Postgres, ASessionNameFitsAndNamesRoundAndToken) {
  EXPECT_EQ(session_name(RoundId{"0b6f6d1e-7f2c-4f3a-9f0e-3f5b8d9a1c2e"}, Token{12}),
            "syzygy:0b6f6d1e-7f2c-4f3a-9f0e-3f5b8d9a1c2e:12");
  const std::string longest = session_name(RoundId{std::string(200, 'r')}, Token{~std::uint64_t{0}});
  EXPECT_EQ(longest.size(), 63u);
  EXPECT_TRUE(longest.ends_with(":18446744073709551615"));
}

}  // namespace
}  // namespace syzygy::migration
