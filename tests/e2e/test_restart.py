"""SIGKILL at every moment that a round has: nothing is applied twice, nobody hangs, everybody learns the truth.

Each case kills one process (the daemon, the applier, a waiter) by a real SIGKILL at a named kill point, which only the test build
has (src/base/kill_point.h). A killed daemon is started again; a killed party's pipeline runs its command again, as a Job would. The
target's own ledger tells how often each step took effect. `./dev test` runs one case per process and state, with SYZYGY_LONG=1 all of
them; either way it prints how often each moment was hit, and fails where one was not reached.

Not here: states that only several daemons or the release gate can show; they come with those.
"""

import concurrent.futures
import os
import signal
import sqlite3
import subprocess
import unittest
from collections import Counter
from typing import Dict, List, NamedTuple, Optional, Tuple

from .support.daemon import Daemon
from .support.processes import BOUND, SLOWNESS, Process, ScratchDirectory, wait_until

PARTIES = ("eu-west", "us-east", "ap-south")
SCALED = (
    "--lease", f"{SLOWNESS}s", "--lease-unfenced", f"{2 * SLOWNESS}s", "--lock-delay", f"{SLOWNESS}s",
    "--kill-after", f"{500 * SLOWNESS}ms", "--decline", "500ms",
)  # fmt: skip
KILLED = -signal.SIGKILL


class Case(NamedTuple):
    """What happens in the round, and who is killed where."""

    story: str  # one of STORIES
    victim: str  # "daemon" or "client"
    point: str
    quick: bool = False  # also in ./dev test

    def name(self) -> str:
        return f"{self.story}, {self.victim} at {self.point}"


def daemon_cases() -> List[Case]:
    states = {
        "GATHERING": "success", "ELECTED": "success", "APPLYING": "success", "SUCCEEDED": "success", "FAILED": "failure",
        "RECOVERING": "applier-lost", "INDETERMINATE": "opaque-lost", "DISSOLVED": "sever", "EXPIRED": "timeout", "SUPERSEDED": "repin",
    }  # fmt: skip
    cases = []
    for state, story in states.items():
        for moment in ("before_commit", "after_commit", "before_reply"):
            cases.append(Case(story, "daemon", f"engine.{moment}.{state}", quick=moment == "after_commit"))
    return cases


def client_cases() -> List[Case]:
    applier = [
        Case("success", "client", "applier.before_claim", quick=True),
        Case("success", "client", "target_claim_before_commit"),
        Case("success", "client", "target_claim_after_commit"),
        Case("success", "client", "applier.claimed"),
        Case("success", "client", "applier.after_claim"),
        Case("success", "client", "applier.after_confirm", quick=True),
        Case("success", "client", "applier.before_step"),
        Case("success", "client", "target_step_before_commit"),
        Case("success", "client", "target_step_after_commit"),
        Case("success", "client", "target_step_before_commit:3"),
        Case("success", "client", "target_step_after_commit:3", quick=True),
        Case("success", "client", "applier.after_run"),
        Case("success", "client", "applier.after_report"),
        Case("failure", "client", "applier.after_run"),
        Case("opaque-lost", "client", "applier.after_confirm", quick=True),
        Case("exec", "client", "applier.after_report"),
    ]
    waiters = [
        Case("success", "waiter", "GATHERING", quick=True),
        Case("slow", "waiter", "APPLYING", quick=True),
    ]
    return applier + waiters


