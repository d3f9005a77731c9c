"""A store that goes back in time below a round: an old copy is put back, or everything in it is deleted.

Nothing is applied twice (the target's own ledger tells), and everybody learns the truth: an outcome that stands in the target, or that
nobody can know it.
"""

import os
import signal
import unittest
from typing import List, Tuple

from .support.daemon import Daemon
from .support.postgres import Postgres
from .support.processes import BOUND, wait_until
from .support.redis import Redis
from .support.site import PARTIES, Site, syzygy

# Resynchronisation takes the longest lease and the lock delay: 3 s here.
SHORT = ("--lease", "1s", "--lease-max", "2s", "--lease-unfenced", "2s", "--lock-delay", "1s", "--kill-after", "500ms", "--decline", "500ms")
STAGE = "-- syzygy:stage pre_deploy\n"
LEDGER = STAGE + "CREATE TABLE ledger (step text NOT NULL); INSERT INTO ledger VALUES ('1');"
# Lasts until the test says go.
HELD = f"{STAGE}INSERT INTO ledger VALUES ('2');\nDO $$ BEGIN WHILE EXISTS (SELECT FROM held) LOOP PERFORM pg_sleep(0.05); END LOOP; END $$;"
LAST = STAGE + "INSERT INTO ledger VALUES ('3');"
WENT_BACK = "the daemon's store went back in time, or began anew"


class Case(unittest.TestCase):
    postgres: Postgres  # of the targets, and of one store

    @classmethod
    def setUpClass(cls) -> None:
        if "postgres" not in vars(Case):
            Case.postgres = Postgres()
            unittest.addModuleCleanup(Case.postgres.close)

    def site(self, daemon: Daemon) -> Site:
        site = Site(daemon, self.postgres)
        self.addCleanup(site.close)
        self.target(site, "CREATE TABLE held AS SELECT")
        site.write(m0001_ledger=LEDGER, m0002_held=HELD, m0003_last=LAST)
        return site

    def target(self, site: Site, query: str) -> List[Tuple[object, ...]]:
        with self.postgres.connect(site.database.rsplit("/", 1)[1]) as connection:
            done = connection.execute(query)
            return done.fetchall() if done.description else []

    def go(self, site: Site) -> None:
        self.target(site, "DELETE FROM held")

    def daemon(self, store: str = "") -> Daemon:
        daemon = Daemon(*SHORT, store=store)
        self.addCleanup(daemon.close)
        return daemon

    def start(self, site: Site, *parties: str) -> None:
        for party in parties:
            site.start(*site.migrate(party), name=party)

    def until_held(self, site: Site) -> None:
        site.until("step 2 of 3")

    def codes(self, site: Site) -> List[int]:
        return [run.wait(BOUND) for run in site.runs.values()]

    def ledger(self, site: Site) -> List[str]:
        return [str(step) for (step,) in self.target(site, "SELECT step FROM ledger ORDER BY step")]

    def assert_applied_once(self, site: Site) -> None:
        self.assertEqual(self.codes(site), [0] * len(site.runs), site.said() + site.daemon.log())
        self.assertEqual(self.ledger(site), ["1", "2", "3"], site.said())

    def token(self, site: Site) -> int:
        ((token,),) = self.target(site, "SELECT token FROM syzygy.fence")
        return int(str(token))


