// The plain barrier, told as transcripts: each line is one batch of one command, and its answer.
#include "round/barrier.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace syzygy::barrier {
namespace {

using namespace std::chrono_literals;

// One barrier and its clock. Every step must leave the invariants whole and the record able to go through its bytes.
class Transcript {
 public:
  Settings settings{.lease = 10s, .lease_max = 60s, .linger = 100s, .parties_max = 5, .arrivals_max = 12};
  Record record;
  Decision last;

  Transcript() { record.name = "orders"; }

  std::vector<Reply> batch(const std::vector<Command>& commands) {
    last = step(record, commands, now_, settings);
    EXPECT_EQ(last.broken, "");
    EXPECT_EQ(last.replies.size(), commands.size());
    auto again = decode(encode(last.record));
    EXPECT_TRUE(again.has_value() && *again == last.record);
    if (last.changed) record = last.record;
    return last.replies;
  }
  Reply enter(const std::string& party, const std::string& incarnation, std::uint32_t quorum, Duration lease = {}) {
    return batch({Enter{quorum, PartyName{party}, IncarnationId{incarnation}, lease}}).front();
  }
  Reply await(std::uint64_t generation, const std::string& incarnation) {
    return batch({Await{Generation{generation}, IncarnationId{incarnation}}}).front();
  }
  Reply sever(const std::string& party, const std::string& incarnation, std::uint32_t quorum,
              const std::string& reason = "given up") {
    return batch({Sever{quorum, PartyName{party}, IncarnationId{incarnation}, reason}}).front();
  }
  void tick(Duration passed = {}) {
    now_ = now_ + passed;
    batch({Tick{}});
  }
  void pass(Duration passed) { now_ = now_ + passed; }
  Reply seen(std::uint64_t generation, const std::string& incarnation) const {
    return view(record, Generation{generation}, IncarnationId{incarnation});
  }

