"""Bad input of every kind: one clear line that names the thing, an exit code of its own, and nothing else breaks."""

import concurrent.futures
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import unittest
from typing import Any, Tuple

from .support.daemon import Daemon
from .support.processes import BOUND, ScratchDirectory, wait_until
from .support.site import PARTIES, CliTest, Ended, Site, nobody, syzygy

USERS = "CREATE TABLE users (id int);"


class BadInput(CliTest):
    def refused(self, run: Ended, code: int, *words: str) -> None:
        self.assertEqual(run.code, code, run.err)
        for word in words:
            self.assertIn(word, run.err)
        for never in ("terminate called", "std::", "Sanitizer", "assert"):
            self.assertNotIn(never, run.err)

    def test_numbers_and_names(self) -> None:
        site = self.site(m0001_users=USERS)
        for quorum in ("0", "-1", "x", "99999999999999999999"):
            self.refused(syzygy(*site.migrate("eu-west", quorum=None), "--quorum", quorum), 2, "quorum")
        for party in ("", "two\nlines", "\u00e9" * 2048):
            run = syzygy(*site.migrate(party))
            self.refused(run, 2, "party")
            self.assertLess(len(run.err), 1000, run.err)
        for target in ("", "two\nlines", "\u00e9" * 2048):
            run = syzygy("migrate", "--target", target, "--party", "a", "--quorum", "1", "--database", site.database, "--dir", site.dir,
                         "--daemon", self.daemon.grpc)  # fmt: skip
            self.refused(run, 2, "target")
            self.assertLess(len(run.err), 1000, run.err)
        for plan in ("", "two\nlines", "a" * 5000):
            run = syzygy("exec", *site.common("eu-west", 1), "--plan-hash", plan, "--", "true")
            self.refused(run, 2, "--plan-hash")
            self.assertLess(len(run.err), 1000, run.err)

    def test_what_is_no_text(self) -> None:
        at = ["--daemon", self.daemon.grpc]
        for command in (["status", "--target", "a\udcff"], ["sever", "--target", "t", "--reason", "\udcff", *at],
                        ["exec", "--target", "t", "--party", "p\udcff", "--quorum", "1", "--plan-hash", "h", *at, "--", "true"],
                        ["target", "set", "t", "--expect", "a,\udcff", "--reason", "r", *at]):  # fmt: skip
            run = syzygy(*command, env={"SYZYGY_DAEMON": self.daemon.grpc})
            self.refused(run, 2, "is not valid UTF-8", "\\xff")
            self.assertNotIn("protobuf", run.err)

    def test_standard_output_that_takes_nothing(self) -> None:
        few, many = self.site(m0001_users=USERS), self.site(**{f"m{i:04}_t": f"CREATE TABLE t{i} (id int);" for i in range(1, 101)})
        at = ["--daemon", self.daemon.grpc]
        for site in (few, many):  # what does not fit into a buffer is noticed elsewhere
            with self.subTest(migrations=len(os.listdir(site.dir))):
                for shows in (site.migrate("eu-west", "--plan"), ["plan", site.dir], ["explain"], ["--help"], ["status", *at]):
                    with open("/dev/full", "w") as full:
                        run = subprocess.run([os.environ["SYZYGY"], *shows], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
                    self.assertEqual((run.returncode, run.stderr.count("\n")), (2, 1), run.stderr)
                    self.assertIn("standard output cannot be written", run.stderr)
        # Whoever has read enough is told nothing.
        command = " ".join([os.environ["SYZYGY"], *many.migrate("eu-west", "--plan")])
        piped = subprocess.run(["bash", "-c", f"{{ sleep 0.5; {command}; echo $? >&2; }} | true"], stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(piped.stderr, "141\n")
        # What was done stays done, and says so.
        with open("/dev/full", "w") as full:
            pinned = subprocess.run([os.environ["SYZYGY"], "target", "set", few.target, "--quorum", "2", "--reason", "r", *at],
                                    stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)  # fmt: skip
        self.assertEqual(pinned.returncode, 0, pinned.stderr)
        self.assertIn("done all the same", pinned.stderr)
        with open("/dev/full", "w") as full:  # it ends with the first change that it cannot show
            watch = subprocess.run([os.environ["SYZYGY"], "status", "--target", few.target, "--watch", *at], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(watch.returncode, 2, watch.stderr)

    def test_closed_descriptors_are_not_taken_for_others(self) -> None:
        site = self.site(postgres=True, m0001_users=USERS)
        command = " ".join([os.environ["SYZYGY"], *site.migrate("eu-west", quorum=1)])
        said = subprocess.run(["bash", "-c", f"{command} 0<&- 1>&- 2>&-"], timeout=60)
        self.assertEqual(said.returncode, 0)
        # What the wrapped command opens first is not its standard error either.
        exec_ = [os.environ["SYZYGY"], "exec", "--target", f"{site.target}-exec", "--party", "a", "--quorum", "1", "--plan-hash", "h", "--daemon", self.daemon.grpc]
        held = site.path("held")
        child = f"ls -l /proc/self/fd > {held}"
        ended = subprocess.run(["bash", "-c", f"{' '.join(exec_)} -- sh -c '{child}' 0<&- 2>&-"], stdout=subprocess.DEVNULL, timeout=60)
        self.assertEqual(ended.returncode, 0)
        with open(held) as file:
            listed = file.read()
        self.assertRegex(listed, r" 2 -> /dev/null\n")

    def test_a_hang_up_that_is_ignored(self) -> None:
        site = self.site(m0001_users=USERS)
        waits = site.start(*site.migrate("eu-west", quorum=2), name="eu-west")
        site.until("1 of 2 here")
        waits.popen.send_signal(signal.SIGHUP)
        self.assertEqual(waits.wait(), 129)
        # As nohup starts it. Nothing tells when a signal was ignored: so another one follows, which is heard.
        command = " ".join([os.environ["SYZYGY"], *site.migrate("us-east", quorum=2)])
        with subprocess.Popen(["bash", "-c", f"trap '' HUP; exec {command}"], stderr=subprocess.DEVNULL) as ignores:
            site.until("1 of 2 here: us-east")
            ignores.send_signal(signal.SIGHUP)
            ignores.send_signal(signal.SIGINT)
            self.assertEqual(ignores.wait(60), 130)

    def test_no_time_at_all(self) -> None:
        site = self.site(m0001_users=USERS)
        run = syzygy(*site.migrate("eu-west", "--timeout", "0", quorum=2))
        self.assertIn(run.code, (69, 81), run.err)
        if run.code == 69:
            self.assertIn("before the daemon had taken this process in", run.err)

    def test_directories(self) -> None:
        site = self.site()
        self.refused(site.alone(), 65, site.dir)
        os.rmdir(site.dir)
        self.refused(site.alone(), 65, site.dir)
        os.mkdir(site.dir)
        site.write(m0001_users=USERS, m0001_other=USERS)
        self.refused(site.alone(), 65, "0001_users.sql", "0001_other.sql")

    def test_what_cannot_be_read(self) -> None:
        site = self.site(m0001_users=USERS)
        os.chmod(site.scratch.path, 0o755)
        site.database = "sqlite:///tmp/never-made.db"

        def unprivileged() -> Ended:
            # Root reads all: then as somebody who may not.
            away = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"] if os.getuid() == 0 else []
            done = subprocess.run([*away, os.environ["SYZYGY"], *site.migrate("eu-west", quorum=1)], capture_output=True, text=True, timeout=60, cwd="/")
            return Ended(done.returncode, done.stdout, done.stderr)

        file = os.path.join(site.dir, "0001_users.sql")
        os.chmod(file, 0)
        self.refused(unprivileged(), 65, file, "ermission")
        os.chmod(site.dir, 0)
        self.addCleanup(os.chmod, site.dir, 0o755)
        self.refused(unprivileged(), 65, site.dir, "ermission")

    def test_more_parties_than_there_may_be(self) -> None:
        site = self.site(m0001_users=USERS)
        self.refused(syzygy(*site.migrate("eu-west", quorum=1001)), 2, "1000", "quorum")
        many = Daemon("--lease-max", "1h")  # the first must still be here when the last has come, however long that takes
        self.addCleanup(many.close)
        host, port = many.http.rsplit(":", 1)
        joined = {"plan": {"stage": "STAGE_ALL", "steps": [{"id": "0001", "stage": "STAGE_PRE_DEPLOY", "content": "00" * 32}]}, "quorum": {"parties": 1000}, "timeout": "3600s", "lease": "3600s"}
        local = threading.local()

        def join(number: int) -> Tuple[int, Any]:
            if not hasattr(local, "web"):
                local.web = http.client.HTTPConnection(host, int(port), timeout=BOUND)
                self.addCleanup(local.web.close)
            local.web.request("POST", f"/v1/targets/{site.target}-crowd/join", json.dumps({**joined, "party": f"party-{number}", "voterOnly": True}),
                              {"Content-Type": "application/json", "Idempotency-Key": f"process-{number}"})  # fmt: skip
            answer = local.web.getresponse()
            return answer.status, json.loads(answer.read())

        with concurrent.futures.ThreadPoolExecutor(50) as together:
            self.assertEqual({status for status, _ in together.map(join, range(1000))}, {200})
        status, said = join(1000)
        self.assertEqual((status, said["reason"]), (429, "PARTIES_LIMIT"), said)
        self.assertIn("1000", said["detail"])
        self.assertEqual(join(7)[0], 200, "who is here already may ask again")
        small = Daemon("--parties-max", "2")
        self.addCleanup(small.close)
        crowd = Site(small)
        self.addCleanup(crowd.close)
        crowd.write(m0001_users=USERS)
        for party in PARTIES[:2]:
            crowd.start(*crowd.migrate(party, "--voter-only", quorum=2), name=party)
        crowd.until("2 of 2")
        self.refused(syzygy(*crowd.migrate(PARTIES[2], quorum=2)), 75, "parties")

    def test_databases(self) -> None:
        site = self.site(m0001_users=USERS)
        for database, word in ((f"postgresql://postgres:hunter2@{nobody()}/x", "127.0.0.1"), (f"postgresql://postgres:hunter2@127.0.0.1:{self.postgres.port}/missing", "missing"),
                               ("sqlite:///no/such/directory/x.db", "/no/such/directory")):  # fmt: skip
            site.database = database
            run = site.alone()
            self.refused(run, 66, word)
            self.assertNotIn("hunter2", run.err)

    def test_daemons(self) -> None:
        scratch = ScratchDirectory("state")
        self.addCleanup(scratch.close)
        daemon = Daemon()
        self.addCleanup(daemon.close)
        store = f"sqlite:{daemon._directory.path}/state"
        command = [os.environ["SYZYGYD"], "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--store"]
        second = subprocess.run([*command, store], capture_output=True, text=True, timeout=60)
        self.assertEqual(second.returncode, 69, second.stderr)
        self.assertIn(f"{daemon._directory.path}/state", second.stderr)
        daemon.process.stop(signal.SIGTERM)  # else its log of changes would mend the file
        files = [name for name in os.listdir(f"{daemon._directory.path}/state") if name.endswith((".db", ".sqlite", ".sqlite3"))]
        self.assertTrue(files, os.listdir(f"{daemon._directory.path}/state"))
        with open(os.path.join(daemon._directory.path, "state", files[0]), "r+b") as file:
            file.write(random.Random(7).randbytes(4096))
        corrupt = subprocess.run([*command, store], capture_output=True, text=True, timeout=60)
        self.assertEqual(corrupt.returncode, 65, corrupt.stderr)
        self.assertIn(files[0], corrupt.stderr)

    def test_random_bytes_at_both_ports_while_a_round_gathers(self) -> None:
        site = self.site(m0001_users=USERS)
        seed = int.from_bytes(os.urandom(4), "big")
        print(f"seed {seed}", flush=True)
        noise = random.Random(seed)
        done = threading.Event()

        def shout(address: str, data: bytes) -> None:
            host, port = address.rsplit(":", 1)
            with socket.create_connection((host, int(port)), timeout=5) as connection:
                try:
                    connection.sendall(data)
                except OSError:
                    pass  # it hung up: its right

        def shouting() -> None:
            while not done.is_set():
                for address in (self.daemon.http, self.daemon.grpc):
                    shout(address, noise.randbytes(noise.randrange(1, 20000)))
                    shout(address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + noise.randbytes(500))

        thread = threading.Thread(target=shouting)
        runs = [site.start(*site.migrate(party), name=party) for party in PARTIES[:2]]
        thread.start()
        try:
            site.until("2 of 3 here")
            runs.append(site.start(*site.migrate(PARTIES[2]), name=PARTIES[2]))
            self.assertEqual([run.wait() for run in runs], [0, 0, 0], site.said())
        finally:
            done.set()
            thread.join()


class BadFiles(CliTest):
    """What may lie in a migrations directory: each is refused by name, or judged, by `migrate --plan` and by `lint`; nothing crashes."""

    def check(self, plan_code: int, *words: str, lint_code: int = 2) -> None:
        for run, code in ((self.here.alone("--plan"), plan_code), (syzygy("lint", self.here.dir), lint_code)):
            said = run.err + run.out
            self.assertLess(len(said), 5000, said[:5000])
            self.assertEqual(run.code, code, said)
            for word in words:
                self.assertIn(word, said)
            self.assertIsNone(re.search(r"[\x00-\x08\x0b-\x1f\x7f]", said))
            for never in ("terminate called", "std::", "Sanitizer", "assert"):
                self.assertNotIn(never, run.err)

    def setUp(self) -> None:
        super().setUp()
        self.here = self.site(True)
        self.file = os.path.join(self.here.dir, "0001_bad.sql")

    def write(self, data: bytes) -> None:
        with open(self.file, "wb") as file:
            file.write(data)

    def test_no_file_at_all(self) -> None:
        os.mkfifo(self.file)
        self.check(65, "0001_bad.sql", "pipe")
        os.remove(self.file)
        os.mkdir(self.file)
        self.check(65, "0001_bad.sql", "directory")
        os.rmdir(self.file)
        for leads, word in (("0001_bad.sql", "circle"), ("/nowhere", "nowhere"), ("/dev/zero", "device")):
            os.symlink(leads, self.file)
            self.check(65, "0001_bad.sql", word)
            os.remove(self.file)
        os.rmdir(self.here.dir)
        os.symlink("migrations", self.here.dir)
        self.check(65, self.here.dir, "circle")
        os.remove(self.here.dir)
        os.mkdir(self.here.dir)

    def test_folders_that_lead_in_a_circle(self) -> None:
        with open(os.path.join(self.here.dir, "V1__users.sql"), "w", encoding="utf-8") as file:
            file.write(USERS)
        os.symlink(self.here.dir, os.path.join(self.here.dir, "again"))  # Flyway looks into folders, but not through links
        self.check(0, lint_code=0)

    def test_too_much(self) -> None:
        with open(self.file, "wb") as file:
            file.truncate(1 << 30)  # sparse
        self.check(65, "0001_bad.sql", "32 MiB")
        with open(self.file, "wb") as file:
            for _ in range(100):
                file.write(b"-- filler\nSELECT 1;  " * 50_000)
        self.assertGreater(os.path.getsize(self.file), 100_000_000)
        self.check(65, "0001_bad.sql", "32 MiB")
        self.write(b"SELECT 1;\n" * 100_001)
        self.check(65, "0001_bad.sql:100001", "100000 statements", lint_code=1)
        self.write(b"SELECT '" + b"x" * (2 << 20) + b"';")
        self.check(65, "0001_bad.sql:1:1", "too large to judge", lint_code=1)

    def test_nested_ten_thousand_deep(self) -> None:
        deep = 10_000
        for statement in (b"SELECT " + b"(" * deep + b"1" + b")" * deep, b"SELECT " + b"ARRAY[" * deep + b"1" + b"]" * deep, b"SELECT 1" + b"+1" * 300_000,
                          b"SELECT " + b"NOT " * deep + b"true", b"SELECT " + b"- " * 8_000 + b"a", b"SELECT * FROM " + b"(SELECT * FROM " * deep + b"a" + b") x" * deep,
                          b"SELECT " + b"CASE WHEN true THEN " * deep + b"1" + b" END" * deep, b"SELECT 1" + b" UNION SELECT 1" * deep):  # fmt: skip
            self.write(statement + b";")
            self.check(65, "0001_bad.sql:1:1", "too deep to judge", lint_code=1)
            # The way out that it names.
            self.write(b"-- syzygy:stage pre_deploy\n" + statement + b";")
            self.assertEqual(self.here.alone("--plan").code, 0)
        for body in (b"BEGIN " * deep + b"NULL; " + b"END; " * deep, b"IF true THEN " * deep + b"NULL; " + b"END IF; " * deep):
            self.write(b"DO $$ BEGIN " + body + b"END $$;")
            self.check(65, "0001_bad.sql:1:1", "syzygy:stage", lint_code=1)
        self.write(b"SELECT " + b"(" * deep + b"1;")
        self.check(65, "0001_bad.sql:1", "never closed", lint_code=1)
        self.write(b"/*" * deep + b"*/" * deep + b"CREATE TABLE a (id int);")
        self.check(0, lint_code=0)

    def test_bytes(self) -> None:
        for data, line, word in ((b"SELECT 1;\n\0", 2, "NUL"), (b"SELECT 1;\n-- caf\xe9\n", 2, "UTF-8"), (b"\xff\xfeS\0E\0", 1, "UTF-16"), (b"a\n\n\rb", 3, "carriage return"),
                                 (b"SELECT '\xed\xa0\x80';", 1, "UTF-8")):  # fmt: skip
            self.write(data)
            self.check(65, f"0001_bad.sql:{line}", word)
        self.write(b"\xef\xbb\xbfCREATE TABLE a (id int);\r\nCREATE TABLE b (id int);\r\n")
        self.check(0, lint_code=0)
        self.write(b'DROP TABLE "a\x1b[31m\x07b", "c\nd";')
        self.check(0, lint_code=0)
        self.write(b"DROP TABLE a \x1b[31m;")
        self.check(65, "0001_bad.sql:1:14", lint_code=1)

    def test_what_only_psql_knows(self) -> None:
        for text, line, word in (("SELECT 1;\n\\i other.sql\n", 2, "that file's statements"), ("\\copy t FROM 'x.csv'\n", 1, "INSERT"), ("COPY t FROM STDIN;\n1\n\\.\n", 1, "INSERT"),
                                 ("\\connect other\n", 1, "--database"), ("\\set x 1\n", 1, "current_setting")):  # fmt: skip
            self.here.write(m0001_bad=text)
            self.check(65, f"0001_bad.sql:{line}", word, lint_code=1)


class VanishedDatabase(CliTest):
    def test_the_server_is_killed_during_a_step_outside_a_transaction(self) -> None:
        site = self.site(True, m0001_users=USERS, m0002_slow="-- syzygy:no-transaction\n-- syzygy:stage pre_deploy\nSELECT pg_sleep(300);")
        runs = [site.start(*site.migrate(party), name=party) for party in PARTIES]
        site.until("step 2 of 2")
        name = site.database.rsplit("/", 1)[1]
        with self.postgres.connect(name) as connection:
            wait_until("the statement runs", lambda: connection.execute("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)%' AND state = 'active' AND pid <> pg_backend_pid()").fetchone())  # fmt: skip
        self.postgres.restart(signal.SIGKILL)
        self.assertEqual([run.wait() for run in runs], [84, 84, 84], site.said())
        for run in runs.copy():
            self.assertIn("0002", run.output())
            self.assertIn("syzygy resolve", run.output())
        held = site.alone()
        self.assertEqual(held.code, 84, held.err)
        resolved = syzygy("resolve", "--target", site.target, "--database", site.database, "--as", "failed", "--attest-stopped", "--reason", "looked", "--daemon", self.daemon.grpc)
        self.assertEqual(resolved.code, 0, resolved.err)
        site.write(m0002_slow="-- syzygy:no-transaction\n-- syzygy:stage pre_deploy\nSELECT 1;")
        again = site.alone()
        self.assertEqual(again.code, 0, again.err)

    def test_the_server_is_killed_during_a_slow_step_and_comes_back(self) -> None:
        site = self.site(True, m0001_users=USERS)
        name = site.database.rsplit("/", 1)[1]
        with self.postgres.connect(name) as connection:
            connection.execute("CREATE TABLE pace AS SELECT 5 AS seconds")
        site.write(m0002_slow="CREATE TABLE slow AS SELECT pg_sleep(seconds) IS NULL AS done FROM pace;")
        runs = [site.start(*site.migrate(party), name=party) for party in PARTIES]
        site.until("step 2 of 2")
        self.postgres.restart(signal.SIGKILL)
        self.assertEqual([run.wait() for run in runs], [0, 0, 0], site.said())
        with self.postgres.connect(name) as connection:
            self.assertEqual(connection.execute("SELECT count(*) FROM slow").fetchall(), [(1,)])


if __name__ == "__main__":
    unittest.main()
