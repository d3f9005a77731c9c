// planted.h - one deliberate bug for each invariant and guard, to see that the tests catch it.
//
// PLANTED(name) is false in every build but one: the tests' syzygy_round_planted, where it is true for the bug that was
// chosen at run time. Each row has its site, and each site its row (tests/round/planted_test.cpp).
#pragma once

namespace syzygy::round {

// X(name, the invariant or rule it breaks, how)
// Invariants 15 and 21 (shared stores) and 17 (the release gate) get theirs with what they speak of.
// clang-format off
#define SYZYGY_PLANTED_TABLE(X) \
  X(quorum_off_by_one, "1", "one party fewer is enough") \
  X(ignores_quorum_mismatch, "11", "parties may disagree about N") \
  X(suffix_without_history, "10", "a suffix joins without the history that makes it one") \
  X(success_answers_always, "late party", "a revert is never applied again") \
  X(failure_told_again, "late party", "an acknowledged failure is told for ever") \
  X(forgets_opaque, "opaque plan", "the last opaque success is forgotten") \
  X(binding_ignored, "binding", "two databases under one name") \
  X(pin_ignored, "pin", "the joiner overrules the pin") \
  X(excuse_below_one, "excuse", "excuses lower N to nothing") \
  X(pin_keeps_gatherings, "11", "a changed pin leaves gathering rounds as they are") \
  X(indeterminate_not_told, "indeterminate", "joiners gather beside an INDETERMINATE round") \
  X(visit_never_settles, "visit", "nobody looks for a round in RECOVERING") \
  X(generation_reused, "12", "two rounds share a generation") \
  X(token_not_raised, "4", "a token seen in the target is ignored") \
  X(shared_step_kept, "obsolete", "a gathering round outlives the success of its step") \
  X(revision_gap, "14", "a revision is skipped") \
  X(event_forgotten, "14", "a departure is not an event") \
  X(leaves_while_running, "leaving", "a running applier leaves at once") \
  X(lease_never_ends, "19", "the dead count for ever") \
  X(applier_revived, "19", "a late renewal revives the applier") \
  X(lock_delay_ignored, "lock delay", "an unfenced run is taken over while it stops") \
  X(grace_every_time, "grace", "a crash loop keeps the dead alive") \
  X(sever_never_times_out, "20", "an unconfirmed sever waits for ever") \
  X(two_holders, "3", "a second round is elected beside the holder") \
  X(token_reused, "4", "two grants under one token") \
  X(elects_voter, "election", "one who may not apply is elected") \
  X(elects_declined, "election", "one who has just declined is elected") \
  X(newest_not_favoured, "election", "the completing join is not preferred") \
  X(waits_for_ever, "20", "a round that nobody can apply never ends") \
  X(unfenced_resumed, "applier lost", "an unfenced run is resumed") \
  X(settler_applies, "10", "who was elected to look applies") \
  X(stale_counts, "16", "the token of a claim or report is not looked at") \
  X(late_report_counts, "16", "the old applier is believed after a higher token") \
  X(partial_plan_applied, "10", "the first claim applies what is left") \
  X(begun_step_resumed, "applier lost", "a begun step is run again") \
  X(outcome_ignored, "9", "the outcome in the target is not looked at") \
  X(fenced_out_fails, "fencing", "being fenced out is a failure") \
  X(final_round_changes, "6", "a decline touches finished rounds") \
  X(resolve_unattested, "resolution", "nobody attests that the run has stopped") \
  X(resolve_stale, "resolution", "a resolution that was overtaken counts") \
  X(repeated_executed, "13", "a repeated request is executed again") \
  X(altered_accepted, "13", "another body under an old id is answered") \
  X(old_executed, "13", "an older request is executed") \
  X(time_backwards, "time", "a clock that goes back takes the record along") \
  X(limits_ignored, "limits", "gathering rounds without end")
// clang-format on

enum class Planted {
  kNone,
#define SYZYGY_PLANTED_NAME(name, guard, how) name,
  SYZYGY_PLANTED_TABLE(SYZYGY_PLANTED_NAME)
#undef SYZYGY_PLANTED_NAME
};

#ifdef SYZYGY_PLANTED_BUGS
inline Planted planted_now = Planted::kNone;
#else
inline constexpr Planted planted_now = Planted::kNone;
#endif

}  // namespace syzygy::round

#define PLANTED(name) (::syzygy::round::planted_now == ::syzygy::round::Planted::name)
