"""A redis-server of a test's own, that keeps what it acknowledged over kill() and start()."""

import os
import shutil
import signal
import socket

from .processes import Process, ScratchDirectory, free_port, wait_until


class Redis:
    def __init__(self) -> None:
        self._directory = ScratchDirectory("redis")
        self.port = free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/"

    def ask(self, *words: str) -> str:
        """One command; the answer as it comes on the wire, empty where there is none."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(request.encode())
                connection.shutdown(socket.SHUT_WR)
                answer = b""
                while bite := connection.recv(65536):
                    answer += bite
                return answer.decode("utf-8", "replace")
        except OSError:
            return ""

    def start(self) -> None:
        """Again, after it was killed: on its port, with its data."""
        try:
            assert self._serves(), f"redis-server ended:\n{self.process.output()}"
        except BaseException:
            self.close()
            raise

    def _serves(self) -> bool:
        settings = ("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--bind", "127.0.0.1", "--dir", self._directory.path)
        self.process = Process(["redis-server", "--port", str(self.port), *settings], os.path.join(self._directory.path, "log"))
        wait_until("Redis answers, or ends", lambda: "PONG" in self.ask("PING") or not self.process.running())
        return self.process.running()

    def copy_data(self, directory: str) -> None:
        """To be put back by put_back(). The server stands still meanwhile."""
        self.kill()
        shutil.copytree(self._directory.path, directory)
        self.start()

    def put_back(self, directory: str) -> None:
        self.kill()
        shutil.rmtree(self._directory.path)
        shutil.copytree(directory, self._directory.path)
        self.start()

    def kill(self) -> None:
        self.process.stop(signal.SIGKILL)

    def close(self) -> None:
        self.process.stop(signal.SIGTERM)
        self._directory.close()
