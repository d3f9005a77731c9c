"""A PostgreSQL server of a test's own: on the loopback, without fsync, gone with the test."""

import glob
import os
import shutil
import signal
import subprocess
from typing import List, Optional

import psycopg

from .processes import Process, ScratchDirectory, free_port, listens, wait_until
from .small_disk import SmallDisk


class Postgres:
    """Starts at construction; the superuser is `postgres`, without a password. `env` is added to the server's. close() ends it.
    With a `disk` it runs where that is seen, and `all_there` says whether its data lies there, too."""

    def __init__(self, connections: int = 100, disk: Optional[SmallDisk] = None, all_there: bool = False, **env: str) -> None:
        self._disk = disk
        self._env = [f"{name}={value}" for name, value in env.items()]
        self._directory = ScratchDirectory("postgres")
        self.data = os.path.join(disk.path if disk and all_there else self._directory.path, "data")
        self._connections = connections
        try:
            self._start()
        except BaseException:
            self._directory.close()
            raise

    def _start(self) -> None:
        user = "postgres" if os.getuid() == 0 else None  # it refuses to run as root
        if user:
            shutil.chown(self._directory.path, user, user)
        binaries = _binaries()
        initdb = [os.path.join(binaries, "initdb"), "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        if self._disk:
            initdb.append("--wal-segsize=1")
        # In this order: only root enters a namespace, and whoever becomes another user is not ended with us any more.
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--pdeathsig", "KILL", "--"] if user else []
        self._how = [*(self._disk.enter if self._disk else []), *as_user]
        subprocess.run(self._how + initdb, check=True, stdout=subprocess.DEVNULL, cwd="/")
        self.port = free_port()
        self._process = self._serve(binaries)
        wait_until("PostgreSQL takes connections or ends", lambda: self._answers() or not self._process.running())
        assert self._process.running(), f"PostgreSQL does not start:\n{self._process.output()}"

    def _serve(self, binaries: str) -> Process:
        settings: List[str] = []
        for setting in ("fsync=off", "full_page_writes=off", "listen_addresses=127.0.0.1",
                        "unix_socket_directories=", f"port={self.port}", f"max_connections={self._connections}", "shared_buffers=16MB",
                        "dynamic_shared_memory_type=mmap"):  # fmt: skip
            settings += ["-c", setting]
        log = os.path.join(self._directory.path, "log")
        return Process([*self._how, "env", *self._env, os.path.join(binaries, "postgres"), "-D", self.data, *settings], log)

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

    def running(self) -> bool:
        return self._process.running()

    def kill(self) -> None:
        self._process.stop(signal.SIGKILL)

    def start(self) -> None:
        """Again, after it was killed: on its port, with its data."""

        def serves() -> bool:
            self._process = self._serve(_binaries())
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
