"""Kills daemons, clients and stores at random moments of a round, over and over: nothing is applied twice, everybody hears the same.

With each store (SQLite under one daemon, Redis and PostgreSQL under three), three parties migrate a PostgreSQL database of their own, eight
rounds at a time; where the store is killed, one. A round draws who is killed (a daemon, the applier, a waiter, the store), in which state,
and how long after its start; all of it by a real SIGKILL. A killed daemon or store is started again after a pause, a killed party's
pipeline runs its command again, as a Job would. Then the target's own ledger must have every step of the plan exactly once, and every
party must have been told the same.

    ./dev kill-loop [--rounds N] [--seed S]

prints the seed first, and at the end how often each process was hit in each state, as a daemon told it at that moment. What is done is
kept in build/kill-loop: an interrupted loop goes on where it stopped. The seed draws what is tried; when it strikes is up to the machine.
"""

import argparse
import concurrent.futures
import contextlib
import http.client
import itertools
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple
from urllib.parse import quote

from .support.daemon import Daemon
from .support.postgres import Postgres
from .support.processes import Process, ScratchDirectory, wait_until
from .support.redis import Redis

PARTIES = ("eu-west", "us-east", "ap-south")
STORES = ("sqlite", "redis", "postgresql")
TOGETHER = 12  # some of them wait for a daemon that they may kill: eight or more are under way
BOUND = 150.0
CALM = 1.5  # seconds between two deaths of one daemon: more than a lease, for this is no test of crash loops
KILLED = -signal.SIGKILL
FLAGS = ("--lease", "1s", "--lease-unfenced", "2s", "--lock-delay", "1s", "--kill-after", "500ms", "--decline", "500ms")
MOMENTS = ("nobody yet", "1 of 3", "2 of 3", "ELECTED", "APPLYING", "recovery", "ended")
STEPS = {
    "applies": ("", "SELECT pg_sleep(0.15);", "SELECT pg_sleep(0.1);"),
    "fails": ("", "SELECT pg_sleep(0.15);", "SELECT pg_sleep(0.1); INSERT INTO no_such_table VALUES (1);"),
}
# What each story ends with, for everybody and in the target.
TOLD = {"applies": 0, "fails": 80}
LEDGER = {"applies": {"1": 1, "2": 1, "3": 1}, "fails": {"1": 1, "2": 1}}


class Plan(NamedTuple):
    """What one round draws: the same seed and number draw the same."""

    number: int
    store: str
    story: str
    victim: str  # "daemon", "applier", "waiter" or "store"
    moment: str
    delay: float  # from the moment to the kill
    pause: float  # from the kill to the start of whatever was killed
    choice: int  # which of several


def draw(seed: int, number: int) -> Plan:
    rng = random.Random(f"{seed}/{number}")
    store = STORES[number % len(STORES)]
    victims = ("daemon", "applier", "waiter") if store == "sqlite" else ("daemon", "daemon", "applier", "waiter", "store")
    victim = rng.choice(victims)
    moments = ("ELECTED", "APPLYING", "APPLYING", "recovery") if victim == "applier" else MOMENTS
    return Plan(
        number, store, rng.choice(("applies", "applies", "applies", "fails")), victim, rng.choice(moments),
        rng.choice((0.0, rng.uniform(0, 0.05), rng.uniform(0, 0.5))), rng.choice((0.0, rng.uniform(0, 1), rng.uniform(1, 2.5))), rng.randrange(1 << 30),
    )  # fmt: skip


