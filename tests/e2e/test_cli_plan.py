"""`syzygy plan` and `syzygy check`: what runs now and why, with and without a database; whether a branch can ship.

Run by ctest (e2e_cli_plan) through in_venv.py.
"""

import json
import os
import subprocess
import unittest
from typing import Any, Dict

from .support.processes import ScratchDirectory
from .support.site import CliTest, Ended, syzygy

USERS = "CREATE TABLE users (id int, email text);"
EMAIL = "ALTER TABLE users DROP COLUMN email;"
OTHER = "CREATE TABLE other (id int);"


class PlanTest(CliTest):
    def json(self, done: Ended) -> Dict[str, Any]:
        answer = json.loads(done.out)
        self.assertIsInstance(answer, dict)
        return dict(answer)

    def test_without_a_database_all_is_pending(self) -> None:
        site = self.site(m0001_users=USERS, m0002_drop=EMAIL, m0003_other=OTHER)
        done = syzygy("plan", site.dir, "--pre-deploy")
        self.assertEqual(done.code, 0, done.err)
        self.assertIn("as on an empty database (no --database), stage pre_deploy", done.out)
        self.assertIn("0001_users", done.out)
        self.assertIn("0003_other", done.out)
        self.assertIn("held back 0002: post_deploy, inferred: drops column email of table users (", done.out)
        self.assertIn("0002_drop.sql:1:1)", done.out)
        self.assertNotIn("plan hash", done.out)

    def test_with_a_database_it_is_what_migrate_would_do(self) -> None:
        site = self.site(m0001_users=USERS)
        self.assertEqual(site.alone().code, 0)
        site.write(m0002_drop=EMAIL, m0003_other=OTHER)
        common = ["--target", site.target, "--database", site.database, "--dir", site.dir, "--pre-deploy", "--output", "json"]
        plan = self.json(syzygy("plan", *common))
        self.assertEqual([step["id"] for step in plan["steps"]], ["0003"])
        self.assertEqual([(back["id"], back["stage"], back["source"]) for back in plan["held_back"]], [("0002", "post_deploy", "inferred")])
        self.assertRegex(plan["plan_hash"], "^[0-9a-f]{64}$")
        self.assertEqual(plan, self.json(syzygy("migrate", "--plan", *common)))
        other = syzygy("plan", "--target", "another", *common[2:])
        self.assertEqual(other.code, 82, other.err)  # the database is of one target
        self.assertIn(site.target, other.err)

    def test_a_revert_inverts_the_stage(self) -> None:
        site = self.site(m0001_users=USERS, m0002_add="ALTER TABLE users ADD COLUMN a int;\n-- syzygy:down\nALTER TABLE users DROP COLUMN a;",
                         m0003_drop=EMAIL + "\n-- syzygy:down\nALTER TABLE users ADD COLUMN email text;")  # fmt: skip
        plan = self.json(syzygy("plan", site.dir, "--revert-to", "0001", "--output", "json"))
        self.assertEqual([(step["id"], step["direction"], step["stage"]) for step in plan["steps"]],
                         [("0003", "down", "pre_deploy"), ("0002", "down", "post_deploy")])  # fmt: skip
        missing = syzygy("plan", site.dir, "--revert-to", "zero")
        self.assertEqual(missing.code, 65, missing.out)
        self.assertIn("has no way back", missing.err)

    def test_every_ambiguous_file_is_named_with_the_statements_of_each_side(self) -> None:
        mixed = "CREATE TABLE a (id int);\nCREATE TABLE b (id int);\nDROP TABLE users;\nALTER TABLE x DROP COLUMN y;\n"
        site = self.site(m0001_users=USERS, m0002_mixed=mixed, m0003_fill="UPDATE users SET id = 1;", m0004_other=OTHER)
        done = syzygy("plan", site.dir, "--output", "json")
        self.assertEqual(done.code, 65, done.out)
        for says in ("0002_mixed.sql:1:1 creates table a, ", "0002_mixed.sql:2:1 creates table b (pre_deploy), and ", "0002_mixed.sql:3:1 drops table users, ",
                     "0002_mixed.sql:4:1 drops column y of table x (post_deploy)", "0003_fill.sql:1:1 updates rows of table users", "syzygy split ",
                     "-- syzygy:stage pre_deploy", "[stages.override] \"0002\""):  # fmt: skip
            self.assertIn(says, done.err)
        error = self.json(done)["error"]
        self.assertEqual((error["reason"], error["id"], error["line"]), ("STAGE_AMBIGUOUS", "0002", "3"))

    def test_somebody_elses_migrations_have_a_fallback_as_a_group(self) -> None:
        site = self.site(m0001_users=USERS)
        os.mkdir(os.path.join(site.dir, "vendor"))
        for name, text in (("V2__jobs.sql", OTHER + "DROP TABLE old_jobs;"), ("V3__fill.sql", "UPDATE users SET id = 1;")):
            with open(os.path.join(site.dir, "vendor", name), "w") as file:
                file.write(text)
        os.rename(os.path.join(site.dir, "0001_users.sql"), os.path.join(site.dir, "V1__users.sql"))
        config = os.path.join(site.dir, "..", "groups.toml")
        self.assertEqual(syzygy("plan", site.dir, "--pre-deploy").code, 65)
        with open(config, "w") as file:
            file.write('[stages.group.jobs]\nfiles = ["vendor/*"]\nfallback = "pre_deploy"\n')
        plan = self.json(syzygy("--config", config, "plan", site.dir, "--pre-deploy", "--output", "json"))
        self.assertEqual([(step["id"], step["source"]) for step in plan["steps"]],
                         [("1", "inferred"), ("2", "configured as a fallback"), ("3", "configured as a fallback")])  # fmt: skip
        self.assertIn("fallback of group jobs", plan["steps"][1]["why"])

    def test_a_dependency_through_others_names_both_sides_and_the_ways_out(self) -> None:
        site = self.site(m0001_users=USERS, m0002_drop="ALTER TABLE users RENAME TO people;",
                         m0003_empty="-- syzygy:depends 0002\n", m0004_more="-- syzygy:depends 0003\nCREATE TABLE c (id int);")  # fmt: skip
        done = syzygy("plan", site.dir, "--pre-deploy")
        self.assertEqual(done.code, 65, done.out)
        for says in ("0004 (pre_deploy, inferred: creates table c (", "0002 (post_deploy, inferred: renames table users to people (", "through 0003", "-- syzygy:depends"):
            self.assertIn(says, done.err)
        self.assertEqual(syzygy("plan", site.dir).code, 0)

    def test_bad_input(self) -> None:
        site = self.site(m0001_users=USERS)
        for arguments, code, says in (
            ((), 2, "directory is missing"),
            (("/nowhere",), 65, "no such migrations directory"),
            ((site.dir, "--pre-deploy", "--post-deploy"), 2, "exclude each other"),
            ((site.dir, "--since", "main"), 2, "git work tree"),
            ((site.dir, "--since", "main", "--database", site.database), 2, "leave out"),
            ((site.dir, "--to", "0009"), 65, "names no migration"),
            ((site.dir, "--database", "postgresql://127.0.0.1:1/x"), 66, "127.0.0.1"),
        ):
            with self.subTest(says):
                done = syzygy("plan", *arguments)
                self.assertEqual(done.code, code, done.err)
                self.assertIn(says, done.err)


