"""Bad input of every kind: one clear line that names the thing, an exit code of its own, and nothing else breaks."""

import os
import random
import signal
import socket
import subprocess
import threading
import unittest

from .support.daemon import Daemon
from .support.processes import ScratchDirectory
from .support.site import PARTIES, CliTest, Ended, nobody, syzygy

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

    def test_directories(self) -> None:
        site = self.site()
        self.refused(site.alone(), 65, site.dir)
        os.rmdir(site.dir)
        self.refused(site.alone(), 65, site.dir)
        os.mkdir(site.dir)
        site.write(m0001_users=USERS, m0001_other=USERS)
        self.refused(site.alone(), 65, "0001_users.sql", "0001_other.sql")

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


class VanishedDatabase(CliTest):
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
