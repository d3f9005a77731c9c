"""The backend's own rules, where the contract leaves room."""

import os
import threading
import unittest
from typing import Any, Dict
from unittest import mock

from syzygy_client.errors import Refused, SyzygyError
from syzygy_client.quorum import QuorumDisolved, SyzygyQuorum

from .scripted import DROP, Reply, ScriptedServer, barrier, problem


class QuorumTest(unittest.TestCase):
    def backend(self, *script: Reply, **options: Any) -> SyzygyQuorum:
        self.server = ScriptedServer(list(script))
        self.addCleanup(self.server.close)
        return SyzygyQuorum(**{"url": self.server.url, "prefix": "staging", **options})

    def body(self, index: int) -> Dict[str, Any]:
        body: Dict[str, Any] = self.server.asked[index].body
        return body

    def test_a_join_that_did_not_open_the_barrier_is_not_the_applier(self) -> None:
        quorum = self.backend(barrier("OPEN", completedByYou=False))
        self.assertFalse(quorum.join("ns", 3))
        self.assertTrue(quorum.poll("ns", 3))
        self.assertEqual(len(self.server.asked), 1)  # what is over does not change: nothing to ask

    def test_a_join_at_a_severed_barrier_leaves_it_to_the_poll(self) -> None:
        quorum = self.backend(barrier("SEVERED", reason="us-east failed with ProgrammingError"))
        self.assertFalse(quorum.join("ns", 3))
        with self.assertRaisesRegex(QuorumDisolved, "us-east failed with ProgrammingError"):
            quorum.poll("ns", 3)

    def test_a_poll_asks_about_the_generation_that_was_joined(self) -> None:
        quorum = self.backend(barrier("WAITING", generation=4), DROP, barrier("WAITING", generation=4), barrier("OPEN", generation=4))
        self.assertFalse(quorum.join("ns", 3))
        with self.assertLogs("syzygy_client", "WARNING"):
            self.assertFalse(quorum.poll("ns", 3))  # no answer is no quorum yet
        self.assertFalse(quorum.poll("ns", 3))
        self.assertTrue(quorum.poll("ns", 3))
        for asked in self.server.asked[1:]:
            self.assertEqual((asked.body["generation"], asked.body["incarnation"]), ("4", self.body(0)["incarnation"]))

    def test_a_poll_that_is_refused_says_so(self) -> None:
        quorum = self.backend(barrier("WAITING"), problem(409, "its lease is over", "LEASE_LOST"))
        quorum.join("ns", 3)
        with self.assertRaisesRegex(Refused, "its lease is over"):
            quorum.poll("ns", 3)

    def test_a_poll_without_a_join(self) -> None:
        with self.assertRaisesRegex(SyzygyError, "without a join"):
            self.backend().poll("ns", 3)

    def test_a_thread_that_joined_nothing_asks_for_the_process(self) -> None:
        quorum = self.backend(barrier("OPEN"))
        quorum.join("ns", 3)
        heard = []
        thread = threading.Thread(target=lambda: heard.append(quorum.poll("ns", 3)))
        thread.start()
        thread.join()
        self.assertEqual(heard, [True])

    def test_each_thread_asks_about_its_own_join(self) -> None:
        quorum = self.backend(barrier("WAITING", generation=1), barrier("WAITING", generation=2), barrier("OPEN", generation=1))
        quorum.join("ns", 3)
        thread = threading.Thread(target=quorum.join, args=("ns", 3))
        thread.start()
        thread.join()
        self.assertTrue(quorum.poll("ns", 3))
        self.assertEqual((self.body(2)["generation"], self.body(2)["incarnation"]), ("1", self.body(0)["incarnation"]))

    def test_without_a_party_every_join_counts_for_itself(self) -> None:
        quorum = self.backend(barrier("WAITING"), barrier("WAITING"))
        quorum.join("ns", 3)
        quorum.join("ns", 3)
        self.assertNotEqual(self.body(0)["party"], self.body(1)["party"])
        self.assertNotEqual(self.body(0)["incarnation"], self.body(1)["incarnation"])

    def test_with_one_its_name_is_sent(self) -> None:
        with mock.patch.dict(os.environ, {"SYZYGY_PARTY": "eu-west"}):
            quorum = self.backend(barrier("WAITING"))
        quorum.join("ns", 3)
        self.assertEqual(self.body(0)["party"], "eu-west")

    def test_the_prefix_leads_the_name(self) -> None:
        self.backend(barrier("WAITING")).join("pre:default:abc", 3)
        self.assertEqual(self.server.asked[0].path, "/v1/barriers/staging%2Fpre%3Adefault%3Aabc/enter")

    def test_the_second_barrier_belongs_to_the_generation_of_the_first(self) -> None:
        quorum = self.backend(barrier("OPEN", generation=12), barrier("SEVERED"), barrier("WAITING"))
        quorum.join("pre:default:abc", 3)
        quorum.sever("post:default:abc", 3)
        self.assertEqual(self.server.asked[1].path, "/v1/barriers/staging%2Fpost%3Adefault%3Aabc%2312/sever")
        quorum.join("post:default:other", 3)
        self.assertEqual(self.server.asked[2].path, "/v1/barriers/staging%2Fpost%3Adefault%3Aother/enter")

    def test_a_sever_names_the_kind_of_failure_and_quotes_nothing_of_it(self) -> None:
        quorum = self.backend(barrier("SEVERED"), barrier("SEVERED"), party="eu-west")
        try:
            raise ValueError("password=s3cret")
        except ValueError:
            quorum.sever("ns", 3)
        self.assertEqual(self.body(0)["reason"], "eu-west failed with ValueError")
        quorum.sever("ns", 3)
        self.assertEqual(self.body(1)["reason"], "eu-west gave up")


if __name__ == "__main__":
    unittest.main()
