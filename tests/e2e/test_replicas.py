"""Several daemons on one store: the parties of a round come through different ones, and no daemon is special.

Each case runs on Redis and on PostgreSQL. Nothing here waits longer than for a condition; what must come by push is tried with a poll that
would take longer than the test may.
"""

import concurrent.futures
import http.client
import itertools
import os
import signal
import sqlite3
import time
import unittest
from datetime import datetime, timedelta
from typing import Any, Dict, List

from .support.daemon import Daemon, get_json, post_json
from .support.postgres import Postgres
from .support.processes import BOUND, SLOWNESS, Process, wait_until
from .support.proxy import Proxy
from .support.redis import Redis
from .support.site import LEASE, PARTIES, Site, syzygy

USERS = "CREATE TABLE users (id int);"
EMAIL = "ALTER TABLE users ADD COLUMN email text;"
WAITING = 100


class Replicas:
    """The cases; a class for each store says how to make one."""

    store: Any
    daemons: List[Daemon]

    @classmethod
    def make_store(cls) -> Any:
        raise NotImplementedError

    @classmethod
    def at_port(cls, port: int) -> str:
        """The store's URL, by another port that leads to it."""
        url: str = cls.store.url.replace(f":{cls.store.port}", f":{port}")
        return url

    @classmethod
    def setUpClass(cls) -> None:
        cls.store = cls.make_store()
        cls.addClassCleanup(cls.store.close)  # type: ignore[attr-defined]
        cls.daemons = []
        for _ in PARTIES:
            cls.daemons.append(Daemon("--lease", LEASE, store=cls.store.url))
            cls.addClassCleanup(cls.daemons[-1].close)  # type: ignore[attr-defined]

    def daemon(self, *flags: str, store: str = "") -> Daemon:
        daemon = Daemon(*(() if "--lease" in flags else ("--lease", LEASE)), *flags, store=store or self.store.url)
        self.addCleanup(daemon.close)  # type: ignore[attr-defined]
        return daemon

    def site(self, **files: str) -> Site:
        site = Site(self.daemons[0])
        self.addCleanup(site.close)  # type: ignore[attr-defined]
        site.write(**files)
        return site

    def start(self, site: Site, daemons: List[Daemon], party: str, quorum: int = 3) -> Process:
        """A pipeline that knows these daemons, the first of them first."""
        command = site.migrate(party, quorum=quorum)
        command[command.index("--daemon") + 1] = ",".join(daemon.grpc for daemon in daemons)
        return site.start(*command, name=party)

    def from_each(self, number: int) -> List[Daemon]:
        return self.daemons[number % 3 :] + self.daemons[: number % 3]

    def codes(self, site: Site) -> List[int]:
        return [run.wait(BOUND) for run in site.runs.values()]

    def tables(self, site: Site) -> List[str]:
        with sqlite3.connect(site.path("target.db")) as connection:
            return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]

    def applied_once(self, site: Site) -> None:
        assert isinstance(self, unittest.TestCase)
        self.assertEqual(set(self.codes(site)), {0}, site.said())
        self.assertEqual(site.said().count("elected: this process applies"), 1, site.said())
        self.assertIn("users", self.tables(site))

    def test_three_parties_through_three_daemons_have_one_applier(self) -> None:
        assert isinstance(self, unittest.TestCase)
        site = self.site(m0001_users=USERS, m0002_email=EMAIL)
        for number, party in enumerate(PARTIES):
            self.start(site, [self.daemons[number]], party)
        self.applied_once(site)
        for daemon in self.daemons:
            status = syzygy("status", "--target", site.target, "--daemon", daemon.grpc).out
            self.assertIn("SUCCEEDED", status.upper())

    def test_release_comes_by_push(self) -> None:
        """With a poll every ten minutes only a hint can tell the other daemons in time."""
        daemons = [self.daemon("--poll", "10m") for _ in PARTIES]
        site = self.site(m0001_users=USERS)
        for number, party in enumerate(PARTIES):
            self.start(site, [daemons[number]], party)
        self.applied_once(site)

    def test_a_lost_hint_is_made_up_for_by_the_poll(self) -> None:
        assert isinstance(self, unittest.TestCase)
        proxies = [Proxy(self.store.port) for _ in PARTIES]
        daemons = []
        for proxy in proxies:
            self.addCleanup(proxy.close)
            daemons.append(self.daemon(store=self.at_port(proxy.port)))
        for proxy in proxies:
            proxy.lose_hints()
        site = self.site(m0001_users=USERS)
        for number, party in enumerate(PARTIES):
            self.start(site, [daemons[number]], party)
        self.applied_once(site)
        self.assertGreater(sum(proxy.swallowed for proxy in proxies), 0, "no hint was lost: the test shows nothing")

    def test_a_killed_daemon_hands_its_clients_over(self) -> None:
        """They go on at another one within their lease: nobody has to be counted again."""
        assert isinstance(self, unittest.TestCase)
        doomed = self.daemon()
        site = self.site(m0001_users=USERS)
        for party in PARTIES[:2]:
            self.start(site, [doomed, *self.daemons], party)
        site.until("2 of 3 here")
        doomed.kill()
        until = self.store_time(site) + timedelta(seconds=9 * SLOWNESS)
        wait_until("two leases are over, by the store's time", lambda: self.store_time(site) > until, BOUND)
        self.start(site, self.daemons, PARTIES[2])
        self.applied_once(site)
        kinds = [event["kind"] for event in get_json(self.daemons[0].url + f"/v1/targets/{site.target}/events?pageSize=1000")["events"]]
        self.assertNotIn("EVENT_KIND_PARTY_LAPSED", kinds)
        self.assertEqual(kinds.count("EVENT_KIND_PARTY_JOINED"), 3, kinds)
        self.assertNotIn("EVENT_KIND_GRACE_GIVEN", kinds)

    def store_time(self, site: Site) -> datetime:
        told = str(get_json(self.daemons[0].url + f"/v1/targets/{site.target}")["target"]["now"])
        return datetime.fromisoformat(told.replace("Z", "+00:00"))

    def test_all_daemons_are_restarted_under_a_hundred_who_wait(self) -> None:
        """One after another, as a rolling update does it: nobody notices more than a reconnect."""
        assert isinstance(self, unittest.TestCase)
        daemons = [self.daemon("--lease", f"{10 * SLOWNESS}s") for _ in PARTIES]
        barrier = f"roll-{os.urandom(4).hex()}"

        def enter(party: int) -> Dict[str, Any]:
            return self.enter_until_released(daemons, party, barrier)

        with concurrent.futures.ThreadPoolExecutor(max_workers=WAITING + 1) as pool:
            waiting = [pool.submit(enter, party) for party in range(WAITING)]
            wait_until("a hundred wait", lambda: self.present(daemons, barrier) == WAITING, BOUND)
            for daemon in daemons:
                daemon.process.stop(signal.SIGTERM)
                daemon.start()
            self.assertFalse(any(each.done() for each in waiting), "somebody was released, or gave up, before all were here")
            last = pool.submit(enter, WAITING)
            answers = [each.result(BOUND) for each in [*waiting, last]]
        self.assertEqual({answer["state"] for answer in answers}, {"BARRIER_STATE_OPEN"})
        self.assertEqual(len({answer["generation"] for answer in answers}), 1)

    def enter_until_released(self, daemons: List[Daemon], party: int, barrier: str) -> Dict[str, Any]:
        """As a client does it that knows all daemons: whoever does not answer, or says that he stops, is followed by the next."""
        body = {"quorum": WAITING + 1, "party": f"party-{party}", "incarnation": f"{barrier}-{party}", "lease": "60s", "wait": "20s"}
        until = time.monotonic() + 3 * BOUND
        for turn in itertools.count(party):
            assert time.monotonic() < until, f"party {party} was not released in time"
            try:
                answer = post_json(daemons[turn % len(daemons)].url + f"/v1/barriers/{barrier}/enter", body)
                if answer["state"] != "BARRIER_STATE_WAITING":
                    return answer
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
        raise AssertionError("unreachable")

    def present(self, daemons: List[Daemon], barrier: str) -> int:
        """As one who is there already sees it."""
        body = {"quorum": WAITING + 1, "party": "party-0", "incarnation": f"{barrier}-0", "lease": "60s", "wait": "0s"}
        return int(post_json(daemons[0].url + f"/v1/barriers/{barrier}/enter", body).get("present", 0))

    def test_the_store_is_killed_while_they_wait(self) -> None:
        site = self.site(m0001_users=USERS)
        for number in (0, 1):
            self.start(site, [self.daemons[number]], PARTIES[number])
        site.until("2 of 3 here")
        self.store.kill()
        for daemon in self.daemons:
            wait_until("the daemon says that its store is away", lambda daemon=daemon: "not ready" in daemon.log(), BOUND)
        self.store.start()
        self.start(site, [self.daemons[2]], PARTIES[2])
        self.applied_once(site)

    def bump(self, store: Any, key: str) -> None:
        """As a newer daemon would leave that record: of the next version, which is its first byte."""
        raise NotImplementedError

    def test_a_daemon_that_is_too_old_for_a_record_refuses(self) -> None:
        assert isinstance(self, unittest.TestCase)
        store = self.fresh_store()
        running = self.daemon("--poll", "100ms", store=store.url)
        site = self.site(m0001_users=USERS)
        self.start(site, [running], "eu-west")
        site.daemon = running
        site.until("1 of 3 here")
        self.bump(store, f"t/{site.target}")
        wait_until("the daemon that runs lets the target be", lambda: "FROZEN" in site.status(), BOUND)
        joined = syzygy(*site.migrate("us-east", "--connect-timeout", "3s"))
        self.assertEqual(joined.code, 69, joined.err)
        self.assertIn("run the newer syzygyd that wrote it", joined.err)
        log = os.path.join(site.scratch.path, "older.log")
        older = Process([os.environ["SYZYGYD"], "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--store", store.url], log)
        self.assertEqual(older.wait(BOUND), 65, older.output())
        self.assertIn("has version 3, this program reads up to 2; run the newer syzygyd that wrote it", older.output())

    def fresh_store(self) -> Any:
        store = self.make_store()
        self.addCleanup(store.close)  # type: ignore[attr-defined]
        return store


