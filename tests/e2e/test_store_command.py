"""`syzygyd store`: looking at a store, moving one to another kind, taking it back; on real servers."""

import json
import os
import subprocess
import unittest
from typing import Any, Dict, List, Optional, Tuple

from .support.daemon import Daemon
from .support.postgres import Postgres
from .support.processes import BOUND, Process, ScratchDirectory
from .support.redis import Redis
from .support.site import Ended, Site, syzygy

USERS = "CREATE TABLE users (id int);"
EMAIL = "ALTER TABLE users ADD COLUMN email text;"


def store(*arguments: str, env: Optional[Dict[str, str]] = None) -> Ended:
    command = [os.environ["SYZYGYD"], "store", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND, cwd="/", env={**os.environ, **(env or {})})
    return Ended(done.returncode, done.stdout, done.stderr)


class StoreCommand(unittest.TestCase):
    redis: Redis
    postgres: Postgres

    @classmethod
    def setUpClass(cls) -> None:
        cls.redis = Redis()
        cls.addClassCleanup(cls.redis.close)
        cls.postgres = Postgres()
        cls.addClassCleanup(cls.postgres.close)

    def setUp(self) -> None:
        self.scratch = ScratchDirectory("store")
        self.addCleanup(self.scratch.close)
        self.mark = f"s{os.urandom(4).hex()}"

    def urls(self) -> List[str]:
        """One store of each kind, that nobody has used."""
        return [f"sqlite:{self.scratch.path}/{self.mark}", f"{self.redis.url}?prefix={self.mark}", f"{self.postgres.url}?schema={self.mark}"]

    def daemon(self, url: str) -> Daemon:
        daemon = Daemon("--lease", "5s", store=url)
        self.addCleanup(daemon.close)
        return daemon

    def check(self, url: str) -> Tuple[int, Dict[str, Any]]:
        done = store("check", "--store", url, "--output", "json")
        return done.code, json.loads(done.out)

    def site(self, daemon: Daemon) -> Site:
        site = Site(daemon)
        self.addCleanup(site.close)
        site.write(m0001_users=USERS)
        return site

    def test_check_tells_what_to_know_of_each_kind(self) -> None:
        for url in self.urls():
            with self.subTest(url):
                code, told = self.check(url)
                about = {finding["about"]: finding for finding in told["findings"]}
                self.assertLessEqual({"version", "durability", "clock", "round trip"}, set(about))
                self.assertRegex(about["round trip"]["text"], r"commit [\d.]+ ms, load [\d.]+ ms")
                self.assertEqual(about["clock"]["verdict"], "good")
                if not url.startswith("sqlite"):
                    self.assertIn("another daemon hears of a commit", about["hints"]["text"])
                    self.assertEqual(about["users"]["text"], "0 at this moment")
                # This PostgreSQL is a test's: it does not fsync, and that is bad.
                self.assertEqual((code, told["verdict"]), (1, "bad") if url.startswith("postgres") else (0, "good"))
                text = store("check", "--store", url)
                self.assertEqual(text.code, code)
                self.assertRegex(text.out, r"(?m)^good +clock ")

    def test_check_sees_who_else_is_there(self) -> None:
        for url in self.urls():
            with self.subTest(url):
                self.daemon(url)
                if url.startswith("sqlite"):
                    done = store("check", "--store", url)
                    self.assertEqual(done.code, 75, done.err)
                    self.assertIn("in use by process", done.err)
                    continue
                _, told = self.check(url)
                self.assertIn({"verdict": "good", "about": "users", "text": "1 at this moment: a syzygyd on 127.0.0.1"}, told["findings"])

    def test_check_names_what_is_wrong(self) -> None:
        cases = {
            "redis://127.0.0.1:1/": (69, "127.0.0.1:1"),
            "postgresql://postgres:topsecret@127.0.0.1:1/postgres": (69, "127.0.0.1:1"),
            "memcached://cache": (2, "memcached: is not known"),
        }
        for url, (code, text) in cases.items():
            with self.subTest(url):
                done = store("check", "--store", url)
                self.assertEqual(done.code, code, done.err)
                self.assertIn(text, done.err)
                self.assertNotIn("topsecret", done.out + done.err)
        code, told = self.check("redis://127.0.0.1:1/")
        self.assertEqual((code, told["verdict"]), (69, "bad"))
        self.assertIn("reason", told["error"])

    def test_a_round_goes_on_in_the_store_that_it_was_moved_to(self) -> None:
        """Around: SQLite to Redis to PostgreSQL and to SQLite again, under two pipelines that wait."""
        places = [*self.urls(), f"sqlite:{self.scratch.path}/{self.mark}-again"]
        daemon = self.daemon(places[0])
        site = self.site(daemon)
        self.assertEqual(site.alone().code, 0)
        site.write(m0002_email=EMAIL)
        history = syzygy("history", "--target", site.target, "--daemon", daemon.grpc).out
        epochs = set()
        for old, new in zip(places, places[1:]):
            daemon.process.stop(15)
            moved = store("migrate", "--from", old, "--to", new, "--output", "json")
            self.assertEqual(moved.code, 0, moved.err)
            told = json.loads(moved.out)
            epochs.add(told["epoch"])
            self.assertEqual((told["records"], told["written"]), (1, 1))
            refused = Process([os.environ["SYZYGYD"], "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--store", old], site.path("refused.log"))
            self.assertEqual(refused.wait(BOUND), 69)
            self.assertIn("was moved to", refused.output())
            daemon = self.daemon(new)
            self.assertEqual(syzygy("history", "--target", site.target, "--daemon", daemon.grpc).out, history)
        self.assertEqual(len(epochs), 1, "a store that was moved is the same one")
        site.daemon = daemon
        self.assertEqual(site.together(), [0, 0, 0], site.said())

    def test_migrate_refuses_what_would_lose_something(self) -> None:
        sqlite, redis, postgres = self.urls()
        daemon = self.daemon(redis)
        self.assertEqual(self.site(daemon).alone().code, 0)
        busy = store("migrate", "--from", redis, "--to", postgres)
        self.assertEqual(busy.code, 75, busy.err)
        self.assertIn("Stop every syzygyd", busy.err)
        other = self.daemon(postgres)
        self.assertEqual(self.site(other).alone().code, 0)
        daemon.process.stop(15)
        busy = store("migrate", "--from", redis, "--to", postgres)
        self.assertEqual(busy.code, 75, busy.err)
        other.process.stop(15)
        full = store("migrate", "--from", redis, "--to", postgres)
        self.assertEqual(full.code, 69, full.err)
        self.assertIn("holds 1 records of its own", full.err)
        same = store("migrate", "--from", redis, "--to", redis.replace("127.0.0.1", "localhost"))
        self.assertEqual(same.code, 2, same.err)
        self.assertIn("the same store", same.err)
        self.assertEqual(store("migrate", "--from", redis, "--to", "memory:").code, 2)
        daemon.start()  # nothing of all that has marked it
        self.assertEqual(store("migrate", "--from", redis, "--to", sqlite).code, 75)

    def test_an_interrupted_move_goes_on_and_nobody_uses_half_of_it(self) -> None:
        sqlite, redis, _ = self.urls()
        daemon = self.daemon(redis)
        sites = [self.site(daemon) for _ in range(20)]
        for site in sites:
            self.assertEqual(site.alone().code, 0)
        daemon.process.stop(15)
        killed = store("migrate", "--from", redis, "--to", sqlite, env={"SYZYGY_KILL_AT": "store_migrate.copied:7"})
        self.assertEqual(killed.code, -9)
        for url, text in ((sqlite, "only half there"), (redis, "is being moved to")):
            log = os.path.join(self.scratch.path, "refused.log")
            refused = Process([os.environ["SYZYGYD"], "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--store", url], log)
            self.assertEqual(refused.wait(BOUND), 69)
            self.assertIn(text, refused.output())
        again = store("migrate", "--from", redis, "--to", sqlite, "--output", "json")
        self.assertEqual(again.code, 0, again.err)
        self.assertEqual((json.loads(again.out)["records"], json.loads(again.out)["written"]), (20, 13))

    def test_a_store_can_be_taken_back(self) -> None:
        _, redis, postgres = self.urls()
        daemon = self.daemon(redis)
        self.assertEqual(self.site(daemon).alone().code, 0)
        daemon.process.stop(15)
        _, before = self.check(redis)
        self.assertEqual(store("migrate", "--from", redis, "--to", postgres).code, 0)
        code, moved = self.check(redis)
        self.assertEqual(code, 1)
        self.assertIn("moved", {finding["about"] for finding in moved["findings"]})
        self.assertEqual(store("reopen", "--store", redis).code, 0)
        code, after = self.check(redis)
        self.assertEqual(code, 0)
        self.assertNotEqual(after["epoch"], before["epoch"], "another life: nobody may take it for what went on elsewhere")
        daemon.start()


if __name__ == "__main__":
    unittest.main()
