"""A store that stands still, or takes no writes: what pipelines, /readyz, /metrics and doctor say, and that all goes on afterwards."""

import os
import re
import shutil
import signal
import subprocess
import unittest
import urllib.error
import urllib.request
from typing import Any, List, Optional, Tuple

from .support.daemon import Daemon
from .support.postgres import Postgres
from .support.processes import BOUND, wait_until
from .support.redis import Redis
from .support.site import LEASE, PARTIES, Ended, Site, syzygy

USERS = "CREATE TABLE users (id int);"


def get(daemon: Daemon, path: str) -> Tuple[int, str]:
    try:
        with urllib.request.urlopen(daemon.url + path, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Trouble:
    store: Any
    url: str
    unanswered: str  # what is said of a store that stands still
    refusing: str  # and of one that takes no writes

    def setUp(self) -> None:
        self.make()
        self.addCleanup(self.store.close)  # type: ignore[attr-defined]
        self.daemon = Daemon("--lease", LEASE, store=self.url)
        self.addCleanup(self.daemon.close)  # type: ignore[attr-defined]
        self.site = Site(self.daemon)
        self.addCleanup(self.site.close)  # type: ignore[attr-defined]
        self.site.write(m0001_users=USERS)
        self.site.start(*self.site.migrate(PARTIES[0]), name=PARTIES[0])
        self.site.until("1 of 3 here")

    def make(self) -> None:
        raise NotImplementedError

    def stop_still(self) -> List[int]:
        """Stops its processes, and says which."""
        raise NotImplementedError

    def refuse_writes(self, on: bool) -> None:
        raise NotImplementedError

    def join(self) -> Ended:
        return syzygy(*self.site.migrate(PARTIES[1], "--connect-timeout", "3s"))

    def doctor(self) -> Ended:
        return syzygy("doctor", *self.site.common(PARTIES[1], quorum=None), "--database", self.site.database, "--dir", self.site.dir, "--connect-timeout", "3s")

    def until_not_ready(self, why: str, daemon: Optional[Daemon] = None) -> None:
        """And the very answer that says so says why."""
        assert isinstance(self, unittest.TestCase)

        def refusal() -> str:
            status, said = get(daemon or self.daemon, "/readyz")
            return said if status == 503 else ""

        self.assertRegex(wait_until("the daemon is not ready", refusal, BOUND), why)

    def all_goes_on(self) -> None:
        assert isinstance(self, unittest.TestCase)
        wait_until("the daemon is ready again", lambda: get(self.daemon, "/readyz")[0] == 200, BOUND)
        for party in PARTIES[1:]:
            self.site.start(*self.site.migrate(party), name=party)
        self.assertEqual([run.wait(BOUND) for run in self.site.runs.values()], [0, 0, 0], self.site.said())
        self.assertEqual(self.site.said().count("elected: this process applies"), 1, self.site.said())

    def test_it_stands_still(self) -> None:
        assert isinstance(self, unittest.TestCase)
        stopped = self.stop_still()
        try:
            self.until_not_ready(self.unanswered)
            self.assertEqual(get(self.daemon, "/livez")[0], 200, "nobody should restart a daemon for its store")
            metrics = get(self.daemon, "/metrics")[1]
            self.assertIn("syzygy_ready 0", metrics)
            self.assertRegex(metrics, r"(?m)^syzygy_store_errors_total [1-9]")
            joined = self.join()
            self.assertEqual(joined.code, 69, joined.err)
            self.assertIn("store cannot be reached", joined.err)
            doctor = self.doctor()
            self.assertNotEqual(doctor.code, 0)
            self.assertRegex(doctor.out + doctor.err, "it answers, but not its store: .*" + self.unanswered + "|no answer in time")
            self.assertTrue(self.site.runs[f"{PARTIES[0]}-0"].running(), "who waits goes on waiting")
        finally:
            for process in reversed(stopped):
                os.kill(process, signal.SIGCONT)
        self.all_goes_on()

    def test_it_takes_no_writes(self) -> None:
        assert isinstance(self, unittest.TestCase)
        self.refuse_writes(True)
        joined = self.join()
        self.assertIn(joined.code, (69, 75), joined.err)
        self.assertRegex(joined.err, self.refusing)
        wait_until("the daemon is not ready", lambda: get(self.daemon, "/readyz")[0] == 503, BOUND)
        self.assertRegex(get(self.daemon, "/readyz")[1], self.refusing)
        self.assertTrue(self.site.runs[f"{PARTIES[0]}-0"].running(), "who waits goes on waiting")
        self.refuse_writes(False)
        self.all_goes_on()


class RedisInTrouble(Trouble, unittest.TestCase):
    unanswered = "does not answer"
    refusing = "min-replicas-to-write"

    def make(self) -> None:
        self.store = Redis()
        self.url = self.store.url + "?timeout=1s"

    def stop_still(self) -> List[int]:
        os.kill(self.store.process.popen.pid, signal.SIGSTOP)
        return [self.store.process.popen.pid]

    def refuse_writes(self, on: bool) -> None:
        self.assertIn("+OK", self.store.ask("CONFIG", "SET", "min-replicas-to-write", "1" if on else "0"))

    def test_it_is_full(self) -> None:
        self.assertIn("+OK", self.store.ask("CONFIG", "SET", "maxmemory", "1"))
        joined = self.join()
        self.assertIn(joined.code, (69, 75), joined.err)
        self.assertRegex(joined.err, "maxmemory|memory")
        self.assertIn("+OK", self.store.ask("CONFIG", "SET", "maxmemory", "0"))
        self.all_goes_on()

    def test_it_is_emptied(self) -> None:
        """What is gone comes back with the pipelines: they gather anew, and the fence knows what was applied."""
        self.assertIn("+OK", self.store.ask("FLUSHALL"))
        self.all_goes_on()


class PostgresInTrouble(Trouble, unittest.TestCase):
    unanswered = "cannot be reached"
    refusing = "takes no writes|The store must be written to"

    def make(self) -> None:
        self.store = Postgres()
        self.url = self.store.url + "?timeout=1"

    def stop_still(self) -> List[int]:
        os.kill(self.store.pid, signal.SIGSTOP)  # first: then none of the others begins, or is forgotten
        children = subprocess.run(["pgrep", "-P", str(self.store.pid)], capture_output=True, text=True, check=True).stdout.split()
        for child in children:
            os.kill(int(child), signal.SIGSTOP)
        return [self.store.pid, *map(int, children)]

    def refuse_writes(self, on: bool) -> None:
        with self.store.connect("postgres") as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if on else 'off'}".encode())
            connection.execute("SELECT pg_reload_conf()")
        # It reads its settings when it comes to that; then all its sessions have been told, too.
        wait_until("it has heard of that", lambda: self.takes_no_writes() == on)

    def takes_no_writes(self) -> bool:
        with self.store.connect("postgres") as connection:
            return connection.execute("SHOW default_transaction_read_only").fetchone() == ("on",)

    def test_a_daemon_with_nothing_to_do_says_so_too(self) -> None:
        idle = Daemon(store=self.store.url + "?schema=another")
        self.addCleanup(idle.close)
        self.assertEqual(get(idle, "/readyz")[0], 200)
        self.refuse_writes(True)
        self.until_not_ready(self.refusing, idle)
        self.assertIn("syzygy_ready 0", get(idle, "/metrics")[1])
        self.refuse_writes(False)
        wait_until("the idle daemon is ready again", lambda: get(idle, "/readyz")[0] == 200, BOUND)

    def test_its_server_comes_back_as_a_replica(self) -> None:
        """As after a failover in which the address still leads to the old primary: everything can be read, and nothing written."""
        standby = os.path.join(self.store.data, "standby.signal")
        self.store.kill()
        with open(standby, "w", encoding="ascii"):
            pass
        os.chmod(standby, 0o644)
        if os.getuid() == 0:
            shutil.chown(standby, "postgres", "postgres")
        self.store.start()
        wait_until("the daemon says why it is not ready", lambda: re.search(self.refusing, get(self.daemon, "/readyz")[1]), BOUND)
        joined = self.join()
        self.assertIn(joined.code, (69, 75), joined.err)
        with self.store.connect("postgres") as connection:
            connection.execute("SELECT pg_promote()")
        self.all_goes_on()

    def test_it_is_dropped(self) -> None:
        """A daemon that runs does not make another one in its place; one that starts does, and what waits gathers anew."""
        with self.store.connect("postgres") as connection:
            connection.execute("DROP SCHEMA syzygy CASCADE")
        self.until_not_ready("The store is gone")
        self.daemon.kill()
        self.daemon.start()
        self.all_goes_on()


if __name__ == "__main__":
    unittest.main()
