// planted.h - one deliberate bug for each invariant and guard, to see that the tests catch it.
//
// PLANTED(name) is false in every build but one: the tests' syzygy_round_planted, where it is true for the bug that was
// chosen at run time. Each row has its site, and each site its row (tests/round/planted_test.cpp).
#pragma once

#include "base/planted.h"

namespace syzygy::round {

// X(name, the invariant or rule it breaks, how)
// The guards are the invariants by number, the reasons of refusals, and rules by their word; planted_test fails on one
// that neither this table nor the next names.
// clang-format off
#define SYZYGY_PLANTED_TABLE(X) \
  X(quorum_off_by_one, "1", "one party fewer is enough") \
  X(ignores_quorum_mismatch, "QUORUM_MISMATCH", "parties may disagree about N") \
  X(counts_replaced, "2", "a party counts once for each of its incarnations") \
  X(counts_excused, "1", "an excused party counts") \
  X(counts_off_roster, "1", "a party off the roster counts") \
  X(counts_lapsed, "1", "whoever has fallen silent counts") \
  X(elects_excused, "election", "an excused party is the first applier") \
  X(rejoin_counts_anew, "13", "the same incarnation joining again is a newcomer") \
  X(old_pushes_back, "replacing", "a replaced incarnation that renews counts again") \
  X(heir_lacks_steps, "applier lost", "who lacks a remaining step takes over") \
  X(sever_beats_outcome, "7", "a sever wins over the outcome in the target") \
  X(sever_beats_begun, "applier lost", "a sever wins over a step that was begun and not finished") \
  X(sever_beats_unknown, "applier lost", "a sever ends a run whose steps nobody could compare") \
  X(resync_skipped, "15", "a store that went back in time is believed") \
  X(resync_elects, "15", "grants during resynchronisation") \
  X(resync_again, "15", "a life that was resynchronised is resynchronised again for each who comes late") \
  X(resync_foreign_row, "15", "the row of another database is taken for this one's") \
  X(resync_row_unread, "15", "a claim that the target refuses is no evidence") \
  X(resync_outcome_lost, "7", "an outcome that was told before is not told again") \
  X(suspicion_ignored, "15", "another server answers, and is believed at once") \
  X(resync_resolves, "RESYNCHRONISING", "an operator is granted a token during resynchronisation") \
  X(resync_token_low, "15", "the next token is not above the target's own") \
  X(resync_token_reset, "15", "the token begins anew with the store's new life") \
  X(resync_keeps_ended, "7", "a round that ended in the lost life goes on") \
  X(restart_knows_all, "9", "a grant from before the daemon began is known to have come to nothing") \
  X(resync_forgets_round, "15", "a round that a client was in is forgotten") \
  X(visit_believed, "9", "a visitor with nothing pending ends a round in RECOVERING") \
  X(anything_succeeds, "9", "a claim that found something else pending is a success") \
  X(expires_while_applying, "moves", "a round that holds its target expires") \
  X(moves_unchecked, "moves", "and the table of moves is not looked at") \
  X(reports_last, "batch", "a report is applied after the joins of its batch") \
  X(indeterminate_retires, "indeterminate", "an INDETERMINATE round retires") \
  X(indeterminate_frees_target, "3", "an INDETERMINATE round does not hold its target") \
  X(suffix_without_history, "10", "a suffix joins without the history that makes it one") \
  X(success_answers_always, "late party", "a revert is never applied again") \
  X(failure_told_again, "23", "an acknowledged failure is told for ever") \
  X(forgets_opaque, "opaque plan", "the last opaque success is forgotten") \
  X(binding_ignored, "TARGET_MISMATCH", "two databases under one name") \
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
  X(leaves_while_running, "APPLIER_RUNNING", "a running applier leaves at once") \
  X(lease_never_ends, "19", "the dead count for ever") \
  X(applier_revived, "19", "a late renewal revives the applier") \
  X(lock_delay_ignored, "lock delay", "an unfenced run is taken over while it stops") \
  X(grace_every_time, "grace", "a crash loop keeps the dead alive") \
  X(sever_never_times_out, "20", "an unconfirmed sever waits for ever") \
  X(two_holders, "3", "a second round is elected beside the holder") \
  X(token_reused, "4", "two grants under one token") \
  X(elects_later, "18", "a complete quorum waits for the next tick") \
  X(dead_waiter_counts, "22", "a waiter that dies takes the run along") \
  X(quorum_unasked, "QUORUM_MISSING", "a round that nobody said the size of") \
  X(severs_ended, "ROUND_ENDED", "a round that has ended is severed") \
  X(severs_unknown, "ROUND_INDETERMINATE", "an INDETERMINATE round is severed") \
  X(elects_voter, "election", "one who may not apply is elected") \
  X(elects_declined, "election", "one who has just declined is elected") \
  X(newest_not_favoured, "election", "the completing join is not preferred") \
  X(waits_for_ever, "20", "a round that nobody can apply never ends") \
  X(unfenced_resumed, "applier lost", "an unfenced run is resumed") \
  X(settler_applies, "10", "who was elected to look applies") \
  X(stale_claim_counts, "16", "the token of a claim is not looked at") \
  X(stale_report_counts, "16", "the token of a report is not looked at") \
  X(stale_progress_counts, "16", "anybody may say how far the run is") \
  X(stale_renewal_counts, "16", "the token of a heartbeat is not looked at") \
  X(late_report_counts, "16", "the old applier is believed after a higher token") \
  X(partial_plan_applied, "10", "the first claim applies what is left") \
  X(begun_step_resumed, "applier lost", "a begun step is run again") \
  X(lost_rounds_step_run_again, "10", "a step that a lost round had begun holds nobody up") \
  X(outcome_ignored, "9", "the outcome in the target is not looked at") \
  X(fenced_out_fails, "fencing", "being fenced out is a failure") \
  X(final_round_changes, "6", "a decline touches finished rounds") \
  X(resolve_unattested, "ATTESTATION_REQUIRED", "nobody attests that the run has stopped") \
  X(resolve_stale, "RESOLUTION_STALE", "a resolution that was overtaken counts") \
  X(repeated_executed, "13", "a repeated request is executed again") \
  X(altered_accepted, "REQUEST_REUSED", "another body under an old id is answered") \
  X(old_executed, "REQUEST_OLD", "an older request is executed") \
  X(time_backwards, "time", "a clock that goes back takes the record along") \
  X(limits_ignored, "GATHERING_LIMIT", "gathering rounds without end") \
  X(round_named_twice, "ROUND_ENDED_MEANWHILE", "a join that is executed again opens a second round of one name") \
  X(record_without_end, "RECORD_LIMIT", "a record grows until the store refuses it, and with it every report") \
  X(parties_without_end, "PARTIES_LIMIT", "parties without end") \
  X(requests_without_end, "REQUESTS_LIMIT", "remembered requests without end") \
  X(excuses_without_end, "EXCUSES_LIMIT", "excuses without end") \
  X(token_believed, "TOKEN_IMPLAUSIBLE", "a fence row of nonsense raises the token for ever") \
  X(finding_unchecked, "FINDING_INVALID", "a claim that names a step beyond the plan") \
  X(nobody_acknowledges, "PARTY_MISSING", "an acknowledgement of nobody") \
  X(resolve_unseen, "REVISION_STALE", "an operator resolves what he has not seen") \
  X(resolve_unclaimed, "CLAIM_REQUIRED", "a resolution without a claim in the target") \
  X(verdict_unchecked, "VERDICT_INVALID", "a resolution to any state") \
  X(actor_forgotten, "resolution", "nobody knows who resolved") \
  X(roster_emptied, "ROSTER_EMPTY", "the last of a pinned roster is excused") \
  X(roster_excused_away, "ROSTER_EMPTY", "a round opens whose whole roster is excused") \
  X(rebound_while_held, "TARGET_BUSY", "a target is bound anew below a run")

// Guards without a row above, and where they are held instead.
#define SYZYGY_GUARDS_ELSEWHERE(X) \
  X("5", "the fence in the target: tests/migration/target; here the walk checks it for every bug") \
  X("8", "a reply before its commit is the engine's to plant: engine/planted.h, tests/sim") \
  X("17", "the release gate is not built yet") \
  X("21", "a hint trusted as truth is the engine's to plant: engine/planted.h, tests/sim") \
  X("ROUND_UNKNOWN", "nothing to act on: without it the process would stop") \
  X("MEMBER_UNKNOWN", "nothing to act on: the answer itself is held by the oracle") \
  X("NOTHING_TO_SEVER", "nothing to act on: without it the process would stop") \
  X("NOT_INDETERMINATE", "nothing to act on: without it the process would stop") \
  X("RECORD_NEWER", "the codec's: codec_test") \
  X("RECORD_CORRUPT", "the codec's: codec_test")
// clang-format on

SYZYGY_PLANTED_CHOICE(SYZYGY_PLANTED_TABLE)

}  // namespace syzygy::round

#define PLANTED(name) (::syzygy::round::planted_now == ::syzygy::round::Planted::name)