class Field:
    """One store, its daemons, and how to kill them."""

    def __init__(self, store: str, targets: Postgres) -> None:
        self.name = store
        self.targets = targets
        self.store: Any = Redis() if store == "redis" else Postgres() if store == "postgresql" else None
        self.daemons = [Daemon(*FLAGS, store=self.store.url if self.store else "") for _ in range(1 if self.store is None else 3)]
        self.locks = [threading.Lock() for _ in self.daemons]
        self.calm = [0.0] * len(self.daemons)

    @contextlib.contextmanager
    def one_to_kill(self, first: int) -> Iterator[int]:
        """A daemon that nobody else kills meanwhile, and that has been there for a moment. Waits for one."""
        while True:
            for turn in range(len(self.daemons)):
                which = (first + turn) % len(self.daemons)
                if time.monotonic() < self.calm[which] or not self.locks[which].acquire(blocking=False):
                    continue
                try:
                    yield which
                    self.calm[which] = time.monotonic() + CALM
                finally:
                    self.locks[which].release()
                return
            time.sleep(0.02)

    def kill_daemon(self, which: int, pause: float) -> None:
        """Kills it, and has it back when this returns."""
        self.check(which)
        self.daemons[which].kill()
        time.sleep(pause)
        until_started(self.daemons[which].start)

    def kill_store(self, pause: float) -> None:
        self.store.kill()
        time.sleep(pause)
        until_started(self.store.start)

    def check(self, which: int) -> None:
        """A daemon that ended by itself, or found itself wrong, is what this loop looks for."""
        daemon = self.daemons[which]
        if not daemon.process.running() or "a target is frozen" in daemon.log():
            raise AssertionError(f"syzygyd {which + 1} of {self.name} ended by itself, or froze a target:\n{daemon.log()}")

    def get(self, path: str, seconds: float, first: int) -> Optional[Dict[str, Any]]:
        """Of the daemons the first that answers; None: none does now, or they know nothing of it."""
        for turn in range(len(self.daemons)):
            connection = http.client.HTTPConnection(self.daemons[(first + turn) % len(self.daemons)].http, timeout=seconds + 2)
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                body = answer.read()
                if answer.status == 200:
                    found: Dict[str, Any] = json.loads(body)
                    return found
            except (OSError, http.client.HTTPException):
                continue
            finally:
                connection.close()
        return None

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.close()
        if self.store is not None:
            self.store.close()


# The kernel kills a test's process with the thread that started it: these threads stay to the end.
_starters = concurrent.futures.ThreadPoolExecutor(max_workers=TOGETHER)


def until_started(start: Callable[[], None]) -> None:
    """Tries again: what was killed may still be on its way out."""
    until = time.monotonic() + 30
    while True:
        try:
            return _starters.submit(start).result()
        except AssertionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


