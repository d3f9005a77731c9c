"""The barrier client against servers that misbehave in every way we know."""

import os
import shutil
import ssl
import subprocess
import tempfile
import unittest
from typing import Any, List, Type

from syzygy_client import settings as settings_
from syzygy_client.barrier import OPEN, SEVERED, WAITING, BarrierClient
from syzygy_client.errors import ConfigurationError, Refused, SyzygyError, Unavailable

from .scripted import DROP, BytesServer, Reply, ScriptedServer, barrier, problem, unused_url

TOKEN = "s3cret-t0ken"


class FakeTime:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: List[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class BarrierTest(unittest.TestCase):
    def setUp(self) -> None:
        self.time = FakeTime()
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)

    def serve(self, *script: Reply) -> ScriptedServer:
        server = ScriptedServer(list(script))
        self.addCleanup(server.close)
        return server

    def client(self, *urls: str, **options: Any) -> BarrierClient:
        loaded = settings_.load({"url": ",".join(urls), "prefix": "test", **options}, {})
        return BarrierClient(loaded, self.time, self.time.sleep)

    def file(self, content: bytes) -> str:
        handle, path = tempfile.mkstemp(dir=self.directory)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        return path

    def fails(self, client: BarrierClient, kind: Type[SyzygyError]) -> Any:
        with self.assertRaises(kind) as caught:
            client.enter("ns", 3, "eu", "one")
        self.assertNotIn(TOKEN, str(caught.exception))
        return caught.exception


class RequestTest(BarrierTest):
    def test_enter_sends_who_comes_and_reads_what_is(self) -> None:
        server = self.serve(barrier("OPEN", generation=7, present=3, completedByYou=True))
        answer = self.client(server.url).enter("staging/pre:default:ü", 3, "eu-west", "one")
        self.assertEqual(answer.generation, 7)
        self.assertEqual((answer.state, answer.present, answer.quorum, answer.completed_by_you), (OPEN, 3, 3, True))
        asked = server.asked[0]
        self.assertEqual(asked.path, "/v1/barriers/staging%2Fpre%3Adefault%3A%C3%BC/enter")
        self.assertEqual(asked.body, {"quorum": 3, "party": "eu-west", "incarnation": "one"})
        self.assertNotIn("authorization", asked.headers)

    def test_sever_sends_its_reason(self) -> None:
        server = self.serve(barrier("SEVERED", reason="no"))
        self.assertEqual(self.client(server.url).sever("ns", 3, "eu", "one", "no").state, SEVERED)
        self.assertEqual(server.asked[0].path, "/v1/barriers/ns/sever")
        self.assertEqual(server.asked[0].body, {"quorum": 3, "party": "eu", "incarnation": "one", "reason": "no"})

    def test_asking_names_the_generation_and_waits_at_the_daemon(self) -> None:
        server = self.serve(barrier("WAITING"))
        answer = self.client(server.url, wait=2.5).ask("ns", 4, "one")
        assert answer is not None
        self.assertEqual(answer.state, WAITING)
        self.assertEqual(server.asked[0].path, "/v1/barriers/ns/await")
        self.assertEqual(server.asked[0].body, {"generation": "4", "incarnation": "one", "wait": "2.500s"})

    def test_an_address_may_have_a_path(self) -> None:
        server = self.serve(barrier("WAITING"))
        self.client(server.url + "/syzygy/").enter("ns", 3, "eu", "one")
        self.assertEqual(server.asked[0].path, "/syzygy/v1/barriers/ns/enter")

    def test_the_token_is_read_anew_for_every_request(self) -> None:
        server = self.serve(barrier("WAITING"), barrier("WAITING"))
        path = self.file(TOKEN.encode() + b"\n")
        client = self.client(server.url, token_file=path)
        client.enter("ns", 3, "eu", "one")
        with open(path, "w") as file:
            file.write("another")
        client.enter("ns", 3, "eu", "one")
        self.assertEqual([a.headers["authorization"] for a in server.asked], [f"Bearer {TOKEN}", "Bearer another"])

    def test_a_bad_token_file_is_said_at_once_and_not_quoted(self) -> None:
        for path in (os.path.join(self.directory, "none"), self.file(b""), self.file(f"{TOKEN}\nx: y".encode()), self.file(b"\xff")):
            with self.assertRaises(ConfigurationError) as caught:
                self.client("http://127.0.0.1:1", token_file=path)
            self.assertIn(path, str(caught.exception))
            self.assertNotIn(TOKEN, str(caught.exception))

    def test_no_redirect_is_followed(self) -> None:
        elsewhere = self.serve(barrier("OPEN"))
        server = self.serve(Reply(307, b"", (("Location", elsewhere.url),)))
        error = self.fails(self.client(server.url, token_file=self.file(TOKEN.encode())), Refused)
        self.assertIn("307", str(error))
        self.assertEqual(elsewhere.asked, [])