class Repository:
    """A git repository with a migrations directory; `main` is what the branch is checked against."""

    def __init__(self) -> None:
        self.scratch = ScratchDirectory("git")
        self.dir = os.path.join(self.scratch.path, "migrations")
        os.mkdir(self.dir)
        self.git("init", "-q", "-b", "main")

    def git(self, *words: str) -> None:
        who = ["-c", "user.name=t", "-c", "user.email=t@x", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *words], cwd=self.scratch.path, check=True, capture_output=True)

    def write(self, **files: str) -> None:
        for name, text in files.items():
            with open(os.path.join(self.dir, f"{name[1:]}.sql"), "w") as file:
                file.write(text)

    def write_as(self, files: Dict[str, str]) -> None:
        for name, text in files.items():
            with open(os.path.join(self.dir, name), "w") as file:
                file.write(text)

    def commit(self, **files: str) -> None:
        self.write(**files)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "x")

    def branch(self, **files: str) -> None:
        self.git("checkout", "-q", "-b", "branch")
        self.commit(**files)

    def merged_meanwhile(self, **files: str) -> None:
        self.git("checkout", "-q", "main")
        self.commit(**files)
        self.git("checkout", "-q", "branch")

    def check(self, *more: str) -> Ended:
        return syzygy("check", self.dir, "--base", "main", *more)


