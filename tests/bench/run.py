#!/usr/bin/env python3
"""The benchmarks, as ./dev bench starts them: prints one Markdown table, with the machine that it comes from.

  run.py BUILD [REGEX] [--json FILE] [--directory DIR] [--quick]

REGEX selects rows by their name (--list shows them). Every row starts what it needs: a syzygyd with its embedded store, etcd,
PostgreSQL, and the programs beside this file, which measure; here it is only started, sampled and put together. State, etcd's
data and the floor's file stand below one directory (--directory, by default a new one in the temporary directory), so that all
of them wait for the same disk. --quick measures a tenth as often, to see that everything runs.
"""
import argparse
import contextlib
import glob
import http.client
import json
import os
import platform
import pwd
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import lint_bench

MS = 1e6  # nanoseconds


class Failed(Exception):
    """A row could not be measured: no figure is printed for it."""


def percentile(samples, share):
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * share // 100) - 1))]


def ms(nanoseconds):
    value = nanoseconds / MS
    return f"{value:.2f} ms" if value < 10 else f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(0.005)


def environment():
    """Ours without what would steer the programs, and untranslated."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("SYZYGY_", "PG"))} | {"LC_ALL": "C"}


class Process:
    """A child that is ended when its with-block is."""

    def __init__(self, *command, **more):
        self.child = subprocess.Popen([str(word) for word in command], env=environment(), text=True, **more)
        self.pid = self.child.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()

    def line(self):
        text = self.child.stdout.readline().strip()
        if not text:
            raise Failed(f"{self.child.args[0]} ended with {self.child.wait()}")
        return text


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Daemon(Process):
    def __init__(self, bench, name, *more, store=None):
        self.root = bench.directory / name
        self.root.mkdir()
        ports = self.root / "ports"
        self.log = open(self.root / "log", "w")
        super().__init__(bench.build / "daemon/syzygyd", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--store",
                         store or f"sqlite:{self.root}/state", "--port-file", ports, *more, stderr=self.log)
        until(lambda: ports.exists() or self.child.poll() is not None, "syzygyd starts")
        if not ports.exists():
            raise Failed((self.root / "log").read_text())
        found = dict(line.split("=", 1) for line in ports.read_text().splitlines())
        self.http, self.grpc = found["http"], found["grpc"]
        self.connection = http.client.HTTPConnection(self.http, timeout=60)

    def __exit__(self, *_):
        super().__exit__()
        self.connection.close()
        self.log.close()
        shutil.rmtree(self.root)

    def get(self, path):
        self.connection.request("GET", path)
        response = self.connection.getresponse()
        body = response.read().decode()
        return body if response.status == 200 else None

    def metric(self, name):
        found = re.search(rf"^{name} (\S+)$", self.get("/metrics"), re.M)
        return float(found.group(1)) if found else 0.0

    def attempts(self):
        """How many commands were answered after at most so many attempts at their commit."""
        found = re.findall(r'^syzygy_commit_attempts_bucket\{le="([^"]+)"\} (\S+)$', self.get("/metrics"), re.M)
        return {float(bound): float(count) for bound, count in found}

    def settle(self):
        """Until it has had next to nothing to do for half a second: what came has been dealt with."""
        def rests():
            before = self.processor_seconds()
            time.sleep(0.5)
            return self.processor_seconds() - before <= 0.02
        until(rests, "syzygyd comes to rest")

    def resident(self):
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024

    def processor_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Etcd(Process):
    def __init__(self, bench, name, peer=None, cluster=None):
        self.root = bench.directory / name
        self.port, peer = free_port(), peer or free_port()
        self.log = open(bench.directory / (name + ".log"), "w")
        super().__init__("etcd", "--name", name, "--data-dir", self.root, "--log-level", "error",
                         "--listen-client-urls", f"http://127.0.0.1:{self.port}",
                         "--advertise-client-urls", f"http://127.0.0.1:{self.port}",
                         "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                         "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
                         "--initial-cluster", cluster or f"{name}=http://127.0.0.1:{peer}", stdout=self.log,
                         stderr=self.log)
        if cluster is None:
            self.ready()

    def ready(self):
        until(lambda: listening(self.port) and self.healthy(), "etcd starts")

    def healthy(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/health")
            return b"true" in connection.getresponse().read()
        return False

    def __exit__(self, *_):
        super().__exit__()
        self.log.close()
        shutil.rmtree(self.root, ignore_errors=True)


class Postgres:
    """A server of our own, as the user postgres where we are root: it refuses to run as root."""

    def __init__(self, bench):
        self.bin = Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[4]))[-1])
        self.root = bench.directory / "postgres"
        self.root.mkdir()
        self.port = free_port()
        self.as_user = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.root, user.pw_uid, user.pw_gid)
            self.as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        self.run("initdb", "-D", self.root, "-U", "bench", "-A", "trust", "-N")
        self.run("pg_ctl", "-D", self.root, "-s", "-w", "-l", self.root / "log", "-o",
                 f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''", "start")
        self.url = f"postgresql://bench@127.0.0.1:{self.port}/postgres"

    def run(self, program, *words):
        done = subprocess.run([*self.as_user, self.bin / program, *words], env=environment(), cwd=self.root,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise Failed(f"{program}: {done.stdout.decode()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.run("pg_ctl", "-D", self.root, "-m", "immediate", "-s", "stop")
        shutil.rmtree(self.root)


    def figure(self, query):
        done = subprocess.run([self.bin / "psql", "-X", "-A", "-t", "-c", query, self.url], env=environment(),
                              stdout=subprocess.PIPE, check=True)
        return int(done.stdout)

    def calls(self):
        """How many statements were committed: every one that a daemon sends is a transaction of its own."""
        return self.figure("select sum(xact_commit + xact_rollback) from pg_stat_database")


class Redis(Process):
    """A server of our own that writes every commit to its disk before it answers."""

    def __init__(self, bench):
        self.root = bench.directory / "redis"
        self.root.mkdir()
        self.port = free_port()
        super().__init__("redis-server", "--port", self.port, "--bind", "127.0.0.1", "--dir", self.root, "--save", "",
                         "--appendonly", "yes", "--appendfsync", "always", stdout=subprocess.DEVNULL)
        self.url = f"redis://127.0.0.1:{self.port}/"
        until(lambda: listening(self.port), "redis-server starts")

    def __exit__(self, *_):
        super().__exit__()
        shutil.rmtree(self.root)

    def calls(self):
        """How often it has read something from a connection: a round trip each, also of several commands at once."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(b"*2\r\n$4\r\nINFO\r\n$5\r\nstats\r\n")
            said = b""
            while b"total_reads_processed:" not in said or not said.endswith(b"\r\n"):
                said += connection.recv(65536)
        return int(re.search(rb"total_reads_processed:(\d+)", said).group(1))


