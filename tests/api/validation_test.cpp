// What is refused before it reaches the engine, field by field, and what is cleaned instead.
#include "api/validation.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "base/sha256.h"

namespace syzygy::api {
namespace {

using namespace std::chrono_literals;

const std::string kLong(201, 'x');
const std::string kEscape = "eu\x1b[31m";
const std::string kNotUtf8 = "eu\xff";

round::RequestId request() { return {IncarnationId{"i-1"}, 1}; }

Step step(const std::string& id) { return {StepId{id}, Direction::kUp, Stage::kPreDeploy, sha256_hex(id), true}; }

round::Join join() {
  round::Join c;
  c.request = request();
  c.party = PartyName{"eu-west"};
  c.plan = Plan{TargetName{"orders"}, PlanStage::kAll, false, OnApplierLost::kStop, {step("0001")}};
  c.quorum = round::Quorum{3, {}};
  c.binding = round::Binding{"m", "s", "orders", ""};
  c.snapshot = round::Snapshot{
      Token{1}, round::TargetOutcome{RoundId{"r"}, Token{1}, round::State::kSucceeded}, {step("0000")}, "0000"};
  return c;
}
round::Confirm confirm() {
  round::Confirm c;
  c.request = request();
  c.round = RoundId{"r"};
  c.token = Token{1};
  return c;
}
round::Progressed progressed() {
  round::Progressed c;
  c.round = RoundId{"r"};
  c.incarnation = IncarnationId{"i"};
  return c;
}
round::Report report() {
  round::Report c;
  c.request = request();
  c.round = RoundId{"r"};
  c.token = Token{1};
  return c;
}
round::Leave leave() {
  round::Leave c;
  c.request = request();
  return c;
}
round::SeverRound sever() {
  round::SeverRound c;
  c.request = request();
  c.reason = "wrong plan";
  return c;
}
round::ResolveBegin resolve_begin() {
  round::ResolveBegin c;
  c.request = request();
  c.round = RoundId{"r"};
  c.reason = "looked";
  return c;
}
round::ResolveFinish resolve_finish() {
  round::ResolveFinish c;
  c.request = request();
  c.round = RoundId{"r"};
  c.token = Token{2};
  c.reason = "looked";
  return c;
}
round::SetTarget set_target() {
  round::SetTarget c;
  c.request = request();
  c.change_pin = true;
  return c;
}

struct Case {
  std::string what;
  std::function<round::Command()> make;
  std::string reason;  // empty: it is accepted
  std::string field;
};

template <class C>
Case with(std::string what, C command, const std::function<void(C&)>& change, std::string reason = "",
          std::string field = "") {
  return {std::move(what),
          [command, change]() mutable {
            change(command);
            return round::Command{command};
          },
          std::move(reason), std::move(field)};
}

const std::vector<Case>& cases() {
  using round::Join;
  static const std::vector<Case> all{
      with<Join>("a join", join(), [](Join&) {}),
      with<Join>(
          "no incarnation", join(), [](Join& c) { c.request.incarnation = {}; }, "NAME_INVALID", "request.incarnation"),
      with<Join>(
          "a long incarnation", join(), [](Join& c) { c.request.incarnation.value = kLong; }, "NAME_INVALID",
          "request.incarnation"),
      with<Join>(
          "sequence 0", join(), [](Join& c) { c.request.sequence = 0; }, "FIELD_INVALID", "request.sequence"),
      with<Join>(
          "no party", join(), [](Join& c) { c.party = {}; }, "NAME_INVALID", "party"),
      with<Join>(
          "a party with an escape", join(), [](Join& c) { c.party.value = kEscape; }, "NAME_INVALID", "party"),
      with<Join>(
          "a party with a line break", join(), [](Join& c) { c.party.value = "eu\nwest"; }, "NAME_INVALID", "party"),
      with<Join>(
          "a party that is not UTF-8", join(), [](Join& c) { c.party.value = kNotUtf8; }, "NAME_INVALID", "party"),
      with<Join>("a visit", join(), [](Join& c) { c.plan = std::nullopt; }),
      with<Join>(
          "an empty plan", join(), [](Join& c) { c.plan->steps.clear(); }, "PLAN_INVALID", "plan"),
      with<Join>(
          "another target's plan", join(), [](Join& c) { c.plan->target.value = "x"; }, "PLAN_INVALID", "plan.target"),
      with<Join>("a plan that names no target", join(), [](Join& c) { c.plan->target = {}; }),
      with<Join>(
          "a step with a control character", join(), [](Join& c) { c.plan->steps[0].id.value = "00\x01"; },
          "NAME_INVALID", "plan"),
      with<Join>(
          "too many steps", join(), [](Join& c) { c.plan->steps.resize(kPlanStepsMax + 1, step("a")); }, "PLAN_INVALID",
          "plan"),
      with<Join>("the pin's quorum", join(), [](Join& c) { c.quorum = std::nullopt; }),
      with<Join>(
          "quorum 0", join(), [](Join& c) { c.quorum->parties = 0; }, "QUORUM_INVALID", "quorum"),
      with<Join>("quorum 1", join(), [](Join& c) { c.quorum->parties = 1; }),
      with<Join>("quorum 1000", join(), [](Join& c) { c.quorum->parties = 1'000; }),
      with<Join>(
          "quorum 1001", join(), [](Join& c) { c.quorum->parties = 1'001; }, "QUORUM_INVALID", "quorum"),
      with<Join>(
          "quorum -1 of somebody who does not know better", join(),
          [](Join& c) { c.quorum->parties = std::numeric_limits<std::uint32_t>::max(); }, "QUORUM_INVALID", "quorum"),
      with<Join>("a roster", join(), [](Join& c) { c.quorum = round::Quorum{2, {PartyName{"a"}, PartyName{"b"}}}; }),
      with<Join>(
          "a roster and another number", join(),
          [](Join& c) { c.quorum = round::Quorum{3, {PartyName{"a"}, PartyName{"b"}}}; }, "QUORUM_INVALID", "quorum"),
      with<Join>(
          "a roster with a bad name", join(), [](Join& c) { c.quorum = round::Quorum{1, {PartyName{" a"}}}; },
          "NAME_INVALID", "quorum.roster"),
      with<Join>("timeout of 7 days", join(), [](Join& c) { c.timeout = kTimeoutMax; }),
      with<Join>(
          "a longer timeout", join(), [](Join& c) { c.timeout = kTimeoutMax + 1ms; }, "DURATION_INVALID", "timeout"),
      with<Join>(
          "a negative timeout", join(), [](Join& c) { c.timeout = -1ms; }, "DURATION_INVALID", "timeout"),
      with<Join>("a lease of 1 s", join(), [](Join& c) { c.lease = 1s; }),
      with<Join>(
          "a lease below", join(), [](Join& c) { c.lease = 999ms; }, "DURATION_INVALID", "lease"),
      with<Join>("the longest lease", join(), [](Join& c) { c.lease = 300s; }),
      with<Join>(
          "a longer lease", join(), [](Join& c) { c.lease = 300s + 1ms; }, "DURATION_INVALID", "lease"),
      with<Join>(
          "a negative lease", join(), [](Join& c) { c.lease = -5s; }, "DURATION_INVALID", "lease"),
      with<Join>(
          "a database id with an escape", join(), [](Join& c) { c.binding->minted_id = kEscape; }, "NAME_INVALID",
          "binding.minted_id"),
      with<Join>(
          "a database name that is not UTF-8", join(), [](Join& c) { c.binding->database = kNotUtf8; }, "FIELD_INVALID",
          "binding.database"),
      with<Join>("a long SQLite path", join(), [](Join& c) { c.binding->database = std::string(1'000, 'd'); }),
      with<Join>(
          "an application with a line break", join(), [](Join& c) { c.binding->application = "a\nb"; }, "NAME_INVALID",
          "binding.application"),
      with<Join>(
          "a huge snapshot", join(), [](Join& c) { c.snapshot->recent.resize(257, step("a")); }, "FIELD_INVALID",
          "snapshot.recent"),
      with<Join>(
          "a snapshot with a bad step", join(), [](Join& c) { c.snapshot->recent[0].id = {}; }, "NAME_INVALID",
          "snapshot.recent"),
      with<Join>(
          "a snapshot with an outcome that is none", join(),
          [](Join& c) { c.snapshot->last_outcome->state = round::State::kGathering; }, "FIELD_INVALID",
          "snapshot.last_outcome.state"),
      with<Join>(
          "a bad release", join(), [](Join& c) { c.release.value = kEscape; }, "NAME_INVALID", "release"),

      with<round::Renew>("a renewal", {IncarnationId{"i"}, {}}, [](auto&) {}),
      with<round::Renew>(
          "of nobody", {}, [](auto&) {}, "NAME_INVALID", "incarnation"),

      with<round::Confirm>("a confirmation", confirm(), [](auto&) {}),
      with<round::Confirm>(
          "of no round", confirm(), [](auto& c) { c.round = {}; }, "NAME_INVALID", "round_id"),
      with<round::Confirm>(
          "without a token", confirm(), [](auto& c) { c.token = {}; }, "FIELD_MISSING", "token"),
      with<round::Confirm>(
          "from a step beyond all", confirm(), [](auto& c) { c.finding.from_step = 10'001; }, "FIELD_INVALID",
          "finding.from_step"),
      with<round::Confirm>(
          "with a bad committed step", confirm(), [](auto& c) { c.finding.committed = {StepId{""}}; }, "NAME_INVALID",
          "finding.committed"),

      with<round::Progressed>("progress", progressed(), [](auto&) {}),
      with<round::Progressed>(
          "progress beyond all", progressed(), [](auto& c) { c.step_index = 10'001; }, "FIELD_INVALID",
          "progress.step_index"),
      with<round::Progressed>(
          "progress of nobody", progressed(), [](auto& c) { c.incarnation = {}; }, "NAME_INVALID", "incarnation"),

      with<round::Report>("a report", report(), [](auto&) {}),
      with<round::Report>(
          "with a bad step", report(), [](auto& c) { c.failed_step.value = "a\nb"; }, "NAME_INVALID", "failed_step"),
      with<round::Report>(
          "with too many steps", report(), [](auto& c) { c.steps_done = 10'001; }, "FIELD_INVALID", "steps_done"),
      with<round::Report>(
          "without a token", report(), [](auto& c) { c.token = {}; }, "FIELD_MISSING", "token"),

      with<round::Leave>("leaving", leave(), [](auto&) {}),
      with<round::Leave>(
          "leaving with a bad party", leave(), [](auto& c) { c.party.value = kEscape; }, "NAME_INVALID", "party"),
      with<round::Leave>(
          "leaving with a bad finding", leave(),
          [](auto& c) {
            c.finding = round::Finding{};
            c.finding->from_step = 10'001;
          },
          "FIELD_INVALID", "finding.from_step"),

      with<round::SeverRound>("severing", sever(), [](auto&) {}),
      with<round::SeverRound>(
          "severing without a reason", sever(), [](auto& c) { c.reason = "  "; }, "FIELD_MISSING", "reason"),
      with<round::SeverRound>(
          "severing a bad round", sever(), [](auto& c) { c.round.value = kLong; }, "NAME_INVALID", "round_id"),

      with<round::ResolveBegin>("resolving", resolve_begin(), [](auto&) {}),
      with<round::ResolveBegin>(
          "resolving no round", resolve_begin(), [](auto& c) { c.round = {}; }, "NAME_INVALID", "round_id"),
      with<round::ResolveBegin>(
          "resolving without a reason", resolve_begin(), [](auto& c) { c.reason = ""; }, "FIELD_MISSING", "reason"),
      with<round::ResolveFinish>("finishing", resolve_finish(), [](auto&) {}),
      with<round::ResolveFinish>(
          "finishing without a token", resolve_finish(), [](auto& c) { c.token = {}; }, "FIELD_MISSING", "token"),
      with<round::ResolveFinish>(
          "finishing with no verdict", resolve_finish(), [](auto& c) { c.verdict = round::State::kGathering; },
          "FIELD_INVALID", "verdict"),

      with<round::SetTarget>("clearing the pin", set_target(), [](auto&) {}),
      with<round::SetTarget>(
          "setting nothing", set_target(), [](auto& c) { c.change_pin = false; }, "FIELD_MISSING", "pin"),
      with<round::SetTarget>(
          "a pin of 0", set_target(), [](auto& c) { c.pin = round::Quorum{0, {}}; }, "QUORUM_INVALID", "pin.quorum"),
      with<round::SetTarget>(
          "an excuse without a reason", set_target(),
          [](auto& c) {
            c.excuse = PartyName{"eu"};
            c.excuse_for = 2h;
          },
          "FIELD_MISSING", "reason"),
      with<round::SetTarget>("an excuse's end", set_target(), [](auto& c) { c.excuse = PartyName{"eu"}; }),
      with<round::SetTarget>(
          "an excuse of nobody", set_target(), [](auto& c) { c.excuse = PartyName{}; }, "NAME_INVALID", "excuse.party"),
      with<round::SetTarget>(
          "an excuse for ever", set_target(),
          [](auto& c) {
            c.excuse = PartyName{"eu"};
            c.excuse_for = kExcuseMax + 1ms;
            c.reason = "gone";
          },
          "DURATION_INVALID", "excuse_for"),
      with<round::SetTarget>(
          "rebinding without a reason", set_target(), [](auto& c) { c.rebind = round::Binding{}; }, "FIELD_MISSING",
          "reason"),

      with<round::Tick>(
          "a tick", {}, [](auto&) {}, "FIELD_INVALID", "command"),
      with<round::Grace>(
          "a grace", {}, [](auto&) {}, "FIELD_INVALID", "command"),
      with<round::Remind>(
          "a reminder", {}, [](auto&) {}, "FIELD_INVALID", "command"),
      with<round::Renew>(
          "a memory of a round without a name", {IncarnationId{"i"}, {}},
          [](auto& c) { c.memory.emplace().round.emplace(); }, "NAME_INVALID", "memory.round.id"),
  };
  return all;
}

TEST(Validation, EveryFieldOfEveryCommand) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.what);
    round::Command command = c.make();
    const auto checked = check(TargetName{"orders"}, command, round::Settings{});
    if (c.reason.empty()) {
      EXPECT_TRUE(checked.has_value()) << checked.error().message;
      continue;
    }
    ASSERT_FALSE(checked.has_value());
    EXPECT_EQ(checked.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(checked.error().reason, c.reason) << checked.error().message;
    EXPECT_EQ(checked.error().metadata.at("field"), c.field);
    EXPECT_EQ(clean_text(checked.error().message, 100'000), checked.error().message) << "echoes what it was given";
    EXPECT_LT(checked.error().message.size(), 400u);
  }
}

TEST(Validation, TheTargetsName) {
  for (const std::string& name : {std::string(), kLong, kEscape, kNotUtf8, std::string("a\0b", 3)}) {
    round::Command command = join();
    const auto checked = check(TargetName{name}, command, round::Settings{});
    ASSERT_FALSE(checked.has_value());
    EXPECT_EQ(checked.error().metadata.at("field"), "target");
  }
}

TEST(Validation, DefaultsAreFilledIn) {
  round::Command command = join();
  std::get<round::Join>(command).plan->target = {};
  ASSERT_TRUE(check(TargetName{"orders"}, command, round::Settings{}).has_value());
  EXPECT_EQ(std::get<round::Join>(command).plan->target, TargetName{"orders"});
  EXPECT_EQ(std::get<round::Join>(command).binding->application, "default");
  command = sever();
  ASSERT_TRUE(check(TargetName{"orders"}, command, round::Settings{}).has_value());
  EXPECT_EQ(std::get<round::SeverRound>(command).actor, "somebody");
}

TEST(Validation, TextsAreCleanedNotRefused) {
  round::Command command = report();
  auto& c = std::get<round::Report>(command);
  c.message = "syntax error\nat \x1b[31mred\x1b[0m \xff" + std::string(10'000, 'x');
  ASSERT_TRUE(check(TargetName{"orders"}, command, round::Settings{}).has_value());
  EXPECT_TRUE(c.message.starts_with("syntax error\\nat \\x1b[31mred\\x1b[0m \\xffxxx")) << c.message.substr(0, 80);
  EXPECT_LE(c.message.size(), kTextBytesMax);
  EXPECT_TRUE(c.message.ends_with("xxx..."));
  const std::string once = c.message;
  ASSERT_TRUE(check(TargetName{"orders"}, command, round::Settings{}).has_value());
  EXPECT_EQ(c.message, once) << "a text that went through may come again";
}

TEST(Validation, CleanText) {
  EXPECT_EQ(clean_text("", 10), "");
  EXPECT_EQ(clean_text("plain", 5), "plain");
  EXPECT_EQ(clean_text("plainer", 6), "pla...");
  EXPECT_EQ(clean_text("größe", 100), "größe");
  EXPECT_EQ(clean_text("größe", 6), "gr...") << "never cuts inside a character";
  EXPECT_EQ(clean_text("a\tb\r\n", 100), "a\\tb\\r\\n");
  EXPECT_EQ(clean_text("\xc2\x85", 100), "\\xc2\\x85");
  EXPECT_EQ(clean_text("\xe2\x80\xa8", 100), "\\xe2\\x80\\xa8");
  EXPECT_EQ(clean_text("\xe2\x80", 100), "\\xe2\\x80");
  EXPECT_EQ(clean_text("\x80", 100), "\\x80");
  EXPECT_EQ(clean_text(std::string(1, '\0'), 100), "\\x00");
  for (std::size_t most = 3; most < 40; ++most) {
    EXPECT_LE(clean_text("a\nö\x01 and some more of it, quite some", most).size(), most);
  }
}

TEST(Validation, TestsMayScaleTheLease) {
  round::Settings settings;
  settings.lease = 200ms;
  round::Command command = join();
  std::get<round::Join>(command).lease = 200ms;
  EXPECT_TRUE(check(TargetName{"orders"}, command, settings).has_value());
  std::get<round::Join>(command).lease = 199ms;
  EXPECT_FALSE(check(TargetName{"orders"}, command, settings).has_value());
}

// ---- the barrier ----

barrier::Enter enter() { return {3, PartyName{"eu"}, IncarnationId{"e1"}, Duration{0}}; }

std::string field_of(const std::string& name, barrier::Command command, Duration wait = Duration{0}) {
  const auto checked = check(name, command, wait, barrier::Settings{});
  return checked ? "" : checked.error().metadata.at("field");
}

TEST(Validation, BarrierFields) {
  EXPECT_EQ(field_of("orders", enter()), "");
  EXPECT_EQ(field_of("", enter()), "namespace");
  EXPECT_EQ(field_of("a\nb", enter()), "namespace");
  EXPECT_EQ(field_of(kLong, enter()), "namespace");
  barrier::Enter c = enter();
  c.quorum = 0;
  EXPECT_EQ(field_of("orders", c), "quorum");
  c = enter();
  c.quorum = 1'001;
  EXPECT_EQ(field_of("orders", c), "quorum");
  c = enter();
  c.party = {};
  EXPECT_EQ(field_of("orders", c), "party");
  c = enter();
  c.incarnation = {};
  EXPECT_EQ(field_of("orders", c), "incarnation");
  c = enter();
  c.lease = 999ms;
  EXPECT_EQ(field_of("orders", c), "lease");
  EXPECT_EQ(field_of("orders", enter(), -1ms), "wait");
  EXPECT_EQ(field_of("orders", barrier::Await{Generation{1}, IncarnationId{"e1"}}), "");
  EXPECT_EQ(field_of("orders", barrier::Await{Generation{0}, IncarnationId{"e1"}}), "generation");
  EXPECT_EQ(field_of("orders", barrier::Await{Generation{1}, IncarnationId{}}), "incarnation");
  EXPECT_EQ(field_of("orders", barrier::Sever{3, PartyName{"eu"}, IncarnationId{"e1"}, ""}), "");
  EXPECT_EQ(field_of("orders", barrier::Sever{0, PartyName{"eu"}, IncarnationId{"e1"}, ""}), "quorum");
  EXPECT_EQ(field_of("orders", barrier::Tick{}), "command");
  EXPECT_EQ(field_of("orders", barrier::Grace{}), "command");
}

TEST(Validation, WhoWaitsAtABarrierIsCountedForAsLong) {
  const barrier::Settings settings;
  barrier::Command command = enter();
  ASSERT_TRUE(check("orders", command, 600s, settings).has_value());
  EXPECT_EQ(std::get<barrier::Enter>(command).lease, 900s);
  command = enter();
  ASSERT_TRUE(check("orders", command, 1s, settings).has_value());
  EXPECT_EQ(std::get<barrier::Enter>(command).lease, settings.lease);
  command = enter();
  ASSERT_TRUE(check("orders", command, 0s, settings).has_value());
  EXPECT_EQ(std::get<barrier::Enter>(command).lease, 0s);
  command = enter();
  std::get<barrier::Enter>(command).lease = 5s;
  ASSERT_TRUE(check("orders", command, 600s, settings).has_value());
  EXPECT_EQ(std::get<barrier::Enter>(command).lease, 5s);
}

TEST(Validation, ABarriersReasonIsNeverEmpty) {
  barrier::Command command = barrier::Sever{3, PartyName{"eu"}, IncarnationId{"e1"}, ""};
  ASSERT_TRUE(check("orders", command, 0s, barrier::Settings{}).has_value());
  EXPECT_EQ(std::get<barrier::Sever>(command).reason, "severed by eu");
}

}  // namespace
}  // namespace syzygy::api
