"""The quorum backend: what ``manage.py migrate --quorum N`` of django-syzygy calls.

::

    MIGRATION_QUORUM_BACKEND = {
        "backend": "syzygy_client.quorum.SyzygyQuorum",
        "url": "http://127.0.0.1:7410",
        "prefix": "staging",
        "party": "eu-west",
    }

django-syzygy gathers its parties twice around a plan: at ``pre:DATABASE:HASH`` before the one whose ``join`` was the last applies it,
and at ``post:DATABASE:HASH`` afterwards, which that one severs if it failed. Each of these is a barrier of the daemon, which counts
generations: when one is over, the next to enter starts the next.
"""

import logging
import os
import sys
import threading
import uuid
from dataclasses import dataclass, replace
from typing import Dict, Optional

from . import settings as settings_
from .barrier import OPEN, SEVERED, Answer, BarrierClient
from .errors import SyzygyError

try:
    from syzygy.quorum.backends.base import QuorumBase
    from syzygy.quorum.exceptions import QuorumDisolved
except ImportError:  # without django-syzygy: the same three methods, and an exception of the same name

    class QuorumBase:  # type: ignore[no-redef]
        """Stands in for django-syzygy's base class where that is not installed."""

    class QuorumDisolved(Exception):  # type: ignore[no-redef]
        """The quorum was severed: nobody will reach it."""


__all__ = ("QuorumDisolved", "SyzygyQuorum")

log = logging.getLogger("syzygy_client")


@dataclass(frozen=True)
class _Entry:
    """One entry into one generation of a barrier, and the last that was heard of it."""

    barrier: str
    incarnation: str
    answer: Answer


class SyzygyQuorum(QuorumBase):
    """A :class:`syzygy.quorum.backends.base.QuorumBase` on a Syzygy daemon. Options: see :mod:`syzygy_client.settings`.

    May be shared by threads. Each thread is a caller of its own: ``poll`` asks about the last ``join`` of the same thread, or, in a
    thread that joined nothing, about the last one of the process.
    """

    def __init__(self, **options: object) -> None:
        self._settings = settings_.load(options, os.environ)
        self._client = BarrierClient(self._settings)
        self._mine = threading.local()
        self._last: Dict[str, _Entry] = {}

    def join(self, namespace: str, quorum: int) -> bool:
        """Enters the barrier. True for exactly one of a generation's parties: the one whose entry completed it.

        A barrier that another party has severed already answers False here, and raises ``QuorumDisolved`` at the next ``poll``.
        """
        barrier = self._barrier(namespace)
        incarnation = uuid.uuid4().hex
        answer = self._client.enter(barrier, quorum, self._party(incarnation), incarnation)
        self._remember(namespace, _Entry(barrier, incarnation, answer))
        return answer.state == OPEN and answer.completed_by_you

    def poll(self, namespace: str, quorum: int) -> bool:
        """Whether the quorum that this caller joined was reached. Raises ``QuorumDisolved`` if it was severed.

        While no daemon answers it returns False, with a warning in the log: it is the caller who has a deadline.
        """
        entry = self._recall(namespace)
        if entry is None:
            raise SyzygyError(f"poll({namespace!r}) without a join before it in this process: there is nothing to ask about")
        if entry.answer.state not in (OPEN, SEVERED):
            answer = self._client.ask(entry.barrier, entry.answer.generation, entry.incarnation)
            if answer is None:
                return False
            if answer.present != entry.answer.present:
                log.info("%s: %d of %d parties are here", entry.barrier, answer.present, answer.quorum)
            entry = replace(entry, answer=answer)
            self._remember(namespace, entry)
        if entry.answer.state == SEVERED:
            raise QuorumDisolved(f"the quorum at {entry.barrier} was given up: {entry.answer.reason or 'no reason was given'}")
        return entry.answer.state == OPEN

    def sever(self, namespace: str, quorum: int) -> None:
        """Gives the quorum up instead of joining it, for all its parties, also those that are still to come."""
        incarnation = uuid.uuid4().hex
        party = self._party(incarnation)
        self._client.sever(self._barrier(namespace), quorum, party, incarnation, _why(party))

    def _party(self, incarnation: str) -> str:
        return self._settings.party or f"unnamed-{incarnation[:12]}"

    def _barrier(self, namespace: str) -> str:
        """The barrier's name at the daemon.

        A post-migrate barrier belongs to the pre-migrate generation that its callers left together, and says so in its name. Otherwise
        a party that died before it heard of a failure would leave its place at the severed barrier to the first one of the next
        attempt, which would fail for no reason of its own.
        """
        name = f"{self._settings.prefix}/{namespace}"
        stage, _, plan = namespace.partition(":")
        before = self._recall(f"pre:{plan}") if stage == "post" else None
        return f"{name}#{before.answer.generation}" if before else name

    def _remember(self, namespace: str, entry: _Entry) -> None:
        self._entries()[namespace] = entry
        self._last[namespace] = entry

    def _recall(self, namespace: str) -> Optional[_Entry]:
        return self._entries().get(namespace) or self._last.get(namespace)

    def _entries(self) -> Dict[str, _Entry]:
        if not hasattr(self._mine, "entries"):
            self._mine.entries = {}
        entries: Dict[str, _Entry] = self._mine.entries
        return entries


def _why(party: str) -> str:
    """The reason for a sever. Of an exception its type only: its text may quote data or a password."""
    error = sys.exc_info()[0]
    return f"{party} failed with {error.__name__}" if error else f"{party} gave up"