class RetryTest(BarrierTest):
    def test_a_lost_answer_is_asked_for_again_by_the_same_incarnation(self) -> None:
        server = self.serve(DROP, DROP, barrier("OPEN", completedByYou=True))
        self.assertTrue(self.client(server.url).enter("ns", 3, "eu", "one").completed_by_you)
        self.assertEqual([a.body["incarnation"] for a in server.asked], ["one"] * 3)

    def test_every_daemon_is_tried_and_the_one_that_answered_is_asked_first(self) -> None:
        server = self.serve(barrier("WAITING"), barrier("WAITING"))
        client = self.client(unused_url(), server.url)
        client.enter("ns", 3, "eu", "one")
        self.assertEqual(self.time.slept, [])  # the next daemon at once
        self.assertEqual(client._preferred, 1)
        client.enter("ns", 3, "eu", "one")
        self.assertEqual(len(server.asked), 2)

    def test_it_waits_as_long_as_it_is_asked_to(self) -> None:
        server = self.serve(problem(503, "shutting down", "SHUTTING_DOWN", retry_after=7), barrier("WAITING"))
        self.client(server.url).enter("ns", 3, "eu", "one")
        self.assertEqual(self.time.slept, [7.0])

    def test_a_gateway_without_a_daemon_behind_it_is_tried_again(self) -> None:
        server = self.serve(Reply(502), Reply(503), Reply(504), barrier("WAITING"))
        self.client(server.url).enter("ns", 3, "eu", "one")
        self.assertEqual(len(self.time.slept), 3)

    def test_pauses_grow_up_to_a_limit(self) -> None:
        self.fails(self.client(unused_url(), connect_timeout=60), Unavailable)
        self.assertLess(self.time.slept[0], 0.11)
        self.assertLessEqual(max(self.time.slept), 2.0)
        self.assertAlmostEqual(sum(self.time.slept), 60.0)

    def test_nobody_answers(self) -> None:
        url = unused_url()
        error = self.fails(self.client(url, connect_timeout=3), Unavailable)
        self.assertEqual(error.returncode, 69)
        for part in (url, "Connection refused", "within 3 s", "SYZYGY_URL"):
            self.assertIn(part, str(error))

    def test_after_the_first_answer_it_is_patient(self) -> None:
        server = ScriptedServer([barrier("WAITING")])
        client = self.client(server.url, connect_timeout=3, timeout=100)
        client.enter("ns", 3, "eu", "one")
        server.close()
        with self.assertLogs("syzygy_client", "WARNING"):
            error = self.fails(client, Unavailable)
        self.assertIn("within 100 s", str(error))

    def test_a_sever_that_cannot_be_delivered_says_what_that_means(self) -> None:
        with self.assertRaises(Unavailable) as caught, self.assertLogs("syzygy_client", "WARNING"):
            self.client(unused_url(), connect_timeout=3).sever("ns", 3, "eu", "one", "failed")
        self.assertIn("--quorum-timeout", str(caught.exception))

    def test_a_silent_daemon_is_no_answer_yet_and_is_warned_of(self) -> None:
        client = self.client(unused_url())
        with self.assertLogs("syzygy_client", "WARNING") as logs:
            for _ in range(5):
                self.assertIsNone(client.ask("ns", 1, "one"))
            self.time.now += 61
            self.assertIsNone(client.ask("ns", 1, "one"))
        self.assertEqual(len(logs.records), 2)  # at first, and once a minute

    def test_each_silence_is_warned_of(self) -> None:
        client = self.client(self.serve(DROP, barrier("WAITING"), DROP, barrier("WAITING")).url)
        with self.assertLogs("syzygy_client", "WARNING") as logs:
            answers = [client.ask("ns", 1, "one") for _ in range(4)]
        self.assertEqual([answer is None for answer in answers], [True, False, True, False])
        self.assertEqual(len(logs.records), 4)  # silent, back, silent, back


