"""What others do where it matters, beside Syzygy, on one PostgreSQL and one Redis: run by ./dev compare, which prints the table below.

Each story is told with the real programs: django-syzygy with its own cache backend, golang-migrate with its advisory lock, and
`syzygy migrate`. Nothing is simulated: processes are started, one is killed with SIGKILL, and what then stands in the database is read
from it. Exits 1 if Syzygy itself does not do what the table says of it. $SYZYGYD and $SYZYGY name the binaries.
"""

import os
import signal
import sys
import time
from typing import Callable, Dict, List, NamedTuple

from tests.e2e.support.daemon import Daemon
from tests.e2e.support.postgres import Postgres
from tests.e2e.support.processes import Process, ScratchDirectory, wait_until
from tests.e2e.support.redis import Redis
from tests.e2e.support.tools import tools

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.join(HERE, "..", "e2e", "django", "project")
PARTIES = ("eu-west", "us-east", "ap-south")
PATIENCE = 20  # seconds that a party waits before its pipeline gives up; the same for all
WORK = 3  # seconds that the migration takes
STEP = f"INSERT INTO ledger VALUES (1); SELECT pg_sleep({WORK});"  # a row for every time that it is applied


class Place:
    """The servers that all stories share, and one database for each story."""

    def __init__(self) -> None:
        self.scratch = ScratchDirectory("compare")
        self.postgres = Postgres()
        self.redis = Redis()
        self.daemon = Daemon()
        self.databases = 0

    def database(self) -> str:
        self.databases += 1
        name = f"orders_{self.databases}"
        self.postgres.create_database(name)
        with self.postgres.connect(name) as connection:
            connection.execute("CREATE TABLE ledger (applied int)")
        return name

    def applied(self, database: str) -> int:
        with self.postgres.connect(database) as connection:
            ((count,),) = connection.execute("SELECT count(*) FROM ledger").fetchall()
        return int(str(count))

    def at_work(self, database: str) -> List[str]:
        """The application_name of each session that is in the middle of the migration."""
        with self.postgres.connect(database) as connection:
            rows = connection.execute(
                "SELECT application_name FROM pg_stat_activity WHERE datname = %s AND state = 'active' AND query LIKE '%%pg_sleep(%%' "
                "AND pid <> pg_backend_pid()",
                (database,),
            ).fetchall()
        return [str(name) for (name,) in rows]

    def close(self) -> None:
        for part in (self.daemon, self.redis, self.postgres, self.scratch):
            part.close()


class Tool:
    name: str

    def __init__(self, place: Place) -> None:
        self.place = place
        self.database = place.database()
        self.dir = os.path.join(place.scratch.path, self.database)
        os.mkdir(self.dir)
        self.runs = 0
        self.prepare()

    def prepare(self) -> None:
        """Writes what is to be migrated."""

    def command(self, party: str) -> List[str]:
        raise NotImplementedError

    def environment(self, party: str) -> Dict[str, str]:
        return {}

    def start(self, party: str) -> Process:
        self.runs += 1
        environment = {**os.environ, "PGAPPNAME": party, **self.environment(party)}
        return Process(self.command(party), os.path.join(self.dir, f"{party}-{self.runs}.log"), env=environment)

    def waits(self, process: Process) -> bool:
        """Has it told the others that it is here?"""
        raise NotImplementedError

    def applies(self, party: str, process: Process) -> bool:
        """Is it in the middle of the migration?"""
        raise NotImplementedError


class CacheQuorum(Tool):
    name = "django-syzygy, CacheQuorum on Redis"

    def command(self, party: str) -> List[str]:
        return [sys.executable, os.path.join(PROJECT, "manage.py"), "migrate", "--quorum", "3", "--quorum-timeout", str(PATIENCE), "--pre-deploy"]

    def environment(self, party: str) -> Dict[str, str]:
        return {
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",  # what it says is read while it waits
            "SHOP_DATABASE": self.database,
            "SHOP_DATABASE_PORT": str(self.place.postgres.port),
            "SHOP_CACHE": f"{self.place.redis.url}{self.place.databases % 16}",
            "SHOP_SQL": STEP,
            "SYZYGY_PARTY": party,
        }

    def waits(self, process: Process) -> bool:
        return "Waiting for pre-migrate quorum" in process.output()

    def applies(self, party: str, process: Process) -> bool:
        return "Reached pre-migrate quorum, proceeding" in process.output() and bool(self.place.at_work(self.database))


class GolangMigrate(Tool):
    name = "golang-migrate, advisory lock"

    def prepare(self) -> None:
        for direction, sql in (("up", STEP), ("down", "SELECT 1;")):
            with open(os.path.join(self.dir, f"1_orders.{direction}.sql"), "w") as file:
                file.write(sql)

    def command(self, party: str) -> List[str]:
        url = f"postgres://postgres@127.0.0.1:{self.place.postgres.port}/{self.database}?sslmode=disable&application_name={party}"
        return [os.path.join(tools(), "migrate"), "-path", self.dir, "-database", url, "-lock-timeout", str(PATIENCE), "up"]

    def waits(self, process: Process) -> bool:
        return True  # it does not wait for anybody

    def applies(self, party: str, process: Process) -> bool:
        return party in self.place.at_work(self.database)


