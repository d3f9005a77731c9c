"""A TCP proxy on the loopback that can stop passing on what one kind of connection hears: hints get lost, all else goes through."""

import socket
import threading
from typing import List

# What a connection says that listens for hints: Redis's and PostgreSQL's word for it.
_LISTENERS = (b"SUBSCRIBE", b"LISTEN ")


class Proxy:
    def __init__(self, port: int) -> None:
        self._to = port
        self._deaf = threading.Event()
        self.swallowed = 0  # bytes that listeners did not get
        self._sockets: List[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_hints(self) -> None:
        """From now on connections that listen hear nothing."""
        self._deaf.set()

    def close(self) -> None:
        for each in [self._listener, *self._sockets]:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                return
            self._sockets += [client, server]
            listens = threading.Event()
            threading.Thread(target=self._pump, args=(client, server, listens, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, listens, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, listens: threading.Event, asks: bool) -> None:
        try:
            while data := source.recv(65536):
                if asks and any(word in data for word in _LISTENERS):
                    listens.set()
                if not asks and listens.is_set() and self._deaf.is_set():
                    self.swallowed += len(data)
                    continue
                sink.sendall(data)
        except OSError:
            pass
        for each in (source, sink):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