class RedisReplicas(Replicas, unittest.TestCase):
    @classmethod
    def make_store(cls) -> Redis:
        return Redis()

    def bump(self, store: Any, key: str) -> None:
        """The record's own version is what its bytes begin with; the store's has to change, too, or nobody looks."""
        script = (
            "local b = redis.call('HGET', KEYS[1], 'bytes'); local v = redis.call('HGET', KEYS[1], 'version'); "
            "redis.call('HSET', KEYS[1], 'bytes', string.char(3) .. string.sub(b, 2), 'version', string.sub(v, 1, -2) .. (string.sub(v, -1) == '0' and '1' or '0')) "
            "return 1"
        )
        self.assertIn(":1", store.ask("EVAL", script, "1", "{syzygy}:record:" + key))

    def test_every_daemon_listens(self) -> None:
        # The daemons of other cases are gone; that Redis has noticed is another matter.
        wait_until("each listens", lambda: f":{len(self.daemons)}\r\n" in self.store.ask("PUBSUB", "NUMSUB", "{syzygy}:hints"))


class PostgresReplicas(Replicas, unittest.TestCase):
    @classmethod
    def make_store(cls) -> Postgres:
        return Postgres()

    def bump(self, store: Any, key: str) -> None:
        with store.connect("postgres") as connection:
            connection.execute(
                "UPDATE syzygy.record SET bytes = '\\x03' || substr(bytes, 2), counter = nextval('syzygy.counter'), commit_id = md5(commit_id)::char(16)"
                " WHERE key = convert_to(%s, 'UTF8')",
                [key],
            )


if __name__ == "__main__":
    unittest.main()
