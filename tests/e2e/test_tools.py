"""Directories that the real goose, golang-migrate and dbmate migrate as well: one half each, and back again."""

import os
import subprocess
from typing import List

from .support.site import CliTest, Ended, Site, syzygy
from .support.tools import tools


class Tool:
    """One of them, at work on a site's directory and database."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.url = site.database.replace("postgresql://", "postgres://") + "?sslmode=disable"

    def run(self, *arguments: str) -> str:
        done = subprocess.run([os.path.join(tools(), arguments[0]), *arguments[1:]], capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise AssertionError(f"{arguments} failed:\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def write(self, number: int, up: str, down: str) -> None:
        raise NotImplementedError

    def up(self) -> None:
        """Everything that is pending, also in gaps."""
        raise NotImplementedError

    def down(self) -> None:
        """The last one."""
        raise NotImplementedError

    def pending(self) -> List[int]:
        raise NotImplementedError


class Goose(Tool):
    def write(self, number: int, up: str, down: str) -> None:
        self.site.write(**{f"m{number:05}_m": f"-- +goose Up\n-- +goose StatementBegin\n{up}\n-- +goose StatementEnd\n-- +goose Down\n{down};\n"})

    def goose(self, *arguments: str) -> str:
        return self.run("goose", "-dir", self.site.dir, "-no-color", *arguments)

    def up(self) -> None:
        self.goose("-allow-missing", "postgres", self.url, "up")

    def down(self) -> None:
        self.goose("postgres", self.url, "down")

    def pending(self) -> List[int]:
        lines = self.goose("postgres", self.url, "status").splitlines()
        return [int(line.rsplit("--", 1)[1].strip()[:5]) for line in lines if "Pending" in line]


class Dbmate(Tool):
    def write(self, number: int, up: str, down: str) -> None:
        self.site.write(**{f"m2024010100000{number}_m": f"-- migrate:up\n{up};\n\n-- migrate:down\n{down};\n"})

    def dbmate(self, *arguments: str) -> str:
        return self.run("dbmate", "--url", self.url, "--migrations-dir", self.site.dir, "--no-dump-schema", *arguments)

    def up(self) -> None:
        self.dbmate("migrate")

    def down(self) -> None:
        self.dbmate("rollback")

    def pending(self) -> List[int]:
        lines = self.dbmate("status").splitlines()
        return [int(line.split("]")[1].split("_")[0].strip()[-1]) for line in lines if line.startswith("[ ]")]


class GolangMigrate(Tool):
    def write(self, number: int, up: str, down: str) -> None:
        self.site.write(**{f"m{number}_m.up": up, f"m{number}_m.down": down})

    def migrate(self, *arguments: str) -> str:
        return self.run("migrate", "-path", self.site.dir, "-database", self.url, *arguments)

    def up(self) -> None:
        self.migrate("up")

    def down(self) -> None:
        self.migrate("down", "1")

    def version(self) -> int:
        return int(self.migrate("version"))

    def pending(self) -> List[int]:
        version = self.version()
        return [n for n in range(1, 9) if n > version and os.path.exists(os.path.join(self.site.dir, f"{n}_m.up.sql"))]


class Together(CliTest):
    def adopt(self, site: Site) -> Ended:
        adopted = syzygy("history", "adopt", "--target", site.target, "--database", site.database, "--dir", site.dir)
        self.assertEqual(adopted.code, 0, adopted.err)
        self.assertIn("kept together with ours", adopted.out)
        return adopted

    def migrated(self, site: Site, *more: str) -> str:
        run = site.alone(*more)
        self.assertEqual(run.code, 0, run.err)
        return run.err

    def refused(self, site: Site, says: str) -> None:
        run = site.alone()
        self.assertEqual(run.code, 65, run.err)
        self.assertIn(says, run.err)
        self.assertIn("syzygy history adopt", run.err)

    def half_and_half(self, make: "type[Tool]") -> None:
        site = self.site(True)
        tool = make(site)
        for number in (1, 2):
            tool.write(number, f"CREATE TABLE t{number} (x int)", f"DROP TABLE t{number}")
        tool.up()
        for number in (3, 4):
            tool.write(number, f"CREATE TABLE t{number} (x int)", f"DROP TABLE t{number}")
        self.refused(site, "everything would be applied once more")
        self.assertIn("adopted 2 migrations", self.adopt(site).out)
        self.migrated(site)
        self.assertLessEqual({"t1", "t2", "t3", "t4"}, set(self.tables(site)))
        self.assertEqual(tool.pending(), [])
        # The tool goes back one step: Syzygy must hear of it.
        tool.down()
        self.assertEqual(tool.pending(), [4])
        self.refused(site, "has reverted")
        self.assertIn("the revert of 1 migration", self.adopt(site).out)
        self.migrated(site)
        self.assertIn("t4", self.tables(site))
        self.assertEqual(tool.pending(), [])
        # Syzygy goes back, and the tool applies that and one more.
        self.migrated(site, "--revert-to", "3" if make is not Dbmate else "20240101000003")
        self.assertEqual(tool.pending(), [4])
        tool.write(5, "CREATE TABLE t5 (x int)", "DROP TABLE t5")
        tool.up()
        self.refused(site, "has applied")
        self.assertIn("adopted 2 migrations", self.adopt(site).out)
        self.assertIn("nothing to do", self.migrated(site))
        self.assertEqual(tool.pending(), [])

    def test_goose_and_syzygy_take_turns(self) -> None:
        self.half_and_half(Goose)

    def test_dbmate_and_syzygy_take_turns(self) -> None:
        self.half_and_half(Dbmate)

    def test_golang_migrate_and_syzygy_take_turns(self) -> None:
        self.half_and_half(GolangMigrate)

    def gap(self, make: "type[Tool]") -> "tuple[Site, Tool]":
        """3 is post-deploy and held back, while 4 is applied."""
        site = self.site(True)
        tool = make(site)
        for number in (1, 2):
            tool.write(number, f"CREATE TABLE t{number} (x int)", f"DROP TABLE t{number}")
        tool.up()
        self.adopt(site)
        tool.write(3, "DROP TABLE t1", "CREATE TABLE t1 (x int)")
        tool.write(4, "CREATE TABLE t4 (x int)", "DROP TABLE t4")
        self.migrated(site, "--pre-deploy")
        self.assertLessEqual({"t1", "t2", "t4"}, set(self.tables(site)))
        return site, tool

    def closed_by_the_tool(self, make: "type[Tool]") -> None:
        site, tool = self.gap(make)
        self.assertEqual(tool.pending(), [3])
        tool.up()
        self.assertNotIn("t1", self.tables(site))
        self.refused(site, "has applied")
        self.assertIn("adopted 1 migration ", self.adopt(site).out)
        self.assertIn("nothing to do", self.migrated(site))

    def closed_by_syzygy(self, make: "type[Tool]") -> None:
        site, tool = self.gap(make)
        self.assertEqual(tool.pending(), [3])
        self.migrated(site, "--post-deploy")
        self.assertNotIn("t1", self.tables(site))
        self.assertEqual(tool.pending(), [])

    def test_a_gap_that_goose_closes(self) -> None:
        self.closed_by_the_tool(Goose)

    def test_a_gap_that_dbmate_closes(self) -> None:
        self.closed_by_the_tool(Dbmate)

    def test_a_gap_in_gooses_table_that_syzygy_closes(self) -> None:
        self.closed_by_syzygy(Goose)

    def test_a_gap_in_dbmates_table_that_syzygy_closes(self) -> None:
        self.closed_by_syzygy(Dbmate)

    def test_golang_migrates_row_stays_before_a_gap_and_says_so(self) -> None:
        site, tool = self.gap(GolangMigrate)
        assert isinstance(tool, GolangMigrate)
        self.assertEqual(tool.version(), 2)
        shown = syzygy("history", "--database", site.database)
        self.assertIn("stays at 2 until what lies below 4 is applied as well", shown.out)
        self.migrated(site, "--post-deploy")
        self.assertEqual(tool.version(), 4)
        self.assertNotIn("stays at", syzygy("history", "--database", site.database).out)