class Syzygy(Tool):
    name = "Syzygy"

    def prepare(self) -> None:
        with open(os.path.join(self.dir, "0001_orders.sql"), "w") as file:
            file.write("-- syzygy:stage pre_deploy\n" + STEP)

    def command(self, party: str) -> List[str]:
        where = ["--daemon", self.place.daemon.grpc, "--database", f"postgresql://postgres@127.0.0.1:{self.place.postgres.port}/{self.database}"]
        who = ["--target", self.database, "--party", party, "--quorum", "3", "--timeout", f"{PATIENCE}s"]
        return [os.environ["SYZYGY"], "migrate", *where, *who, "--dir", self.dir, "--pre-deploy"]

    def waits(self, process: Process) -> bool:
        return " here: " in process.output()

    def applies(self, party: str, process: Process) -> bool:
        return "elected: this process applies" in process.output() and bool(self.place.at_work(self.database))


class Told(NamedTuple):
    tool: str
    lines: List[str]
    right: bool


def endings(processes: List[Process]) -> str:
    codes = sorted((process.wait() for process in processes), key=abs)
    return ", ".join(f"{codes.count(code)} × exit {code}" if code >= 0 else f"{codes.count(code)} × signal {-code}" for code in dict.fromkeys(codes))


def last_words(processes: List[Process]) -> str:
    said = [line.strip() for process in processes if process.wait() != 0 for line in process.output().splitlines() if line.strip()]
    return said[-1][:110] if said else ""


def times(count: int) -> str:
    return "not applied" if count == 0 else f"applied {count} time{'' if count == 1 else 's'}"


def a_pod_restarts(tool: Tool) -> Told:
    """Quorum 3; ap-south has not come. eu-west's pod is killed while it waits and runs again."""
    eu, us = tool.start("eu-west"), tool.start("us-east")
    wait_until("two wait", lambda: (tool.waits(eu) and tool.waits(us)) or not (eu.running() or us.running()))
    eu.stop(signal.SIGKILL)
    again = [us, tool.start("eu-west")]
    ended = endings(again)
    count = tool.place.applied(tool.database)
    return Told(tool.name, [f"{times(count)} without ap-south; {ended}"], count == 0 and ended == "2 × exit 81")


def the_applier_dies(tool: Tool) -> Told:
    """All three are there. The one that applies is killed in the middle; then the pipeline runs once more in all three."""
    processes = {party: tool.start(party) for party in PARTIES}

    def applier() -> str:
        return next((party for party, process in processes.items() if tool.applies(party, process)), "")

    dead = wait_until("somebody applies, or all have ended", lambda: applier() or not any(process.running() for process in processes.values()))
    if dead is True:
        raise AssertionError(f"{tool.name}: nobody applied:\n" + "\n".join(process.output() for process in processes.values()))
    processes[dead].stop(signal.SIGKILL)
    killed = time.monotonic()
    others = [process for party, process in processes.items() if party != dead]
    ended = endings(others)
    lines = [f"the other two: {ended} after {time.monotonic() - killed:.0f} s; {times(tool.place.applied(tool.database))}"]
    if words := last_words(others):
        lines.append(f"  they say: {words}")
    first = tool.place.applied(tool.database)
    retry = [tool.start(party) for party in PARTIES]
    retried = endings(retry)
    count = tool.place.applied(tool.database)
    lines.append(f"once more, all three: {retried}; {times(count)} in all")
    if words := last_words(retry):
        lines.append(f"  they say: {words}")
    return Told(tool.name, lines, first == 1 and count == 1 and ended == "2 × exit 0" and retried == "3 × exit 0")


def main() -> int:
    stories: List["tuple[Callable[[Tool], Told], List[type[Tool]]]"] = [
        (a_pod_restarts, [CacheQuorum, Syzygy]),  # golang-migrate waits for nobody
        (the_applier_dies, [CacheQuorum, GolangMigrate, Syzygy]),
    ]
    place = Place()
    right = True
    try:
        print(f"The migration takes {WORK} s; every party waits at most {PATIENCE} s.")
        for story, contestants in stories:
            print(f"\n{story.__doc__}")
            for contestant in contestants:
                told = story(contestant(place))
                print(f"  {told.tool}")
                for line in told.lines:
                    print(f"      {line}", flush=True)
                right = right and (told.right or contestant is not Syzygy)
    finally:
        place.close()
    if not right:
        print("\ncompare: Syzygy did not do what it promises; the lines above show where", file=sys.stderr)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