STORES = {"Redis, AOF always": Redis, "PostgreSQL": Postgres}


class Bench:
    def __init__(self, build, directory, quick):
        self.build, self.directory, self.quick = build, directory, quick
        self.raw = {}
        self.lines = []

    def program(self, name):
        return self.build / "tests/bench" / name

    def times(self, wanted):
        return max(3, wanted // 10) if self.quick else wanted

    def line(self, what, p50="", p99="", goal="", met=None):
        verdict = "" if met is None else "met" if met else "**missed**"
        self.lines.append((what, p50, p99, goal, verdict))
        print(f"  {what}: {' / '.join(x for x in (p50, p99) if x)} {goal} {verdict}".rstrip(), flush=True)

    # ---- rows ----

    def barrier(self, parties, rounds):
        settle = 4_000 + 600 * parties  # microseconds, in which the others are counted
        with (Daemon(self, "barrier") as daemon, Etcd(self, "etcd") as etcd,
              Process(self.program("barrier_bench"), "serve-floor", self.directory / "floor", parties,
                      stdout=subprocess.PIPE) as floor,
              Process(self.program("barrier_bench"), "serve-grpc", stdout=subprocess.PIPE) as grpc):
            done = subprocess.run(
                [self.program("barrier_bench"), "measure", "--parties", str(parties), "--rounds",
                 str(self.times(rounds)), "--settle-us", str(settle), f"floor=127.0.0.1:{floor.line()}",
                 f"grpc=127.0.0.1:{grpc.line()}", f"etcd=127.0.0.1:{etcd.port}", f"syzygy={daemon.grpc}"],
                env=environment(), stdout=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise Failed("barrier_bench failed")
        samples = json.loads(done.stdout)
        self.raw[f"barrier {parties}"] = samples
        p50 = {kind: percentile(values, 50) for kind, values in samples.items()}
        p99 = {kind: percentile(values, 99) for kind, values in samples.items()}
        for kind, what in (("floor", "TCP and one fdatasync"), ("grpc", "gRPC, no store"), ("etcd", "etcd 3.4")):
            self.line(f"barrier of {parties}: {what}", ms(p50[kind]), ms(p99[kind]))
        bound = 3 * (p50["floor"] + p50["grpc"])
        met = p50["syzygy"] <= min(bound, p50["etcd"]) and p99["syzygy"] <= p99["etcd"]
        self.line(f"barrier of {parties}: **Syzygy**", ms(p50["syzygy"]), ms(p99["syzygy"]),
                  f"etcd's, and p50 ≤ {ms(bound)}", met)

    def whole_round(self, parties, rounds):
        samples = []
        with Daemon(self, "round") as daemon:
            target = f"bench-round-{parties}"
            for n in range(self.times(rounds)):
                def command(party, n=n):
                    return [str(self.build / "client/cli/syzygy"), "exec", "--daemon", daemon.grpc, "--target", target,
                            "--plan-hash", f"{n:064x}", "--party", f"party-{party}", "--quorum", str(parties), "--",
                            "/bin/true"]

                def start(party):
                    words = command(party)
                    return os.posix_spawn(words[0], words, environment(), file_actions=[
                        (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
                        (os.POSIX_SPAWN_OPEN, 2, str(daemon.root / "err"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)])

                def present(n=n):
                    found = json.loads(daemon.get(f"/v1/targets/{target}") or "{}").get("target", {}).get("rounds", [])
                    return bool(found) and found[0]["state"].endswith("GATHERING") and found[0]["present"] == parties - 1

                waiting = [start(party) for party in range(1, parties)]
                until(present, f"{parties - 1} of {parties} wait")
                time.sleep(0.02)
                began = time.monotonic_ns()
                waiting.append(start(0))
                for pid in waiting:
                    if os.waitpid(pid, 0)[1] != 0:
                        raise Failed("syzygy exec failed: " + (daemon.root / "err").read_text()[-1000:])
                samples.append(time.monotonic_ns() - began)
        self.raw[f"round {parties}"] = samples
        self.line(f"round of {parties}: `syzygy exec -- true`, from the last process's start", ms(percentile(samples, 50)),
                  ms(percentile(samples, 99)))

    def waiters(self, kind, seconds, kilobytes):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        count = 10_000
        if hard < count + 1_000:
            count = (hard - 1_000) // 1_000 * 1_000
        if count < 1_000:
            raise Failed(f"ulimit -n is {hard}: too few descriptors")
        samples, memory = [], []
        for n in range(self.times(5)):
            with Daemon(self, f"waiters-{kind}-{n}") as daemon:
                daemon.get("/metrics")
                before = daemon.resident()
                address = daemon.http if kind == "http" else daemon.grpc
                with Process(self.program("waiters_bench"), kind, address, count, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE) as load:
                    if load.line() != "waiting":
                        raise Failed("waiters_bench failed")
                    gauge = "syzygy_http_parked_requests" if kind == "http" else "syzygy_grpc_parked"
                    until(lambda d=daemon, g=gauge: d.metric(g) >= count - count // 1_000, "all wait")
                    daemon.settle()
                    memory.append((daemon.resident() - before) / count)
                    load.child.stdin.write("\n")
                    load.child.stdin.flush()
                    samples.append(json.loads(load.line())["released_ns"])
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.raw[f"waiters {kind}"] = {"released": samples, "bytes": memory, "waiters": count}
        name = "HTTP" if kind == "http" else "gRPC, a connection each"
        took, each = percentile(samples, 50), percentile(memory, 50)
        self.line(f"{count:,} waiters released: {name}", ms(took), f"{ms(max(samples))} (worst of {len(samples)})",
                  f"p50 ≤ {seconds} s", took <= seconds * 1e9)
        self.line(f"{count:,} waiters, memory of each: {name}", f"{each / 1000:.1f} kB", "", f"≤ {kilobytes} kB",
                  each <= kilobytes * 1000)

    def replicas(self, stack, kind):
        """A server of that kind, and three daemons on it."""
        store = stack.enter_context(STORES[kind](self))
        return store, [stack.enter_context(Daemon(self, f"replica-{n}", store=store.url)) for n in range(3)]

    def replicated_barrier(self, parties, rounds):
        """Each party by way of another daemon; etcd's by way of another member."""
        with contextlib.ExitStack() as stack:
            addresses, counted = {}, {}
            for kind, name in (("Redis, AOF always", "redis"), ("PostgreSQL", "postgres")):
                store = stack.enter_context(STORES[kind](self))
                daemons = [stack.enter_context(Daemon(self, f"{name}-{n}", store=store.url)) for n in range(3)]
                addresses[f"syzygy:{name}"] = ",".join(daemon.grpc for daemon in daemons)
                counted[kind] = daemons
            one = stack.enter_context(Etcd(self, "alone"))
            addresses["etcd:etcd1"] = f"127.0.0.1:{one.port}"
            peers = [free_port() for _ in range(3)]
            cluster = ",".join(f"member{n}=http://127.0.0.1:{peer}" for n, peer in enumerate(peers))
            members = [stack.enter_context(Etcd(self, f"member{n}", peer, cluster)) for n, peer in enumerate(peers)]
            for member in members:
                member.ready()
            addresses["etcd:etcd3"] = ",".join(f"127.0.0.1:{member.port}" for member in members)
            names = ("syzygy_commits_total", "syzygy_commit_conflicts_total")

            def counts():
                return {kind: [sum(d.metric(name) for d in daemons) for name in names] for kind, daemons in counted.items()}

            before = counts()
            done = subprocess.run(
                [self.program("barrier_bench"), "measure", "--parties", str(parties), "--rounds", str(self.times(rounds)),
                 "--settle-us", str(8_000 + 600 * parties), *(f"{kind}={where}" for kind, where in addresses.items())],
                env=environment(), stdout=subprocess.PIPE, check=False)
            calls = {kind: [now - was for now, was in zip(each, before[kind])] for kind, each in counts().items()}
        if done.returncode != 0:
            raise Failed("barrier_bench failed")
        samples = json.loads(done.stdout)
        self.raw[f"replicas barrier {parties}"] = samples | {"commits": calls}
        for kind, what in (("etcd1", "etcd, one member"), ("etcd3", "etcd, three members")):
            self.line(f"barrier of {parties}: {what}", *(ms(percentile(samples[kind], share)) for share in (50, 99)))
        for kind, what in (("redis", "Redis, AOF always"), ("postgres", "PostgreSQL")):
            met = all(percentile(samples[kind], share) <= percentile(samples["etcd3"], share) for share in (50, 99))
            self.line(f"barrier of {parties} through three daemons on {what}",
                      *(ms(percentile(samples[kind], share)) for share in (50, 99)), "etcd's of three members", met)
        total = self.times(rounds) + max(3, self.times(rounds) // 20)
        for kind, (commits, conflicts) in calls.items():
            self.line(f"calls of a commit for each of these barriers of {parties}, {kind}", f"{commits / total:.1f}",
                      f"{conflicts / total:.1f} of them in conflict")

    def contention(self):
        for kind in STORES:
            with contextlib.ExitStack() as stack:
                _, daemons = self.replicas(stack, kind)
                done = subprocess.run([self.program("load_bench"), "rush", ",".join(d.grpc for d in daemons), "1000", "100"],
                                      env=environment(), stdout=subprocess.PIPE, check=False)
                if done.returncode != 0:
                    raise Failed("load_bench failed")
                counts = [daemon.attempts() for daemon in daemons]
            latencies = json.loads(done.stdout)["latencies"]
            total = {bound: sum(each[bound] for each in counts) for bound in counts[0]}
            most = min(bound for bound, count in total.items() if count >= 0.99 * max(total.values()))
            self.raw[f"contention {kind}"] = {"latencies": latencies, "attempts": {str(k): v for k, v in total.items()}}
            self.line(f"1,000 parties join 100 targets at once through three daemons on {kind}: attempts at a commit",
                      f"{total[1.0] / max(total.values()):.0%} at the first", f"p99 {most:.0f}", "p99 ≤ 5", most <= 5)

    def waiting(self):
        parties, seconds = 999, 10 if self.quick else 28  # about six periods of the heartbeats
        for kind in STORES:
            with contextlib.ExitStack() as stack:
                store, daemons = self.replicas(stack, kind)
                load = stack.enter_context(Process(self.program("load_bench"), "wait", ",".join(d.grpc for d in daemons),
                                                   parties, parties, stdout=subprocess.PIPE))
                if load.line() != "ready":
                    raise Failed("load_bench failed")
                time.sleep(6 if self.quick else 12)
                renewed = [sum(daemon.metric("syzygy_renewals_total") for daemon in daemons)]
                before, began = store.calls(), time.monotonic()
                time.sleep(seconds)
                calls, wall = store.calls() - before - 1, time.monotonic() - began  # one is the counting itself
                renewed.append(sum(daemon.metric("syzygy_renewals_total") for daemon in daemons))
                if load.child.poll() is not None:
                    raise Failed("load_bench ended")
            rate = calls / wall
            self.raw[f"waiting {kind}"] = {"calls_per_second": rate, "seconds": wall}
            self.line(f"{parties} parties of one target wait through three daemons on {kind}: calls of the store",
                      f"{rate:.1f} /s", f"{(renewed[1] - renewed[0]) / wall:.0f} heartbeats /s", "< 10 /s", rate < 10)

    def crowd(self):
        parties = 300 if self.quick else 999
        with Daemon(self, "crowd") as daemon:
            done = subprocess.run([self.program("load_bench"), "crowd", daemon.grpc, str(parties)], env=environment(),
                                  stdout=subprocess.PIPE, check=False)
            commits, gaps = daemon.metric("syzygy_commits_total"), daemon.metric("syzygy_grpc_gaps_total")
        if done.returncode != 0:
            raise Failed("load_bench failed")
        result = self.raw["crowd"] = json.loads(done.stdout) | {"commits": commits, "gaps": gaps}
        self.line(f"{parties} parties join and watch one target at once: until each has seen all", ms(result["seen_ns"]),
                  f"{result['updates'] / parties:.1f} updates of {result['bytes'] / result['updates'] / 1000:.0f} kB each, "
                  f"{commits:.0f} commits")

    def joins(self):
        with Daemon(self, "joins") as daemon:
            done = subprocess.run([self.program("load_bench"), "joins", daemon.grpc, "1" if self.quick else "5"],
                                  env=environment(), stdout=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise Failed("load_bench failed")
        result = self.raw["joins"] = json.loads(done.stdout)
        rate = result["joins"] / result["seconds"]
        self.line("joins of 1,000 targets, acknowledged as durable", f"{rate:,.0f} /s",
                  f"{ms(percentile(result['latencies'], 99))} each (256 in flight)", "≥ 5,000 /s", rate >= 5_000)

    def migrate(self):
        samples = {"psql": [], "syzygy": []}
        with Daemon(self, "migrate") as daemon, Postgres(self) as postgres:
            migrations = daemon.root / "migrations"
            migrations.mkdir()
            (migrations / "0001_first.up.sql").write_text("CREATE TABLE orders (id bigint PRIMARY KEY);\n")
            (migrations / "0001_first.down.sql").write_text("DROP TABLE orders;\n")
            commands = {
                "psql": [postgres.bin / "psql", "-X", "-c", "select 1", postgres.url],
                "syzygy": [self.build / "client/cli/syzygy", "migrate", "--daemon", daemon.grpc, "--target", "bench-migrate",
                           "--database", postgres.url, "--dir", migrations, "--party", "eu", "--quorum", "1", "--pre-deploy"]}
            first = subprocess.run(commands["syzygy"], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   check=False)
            if first.returncode != 0:
                raise Failed("syzygy migrate: " + first.stdout.decode())
            quiet = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_WRONLY, 0) for fd in (1, 2)]
            for _ in range(self.times(100)):
                for name, words in commands.items():
                    words = [str(word) for word in words]
                    began = time.monotonic_ns()
                    pid = os.posix_spawn(words[0], words, environment(), file_actions=quiet)
                    if os.waitpid(pid, 0)[1] != 0:
                        raise Failed(f"{name} failed")
                    samples[name].append(time.monotonic_ns() - began)
        self.raw["migrate"] = samples
        psql, syzygy = (percentile(samples[name], 50) for name in ("psql", "syzygy"))
        self.line("`psql -c 'select 1'`", ms(psql), ms(percentile(samples["psql"], 99)))
        self.line("`syzygy migrate` with nothing to do", ms(syzygy), ms(percentile(samples["syzygy"], 99)),
                  f"p50 ≤ 3 × psql = {ms(3 * psql)}", syzygy <= 3 * psql)

    def idle(self):
        parties, seconds = 1_000, 5 if self.quick else 30
        with Daemon(self, "idle") as daemon, Process(self.program("load_bench"), "wait", daemon.grpc, parties, 10,
                                                     stdout=subprocess.PIPE) as load:
            if load.line() != "ready":
                raise Failed("load_bench failed")
            time.sleep(1 if self.quick else 15)  # the heartbeats have found their pace
            names = ("syzygy_renewals_total", "syzygy_commits_total", "syzygy_grpc_calls_total")
            before, began, counted = daemon.processor_seconds(), time.monotonic(), [daemon.metric(n) for n in names]
            time.sleep(seconds)
            wall = time.monotonic() - began
            used = daemon.processor_seconds() - before
            rates = {name: (daemon.metric(name) - was) / wall for name, was in zip(names, counted)}
            if load.child.poll() is not None:
                raise Failed("load_bench ended")
        share = 100 * used / wall
        self.raw["idle"] = {"percent": share, "seconds": wall, "per_second": rates}
        self.line(f"{parties:,} parties wait (connection, watch, heartbeat each): the daemon's processor",
                  f"{share:.2f} % of a core", f"{rates[names[0]]:.0f} heartbeats, {rates[names[1]]:.1f} commits /s", "< 2 %",
                  share < 2)

    def lint(self):
        files, root = 1_000 if self.quick else 10_000, self.directory / "lint"
        root.mkdir()
        try:
            samples = self.raw["lint"] = lint_bench.measure(self.build / "client/cli/syzygy", root, files, 1 if self.quick else 3)
        except RuntimeError as error:
            raise Failed(str(error)) from error
        finally:
            shutil.rmtree(root)
        ours, theirs = (min(samples[name])[0] for name in ("syzygy", "squawk"))
        each = 1e6 / (files * lint_bench.STATEMENTS)
        self.line(f"`squawk` on {files:,} files of {lint_bench.STATEMENTS} statements", f"{theirs:.2f} s", f"{theirs * each:.1f} µs a statement")
        self.line("`syzygy lint` on the same (processor time, one core)", f"{ours:.2f} s", f"{ours * each:.1f} µs a statement",
                  f"≤ {files / 10_000 * 3:g} s, ≤ squawk / 3", ours <= files / 10_000 * 3 and 3 * ours <= theirs)

    def rows(self):
        return {
            "barrier 3": lambda: self.barrier(3, 500),
            "barrier 10": lambda: self.barrier(10, 300),
            "barrier 100": lambda: self.barrier(100, 150),
            "round 3": lambda: self.whole_round(3, 50),
            "round 10": lambda: self.whole_round(10, 20),
            "round 100": lambda: self.whole_round(100, 5),
            "waiters http": lambda: self.waiters("http", 0.5, 12),
            "waiters grpc": lambda: self.waiters("grpc", 1.2, 40),
            "joins": self.joins,
            "crowd": self.crowd,
            "migrate": self.migrate,
            "lint": self.lint,
            "idle": self.idle,
            "replicas barrier 3": lambda: self.replicated_barrier(3, 200),
            "replicas contention": self.contention,
            "replicas waiting": self.waiting,
        }


def machine(directory):
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    disk = subprocess.run(["df", "--output=fstype,source", directory], stdout=subprocess.PIPE, text=True, check=False)
    release = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    return {"processor": cpu.group(1) if cpu else platform.machine(), "cores": os.cpu_count(),
            "memory_gb": round(int(memory.group(1)) / 1e6) if memory else None, "kernel": platform.release(), "system": release,
            "disk": " ".join(disk.stdout.splitlines()[-1].split()) if disk.returncode == 0 else "",
            "load": os.getloadavg()[0]}


def table(lines):
    head = ("", "p50", "p99", "goal", "")
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(5)]
    def row(cells):
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths)) + " |"
    return "\n".join([row(head), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(row, lines)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("regex", nargs="?", default="")
    parser.add_argument("--json", metavar="FILE", help="write the raw figures, in nanoseconds")
    parser.add_argument("--directory", type=Path, help="where state is kept while it runs: the disk that is measured")
    parser.add_argument("--quick", action="store_true", help="a tenth of the samples")
    parser.add_argument("--list", action="store_true", help="the rows' names")
    arguments = parser.parse_intermixed_args()
    directory = Path(tempfile.mkdtemp(prefix="syzygy-bench-", dir=arguments.directory))
    directory.chmod(0o755)  # PostgreSQL's user walks through it
    bench = Bench(arguments.build.resolve(), directory, arguments.quick)
    rows = {name: row for name, row in bench.rows().items() if re.search(arguments.regex, name)}
    if arguments.list or not rows:
        print("\n".join(bench.rows()))
        shutil.rmtree(directory)
        return 0 if arguments.list else 2
    here = machine(directory)
    load = f", load {here['load']:.1f} at the start" if here["load"] > 0.5 else ""
    print(f"{here['processor']}, {here['cores']} cores, {here['memory_gb']} GB, {here['system']}, Linux {here['kernel']}, "
          f"{here['disk']}{load}\n")
    failed, began = [], time.monotonic()
    try:
        for name, row in rows.items():
            started = time.monotonic()
            try:
                row()
            except Failed as why:
                failed.append(name)
                print(f"  {name}: not measured: {why}", file=sys.stderr)
            bench.raw.setdefault("seconds", {})[name] = round(time.monotonic() - started, 1)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print("\n" + table(bench.lines))
    print(f"\n{time.monotonic() - began:.0f} s in all")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"machine": here, "rows": bench.raw}, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
