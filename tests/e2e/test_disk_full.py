"""A PostgreSQL store whose disk is full: what is said, that nothing acknowledged is lost, and that all goes on once there is room."""

import json
import unittest
import urllib.error
import urllib.request
from typing import Any, Dict, List, Tuple

from .support.daemon import Daemon
from .support.postgres import Postgres
from .support.processes import BOUND, wait_until
from .support.site import LEASE, PARTIES, Site
from .support.small_disk import SmallDisk

TARGET = "/v1/targets/pinned"


def ask(daemon: Daemon, path: str, body: Any = None) -> Tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(daemon.url + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class DiskFull(unittest.TestCase):
    def serve(self, megabytes: int, all_there: bool) -> None:
        self.disk = SmallDisk(megabytes, "postgres")
        self.addCleanup(self.disk.close)
        self.store = Postgres(disk=self.disk, all_there=all_there)
        self.addCleanup(self.store.close)
        if not all_there:
            with self.store.connect("postgres") as connection:
                connection.execute(f"CREATE TABLESPACE small LOCATION '{self.disk.path}'".encode())
                connection.execute("ALTER SYSTEM SET default_tablespace = 'small'")
                connection.execute("SELECT pg_reload_conf()")
            wait_until("new tables go to the small disk", lambda: self.shown("default_tablespace") == "small")
        self.daemon = Daemon("--lease", LEASE, store=self.store.url + "?timeout=2")
        self.addCleanup(self.daemon.close)
        self.site = Site(self.daemon)
        self.addCleanup(self.site.close)
        self.site.write(m0001_users="CREATE TABLE users (id int);")
        self.site.start(*self.site.migrate(PARTIES[0]), name=PARTIES[0])
        self.site.until("1 of 3 here")
        self.acknowledged: Dict[str, int] = {}  # reason -> the revision that was answered
        self.pins = 0

    def shown(self, setting: str) -> str:
        with self.store.connect("postgres") as connection:
            row = connection.execute(f"SHOW {setting}".encode()).fetchone()
            return str(row[0]) if row else ""

    def pin(self) -> Tuple[int, str]:
        """One more change of a target, as large as a reason may be."""
        self.pins += 1
        reason = f"number {self.pins} " + "x" * 3_500
        body = {"request": {"incarnation": f"op-{self.pins}", "sequence": "1"}, "actor": "test", "reason": reason, "pin": {"quorum": {"parties": 2 + self.pins % 5}}}
        status, said = ask(self.daemon, TARGET + "/set", body)
        if status == 200:
            self.acknowledged[reason[:20]] = int(json.loads(said)["target"]["revision"])
        return status, said

    def pin_until_refused(self) -> str:
        """Three refusals in a row: what the last of them said."""
        refused: List[str] = []

        def thrice() -> bool:
            status, said = self.pin()
            if status == 200:
                refused.clear()
            else:
                refused.append(said)
            return len(refused) >= 3

        wait_until("the store refuses", thrice, BOUND)
        return refused[-1]

    def nothing_is_lost_and_all_goes_on(self) -> None:
        wait_until("the daemon is ready again", lambda: ask(self.daemon, "/readyz")[0] == 200, BOUND)
        wait_until("writes are taken again", lambda: self.pin()[0] == 200, BOUND)
        events: Dict[int, str] = {}
        while True:
            page = json.loads(ask(self.daemon, f"{TARGET}/events?after={max(events, default=0)}&pageSize=1000")[1])
            events.update({int(event["revision"]): json.dumps(event) for event in page.get("events", [])})
            if not page.get("more"):
                break
        self.assertEqual(sorted(events), list(range(1, len(events) + 1)), "revisions have no gaps")
        self.assertGreater(len(self.acknowledged), 3)
        for reason, revision in self.acknowledged.items():
            self.assertIn(reason[: reason.index("x")], events[revision])
        for party in PARTIES[1:]:
            self.site.start(*self.site.migrate(party), name=party)
        self.assertEqual([run.wait(BOUND) for run in self.site.runs.values()], [0, 0, 0], self.site.said())
        self.assertEqual(self.site.said().count("elected: this process applies"), 1, self.site.said())

    def test_there_is_no_room_for_its_tables(self) -> None:
        self.serve(8, all_there=False)
        for _ in range(5):
            self.assertEqual(self.pin()[0], 200)
        self.disk.fill()
        said = self.pin_until_refused()
        self.assertIn("no room left", said)
        self.assertIn("nothing was stored", said)
        status, ready = ask(self.daemon, "/readyz")
        self.assertEqual(status, 503, ready)
        self.assertIn("no room left", ready)
        self.assertIn("syzygy_ready 0", ask(self.daemon, "/metrics")[1])
        self.assertTrue(self.site.runs[f"{PARTIES[0]}-0"].running(), "who waits goes on waiting")
        self.disk.free()
        self.nothing_is_lost_and_all_goes_on()

    def test_there_is_no_room_for_anything(self) -> None:
        """Where its log has no room either, PostgreSQL goes down until there is."""
        self.serve(120, all_there=True)
        for _ in range(5):
            self.assertEqual(self.pin()[0], 200)
        self.disk.fill()
        said = self.pin_until_refused()
        self.assertRegex(said, "no room left|cannot be reached|refuses at this moment|recovery mode")
        wait_until("the daemon is not ready", lambda: ask(self.daemon, "/readyz")[0] == 503, BOUND)
        self.disk.free()
        if not self.store.running():
            self.store.start()
        self.nothing_is_lost_and_all_goes_on()


if __name__ == "__main__":
    unittest.main()
