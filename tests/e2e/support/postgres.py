"""A PostgreSQL server of a test's own: on the loopback, without fsync, gone with the test."""

import glob
import os
import shutil
import signal
import subprocess
from typing import List

import psycopg

from .processes import Process, ScratchDirectory, free_port, listens, wait_until


class Postgres:
    """Starts at construction; the superuser is `postgres`, without a password. `env` is added to the server's. close() ends it."""

    def __init__(self, connections: int = 100, **env: str) -> None:
        self._env = [f"{name}={value}" for name, value in env.items()]
        self._directory = ScratchDirectory("postgres")
        self._connections = connections
        try:
            self._start()
        except BaseException:
            self._directory.close()
            raise

    def _start(self) -> None:
        self._user = "postgres" if os.getuid() == 0 else None  # it refuses to run as root
        if self._user:
            shutil.chown(self._directory.path, self._user, self._user)
        binaries = _binaries()
        data = os.path.join(self._directory.path, "data")
        initdb = [os.path.join(binaries, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        as_user = ["setpriv", f"--reuid={self._user}", f"--regid={self._user}", "--init-groups"] if self._user else []
        subprocess.run(as_user + initdb, check=True, stdout=subprocess.DEVNULL, cwd="/")
        for attempt in range(5):  # somebody else may take the port between our finding it and the server's listening
            self.port = free_port()
            self._process = self._serve(binaries, data)
            wait_until("PostgreSQL listens or ends", lambda: listens(self.port) or not self._process.running())
            if self._process.running():
                wait_until("PostgreSQL takes connections", self._answers)
                return
        raise AssertionError(f"PostgreSQL does not start:\n{self._process.output()}")

    def _serve(self, binaries: str, data: str) -> Process:
        settings: List[str] = []
        for setting in ("fsync=off", "full_page_writes=off", "listen_addresses=127.0.0.1",
                        "unix_socket_directories=", f"port={self.port}", f"max_connections={self._connections}", "shared_buffers=16MB"):  # fmt: skip
            settings += ["-c", setting]
        log = os.path.join(self._directory.path, "log")
        return Process(["env", *self._env, os.path.join(binaries, "postgres"), "-D", data, *settings], log, user=self._user)

    def _answers(self) -> bool:
        try:
            self.connect("postgres").close()
            return True
        except psycopg.OperationalError:
            return False

    def connect(self, database: str) -> "psycopg.Connection[tuple[object, ...]]":
        """A connection that commits each statement by itself."""
        return psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", dbname=database, autocommit=True)

    def create_database(self, name: str) -> None:
        with self.connect("postgres") as connection:
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def restart(self, how: int) -> None:
        """Ends it by that signal, and starts it again on its port with its data."""
        self._process.stop(how)
        self.start()

    @property
    def pid(self) -> int:
        return self._process.popen.pid

    def kill(self) -> None:
        self._process.stop(signal.SIGKILL)

    def start(self) -> None:
        """Again, after it was killed: on its port, with its data."""
        data = os.path.join(self._directory.path, "data")

        def serves() -> bool:
            self._process = self._serve(_binaries(), data)
            wait_until("PostgreSQL listens or ends", lambda: listens(self.port) or not self._process.running())
            return self._process.running()  # else a process of the killed server still holds its memory

        wait_until("PostgreSQL is back", serves)
        wait_until("PostgreSQL takes connections", self._answers)

    def close(self) -> None:
        self._process.stop(signal.SIGINT)  # PostgreSQL's word for: now, but orderly
        self._directory.close()


def _binaries() -> str:
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    if found:  # Debian keeps the servers out of PATH, one directory a version
        return os.path.dirname(max(found, key=lambda path: int(path.split("/")[4])))
    initdb = shutil.which("initdb")
    if initdb is None:
        raise AssertionError("there is no PostgreSQL server here: install Debian's package postgresql")
    return os.path.dirname(os.path.realpath(initdb))