class Round:
    """Three pipelines, one target, one database, one blow."""

    def __init__(self, field: Field, plan: Plan, migrations: str, scratch: str, tag: str) -> None:
        self.field, self.plan = field, plan
        self.migrations = os.path.join(migrations, plan.story)
        self.scratch = scratch
        self.name = f"kill-{tag}-{plan.number}"
        self.runs: List[Tuple[str, Process]] = []
        self.current: Dict[str, Process] = {}
        self.hits: List[Tuple[str, str]] = []
        self.killed_parties: List[str] = []
        self.doomed = 0  # the daemon that it may kill
        self.lost = 0  # rounds that ended before anything was applied, for want of a daemon

    def start(self, party: str) -> Process:
        daemons = self.field.daemons
        first = (PARTIES.index(party) + self.plan.choice) % len(daemons)
        addresses = ",".join(daemon.grpc for daemon in daemons[first:] + daemons[:first])
        command = [
            os.environ["SYZYGY"], "migrate", "--target", self.name, "--party", party, "--quorum", "3", "--daemon", addresses, "--dir", self.migrations,
            "--database", f"postgresql://postgres@127.0.0.1:{self.field.targets.port}/{self.name}", "--pre-deploy",
            "--timeout", "120s", "--connect-timeout", "60s",
        ]  # fmt: skip
        process = Process(command, os.path.join(self.scratch, f"{self.name}-{party}-{len(self.runs)}.log"))
        self.runs.append((party, process))
        self.current[party] = process
        return process

    def look(self, known: Optional[Dict[str, Any]] = None, wait: float = 0) -> Optional[Dict[str, Any]]:
        """The target as a daemon tells it; with `known` and `wait` once it is newer than that."""
        path = f"/v1/targets/{quote(self.name)}"
        if known and wait:
            path += f"?revision={known['revision']}&epoch={known['epoch']}&wait={int(wait * 1000)}ms"
        answer = self.field.get(path, wait, self.plan.choice)
        return answer["target"] if answer else None

    def run(self) -> None:
        self.field.targets.create_database(self.name)
        try:
            parties = list(PARTIES)
            random.Random(self.plan.choice).shuffle(parties)
            if self.plan.victim == "daemon":
                with self.field.one_to_kill(self.plan.choice) as self.doomed:
                    self.strike_while_starting(parties)
            else:
                self.strike_while_starting(parties)
            self.judge()
        finally:
            for _, run in self.runs:
                run.stop(signal.SIGKILL)
            with self.field.targets.connect("postgres") as connection:
                connection.execute(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)'.encode())

    def strike_while_starting(self, parties: List[str]) -> None:
        early = {"nobody yet": 0, "1 of 3": 1, "2 of 3": 2}.get(self.plan.moment)
        if early is None:
            for party in parties:
                self.start(party)
        else:
            for party in parties[:early] or parties[:1]:
                self.start(party)
        if self.plan.moment == "recovery":
            self.wait_for("APPLYING")
            self.kill_client("applier")  # else nobody recovers
        target = self.wait_for(self.plan.moment)
        if self.plan.delay > 0:
            time.sleep(self.plan.delay)
        with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
            blow = pool.submit(self.strike, target)
            if early is not None:
                for party in parties:
                    if party not in self.current:
                        self.start(party)
            blow.result()

    def wait_for(self, moment: str) -> Optional[Dict[str, Any]]:
        """The target in that moment, or in the one that it missed it by."""
        order = {name: place for place, name in enumerate(MOMENTS)}
        until = time.monotonic() + BOUND
        target = None
        while moment != "nobody yet":
            newer = self.look(target, 1.0 if target else 0)
            target = newer or target
            now = moment_of(target)
            if now == moment or now == "ended" or (order[now] > order[moment] and now != "recovery"):
                return target
            if not any(run.running() for run in list(self.current.values())):
                return target
            if time.monotonic() > until:
                raise AssertionError(f"not within {BOUND:g} s: {moment}; it is {now}")
            if newer is None or not newer.get("rounds"):
                time.sleep(0.02)
        return target

    def strike(self, target: Optional[Dict[str, Any]]) -> None:
        victim = self.plan.victim
        if victim in ("applier", "waiter"):
            self.kill_client(victim, self.look() if self.plan.delay > 0 else target)
        elif victim == "store":
            self.note("store", self.look() if self.plan.delay > 0 else target)
            self.field.kill_store(self.plan.pause)
        else:
            self.note("daemon", self.look() if self.plan.delay > 0 else target)
            self.field.kill_daemon(self.doomed, self.plan.pause)

    def note(self, victim: str, target: Optional[Dict[str, Any]]) -> None:
        self.hits.append((victim, moment_of(target)))

    def kill_client(self, which: str, target: Optional[Dict[str, Any]] = None) -> None:
        target = target or self.look()
        applier = applier_of(target)
        others = [party for party, run in list(self.current.items()) if party != applier and run.running()]
        if which == "applier" and applier in self.current:
            party = applier
        elif others:
            party, which = others[self.plan.choice % len(others)], "waiter"
        else:
            return
        self.current[party].stop(signal.SIGKILL)
        self.killed_parties.append(party)
        self.note(which, target)

    def acknowledged_twice(self, party: str, ends: List[Dict[str, Any]]) -> bool:
        """Or there is no such end: then there was nothing to be told again."""
        rounds = {event["roundId"] for event in ends}
        times = Counter(event["roundId"] for event in self.events()
                        if event["kind"] == "EVENT_KIND_ACKNOWLEDGED" and event.get("party") == party and event["roundId"] in rounds)
        return not rounds or max(times.values(), default=0) > 1

    def judge(self) -> None:
        """Until everybody is told; a killed pipeline runs again, and so does one that was told that nothing was applied."""
        told: Dict[str, List[int]] = {party: [] for party in PARTIES}
        want = TOLD[self.plan.story]
        open_ = set(PARTIES)
        until = time.monotonic() + BOUND
        while open_:
            for party in sorted(open_):
                code = self.current[party].popen.poll()
                if code is None:
                    continue
                if code != KILLED:
                    told[party].append(code)
                elif want == 80 and self.has_heard(party):
                    open_.discard(party)  # a pipeline that runs again after it heard of a failure gathers anew
                    continue
                if code == KILLED or (code == 80 and self.ended_empty()):
                    self.start(party)
                else:
                    open_.discard(party)
            for party in sorted(open_.intersection(self.killed_parties if want == 80 else ())):
                # What a killed one said last may have come after its pipeline ran again: then that waits for others in vain.
                if self.current[party].running() and self.gathers_anew(party):
                    open_.discard(party)
            if time.monotonic() > until:
                raise AssertionError(f"not within {BOUND:g} s: everybody is told; told were {told}")
            time.sleep(0.03)

        ledger = self.ledger()
        if ledger != LEDGER[self.plan.story]:
            raise AssertionError(f"the target's ledger is {ledger}, not {LEDGER[self.plan.story]}; told were {told}")
        ends = [event for event in self.events() if event.get("stateTo", "").endswith(("SUCCEEDED", "FAILED", "INDETERMINATE"))]
        states = [event["stateTo"].replace("ROUND_STATE_", "") for event in ends]
        # All daemons gone for longer than a lease can end a round before anything was applied: that is told to all, too.
        empty = [event for event in ends if is_empty_end(event)]
        if not states or len(empty) != len(ends) - 1 or states[-1] != ("FAILED" if want else "SUCCEEDED"):
            raise AssertionError(f"the history's ends are {states}, and told were {told}")
        self.lost = len(empty)
        for party, codes in told.items():
            # Whose acknowledgement was lost with a daemon hears of that failure again; whose arrived does not.
            again = max(0, len(codes) - 1 - self.lost)
            if party not in self.killed_parties and (codes != [80] * (self.lost + again) + [want] or again > 0 and self.acknowledged_twice(party, empty)):
                raise AssertionError(f"{party} was told {codes} of rounds that ended {states}")
            if set(codes) - {80, want}:
                raise AssertionError(f"{party}, which was killed, was told {codes} of rounds that ended {states}")

    def ledger(self) -> Dict[str, int]:
        with self.field.targets.connect(self.name) as connection:
            if connection.execute("SELECT to_regclass('ledger')").fetchone() == (None,):
                return {}
            rows = connection.execute("SELECT step, count(*) FROM ledger GROUP BY step").fetchall()
            return {str(step): int(str(times)) for step, times in rows}

    def events(self) -> List[Dict[str, Any]]:
        answer = wait_until("a daemon answers", lambda: self.field.get(f"/v1/targets/{quote(self.name)}/events?pageSize=1000", 5, 0), BOUND)
        events: List[Dict[str, Any]] = answer.get("events", [])
        return events

    def ended_empty(self) -> bool:
        """Whether the newest end of this target was one before anything was applied."""
        ends = [event for event in self.events() if event.get("stateTo", "").endswith(("SUCCEEDED", "FAILED", "INDETERMINATE"))]
        return bool(ends) and is_empty_end(ends[-1])

    def has_heard(self, party: str) -> bool:
        """Whether it said that it knows how the run failed: that of a round in which nothing was applied is another matter."""
        return acknowledged_at(self.events(), party) > 0

    def gathers_anew(self, party: str) -> bool:
        """Whether it joined once more after it had said so."""
        events = self.events()
        heard = acknowledged_at(events, party)
        return heard > 0 and any(
            event["kind"] == "EVENT_KIND_PARTY_JOINED" and event.get("party") == party and int(event["revision"]) > heard for event in events
        )

    def story(self) -> str:
        """Everything that is known of it, for a failure's message."""
        told = [f"\n{self.plan}", f"hit: {self.hits}; killed: {self.killed_parties}; daemon to kill: {self.doomed + 1}"]
        told += [f"--- {party} (code {run.popen.poll()}) ---\n{run.output()}" for party, run in self.runs]
        try:
            told.append("--- events ---\n" + "\n".join(json.dumps(event) for event in self.events()))
        except AssertionError as error:
            told.append(str(error))
        told += [f"--- syzygyd {number} ---\n{daemon.log()[-4000:]}" for number, daemon in enumerate(self.field.daemons, 1)]
        return "\n".join(told)


