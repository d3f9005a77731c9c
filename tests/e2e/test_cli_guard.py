"""The guard of DDL for wrapped tools, and a pooler in the way: what is refused, what still works, and what is said of both."""

import json
import os
import subprocess
import unittest
from typing import Dict

from .support.pooler import Pooler
from .support.processes import wait_until
from .support.site import CliTest, Ended, Site, syzygy

USERS = "CREATE TABLE users (id int);"


def psql(database: str, sql: str) -> Ended:
    done = subprocess.run(["psql", "-X", "-q", database, "-c", sql], capture_output=True, text=True, timeout=60)
    return Ended(done.returncode, done.stdout, done.stderr)


class Guard(CliTest):
    def guard(self, site: Site, *arguments: str) -> str:
        run = syzygy("guard", *arguments, "--database", site.database)
        self.assertEqual(run.code, 0, run.err)
        return run.out

    def exec(self, site: Site, mode: str, *command: str, plan: str = "b1") -> Ended:
        return syzygy("exec", *site.common("eu-west", 1), "--database", site.database, "--plan-hash", plan, "--mode", mode, "--", *command)

    def test_a_tool_that_outlived_its_run_is_refused(self) -> None:
        site = self.site(True, m0001_users=USERS)
        self.assertIn("mode reject", self.guard(site, "install", "--actor", "ada", "--reason", "wrapped tools"))
        started, go, said = (site.path(name) for name in ("started", "go", "said"))
        with open(go, "w", encoding="utf-8") as file:
            file.write("SELECT 1")
        ddl = f"psql -X -q {site.database} -c"
        tool = (f"{ddl} 'CREATE TABLE early (id int)'; exec <&- >/dev/null 2>&1; setsid sh -c \""
                f"touch {started}; while test -e {go}; do sleep 0.05; done; {ddl} 'CREATE TABLE late (id int)' 2>{said}.tmp; mv {said}.tmp {said}\" &")  # fmt: skip
        run = self.exec(site, "reject", "sh", "-c", tool)
        self.assertEqual(run.code, 0, run.err)
        wait_until("its tool goes on behind its back", lambda: os.path.exists(started))
        self.assertEqual(site.alone().code, 0, "somebody else claims")
        os.remove(go)
        wait_until("the tool has tried", lambda: os.path.exists(said))
        with open(said, encoding="utf-8") as file:
            self.assertIn("Syzygy refuses CREATE TABLE", file.read())
        self.assertEqual(self.tables(site), ["early", "users"])

    def test_ddl_without_a_token(self) -> None:
        site = self.site(True, m0001_users=USERS)
        with self.postgres.connect("postgres") as connection:
            connection.execute("CREATE ROLE dba SUPERUSER LOGIN")
        self.assertIn("not for dba", self.guard(site, "install", "--mode", "require", "--allow-role", "dba"))
        by_hand = psql(site.database, "CREATE TABLE by_hand (id int)")
        self.assertNotEqual(by_hand.code, 0)
        self.assertIn("Syzygy refuses", by_hand.err)
        self.assertEqual(psql(site.database.replace("postgres@", "dba@"), "CREATE TABLE by_a_dba (id int)").code, 0)
        self.assertEqual(psql(site.database, "SET syzygy.reason = 'INC-7'; CREATE TABLE with_a_reason (id int)").code, 0)
        self.assertEqual(site.alone().code, 0, "our own applier bears its token")
        run = self.exec(site, "require", "psql", "-X", site.database, "-c", "CREATE TABLE by_a_tool (id int)")
        self.assertEqual(run.code, 0, run.err)
        self.assertEqual(self.tables(site), ["by_a_dba", "by_a_tool", "users", "with_a_reason"])

    def test_it_is_shown_removed_and_written_down(self) -> None:
        site = self.site(True)
        self.assertIn("no guard of DDL", self.guard(site))
        self.guard(site, "install", "--actor", "ada", "--reason", "wrapped tools")
        self.assertEqual(json.loads(self.guard(site, "--output", "json")), {"mode": "reject", "enabled": True, "allow_roles": []})
        self.assertEqual(psql(site.database, "ALTER EVENT TRIGGER syzygy_guard DISABLE").code, 0)
        self.assertIn("DISABLED", self.guard(site))
        self.assertIn("removed", self.guard(site, "remove", "--actor", "eve", "--reason", "enough"))
        self.assertIn("there was no guard", self.guard(site, "remove"))
        acts = json.loads(syzygy("history", "--database", site.database, "--output", "json").out)["audit"]
        self.assertEqual([(act["what"], act["who"], act["reason"]) for act in acts], [("guard", "ada", "wrapped tools"), ("guard", "eve", "enough")])

    def test_exec_does_not_start_without_the_guard_that_it_asks_for(self) -> None:
        site = self.site(True)
        ran = site.path("ran")

        def refused(mode: str, *words: str, code: int = 66) -> None:
            run = self.exec(site, mode, "touch", ran)
            self.assertEqual(run.code, code, run.err)
            for word in words:
                self.assertIn(word, run.err)
            self.assertFalse(os.path.exists(ran))

        refused("reject", "no guard of DDL", "syzygy guard install --mode reject")
        self.guard(site, "install")
        refused("require", "without a token", "syzygy guard install --mode require")
        self.assertEqual(psql(site.database, "ALTER EVENT TRIGGER syzygy_guard DISABLE").code, 0)
        refused("reject", "disabled", "syzygy guard install")
        self.guard(site, "install")
        direct, site.database = site.database, self.pooled(site)
        refused("reject", "a pooler stands between")
        site.database = direct
        self.assertEqual(self.exec(site, "reject", "touch", ran).code, 0)
        nowhere = syzygy("exec", *site.common("eu-west", 1), "--plan-hash", "b2", "--mode", "reject", "--", "true")
        self.assertEqual(nowhere.code, 2, nowhere.err)
        self.assertIn("--database", nowhere.err)

    def test_who_is_no_superuser_is_told_who_must(self) -> None:
        site = self.site(True, m0001_users=USERS)
        with self.postgres.connect(site.database.rsplit("/", 1)[1]) as connection:
            connection.execute("CREATE ROLE deployer LOGIN; GRANT CREATE ON SCHEMA public TO deployer")
            connection.execute(f"GRANT CREATE ON DATABASE {site.database.rsplit('/', 1)[1]} TO deployer")  # type: ignore[call-overload]
        superuser, site.database = site.database, site.database.replace("postgres@", "deployer@")
        run = syzygy("guard", "install", "--database", site.database)
        self.assertEqual(run.code, 66, run.err)
        self.assertIn("superuser", run.err)
        self.assertIn("syzygy guard install --print", run.err)
        script = self.guard(site, "install", "--mode", "require", "--print")
        self.assertEqual(psql(superuser, script).code, 0)
        self.assertIn("mode require", self.guard(site))
        self.assertEqual(site.alone().code, 0)
        run = syzygy("guard", "remove", "--database", site.database)
        self.assertEqual(run.code, 66, run.err)
        self.assertIn("superuser", run.err)

    def test_where_it_cannot_be(self) -> None:
        lite = syzygy("guard", "install", "--database", self.site().database)
        self.assertEqual(lite.code, 66, lite.err)
        self.assertIn("event trigger", lite.err)
        roles = syzygy("guard", "install", "--allow-role", "dba", "--database", self.site(True).database)
        self.assertEqual(roles.code, 2, roles.err)
        self.assertIn("--mode require", roles.err)

    # ---- a pooler in the way

    def pooled(self, site: Site) -> str:
        pooler = Pooler(self.postgres)
        self.addCleanup(pooler.close)
        return pooler.of(site.database)

    def doctor(self, site: Site) -> Dict[str, Dict[str, str]]:
        run = syzygy("doctor", "--target", site.target, "--database", site.database, "--dir", site.dir, "--daemon", self.daemon.grpc, "--output", "json")
        return {finding["name"]: finding for finding in json.loads(run.out)["findings"] if not finding["ok"]}

    def test_three_parties_through_a_pooler(self) -> None:
        site = self.site(True, m0001_users=USERS, m0002_email="ALTER TABLE users ADD COLUMN email text;")
        direct, site.database = site.database, self.pooled(site)
        self.assertEqual(site.together(), [0, 0, 0], site.said())
        self.assertEqual(site.said().count("elected: this process applies"), 1, site.said())
        self.assertNotIn("unfenced", site.said())
        site.write(m0003_index="-- syzygy:no-transaction\nCREATE INDEX CONCURRENTLY users_email ON users (email);")
        self.assertEqual(site.together(), [0, 0, 0], site.said())
        self.assertIn("run unfenced here: a pooler stands between", site.said())
        wrong = self.doctor(site)
        self.assertIn("a pooler stands in the way", wrong["pooler"]["cause"])
        self.assertIn("the server's own address", wrong["pooler"]["next"])
        site.database = direct
        self.assertEqual(self.doctor(site), {})


if __name__ == "__main__":
    unittest.main()
