"""A syzygyd of a test's own, with its embedded store in a directory that goes with the test, or a store that others share."""

import json
import os
import shutil
import signal
import urllib.request
from typing import Any, Mapping, Optional

from .processes import Process, ScratchDirectory, free_port, wait_until


def get_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def post_json(url: str, body: Mapping[str, Any], headers: Optional[Mapping[str, str]] = None) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


class Daemon:
    """Starts at construction, at addresses that stay the same over kill() and start(). $SYZYGYD names the binary."""

    def __init__(self, *flags: str, env: Optional[Mapping[str, str]] = None, store: str = "") -> None:
        """`flags` and `store` (what --store says) hold for each start; `env` is added to the environment of this first one only."""
        self._flags = flags
        self._store = store
        self._directory = ScratchDirectory("daemon")
        self.http, self.grpc = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.start(env)
        self.url = f"{'https' if '--tls-cert' in flags else 'http'}://{self.http}"

    def start(self, env: Optional[Mapping[str, str]] = None) -> None:
        state, ports, log = (os.path.join(self._directory.path, name) for name in ("state", "ports", "log"))
        arguments = ["--http", self.http, "--grpc", self.grpc, "--store", self._store or f"sqlite:{state}", "--port-file", ports, *self._flags]
        if os.path.exists(ports):
            os.remove(ports)
        self.process = Process([os.environ["SYZYGYD"], *arguments], log, env={**os.environ, **(env or {})})
        try:
            wait_until("syzygyd serves, or ends", lambda: os.path.exists(ports) or not self.process.running())
            assert self.process.running(), f"syzygyd ended:\n{self.process.output()}"
        except BaseException:
            self.close()
            raise

    def copy_store(self, directory: str) -> None:
        """Of the embedded store, to be put back by put_back(). The daemon stands still meanwhile."""
        self.kill()
        shutil.copytree(os.path.join(self._directory.path, "state"), directory)
        self.start()

    def put_back(self, directory: str) -> None:
        self.kill()
        shutil.rmtree(os.path.join(self._directory.path, "state"))
        shutil.copytree(directory, os.path.join(self._directory.path, "state"))
        self.start()

    def log(self) -> str:
        return self.process.output()

    def kill(self) -> None:
        """As by a power cut; start() brings it back with what it had made durable."""
        self.process.stop(signal.SIGKILL)

    def close(self) -> None:
        self.process.stop(signal.SIGTERM)
        self._directory.close()
