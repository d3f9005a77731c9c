"""What can go wrong, as exceptions with the exit codes of the ``syzygy`` command.

Under Django they are command errors: ``manage.py`` prints the message without a traceback and exits with that code. No message ever
holds a bearer token or a URL's password.
"""

try:
    from django.core.management.base import CommandError as _Base
except ImportError:  # without Django: plain exceptions that carry their code

    class _Base(Exception):  # type: ignore[no-redef]
        def __init__(self, *args: object, returncode: int = 1) -> None:
            self.returncode = returncode
            super().__init__(*args)


class SyzygyError(_Base):  # type: ignore[misc]
    """Anything that this package raises, other than ``QuorumDisolved``. ``returncode`` is the exit code that goes with it."""

    code = 1

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=self.code)


class ConfigurationError(SyzygyError):
    """A setting is missing or cannot be used; the message names it and the environment variable that stands for it."""

    code = 2


class Unavailable(SyzygyError):
    """No daemon answered for as long as the settings allow."""

    code = 69


class Refused(SyzygyError):
    """A daemon answered, and said no. ``reason`` is its machine-readable word for why, empty if it gave none."""

    code = 1

    def __init__(self, message: str, reason: str = "", status: int = 0) -> None:
        self.code = {401: 77, 403: 77, 429: 75}.get(status, 82 if reason == "QUORUM_MISMATCH" else 1)
        self.reason = reason
        super().__init__(message)
