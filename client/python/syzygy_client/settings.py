"""What can be configured, and from where: the Django setting first, then the environment, then a default.

=================  ============================  ==========================================================================
option             environment                   meaning
=================  ============================  ==========================================================================
url                SYZYGY_URL                    the daemon's HTTP address; several, separated by commas, are tried in turn
prefix             SYZYGY_PREFIX                 what keeps environments apart on one daemon, e.g. ``staging``; required
party              SYZYGY_PARTY                  the cluster's stable name; without it every process counts for itself
token_file         SYZYGY_TOKEN_FILE             a file with the bearer token, read anew for every request
insecure_token     SYZYGY_INSECURE_TOKEN         ``true`` sends the token without TLS to other machines, too
ca_file            SYZYGY_CA_FILE                the CA that signed the daemon's certificate; without it the system's
connect_timeout    SYZYGY_CONNECT_TIMEOUT        how long to try before the first answer (30 s)
timeout            SYZYGY_TIMEOUT                how long to try after the first answer, while no daemon answers (30 min)
wait               SYZYGY_WAIT                   how long one ``poll`` may wait at the daemon for news (5 s; 0: answer at once)
=================  ============================  ==========================================================================

Durations are seconds, or text as the ``syzygy`` command takes it: ``500ms``, ``30s``, ``2h``, ``1h30m``.
"""

import math
import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Mapping, Optional, Tuple, Union
from urllib.parse import urlsplit

from .errors import ConfigurationError

DEFAULT_URL = "http://127.0.0.1:7410"
WAIT_MAX = 60.0
DURATION_MAX = 7 * 86400.0

_ENVIRONMENT = {
    "url": "SYZYGY_URL",
    "prefix": "SYZYGY_PREFIX",
    "party": "SYZYGY_PARTY",
    "token_file": "SYZYGY_TOKEN_FILE",
    "insecure_token": "SYZYGY_INSECURE_TOKEN",
    "ca_file": "SYZYGY_CA_FILE",
    "connect_timeout": "SYZYGY_CONNECT_TIMEOUT",
    "timeout": "SYZYGY_TIMEOUT",
    "wait": "SYZYGY_WAIT",
}


@dataclass(frozen=True)
class Endpoint:
    """One daemon's HTTP address. Its text is safe to print: an address with a user name or password is refused."""

    tls: bool
    host: str
    port: int
    path: str

    def on_loopback(self) -> bool:
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{self.path}"


@dataclass(frozen=True)
class Settings:
    """Everything a backend needs to know; :func:`load` is the way to make one."""

    endpoints: Tuple[Endpoint, ...]
    prefix: str
    party: Optional[str] = None
    token_file: Optional[str] = None
    ca_file: Optional[str] = None
    connect_timeout: float = 30.0
    timeout: float = 1800.0
    wait: float = 5.0


def load(options: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """Settings from a backend's options and an environment. Raises :class:`ConfigurationError`."""
    unknown = sorted(set(options) - set(_ENVIRONMENT))
    if unknown:  # names only: a value may be a secret
        hint = "; a token is given as a file, by token_file" if any("token" in name for name in unknown) else ""
        raise ConfigurationError(
            f"MIGRATION_QUORUM_BACKEND: unknown option {', '.join(unknown)} (there are: {', '.join(_ENVIRONMENT)}){hint}"
        )

    def given(name: str) -> Optional[object]:
        value = options.get(name)
        return value if value is not None else environ.get(_ENVIRONMENT[name]) or None

    def text(name: str) -> Optional[str]:
        value = given(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            raise ConfigurationError(f"{_named(name)} must be text that is not empty, not {value!r}")
        if not value.strip().isprintable():
            raise ConfigurationError(f"{_named(name)} must not hold control characters: {value!r}")
        return value.strip()

    def flag(name: str) -> bool:
        value = given(name)
        value = value.strip().lower() if isinstance(value, str) else value
        if value in (True, "true", "1", "yes", "on"):
            return True
        if value in (None, False, "false", "0", "no", "off"):
            return False
        raise ConfigurationError(f"{_named(name)} must be true or false, not {value!r}")

    def duration(name: str, default: float, longest: float = DURATION_MAX) -> float:
        value = given(name)
        return default if value is None else _duration(name, value, longest)

    prefix = text("prefix")
    if prefix is None:
        raise ConfigurationError(
            f"{_named('prefix')} is missing: it keeps environments apart (staging and production have the same plans, and would "
            'otherwise meet at one barrier). Set it to the environment\'s name, e.g. "prefix": "staging"'
        )
    endpoints = _endpoints(text("url") or DEFAULT_URL)
    if text("token_file") and not flag("insecure_token"):
        for endpoint in endpoints:
            if not endpoint.tls and not endpoint.on_loopback():
                raise ConfigurationError(
                    f"the token would travel to {endpoint} in plain text: use https://, or set {_named('insecure_token')} to true if "
                    "that network may see it"
                )
    return Settings(
        endpoints=endpoints,
        prefix=prefix,
        party=text("party"),
        token_file=text("token_file"),
        ca_file=text("ca_file"),
        connect_timeout=duration("connect_timeout", Settings.connect_timeout),
        timeout=duration("timeout", Settings.timeout),
        wait=duration("wait", Settings.wait, WAIT_MAX),
    )


def _named(name: str) -> str:
    return f'MIGRATION_QUORUM_BACKEND["{name}"] (or {_ENVIRONMENT[name]})'


def _endpoints(urls: str) -> Tuple[Endpoint, ...]:
    endpoints = tuple(_endpoint(url.strip()) for url in urls.split(",") if url.strip())
    if not endpoints:
        raise ConfigurationError(f"{_named('url')} names no daemon: give its HTTP address, e.g. {DEFAULT_URL}")
    return endpoints


def _endpoint(url: str) -> Endpoint:
    if "@" in url:  # not echoed: what stands before the @ may be a password
        raise ConfigurationError(f"{_named('url')} must not hold a user name or password: give a token by token_file")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"{_named('url')}: {url!r} is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{_named('url')}: {url!r} is no address such as {DEFAULT_URL} or https://syzygy.example:7410")
    if port == 0:
        raise ConfigurationError(f"{_named('url')}: {url!r} has port 0, at which nobody answers")
    if parts.query or parts.fragment or " " in url or not parts.path.isascii():
        raise ConfigurationError(f"{_named('url')}: {url!r} must end with the port or a plain path, without ?, # and spaces")
    return Endpoint(parts.scheme == "https", parts.hostname, 7410 if port is None else port, parts.path.rstrip("/"))


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = r"([0-9]{1,9})(ms|s|m|h|d)"


def _duration(name: str, value: Union[object, str], longest: float) -> float:
    seconds = math.nan
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str):
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value.strip()):
            seconds = float(value)
        elif re.fullmatch(f"({_PART})+", value.strip()):
            seconds = sum(int(count) * _UNITS[unit] for count, unit in re.findall(_PART, value))
    if not 0 <= seconds <= longest:  # also refuses NaN
        raise ConfigurationError(f"{_named(name)} must be a duration from 0 to {longest:g} s, such as 30 or 5m, not {value!r}")
    return seconds
