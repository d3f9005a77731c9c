"""A syzygyd of a test's own, with its embedded store in a directory that goes with the test."""

import os
import signal
import urllib.error
import urllib.request

from .processes import Process, ScratchDirectory, free_port, wait_until


class Daemon:
    """Starts at construction, at addresses that stay the same over kill() and start(). $SYZYGYD names the binary."""

    def __init__(self) -> None:
        self._directory = ScratchDirectory("daemon")
        self.http, self.grpc = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http}"
        self.start()

    def start(self) -> None:
        store = os.path.join(self._directory.path, "state")
        arguments = [os.environ["SYZYGYD"], "--http", f"127.0.0.1:{self.http}", "--grpc", f"127.0.0.1:{self.grpc}", "--store", f"sqlite:{store}"]
        self.process = Process(arguments, os.path.join(self._directory.path, "log"))
        try:
            wait_until("syzygyd is ready", lambda: self._ready() or not self.process.running())
            assert self.process.running(), f"syzygyd ended:\n{self.process.output()}"
        except BaseException:
            self.close()
            raise

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """As by a power cut; start() brings it back with what it had made durable."""
        self.process.stop(signal.SIGKILL)

    def close(self) -> None:
        self.process.stop(signal.SIGTERM)
        self._directory.close()