class EmbeddedStore(Case):
    def third_after_a_copy(self) -> Tuple[Daemon, Site, str]:
        """A round that the third party completes, and a copy of the store from before it came."""
        daemon = self.daemon()
        site = self.site(daemon)
        self.start(site, "eu-west", "us-east")
        site.until("2 of 3 here")
        copy = site.path("copy")
        daemon.copy_store(copy)
        self.start(site, "ap-south")
        return daemon, site, copy

    def test_an_old_copy_below_an_applier_in_the_middle(self) -> None:
        daemon, site, copy = self.third_after_a_copy()
        self.until_held(site)
        daemon.put_back(copy)
        wait_until("somebody is told", lambda: WENT_BACK in site.said(), BOUND)
        self.go(site)
        self.assert_applied_once(site)

    def test_a_success_that_was_told_and_lost(self) -> None:
        daemon, site, copy = self.third_after_a_copy()
        self.go(site)
        self.assert_applied_once(site)
        daemon.put_back(copy)
        # Who comes late has nothing pending; who brings one more step waits until the lost life is over, and goes on above it.
        late = syzygy(*site.migrate("eu-west"))
        self.assertEqual(late.code, 0, late.err)
        before = self.token(site)
        site.write(m0004_more=STAGE + "INSERT INTO ledger VALUES ('4');")
        more = site.alone()
        self.assertEqual(more.code, 0, more.err + daemon.log())
        self.assertEqual(self.ledger(site), ["1", "2", "3", "4"])
        self.assertGreater(self.token(site), before)

    def test_an_old_copy_of_a_run_whose_success_nobody_remembers(self) -> None:
        """Who starts with a copy cannot know that: the target is asked, and nobody is told of a failure."""
        daemon = self.daemon()
        site = self.site(daemon)
        self.start(site, *PARTIES)
        self.until_held(site)
        copy = site.path("copy")
        daemon.copy_store(copy)
        self.go(site)
        self.assert_applied_once(site)
        daemon.put_back(copy)
        site.until("recovering")
        late = syzygy(*site.migrate("eu-west"))
        self.assertEqual(late.code, 0, late.err)
        site.until("SUCCEEDED")
        self.assertNotIn("FAILED", site.status())
        self.assertEqual(self.ledger(site), ["1", "2", "3"])

    def test_an_old_copy_of_a_tool_whose_success_nobody_remembers(self) -> None:
        """Nothing can tell: INDETERMINATE, until somebody looks."""
        daemon = self.daemon()
        site = self.site(daemon)
        go = site.path("go")
        tool = ["--plan-hash", "build-1", "--", "sh", "-c", f"while ! test -e {go}; do sleep 0.1; done"]
        for party in PARTIES:
            site.start("exec", *site.common(party), *tool, name=party)
        site.until("applies")
        copy = site.path("copy")
        daemon.copy_store(copy)
        with open(go, "w", encoding="utf-8"):
            pass
        self.assertEqual(self.codes(site), [0] * len(PARTIES), site.said())
        daemon.put_back(copy)
        site.until("INDETERMINATE")
        self.assertIn("syzygy resolve", site.status())

    def cut_off(self) -> Tuple[Site, Tuple[str, ...]]:
        """A step outside a transaction whose applier died in the middle, below a store that is lost; and an operator's flags."""
        site = self.site(self.daemon())
        index = "-- syzygy:no-transaction\nINSERT INTO ledger VALUES ('2');\nCREATE INDEX CONCURRENTLY by_step ON ledger (step);"
        site.write(m0002_held=STAGE + index)
        died = syzygy(*site.migrate("eu-west", quorum=1), env={"SYZYGY_KILL_AT": "target_outside_statements_done"})
        self.assertEqual(died.code, -signal.SIGKILL, died.err)
        site.daemon = self.daemon()
        return site, ("--database", site.database, "--reason", "dropped it")

    def clean_up(self, site: Site) -> None:
        self.target(site, "DROP INDEX by_step; DELETE FROM ledger WHERE step = '2'")

    def test_a_step_outside_a_transaction_whose_round_is_lost(self) -> None:
        """It is not run again before somebody has looked."""
        site, looked = self.cut_off()
        self.start(site, *PARTIES)
        self.assertEqual(self.codes(site), [84] * len(PARTIES), site.said())
        self.assertIn("step 0002 runs outside a transaction; it was begun by round", site.status())
        self.assertEqual(self.ledger(site), ["1", "2"])
        self.clean_up(site)
        resolved = syzygy("resolve", "--target", site.target, *looked, "--as", "failed", "--attest-stopped", "--daemon", site.daemon.grpc)
        self.assertEqual(resolved.code, 0, resolved.err)
        self.assertIn("step 0002 is not in the history, and will be done again", resolved.err)
        self.assertIn("told once that it failed", resolved.err)
        self.assertEqual(syzygy(*site.migrate("eu-west")).code, 80, "it is told")
        again = syzygy(*site.migrate("eu-west", quorum=1))
        self.assertEqual(again.code, 0, again.err)
        self.assertEqual(self.ledger(site), ["1", "2", "3"])

    def test_a_step_outside_a_transaction_is_repaired_without_a_daemon(self) -> None:
        site, looked = self.cut_off()
        alone = site.migrate("eu-west", "--break-glass", "--reason", "no time")
        refused = syzygy(*alone)
        self.assertEqual(refused.code, 84, refused.err)
        self.assertIn("syzygy history repair 0002", refused.err)
        self.assertEqual(self.ledger(site), ["1", "2"])
        self.clean_up(site)
        repaired = syzygy("history", "repair", "0002", *looked)
        self.assertEqual(repaired.code, 0, repaired.err)
        self.assertIn("repaired 0002, which round", repaired.out)
        nothing = syzygy("history", "repair", "0002", *looked)
        self.assertEqual(nothing.code, 65, nothing.err)
        self.assertIn("there is nothing to repair", nothing.err)
        again = syzygy(*alone)
        self.assertEqual(again.code, 0, again.err)
        self.assertEqual(self.ledger(site), ["1", "2", "3"])
        self.assertIn("settle 0002", syzygy("history", "--database", site.database).out)

    def test_an_empty_store_says_until_when_it_waits(self) -> None:
        daemon = self.daemon()
        site = self.site(daemon)
        self.start(site, *PARTIES)
        self.go(site)
        self.assert_applied_once(site)
        site.daemon = self.daemon()
        site.write(m0004_more=STAGE + "INSERT INTO ledger VALUES ('4');")
        site.start(*site.migrate("eu-west", quorum=1), name="eu-west")
        site.until("RESYNCHRONISES until")
        status = site.status()
        self.assertIn("the target holds token", status)
        self.assertIn("Nothing is granted until then", status)
        self.assertEqual(self.codes(site)[-1], 0, site.said())
        self.assertEqual(self.ledger(site), ["1", "2", "3", "4"])


