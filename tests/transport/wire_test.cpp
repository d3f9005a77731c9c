// Requests as commands and states as messages: tables of what is taken, what is refused, and one golden state.
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "api/service.h"
#include "transport/wire/bearer.h"
#include "transport/wire/json.h"
#include "transport/wire/request.h"
#include "transport/wire/response.h"
#include "transport/wire/update_cache.h"

namespace syzygy::wire {
namespace {

template <class Message>
Message parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

struct Refused {
  const char* request;
  const char* reason;
  const char* field;
};

template <class Message>
void expect_refused(const std::vector<Refused>& rows) {
  for (const Refused& row : rows) {
    const auto command = to_command(parse<Message>(row.request));
    ASSERT_FALSE(command) << row.request;
    EXPECT_EQ(command.error().code, ErrorCode::kInvalidArgument) << row.request;
    EXPECT_EQ(command.error().reason, row.reason) << row.request;
    EXPECT_EQ(command.error().metadata.at("field"), row.field) << row.request;
    EXPECT_NE(command.error().message.find(row.field), std::string::npos) << command.error().message;
  }
}

TEST(Request, JoinCarriesEverything) {
  const auto command = to_command(parse<v1::JoinRequest>(R"(
    request { incarnation: "i1" sequence: 3 } target: "orders" party: "eu-west"
    plan { stage: STAGE_PRE_DEPLOY retry_when_applier_lost: true
           steps { id: "0004" direction: DIRECTION_DOWN stage: STAGE_POST_DEPLOY content: "ab" atomic: true }
           steps { id: "0005" stage: STAGE_PRE_DEPLOY } }
    quorum { roster: "eu-west" roster: "us-east" }
    timeout { seconds: 60 } lease { nanos: 1 }
    voter_only: true fail_on_divergence: true again: true checked: true
    binding { minted_id: "m" system_id: "s" database: "d" }
    snapshot { token: 7 last_outcome { round_id: "r0" token: 6 state: ROUND_STATE_SUCCEEDED }
               recent { id: "0003" stage: STAGE_PRE_DEPLOY } last_step: "0003" }
    host: "h" client_version: "0.1" release: "v2")"));
  ASSERT_TRUE(command) << command.error().message;
  EXPECT_EQ(command->target, "orders");
  const auto& join = std::get<round::Join>(command->command);
  EXPECT_EQ(join.request, (round::RequestId{IncarnationId("i1"), 3}));
  EXPECT_EQ(join.party, PartyName("eu-west"));
  ASSERT_TRUE(join.plan);
  EXPECT_EQ(join.plan->target, TargetName("orders"));
  EXPECT_EQ(join.plan->stage, PlanStage::kPreDeploy);
  EXPECT_EQ(join.plan->on_applier_lost, OnApplierLost::kRetry);
  ASSERT_EQ(join.plan->steps.size(), 2U);
  EXPECT_EQ(join.plan->steps[0], (Step{StepId("0004"), Direction::kDown, Stage::kPostDeploy, "ab", true}));
  EXPECT_EQ(join.plan->steps[1], (Step{StepId("0005"), Direction::kUp, Stage::kPreDeploy, "", false}));
  EXPECT_EQ(join.quorum, (round::Quorum{2, {PartyName("eu-west"), PartyName("us-east")}}));
  EXPECT_EQ(join.timeout, Duration(60'000));
  EXPECT_EQ(join.lease, Duration(1)) << "the shortest duration is not the default";
  EXPECT_FALSE(join.may_apply);
  EXPECT_TRUE(join.fail_on_divergence && join.again && join.checked);
  EXPECT_EQ(join.binding, (round::Binding{"m", "s", "d", "default"}));
  ASSERT_TRUE(join.snapshot);
  EXPECT_EQ(join.snapshot->token, Token(7));
  EXPECT_EQ(join.snapshot->last_outcome, (round::TargetOutcome{RoundId("r0"), Token(6), round::State::kSucceeded}));
  EXPECT_EQ(join.snapshot->recent.size(), 1U);
  EXPECT_EQ(join.snapshot->last_step, "0003");
  EXPECT_EQ(join.host + join.client_version + join.release.value, "h0.1v2");
  EXPECT_TRUE(join.fresh_round.empty()) << "the service draws it";
}

TEST(Request, ARenewalTellsWhatItsSenderSaw) {
  const auto command = to_command(parse<v1::RenewRequest>(R"(
    target: "orders" incarnation: "i1" token: 5
    memory { epoch: "e" revision: 9 token: 6
             round { id: "r1" plan { stage: STAGE_ALL opaque: true } quorum { parties: 3 } state: ROUND_STATE_APPLYING
                     applier: "i2" applier_party: "us-east" token: 6 fenced: true } })"));
  ASSERT_TRUE(command) << command.error().message;
  const auto& memory = std::get<round::Renew>(command->command).memory;
  ASSERT_TRUE(memory && memory->round);
  EXPECT_EQ(memory->epoch, "e");
  EXPECT_EQ(memory->revision, Revision(9));
  EXPECT_EQ(memory->token, Token(6));
  EXPECT_EQ(memory->round->state, round::State::kApplying);
  EXPECT_EQ(memory->round->quorum.parties, 3U);
  EXPECT_EQ(memory->round->plan.target, TargetName("orders"));
  EXPECT_EQ(memory->round->applier, IncarnationId("i2"));
  EXPECT_EQ(memory->round->applier_party, PartyName("us-east"));
  EXPECT_TRUE(memory->round->plan.opaque && memory->round->fenced);
  EXPECT_FALSE(to_command(parse<v1::RenewRequest>("target: 't' memory { round { id: 'r' quorum { parties: 1 } } }")));
}

TEST(Request, AVisitHasNoPlanAndAnAbsentQuorumIsThePins) {
  const auto command =
      to_command(parse<v1::JoinRequest>("request { incarnation: 'i' sequence: 1 } target: 't' party: 'p' "
                                        "binding { application: 'billing' }"));
  ASSERT_TRUE(command);
  const auto& join = std::get<round::Join>(command->command);
  EXPECT_FALSE(join.plan || join.quorum || join.snapshot);
  EXPECT_FALSE(join.binding) << "all empty: the caller has no database";
  EXPECT_TRUE(join.may_apply);
}

TEST(Request, JoinRefuses) {
  const std::string id = "request { incarnation: 'i' sequence: 1 } ";
  const std::string step = id + "plan { steps { id: 'a' stage: STAGE_ALL } }";
  const std::string second = id + "plan { steps { id: 'a' stage: STAGE_PRE_DEPLOY } steps { id: 'b' } }";
  const std::string zero = id + "quorum { }";
  const std::string twice = id + "quorum { roster: 'a' roster: 'a' }";
  const std::string both = id + "quorum { parties: 3 roster: 'a' }";
  const std::string negative = id + "timeout { seconds: -1 }";
  const std::string nanos = id + "lease { nanos: 1000000000 }";
  const std::string huge = id + "lease { seconds: 9223372036854775807 }";
  const std::string outcome = id + "snapshot { last_outcome { state: ROUND_STATE_APPLYING } }";
  expect_refused<v1::JoinRequest>({
      {"target: 't'", "FIELD_MISSING", "request"},
      {step.c_str(), "ENUM_UNKNOWN", "plan.steps[0].stage"},
      {second.c_str(), "ENUM_UNKNOWN", "plan.steps[1].stage"},
      {zero.c_str(), "FIELD_INVALID", "quorum"},
      {twice.c_str(), "FIELD_INVALID", "quorum.roster"},
      {both.c_str(), "FIELD_INVALID", "quorum"},
      {negative.c_str(), "DURATION_INVALID", "timeout"},
      {nanos.c_str(), "DURATION_INVALID", "lease"},
      {huge.c_str(), "DURATION_INVALID", "lease"},
      {outcome.c_str(), "ENUM_UNKNOWN", "snapshot.last_outcome.state"},
  });
}

TEST(Request, AnEnumValueOfANewerClientIsNamed) {
  v1::JoinRequest request = parse<v1::JoinRequest>("request { incarnation: 'i' sequence: 1 }");
  request.mutable_plan()->set_stage(static_cast<v1::Stage>(99));
  const auto command = to_command(request);
  ASSERT_FALSE(command);
  EXPECT_EQ(command.error().reason, "ENUM_UNKNOWN");
  EXPECT_EQ(command.error().metadata.at("value"), "99");
}

TEST(Request, TooManyStepsAreRefusedBeforeTheyAreCopied) {
  v1::JoinRequest request = parse<v1::JoinRequest>("request { incarnation: 'i' sequence: 1 }");
  for (std::size_t i = 0; i <= kPlanStepsMax; ++i) request.mutable_plan()->add_steps();
  const auto command = to_command(request);
  ASSERT_FALSE(command);
  EXPECT_EQ(command.error().metadata.at("field"), "plan.steps");
}

TEST(Request, ConfirmNeedsItsFinding) {
  const std::string id = "request { incarnation: 'i' sequence: 1 } round_id: 'r' token: 5 ";
  const auto whole = to_command(parse<v1::ConfirmRequest>(
      id +
      "claim: CLAIM_COMPLETE fenced: true finding { kind: KIND_SUFFIX from_step: 2 committed: 'a' committed: 'b' "
      "sessions_gone: true begun_by: 'r0' }"));
  ASSERT_TRUE(whole);
  const auto& confirm = std::get<round::Confirm>(whole->command);
  EXPECT_EQ(confirm.round, RoundId("r"));
  EXPECT_EQ(confirm.token, Token(5));
  EXPECT_EQ(confirm.claim, round::Claim::kComplete);
  EXPECT_TRUE(confirm.fenced && confirm.finding.sessions_gone);
  EXPECT_EQ(confirm.finding.kind, round::Finding::Kind::kSuffix);
  EXPECT_EQ(confirm.finding.from_step, 2U);
  EXPECT_EQ(confirm.finding.begun_by, RoundId("r0"));
  EXPECT_EQ(confirm.finding.committed, (std::vector{StepId("a"), StepId("b")}));
  const auto refused = to_command(parse<v1::ConfirmRequest>(id + "claim: CLAIM_REFUSED row_token: 9"));
  ASSERT_TRUE(refused);
  EXPECT_EQ(std::get<round::Confirm>(refused->command).row_token, Token(9));

  const std::string without = id + "claim: CLAIM_COMPLETE";
  const std::string kind = id + "claim: CLAIM_COMPLETE finding { from_step: 1 }";
  const std::string outcome = id + "claim: CLAIM_COMPLETE finding { kind: KIND_OUTCOME }";
  expect_refused<v1::ConfirmRequest>({{"round_id: 'r'", "FIELD_MISSING", "request"},
                                      {id.c_str(), "ENUM_UNKNOWN", "claim"},
                                      {without.c_str(), "FIELD_MISSING", "finding"},
                                      {kind.c_str(), "ENUM_UNKNOWN", "finding.kind"},
                                      {outcome.c_str(), "FIELD_MISSING", "finding.outcome"}});
}

TEST(Request, EveryFindingAndEveryResultHasItsOwnMeaning) {
  for (int kind = v1::Finding::KIND_WHOLE; kind <= v1::Finding::Kind_MAX; ++kind) {
    v1::ConfirmRequest request = parse<v1::ConfirmRequest>(
        "request { incarnation: 'i' sequence: 1 } claim: CLAIM_COMPLETE "
        "finding { outcome { state: ROUND_STATE_SUCCEEDED } }");
    request.mutable_finding()->set_kind(static_cast<v1::Finding::Kind>(kind));
    const auto command = to_command(request);
    ASSERT_TRUE(command);
    EXPECT_EQ(static_cast<int>(std::get<round::Confirm>(command->command).finding.kind), kind - 1);
  }
  for (int result = v1::ReportRequest::RESULT_SUCCEEDED; result <= v1::ReportRequest::Result_MAX; ++result) {
    v1::ReportRequest request = parse<v1::ReportRequest>(
        "request { incarnation: 'i' sequence: 1 } message: 'm' failed_step: 's' exit_code: -3 steps_done: 2 "
        "in_target: true session_ended: true row_token: 8");
    request.set_result(static_cast<v1::ReportRequest::Result>(result));
    const auto command = to_command(request);
    ASSERT_TRUE(command);
    const auto& report = std::get<round::Report>(command->command);
    EXPECT_EQ(static_cast<int>(report.result), result - 1);
    EXPECT_EQ(report.exit_code, -3);
    EXPECT_EQ(report.row_token, Token(8));
    EXPECT_TRUE(report.in_target && report.session_ended);
  }
  expect_refused<v1::ReportRequest>({{"request { sequence: 1 }", "ENUM_UNKNOWN", "result"}});
}

TEST(Request, ResolveHasTwoPhases) {
  const std::string id = "request { incarnation: 'i' sequence: 1 } round_id: 'r' actor: 'ann' reason: 'why' ";
  const auto begin = to_command(parse<v1::ResolveRequest>(id + "phase: PHASE_BEGIN revision: 12"));
  ASSERT_TRUE(begin);
  EXPECT_EQ(std::get<round::ResolveBegin>(begin->command).seen, Revision(12));
  const auto finish = to_command(parse<v1::ResolveRequest>(
      id + "phase: PHASE_FINISH token: 4 verdict: ROUND_STATE_SUCCEEDED attest_stopped: true"));
  ASSERT_TRUE(finish);
  EXPECT_EQ(std::get<round::ResolveFinish>(finish->command).verdict, round::State::kSucceeded);
  EXPECT_TRUE(std::get<round::ResolveFinish>(finish->command).attest_stopped);
  const auto found = to_command(parse<v1::ResolveRequest>(
      id + "phase: PHASE_FINISH token: 4 claimed: true found { round_id: 'r' state: ROUND_STATE_SUCCEEDED }"));
  ASSERT_TRUE(found);
  EXPECT_EQ(std::get<round::ResolveFinish>(found->command).verdict, round::State::kSucceeded);

  const std::string phase = id + "verdict: ROUND_STATE_FAILED";
  const std::string none = id + "phase: PHASE_FINISH";
  const std::string strange = id + "phase: PHASE_FINISH verdict: ROUND_STATE_APPLYING";
  expect_refused<v1::ResolveRequest>({{phase.c_str(), "ENUM_UNKNOWN", "phase"},
                                      {none.c_str(), "FIELD_MISSING", "verdict"},
                                      {strange.c_str(), "ENUM_UNKNOWN", "verdict"}});
}

TEST(Request, SetTargetTellsClearingFromLeavingAlone) {
  const std::string id = "request { incarnation: 'i' sequence: 1 } ";
  const auto clear = to_command(parse<v1::SetTargetRequest>(id + "pin { }"));
  ASSERT_TRUE(clear);
  EXPECT_TRUE(std::get<round::SetTarget>(clear->command).change_pin);
  EXPECT_FALSE(std::get<round::SetTarget>(clear->command).pin);
  const auto excuse = to_command(parse<v1::SetTargetRequest>(
      id + "excuse { party: 'ap-south' reason: 'region down' } excuse_for { seconds: 7200 }"));
  ASSERT_TRUE(excuse);
  const auto& set = std::get<round::SetTarget>(excuse->command);
  EXPECT_FALSE(set.change_pin);
  EXPECT_EQ(set.excuse, PartyName("ap-south"));
  EXPECT_EQ(set.excuse_for, Duration(7'200'000));
  EXPECT_EQ(set.reason, "region down");

  const std::string nothing = id + "reason: 'x'";
  const std::string nobody = id + "excuse_for { seconds: 1 }";
  const std::string empty = id + "rebind { }";
  const std::string zero = id + "pin { quorum { } }";
  expect_refused<v1::SetTargetRequest>({{nothing.c_str(), "FIELD_MISSING", "pin"},
                                        {nobody.c_str(), "FIELD_MISSING", "excuse.party"},
                                        {empty.c_str(), "FIELD_MISSING", "rebind"},
                                        {zero.c_str(), "FIELD_INVALID", "pin.quorum"}});
}

TEST(Request, Barriers) {
  const auto enter = to_command(parse<v1::EnterRequest>(
      "namespace: 'n' quorum: 3 party: 'p' incarnation: 'i' lease { seconds: 5 } wait { seconds: 30 }"));
  ASSERT_TRUE(enter);
  EXPECT_EQ(enter->name, "n");
  EXPECT_EQ(enter->wait, Duration(30'000));
  EXPECT_EQ(std::get<barrier::Enter>(enter->command).quorum, 3U);
  const auto await = to_command(parse<v1::AwaitRequest>("namespace: 'n' generation: 4 incarnation: 'i'"));
  ASSERT_TRUE(await);
  EXPECT_EQ(std::get<barrier::Await>(await->command).generation, Generation(4));
  EXPECT_EQ(await->wait, Duration(0));
  expect_refused<v1::EnterRequest>({{"wait { seconds: -1 }", "DURATION_INVALID", "wait"}});
}

TEST(Request, PagesHaveALimit) {
  EXPECT_EQ(page_size(0), 100U);
  EXPECT_EQ(page_size(7), 7U);
  EXPECT_EQ(page_size(4'000'000'000), 1'000U);
}

round::Event event_of(Revision revision, round::EventKind kind) {
  round::Event event;
  event.revision = revision;
  event.kind = kind;
  return event;
}

engine::TargetState example() {
  using namespace syzygy::round;
  Record record;
  record.target = TargetName("orders");
  record.revision = Revision(12);
  record.token = Token(3);
  record.binding = Binding{"m1", "s1", "orders_db", "default"};
  record.pin = Pin{Quorum{2, {PartyName("eu"), PartyName("us")}}, "ann", "two regions"};
  record.visits[PartyName("ap")] = Visit{Instant{1'000'500}, "0003", ReleaseName("v1"), "pod-7"};
  Plan plan{TargetName("orders"),
            PlanStage::kPreDeploy,
            false,
            OnApplierLost::kStop,
            {Step{StepId("0004"), Direction::kUp, Stage::kPreDeploy, std::string(64, 'a'), true}}};
  Round done;
  done.id = RoundId("r-1");
  done.generation = Generation(1);
  done.plan = plan;
  done.hash = PlanHash("h");
  done.state = State::kSucceeded;
  done.effective = Quorum{2, {PartyName("eu"), PartyName("us")}};
  done.opened_at = Instant{990'000};
  done.elected_at = Instant{991'000};
  done.ended_at = Instant{992'500};
  done.outcome = Outcome{.message = "applied 0004",
                         .failed_step = {},
                         .exit_code = 0,
                         .steps_done = 1,
                         .applier = PartyName("eu"),
                         .token = Token(2),
                         .in_target = true,
                         .at = Instant{992'500},
                         .revision = Revision(9)};
  record.rounds.push_back(done);
  Round now;
  now.id = RoundId("r-2");
  now.generation = Generation(2);
  now.plan = plan;
  now.hash = PlanHash("h");
  now.state = State::kApplying;
  now.effective = done.effective;
  Member eu;
  eu.party = PartyName("eu");
  eu.incarnation = IncarnationId("i-eu");
  eu.host = "host-eu";
  eu.joined_at = Instant{999'000};
  eu.lease_until = Instant{1'012'000};
  eu.deadline = Instant{2'000'000};
  now.members.push_back(eu);
  now.grant = Grant{.incarnation = IncarnationId("i-eu"),
                    .party = PartyName("eu"),
                    .token = Token(3),
                    .claimed = true,
                    .fenced = true,
                    .lease_until = Instant{999'000}};
  now.progress = Progress{0, StepId("0004"), "statement 1 of 2", Instant{1'000'000}};
  now.opened_at = Instant{999'000};
  now.elected_at = Instant{999'500};
  record.rounds.push_back(now);
  return {"epoch-1", record, Instant{1'001'000}, false};
}

TEST(Response, ATargetIsShownWholeNewestRoundFirst) {
  const v1::Target target = to_proto(example());
  EXPECT_EQ(target.name(), "orders");
  EXPECT_EQ(target.revision(), 12U);
  ASSERT_EQ(target.rounds_size(), 2);
  const v1::Round& now = target.rounds(0);
  EXPECT_EQ(now.id(), "r-2");
  EXPECT_EQ(now.state(), v1::ROUND_STATE_APPLYING);
  EXPECT_EQ(now.present(), 1U);
  ASSERT_EQ(now.missing_size(), 1);
  EXPECT_EQ(now.missing(0), "us");
  EXPECT_EQ(now.members(0).standing(), v1::Member::STANDING_COUNTED);
  EXPECT_EQ(now.members(0).lease_left().seconds(), 11) << "counted from the instant of the state";
  EXPECT_EQ(now.applier().host(), "host-eu");
  EXPECT_EQ(now.applier().lease_left().seconds(), 0) << "over, not negative";
  EXPECT_EQ(now.progress().step_count(), 1U);
  EXPECT_FALSE(now.has_ended_at());
  const v1::Round& done = target.rounds(1);
  EXPECT_EQ(done.outcome().state(), v1::ROUND_STATE_SUCCEEDED);
  EXPECT_EQ(done.outcome().took().seconds(), 1);
  EXPECT_EQ(done.outcome().took().nanos(), 500'000'000);
  EXPECT_EQ(done.outcome().revision(), 9U);
}

TEST(Response, GoldenJson) {
  v1::Target target = to_proto(example());
  target.mutable_rounds()->DeleteSubrange(1, 1);
  EXPECT_EQ(
      to_json(target),
      R"({"name":"orders","epoch":"epoch-1","revision":"12","token":"3","binding":{"mintedId":"m1","systemId":"s1",)"
      R"("database":"orders_db","application":"default"},"pin":{"parties":2,"roster":["eu","us"]},)"
      R"("pinReason":"two regions","visits":[{"party":"ap","at":"1970-01-01T00:16:40.500Z","lastStep":"0003",)"
      R"("release":"v1","host":"pod-7"}],"rounds":[{"id":"r-2","generation":"2","planHash":"h","plan":)"
      R"({"stage":"STAGE_PRE_DEPLOY","steps":[{"id":"0004","direction":"DIRECTION_UP","stage":"STAGE_PRE_DEPLOY",)"
      R"("content":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","atomic":true}]},)"
      R"("state":"ROUND_STATE_APPLYING","quorum":{"parties":2,"roster":["eu","us"]},"members":[{"party":"eu",)"
      R"("incarnation":"i-eu","host":"host-eu","standing":"STANDING_COUNTED","mayApply":true,)"
      R"("joinedAt":"1970-01-01T00:16:39Z","leaseLeft":"11s"}],"present":1,"missing":["us"],"applier":{"party":"eu",)"
      R"("incarnation":"i-eu","host":"host-eu","token":"3","fenced":true,"claimed":true,"leaseLeft":"0s"},)"
      R"("progress":{"stepCount":1,"stepId":"0004","note":"statement 1 of 2","at":"1970-01-01T00:16:40Z"},)"
      R"("openedAt":"1970-01-01T00:16:39Z","electedAt":"1970-01-01T00:16:39.500Z"}],"now":"1970-01-01T00:16:41Z"})");
}

TEST(Response, ASummaryShowsTheRoundThatHoldsTheTarget) {
  const v1::TargetSummary summary = to_summary(example());
  EXPECT_EQ(summary.state(), v1::ROUND_STATE_APPLYING);
  EXPECT_EQ(summary.present(), 1U);
  EXPECT_EQ(summary.needed(), 2U);
  EXPECT_EQ(summary.text(), api::summary(example().record));
  engine::TargetState empty;
  empty.record.target = TargetName("new");
  EXPECT_EQ(to_summary(empty).state(), v1::ROUND_STATE_UNSPECIFIED);
}

TEST(Response, EveryEventKindHasItsName) {
  for (int kind = 1; kind <= v1::EventKind_MAX; ++kind) {
    const v1::Event event = to_proto(event_of(Revision(1), static_cast<round::EventKind>(kind)));
    EXPECT_TRUE(v1::EventKind_IsValid(event.kind()));
    EXPECT_EQ(event.kind(), kind);
    EXPECT_EQ(event.state_to() != v1::ROUND_STATE_UNSPECIFIED, kind == v1::EVENT_KIND_ROUND_MOVED);
  }
  EXPECT_EQ(v1::EventKind_MAX, static_cast<int>(round::EventKind::kResyncEnded)) << "a kind that one side lacks";
}

TEST(Response, ARefusalIsAnError) {
  engine::TargetAnswer answer;
  answer.reply.verdict = round::Verdict::kRefused;
  answer.reply.error = Error{ErrorCode::kFailedPrecondition, "QUORUM_MISMATCH", "no", {}, {}};
  v1::JoinResponse response;
  const auto refused = to_response(answer, &response);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "QUORUM_MISMATCH");
  EXPECT_EQ(response.ByteSizeLong(), 0U);
  answer.reply.error.reset();
  EXPECT_FALSE(to_response(answer, &response)) << "never a success by accident";
}

TEST(Response, ARenewalSaysWhetherTheTokenIsStillHeld) {
  engine::TargetAnswer answer;
  answer.lease_left = Duration{1'500};
  v1::RenewResponse response;
  ASSERT_TRUE(to_response(answer, &response));
  EXPECT_FALSE(response.applier());
  EXPECT_EQ(response.lease_left().nanos(), 500'000'000);
  answer.reply.token = Token(3);
  ASSERT_TRUE(to_response(answer, &response));
  EXPECT_TRUE(response.applier());
}

TEST(Json, BothSpellingsAreRead) {
  v1::GetTargetRequest request;
  ASSERT_TRUE(from_json(R"({"afterRevision": "5", "wait": "1.5s"})", &request));
  EXPECT_EQ(request.after_revision(), 5U);
  EXPECT_EQ(request.wait().nanos(), 500'000'000);
  ASSERT_TRUE(from_json(R"({"after_revision": 6})", &request));
  EXPECT_EQ(request.after_revision(), 6U);
  EXPECT_FALSE(request.has_wait()) << "replaced, not merged";
  ASSERT_TRUE(from_json(" \n", &request));
  EXPECT_EQ(request.ByteSizeLong(), 0U);
}

TEST(Json, AnythingElseIsRefusedWithoutAFuss) {
  const std::string deep = std::string(100'000, '[');
  const std::string nested = [] {
    std::string text;
    for (int i = 0; i < 50'000; ++i) text += R"({"target":)";
    return text;
  }();
  for (const std::string& body : {std::string("{"), std::string("[]"), std::string(R"({"nobodyKnows": 1})"),
                                  std::string("{\"target\": \"\xff\"}"), std::string(R"({"wait": "soon"})"),
                                  std::string(R"({"wait": -1})"), std::string("\0\0", 2), deep, nested,
                                  std::string(R"({"afterRevision": -1})"), std::string(R"({"afterRevision": 1e99})")}) {
    v1::GetTargetRequest request;
    const auto read = from_json(body, &request);
    ASSERT_FALSE(read) << body.substr(0, 80);
    EXPECT_EQ(read.error().reason, "JSON_INVALID");
    EXPECT_LT(read.error().message.size(), 2'000U);
    EXPECT_EQ(read.error().message.find('\n'), std::string::npos) << "one line";
  }
}

engine::Update update_of(std::uint64_t revision, std::size_t events = 1) {
  engine::TargetState state = example();
  state.record.revision = Revision(revision);
  std::vector<round::Event> list;
  for (std::size_t i = events; i-- > 0;) {
    list.push_back(event_of(Revision(revision - i), round::EventKind::kStepProgress));
  }
  return {std::make_shared<const engine::TargetState>(std::move(state)),
          std::make_shared<const std::vector<round::Event>>(std::move(list)), false};
}

std::string joined(const std::vector<Bytes>& pieces) {
  std::string all;
  for (const Bytes& piece : pieces) all += *piece;
  return all;
}

TEST(Backlog, WhatComesWhileOneWaitsIsToldWithIt) {
  Backlog backlog;
  EXPECT_FALSE(backlog.take());
  std::vector<engine::Update> updates;
  for (std::uint64_t r = 1; r <= 30; ++r) {
    updates.push_back(update_of(r));
    EXPECT_EQ(backlog.put(updates.back()), 0U);
  }
  const auto untold = backlog.take();
  ASSERT_TRUE(untold);
  EXPECT_FALSE(backlog.take()) << "told";
  EXPECT_EQ(untold->state, updates.back().state) << "the very object: no copy";
  EXPECT_FALSE(untold->gap);
  ASSERT_EQ(untold->events.size(), updates.size());
  for (std::size_t i = 0; i < updates.size(); ++i) EXPECT_EQ(untold->events[i], updates[i].events);
}

TEST(Backlog, BeyondItsLimitsOnlyTheNewestStateIsLeftAndSaysSo) {
  Backlog backlog;
  for (std::uint64_t r = 1; r <= Backlog::kUpdatesMax; ++r) EXPECT_EQ(backlog.put(update_of(r)), 0U);
  EXPECT_EQ(backlog.put(update_of(Backlog::kUpdatesMax + 1)), Backlog::kUpdatesMax + 1);
  const engine::Update after = update_of(Backlog::kUpdatesMax + 2);
  EXPECT_EQ(backlog.put(after), 0U);
  auto untold = backlog.take();
  ASSERT_TRUE(untold);
  EXPECT_TRUE(untold->gap);
  EXPECT_EQ(untold->state, after.state);
  EXPECT_EQ(untold->events, std::vector{after.events});

  EXPECT_EQ(backlog.put(update_of(5'000, 4'000)), 0U) << "one update is told whole, however long";
  EXPECT_EQ(backlog.put(update_of(5'001)), 2U);
  untold = backlog.take();
  ASSERT_TRUE(untold);
  EXPECT_TRUE(untold->gap);
  EXPECT_EQ(untold->state->record.revision, Revision(5'001));
  EXPECT_TRUE(untold->events.empty());
}

TEST(Backlog, AGapIsKeptUntilItIsTold) {
  Backlog backlog;
  engine::Update gap = update_of(7);
  gap.events = nullptr;
  gap.gap = true;
  backlog.put(gap);
  backlog.put(update_of(8));
  EXPECT_TRUE(backlog.take()->gap);
  backlog.put(update_of(9));
  EXPECT_FALSE(backlog.take()->gap);
}

TEST(UpdateCache, OneSerialisationOfEachPieceForAll) {
  UpdateCache cache(UpdateCache::Form::kBinary);
  const engine::Update before = update_of(11);
  const engine::Update now = update_of(13, 2);
  const auto all = cache.encode({now.state, {before.events, now.events}, false});
  const auto late = cache.encode({now.state, {now.events}, false});
  ASSERT_EQ(all.size(), 3U);
  ASSERT_EQ(late.size(), 2U);
  EXPECT_EQ(all[0].get(), late[0].get()) << "the state, which is large";
  EXPECT_EQ(all[2].get(), late[1].get());

  v1::WatchTargetResponse message;
  ASSERT_TRUE(message.ParseFromString(joined(all)));
  EXPECT_EQ(message.target().name(), "orders");
  EXPECT_EQ(message.target().revision(), 13U);
  ASSERT_EQ(message.events_size(), 3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(message.events(i).revision(), 11U + static_cast<unsigned>(i));
  EXPECT_FALSE(message.gap());

  ASSERT_TRUE(message.ParseFromString(joined(cache.encode({now.state, {}, true}))));
  EXPECT_TRUE(message.gap());
  EXPECT_EQ(message.events_size(), 0);
  EXPECT_EQ(message.target().revision(), 13U);
}

TEST(UpdateCache, InJsonThePiecesAreTheSameMessage) {
  UpdateCache cache(UpdateCache::Form::kJson);
  const engine::Update before = update_of(11);
  const engine::Update now = update_of(13, 2);
  for (const bool gap : {false, true}) {
    for (const auto& events : {std::vector<EventsPtr>{}, {now.events}, {before.events, now.events}}) {
      std::vector<round::Event> list;
      for (const EventsPtr& some : events) list.insert(list.end(), some->begin(), some->end());
      const engine::Update whole{now.state, std::make_shared<const std::vector<round::Event>>(list), gap};
      EXPECT_EQ(joined(cache.encode({now.state, events, gap})), to_json(to_proto(whole)));
    }
  }
}

TEST(UpdateCache, AnAddressThatIsUsedAgainIsAnotherState) {
  UpdateCache cache(UpdateCache::Form::kJson);
  std::string last;
  for (std::uint64_t i = 1; i <= 100; ++i) {
    const std::string now = joined(cache.encode({update_of(i).state, {}, false}));
    EXPECT_NE(now, last);
    EXPECT_NE(now.find("\"revision\":\"" + std::to_string(i) + '"'), std::string::npos);
    last = now;
  }
}

TEST(Bearer, TakesExactlyItsToken) {
  const Bearer bearer("secret-token-0123");
  EXPECT_TRUE(bearer.accepts("Bearer secret-token-0123"));
  EXPECT_TRUE(bearer.accepts("bearer  secret-token-0123"));
  for (const char* wrong : {"", "Bearer", "Bearer ", "Bearer secret-token-012", "Bearer secret-token-01234",
                            "Basic secret-token-0123", "secret-token-0123", "Bearer SECRET-TOKEN-0123"}) {
    EXPECT_FALSE(bearer.accepts(wrong)) << wrong;
  }
  EXPECT_TRUE(Bearer().accepts("")) << "none configured";
}

}  // namespace
}  // namespace syzygy::wire
