#include "client/cli/exit_codes.h"

#include <gtest/gtest.h>

namespace syzygy::cli {
namespace {

Error error(ErrorCode code, std::string reason = "") { return Error{code, std::move(reason), "", {}, std::nullopt}; }

TEST(ExitCode, OfAnErrorIsTheOneThatIsPromised) {
  EXPECT_EQ(exit_code(error(ErrorCode::kInvalidArgument)), 2);
  EXPECT_EQ(exit_code(error(ErrorCode::kInvalidArgument, "QUORUM_MISSING")), 2);
  EXPECT_EQ(exit_code(error(ErrorCode::kUnavailable)), 69);
  EXPECT_EQ(exit_code(error(ErrorCode::kResourceExhausted)), 75);
  EXPECT_EQ(exit_code(error(ErrorCode::kUnauthenticated)), 77);
  EXPECT_EQ(exit_code(error(ErrorCode::kPermissionDenied)), 77);
  EXPECT_EQ(exit_code(error(ErrorCode::kFailedPrecondition, "QUORUM_MISMATCH")), 82);
  EXPECT_EQ(exit_code(error(ErrorCode::kFailedPrecondition, "TARGET_MISMATCH")), 82);
}

TEST(ExitCode, OfPlanningTellsTheDatabaseFromTheDirectory) {
  EXPECT_EQ(plan_exit_code(error(ErrorCode::kUnavailable, "DATABASE_UNREACHABLE")), 66);
  EXPECT_EQ(plan_exit_code(error(ErrorCode::kPermissionDenied, "DATABASE_REFUSED")), 66);
  EXPECT_EQ(plan_exit_code(error(ErrorCode::kFailedPrecondition, "STEP_CHANGED")), 65);
}

TEST(ExitCode, OfAnOutcome) {
  const auto of = [](happening::Ending ending) {
    happening::Finished finished;
    finished.ending = ending;
    return exit_code(finished);
  };
  EXPECT_EQ(of(happening::Ending::kApplied), 0);
  EXPECT_EQ(of(happening::Ending::kNothingPending), 0);
  EXPECT_EQ(of(happening::Ending::kAlreadyApplied), 0);
  EXPECT_EQ(of(happening::Ending::kFailed), 80);
  EXPECT_EQ(of(happening::Ending::kDissolved), 83);
  EXPECT_EQ(of(happening::Ending::kIndeterminate), 84);
  happening::Finished severed;
  severed.ending = happening::Ending::kFailed;
  severed.round.emplace().set_sever_reason("wrong plan");
  EXPECT_EQ(exit_code(severed), 83);
}

TEST(ExitCode, OfADeadlineSaysWhatWasWaitedFor) {
  EXPECT_EQ(exit_code(WaitsFor::kParties), 81);
  EXPECT_EQ(exit_code(WaitsFor::kAgreement), 82);
  EXPECT_EQ(exit_code(WaitsFor::kTarget), 85);
  EXPECT_EQ(exit_code(WaitsFor::kOutcome), 85);
  EXPECT_EQ(exit_code(WaitsFor::kGate), 86);
  EXPECT_EQ(exit_code(WaitsFor::kOperator), 84);
  EXPECT_EQ(exit_code(WaitsFor::kDaemon), 69);
}

}  // namespace
}  // namespace syzygy::cli