 private:
  Instant now_{1'000'000};
};

// "1 waiting 2/3", with "*" for the caller that completed it, or the error's reason.
std::string told(const Reply& reply) {
  if (reply.error) return reply.error->reason;
  return std::to_string(reply.generation.value) + " " + std::string(to_string(reply.state)) + " " +
         std::to_string(reply.present) + "/" + std::to_string(reply.quorum) + (reply.completed_by_you ? "*" : "");
}

TEST(Barrier, OpensWhenDistinctPartiesAreThereAndTellsOneOfThemThatItCompleted) {
  Transcript t;
  EXPECT_EQ(told(t.enter("eu", "e1", 3)), "1 waiting 1/3");
  EXPECT_EQ(told(t.enter("us", "u1", 3)), "1 waiting 2/3");
  EXPECT_EQ(told(t.enter("ap", "a1", 3)), "1 open 3/3*");
  EXPECT_EQ(told(t.await(1, "e1")), "1 open 3/3");
  EXPECT_EQ(told(t.await(1, "u1")), "1 open 3/3");
  EXPECT_EQ(told(t.await(1, "a1")), "1 open 3/3*");
}

TEST(Barrier, OneAloneOpensAtOnce) {
  Transcript t;
  EXPECT_EQ(told(t.enter("eu", "e1", 1)), "1 open 1/1*");
  EXPECT_EQ(told(t.enter("eu", "e2", 1)), "2 open 1/1*");
}

TEST(Barrier, TheSameIncarnationAgainChangesNothing) {
  Transcript t;
  t.enter("eu", "e1", 3);
  const Revision revision = t.record.revision;
  EXPECT_EQ(told(t.enter("eu", "e1", 3)), "1 waiting 1/3");
  EXPECT_EQ(t.record.revision, revision);
  EXPECT_EQ(t.record.arrivals.size(), 1u);
  EXPECT_FALSE(t.last.changed);
}

TEST(Barrier, ARetryOfTheEnterThatCompletedStillSaysSo) {
  Transcript t;
  t.enter("eu", "e1", 2);
  t.enter("us", "u1", 2);
  EXPECT_EQ(told(t.enter("us", "u1", 2)), "1 open 2/2*");
  EXPECT_EQ(told(t.enter("eu", "e1", 2)), "1 open 2/2");
  EXPECT_EQ(t.record.generation, Generation{1});
}

TEST(Barrier, APartyCountsOnceHoweverManyIncarnationsItHas) {
  Transcript t;
  t.enter("eu", "e1", 2);
  EXPECT_EQ(told(t.enter("eu", "e2", 2)), "1 waiting 1/2");
  EXPECT_EQ(told(t.enter("us", "u1", 2)), "1 open 2/2*");
  EXPECT_EQ(told(t.await(1, "e1")), "1 open 2/2");
  EXPECT_EQ(told(t.await(1, "e2")), "1 open 2/2");
}

TEST(Barrier, APartyStillCountsByItsOtherIncarnationWhenOneFallsSilent) {
  Transcript t;
  t.enter("eu", "e1", 2);
  t.pass(6s);
  t.enter("eu", "e2", 2);
  t.tick(5s);  // e1 is gone, e2 is not
  EXPECT_EQ(t.record.arrivals.size(), 1u);
  EXPECT_EQ(told(t.await(1, "e1")), "LEASE_LOST");
  EXPECT_EQ(told(t.enter("us", "u1", 2)), "1 open 2/2*");
}

TEST(Barrier, OneWhoseLeaseEndsWhileWaitingIsNotCounted) {
  Transcript t;
  t.enter("eu", "e1", 2);
  ASSERT_TRUE(t.last.wake_at.has_value());
  EXPECT_EQ(*t.last.wake_at, Instant{1'000'000} + 10s);
  t.tick(10s);
  EXPECT_EQ(t.seen(1, "e1").present, 0u);
  EXPECT_FALSE(t.last.wake_at.has_value());
  EXPECT_EQ(told(t.enter("us", "u1", 2)), "1 waiting 1/2");
  EXPECT_EQ(told(t.await(1, "e1")), "LEASE_LOST");
  EXPECT_EQ(told(t.enter("eu", "e1", 2)), "1 open 2/2*");
}

TEST(Barrier, AwaitKeepsTheLease) {
  Transcript t;
  t.enter("eu", "e1", 2);
  for (int i = 0; i < 5; ++i) {
    t.pass(9s);
    EXPECT_EQ(told(t.await(1, "e1")), "1 waiting 1/2");
  }
  EXPECT_EQ(told(t.enter("us", "u1", 2)), "1 open 2/2*");
}

TEST(Barrier, AwaitJustTooLateIsTold) {
  Transcript t;
  t.enter("eu", "e1", 2);
  t.pass(10s);
  EXPECT_EQ(told(t.await(1, "e1")), "LEASE_LOST");
}

TEST(Barrier, ALeaseIsBounded) {
  Transcript t;
  t.enter("eu", "e1", 2, 1h);
  EXPECT_EQ(*t.last.wake_at, Instant{1'000'000} + 60s);
  t.enter("us", "u1", 3, 2s);
  t.enter("us", "u2", 2, 2s);
  EXPECT_EQ(t.record.state, State::kOpen);
}

TEST(Barrier, SeverFirst) {
  Transcript t;
  EXPECT_EQ(told(t.sever("eu", "e1", 3, "no")), "1 severed 1/3");
  const Reply us = t.enter("us", "u1", 3);
  EXPECT_EQ(told(us), "1 severed 2/3");
  EXPECT_EQ(us.reason, "no");
  EXPECT_EQ(told(t.enter("ap", "a1", 3)), "1 severed 3/3");
  EXPECT_EQ(told(t.enter("eu", "e2", 3)), "2 waiting 1/3");
  EXPECT_EQ(told(t.await(1, "u1")), "1 severed 3/3");
}

TEST(Barrier, SeverInTheMiddle) {
  Transcript t;
  t.enter("eu", "e1", 3);
  EXPECT_EQ(told(t.sever("us", "u1", 3)), "1 severed 2/3");
  EXPECT_EQ(told(t.await(1, "e1")), "1 severed 2/3");
  EXPECT_EQ(told(t.sever("us", "u1", 3, "again")), "1 severed 2/3");
  EXPECT_EQ(t.record.reason, "given up");
  EXPECT_EQ(told(t.enter("ap", "a1", 3)), "1 severed 3/3");
}

TEST(Barrier, AMemberMaySever) {
  Transcript t;
  t.enter("eu", "e1", 3);
  t.enter("us", "u1", 3);
  EXPECT_EQ(told(t.sever("eu", "e1", 3)), "1 severed 2/3");
  EXPECT_EQ(told(t.await(1, "u1")), "1 severed 2/3");
}

TEST(Barrier, SeverByTheLastToComeDoesNotOpen) {
  Transcript t;
  t.enter("eu", "e1", 2);
  EXPECT_EQ(told(t.sever("us", "u1", 2)), "1 severed 2/2");
  EXPECT_EQ(told(t.await(1, "e1")), "1 severed 2/2");
}

TEST(Barrier, SeverAfterItOpenedIsTooLateForItsMembersAndTheNextGenerationForOthers) {
  Transcript t;
  t.enter("eu", "e1", 2);
  t.enter("us", "u1", 2);
  EXPECT_EQ(told(t.sever("eu", "e1", 2)), "1 open 2/2");
  EXPECT_EQ(told(t.sever("us", "u1", 2)), "1 open 2/2*");
  EXPECT_EQ(told(t.sever("eu", "e2", 2)), "2 severed 1/2");
  EXPECT_EQ(told(t.await(1, "e1")), "1 open 2/2");
  EXPECT_EQ(told(t.enter("us", "u2", 2)), "2 severed 2/2");
  EXPECT_EQ(told(t.enter("us", "u3", 2)), "3 waiting 1/2");
}

TEST(Barrier, WhoGivesUpGivesUpWhateverNumberItHas) {
  Transcript t;
  t.enter("eu", "e1", 3);
  EXPECT_EQ(told(t.sever("us", "u1", 2)), "1 severed 2/3");
}

TEST(Barrier, AnOpenGenerationIsFollowedByTheNext) {
  Transcript t;
  t.enter("eu", "e1", 2);
  t.enter("us", "u1", 2);
  EXPECT_EQ(told(t.enter("eu", "e2", 3)), "2 waiting 1/3");  // another number: it is another generation
  EXPECT_EQ(told(t.await(1, "e1")), "1 open 2/2");
  EXPECT_EQ(told(t.await(1, "u1")), "1 open 2/2*");
  EXPECT_EQ(told(t.enter("us", "u1", 2)), "1 open 2/2*") << "a retry of the last generation's enter";
  EXPECT_EQ(t.record.arrivals.size(), 1u);
}

TEST(Barrier, ASeveredGenerationLingersForThoseWhoStillCome) {
  Transcript t;
  t.sever("eu", "e1", 3);
  t.tick(99s);
  EXPECT_EQ(told(t.enter("us", "u1", 3)), "1 severed 2/3");
  t.tick(1s);
  EXPECT_EQ(told(t.enter("ap", "a1", 3)), "2 waiting 1/3");
  EXPECT_EQ(told(t.await(1, "u1")), "1 severed 2/3");
}

TEST(Barrier, NoMemberOfOneGenerationCountsInTheNext) {
  Transcript t;
  t.enter("eu", "e1", 3);
  t.sever("us", "u1", 3);
  t.enter("ap", "a1", 3);
  EXPECT_EQ(told(t.enter("xx", "x1", 3)), "2 waiting 1/3");
  EXPECT_EQ(told(t.await(2, "e1")), "LEASE_LOST");
}

TEST(Barrier, AnotherNumberIsRefusedWithBoth) {
  Transcript t;
  t.enter("eu", "e1", 3);
  t.enter("us", "u1", 3);
  const Reply no = t.enter("ap", "a1", 2);
  ASSERT_EQ(told(no), "QUORUM_MISMATCH");
  EXPECT_EQ(no.error->metadata.at("yours"), "2");
  EXPECT_EQ(no.error->metadata.at("theirs"), "3");
  EXPECT_EQ(no.error->metadata.at("parties"), "eu, us");
  EXPECT_NE(no.error->message.find("eu, us"), std::string::npos);
  EXPECT_EQ(t.record.arrivals.size(), 2u);
  EXPECT_EQ(told(t.enter("ap", "a1", 3)), "1 open 3/3*");
}

TEST(Barrier, AMistakenNumberEndsWithThoseWhoGaveIt) {
  Transcript t;
  t.enter("eu", "e1", 5);
  t.tick(10s);
  EXPECT_EQ(told(t.enter("us", "u1", 2)), "1 waiting 1/2");
  EXPECT_EQ(told(t.enter("eu", "e1", 2)), "1 open 2/2*");
}

TEST(Barrier, NoQuorumIsNone) {
  Transcript t;
  EXPECT_EQ(told(t.enter("eu", "e1", 0)), "QUORUM_INVALID");
  EXPECT_EQ(told(t.sever("eu", "e1", 0)), "QUORUM_INVALID");
  EXPECT_EQ(told(t.enter("eu", "e1", 6)), "QUORUM_INVALID");
  EXPECT_EQ(t.record.generation, Generation{0});
  EXPECT_FALSE(t.last.changed);
}

TEST(Barrier, AnIncarnationIsOfOneParty) {
  Transcript t;
  t.enter("eu", "e1", 3);
  EXPECT_EQ(told(t.enter("us", "e1", 3)), "INCARNATION_REUSED");
  EXPECT_EQ(t.seen(1, "e1").present, 1u);
}

TEST(Barrier, IncarnationsAreLimited) {
  Transcript t;
  for (int i = 0; i < 12; ++i) EXPECT_EQ(told(t.enter("eu", "e" + std::to_string(i), 2)), "1 waiting 1/2");
  const Reply no = t.enter("us", "u1", 2);
  ASSERT_EQ(told(no), "PARTIES_LIMIT");
  EXPECT_EQ(no.error->metadata.at("arrivals_max"), "12");
  EXPECT_EQ(told(t.enter("eu", "e3", 2)), "1 waiting 1/2") << "who is in stays in";
  EXPECT_EQ(told(t.sever("us", "u1", 2)), "1 severed 1/2") << "even a full one can be given up";
}

TEST(Barrier, GenerationsThatNobodyKnowsAreNamed) {
  Transcript t;
  EXPECT_EQ(told(t.await(0, "e1")), "GENERATION_UNKNOWN");
  EXPECT_EQ(told(t.await(1, "e1")), "GENERATION_UNKNOWN");
  for (int i = 0; i < 20; ++i) t.enter("eu", "e" + std::to_string(i), 1);
  EXPECT_EQ(told(t.await(3, "e2")), "GENERATION_UNKNOWN");
  EXPECT_EQ(told(t.await(21, "e2")), "GENERATION_UNKNOWN");
  EXPECT_EQ(told(t.await(4, "e3")), "4 open 1/1*");
  EXPECT_EQ(t.record.past.size(), kPastGenerationsMax);
}

TEST(Barrier, OneBatchEndsGenerationsAndTellsEverybodyOfHisOwn) {
  Transcript t;
  t.enter("eu", "e1", 2);
  const auto enter = [](const char* party, const char* incarnation) {
    return Enter{2, PartyName{party}, IncarnationId{incarnation}, Duration{0}};
  };
  const auto replies = t.batch({Await{Generation{1}, IncarnationId{"e1"}}, enter("us", "u1"), enter("eu", "e2"),
                                enter("us", "u2"), enter("ap", "a3")});
  std::vector<std::string> all;
  for (const Reply& reply : replies) all.push_back(told(reply));
  EXPECT_EQ(all, (std::vector<std::string>{"1 open 2/2", "1 open 2/2*", "2 open 2/2", "2 open 2/2*", "3 waiting 1/2"}));
  ASSERT_EQ(t.last.ended.size(), 2u);
  EXPECT_EQ(t.last.ended[0].generation, Generation{1});
  EXPECT_EQ(t.last.ended[1].generation, Generation{2});
  EXPECT_EQ(told(view(t.last.ended[0], IncarnationId{"u1"})), "1 open 2/2*");
}

TEST(Barrier, GraceExtendsEachLeaseOnce) {
  Transcript t;
  t.enter("eu", "e1", 2);
  t.pass(15s);  // the daemon was down
  t.batch({Grace{"boot-1"}});
  EXPECT_EQ(t.record.arrivals.size(), 1u);
  EXPECT_EQ(*t.last.wake_at, Instant{1'000'000} + 25s);
  t.pass(5s);
  t.batch({Grace{"boot-2"}});  // a crash loop gives no more
  EXPECT_EQ(*t.last.wake_at, Instant{1'000'000} + 25s);
  EXPECT_EQ(told(t.await(1, "e1")), "1 waiting 1/2");
  t.pass(15s);
  t.batch({Grace{"boot-3"}});  // a renewed lease is another lease
  EXPECT_EQ(told(t.enter("us", "u1", 2)), "1 open 2/2*");
}

TEST(Barrier, TimeDoesNotRunBackwards) {
  Transcript t;
  t.enter("eu", "e1", 2);
  t.pass(-5s);
  t.enter("us", "u1", 3);  // refused, and judged at the newest instant
  EXPECT_EQ(t.record.now, Instant{1'000'000});
  t.pass(14s);
  EXPECT_EQ(told(t.await(1, "e1")), "1 waiting 1/2");
}

TEST(Barrier, BytesThatAreNoRecordAreRefused) {
  Transcript t;
  t.enter("eu", "e1", 2);
  t.enter("us", "u1", 2);
  t.enter("eu", "e2", 2);
  const std::string bytes = encode(t.record);
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    const auto record = decode(std::string_view(bytes).substr(0, cut));
    ASSERT_FALSE(record.has_value());
    EXPECT_EQ(record.error().reason, "RECORD_CORRUPT");
  }
  EXPECT_EQ(decode(bytes + "x").error().reason, "RECORD_CORRUPT");
  std::string newer = bytes;
  newer[0] = 3;
  EXPECT_EQ(decode(newer).error().reason, "RECORD_NEWER");
  EXPECT_EQ(decode(newer).error().code, ErrorCode::kDataLoss);
  std::string older = bytes;
  older[0] = 1;
  EXPECT_EQ(decode(older).error().reason, "RECORD_OLDER");
}

