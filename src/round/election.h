// election.h - who applies, from the record alone.
//
// elect() runs once at the end of each step, when leases have ended and commands have been applied.
#pragma once

#include "round/draft.h"
#include "round/round.h"

namespace syzygy::round {

// Of a party's live incarnations in `round` the newest: the one that counts. nullptr: none is live.
const Member* counting_member(const Round& round, const PartyName& party);

// Who would be elected if `round` went from GATHERING to ELECTED now: a counted member that may apply and has not just
// declined; the one whose join completed the quorum if it can (it is known to be alive now), else the newest. nullptr:
// nobody.
const Member* first_applier(const Record& record, const Round& round, Instant now);

// Who could take over a round in RECOVERING: a live member that may apply, has not just declined, and holds every
// remaining step. Somebody else than the lost applier is preferred, then who holds more of the plan, then the newest.
// nullptr: nobody.
const Member* heir(const Round& round, Instant now);

// Who could look at the target for a round in RECOVERING that has no heir: a live member of another round, or a guest.
const Member* settler(const Record& record, const Round& round, Instant now);

// Gives the target to whom it belongs now, or ends a recovery that nobody can go on with.
void elect(Draft& draft);

}  // namespace syzygy::round