def is_empty_end(event: Dict[str, Any]) -> bool:
    return str(event["stateTo"]).endswith("FAILED") and "nothing was applied" in event.get("text", "")


def acknowledged_at(events: List[Dict[str, Any]], party: str) -> int:
    """At which revision it acknowledged the failure of a run; 0: it did not."""
    failed = {event.get("roundId") for event in events if event.get("stateTo", "").endswith("FAILED") and not is_empty_end(event)}
    said = [event for event in events if event["kind"] == "EVENT_KIND_ACKNOWLEDGED" and event.get("party") == party]
    return next((int(event["revision"]) for event in said if event.get("roundId") in failed), 0)


def newest(target: Optional[Dict[str, Any]]) -> Dict[str, Any]:
    rounds = (target or {}).get("rounds") or [{}]
    found: Dict[str, Any] = rounds[0]
    return found


def moment_of(target: Optional[Dict[str, Any]]) -> str:
    state = newest(target).get("state", "").replace("ROUND_STATE_", "")
    if state == "GATHERING":
        return {0: "nobody yet", 1: "1 of 3"}.get(newest(target).get("present", 0), "2 of 3")
    if state == "RECOVERING" or (state in ("ELECTED", "APPLYING") and int((newest(target).get("applier") or {}).get("token", "0")) > 1):
        return "recovery"  # another run than the first is asked for, elected or under way
    if state in ("ELECTED", "APPLYING"):
        return str(state)
    return "ended" if state else "nobody yet"