class CheckTest(unittest.TestCase):
    def repository(self, **files: str) -> Repository:
        repository = Repository()
        self.addCleanup(repository.scratch.close)
        repository.commit(**files)
        return repository

    def refused(self, repository: Repository, *says: str) -> None:
        done = repository.check()
        self.assertEqual(done.code, 65, done.out + done.err)
        for text in says:
            self.assertIn(text, done.out)
        self.assertIn("cannot ship in one pre-deploy, deploy, post-deploy", done.out)

    def test_a_branch_that_ships(self) -> None:
        repository = self.repository(m0001_users=USERS)
        repository.branch(m0002_other=OTHER, m0003_drop=EMAIL, m0004_more="CREATE TABLE more (id int);")
        done = repository.check()
        self.assertEqual((done.code, done.err), (0, ""), done.out)
        self.assertIn("pre-deploy   0002_other.sql, 0004_more.sql\n", done.out)
        self.assertIn("post-deploy  0003_drop.sql\n", done.out)
        answer = json.loads(repository.check("--output", "json").out)
        self.assertTrue(answer["ships"])
        self.assertEqual([os.path.basename(file) for file in answer["post_deploy"]], ["0003_drop.sql"])

    def test_files_that_are_not_committed_yet_count(self) -> None:
        repository = self.repository(m0001_users=USERS)
        repository.branch()
        self.assertIn("no new migrations since main", repository.check().out)
        repository.write(m0002_mixed=OTHER + EMAIL)
        self.refused(repository, "0002 belongs to both stages")

    def test_a_merged_file_that_changes_or_goes(self) -> None:
        repository = self.repository(m0001_users=USERS, m0002_other=OTHER)
        repository.branch(m0001_users=USERS + " ")
        self.refused(repository, "0001_users.sql: this migration is on main already, and this branch changes it", "git checkout main -- ")
        os.rename(os.path.join(repository.dir, "0002_other.sql"), os.path.join(repository.dir, "0003_other.sql"))
        repository.commit()
        self.refused(repository, "0002_other.sql: this migration is on main already, and this branch removes or renames it")

    def test_a_repeatable_migration_may_change(self) -> None:
        repository = self.repository()
        view = "CREATE OR REPLACE VIEW names AS SELECT id FROM users;"
        repository.write_as({"V1__users.sql": USERS, "R__names.sql": view, "R__old.sql": view.replace("names", "old")})
        repository.commit()
        repository.branch()
        os.remove(os.path.join(repository.dir, "R__old.sql"))
        repository.write_as({"V2__other.sql": OTHER, "R__names.sql": view.replace("id", "id, email")})
        done = repository.check()
        self.assertEqual(done.code, 0, done.out + done.err)
        self.assertIn("pre-deploy   V2__other.sql, R__names.sql\n", done.out)

    def test_one_number_on_both_sides(self) -> None:
        repository = self.repository(m0001_users=USERS)
        repository.branch(m0002_mine=OTHER)
        repository.merged_meanwhile(m0002_theirs="CREATE TABLE theirs (id int);")
        self.refused(repository, "two migrations have the number 0002", "0002_mine.sql", "0002_theirs.sql", "renumber")

    def test_a_number_below_what_is_merged(self) -> None:
        repository = self.repository(m0001_users=USERS)
        repository.branch(m0002_mine=OTHER)
        repository.merged_meanwhile(m0003_theirs="CREATE TABLE theirs (id int);")
        self.refused(repository, "0002_mine.sql", "lies below 0003", "give it a number above")

    def test_a_pre_deploy_one_that_needs_a_post_deploy_one(self) -> None:
        repository = self.repository(m0001_users=USERS)
        repository.branch(m0002_rename="ALTER TABLE users RENAME TO people;", m0003_add="ALTER TABLE people ADD COLUMN a int;")
        self.refused(repository, "0003 (pre_deploy, inferred: adds column a of table people", "0002 (post_deploy, inferred: renames table users", "people")

    def test_every_problem_is_named_at_once_and_as_an_annotation(self) -> None:
        repository = self.repository(m0001_users=USERS)
        repository.branch(m0001_users=USERS + " ", m0002_mixed=OTHER + "\n" + EMAIL, m0003_fill="UPDATE users SET id = 1;")
        done = repository.check("--output", "github")
        self.assertEqual(done.code, 65, done.err)
        self.assertIn(",line=1,title=MERGED_CHANGED::", done.out)
        self.assertIn("0002_mixed.sql,line=2,title=STAGE_AMBIGUOUS::", done.out)
        self.assertIn("0003_fill.sql:1:1 updates rows", done.out)
        answer = json.loads(repository.check("--output", "json").out)
        self.assertEqual([problem["reason"] for problem in answer["problems"]], ["MERGED_CHANGED", "STAGE_AMBIGUOUS"])

    def test_the_plan_since_a_revision(self) -> None:
        repository = self.repository(m0001_users=USERS)
        repository.branch(m0002_other=OTHER)
        done = syzygy("plan", repository.dir, "--since", "main")
        self.assertEqual(done.code, 0, done.err)
        self.assertIn("0002_other", done.out)
        self.assertNotIn("0001_users", done.out)

    def test_bad_input(self) -> None:
        repository = self.repository(m0001_users=USERS)
        scratch = ScratchDirectory("no-git")
        self.addCleanup(scratch.close)
        with open(os.path.join(scratch.path, "0001_a.sql"), "w") as file:
            file.write(USERS)
        for arguments, code, says in (
            (("--base", "main"), 2, "directory is missing"),
            ((repository.dir,), 2, "--base is missing"),
            ((repository.dir, "--base", "no-such"), 2, "git knows no revision"),
            ((scratch.path, "--base", "main"), 2, "git work tree"),
            (("/nowhere", "--base", "main"), 65, "no such migrations directory"),
        ):
            with self.subTest(says):
                done = syzygy("check", *arguments)
                self.assertEqual(done.code, code, done.err)
                self.assertIn(says, done.err)


if __name__ == "__main__":
    unittest.main()
