// Tables: what an incarnation does next, for each state of its round and of itself.
#include "client/cpp/next_move.h"

#include <gtest/gtest.h>

#include <functional>

namespace syzygy {

namespace moves {
void PrintTo(const Claim& c, std::ostream* out) {
  *out << "claim " << c.round.value << " with " << c.token.value << (c.settle ? " to settle" : "");
}
void PrintTo(const Finish& f, std::ostream* out) {
  *out << "finish " << f.round.value << " " << v1::RoundState_Name(f.state);
}
void PrintTo(const Rejoin& r, std::ostream* out) { *out << "rejoin " << static_cast<int>(r.why); }
void PrintTo(const Stop& s, std::ostream* out) { *out << "stop " << static_cast<int>(s.why) << " " << s.reason; }
}  // namespace moves

namespace {

v1::Round round_in(v1::RoundState state, const std::string& id = "r1") {
  v1::Round round;
  round.set_id(id);
  round.set_state(state);
  auto* me = round.add_members();
  me->set_party("eu");
  me->set_incarnation("me");
  me->set_standing(v1::Member::STANDING_COUNTED);
  me->set_may_apply(true);
  return round;
}

v1::Round applied_by(const std::string& who, std::uint64_t token, v1::RoundState state, const std::string& id = "r1") {
  v1::Round round = round_in(state, id);
  round.mutable_applier()->set_incarnation(who);
  round.mutable_applier()->set_token(token);
  return round;
}

v1::Target target_of(const std::vector<v1::Round>& rounds) {
  v1::Target target;
  target.set_name("orders");
  target.set_epoch("e1");
  target.set_revision(7);
  for (const auto& round : rounds) *target.add_rounds() = round;
  return target;
}

Self waiting() {
  Self self;
  self.incarnation = IncarnationId("me");
  self.round = RoundId("r1");
  return self;
}

Self settling() {
  Self self = waiting();
  self.settling = true;
  return self;
}

Self running(std::uint64_t token, bool fenced) {
  Self self = waiting();
  self.dealt = self.running = Token(token);
  self.running_round = RoundId("r1");
  self.fenced = fenced;
  return self;
}

v1::Round without_me(v1::Round round) {
  round.clear_members();
  return round;
}

v1::Round severed(v1::Round round) {
  round.set_sever_reason("wrong release");
  return round;
}

using Why = moves::Rejoin::Why;
const Move kWait = moves::Wait{};

Move finish(v1::RoundState state) { return moves::Finish{RoundId("r1"), state}; }

TEST(NextMove, OfAWaiterByTheStateOfItsRound) {
  const std::vector<std::tuple<v1::RoundState, Move, Move>> table{
      // state, a member's move, that of one who only came to look
      {v1::ROUND_STATE_GATHERING, kWait, kWait},
      {v1::ROUND_STATE_ELECTED, kWait, kWait},
      {v1::ROUND_STATE_APPLYING, kWait, kWait},
      {v1::ROUND_STATE_RECOVERING, kWait, kWait},
      {v1::ROUND_STATE_SUCCEEDED, finish(v1::ROUND_STATE_SUCCEEDED), moves::Rejoin{Why::kSettled}},
      {v1::ROUND_STATE_FAILED, finish(v1::ROUND_STATE_FAILED), moves::Rejoin{Why::kSettled}},
      {v1::ROUND_STATE_INDETERMINATE, finish(v1::ROUND_STATE_INDETERMINATE), finish(v1::ROUND_STATE_INDETERMINATE)},
      {v1::ROUND_STATE_EXPIRED, moves::Rejoin{Why::kExpired}, moves::Rejoin{Why::kExpired}},
      {v1::ROUND_STATE_DISSOLVED, finish(v1::ROUND_STATE_DISSOLVED), moves::Rejoin{Why::kSettled}},
      {v1::ROUND_STATE_SUPERSEDED, moves::Rejoin{Why::kSuperseded}, moves::Rejoin{Why::kSuperseded}},
      {static_cast<v1::RoundState>(99), kWait, kWait},
  };
  for (const auto& [state, member, looking] : table) {
    const auto view = target_of({round_in(state)});
    EXPECT_EQ(next_move(view, waiting()), member) << v1::RoundState_Name(state);
    EXPECT_EQ(next_move(view, settling()), looking) << v1::RoundState_Name(state);
  }
}

TEST(NextMove, ARoundThatIsGoneOrForgotMeIsJoinedAgain) {
  EXPECT_EQ(next_move(target_of({}), waiting()), Move(moves::Rejoin{Why::kRetired}));
  EXPECT_EQ(next_move(target_of({}), settling()), Move(moves::Rejoin{Why::kSettled}));
  for (const auto state :
       {v1::ROUND_STATE_GATHERING, v1::ROUND_STATE_ELECTED, v1::ROUND_STATE_APPLYING, v1::ROUND_STATE_RECOVERING}) {
    EXPECT_EQ(next_move(target_of({without_me(round_in(state))}), waiting()), Move(moves::Rejoin{Why::kNotAMember}));
    EXPECT_EQ(next_move(target_of({without_me(round_in(state))}), settling()), kWait);
  }
  auto left = round_in(v1::ROUND_STATE_GATHERING);
  left.mutable_members(0)->set_standing(v1::Member::STANDING_LEFT);
  EXPECT_EQ(next_move(target_of({left}), waiting()), Move(moves::Rejoin{Why::kNotAMember}));
  // A lapsed lease is revived by the next renewal, a replaced incarnation stays a waiter.
  for (const auto standing :
       {v1::Member::STANDING_LAPSED, v1::Member::STANDING_REPLACED, v1::Member::STANDING_SURPLUS}) {
    auto round = round_in(v1::ROUND_STATE_GATHERING);
    round.mutable_members(0)->set_standing(standing);
    EXPECT_EQ(next_move(target_of({round}), waiting()), kWait);
  }
}

TEST(NextMove, ATargetHeldByAnIndeterminateRoundEndsTheWait) {
  const auto held = without_me(round_in(v1::ROUND_STATE_INDETERMINATE, "r0"));
  const Move told = moves::Finish{RoundId("r0"), v1::ROUND_STATE_INDETERMINATE};
  EXPECT_EQ(next_move(target_of({round_in(v1::ROUND_STATE_GATHERING), held}), waiting()), told);
  EXPECT_EQ(next_move(target_of({round_in(v1::ROUND_STATE_SUCCEEDED), held}), waiting()),
            finish(v1::ROUND_STATE_SUCCEEDED));
}

TEST(NextMove, AnElectionIsClaimedOncePerToken) {
  const auto mine = applied_by("me", 5, v1::ROUND_STATE_ELECTED);
  EXPECT_EQ(next_move(target_of({mine}), waiting()), Move(moves::Claim{RoundId("r1"), Token(5), false}));
  auto dealt = waiting();
  dealt.dealt = Token(5);
  EXPECT_EQ(next_move(target_of({mine}), dealt), kWait);
  dealt.dealt = Token(4);  // refused or declined before, and elected above it
  EXPECT_EQ(next_move(target_of({mine}), dealt), Move(moves::Claim{RoundId("r1"), Token(5), false}));
  EXPECT_EQ(next_move(target_of({applied_by("you", 5, v1::ROUND_STATE_ELECTED)}), waiting()), kWait);
  // Claimed already: by an older self that forgot, or before a view that came late.
  EXPECT_EQ(next_move(target_of({applied_by("me", 5, v1::ROUND_STATE_APPLYING)}), waiting()), kWait);
}

TEST(NextMove, SettlingAnotherRoundComesFirstAndKeepsTheOwnPlace) {
  auto other = without_me(applied_by("me", 9, v1::ROUND_STATE_ELECTED, "r0"));
  other.mutable_applier()->set_settling(true);
  const auto view = target_of({round_in(v1::ROUND_STATE_GATHERING), other});
  EXPECT_EQ(next_move(view, waiting()), Move(moves::Claim{RoundId("r0"), Token(9), true}));
  auto done = waiting();
  done.dealt = Token(9);
  EXPECT_EQ(next_move(view, done), kWait);
}

TEST(NextMove, OfARunningApplier) {
  const Move lost5 = moves::Stop{moves::Stop::Why::kTokenLost, "the right to apply under token 5 is gone"};
  const Move over5 =
      moves::Stop{moves::Stop::Why::kTokenLost, "the lease of token 5 is over, and the round is being recovered"};
  const Move sever = moves::Stop{moves::Stop::Why::kSevered, "wrong release"};
  struct Row {
    const char* what;
    v1::Target view;
    Move fenced;
    Move unfenced;
  };
  const std::vector<Row> table{
      {"goes on", target_of({applied_by("me", 5, v1::ROUND_STATE_APPLYING)}), kWait, kWait},
      {"is still claiming", target_of({applied_by("me", 5, v1::ROUND_STATE_ELECTED)}), kWait, kWait},
      {"was severed", target_of({severed(applied_by("me", 5, v1::ROUND_STATE_APPLYING))}), sever, sever},
      {"its lease is over there", target_of({round_in(v1::ROUND_STATE_RECOVERING)}), kWait, over5},
      {"was elected anew", target_of({applied_by("me", 6, v1::ROUND_STATE_ELECTED)}), lost5, lost5},
      {"somebody else was", target_of({applied_by("you", 6, v1::ROUND_STATE_APPLYING)}), lost5, lost5},
      {"the round has failed", target_of({round_in(v1::ROUND_STATE_FAILED)}), lost5, lost5},
      {"nobody knows", target_of({round_in(v1::ROUND_STATE_INDETERMINATE)}), lost5, lost5},
      {"the daemon forgot", target_of({}), kWait, kWait},
  };
  for (const auto& row : table) {
    EXPECT_EQ(next_move(row.view, running(5, true)), row.fenced) << row.what;
    EXPECT_EQ(next_move(row.view, running(5, false)), row.unfenced) << row.what;
  }
}

TEST(NextMove, TheRunOfAnotherRoundIsJudgedByThatRound) {
  Self self = running(5, true);
  self.running_round = RoundId("r0");
  const auto own = round_in(v1::ROUND_STATE_SUPERSEDED);
  EXPECT_EQ(next_move(target_of({own, applied_by("me", 5, v1::ROUND_STATE_ELECTED, "r0")}), self), kWait);
}

TEST(WaitsForTest, ByWhatIsMissing) {
  EXPECT_EQ(waits_for(nullptr, RoundId("r1")), WaitsFor::kDaemon);
  auto round = round_in(v1::ROUND_STATE_GATHERING);
  round.mutable_quorum()->set_parties(2);
  round.set_present(1);
  EXPECT_EQ(waits_for(&static_cast<const v1::Target&>(target_of({round})), RoundId("r1")), WaitsFor::kParties);

  const auto of = [](const std::vector<v1::Round>& rounds) {
    const v1::Target view = target_of(rounds);
    return waits_for(&view, RoundId("r1"));
  };
  auto diverged = round;
  diverged.add_diverged()->set_other_round_id("r2");
  EXPECT_EQ(of({diverged}), WaitsFor::kAgreement);

  auto complete = round;
  complete.set_present(2);
  EXPECT_EQ(of({complete, round_in(v1::ROUND_STATE_APPLYING, "r0")}), WaitsFor::kTarget);
  EXPECT_EQ(of({complete, round_in(v1::ROUND_STATE_SUCCEEDED, "r0")}), WaitsFor::kGate);
  auto voters = complete;
  voters.mutable_members(0)->set_may_apply(false);
  EXPECT_EQ(of({voters}), WaitsFor::kApplier);

  auto roster = round_in(v1::ROUND_STATE_GATHERING);
  roster.mutable_quorum()->add_roster("eu");
  roster.mutable_quorum()->add_roster("us");
  roster.set_present(1);
  roster.add_missing("us");
  EXPECT_EQ(of({roster}), WaitsFor::kParties);

  for (const auto state : {v1::ROUND_STATE_ELECTED, v1::ROUND_STATE_APPLYING, v1::ROUND_STATE_RECOVERING}) {
    EXPECT_EQ(of({round_in(state)}), WaitsFor::kOutcome);
  }
}

TEST(WaitsForTest, WithoutARoundByWhatIsKnownOfTheTarget) {
  EXPECT_EQ(waits_for_joining(nullptr, false), WaitsFor::kDaemon);
  const auto of = [](const std::vector<v1::Round>& rounds, bool reached) {
    const v1::Target view = target_of(rounds);
    return waits_for_joining(&view, reached);
  };
  for (const bool reached : {false, true}) {
    for (const auto state : {v1::ROUND_STATE_ELECTED, v1::ROUND_STATE_APPLYING, v1::ROUND_STATE_RECOVERING}) {
      EXPECT_EQ(of({round_in(state)}, reached), WaitsFor::kTarget);
    }
    EXPECT_EQ(of({round_in(v1::ROUND_STATE_INDETERMINATE)}, reached), WaitsFor::kOperator);
  }
  EXPECT_EQ(of({round_in(v1::ROUND_STATE_EXPIRED)}, true), WaitsFor::kParties);
  EXPECT_EQ(of({round_in(v1::ROUND_STATE_EXPIRED)}, false), WaitsFor::kDaemon);
}

v1::Round with_steps(v1::Round round, const std::vector<std::string>& ids) {
  for (const auto& id : ids) round.mutable_plan()->add_steps()->set_id(id);
  return round;
}

TEST(Hints, WhatMakesAGatheringClientReadAgain) {
  const RoundId own("r1");
  const auto before = target_of({with_steps(round_in(v1::ROUND_STATE_GATHERING), {"0004", "0005"}),
                                 with_steps(round_in(v1::ROUND_STATE_APPLYING, "r0"), {"0004"}),
                                 with_steps(round_in(v1::ROUND_STATE_APPLYING, "r9"), {"0001"})});
  EXPECT_FALSE(hints_at_change(nullptr, before, own));
  EXPECT_FALSE(hints_at_change(&before, before, own));

  struct Row {
    const char* what;
    std::function<void(v1::Target&)> change;
    bool hint;
  };
  const std::vector<Row> table{
      {"a visit that knows our last step", [](auto& t) { t.add_visits()->set_last_step("0005"); }, true},
      {"a visit that knows our first step", [](auto& t) { t.add_visits()->set_last_step("0004"); }, true},
      {"an old image's visit", [](auto& t) { t.add_visits()->set_last_step("0003"); }, false},
      {"a divergence", [](auto& t) { t.mutable_rounds(0)->add_diverged()->set_other_round_id("r2"); }, true},
      {"a shared step applied", [](auto& t) { t.mutable_rounds(1)->set_state(v1::ROUND_STATE_SUCCEEDED); }, true},
      {"other steps applied", [](auto& t) { t.mutable_rounds(2)->set_state(v1::ROUND_STATE_SUCCEEDED); }, false},
      {"a supersession", [](auto& t) { t.mutable_rounds(2)->set_state(v1::ROUND_STATE_SUPERSEDED); }, true},
      {"a failure", [](auto& t) { t.mutable_rounds(1)->set_state(v1::ROUND_STATE_FAILED); }, false},
  };
  for (const auto& row : table) {
    auto after = before;
    row.change(after);
    EXPECT_EQ(hints_at_change(&before, after, own), row.hint) << row.what;
    EXPECT_FALSE(hints_at_change(&after, after, own)) << row.what << ", told again";
  }
}

TEST(Views, OlderOnesDoNotReplaceNewerOnesButAnotherEpochDoes) {
  const auto seven = target_of({});
  auto eight = seven;
  eight.set_revision(8);
  auto reborn = seven;
  reborn.set_epoch("e2");
  reborn.set_revision(1);
  EXPECT_TRUE(is_newer(nullptr, seven));
  EXPECT_FALSE(is_newer(&seven, seven));
  EXPECT_TRUE(is_newer(&seven, eight));
  EXPECT_FALSE(is_newer(&eight, seven));
  EXPECT_TRUE(is_newer(&eight, reborn));
}

TEST(Plans, TheSameByWhatTheHashSees) {
  v1::Plan plan;
  auto* step = plan.add_steps();
  step->set_id("0004");
  step->set_stage(v1::STAGE_PRE_DEPLOY);
  auto same = plan;
  same.set_stage(v1::STAGE_ALL);
  same.mutable_steps(0)->set_direction(v1::DIRECTION_UP);
  EXPECT_TRUE(same_plan(plan, same));
  EXPECT_TRUE(same_plan(std::nullopt, std::nullopt));
  EXPECT_FALSE(same_plan(plan, std::nullopt));
  const std::vector<std::function<void(v1::Plan&)>> changes{
      [](auto& p) { p.set_stage(v1::STAGE_PRE_DEPLOY); },
      [](auto& p) { p.set_opaque(true); },
      [](auto& p) { p.set_retry_when_applier_lost(true); },
      [](auto& p) { p.add_steps()->set_id("0005"); },
      [](auto& p) { p.mutable_steps(0)->set_id("0005"); },
      [](auto& p) { p.mutable_steps(0)->set_content("x"); },
      [](auto& p) { p.mutable_steps(0)->set_direction(v1::DIRECTION_DOWN); },
      [](auto& p) { p.mutable_steps(0)->set_stage(v1::STAGE_POST_DEPLOY); },
      [](auto& p) { p.mutable_steps(0)->set_atomic(true); },
  };
  for (const auto& change : changes) {
    auto other = plan;
    change(other);
    EXPECT_FALSE(same_plan(plan, other)) << other.ShortDebugString();
  }
}

}  // namespace
}  // namespace syzygy
