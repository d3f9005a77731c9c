"""Any bytes at either port of a real syzygyd: it stays, others are served meanwhile, its memory stays bounded, its answers are clear."""

import http.client
import json
import os
import random
import re
import resource
import socket
import ssl
import subprocess
import threading
import time
import unittest
from typing import Callable, List, Tuple

from .support.daemon import Daemon
from .support.garbage import PREFACE, Garbage, call, frame
from .support.processes import ScratchDirectory, wait_until
from .support.site import syzygy

LONG = bool(os.environ.get("SYZYGY_LONG"))
TOKEN = "0123456789abcdef0123456789abcdef"
MEGABYTE = 1 << 20
MEMORY = int(os.environ.get("SYZYGY_TEST_MEMORY", "1"))  # how many times as much a sanitizer takes


def address(text: str) -> Tuple[str, int]:
    host, port = text.rsplit(":", 1)
    return host, int(port)


def connect(where: str) -> socket.socket:
    connection = socket.create_connection(address(where), timeout=20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def push(connection: socket.socket, data: bytes) -> bool:
    try:
        connection.sendall(data)
        return True
    except OSError:
        return False  # it hung up: its right


def read_to_end(connection: socket.socket, silence_ends: bool = False) -> bytes:
    """What comes until the other side closes or resets; a silence of the socket's timeout ends it too, or is an error."""
    out = b""
    try:
        while len(out) < MEGABYTE and (piece := connection.recv(65536)):
            out += piece
    except TimeoutError:
        assert silence_ends, f"nothing more was said for {connection.gettimeout()} s; so far: {out[:200]!r}"
    except OSError:
        pass
    return out


class Hostile(unittest.TestCase):
    plain: Daemon
    tls: Daemon
    certificate: str

    @classmethod
    def setUpClass(cls) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        cls.addClassCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        scratch = ScratchDirectory("hostile")
        cls.addClassCleanup(scratch.close)
        cls.certificate, key, cls.token_file = (os.path.join(scratch.path, name) for name in ("cert", "key", "token"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cls.certificate], check=True, capture_output=True)  # fmt: skip
        with open(cls.token_file, "w") as file:
            file.write(TOKEN + "\n")
        cls.plain = Daemon()
        cls.addClassCleanup(cls.plain.close)
        cls.tls = Daemon("--tls-cert", cls.certificate, "--tls-key", key, "--token-file", cls.token_file)
        cls.addClassCleanup(cls.tls.close)

    # ---- what is asked of every case: others are served, the process is the same one, its memory is bounded

    def served(self, after: str) -> None:
        for daemon in (self.plain, self.tls):
            self.assertTrue(daemon.process.running(), f"after {after}: syzygyd ended:\n{daemon.log()[-3000:]}")
            secure = daemon is self.tls
            connection = (
                http.client.HTTPSConnection(daemon.http, timeout=20, context=ssl.create_default_context(cafile=self.certificate))
                if secure
                else http.client.HTTPConnection(daemon.http, timeout=20)
            )
            connection.request("GET", "/v1/targets", headers={"Authorization": f"Bearer {TOKEN}"} if secure else {})
            answer = connection.getresponse()
            self.assertEqual((answer.status, json.loads(answer.read())), (200, {}), after)
            connection.close()
            flags = ["--ca-file", self.certificate, "--token-file", self.token_file] if secure else []
            run = syzygy("status", "--output", "json", "--daemon", daemon.grpc, *flags)
            self.assertEqual(run.code, 0, f"after {after}: {run.err}")

    def memory(self, daemon: Daemon) -> int:
        with open(f"/proc/{daemon.process.popen.pid}/status") as status:
            found = re.search(r"VmRSS:\s+(\d+) kB", status.read())
        assert found
        return int(found.group(1)) * 1024

    def bounded(self, megabytes: int, do: Callable[[], None]) -> None:
        before = [self.memory(daemon) for daemon in (self.plain, self.tls)]
        do()
        grown = max(self.memory(daemon) - was for daemon, was in zip((self.plain, self.tls), before))
        self.assertLess(grown, megabytes * MEMORY * MEGABYTE)

    # ---- cases

    def test_generated_garbage_at_every_port(self) -> None:
        seed = int(os.environ.get("SYZYGY_SEED") or int.from_bytes(os.urandom(4), "big"))
        print(f"replay with SYZYGY_SEED={seed}", flush=True)
        ports = (self.plain.http, self.plain.grpc, self.tls.http, self.tls.grpc)
        done = threading.Event()
        clear: List[bytes] = []

        def shout(number: int) -> None:
            garbage, choose = Garbage(seed + number), random.Random(seed + number)
            for _ in range(4_000 if LONG else 120):
                if done.is_set():
                    return
                where = choose.choice(ports)
                with connect(where) as connection:
                    push(connection, garbage.next())
                    if choose.randrange(3) == 0:
                        continue  # gone without a word
                    try:
                        connection.shutdown(socket.SHUT_WR)
                    except OSError:
                        continue
                    connection.settimeout(0.2)
                    answer = read_to_end(connection, silence_ends=True)
                    if where == self.plain.http and answer:
                        clear.append(answer)

        def all_shout() -> None:
            shouters = [threading.Thread(target=shout, args=(number,)) for number in range(4)]
            for shouter in shouters:
                shouter.start()
            try:
                while any(shouter.is_alive() for shouter in shouters):
                    self.served(f"garbage of seed {seed}")
            finally:
                done.set()
                for shouter in shouters:
                    shouter.join()

        self.bounded(100, all_shout)
        self.served(f"garbage of seed {seed}")
        self.assertTrue(clear)
        for answer in clear:
            found = re.match(rb"HTTP/1\.1 (\d{3}) [A-Z][A-Za-z' -]+\r\n", answer)
            self.assertIsNotNone(found, answer[:200])
            assert found
            self.assertIn(int(found.group(1)), (100, 200, 204, 400, 401, 403, 404, 405, 408, 409, 411, 413, 415, 417, 421, 431, 501, 505), answer[:300])
            head, _, body = answer.partition(b"\r\n\r\n")
            if answer[9:10] == b"4" and b"application/problem+json" in head and b"Content-Length: 0" not in head:
                self.assertRegex(body, rb'^\{.*"detail":".+".*"reason":"[A-Z0-9_]+"')
        for daemon in (self.plain, self.tls):
            log = daemon.log()
            self.assertIsNone(re.search(r"[\x00-\x08\x0b-\x1f\x7f]", log), "a log line holds control characters")
            self.assertLess(len(log), MEGABYTE, "garbage must not fill the log")

    def test_a_body_without_end(self) -> None:
        piece = b"100000\r\n" + b" " * MEGABYTE + b"\r\n"

        def send() -> None:
            with connect(self.plain.http) as connection:
                push(connection, b"POST /v1/targets/orders/join HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
                sent = 0
                while sent < 256 and push(connection, piece):
                    sent += 1
                self.assertLess(sent, 256, "it took 256 MiB of a body")
                answer = read_to_end(connection)
                if answer:  # not where the rest of the body that nobody reads has reset the connection
                    self.assertIn(b"BODY_TOO_LARGE", answer)
            with connect(self.plain.grpc) as connection:
                push(connection, PREFACE + frame(4, 0, 0, b"") + frame(1, 4, 1, call(b"Coordinator/Join")) + frame(0, 0, 1, b"\0\xff\xff\xff\xff"))
                sent = 0
                while sent < 16_384 and push(connection, frame(0, 0, 1, b" " * 16_384)):
                    sent += 1
                self.assertLess(sent, 16_384, "it took 256 MiB of a message")

        self.bounded(100, send)
        self.served("bodies without end")

    def test_slow_senders_and_half_closed_ones(self) -> None:
        head = b"POST /v1/targets/orders/join HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{"
        drips = {self.plain.http: head, self.plain.grpc: PREFACE + frame(4, 0, 0, b"") * 9, self.tls.http: b"\x16\x03\x01\x02\x00\x01" * 20}
        drips[self.tls.grpc] = drips[self.tls.http]
        slow = [(connect(where), drip) for where, drip in drips.items() for _ in range(100)]
        for connection, _ in slow:
            self.addCleanup(connection.close)
        for at in range(60):
            for connection, drip in slow:
                push(connection, drip[at : at + 1])
        self.served("a byte at a time from 400")
        for connection, _ in slow[::2]:
            try:
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it was let go already
        self.served("half of them say no more")
        # Who says no more in the middle of a request is answered, or let go: nobody is kept for ever.
        for connection, _ in slow[::2]:
            connection.settimeout(20)
            read_to_end(connection)
        with connect(self.plain.http) as connection:
            push(connection, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            self.assertIn(b"200 OK", read_to_end(connection))

    def test_thousands_of_idle_connections(self) -> None:
        each = 1_500
        idle: List[socket.socket] = []

        def crowd() -> None:
            for where in (self.plain.http, self.plain.grpc, self.tls.http, self.tls.grpc):
                for number in range(each):
                    idle.append(connect(where))
                    if number % 3 == 0:
                        push(idle[-1], b"G" if where in (self.plain.http, self.tls.http) else PREFACE[:5])
            self.served(f"{each} idle connections at each port")

        try:
            self.bounded(2 * each * 60 // 1024 + 30, crowd)  # 60 KiB each
        finally:
            for connection in idle:
                connection.close()
        wait_until("the idle connections are forgotten", lambda: self.connections() < 20)

    def connections(self) -> int:
        connection = http.client.HTTPConnection(self.plain.http, timeout=20)
        connection.request("GET", "/metrics")
        found = re.search(r"^syzygy_http_connections (\d+)", connection.getresponse().read().decode(), re.M)
        connection.close()
        assert found
        return int(found.group(1))

    def test_plaintext_at_tls_ports_and_the_reverse(self) -> None:
        with connect(self.tls.http) as connection:
            push(connection, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = read_to_end(connection)
            self.assertNotIn(b"200 OK", answer)
        with connect(self.tls.grpc) as connection:
            push(connection, PREFACE + frame(4, 0, 0, b""))
            read_to_end(connection)
        for port in (self.plain.http, self.plain.grpc):
            context = ssl.create_default_context(cafile=self.certificate)
            with connect(port) as connection, self.assertRaises((ssl.SSLError, OSError)):
                context.wrap_socket(connection, server_hostname="localhost")
        began = time.monotonic()
        wrong = syzygy("status", "--daemon", self.tls.grpc, "--connect-timeout", "20s")
        self.assertEqual(wrong.code, 69, wrong.err)
        self.assertIn("TLS", wrong.err)
        wrong = syzygy("status", "--daemon", self.plain.grpc, "--ca-file", self.certificate, "--connect-timeout", "20s")
        self.assertEqual(wrong.code, 69, wrong.err)
        self.assertIn("TLS", wrong.err)
        self.assertLess(time.monotonic() - began, 60)
        self.served("the wrong protocol at every port")


if __name__ == "__main__":
    unittest.main()
