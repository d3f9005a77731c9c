"""The quorum's contract, held against the real daemon by django-syzygy's own functions."""

import os
import sys
import unittest
from typing import Any

from tests.e2e.support.daemon import Daemon

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "client", "python", "tests"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "client", "python"))

from contract import QuorumContract  # noqa: E402
from syzygy.quorum import QuorumDisolved, exceptions  # noqa: E402
from syzygy.quorum.backends.base import QuorumBase  # noqa: E402

from syzygy_client.quorum import SyzygyQuorum  # noqa: E402


class DaemonContractTest(QuorumContract, unittest.TestCase):
    daemon: Daemon

    @classmethod
    def setUpClass(cls) -> None:
        cls.daemon = Daemon()
        cls.addClassCleanup(cls.daemon.close)

    def make_quorum(self, **options: Any) -> SyzygyQuorum:
        return SyzygyQuorum(**{"url": self.daemon.url, "prefix": "test", **options})

    def test_it_is_one_of_django_syzygys_backends(self) -> None:
        self.assertTrue(issubclass(SyzygyQuorum, QuorumBase))
        self.assertIs(sys.modules["syzygy_client.quorum"].QuorumDisolved, exceptions.QuorumDisolved)
        self.assertIs(QuorumDisolved, exceptions.QuorumDisolved)


if __name__ == "__main__":
    unittest.main()
