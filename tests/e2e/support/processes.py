"""Processes that do not outlive the test, and waiting for a condition with a bound."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from typing import Any, Callable, List, Mapping, Optional

SLOWNESS = int(os.environ.get("SYZYGY_TEST_SLOWNESS", "1"))  # how many times as slow a sanitizer may make everything
BOUND = 60.0 * SLOWNESS


def free_port() -> int:
    """A port of the loopback that is this process's until its end: bound, but not listened on. A server that is told it can listen there
    (they all set SO_REUSEADDR), go, and come back; meanwhile nobody who asks the kernel for a port gets it, and connections are refused."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    port: int = held.getsockname()[1]
    held.detach()
    return port


def wait_until(what: str, condition: Callable[[], Any], seconds: float = BOUND) -> Any:
    """The first true value of `condition`. Raises AssertionError, naming `what`, when the time is over."""
    until = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


class ScratchDirectory:
    """A directory under /tmp that is removed at close(), and by a helper process once this process is gone."""

    def __init__(self, prefix: str) -> None:
        self.path = tempfile.mkdtemp(prefix=f"syzygy-{prefix}-")
        # It waits for the end of a pipe that only this process holds. Servers that die with us may still write for a moment.
        sweep = 'cat >/dev/null; for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$0" 2>/dev/null && exit; sleep 1; done'
        self._sweeper = subprocess.Popen(["sh", "-c", sweep, self.path], stdin=subprocess.PIPE, start_new_session=True)

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        assert self._sweeper.stdin is not None
        self._sweeper.stdin.close()
        self._sweeper.wait()


class Process:
    """A process whose output goes to a file, and that the kernel kills together with this one."""

    def __init__(self, arguments: List[str], log: str, user: Optional[str] = None, env: Optional[Mapping[str, str]] = None) -> None:
        command = ["setpriv", "--pdeathsig", "KILL"]
        if user is not None:
            command += [f"--reuid={user}", f"--regid={user}", "--init-groups"]
        self._log = log
        with open(log, "wb") as output:
            self.popen = subprocess.Popen(
                [*command, "--", *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env, cwd="/"
            )

    def output(self) -> str:
        with open(self._log, "rb") as file:
            return file.read().decode("utf-8", "replace")

    def running(self) -> bool:
        return self.popen.poll() is None

    def wait(self, seconds: float = 2 * BOUND) -> int:
        """Its exit code, negative for a signal."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.popen.args!r} did not end within {seconds:g} s; it said:\n{self.output()}") from None

    def stop(self, signal: int) -> None:
        """Sends a signal and waits for the end; a process that takes longer than 20 s (on a slow machine: longer) for it is killed."""
        if self.running():
            os.kill(self.popen.pid, signal)
            try:
                self.popen.wait(20 * SLOWNESS)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        self.popen.wait()
