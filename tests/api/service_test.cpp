// The service over a real engine: who may ask, what gets through, and what lists and events answer.
#include "api/service.h"

#include <gtest/gtest.h>

#include <set>

#include "round/codec.h"
#include "tests/engine/world.h"

namespace syzygy::api {
namespace {

using engine::inbox;
using namespace std::chrono_literals;

const Caller kFriend{"127.0.0.1:1", true};
const Caller kStranger{"127.0.0.1:2", false};

struct World {
  MemoryStore store;
  std::unique_ptr<engine::Engine> machine = engine::make_engine(store, engine::quick_options());
  Service service{*machine};

  World() { EXPECT_TRUE(machine->start().has_value()); }

  Result<engine::TargetAnswer> submit(const std::string& target, round::Command command,
                                      const Caller& caller = kFriend) {
    auto answers = inbox<std::shared_ptr<Result<engine::TargetAnswer>>>();
    service.submit(caller, target, std::move(command), [answers](Result<engine::TargetAnswer> r) {
      answers->put(std::make_shared<Result<engine::TargetAnswer>>(std::move(r)));
    });
    return *answers->wait_for(1).front();
  }
  Result<engine::TargetStatePtr> get(const std::string& target, Duration wait = Duration{0},
                                     const Caller& caller = kFriend) {
    auto answers = inbox<Result<engine::TargetStatePtr>>();
    service.get(caller, target, "", Revision{}, wait, [answers](auto r) { answers->put(std::move(r)); });
    return answers->wait_for(1).front();
  }
  Result<engine::BarrierAnswer> enter(const std::string& name, std::uint32_t quorum, Duration wait,
                                      const Caller& caller = kFriend) {
    auto answers = inbox<Result<engine::BarrierAnswer>>();
    service.barrier(caller, name, barrier::Enter{quorum, PartyName{"eu"}, IncarnationId{"e1"}, Duration{0}}, wait,
                    [answers](auto r) { answers->put(std::move(r)); });
    return answers->wait_for(1).front();
  }
};

TEST(Service, AStrangerIsToldNothingByAnyCall) {
  World w;
  const auto refused = [](const auto& result) {
    return !result && result.error().code == ErrorCode::kUnauthenticated &&
           result.error().reason == "UNAUTHENTICATED" && !result.error().message.empty();
  };
  EXPECT_TRUE(refused(w.submit("orders", engine::join_of("orders", "eu", "e1", 2), kStranger)));
  EXPECT_TRUE(refused(w.get("orders", 0s, kStranger)));
  EXPECT_TRUE(refused(w.get("orders", 1s, kStranger)));
  EXPECT_TRUE(refused(w.enter("orders", 2, 0s, kStranger)));
  EXPECT_TRUE(refused(w.service.watch(kStranger, "orders", "", {}, [](const auto&) {})));
  EXPECT_TRUE(refused(w.service.watch_all(kStranger, "", [](const auto&) {})));
  EXPECT_TRUE(refused(w.service.list(kStranger, "", "", 1)));
  EXPECT_TRUE(refused(w.service.events(kStranger, "orders", {}, 1)));
  EXPECT_EQ(w.service.stats().commands, 0u);
}

TEST(Service, BadInputDoesNotReachTheEngine) {
  World w;
  EXPECT_EQ(w.submit("", engine::join_of("", "eu", "e1", 2)).error().reason, "NAME_INVALID");
  EXPECT_EQ(w.submit("orders", engine::join_of("orders", "eu", "e1", 0)).error().reason, "QUORUM_INVALID");
  EXPECT_EQ(w.enter("orders", 0, 0s).error().reason, "QUORUM_INVALID");
  EXPECT_EQ(w.get("a\nb").error().reason, "NAME_INVALID");
  EXPECT_EQ(w.get("orders", -1s).error().reason, "DURATION_INVALID");
  EXPECT_EQ(w.service.watch(kFriend, "", "", {}, [](const auto&) {}).error().reason, "NAME_INVALID");
  EXPECT_EQ(w.service.watch_all(kFriend, std::string(201, 'x'), [](const auto&) {}).error().metadata.at("field"),
            "prefix");
  EXPECT_EQ(w.service.list(kFriend, "", "a\nb", 1).error().metadata.at("field"), "page_token");
  EXPECT_EQ(w.service.events(kFriend, "", {}, 1).error().reason, "NAME_INVALID");
  EXPECT_EQ(w.service.stats().commands, 0u);
}

TEST(Service, EachRoundGetsARandomUuid) {
  World w;
  std::set<std::string> ids;
  for (int i = 0; i < 20; ++i) {
    const std::string target = "t" + std::to_string(i);
    const auto answer = w.submit(target, engine::join_of(target, "eu", "e1", 2));
    const std::string id = answer->state->record.rounds.front().id.value;
    ids.insert(id);
    ASSERT_EQ(id.size(), 36u);
    EXPECT_EQ(id[8], '-');
    EXPECT_EQ(id[14], '4');
    EXPECT_NE(std::string("89ab").find(id[19]), std::string::npos);
  }
  EXPECT_EQ(ids.size(), 20u);
}

TEST(Service, ARetriedJoinIsTheSameRequestThoughItsFreshRoundIsNot) {
  World w;
  const auto first = w.submit("orders", engine::join_of("orders", "eu", "e1", 2));
  const auto again = w.submit("orders", engine::join_of("orders", "eu", "e1", 2));
  EXPECT_EQ(again->reply.verdict, round::Verdict::kWait);
  EXPECT_EQ(again->state->record.revision, first->state->record.revision);
  EXPECT_EQ(again->state->record.rounds.size(), 1u);
}

TEST(Service, WhatTheMachineRefusesComesWithTheState) {
  World w;
  w.submit("orders", engine::join_of("orders", "eu", "e1", 2));
  const auto refused = w.submit("orders", engine::join_of("orders", "us", "u1", 3));
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->reply.error->reason, "QUORUM_MISMATCH");
  EXPECT_EQ(refused->state->record.rounds.size(), 1u);
}

TEST(Service, GetsListsAndEvents) {
  World w;
  EXPECT_EQ(w.get("orders").error().reason, "TARGET_UNKNOWN");
  EXPECT_EQ(w.service.events(kFriend, "orders", {}, 0).error().reason, "TARGET_UNKNOWN");
  w.submit("orders-prod", engine::join_of("orders-prod", "eu", "e1", 2));
  EXPECT_EQ(w.service.events(kFriend, "orders", {}, 0).error().reason, "TARGET_UNKNOWN") << "a prefix is no name";
  w.submit("orders", engine::join_of("orders", "eu", "e1", 2));
  EXPECT_EQ(w.get("orders").value()->record.target, TargetName{"orders"});
  EXPECT_EQ(w.get("orders", 1s).value()->record.target, TargetName{"orders"});
  EXPECT_EQ(w.service.list(kFriend, "", "", 0)->size(), 2u);
  EXPECT_EQ(w.service.list(kFriend, "orders", "orders", 0)->size(), 1u);
  EXPECT_EQ(w.service.list(kFriend, "x", "", 0)->size(), 0u);
  const auto events = w.service.events(kFriend, "orders", {}, 0);
  ASSERT_GE(events->size(), 2u);
  EXPECT_EQ(w.service.events(kFriend, "orders", {}, 1)->size(), 1u);
  EXPECT_EQ(w.service.events(kFriend, "orders", events->back().revision, 0)->size(), 0u);
}

TEST(Service, ListsAreLimitedToAPageAndTheOneThatTellsOfAnother) {
  World w;
  for (int i = 0; i < 1'002; ++i) {
    round::Record record;
    record.target = TargetName{"t" + std::to_string(i)};
    const Change change{.key = "t/" + record.target.value, .bytes = round::encode(record)};
    ASSERT_TRUE(w.store.commit({&change, 1}).has_value());
  }
  EXPECT_EQ(w.service.list(kFriend, "", "", 0)->size(), kPageSize);
  EXPECT_EQ(w.service.list(kFriend, "", "", kPageSizeMax)->size(), kPageSizeMax);
  EXPECT_EQ(w.service.list(kFriend, "", "", kPageSizeMax + 1)->size(), kPageSizeMax + 1);
  EXPECT_EQ(w.service.list(kFriend, "", "", kPageSizeMax + 2)->size(), kPageSizeMax);
}

TEST(Service, ABarrierOfOneAndAWaitThatIsCancelled) {
  World w;
  EXPECT_EQ(engine::told(w.enter("one", 1, 0s)), "1 open 1/1*");
  auto answers = inbox<Result<engine::BarrierAnswer>>();
  const auto id =
      w.service.barrier(kFriend, "two", barrier::Enter{2, PartyName{"eu"}, IncarnationId{"e1"}, Duration{0}}, 10'000s,
                        [answers](auto r) { answers->put(std::move(r)); });
  w.service.cancel(id);
  EXPECT_EQ(engine::told(answers->wait_for(1).front()), "WAIT_CANCELLED");
}

// ---- summary ----

TEST(Summary, TellsWhoIsHereAndWhoIsMissing) {
  World w;
  EXPECT_EQ(summary(round::Record{}), "nobody is here");
  w.submit("orders", engine::join_of("orders", "eu-west", "e1", 3));
  w.submit("orders", engine::join_of("orders", "us-east", "u1", 3));
  EXPECT_EQ(summary(w.get("orders").value()->record), "2 of 3 here: eu-west, us-east; missing 1");

  round::Join roster = engine::join_of("billing", "eu-west", "e1", 2);
  roster.quorum = round::Quorum{2, {PartyName{"eu-west"}, PartyName{"us-east"}}};
  w.submit("billing", roster);
  EXPECT_EQ(summary(w.get("billing").value()->record), "1 of 2 here: eu-west; missing us-east");
}

TEST(Summary, FollowsARoundToItsEnd) {
  World w;
  w.submit("orders", engine::join_of("orders", "eu-west", "e1", 2));
  const auto elected = w.submit("orders", engine::join_of("orders", "us-east", "u1", 2));
  EXPECT_EQ(summary(elected->state->record), "us-east is elected and about to apply");
  const round::Round& round = elected->state->record.rounds.front();
  round::Confirm confirm;
  confirm.request = {IncarnationId{"u1"}, 2};
  confirm.round = round.id;
  confirm.token = round.grant->token;
  confirm.fenced = true;
  confirm.finding.kind = round::Finding::Kind::kWhole;
  EXPECT_EQ(summary(w.submit("orders", confirm)->state->record), "us-east applies 1 step");
  const auto progressed =
      w.submit("orders", round::Progressed{round.id, IncarnationId{"u1"}, confirm.token, 0, StepId{"0001"}, ""});
  EXPECT_EQ(summary(progressed->state->record), "us-east applies 0001 (1 of 1)");
  round::Report report;
  report.request = {IncarnationId{"u1"}, 3};
  report.round = round.id;
  report.token = confirm.token;
  report.message = "column exists";
  report.session_ended = true;
  EXPECT_NE(summary(w.submit("orders", report)->state->record).find("failed: "), std::string::npos);
}

TEST(Summary, ManyPartiesAreNotAllNamed) {
  World w;
  for (int i = 0; i < 12; ++i) {
    const std::string n = std::to_string(i);
    w.submit("orders", engine::join_of("orders", "p" + n, "i" + n, 20));
  }
  const std::string text = summary(w.get("orders").value()->record);
  EXPECT_EQ(text, "12 of 20 here: p0, p1, p2, p3, p4, p5, p6, p7 and 4 more; missing 8");
}

TEST(Summary, AVisitIsNamed) {
  World w;
  round::Join visit = engine::join_of("orders", "ap-south", "a1", 2);
  visit.plan = std::nullopt;
  const auto answer = w.submit("orders", visit);
  EXPECT_EQ(answer->reply.verdict, round::Verdict::kNothingPending);
  EXPECT_EQ(summary(answer->state->record), "nobody is here; last came ap-south, with nothing pending");
}

}  // namespace
}  // namespace syzygy::api