class World:
    """One case's daemon, target database and pipelines."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.scratch = ScratchDirectory("restart")
        self.hits = os.path.join(self.scratch.path, "hits")
        self.kill = {"SYZYGY_KILL_AT": case.point, "SYZYGY_KILL_LOG": self.hits, "SYZYGY_KILL_ONCE": self.path("once")}
        self.database = self.path("target.db")
        self.migrations = self.path("migrations")
        os.mkdir(self.migrations)
        self._write_migrations()
        self.daemon = Daemon(*SCALED, env=self.kill if case.victim == "daemon" else None)
        self.runs: List[Tuple[str, Process]] = []

    def path(self, name: str) -> str:
        return os.path.join(self.scratch.path, name)

    def _write_migrations(self) -> None:
        bodies = ["CREATE TABLE ledger (step text NOT NULL); INSERT INTO ledger VALUES ('1');", "INSERT INTO ledger VALUES ('2');",
                  "INSERT INTO ledger VALUES ('3');"]  # fmt: skip
        if self.case.story == "failure":
            bodies[2] += " INSERT INTO no_such_table VALUES (1);"
        if self.case.story == "slow":
            count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000000) SELECT max(i) FROM n;"
            bodies[1] += f" CREATE TABLE counted AS {count}"
        for number, body in enumerate(bodies, 1):
            with open(os.path.join(self.migrations, f"{number:04}_step.sql"), "w", encoding="utf-8") as file:
                file.write(f"-- syzygy:stage pre_deploy\n{body}\n")

    def command(self, party: str, *more: str) -> List[str]:
        head = [os.environ["SYZYGY"]]
        common = ["--target", "orders", "--party", party, "--quorum", "3", "--daemon", self.daemon.grpc, "--connect-timeout", "40s"]
        if self.case.story in ("opaque-lost", "exec"):
            counted = f"echo {party} >> {self.path('ran')}"
            return [*head, "exec", *common, "--plan-hash", "build-1", *more, "--", "sh", "-c", counted]
        return [*head, "migrate", *common, "--database", f"sqlite://{self.database}", "--dir", self.migrations, *more]

    def start(self, party: str, *more: str, env: Optional[Dict[str, str]] = None) -> Process:
        log = self.path(f"{party}-{len(self.runs)}.log")
        process = Process(self.command(party, *more), log, env={**os.environ, **(env or {})})
        self.runs.append((party, process))
        return process

    def status(self) -> str:
        """The newest round's state, or an empty text while nobody can say."""
        command = [os.environ["SYZYGY"], "status", "--target", "orders", "--daemon", self.daemon.grpc, "--connect-timeout", "1s"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        return done.stdout if done.returncode == 0 else ""

    def operate(self, *arguments: str) -> int:
        command = [os.environ["SYZYGY"], *arguments, "--daemon", self.daemon.grpc, "--connect-timeout", "40s"]
        return subprocess.run(command, capture_output=True, timeout=BOUND).returncode

    def was_hit(self) -> bool:
        return os.path.exists(self.hits)

    def restart_daemon_when_killed(self) -> None:
        if self.case.victim != "daemon":
            return
        wait_until("the daemon is killed", lambda: not self.daemon.process.running(), BOUND)
        self.daemon.start()

    def finish(self) -> Dict[str, int]:
        """Waits for all; runs a killed party's command again until it ends by itself. The last code of each party."""
        codes: Dict[str, int] = {}
        for party, process in list(self.runs):
            code = process.wait(BOUND)
            for _ in range(3):
                if code != KILLED:
                    break
                code = self.start(party).wait(BOUND)
            codes[party] = code
        return codes

    def ledger(self) -> Dict[str, int]:
        with sqlite3.connect(self.database) as connection:
            if connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'ledger'").fetchone()[0] == 0:
                return {}
            return {step: times for step, times in connection.execute("SELECT step, count(*) FROM ledger GROUP BY step")}

    def said(self) -> str:
        """Everything that everybody printed, for a failure's message."""
        return "".join(f"\n--- {party} ---\n{process.output()}" for party, process in self.runs) + f"\n--- syzygyd ---\n{self.daemon.process.output()}"

    def close(self) -> None:
        for _, process in self.runs:
            process.stop(signal.SIGKILL)
        self.daemon.close()
        self.scratch.close()


def run_migrations(world: World) -> None:
    """success, failure, slow, applier-lost, opaque-lost, exec: three parties, one applier."""
    case = world.case
    env = world.kill if case.victim == "client" else None
    if case.story == "applier-lost" and case.victim == "daemon":
        env = {"SYZYGY_KILL_AT": "applier.after_confirm", "SYZYGY_KILL_ONCE": world.path("applier-once")}
    if case.story == "opaque-lost" and case.victim == "daemon":
        env = {"SYZYGY_KILL_AT": "applier.after_confirm", "SYZYGY_KILL_ONCE": world.path("applier-once")}
    if case.victim == "waiter" and case.point == "GATHERING":
        doomed = world.start(PARTIES[0])
        wait_until("the first party waits", lambda: "1 of 3 here" in world.status(), BOUND)
        doomed.stop(signal.SIGKILL)
        with open(world.hits, "w", encoding="utf-8") as file:
            file.write("waiter.GATHERING\n")
    for party in PARTIES[1 if case.victim == "waiter" and case.point == "GATHERING" else 0 :]:
        world.start(party, env=env)
    if case.victim == "waiter" and case.point == "APPLYING":
        wait_until("somebody applies", lambda: "APPLYING" in world.status() or not all(p.running() for _, p in world.runs), BOUND)
        for _, process in world.runs:
            if process.running() and "elected: this process applies" not in process.output():
                process.stop(signal.SIGKILL)
                with open(world.hits, "w", encoding="utf-8") as file:
                    file.write("waiter.APPLYING\n")
                break
    world.restart_daemon_when_killed()


def judge_migrations(test: unittest.TestCase, world: World) -> None:
    codes = world.finish()
    case = world.case
    if case.story == "failure":
        test.assertEqual(set(codes.values()), {80}, world.said())
        test.assertEqual(world.ledger(), {"1": 1, "2": 1}, world.said())
        return
    if case.story in ("opaque-lost", "exec"):
        ran = 0
        if os.path.exists(world.path("ran")):
            with open(world.path("ran"), encoding="utf-8") as file:
                ran = len(file.readlines())
        test.assertLessEqual(ran, 1, world.said())
        test.assertEqual(set(codes.values()), {84} if case.story == "opaque-lost" else {0}, world.said())
        return
    test.assertEqual(set(codes.values()), {0}, world.said())
    test.assertEqual(world.ledger(), {"1": 1, "2": 1, "3": 1}, world.said())


def run_sever(test: unittest.TestCase, world: World) -> None:
    waiting = world.start(PARTIES[0])
    wait_until("it gathers", lambda: "GATHERING" in world.status(), BOUND)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        severed = pool.submit(world.operate, "sever", "--target", "orders", "--reason", "test")
        world.restart_daemon_when_killed()
        test.assertEqual(severed.result(), 0, world.said())
    test.assertEqual(waiting.wait(BOUND), 83, world.said())


def run_timeout(test: unittest.TestCase, world: World) -> None:
    waiting = world.start(PARTIES[0], "--timeout", f"{4 * SLOWNESS}s")
    world.restart_daemon_when_killed()
    test.assertEqual(waiting.wait(BOUND), 81, world.said())


def run_repin(test: unittest.TestCase, world: World) -> None:
    for party in PARTIES[:2]:
        world.start(party)
    wait_until("two gather", lambda: "2 of 3 here" in world.status(), BOUND)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        pinned = pool.submit(world.operate, "target", "set", "orders", "--quorum", "2", "--reason", "test")
        world.restart_daemon_when_killed()
        test.assertEqual(pinned.result(), 0, world.said())
    test.assertEqual(set(world.finish().values()), {0}, world.said())
    test.assertEqual(world.ledger(), {"1": 1, "2": 1, "3": 1}, world.said())


def play(test: unittest.TestCase, case: Case) -> str:
    world = World(case)
    try:
        if case.story == "sever":
            run_sever(test, world)
        elif case.story == "timeout":
            run_timeout(test, world)
        elif case.story == "repin":
            run_repin(test, world)
        else:
            run_migrations(world)
            judge_migrations(test, world)
        test.assertTrue(world.was_hit(), f"{case.name()}: the moment was not reached\n{world.said()}")
        return f"{case.victim}: {case.point}"
    except AssertionError as error:
        raise AssertionError(f"{case.name()}: {error}") from error
    finally:
        world.close()


class Restart(unittest.TestCase):
    def test_every_moment(self) -> None:
        cases = [case for case in daemon_cases() + client_cases() if case.quick or os.environ.get("SYZYGY_LONG")]
        hit: Counter = Counter()
        failures = []
        with concurrent.futures.ThreadPoolExecutor(max_workers=6) as pool:
            for future in [pool.submit(play, self, case) for case in cases]:
                try:
                    hit[future.result()] += 1
                except AssertionError as error:
                    failures.append(str(error))
        for moment, times in sorted(hit.items()):
            print(f"{times:4}  {moment}")
        self.assertEqual(failures, [], "\n\n".join(failures))


if __name__ == "__main__":
    unittest.main()
