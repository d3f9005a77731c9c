// sqlite_test.cpp - what only SQLite can do to an applier: one writer, files, statements that work outside a
// transaction only.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/migration/target/suite.h"

namespace syzygy::migration {
namespace {

class Sqlite : public testing::Test {
 protected:
  std::string value(const std::string& sql) const { return sqlite().value(url_, sql); }
  static PlannedStep planned(const std::string& id, const std::string& sql, const StepOptions& options = {}) {
    return step(Dialect::kSqlite, id, sql, options);
  }
  static std::string refused(const std::string& url) {
    auto target = open_target(url, quick());
    if (!target) return target.error().reason + ": " + target.error().message;
    const auto done = (*target)->prepare();
    return done ? "" : done.error().reason + ": " + done.error().message;
  }

  std::string url_ = sqlite().url();
  std::string path_ = url_.substr(std::string("sqlite://").size());
};

// A statement that takes as long as it is not stopped, in an applier of another process or thread.
const std::string kEndless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";

TEST_F(Sqlite, BadPathsAreClearErrors) {
  for (const std::string url :
       {"sqlite:", "sqlite://", "sqlite:///", "sqlite://relative", "sqlite::memory:", "sqlite:///a/"}) {
    EXPECT_TRUE(refused(url).starts_with("DATABASE_URL_INVALID: ")) << url << " " << refused(url);
  }
  EXPECT_TRUE(refused("sqlite:///no/such/directory/a.db").starts_with("DATABASE_UNREACHABLE: "));
  EXPECT_TRUE(refused("sqlite:///tmp").starts_with("DATABASE_UNREACHABLE: "));
  std::ofstream(path_) << "this is no database, but long enough to be looked at as if it were one "
                       << std::string(4096, 'x');
  EXPECT_TRUE(refused(url_).starts_with("DATABASE_REFUSED: ")) << refused(url_);
  EXPECT_TRUE(refused(url_).contains("not a database")) << refused(url_);
  EXPECT_FALSE(diagnose_target(url_, quick()).at(0).ok);
}

TEST_F(Sqlite, IdentityIsThePathThatTheFileReallyHas) {
  prepared(url_);
  const std::string link = path_ + ".link";
  std::filesystem::create_symlink(path_, link);
  EXPECT_EQ(opened("sqlite://" + link)->identity()->database, path_);
  EXPECT_EQ(opened("sqlite://" + link)->identity()->id, opened(url_)->identity()->id);
}

TEST_F(Sqlite, AnEmptyFileIsAnEmptyTarget) {
  std::ofstream(path_).close();
  auto target = opened(url_);
  EXPECT_FALSE(target->snapshot()->prepared);
  EXPECT_TRUE(target->prepare());
}

TEST_F(Sqlite, AStepWaitsForAnotherWriterAndSaysSo) {
  auto target = prepared(url_);
  claimed(*target, run_info(1));
  TargetOptions other_options = quick();
  other_options.application = "other";
  std::stop_source stop;
  std::atomic<bool> writing{false};
  std::jthread writer([&] {
    auto other = prepared(url_, other_options);
    claimed(*other, run_info(1));
    const auto at = [&](const Progress& said) { writing = writing || said.kind == Progress::Kind::kStatement; };
    other->apply_step(run_info(1), planned("0001", kEndless), {}, at, stop.get_token());
  });
  ASSERT_TRUE(eventually([&] { return writing.load(); }));
  Heard heard;
  std::jthread stopper([&] {
    eventually([&] { return heard.count(Progress::Kind::kLockTimeout) >= 1; });
    stop.request_stop();
  });
  EXPECT_EQ(text(target->apply_step(run_info(1), planned("0001", "create table a (id int)"), {}, heard.listener(), {})),
            "applied");
}

TEST_F(Sqlite, AClaimIsBlockedByTheOldApplierAndFreeWhenItIsKilled) {
  prepared(url_);
  for (const bool atomic : {true, false}) {
    const std::uint64_t token = atomic ? 1 : 3;
    int pipe_ends[2];
    ASSERT_EQ(::pipe(pipe_ends), 0);
    Forked applier([&] {
      auto target = opened(url_);
      claimed(*target, run_info(token, "old"));
      const auto at = [&](const Progress& said) {
        if (said.kind == Progress::Kind::kStatement) static_cast<void>(!::write(pipe_ends[1], "x", 1));
      };
      target->apply_step(run_info(token, "old"), planned("0001", kEndless, {.atomic = atomic}), {}, at, {});
    });
    char began = 0;
    ASSERT_EQ(::read(pipe_ends[0], &began, 1), 1);
    auto successor = opened(url_);
    ClaimRequest request = claim_request(run_info(token + 1, "new"));
    request.wait_max = Duration{50};
    const auto result = successor->claim(request, {}, {});
    const auto* blocked = std::get_if<ClaimBlocked>(&result);
    ASSERT_NE(blocked, nullptr) << text(result);
    EXPECT_EQ(blocked->committed, !atomic);  // outside a transaction the step lock holds, not the writer's
    applier.kill();
    EXPECT_EQ(text(successor->claim(claim_request(run_info(token + 1, "new")), {}, {})), "claimed");
    ::close(pipe_ends[0]);
    ::close(pipe_ends[1]);
  }
}

TEST_F(Sqlite, WhatWorksOnlyOutsideATransactionWorksThereAndEndsWithItsStep) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  EXPECT_EQ(
      text(apply(*target, run,
                 planned("0001", "pragma journal_mode = wal; pragma foreign_keys = on; vacuum;", {.atomic = false}))),
      "applied");
  EXPECT_EQ(value("pragma journal_mode"), "wal");
  // foreign_keys was of that step's connection only: this would violate one.
  EXPECT_EQ(text(apply(*target, run,
                       planned("0002",
                               "create table a (id int primary key); create table b (a int references a); insert "
                               "into b values (1)"))),
            "applied");
  // VACUUM inside a transaction is refused by the database, and nothing is left.
  const auto result = apply(*target, run, planned("0003", "create table c (id int); vacuum"));
  ASSERT_TRUE(std::holds_alternative<StepFailed>(result)) << text(result);
  EXPECT_EQ(value("select count(*) from sqlite_master where name = 'c'"), "0");
}

TEST_F(Sqlite, SeveralStatementsInOneTextAreRefused) {
  auto target = prepared(url_);
  claimed(*target, run_info(1));
  PlannedStep two = planned("0001", "create table a (id int)");
  two.statements[0].text += "; commit; create table b (id int)";
  const auto result = apply(*target, run_info(1), two);
  ASSERT_TRUE(std::holds_alternative<StepFailed>(result)) << text(result);
  EXPECT_EQ(value("select count(*) from sqlite_master where name in ('a', 'b')"), "0");
}

TEST_F(Sqlite, WrappedToolsHaveNoSessionsToLookAt) {
  auto target = prepared(url_);
  EXPECT_TRUE(target->exec_environment(run_info(1), "")->empty());
  EXPECT_FALSE(target->sessions_of(run_info(1))->can_see);
  EXPECT_FALSE(target->end_sessions_of(run_info(1), Duration{1})->can_see);
}

// Root may write everything: as root the rights are tried in a child that is somebody else.
TEST_F(Sqlite, AFileThatMayNotBeWrittenIsNamed) {
  {
    auto target = prepared(url_);
    claimed(*target, run_info(1));
    EXPECT_EQ(text(apply(*target, run_info(1), planned("0001", "create table a (id int)"))), "applied");
  }
  const std::string directory = std::filesystem::path(path_).parent_path();
  ::chmod(directory.c_str(), 0755);
  ::chmod(path_.c_str(), 0444);
  Forked other([&] {
    if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(2);
    auto target = opened(url_);
    EXPECT_EQ(ids(*target->snapshot()), std::vector<std::string>{"0001"});
    const auto result = target->claim(claim_request(run_info(2)), {}, {});
    const auto* error = std::get_if<Error>(&result);
    ASSERT_NE(error, nullptr) << text(result);
    EXPECT_EQ(error->reason, "DATABASE_REFUSED");
    const auto findings = target->diagnose();
    const auto writable = std::ranges::find(findings, "writable", &Finding::name);
    EXPECT_FALSE(writable->ok);
  });
  EXPECT_EQ(other.wait(), 0);
  ::chmod(path_.c_str(), 0644);
}

}  // namespace
}  // namespace syzygy::migration
