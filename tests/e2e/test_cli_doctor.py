"""`syzygy doctor`: each of the things that usually go wrong is broken once; it names the cause and the next command."""

import glob
import json
import os
import subprocess
import unittest
from typing import Dict, List

from .support.daemon import Daemon
from .support.postgres import Postgres
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

    def test_the_directory_is_an_older_images(self) -> None:
        site = self.site(m0001_users=USERS, m0002_more="CREATE TABLE more (id int);")
        self.assertEqual(site.alone().code, 0)
        os.remove(os.path.join(site.dir, "0002_more.sql"))
        self.assertIn("0002", self.look(site)["history"])

    def test_the_directory_is_missing_or_ambiguous(self) -> None:
        site = self.site(m0001_users=USERS, m0001_other=USERS)
        self.assertIn("0001_other.sql", self.look(site)["migrations"])
        site.dir += "-not"
        self.assertIn(site.dir, self.look(site)["migrations"])

    def test_a_migration_cannot_be_planned(self) -> None:
        site = self.site(m0001_users=USERS, m0002_both="CREATE TABLE more (id int); DROP TABLE users;")
        wrong = self.look(site)
        self.assertEqual(list(wrong), ["plan"], wrong)
        self.assertIn("0002 belongs to both stages", wrong["plan"])

    def test_two_names_for_one_database(self) -> None:
        site = self.site(m0001_users=USERS)
        self.assertEqual(site.alone().code, 0)
        first, site.target = site.target, "another-name"
        wrong = self.look(site)
        self.assertEqual(list(wrong), ["target's name"])
        self.assertIn(first, wrong["target's name"])

    def test_the_database_does_not_answer(self) -> None:
        site = self.site(True, m0001_users=USERS)
        right, site.database = site.database, f"postgresql://postgres:hunter2@{nobody()}/orders"
        said = str(self.look(site))
        self.assertIn("127.0.0.1", said)
        self.assertNotIn("hunter2", said)
        site.database = right + "_not"
        self.assertIn("does not exist", self.look(site)["database"])

    def test_the_role_lacks_rights(self) -> None:
        site = self.site(True, m0001_users=USERS)
        name = site.database.rsplit("/", 1)[1]
        with self.postgres.connect(name) as connection:
            connection.execute("CREATE ROLE nobody_special LOGIN")
            site.database = site.database.replace("postgres@", "nobody_special@")
            for _ in range(4):  # each command that it prints mends what it names, as it stands
                wrong = self.look(site)
                if not wrong:
                    break
                self.assertTrue(all("nobody_special" in cause for cause in wrong.values()), wrong)
                for command in self.commands(site):
                    connection.execute(command)  # type: ignore[call-overload]
            self.assertEqual(self.look(site), {})
        self.assertEqual(site.alone().code, 0)

    def commands(self, site: Site) -> List[str]:
        run = syzygy("doctor", "--target", site.target, "--database", site.database, "--dir", site.dir, "--daemon", self.daemon.grpc, "--output", "json")
        return [finding["next"].split("  --")[0] for finding in json.loads(run.out)["findings"] if not finding["ok"]]

    def test_a_clock_is_wrong(self) -> None:
        # The server's clock alone is moved: it is the database's, and as the daemon's store the daemon's as well.
        late = Postgres(LD_PRELOAD=glob.glob("/usr/lib/*/faketime/libfaketime.so.1")[0], FAKETIME="-1h", FAKETIME_DONT_FAKE_MONOTONIC="1")
        self.addCleanup(late.close)
        late.create_database("store")
        daemon = Daemon(store=f"postgresql://postgres@127.0.0.1:{late.port}/store")
        self.addCleanup(daemon.close)
        site = self.site(True, m0001_users=USERS)
        site.daemon = daemon
        self.assertEqual(site.alone().code, 0)
        self.assertRegex(self.look(site, daemon=daemon.grpc)["clock"], "differ by 3[56]")
        late.create_database("orders")
        site.database = f"postgresql://postgres@127.0.0.1:{late.port}/orders"
        self.assertRegex(self.look(site, "--app", "other")["server clock"], "differ by 3[56]")

    def test_text_for_people(self) -> None:
        address = nobody()
        run = syzygy("doctor", "--daemon", address)
        self.assertEqual(run.code, 1, run.err)
        lines = run.out.splitlines()
        where = next(i for i, line in enumerate(lines) if line.startswith(f"look  daemon {address}: "))
        self.assertRegex(lines[where + 1], r"^      next: \S")


if __name__ == "__main__":
    unittest.main()
