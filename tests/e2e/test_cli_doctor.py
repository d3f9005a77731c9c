"""`syzygy doctor`: each of the things that usually go wrong is broken once; it names the cause and the next command."""

import json
import os
import subprocess
import unittest
from typing import Dict

from .support.daemon import Daemon
from .support.processes import ScratchDirectory
from .support.site import CliTest, Site, nobody, syzygy

USERS = "CREATE TABLE users (id int);"


class Doctor(CliTest):
    def findings(self, *arguments: str) -> Dict[str, str]:
        """What it found amiss: name to cause. Each has a next command."""
        run = syzygy("doctor", *arguments, "--output", "json")
        found = json.loads(run.out)["findings"]
        wrong = {finding["name"]: finding["cause"] for finding in found if not finding["ok"]}
        for finding in found:
            if not finding["ok"]:
                self.assertNotEqual(finding["next"], "", finding)
        self.assertEqual(run.code != 0, bool(wrong), run)
        return wrong

    def look(self, site: Site, *more: str, daemon: str = "") -> Dict[str, str]:
        return self.findings("--target", site.target, "--database", site.database, "--dir", site.dir, "--daemon", daemon or self.daemon.grpc, *more)

    def test_nothing_is_wrong(self) -> None:
        site = self.site(True, m0001_users=USERS)
        self.assertEqual(site.alone().code, 0)
        self.assertEqual(self.look(site), {})

    def test_the_daemon_is_unreachable(self) -> None:
        address = nobody()
        self.assertIn(address, str(self.look(self.site(m0001_users=USERS), daemon=address)))

    def test_the_port_is_the_one_for_http(self) -> None:
        self.assertIn("HTTP", str(self.look(self.site(m0001_users=USERS), daemon=self.daemon.http)))

    def test_tls_on_one_side_only_and_a_wrong_token(self) -> None:
        scratch = ScratchDirectory("tls")
        self.addCleanup(scratch.close)
        key, cert, token, wrong = (os.path.join(scratch.path, name) for name in ("key", "cert", "token", "wrong"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert,
                        "-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)  # fmt: skip
        for path in (token, wrong):
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"{os.path.basename(path)}-0123456789abcdef0123\n")
        secure = Daemon("--tls-cert", cert, "--tls-key", key, "--token-file", token)
        self.addCleanup(secure.close)
        site = self.site(m0001_users=USERS)
        self.assertIn("TLS", str(self.look(site, daemon=secure.grpc)))
        self.assertIn("TLS", str(self.look(site, "--ca-file", cert)))
        denied = self.look(site, "--ca-file", cert, "--token-file", wrong, daemon=secure.grpc)
        self.assertEqual(list(denied), ["token"], denied)
        self.assertEqual(self.look(site, "--ca-file", cert, "--token-file", token, daemon=secure.grpc), {})

    def test_two_databases_for_one_name(self) -> None:
        one = self.site(m0001_users=USERS)
        self.assertEqual(one.alone().code, 0)
        other = self.site(m0001_users=USERS)
        self.assertEqual(other.alone().code, 0)
        one.database = other.database
        self.assertIn("binding", self.look(one))

    def test_the_directory_disagrees_with_the_history(self) -> None:
        site = self.site(m0001_users=USERS)
        self.assertEqual(site.alone().code, 0)
        site.write(m0001_users="CREATE TABLE users (id bigint);")
        self.assertIn("0001_users.sql", self.look(site)["history"])


if __name__ == "__main__":
    unittest.main()
