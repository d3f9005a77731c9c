"""The backend and the real daemon, with a certificate and a bearer token between them."""

import os
import subprocess
import sys
import unittest
import uuid
from typing import Any, List

from tests.e2e.support.daemon import Daemon
from tests.e2e.support.processes import ScratchDirectory

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "client", "python"))

from syzygy_client.errors import ConfigurationError, Refused  # noqa: E402
from syzygy_client.quorum import SyzygyQuorum  # noqa: E402


class TlsAndTokenTest(unittest.TestCase):
    def setUp(self) -> None:
        scratch = ScratchDirectory("tls")
        self.addCleanup(scratch.close)
        self.key, self.certificate, self.token, self.wrong = (os.path.join(scratch.path, name) for name in ("key", "cert", "token", "wrong"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
             "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.key, "-out", self.certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        self.secrets: List[str] = []
        for path in (self.token, self.wrong):
            self.secrets.append(uuid.uuid4().hex)
            with open(path, "w") as file:
                file.write(self.secrets[-1] + "\n")
        self.daemon = Daemon("--tls-cert", self.certificate, "--tls-key", self.key, "--token-file", self.token, "--log-level", "debug")
        self.addCleanup(self.daemon.close)

    def quorum(self, **options: Any) -> SyzygyQuorum:
        return SyzygyQuorum(**{"url": self.daemon.url, "prefix": "test", "ca_file": self.certificate, "connect_timeout": 20, **options})

    def refused(self, kind: type, **options: Any) -> str:
        with self.assertRaises(kind) as caught:
            self.quorum(**options).join("ns", 2)
        for secret in self.secrets:
            self.assertNotIn(secret, str(caught.exception))
        return str(caught.exception)

    def test_with_both_it_works_and_without_it_says_why(self) -> None:
        quorum = self.quorum(token_file=self.token)
        self.assertFalse(quorum.join("ns", 2))
        self.assertIn("SYZYGY_TOKEN_FILE", self.refused(Refused))
        self.assertIn("token", self.refused(Refused, token_file=self.wrong))
        self.assertIn("SYZYGY_CA_FILE", self.refused(ConfigurationError, ca_file=None, token_file=self.token))
        self.assertIn("https://", self.refused(Refused, url=self.daemon.url.replace("https", "http"), token_file=self.token))
        self.assertTrue(quorum.join("ns", 2))
        for secret in self.secrets:
            self.assertNotIn(secret, self.daemon.log())


if __name__ == "__main__":
    unittest.main()
