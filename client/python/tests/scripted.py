"""Servers that answer what a test tells them to, and note what they were asked."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple, Union


class Asked(NamedTuple):
    path: str
    headers: Dict[str, str]
    body: Any


class Reply(NamedTuple):
    status: int = 200
    body: Union[bytes, Dict[str, Any]] = b""
    headers: Tuple[Tuple[str, str], ...] = ()


DROP = Reply(status=0)  # take the request and close the connection without an answer

Script = Callable[[Asked], Reply]


class ScriptedServer:
    """An HTTP server on a free port of the loopback. A script is a list of replies, one a request, or a function."""

    def __init__(self, script: Union[List[Reply], Script], tls: Any = None) -> None:
        self.asked: List[Asked] = []
        replies = list(script) if isinstance(script, list) else None
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                asked = Asked(self.path, {k.lower(): v for k, v in self.headers.items()}, json.loads(text))
                with lock:
                    outer.asked.append(asked)
                    reply = (replies.pop(0) if replies else Reply(500)) if replies is not None else None
                if reply is None:
                    reply = script(asked)  # type: ignore[operator]
                if reply.status == 0:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                for name, value in reply.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: Any) -> None:  # a client that hangs up in the middle is part of some tests
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class BytesServer:
    """Takes connections, sends the same bytes to each whatever it says, and closes."""

    def __init__(self, content: bytes) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._content = content
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(65536)
                    connection.sendall(self._content)
                    connection.shutdown(socket.SHUT_WR)
                    connection.settimeout(10)
                    while connection.recv(65536):  # to close on what is still being said would reset the connection
                        pass
                except OSError:
                    pass

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()


def unused_url() -> str:
    """An address of the loopback at which nobody listens, and nobody will while this process lives: the port is bound."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{held.getsockname()[1]}"
    held.detach()
    return url


def barrier(state: str, generation: int = 1, present: int = 1, quorum: int = 3, **more: Any) -> Reply:
    """A barrier's answer as the daemon writes it: 64-bit numbers as text."""
    body = {"namespace": "n", "generation": str(generation), "state": f"BARRIER_STATE_{state}", "present": present, "quorum": quorum}
    body.update(more)
    return Reply(200, body)


def problem(status: int, detail: str, reason: str = "", retry_after: Optional[int] = None) -> Reply:
    headers: Tuple[Tuple[str, str], ...] = (("Content-Type", "application/problem+json"),)
    if retry_after is not None:
        headers += (("Retry-After", str(retry_after)),)
    return Reply(status, {"type": "about:blank", "title": "t", "status": status, "detail": detail, "reason": reason}, headers)
