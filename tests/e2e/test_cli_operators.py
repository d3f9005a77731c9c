"""What operators type: target set, target excuse, sever, leave, resolve, status and history, with real rounds."""

import json
import os
import signal
import unittest

from .support.processes import SLOWNESS, wait_until
from .support.site import PARTIES, CliTest, Ended, Site, syzygy

USERS = "CREATE TABLE users (id int);"


class Operators(CliTest):
    def test_who_is_nowhere_cannot_be_taken_out(self) -> None:
        site = self.site()
        at = ["--target", site.target, "--daemon", self.daemon.grpc]
        self.assertEqual(syzygy("target", "set", site.target, "--quorum", "2", "--reason", "r", "--daemon", self.daemon.grpc).code, 0)
        left = syzygy("leave", "--incarnation", "nobody", *at)
        self.assertEqual(left.code, 2, left.out)
        self.assertIn(f"no process nobody is in a round of {site.target}", left.err)

    def test_a_step_that_runs_is_not_adopted(self) -> None:
        site = self.site(postgres=True, m0001_i="-- syzygy:no-transaction\nCREATE INDEX CONCURRENTLY of_t ON t (id);")
        looked = ["--database", site.database, "--reason", "it is built"]
        with self.postgres.connect(site.database.rsplit("/", 1)[1]) as held, self.postgres.connect(site.database.rsplit("/", 1)[1]) as sees:
            held.execute("CREATE TABLE t (id int)")
            held.execute("BEGIN; INSERT INTO t VALUES (1)")  # the index waits for its end
            applies = site.start(*site.migrate("eu-west", quorum=1), name="eu-west")
            building = "SELECT FROM pg_stat_activity WHERE query LIKE '%CONCURRENTLY of_t%' AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()"
            wait_until("the index is being built", lambda: sees.execute(building).fetchone() is not None)
            for change in (["adopt", "--at", "0001", "--dir", site.dir], ["repair", "0001"]):
                refused = syzygy("history", *change, *looked)
                self.assertEqual(refused.code, 65, refused.out + refused.err)
                self.assertIn("A session still runs a step in", refused.err)
            held.execute("COMMIT")
            self.assertEqual(applies.wait(), 0, site.said())
        self.assertNotIn("adopt", syzygy("history", "--database", site.database).out)

    def operate(self, site: Site, *arguments: str) -> Ended:
        return syzygy(*arguments, "--daemon", self.daemon.grpc)

    def done(self, site: Site, *arguments: str) -> str:
        run = self.operate(site, *arguments)
        self.assertEqual(run.code, 0, run.err)
        return run.out

    def test_a_pin_stands_in_for_the_quorum_and_is_removed(self) -> None:
        site = self.site(m0001_users=USERS)
        nobody_said = syzygy(*site.migrate("eu-west", quorum=None))
        self.assertEqual(nobody_said.code, 2, nobody_said.err)
        for way in ("--quorum", "SYZYGY_QUORUM", "syzygy.toml", "target set"):
            self.assertIn(way, nobody_said.err)
        self.assertIn("pinned to 1", self.done(site, "target", "set", site.target, "--quorum", "1", "--reason", "one cluster left"))
        run = syzygy(*site.migrate("eu-west", quorum=None))
        self.assertEqual(run.code, 0, run.err)
        self.assertNotIn("pinned", self.done(site, "target", "set", site.target, "--clear", "--reason", "back"))

    def test_an_excused_party_is_not_waited_for(self) -> None:
        site = self.site(m0001_users=USERS)
        self.done(site, "target", "set", site.target, "--expect", ",".join(PARTIES), "--reason", "roster")
        runs = [site.start(*site.migrate(party, quorum=None), name=party) for party in PARTIES[:2]]
        site.until("missing ap-south")
        self.assertIn("excused: ap-south", self.done(site, "target", "excuse", site.target, "ap-south", "--for", "2h", "--reason", "region down"))
        self.assertEqual([run.wait() for run in runs], [0, 0], site.said())

    def test_an_excuse_is_ended(self) -> None:
        site = self.site(m0001_users=USERS)
        excuse = ("target", "excuse", site.target, "ap-south")
        self.done(site, "target", "set", site.target, "--expect", ",".join(PARTIES), "--reason", "roster")
        self.done(site, *excuse, "--for", "2h", "--reason", "region down")
        runs = [site.start(*site.migrate("eu-west", quorum=None), name="eu-west")]
        site.until("1 of 2 here")
        self.assertNotIn("excused: ap-south", self.done(site, *excuse, "--end", "--reason", "it is back"))
        site.until("1 of 3 here")
        runs.append(site.start(*site.migrate("us-east", quorum=None), name="us-east"))
        site.until("2 of 3 here")
        runs.append(site.start(*site.migrate("ap-south", quorum=None), name="ap-south"))
        self.assertEqual([run.wait() for run in runs], [0, 0, 0], site.said())
        history = self.done(site, "history", "--target", site.target)
        for words in ("region down", "it is back"):
            self.assertIn(words, history)
        for wrong in (("--end", "--for", "2h"), ()):
            both = self.operate(site, *excuse, *wrong, "--reason", "x")
            self.assertEqual(both.code, 2, both.err)

    def test_an_excuse_runs_out(self) -> None:
        site = self.site(m0001_users=USERS)
        self.done(site, "target", "set", site.target, "--quorum", "2", "--reason", "two clusters")
        self.done(site, "target", "excuse", site.target, "us-east", "--for", "1s", "--reason", "restarting")
        wait_until("it is over", lambda: "excused" not in site.status())
        run = syzygy(*site.migrate("eu-west", "--timeout", f"{3 * SLOWNESS}s", quorum=None))
        self.assertEqual(run.code, 81, run.err)
        self.assertIn("1 of 2 here", run.err)

    def test_a_process_is_taken_out(self) -> None:
        site = self.site(m0001_users=USERS)
        run = site.start(*site.migrate("eu-west"), name="eu-west")
        site.until("1 of 3 here")
        seen = json.loads(self.done(site, "status", "--target", site.target, "--output", "json"))
        incarnation = seen["rounds"][0]["members"][0]["incarnation"]
        self.done(site, "leave", "--target", site.target, "--incarnation", incarnation, "--reason", "wrong image")
        self.assertEqual(run.wait(), 83, run.output())
        self.assertIn("an operator took this process out", run.output())
        self.assertIn("wrong image", self.done(site, "history", "--target", site.target))

    def test_an_indeterminate_round_is_resolved(self) -> None:
        site = self.site()
        run = site.start("exec", *site.common("eu-west", 1), "--plan-hash", "b1", "--", "sh", "-c", f"touch {site.path('ran')}; sleep 300", name="exec")
        wait_until("the command runs", lambda: os.path.exists(site.path("ran")))
        run.stop(signal.SIGTERM)
        self.assertEqual(run.wait(), 143, run.output())
        site.until("INDETERMINATE")
        blind = self.operate(site, "resolve", "--target", site.target, "--reason", "looked")
        self.assertEqual(blind.code, 2, blind.err)
        self.assertIn("--database", blind.err)
        out = self.done(site, "resolve", "--target", site.target, "--attest-stopped", "--as", "failed", "--reason", "looked")
        self.assertNotIn("INDETERMINATE", out)
        again = self.operate(site, "resolve", "--target", site.target, "--attest-stopped", "--as", "failed", "--reason", "looked")
        self.assertEqual(again.code, 2, again.err)
        self.assertIn("no round", again.err)

    def lost(self, step: str) -> Site:
        """A round that lost its connection in a step outside a transaction."""
        site = self.site(True, m0001_users=USERS, m0002_slow=f"-- syzygy:no-transaction\n-- syzygy:stage pre_deploy\n{step}")
        run = site.start(*site.migrate("eu-west", quorum=1), name="eu-west")
        with self.postgres.connect(site.database.rsplit("/", 1)[1]) as connection:
            find = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid() AND query LIKE '%pg_sleep%'"
            wait_until("the statement runs", lambda: connection.execute(find).fetchone())
            connection.execute(f"SELECT pg_terminate_backend(pid) FROM ({find}) AS theirs")
        self.assertEqual(run.wait(), 84, run.output())
        self.assertIn(f"syzygy resolve --target {site.target}", run.output())
        return site

    def test_a_round_is_resolved_after_a_look_into_the_database(self) -> None:
        site = self.lost("CREATE TABLE done AS SELECT pg_sleep(300) IS NULL AS slept;")
        resolve = ("resolve", "--target", site.target, "--reason", "looked", "--actor", "ada")
        other = self.site(True, m0001_users=USERS)
        wrong = self.operate(site, *resolve, "--database", other.database, "--as", "failed")
        self.assertEqual(wrong.code, 82, wrong.err)
        self.assertIn("holds nothing of Syzygy's", wrong.err)
        self.assertEqual(other.alone().code, 0)
        wrong = self.operate(site, *resolve, "--database", other.database, "--as", "failed")
        self.assertEqual(wrong.code, 82, wrong.err)
        self.assertIn(other.database.rsplit("/", 1)[1], wrong.err)
        unsaid = self.operate(site, *resolve, "--database", site.database)
        self.assertEqual(unsaid.code, 2, unsaid.err)
        self.assertIn("--as succeeded", unsaid.err)
        self.assertEqual(self.operate(site, *resolve, "--database", site.database, "--as", "failed").code, 2, "sessions may live on")
        self.assertIn("INDETERMINATE", site.status())
        out = self.done(site, *resolve, "--database", site.database, "--as", "failed", "--attest-stopped")
        self.assertNotIn("INDETERMINATE", out)
        told = self.done(site, "history", "--target", site.target)
        for words in ("ada", "looked"):
            self.assertIn(words, told)
        site.write(m0002_slow="-- syzygy:no-transaction\n-- syzygy:stage pre_deploy\nCREATE TABLE done (id int);")
        run = site.alone()
        self.assertEqual(run.code, 0, run.err)
        self.assertIn("done", self.tables(site))

    def test_a_step_that_was_done_after_all(self) -> None:
        site = self.lost("SELECT pg_sleep(300);")
        self.done(site, "resolve", "--target", site.target, "--database", site.database, "--as", "succeeded", "--attest-stopped", "--reason", "it had slept enough")
        # The history says what Syzygy saw. What an operator saw is told to it by adopting.
        plan = syzygy("migrate", "--target", site.target, "--database", site.database, "--dir", site.dir, "--plan")
        self.assertIn("0002", plan.out)
        adopted = syzygy("history", "adopt", "--at", "0002", "--target", site.target, "--database", site.database, "--dir", site.dir, "--actor", "ada")
        self.assertEqual(adopted.code, 0, adopted.err)
        run = site.alone()
        self.assertEqual(run.code, 0, run.err)
        self.assertIn("nothing to do", run.err)

    def test_status_watches_and_history_tells(self) -> None:
        site = self.site(m0001_users=USERS)
        waiting = site.start(*site.migrate("eu-west", quorum=2), name="eu-west")
        site.until("1 of 2 here")
        watch = site.start("status", "--target", site.target, "--watch", "--daemon", self.daemon.grpc, name="watch")
        wait_until("the watch shows who is here", lambda: "eu-west" in watch.output())
        self.assertEqual(syzygy(*site.migrate("us-east", quorum=2)).code, 0)
        self.assertEqual(waiting.wait(), 0, site.said())
        wait_until("the watch shows the end", lambda: "SUCCEEDED" in watch.output())
        watch.stop(signal.SIGINT)
        self.assertEqual(watch.wait(), 130)
        history = self.done(site, "history", "--target", site.target)
        for words in ("eu-west is here", "us-east is here", "SUCCEEDED"):
            self.assertIn(words, history)
        applied = json.loads(syzygy("history", "--database", site.database, "--output", "json").out)
        self.assertEqual([entry["id"] for entry in applied["history"]], ["0001"])

    def test_what_is_missing_is_said(self) -> None:
        site = self.site()
        for arguments, words in (
            (("sever", "--target", site.target), "--reason"),
            (("status", "--target", "never-heard-of"), "never-heard-of"),
            (("target", "excuse", site.target, "a"), "--for"),
            (("target", "set", site.target), "--quorum"),
            (("history",), "--database"),
        ):
            run = self.operate(site, *arguments)
            self.assertEqual(run.code, 2, (arguments, run.err))
            self.assertIn(words, run.err)


if __name__ == "__main__":
    unittest.main()
