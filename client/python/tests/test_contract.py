"""The quorum's contract against a model of the daemon; tests/e2e/django holds the real one against the same."""

import unittest
from typing import Any

from syzygy_client.quorum import SyzygyQuorum

from .contract import QuorumContract
from .model import ModelDaemon


class ModelContractTest(QuorumContract, unittest.TestCase):
    def setUp(self) -> None:
        self.daemon = ModelDaemon()
        self.addCleanup(self.daemon.close)

    def make_quorum(self, **options: Any) -> SyzygyQuorum:
        return SyzygyQuorum(**{"url": self.daemon.url, "prefix": "test", **options})


if __name__ == "__main__":
    unittest.main()
