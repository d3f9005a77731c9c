"""Three clusters run `manage.py migrate --quorum 3` of a real Django project, with a real daemon and a real PostgreSQL.

Run by ctest (e2e_django) through in_venv.py. $SYZYGYD names the daemon.
"""

import os
import sys
import unittest
from typing import Any, Dict, List, Tuple

from tests.e2e.support.daemon import Daemon
from tests.e2e.support.postgres import Postgres
from tests.e2e.support.processes import Process, ScratchDirectory, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
CLIENT = os.path.join(HERE, "..", "..", "..", "client", "python")
PARTIES = ("eu-west", "us-east", "ap-south")


class MigrateTest(unittest.TestCase):
    postgres: Postgres
    databases = 0

    @classmethod
    def setUpClass(cls) -> None:
        cls.postgres = Postgres()
        cls.addClassCleanup(cls.postgres.close)

    def setUp(self) -> None:
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.logs = ScratchDirectory("django")
        self.addCleanup(self.logs.close)
        MigrateTest.databases += 1
        self.database = f"shop_{MigrateTest.databases}"
        self.postgres.create_database(self.database)

    def migrate(self, party: str, *arguments: str, quorum: int = 3, **environment: str) -> Process:
        """Starts one cluster's `manage.py migrate`."""
        env: Dict[str, str] = {
            **os.environ,
            "PYTHONPATH": CLIENT,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",  # what it says is read while it waits
            "SHOP_DATABASE": self.database,
            "SHOP_DATABASE_PORT": str(self.postgres.port),
            "SYZYGY_URL": self.daemon.url,
            "SYZYGY_PREFIX": "staging",
            "SYZYGY_PARTY": party,
            **environment,
        }
        command = [sys.executable, os.path.join(HERE, "project", "manage.py"), "migrate", "--quorum", str(quorum), *arguments]
        process = Process(command, os.path.join(self.logs.path, f"{party}-{len(os.listdir(self.logs.path))}"), env=env)
        self.addCleanup(process.stop, 9)
        return process

    def all_three(self, *arguments: str, **environment: str) -> List[Process]:
        return [self.migrate(party, *arguments, **environment) for party in PARTIES]

    def ended(self, processes: List[Process]) -> List[Tuple[int, str]]:
        return [(process.wait(), process.output()) for process in processes]

    def said(self, processes: List[Process], text: str) -> int:
        return sum(text in process.output() for process in processes)

    def query(self, sql: str) -> List[Any]:
        with self.postgres.connect(self.database) as connection:
            return connection.execute(sql).fetchall()

    def tables(self) -> List[str]:
        return [name for (name,) in self.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")]

    def applied(self) -> List[str]:
        return [name for (name,) in self.query("SELECT name FROM django_migrations ORDER BY id")]

    def test_one_of_three_applies_and_all_succeed_before_and_after_the_deployment(self) -> None:
        clusters = self.all_three("--pre-deploy")
        for code, output in self.ended(clusters):
            self.assertEqual(code, 0, output)
        self.assertEqual(self.said(clusters, "Reached pre-migrate quorum, proceeding"), 1)
        self.assertEqual(self.said(clusters, "Migrations applied by remote party"), 2)
        self.assertEqual(self.applied(), ["0001_initial"])
        self.assertEqual(len(self.query("SELECT note FROM shop_order")), 1)

        clusters = self.all_three()
        for code, output in self.ended(clusters):
            self.assertEqual(code, 0, output)
        self.assertEqual(self.said(clusters, "Applying shop.0002_without_note... OK"), 1)
        self.assertEqual(self.applied(), ["0001_initial", "0002_without_note"])

    def test_nothing_is_applied_while_one_is_missing(self) -> None:
        clusters = [self.migrate(party) for party in PARTIES[:2]]
        wait_until("two wait", lambda: self.said(clusters, "Waiting for pre-migrate quorum...") == 2)
        self.assertEqual(self.tables(), [])
        clusters.append(self.migrate(PARTIES[2]))
        for code, output in self.ended(clusters):
            self.assertEqual(code, 0, output)

    def test_a_failure_fails_all_and_the_next_attempt_succeeds(self) -> None:
        clusters = self.all_three("--pre-deploy", SHOP_FAILS="1")
        for code, output in self.ended(clusters):
            self.assertNotEqual(code, 0, output)
        self.assertEqual(self.said(clusters, "division by zero"), 1)
        self.assertEqual(self.said(clusters, "Error encountered by remote party"), 2)
        self.assertNotIn("shop_order", self.tables())

        clusters = self.all_three("--pre-deploy")  # the same plan: the same barriers, their next generations
        for code, output in self.ended(clusters):
            self.assertEqual(code, 0, output)
        self.assertEqual(len(self.query("SELECT note FROM shop_order")), 1)

    def test_two_prefixes_do_not_meet(self) -> None:
        staging = [self.migrate(party) for party in PARTIES[:2]]
        production = self.migrate(PARTIES[2], "--quorum-timeout", "1", SYZYGY_PREFIX="production")
        wait_until("two wait", lambda: self.said(staging, "Waiting for pre-migrate quorum...") == 2)
        self.assertNotEqual(production.wait(), 0)
        self.assertIn("quorum timeout", production.output())
        self.assertEqual(self.tables(), [])
        self.assertTrue(all(process.running() for process in staging))
        staging.append(self.migrate(PARTIES[2]))
        for code, output in self.ended(staging):
            self.assertEqual(code, 0, output)

    def test_a_killed_process_that_is_started_again_counts_once(self) -> None:
        clusters = [self.migrate(PARTIES[0])]
        for _ in range(3):
            wait_until("it waits", lambda: self.said(clusters[:1], "Waiting for pre-migrate quorum..."))
            clusters[0].stop(9)
            clusters[0] = self.migrate(PARTIES[0])
        wait_until("it waits", lambda: self.said(clusters, "Waiting for pre-migrate quorum..."))
        self.assertEqual(self.tables(), [])
        clusters += [self.migrate(party) for party in PARTIES[1:]]
        for code, output in self.ended(clusters):
            self.assertEqual(code, 0, output)
        self.assertEqual(len(self.query("SELECT number FROM shop_order")), 1)

    def test_the_daemon_is_killed_while_they_wait_and_comes_back(self) -> None:
        clusters = [self.migrate(party) for party in PARTIES[:2]]
        wait_until("two wait", lambda: self.said(clusters, "Waiting for pre-migrate quorum...") == 2)
        self.daemon.kill()
        wait_until("both notice", lambda: self.said(clusters, "no Syzygy daemon answers") == 2)
        clusters.append(self.migrate(PARTIES[2]))
        wait_until("the third looks for it", lambda: self.said(clusters, "no Syzygy daemon answers") == 3)
        self.daemon.start()
        for code, output in self.ended(clusters):
            self.assertEqual(code, 0, output)
        self.assertEqual(len(self.query("SELECT number FROM shop_order")), 1)

    def test_parties_that_disagree_about_their_number(self) -> None:
        waiting = self.migrate(PARTIES[0])
        wait_until("it waits", lambda: self.said([waiting], "Waiting for pre-migrate quorum..."))
        other = self.migrate(PARTIES[1], quorum=2)
        self.assertEqual(other.wait(), 82, other.output())
        self.assertTrue(waiting.running())

    def test_no_daemon_and_a_missing_setting_are_said_without_a_traceback(self) -> None:
        self.daemon.kill()
        for environment, code, text in (
            ({"SYZYGY_CONNECT_TIMEOUT": "0.1"}, 69, "no Syzygy daemon answered within 0.1 s"),
            ({"SYZYGY_PREFIX": ""}, 2, "SYZYGY_PREFIX"),
        ):
            process = self.migrate(PARTIES[0], **environment)
            self.assertEqual(process.wait(), code, process.output())
            self.assertIn(text, process.output())
            self.assertNotIn("Traceback", process.output())


if __name__ == "__main__":
    unittest.main()