def applier_of(target: Optional[Dict[str, Any]]) -> str:
    return str((newest(target).get("applier") or {}).get("party", ""))


class Progress:
    """What is done, one line a round, so that a loop that was interrupted goes on."""

    def __init__(self, directory: str, rounds: int, seed: Optional[int]) -> None:
        os.makedirs(directory, exist_ok=True)
        self.path = os.path.join(directory, f"rounds-{rounds}.jsonl")
        self.done: Dict[int, Dict[str, Any]] = {}
        self.seconds = 0.0
        self.seed = self._read()
        if self.seed is None or (seed is not None and seed != self.seed) or len(self.done) >= rounds:
            self.seed = seed if seed is not None else random.SystemRandom().randrange(1 << 48)
            self.done, self.seconds = {}, 0.0
            with open(self.path, "w", encoding="utf-8") as file:
                file.write(json.dumps({"seed": self.seed}) + "\n")
        self._lock = threading.Lock()

    def _read(self) -> Optional[int]:
        if not os.path.exists(self.path):
            return None
        seed = None
        with open(self.path, encoding="utf-8") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue  # the line that was being written when it was interrupted
                if "seed" in entry:
                    seed = int(entry["seed"])
                elif "round" in entry and "failed" not in entry:
                    self.done[entry["round"]] = entry
        return seed

    def add(self, entry: Dict[str, Any]) -> None:
        with self._lock:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            if "failed" not in entry:
                self.done[entry["round"]] = entry

    def keep(self, number: int, story: str) -> None:
        """A failure's whole story, also where the loop is interrupted before it can print it."""
        with open(os.path.join(os.path.dirname(self.path), f"failed-{self.seed}-{number}.txt"), "w", encoding="utf-8") as file:
            file.write(story)

    def table(self) -> str:
        lines = []
        for store in STORES:
            entries = [entry for entry in self.done.values() if entry["store"] == store]
            hits = Counter((victim, moment) for entry in entries for victim, moment in entry["hits"])
            lines.append(f"{store + f': {len(entries)} rounds':26}" + "".join(f"{moment:>12}" for moment in MOMENTS))
            for victim in ("daemon", "applier", "waiter", "store"):
                if any(hits[victim, moment] for moment in MOMENTS):
                    lines.append(f"  {victim + ' killed':24}" + "".join(f"{hits[victim, moment]:12}" for moment in MOMENTS))
        return "\n".join(lines)


