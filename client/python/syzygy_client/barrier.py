"""The plain barrier over HTTP: enter, await, sever (``/v1/barriers/{namespace}/…``).

Every call may be repeated: the daemon knows an incarnation again, so a request whose answer was lost is simply sent once more, to the
next daemon if there are several. No redirect is followed and no proxy is used: a token goes where the settings say and nowhere else.
"""

import http.client
import json
import logging
import random
import ssl
import time
from dataclasses import dataclass
from typing import Callable, Dict, Optional
from urllib.parse import quote

from .errors import ConfigurationError, Refused, Unavailable
from .settings import Endpoint, Settings

log = logging.getLogger("syzygy_client")

WAITING = "BARRIER_STATE_WAITING"
OPEN = "BARRIER_STATE_OPEN"
SEVERED = "BARRIER_STATE_SEVERED"

CONNECT_SECONDS = 5.0  # for one connection to one daemon
ANSWER_SECONDS = 10.0  # beyond what a request asked the daemon to wait
BACKOFF_SECONDS = (0.1, 2.0)  # first and longest pause between two rounds through all daemons
ANSWER_BYTES_MAX = 1 << 20
WARN_EVERY_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """What the daemon says of one generation of a barrier."""

    generation: int
    state: str
    present: int
    quorum: int
    completed_by_you: bool
    reason: str


class _Trouble(Exception):
    """This daemon gave no answer this time; the next one, or a later try, may."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class BarrierClient:
    """Talks to the first daemon that answers. May be shared by threads: each call has a connection of its own."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._preferred = 0
        self._answered = False
        self._silent_since: Optional[float] = None
        self._warned_at = 0.0
        self._tls = _tls_context(settings) if any(e.tls for e in settings.endpoints) else None
        self._token()  # a file that cannot be read is said now, not in the middle of a deployment

    def enter(self, namespace: str, quorum: int, party: str, incarnation: str) -> Answer:
        """Counts the caller in. Keeps trying while no daemon answers, as long as the settings allow."""
        return self._persist(namespace, "enter", {"quorum": quorum, "party": party, "incarnation": incarnation})

    def sever(self, namespace: str, quorum: int, party: str, incarnation: str, reason: str) -> Answer:
        """Gives the barrier up for everybody. Keeps trying like :meth:`enter`."""
        body: Dict[str, object] = {"quorum": quorum, "party": party, "incarnation": incarnation, "reason": reason}
        return self._persist(namespace, "sever", body)

    def ask(self, namespace: str, generation: int, incarnation: str) -> Optional[Answer]:
        """How the generation stands, waiting for news as long as the settings say. None if no daemon answers just now."""
        wait = self._settings.wait
        body: Dict[str, object] = {"generation": str(generation), "incarnation": incarnation, "wait": f"{wait:.3f}s"}
        try:
            return self._try_each(namespace, "await", body, wait)
        except _Trouble as trouble:
            self._note_silence(trouble)
            return None

    def _persist(self, namespace: str, verb: str, body: Dict[str, object]) -> Answer:
        started = self._clock()
        pause, longest = BACKOFF_SECONDS
        while True:
            try:
                return self._try_each(namespace, verb, body, 0.0)
            except _Trouble as trouble:
                patience = self._settings.timeout if self._answered else self._settings.connect_timeout
                left = started + patience - self._clock()
                if left <= 0:
                    raise self._gave_up(verb, patience, trouble) from None
                self._note_silence(trouble)
                jittered = max(pause * (0.5 + random.random() / 2), trouble.retry_after)
                self._sleep(min(jittered, left))
                pause = min(pause * 2, longest)

    def _gave_up(self, verb: str, patience: float, trouble: _Trouble) -> Unavailable:
        what = {
            "enter": "could not enter the barrier",
            "sever": "could not tell the other parties to give up, so they wait until their own --quorum-timeout",
        }[verb]
        return Unavailable(
            f"{what}: no Syzygy daemon answered within {patience:g} s. {trouble}. Check that syzygyd runs, that the address is its HTTP "
            'one (7410 unless told otherwise), and MIGRATION_QUORUM_BACKEND["url"] or SYZYGY_URL'
        )

    def _try_each(self, namespace: str, verb: str, body: Dict[str, object], wait: float) -> Answer:
        """Asks each daemon once, the last that answered first. Raises _Trouble with what all of them said."""
        endpoints = self._settings.endpoints
        first = self._preferred
        said = []
        retry_after = 0.0
        for i in range(len(endpoints)):
            index = (first + i) % len(endpoints)
            try:
                answer = self._post(endpoints[index], namespace, verb, body, wait)
            except _Trouble as trouble:
                said.append(f"{endpoints[index]}: {trouble}")
                retry_after = max(retry_after, trouble.retry_after)
                continue
            self._preferred = index
            self._note_answer()
            return answer
        raise _Trouble("; ".join(said), retry_after)

    def _post(self, endpoint: Endpoint, namespace: str, verb: str, body: Dict[str, object], wait: float) -> Answer:
        token = self._token()
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        path = f"{endpoint.path}/v1/barriers/{quote(namespace, safe='')}/{verb}"
        connection = self._connection(endpoint)
        try:
            connection.connect()
            connection.sock.settimeout(wait + ANSWER_SECONDS)
            connection.request("POST", path, json.dumps(body).encode(), headers)
            response = connection.getresponse()
            text = response.read(ANSWER_BYTES_MAX)
        except ssl.SSLCertVerificationError as error:
            raise ConfigurationError(
                f"{endpoint}: its certificate is not trusted ({error.verify_message}). Name the CA that signed it by "
                'MIGRATION_QUORUM_BACKEND["ca_file"] or SYZYGY_CA_FILE, and use a host name that the certificate holds'
            ) from None
        except ssl.SSLError as error:
            hint = ": it does not seem to speak TLS, try http://" if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE") else ""
            raise _Trouble(f"TLS failed ({error.reason or 'connection ended'}){hint}") from None
        except http.client.RemoteDisconnected:
            raise _Trouble("it closed the connection without an answer") from None
        except (http.client.HTTPException, UnicodeError) as error:
            hint = "no HTTP answer; is this the daemon's gRPC port, or one that wants https://?"
            raise _Trouble(f"{hint} ({type(error).__name__})") from None
        except ConnectionResetError as error:
            raise _Trouble(f"{error.strerror}{'' if endpoint.tls else '; if the daemon wants TLS, write https://'}") from None
        except OSError as error:  # refused, timed out, unknown host
            raise _Trouble(error.strerror or str(error) or type(error).__name__) from None
        finally:
            connection.close()
        if response.status == 200:
            return _answer(endpoint, text)
        raise _refusal(endpoint, response, text, token)

    def _connection(self, endpoint: Endpoint) -> http.client.HTTPConnection:
        if endpoint.tls:
            return http.client.HTTPSConnection(endpoint.host, endpoint.port, timeout=CONNECT_SECONDS, context=self._tls)
        return http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=CONNECT_SECONDS)

    def _token(self) -> Optional[str]:
        name = self._settings.token_file
        if name is None:
            return None
        try:
            with open(name, "rb") as file:
                token = file.read(8192).strip()
        except OSError as error:
            raise ConfigurationError(
                f'the token file {name!r} cannot be read: {error.strerror}. It is named by MIGRATION_QUORUM_BACKEND["token_file"] or '
                "SYZYGY_TOKEN_FILE"
            ) from None
        if not token or any(byte <= 0x20 or byte >= 0x7F for byte in token):
            raise ConfigurationError(f"the token file {name!r} must hold one line of printable ASCII without spaces: the token")
        return token.decode("ascii")

    def _note_silence(self, trouble: _Trouble) -> None:
        now = self._clock()
        if self._silent_since is None:
            self._silent_since = now
        elif now - self._warned_at < WARN_EVERY_SECONDS:
            return
        self._warned_at = now
        since = f" since {now - self._silent_since:.0f} s" if now > self._silent_since else ""
        log.warning("no Syzygy daemon answers%s, trying on. %s", since, trouble)

    def _note_answer(self) -> None:
        self._answered = True
        if self._silent_since is not None:
            log.warning("the Syzygy daemon answers again, after %.0f s", self._clock() - self._silent_since)
            self._silent_since = None