// A barrier that is used again and again: its record must not grow with the names of those who were in it.
TEST(Barrier, AnEnteringOfAnEarlierGenerationIsKnownAgain) {
  Transcript t;
  for (int generation = 1; generation <= 16; ++generation) {
    const std::string n = std::to_string(generation);
    t.enter("eu", "an-incarnation-with-a-long-name-of-eu-" + n, 2);
    EXPECT_EQ(told(t.enter("us", "an-incarnation-with-a-long-name-of-us-" + n, 2)), n + " open 2/2*");
  }
  EXPECT_EQ(told(t.enter("ap", "somebody-new", 2)), "17 waiting 1/2");
  for (int generation = 1; generation <= 16; ++generation) {
    const std::string n = std::to_string(generation);
    EXPECT_EQ(told(t.enter("eu", "an-incarnation-with-a-long-name-of-eu-" + n, 2)), n + " open 2/2");
    EXPECT_EQ(told(t.enter("us", "an-incarnation-with-a-long-name-of-us-" + n, 2)), n + " open 2/2*");
  }
  EXPECT_LT(encode(t.record).size(), 2'500u);
}

TEST(Barrier, CommandsGoThroughTheirBytes) {
  const std::vector<Command> commands{Enter{3, PartyName{"eu"}, IncarnationId{"e1"}, 5s},
                                      Await{Generation{7}, IncarnationId{"e1"}},
                                      Sever{2, PartyName{"us"}, IncarnationId{"u1"}, "no"}, Tick{}, Grace{"boot"}};
  for (const Command& command : commands) {
    const auto again = decode_command(encode(command));
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ(encode(*again), encode(command));
    EXPECT_EQ(again->index(), command.index());
  }
  EXPECT_FALSE(decode_command("").has_value());
  EXPECT_FALSE(decode_command("\x09").has_value());
}

// A naive account of what was told, against random transcripts: of each generation one end, of each open one exactly
// one who completed it, and at least N distinct parties that had entered.
TEST(Barrier, RandomTranscripts) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto up_to = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
  for (int run = 0; run < 300; ++run) {
    Transcript t;
    std::map<std::uint64_t, State> ends;
    std::map<std::uint64_t, std::set<std::string>> completed_by;
    std::map<std::uint64_t, std::set<std::string>> entered;
    std::vector<std::pair<std::string, std::string>> processes;
    for (int i = 0; i < 60; ++i) {
      if (processes.empty() || up_to(2) == 0) {
        processes.emplace_back("p" + std::to_string(up_to(4)), "i" + std::to_string(i));
      }
      const auto& [party, incarnation] =
          processes[processes.size() - 1 - up_to(std::min<unsigned>(5, static_cast<unsigned>(processes.size())))];
      const std::uint32_t quorum = up_to(10) == 0 ? 2 : 3;
      Reply reply;
      switch (up_to(8)) {
        case 0:
          t.tick(Duration{up_to(15'000)});
          continue;
        case 1:
          reply = t.sever(party, incarnation, quorum);
          break;
        case 2:
        case 3:
          reply = t.await(t.record.generation.value, incarnation);
          break;
        default:
          reply = t.enter(party, incarnation, quorum);
          if (!reply.error) entered[reply.generation.value].insert(party);
      }
      if (reply.error || reply.state == State::kWaiting) continue;
      const auto [it, first] = ends.emplace(reply.generation.value, reply.state);
      ASSERT_EQ(it->second, reply.state) << "generation " << reply.generation.value;
      if (reply.completed_by_you) completed_by[reply.generation.value].insert(incarnation);
      if (reply.state == State::kOpen) {
        ASSERT_GE(entered[reply.generation.value].size(), reply.quorum);
      }
    }
    for (const auto& [generation, who] : completed_by) ASSERT_EQ(who.size(), 1u);
    for (const auto& [generation, state] : ends) {
      if (state == State::kOpen) {
        ASSERT_EQ(completed_by[generation].size(), 1u) << generation;
      }
    }
  }
}

}  // namespace
}  // namespace syzygy::barrier
