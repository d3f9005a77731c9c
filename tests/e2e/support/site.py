"""A place to migrate in: one target of a daemon, one database, one directory of migrations, and the pipelines of its parties."""

import itertools
import os
import signal
import sqlite3
import subprocess
import unittest
from typing import Dict, List, Mapping, NamedTuple, Optional

from .daemon import Daemon
from .postgres import Postgres
from .processes import BOUND, SLOWNESS, Process, ScratchDirectory, free_port, wait_until

PARTIES = ("eu-west", "us-east", "ap-south")
LEASE = f"{4 * SLOWNESS}s"
SLOW_ON_SQLITE = "CREATE TABLE counted AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000000) SELECT max(i) FROM n;"
_numbers = itertools.count(1)


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def nobody() -> str:
    """An address where nobody listens."""
    return f"127.0.0.1:{free_port()}"


def syzygy(*arguments: str, env: Optional[Mapping[str, str]] = None, seconds: float = BOUND) -> Ended:
    """One run of the command, to its end."""
    done = subprocess.run(
        [os.environ["SYZYGY"], *arguments], capture_output=True, text=True, errors="replace", timeout=seconds, cwd="/", env={**os.environ, **(env or {})}
    )
    return Ended(done.returncode, done.stdout, done.stderr)


class Site:
    """Of a daemon that others use too. On PostgreSQL where a server is given, else on SQLite."""

    def __init__(self, daemon: Daemon, postgres: Optional[Postgres] = None, target: str = "") -> None:
        number = next(_numbers)
        self.daemon = daemon
        self.target = target or f"orders-{number}"
        self.scratch = ScratchDirectory("site")
        self.dir = self.path("migrations")
        os.mkdir(self.dir)
        if postgres is None:
            self.database = f"sqlite://{self.path('target.db')}"
        else:
            postgres.create_database(f"site_{number}")
            self.database = f"postgresql://postgres@127.0.0.1:{postgres.port}/site_{number}"
        self.runs: Dict[str, Process] = {}

    def path(self, name: str) -> str:
        return os.path.join(self.scratch.path, name)

    def write(self, directory: str = "", **files: str) -> None:
        """Migrations by name: m0001_users="CREATE ..." becomes 0001_users.sql."""
        for name, text in files.items():
            with open(os.path.join(directory or self.dir, f"{name[1:]}.sql"), "w", encoding="utf-8") as file:
                file.write(text)

    def common(self, party: str, quorum: Optional[int] = 3) -> List[str]:
        return ["--target", self.target, "--party", party, "--daemon", self.daemon.grpc, *([] if quorum is None else ["--quorum", str(quorum)])]

    def migrate(self, party: str, *more: str, quorum: Optional[int] = 3) -> List[str]:
        return ["migrate", *self.common(party, quorum), "--database", self.database, "--dir", self.dir, *more]

    def start(self, *arguments: str, name: str) -> Process:
        process = Process([os.environ["SYZYGY"], *arguments], self.path(f"{name}-{len(self.runs)}.log"))
        self.runs[f"{name}-{len(self.runs)}"] = process
        return process

    def together(self, *more: str, quorum: int = 3) -> List[int]:
        """All parties' migrate at the same time; their codes."""
        runs = [self.start(*self.migrate(party, *more, quorum=quorum), name=party) for party in PARTIES]
        return [run.wait(BOUND) for run in runs]

    def alone(self, *more: str) -> Ended:
        return syzygy(*self.migrate("eu-west", *more, quorum=1))

    def status(self) -> str:
        return syzygy("status", "--target", self.target, "--daemon", self.daemon.grpc).out

    def until(self, text: str) -> None:
        wait_until(f"the status of {self.target} says {text!r}", lambda: text in self.status(), BOUND)

    def said(self) -> str:
        return "".join(f"\n--- {name} ---\n{run.output()}" for name, run in self.runs.items())

    def close(self) -> None:
        for run in self.runs.values():
            run.stop(signal.SIGKILL)
        self.scratch.close()


class CliTest(unittest.TestCase):
    """With a daemon and a PostgreSQL that the cases of a module share; each has sites of its own."""

    daemon: Daemon
    postgres: Postgres

    @classmethod
    def setUpClass(cls) -> None:
        # One pair for all classes of a module: a PostgreSQL takes longer to start than most cases take.
        if "daemon" not in vars(CliTest):
            CliTest.postgres = Postgres()
            unittest.addModuleCleanup(CliTest._stop, "postgres")
            CliTest.daemon = Daemon("--kill-after", "500ms", "--lock-delay", "1s", "--decline", "500ms")
            unittest.addModuleCleanup(CliTest._stop, "daemon")

    def setUp(self) -> None:
        self.addCleanup(self._daemon_lives)

    def _daemon_lives(self) -> None:
        """So that the case in which it ended fails, with what it said, and not those after it, each at the end of its patience."""
        self.assertTrue(self.daemon.process.running(), f"the shared daemon has ended: {self.daemon.log()}")

    @classmethod
    def _stop(cls, name: str) -> None:
        vars(cls)[name].close()
        delattr(cls, name)

    def site(self, postgres: bool = False, target: str = "", **files: str) -> Site:
        site = Site(self.daemon, self.postgres if postgres else None, target)
        self.addCleanup(site.close)
        site.write(**files)
        return site

    def tables(self, site: Site) -> List[str]:
        if site.database.startswith("sqlite"):
            with sqlite3.connect(site.path("target.db")) as connection:
                return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY 1")]
        with self.postgres.connect(site.database.rsplit("/", 1)[1]) as connection:
            return [str(name) for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")]
