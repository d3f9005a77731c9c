"""What django-syzygy expects of any quorum backend, as tests. A subclass says how to make one.

Each caller is a thread here and a process there; the contract is the same.
"""

import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, List

from syzygy_client.quorum import QuorumDisolved, SyzygyQuorum


class QuorumContract:
    """Mix into a TestCase that has `make_quorum(**options)`."""

    PARTIES = 5
    make_quorum: Callable[..., SyzygyQuorum]
    assertTrue: Callable[..., None]
    assertFalse: Callable[..., None]
    assertEqual: Callable[..., None]
    assertRaises: Callable[..., Any]

    def _fresh(self) -> str:
        return f"pre:default:{uuid.uuid4().hex}"

    def _gather(self, quorum: SyzygyQuorum, namespace: str, parties: int) -> str:
        """What one caller hears: "applies", "released" or "dissolved"."""
        try:
            if quorum.join(namespace, parties):
                return "applies"
            while not quorum.poll(namespace, parties):
                pass
            return "released"
        except QuorumDisolved:
            return "dissolved"

    def _all_at_once(self, calls: List[Callable[[], Any]]) -> List[Any]:
        random.shuffle(calls)
        with ThreadPoolExecutor(len(calls)) as pool:
            return [future.result(timeout=60) for future in [pool.submit(call) for call in calls]]

    def test_the_last_to_join_is_told_so_and_the_others_hear_of_it(self) -> None:
        quorum, namespace = self.make_quorum(wait=0), self._fresh()
        self.assertFalse(quorum.join(namespace, 2))
        self.assertFalse(quorum.poll(namespace, 2))
        self.assertTrue(quorum.join(namespace, 2))
        self.assertTrue(quorum.poll(namespace, 2))

    def test_of_many_callers_exactly_one_applies(self) -> None:
        quorum, namespace = self.make_quorum(), self._fresh()
        heard = self._all_at_once([lambda: self._gather(quorum, namespace, self.PARTIES)] * self.PARTIES)
        self.assertEqual(sorted(heard), ["applies"] + ["released"] * (self.PARTIES - 1))

    def test_a_namespace_can_be_used_again_once_its_quorum_was_reached(self) -> None:
        quorum, namespace = self.make_quorum(wait=0), self._fresh()
        for _ in range(3):
            self.assertFalse(quorum.join(namespace, 2))
            self.assertFalse(quorum.poll(namespace, 2))
            self.assertTrue(quorum.join(namespace, 2))
            self.assertTrue(quorum.poll(namespace, 2))

    def test_a_sever_at_any_moment_dissolves_the_quorum_for_all_the_others(self) -> None:
        for _ in range(5):
            quorum, namespace = self.make_quorum(), self._fresh()
            calls: List[Callable[[], Any]] = [lambda: self._gather(quorum, namespace, self.PARTIES)] * (self.PARTIES - 1)
            heard = self._all_at_once(calls + [lambda: quorum.sever(namespace, self.PARTIES)])
            self.assertEqual([h for h in heard if h is not None], ["dissolved"] * (self.PARTIES - 1))

    def test_a_sever_before_any_join_dissolves_the_quorum_of_those_who_come(self) -> None:
        quorum, namespace = self.make_quorum(), self._fresh()
        quorum.sever(namespace, 3)
        self.assertEqual(self._gather(quorum, namespace, 3), "dissolved")
        self.assertEqual(self._gather(quorum, namespace, 3), "dissolved")
        self.assertFalse(quorum.join(namespace, 2))  # all three have come: a new generation, whatever its size

    def test_a_namespace_can_be_used_again_once_its_quorum_was_severed(self) -> None:
        quorum, namespace = self.make_quorum(), self._fresh()
        self.assertFalse(quorum.join(namespace, 2))
        quorum.sever(namespace, 2)
        with self.assertRaises(QuorumDisolved):
            quorum.poll(namespace, 2)
        self.assertFalse(quorum.join(namespace, 2))
        self.assertTrue(quorum.join(namespace, 2))
        self.assertTrue(quorum.poll(namespace, 2))

    def test_two_prefixes_do_not_meet(self) -> None:
        staging, production, namespace = self.make_quorum(prefix="staging", wait=0), self.make_quorum(prefix="production"), self._fresh()
        self.assertFalse(staging.join(namespace, 2))
        self.assertFalse(production.join(namespace, 2))
        self.assertFalse(staging.poll(namespace, 2))
        self.assertTrue(staging.join(namespace, 2))

    def test_a_party_that_comes_again_counts_once(self) -> None:
        namespace = self._fresh()
        first, retried, other = (self.make_quorum(party=party) for party in ("eu-west", "eu-west", "us-east"))
        self.assertFalse(first.join(namespace, 2))
        self.assertFalse(retried.join(namespace, 2))
        self.assertTrue(other.join(namespace, 2))
        self.assertTrue(retried.poll(namespace, 2))

    def test_a_failed_attempt_does_not_fail_the_next_one(self) -> None:
        plan = uuid.uuid4().hex
        parties = [self.make_quorum(party=party) for party in ("eu-west", "us-east", "ap-south")]
        for attempt in ("fails, while us-east dies before it hears of it", "succeeds"):
            joined = [party.join(f"pre:default:{plan}", 3) for party in parties]
            self.assertEqual(joined, [False, False, True], attempt)
            if attempt == "succeeds":
                continue
            parties[2].sever(f"post:default:{plan}", 3)
            self.assertEqual(self._gather(parties[0], f"post:default:{plan}", 3), "dissolved")
            parties[1] = self.make_quorum(party="us-east")
        heard = [parties[1].join(f"post:default:{plan}", 3), parties[0].join(f"post:default:{plan}", 3)]
        self.assertEqual(heard, [False, False])
        self.assertTrue(parties[2].join(f"post:default:{plan}", 3))
        self.assertTrue(parties[0].poll(f"post:default:{plan}", 3))
        self.assertTrue(parties[1].poll(f"post:default:{plan}", 3))