class RefusalTest(BarrierTest):
    def refused(self, reply: Reply, **options: Any) -> Any:
        error = self.fails(self.client(self.serve(reply).url, **options), Refused)
        self.assertEqual(self.time.slept, [])
        return error

    def test_the_daemons_words_are_passed_on(self) -> None:
        error = self.refused(problem(400, "gathers 3 parties, you asked for 2", "QUORUM_MISMATCH"))
        self.assertIn("gathers 3 parties, you asked for 2", str(error))
        self.assertEqual((error.reason, error.returncode), ("QUORUM_MISMATCH", 82))

    def test_denied(self) -> None:
        error = self.refused(problem(401, "a bearer token is required", "UNAUTHENTICATED"))
        self.assertIn("SYZYGY_TOKEN_FILE", str(error))
        self.assertEqual(error.returncode, 77)

    def test_a_limit(self) -> None:
        self.assertEqual(self.refused(problem(429, "1000 parties", "PARTIES_LIMIT")).returncode, 75)

    def test_a_server_that_echoes_the_token(self) -> None:
        path = self.file(TOKEN.encode())
        self.assertIn("***", str(self.refused(problem(400, f"got Bearer {TOKEN}"), token_file=path)))

    def test_somebody_elses_server(self) -> None:
        error = self.refused(Reply(404, b"<html>not here</html>", (("Content-Type", "text/html"),)))
        self.assertIn("404", str(error))
        self.assertIn("HTTP address of a Syzygy daemon", str(error))

    def test_an_answer_that_is_none(self) -> None:
        long = b'{"generation": "1", "state": "' + b"x" * 5000
        deep = b"[" * 100000
        for body in (b"", b"null", b"[]", b"{}", b"\xff\xfe", long, deep, b'{"generation":{},"state":"BARRIER_STATE_OPEN"}'):
            error = self.refused(Reply(200, body))
            self.assertIn("no answer about a barrier", str(error))
            self.assertLess(len(str(error)), 1200)
        self.refused(barrier("SOMETHING_NEW"))
        self.refused(barrier("OPEN", generation=0))

    def test_control_characters_stay_out_of_messages(self) -> None:
        self.assertNotIn("\x1b", str(self.refused(problem(400, "\x1b[2J gone"))))

    def test_no_http_at_all(self) -> None:
        for content in (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200):
            server = BytesServer(content)
            self.addCleanup(server.close)
            error = self.fails(self.client(server.url, connect_timeout=1), Unavailable)
            self.assertIn(server.url, str(error))
            self.assertIn("gRPC port", str(error))


class TlsTest(BarrierTest):
    def setUp(self) -> None:
        super().setUp()
        self.key, self.certificate = (os.path.join(self.directory, name) for name in ("key.pem", "cert.pem"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
             "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.key, "-out", self.certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        self.server = ScriptedServer([barrier("WAITING")], tls=context)
        self.addCleanup(self.server.close)

    def test_the_named_ca_is_trusted(self) -> None:
        self.client(self.server.url, ca_file=self.certificate).enter("ns", 3, "eu", "one")
        self.assertEqual(len(self.server.asked), 1)

    def test_another_is_not(self) -> None:
        error = self.fails(self.client(self.server.url), ConfigurationError)
        self.assertIn("SYZYGY_CA_FILE", str(error))
        self.assertEqual(self.time.slept, [])

    def test_a_name_that_the_certificate_lacks(self) -> None:
        url = self.server.url.replace("127.0.0.1", "localhost")
        self.fails(self.client(url, ca_file=self.certificate), ConfigurationError)

    def test_tls_to_a_plain_port_and_the_other_way_round(self) -> None:
        plain = self.serve(barrier("WAITING"))
        error = self.fails(self.client(plain.url.replace("http:", "https:"), connect_timeout=1), Unavailable)
        self.assertIn("http://", str(error))
        error = self.fails(self.client(self.server.url.replace("https:", "http:"), connect_timeout=1), SyzygyError)
        self.assertIn(str(self.server.port), str(error))

    def test_a_ca_file_that_is_none(self) -> None:
        for path in (os.path.join(self.directory, "none"), self.file(b"nothing")):
            with self.assertRaises(ConfigurationError) as caught:
                self.client(self.server.url, ca_file=path)
            self.assertIn(path, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