def _tls_context(settings: Settings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"the CA file {settings.ca_file!r} cannot be used: {error.strerror or 'it holds no certificate in PEM form'}. It is named by "
            'MIGRATION_QUORUM_BACKEND["ca_file"] or SYZYGY_CA_FILE'
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _answer(endpoint: Endpoint, text: bytes) -> Answer:
    """The daemon's JSON as a value. Fields with their default value may be absent, and 64-bit numbers are text."""
    try:
        fields = json.loads(text)
        answer = Answer(
            generation=int(fields.get("generation", 0)),
            state=str(fields.get("state")),
            present=int(fields.get("present", 0)),
            quorum=int(fields.get("quorum", 0)),
            completed_by_you=fields.get("completedByYou", False) is True,
            reason=_printable(str(fields.get("reason", ""))),
        )
    except (ValueError, TypeError, AttributeError, RecursionError):
        answer = None
    if answer is None or answer.generation < 1 or answer.state not in (WAITING, OPEN, SEVERED):
        raise Refused(
            f"{endpoint} answered something that is no answer about a barrier: {_printable(text[:200].decode('utf-8', 'replace'))!r}. Is this "
            "a Syzygy daemon, of this package's version or later?"
        )
    return answer


def _refusal(endpoint: Endpoint, response: http.client.HTTPResponse, text: bytes, token: Optional[str]) -> Exception:
    """What an answer other than 200 means: _Trouble where trying again can help, else Refused."""
    status = response.status
    detail, reason = "", ""
    if response.headers.get_content_type() == "application/problem+json":
        try:
            problem = json.loads(text)
            detail, reason = str(problem.get("detail") or problem.get("title") or ""), str(problem.get("reason") or "")
        except (ValueError, AttributeError, RecursionError):
            pass
    known = bool(detail)
    detail = _printable(detail or f"{status} {response.reason}")
    if token:  # a server that echoes headers is not one that we let write them into a log
        detail = detail.replace(token, "***")
    after = _retry_after(response)
    if status in (502, 503, 504) or after is not None:
        return _Trouble(detail, min(after or 0.0, 60.0))
    if status in (401, 403) and not token:
        detail += '. Name a token by MIGRATION_QUORUM_BACKEND["token_file"] or SYZYGY_TOKEN_FILE'
    if not known and status not in (401, 403):
        detail += ", without saying why. Is this the HTTP address of a Syzygy daemon?"
    return Refused(f"{endpoint}: {detail}", reason, status)


def _retry_after(response: http.client.HTTPResponse) -> Optional[float]:
    value = response.headers.get("Retry-After", "").strip()
    return float(value) if value.isascii() and value.isdigit() and len(value) < 10 else None


def _printable(text: str) -> str:
    """Text from outside, fit for one line of a log."""
    return "".join(c if c.isprintable() else " " for c in text[:500])
