"""A pgbouncer of a test's own, in transaction mode, before a server that others use too."""

import os
import signal

from .postgres import Postgres
from .processes import Process, ScratchDirectory, free_port, listens, wait_until


class Pooler:
    def __init__(self, server: Postgres) -> None:
        self._directory = ScratchDirectory("pooler")
        try:
            self.port = free_port()
            self._process = self._serve(server.port)
            wait_until("pgbouncer listens, or ends", lambda: listens(self.port) or not self._process.running())
            assert self._process.running(), f"pgbouncer does not start:\n{self._process.output()}"
        except BaseException:
            self._directory.close()
            raise

    def _serve(self, server: int) -> Process:
        config, users, log = (os.path.join(self._directory.path, name) for name in ("pgbouncer.ini", "users", "log"))
        with open(users, "w", encoding="utf-8") as file:
            file.write('"postgres" ""\n')
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"[databases]\n* = host=127.0.0.1 port={server}\n"
                       f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
                       f"auth_type = trust\nauth_file = {users}\npool_mode = transaction\ndefault_pool_size = 10\n")  # fmt: skip
        user = "postgres" if os.getuid() == 0 else None  # it refuses to run as root
        os.chmod(self._directory.path, 0o755)
        return Process(["/usr/sbin/pgbouncer", config], log, user=user)

    def of(self, url: str) -> str:
        """The same database, through this pooler."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{url.rsplit('/', 1)[1]}"

    def close(self) -> None:
        self._process.stop(signal.SIGTERM)
        self._directory.close()
