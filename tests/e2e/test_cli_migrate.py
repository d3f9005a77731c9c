"""`syzygy migrate` and `syzygy exec` as pipelines run them: every outcome, its exit code and what it says."""

import concurrent.futures
import json
import os
import signal
import sqlite3
import unittest
from typing import Any, List, Optional

from .support.daemon import Daemon
from .support.processes import BOUND, SLOWNESS, Process, ScratchDirectory, wait_until
from .support.site import PARTIES, SLOW_ON_SQLITE, CliTest, Site, nobody, syzygy

USERS = "CREATE TABLE users (id int);"
EMAIL = "ALTER TABLE users ADD COLUMN email text;"


class Together(CliTest):
    def stages(self, postgres: bool) -> None:
        site = self.site(postgres, m0001_users=USERS, m0002_email=EMAIL, m0003_drop="DROP TABLE users;")
        self.assertEqual(site.together("--pre-deploy"), [0, 0, 0], site.said())
        self.assertIn("users", self.tables(site))
        self.assertEqual(site.said().count("elected: this process applies"), 1, site.said())
        self.assertEqual(site.together("--post-deploy"), [0, 0, 0], site.said())
        self.assertNotIn("users", self.tables(site))
        self.assertEqual(site.together(), [0, 0, 0], site.said())
        self.assertEqual(site.said().count("nothing to do: no migration is pending"), 3, site.said())

    def test_both_stages_and_then_nothing_on_postgresql(self) -> None:
        self.stages(True)

    def test_both_stages_and_then_nothing_on_sqlite(self) -> None:
        self.stages(False)

    def test_an_index_is_built_concurrently_while_the_others_wait(self) -> None:
        site = self.site(True, m0001_users=USERS, m0002_index="-- syzygy:no-transaction\nCREATE INDEX CONCURRENTLY users_id ON users (id);")
        self.assertEqual(site.together(), [0, 0, 0], site.said())
        with self.postgres.connect(site.database.rsplit("/", 1)[1]) as connection:
            self.assertEqual(connection.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_id'::regclass").fetchall(), [(True,)])

    def test_two_applications_build_indexes_of_one_table_at_the_same_time(self) -> None:
        one = self.site(True, m0001_users="CREATE TABLE users AS SELECT i AS id FROM generate_series(1, 200000) AS i;")
        self.assertEqual(one.alone().code, 0)
        other = self.site(True)
        other.database = one.database
        index = "-- syzygy:no-transaction\nCREATE INDEX CONCURRENTLY {} ON users ({});"
        one.write(m0002_index=index.format("by_id", "id"))
        other.write(m0001_index=index.format("by_double", "(id * 2)"))
        runs = [one.start(*one.migrate(party), name=party) for party in PARTIES]
        runs += [other.start(*other.migrate(party, "--app", "reports"), name=party) for party in PARTIES]
        self.assertEqual([run.wait() for run in runs], [0] * 6, one.said() + other.said())
        with self.postgres.connect(one.database.rsplit("/", 1)[1]) as connection:
            self.assertEqual(connection.execute("SELECT bool_and(indisvalid), count(*) FROM pg_index WHERE indrelid = 'users'::regclass").fetchall(), [(True, 2)])

    def test_a_step_that_ends_its_own_connection_is_not_begun_for_ever(self) -> None:
        site = self.site(postgres=True, m0001_users=USERS, m0002_ends="-- syzygy:stage pre_deploy\nSELECT pg_terminate_backend(pg_backend_pid());")
        run = site.alone()
        self.assertEqual(run.code, 80, run.err)
        self.assertIn("the connection was lost 5 times during step 0002", run.err)
        self.assertEqual(self.tables(site), ["users"])

    def test_who_cannot_apply_says_why(self) -> None:
        site = self.site(postgres=True, m0001_users=USERS)
        self.assertEqual(site.alone().code, 0)
        site.write(m0002_more="CREATE TABLE more (id int);")
        role = f"reads_{site.target.replace('-', '_')}"
        with self.postgres.connect(site.database.rsplit("/", 1)[1]) as connection:
            connection.execute(f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA syzygy TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA syzygy TO {role}")
        site.database = site.database.replace("postgres@", f"{role}@")
        run = site.alone()
        self.assertEqual(run.code, 80, run.err)
        self.assertRegex(run.err, "this process cannot apply.*permission denied")

    def test_sql_that_fails_fails_all_and_names_the_place(self) -> None:
        site = self.site(True, m0001_users=USERS, m0002_bad="-- syzygy:stage pre_deploy\nSELECT 1;\nINSERT INTO no_such_table VALUES (1);\n")
        self.assertEqual(site.together("--pre-deploy"), [80, 80, 80], site.said())
        for run in site.runs.values():
            self.assertIn("0002_bad.sql:3", run.output())
            self.assertIn("no_such_table", run.output())
        self.assertIn("users", self.tables(site))
        site.write(m0002_bad="-- syzygy:stage pre_deploy\nSELECT 1;")
        self.assertEqual(site.together("--pre-deploy"), [0, 0, 0], site.said())

    def test_one_party_has_nothing_pending(self) -> None:
        site = self.site(m0001_users=USERS)
        other = site.path("older")
        os.mkdir(other)
        site.write(other, m0001_users=USERS)
        self.assertEqual(site.together(), [0, 0, 0], site.said())
        site.write(m0002_email=EMAIL)
        waiting = [site.start(*site.migrate(party), name=party) for party in PARTIES[:2]]
        site.until("2 of 3 here")
        older = syzygy("migrate", *site.common("ap-south"), "--database", site.database, "--dir", other)
        self.assertEqual(older.code, 0, older.err)
        self.assertIn("nothing to do", older.err)
        site.until("nothing pending: ap-south")
        wait_until("the others see who came", lambda: all("came with nothing pending: ap-south" in r.output() for r in waiting))

    def test_another_plan_fails_where_that_is_asked_for(self) -> None:
        site = self.site(m0001_users=USERS)
        other = site.path("other")
        os.mkdir(other)
        site.write(other, m0001_users="CREATE TABLE users (id bigint);")
        first = site.start(*site.migrate("eu-west", "--on-divergence", "fail"), name="eu-west")
        site.until("1 of 3 here")
        # Both leave at once: the first may hear of the other plan when whoever holds it has gone.
        second = syzygy("migrate", *site.common("us-east"), "--database", site.database, "--dir", other, "--on-divergence", "fail")
        self.assertEqual(second.code, 82, second.err + site.said())
        self.assertIn("0001", second.err)
        self.assertEqual(first.wait(), 82, site.said())
        self.assertIn("0001", first.output())

    def test_another_number_of_parties_is_refused(self) -> None:
        site = self.site(m0001_users=USERS)
        site.start(*site.migrate("eu-west"), name="eu-west")
        site.until("1 of 3 here")
        other = syzygy(*site.migrate("us-east", quorum=2))
        self.assertEqual(other.code, 82, other.err)
        self.assertIn("3", other.err)

    def test_two_databases_under_one_name_are_refused(self) -> None:
        one = self.site(m0001_users=USERS)
        self.assertEqual(one.alone().code, 0)
        other = self.site(target=one.target, m0001_users=USERS).alone()
        self.assertEqual(other.code, 82, other.err)
        self.assertIn(one.target, other.err)

    def test_severed_by_an_operator(self) -> None:
        site = self.site(m0001_users=USERS)
        waiting = site.start(*site.migrate("eu-west"), name="eu-west")
        site.until("1 of 3 here")
        self.assertEqual(syzygy("sever", "--target", site.target, "--reason", "wrong plan", "--daemon", self.daemon.grpc).code, 0)
        self.assertEqual(waiting.wait(), 83, waiting.output())
        self.assertIn("wrong plan", waiting.output())

    def test_nobody_comes(self) -> None:
        run = syzygy(*self.site(m0001_users=USERS).migrate("eu-west", "--timeout", f"{3 * SLOWNESS}s"))
        self.assertEqual(run.code, 81, run.err)
        self.assertIn("1 of 3 here", run.err)


class Signals(CliTest):
    def test_a_waiter_leaves(self) -> None:
        site = self.site(m0001_users=USERS)
        waiting = site.start(*site.migrate("eu-west"), name="eu-west")
        site.until("1 of 3 here")
        waiting.stop(signal.SIGINT)
        self.assertEqual(waiting.wait(), 130, waiting.output())
        self.assertIn("left the round", waiting.output())
        wait_until("it is not counted any more", lambda: "1 of 3 here" not in site.status())

    def applier_leaves(self, postgres: bool) -> None:
        site = self.site(postgres, m0001_users=USERS)
        # Slow only for the first: the second run of the step finds the row that says so.
        if postgres:
            with self.postgres.connect(site.database.rsplit("/", 1)[1]) as connection:
                connection.execute("CREATE TABLE pace AS SELECT 300 AS seconds")
            site.write(m0002_slow="CREATE TABLE slow AS SELECT pg_sleep(seconds) IS NULL AS done FROM pace;")
        runs = [site.start(*site.migrate(party, quorum=2), name=party) for party in PARTIES[:2]]

        def applier() -> Optional[Any]:
            return next((run for run in runs if "applied 0001" in run.output()), None)

        first = wait_until("somebody applies", applier)
        site.until("step 2 of 2")
        with self.postgres.connect(site.database.rsplit("/", 1)[1]) as connection:
            connection.execute("UPDATE pace SET seconds = 0")
        first.stop(signal.SIGINT)
        self.assertEqual(first.wait(), 130, site.said())
        second = runs[1 - runs.index(first)]
        self.assertEqual(second.wait(), 0, site.said())
        self.assertIn("slow", self.tables(site))

    def test_the_applier_leaves_and_another_finishes(self) -> None:
        self.applier_leaves(True)

    def test_the_applier_leaves_in_a_slow_step_of_sqlite(self) -> None:
        site = self.site(m0001_users=USERS, m0002_slow=SLOW_ON_SQLITE)
        run = site.start(*site.migrate("eu-west", "--pre-deploy", quorum=1), name="eu-west")
        wait_until("the first step stands", lambda: "applied 0001" in run.output() or not run.running())
        run.stop(signal.SIGINT)
        self.assertEqual(run.wait(), 130, run.output())
        self.assertNotIn("counted", self.tables(site))


    def test_the_applier_leaves_while_the_daemon_does_not_answer_its_claim(self) -> None:
        site = self.site(True, m0001_users=USERS)
        site.daemon = Daemon()
        self.addCleanup(site.daemon.close)
        with self.postgres.connect(site.database.rsplit("/", 1)[1]) as connection:

            def token() -> int:
                return int(str(connection.execute("SELECT token FROM syzygy.fence").fetchone()[0]))  # type: ignore[index]

            self.assertEqual(site.alone("--to", "0001").code, 0)
            before = token()
            site.write(m0002_email=EMAIL)
            with self.postgres.connect(site.database.rsplit("/", 1)[1]) as other, other.transaction():
                other.execute("SELECT 1 FROM syzygy.fence FOR UPDATE")  # holds the claim up until the daemon is frozen
                run = site.start(*site.migrate("eu-west", quorum=1), name="eu-west")
                site.until("elected")
                wait_until("it claims", lambda: "elected: this process applies" in run.output())
                os.kill(site.daemon.process.popen.pid, signal.SIGSTOP)
            try:
                wait_until("the claim stands", lambda: token() > before)
                run.popen.send_signal(signal.SIGTERM)
                self.assertEqual(run.wait(BOUND), 143, run.output())
            finally:
                os.kill(site.daemon.process.popen.pid, signal.SIGCONT)
        self.assertIn("nothing was applied", run.output())
        self.assertEqual(site.alone().code, 0, "the next one needs no cleaning up")


class Alone(CliTest):
    def test_plan_shows_and_changes_nothing(self) -> None:
        for postgres in (True, False):
            site = self.site(postgres, m0001_users=USERS, m0002_drop="DROP TABLE users;")
            plan = syzygy("migrate", "--target", "x", "--database", site.database, "--dir", site.dir, "--plan")
            self.assertEqual(plan.code, 0, plan.err)
            self.assertIn("0001_users", plan.out)
            parsed = json.loads(syzygy("migrate", "--target", "x", "--database", site.database, "--dir", site.dir, "--plan", "--output", "json").out)
            self.assertEqual([(step["id"], step["stage"]) for step in parsed["steps"]], [("0001", "pre_deploy"), ("0002", "post_deploy")])
            if postgres:
                self.assertEqual(self.tables(site), [])
            else:
                self.assertFalse(os.path.exists(site.path("target.db")), "--plan made a database file")

    def test_to_and_back(self) -> None:
        site = self.site()
        for name, text in (("0001_users.up", USERS), ("0001_users.down", "DROP TABLE users;"), ("0002_b.up", "CREATE TABLE b (id int);"),
                           ("0002_b.down", "DROP TABLE b;"), ("0003_c.up", "CREATE TABLE c (id int);"), ("0003_c.down", "DROP TABLE c;")):  # fmt: skip
            site.write(**{"m" + name: text})
        result = site.path("result.json")
        run = site.alone("--to", "0002", "--result", result)
        self.assertEqual(run.code, 0, run.err)
        with open(result, encoding="utf-8") as file:
            said = json.load(file)
        self.assertEqual((said["outcome"], said["exit_code"], said["by_this_process"]), ("applied", 0, True))
        self.assertEqual([t for t in self.tables(site) if "syzygy" not in t], ["b", "users"])
        back = site.alone("--revert-to", "0001")
        self.assertEqual(back.code, 0, back.err)
        self.assertEqual([t for t in self.tables(site) if "syzygy" not in t], ["users"])
        self.assertEqual(site.alone("--revert-to", "zero").code, 0)
        self.assertEqual(site.alone("--to", "0009").code, 65)

    def test_a_changed_file_is_refused_until_it_is_accepted(self) -> None:
        site = self.site(m0001_users=USERS)
        self.assertEqual(site.alone().code, 0)
        site.write(m0001_users=USERS + " -- the users\nSELECT 1;")
        changed = site.alone()
        self.assertEqual(changed.code, 65, changed.err)
        self.assertIn("0001_users.sql", changed.err)
        self.assertIn("history accept", changed.err)
        accepted = syzygy("history", "accept", "0001", "--target", site.target, "--database", site.database, "--dir", site.dir, "--reason", "same")
        self.assertEqual(accepted.code, 0, accepted.err)
        self.assertEqual(site.alone().code, 0)

    def test_what_golang_migrate_applied_is_adopted(self) -> None:
        site = self.site(True)
        site.write(**{"m0001_users.up": USERS, "m0002_email.up": EMAIL})
        with self.postgres.connect(site.database.rsplit("/", 1)[1]) as connection:
            connection.execute("CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)")
            connection.execute("INSERT INTO schema_migrations VALUES (1, false)")
            connection.execute(USERS)
        adopted = syzygy("history", "adopt", "--target", site.target, "--database", site.database, "--dir", site.dir)
        self.assertEqual(adopted.code, 0, adopted.err)
        self.assertIn("adopted 1 migration ", adopted.out)
        run = site.alone()
        self.assertEqual(run.code, 0, run.err)
        self.assertIn("applied 0002_email", run.err)

    def test_adopted_up_to_a_migration(self) -> None:
        site = self.site(m0001_users=USERS, m0002_email=EMAIL)
        with sqlite3.connect(site.path("target.db")) as connection:
            connection.execute(USERS)
        adopted = syzygy("history", "adopt", "--at", "0001", "--target", site.target, "--database", site.database, "--dir", site.dir)
        self.assertEqual(adopted.code, 0, adopted.err)
        run = site.alone()
        self.assertEqual(run.code, 0, run.err)

    def test_the_daemon_is_down(self) -> None:
        site = self.site(m0001_users=USERS, m0002_drop="DROP TABLE users;")
        down = ["migrate", "--target", site.target, "--party", "eu-west", "--quorum", "3", "--database", site.database, "--dir", site.dir,
                "--daemon", nobody(), "--connect-timeout", "300ms"]  # fmt: skip
        run = syzygy(*down)
        self.assertEqual(run.code, 69, run.err)
        self.assertEqual(syzygy(*down, "--break-glass").code, 2)
        gate = syzygy(*down, "--break-glass", "--reason", "INC-1")
        self.assertEqual(gate.code, 86, gate.err)
        self.assertIn("--ignore-gate", gate.err)
        pre = syzygy(*down, "--break-glass", "--reason", "INC-1", "--pre-deploy")
        self.assertEqual(pre.code, 0, pre.err)
        post = syzygy(*down, "--break-glass", "--reason", "INC-1", "--ignore-gate")
        self.assertEqual(post.code, 0, post.err)
        nothing = syzygy(*down)
        self.assertEqual(nothing.code, 0, nothing.err)
        self.assertIn("warning", nothing.err)
        site.write(m0003_again=USERS)
        through = site.alone()
        self.assertEqual(through.code, 0, through.err)
        self.assertIn("applied 0003_again", through.err)

    def test_a_wrong_token_is_denied(self) -> None:
        scratch = ScratchDirectory("token")
        self.addCleanup(scratch.close)
        names = [os.path.join(scratch.path, name) for name in ("right", "wrong")]
        for name in names:
            with open(name, "w", encoding="utf-8") as file:
                file.write(f"secret-{os.path.basename(name)}-0123456789abcdef\n")
        daemon = Daemon("--token-file", names[0])
        self.addCleanup(daemon.close)
        site = Site(daemon)
        self.addCleanup(site.close)
        site.write(m0001_users=USERS)
        run = site.alone("--token-file", names[1])
        self.assertEqual(run.code, 77, run.err)
        self.assertNotIn("secret-", run.err + daemon.log())
        self.assertEqual(site.alone("--token-file", names[0]).code, 0)


class Exec(CliTest):
    def exec(self, *command: str) -> List[Any]:
        site = self.site()
        runs = [("exec", *site.common(party), "--plan-hash", "build-1", "--", *command) for party in PARTIES]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            return sorted(pool.map(lambda run: syzygy(*run), runs))

    def test_the_childs_code_is_the_appliers(self) -> None:
        ends = self.exec("sh", "-c", "exit 3")
        self.assertEqual([end.code for end in ends], [3, 80, 80], ends)
        for end in ends:
            self.assertIn("3", end.err.splitlines()[-1], end.err)

    def test_the_daemon_is_gone_when_the_command_has_ended(self) -> None:
        daemon = Daemon()
        self.addCleanup(daemon.close)
        site = Site(daemon)
        self.addCleanup(site.close)
        go = site.path("go")
        command = ["exec", *site.common("eu-west", 1), "--plan-hash", "h", "--", "sh", "-c", f"until [ -e {go} ]; do sleep 0.05; done"]
        runs = site.start(*command, name="eu-west")
        wait_until("the command runs", lambda: "running sh" in runs.output())
        daemon.kill()
        with open(go, "w"):
            pass
        wait_until("it says what it waits for", lambda: "the daemon does not answer to hear how it ended" in runs.output())
        runs.popen.send_signal(signal.SIGTERM)
        self.assertEqual(runs.wait(), 84, runs.output())

    def test_no_such_command(self) -> None:
        ends = self.exec("no-such-command-here")
        self.assertEqual([end.code for end in ends], [80, 80, 127], ends)
        self.assertIn("no-such-command-here was not found", ends[2].err)

    def test_a_process_that_stood_still_starts_nothing_under_a_lease_that_is_over(self) -> None:
        lease = f"{SLOWNESS}s"
        daemon = Daemon("--lease", lease, "--lease-unfenced", lease, "--lock-delay", lease, "--kill-after", "500ms", "--decline", f"{10 * SLOWNESS}s")
        self.addCleanup(daemon.close)
        site = Site(daemon)
        self.addCleanup(site.close)
        ran = site.path("ran")
        stands_still = {**os.environ, "SYZYGY_KILL_AT": "applier.before_step", "SYZYGY_KILL_WITH": "STOP"}
        command = ["exec", *site.common("eu-west", 1), "--plan-hash", "build-1", "--", "touch", ran]
        run = Process([os.environ["SYZYGY"], *command], site.path("exec.log"), env=stands_still)
        self.addCleanup(run.stop, signal.SIGKILL)
        site.until("INDETERMINATE")
        os.kill(run.popen.pid, signal.SIGCONT)
        self.assertEqual(run.wait(BOUND), 84, run.output())
        self.assertFalse(os.path.exists(ran), run.output())


if __name__ == "__main__":
    unittest.main()