def write_migrations(directory: str) -> None:
    for story, bodies in STEPS.items():
        os.makedirs(os.path.join(directory, story))
        for number, body in enumerate(bodies, 1):
            create = "CREATE TABLE ledger (step text NOT NULL);\n" if number == 1 else ""
            with open(os.path.join(directory, story, f"{number:04}_step.sql"), "w", encoding="utf-8") as file:
                file.write(f"-- syzygy:stage pre_deploy\n{create}INSERT INTO ledger VALUES ('{number}');\n{body}\n")


def play(store: str, plans: List[Plan], targets: Postgres, scratch: str, progress: Progress, failures: List[str], tag: str) -> None:
    """All rounds of one store: those that kill the store one by one, the others together."""
    if not plans:
        return
    field = Field(store, targets)
    try:

        def one(plan: Plan) -> None:
            if failures:
                return
            began = time.monotonic()
            round_ = Round(field, plan, os.path.join(scratch, "migrations"), scratch, tag)
            try:
                round_.run()
                progress.add({"round": plan.number, "store": store, "hits": round_.hits, "lost": round_.lost, "seconds": round(time.monotonic() - began, 2)})
            except Exception as error:  # whatever it is, the round is told with it
                print(f"round {plan.number}, {store}, failed: {error}", flush=True)
                failures.append(f"round {plan.number}, {store}: {error}\n{round_.story()}")
                progress.keep(plan.number, failures[-1])
                progress.add({"round": plan.number, "store": store, "failed": str(error)})

        with concurrent.futures.ThreadPoolExecutor(max_workers=TOGETHER) as pool:
            list(pool.map(one, [plan for plan in plans if plan.victim != "store"]))
        for plan in plans:
            if plan.victim == "store":
                one(plan)
        for which in range(len(field.daemons)):
            try:
                field.check(which)
            except AssertionError as error:
                failures.append(str(error))
    finally:
        field.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev kill-loop", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=200, help="in all stores together")
    parser.add_argument("--seed", type=int, help="draws the rounds; a new one if an earlier loop is complete")
    parser.add_argument("--store", choices=STORES, action="append", help="only the rounds of this store")
    parser.add_argument("--only", type=int, help="this one round of the seed")
    parser.add_argument("--state", default=os.path.join("build", "kill-loop"), help="where progress is kept")
    given = parser.parse_args()

    progress = Progress(given.state, given.rounds, given.seed)
    assert progress.seed is not None
    numbers = [given.only] if given.only is not None else [number for number in range(given.rounds) if number not in progress.done]
    plans = [draw(progress.seed, number) for number in numbers]
    print(f"seed {progress.seed}: {len(progress.done)} of {given.rounds} rounds are done (./dev kill-loop --rounds {given.rounds} --seed {progress.seed})", flush=True)

    began = time.monotonic()
    tag = f"{progress.seed % 10_000}-{os.getpid()}"
    failures: List[str] = []
    scratch = ScratchDirectory("kill-loop")
    targets = Postgres(connections=400)
    try:
        write_migrations(os.path.join(scratch.path, "migrations"))
        with concurrent.futures.ThreadPoolExecutor() as pool:
            stores = given.store or STORES
            fields = [
                pool.submit(play, store, [plan for plan in plans if plan.store == store], targets, scratch.path, progress, failures, tag) for store in stores
            ]
            while not all(field.done() for field in fields):
                concurrent.futures.wait(fields, timeout=15, return_when=concurrent.futures.ALL_COMPLETED)
                print(f"{len(progress.done)} of {given.rounds} rounds, {time.monotonic() - began:.0f} s", flush=True)
            for field in fields:
                field.result()
    finally:
        targets.close()
        scratch.close()
    print(progress.table())
    for failure in itertools.islice(failures, 3):
        print(f"\nFAILED (seed {progress.seed}): {failure}", file=sys.stderr)
    if not failures and not given.store and given.only is None:
        print(f"{len(progress.done)} rounds: every plan applied exactly once, everybody told the same")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