class InRedis(Case):
    def setUp(self) -> None:
        self.redis = Redis()
        self.addCleanup(self.redis.close)

    def test_everything_is_deleted_below_an_applier_in_the_middle(self) -> None:
        site = self.site(self.daemon(self.redis.url))
        self.start(site, *PARTIES)
        self.until_held(site)
        self.redis.ask("FLUSHALL")
        wait_until("somebody is told", lambda: WENT_BACK in site.said(), BOUND)
        self.go(site)
        self.assert_applied_once(site)

    def test_everything_is_deleted_below_a_tool_that_no_fence_guards(self) -> None:
        daemon = self.daemon(self.redis.url)
        site = self.site(daemon)
        ran = site.path("ran")
        tool = ["--plan-hash", "build-1", "--", "sh", "-c", f"echo run >> {ran}; sleep 30"]
        for party in PARTIES:
            site.start("exec", *site.common(party), *tool, name=party)
        wait_until("the tool runs", lambda: os.path.exists(ran), BOUND)
        self.redis.ask("FLUSHALL")
        codes = self.codes(site)
        self.assertNotIn(0, codes, site.said())
        self.assertTrue({80, 84} >= set(codes), f"{codes}{site.said()}")
        with open(ran, encoding="utf-8") as file:
            self.assertEqual(file.read(), "run\n", site.said())

    def test_an_old_copy_below_an_applier_in_the_middle(self) -> None:
        daemon = self.daemon(self.redis.url)
        site = self.site(daemon)
        self.start(site, "eu-west", "us-east")
        site.until("2 of 3 here")
        copy = site.path("copy")
        self.redis.copy_data(copy)
        self.start(site, "ap-south")
        self.until_held(site)
        self.redis.put_back(copy)
        wait_until("somebody is told", lambda: WENT_BACK in site.said(), BOUND)
        self.go(site)
        self.assert_applied_once(site)


class InPostgres(Case):
    def test_an_old_copy_of_the_schema_below_an_applier_in_the_middle(self) -> None:
        self.postgres.create_database("store")
        daemon = self.daemon(f"postgresql://postgres@127.0.0.1:{self.postgres.port}/store")
        site = self.site(daemon)
        self.start(site, "eu-west", "us-east")
        site.until("2 of 3 here")
        with self.postgres.connect("store") as connection:
            connection.execute("CREATE TABLE copy AS SELECT * FROM syzygy.record")
            self.start(site, "ap-south")
            self.until_held(site)
            with connection.transaction():
                connection.execute("DELETE FROM syzygy.history")
                connection.execute("DELETE FROM syzygy.record")
                connection.execute("INSERT INTO syzygy.record SELECT * FROM copy")
        wait_until("somebody is told", lambda: WENT_BACK in site.said(), BOUND)
        self.go(site)
        self.assert_applied_once(site)


if __name__ == "__main__":
    unittest.main()
