"""Several daemons on one store: the parties of a round come through different ones, and no daemon is special."""

import sqlite3
import unittest
from typing import List

from .support.daemon import Daemon
from .support.processes import wait_until
from .support.redis import Redis
from .support.site import BOUND, PARTIES, Site, syzygy

USERS = "CREATE TABLE users (id int);"
EMAIL = "ALTER TABLE users ADD COLUMN email text;"


class RedisReplicas(unittest.TestCase):
    store: Redis
    daemons: List[Daemon]

    @classmethod
    def setUpClass(cls) -> None:
        cls.store = Redis()
        cls.addClassCleanup(cls.store.close)
        cls.daemons = []
        for _ in PARTIES:
            cls.daemons.append(Daemon("--lease", "2s", store=cls.store.url))
            cls.addClassCleanup(cls.daemons[-1].close)

    def site(self, **files: str) -> Site:
        site = Site(self.daemons[0])
        self.addCleanup(site.close)
        site.write(**files)
        return site

    def start(self, site: Site, daemon: int, party: str) -> None:
        site.daemon = self.daemons[daemon]
        site.start(*site.migrate(party), name=party)

    def codes(self, site: Site) -> List[int]:
        return [run.wait(BOUND) for run in site.runs.values()]

    def tables(self, site: Site) -> List[str]:
        with sqlite3.connect(site.path("target.db")) as connection:
            return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]

    def test_three_parties_through_three_daemons_have_one_applier(self) -> None:
        site = self.site(m0001_users=USERS, m0002_email=EMAIL)
        for number, party in enumerate(PARTIES):
            self.start(site, number, party)
        self.assertEqual(self.codes(site), [0, 0, 0], site.said())
        self.assertEqual(site.said().count("elected: this process applies"), 1, site.said())
        self.assertIn("users", self.tables(site))
        for daemon in self.daemons:
            status = syzygy("status", "--target", site.target, "--daemon", daemon.grpc).out
            self.assertIn("SUCCEEDED", status.upper())

    def test_every_daemon_hears_of_the_others(self) -> None:
        self.assertIn(f":{len(self.daemons)}\r\n", self.store.ask("PUBSUB", "NUMSUB", "{syzygy}:hints"))
        site = self.site(m0001_users=USERS)
        self.start(site, 0, "eu-west")
        for daemon in self.daemons:
            site.daemon = daemon
            site.until("1 of 3 here")
        for number in (1, 2):
            self.start(site, number, PARTIES[number])
        self.assertEqual(self.codes(site), [0, 0, 0], site.said())

    def test_the_store_is_killed_while_they_wait(self) -> None:
        site = self.site(m0001_users=USERS)
        for number in (0, 1):
            self.start(site, number, PARTIES[number])
        site.until("2 of 3 here")
        self.store.kill()
        for daemon in self.daemons:
            wait_until("the daemon says that its store is away", lambda daemon=daemon: "not ready" in daemon.log(), BOUND)
        self.store.start()
        self.start(site, 2, PARTIES[2])
        self.assertEqual(self.codes(site), [0, 0, 0], site.said())
        self.assertEqual(site.said().count("elected: this process applies"), 1, site.said())


if __name__ == "__main__":
    unittest.main()
