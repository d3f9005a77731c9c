// kill_client.cpp - an applier of its own process, for kill_test.cpp: SYZYGY_KILL_AT says where it dies.
//
// kill_client URL ACTION: prepares the target and does one thing there, as token 1 of the round "round-1".
#include <cstdio>
#include <string>

#include "tests/migration/target/suite.h"

int main(int argc, char** argv) {
  using namespace syzygy;
  using namespace syzygy::migration;
  if (argc != 3) return 2;
  const std::string url = argv[1];
  const std::string action = argv[2];
  auto target = prepared(url);
  if (target == nullptr) return 3;
  const RunInfo run = run_info(1, "killed");
  if (action == "adopt") return target->adopt({{StepId{"0001"}, "c"}}, StepId{"0001"}, "anna") ? 0 : 4;
  if (action == "accept") return target->accept(StepId{"0001"}, "new", "anna", "why") ? 0 : 4;
  if (action == "break-glass") {
    BreakGlass request;
    request.incarnation = run.incarnation;
    request.round = run.round;
    return std::holds_alternative<BreakGlassStarted>(target->break_glass_begin(request, {}, {})) ? 0 : 4;
  }
  ClaimRequest request = claim_request(run);
  request.fenced = action != "ended";
  if (!std::holds_alternative<Claimed>(target->claim(request, {}, {}))) return 4;
  if (action == "ended") return *target->mark_ended(run.token, run.incarnation) ? 0 : 4;
  if (action == "settle") return target->settle_begun(run, {}, "looked") ? 0 : 4;
  const Dialect dialect = url.starts_with("sqlite:") ? Dialect::kSqlite : Dialect::kPostgres;
  if (action == "down") {
    static_cast<void>(apply(*target, run, step(dialect, "0001", "create table a (id int)"), false));
    const auto down = step(dialect, "0001", "drop table a", {.atomic = false, .direction = Direction::kDown});
    return std::holds_alternative<Applied>(apply(*target, run, down, true)) ? 0 : 4;
  }
  const std::string sql =
      action == "fail" ? "create table a (id int); insert into nowhere values (1)" : "create table a (id int)";
  const ApplyResult result = apply(*target, run, step(dialect, "0001", sql, {.atomic = action == "atomic"}), true);
  std::printf("%s\n", text(result).c_str());
  return std::holds_alternative<Applied>(result) ? 0 : 4;
}
