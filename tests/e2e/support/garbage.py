"""Bytes that nobody should send: noise, and requests, frames and handshakes with something wrong. The same seed gives the same bytes."""

import random
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_HTTP = (
    b"GET /v1/targets/orders?wait=30s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n\r\n",
    b"POST /v1/targets/orders/join HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"party\":\"eu\"}",
    b"POST /v1/barriers/b/enter HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n",
    b"GET /v1/watch HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: e-7\r\nOrigin: http://localhost\r\n\r\n",
    b"OPTIONS * HTTP/1.0\r\n\r\n",
)  # fmt: skip
_METHODS = (b"Coordinator/Join", b"Coordinator/WatchTargets", b"Barrier/Enter", b"Coordinator/NoSuch", b"")


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One of HTTP/2."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def header(name: bytes, value: bytes) -> bytes:
    """As HPACK writes it without a table: both shorter than 127 bytes."""
    return b"\x10" + bytes([len(name)]) + name + bytes([len(value)]) + value


def call(method: bytes) -> bytes:
    pairs = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/syzygy.v1." + method), (b":authority", b"localhost"),
             (b"content-type", b"application/grpc"), (b"te", b"trailers"))  # fmt: skip
    return b"".join(header(*pair) for pair in pairs)


class Garbage:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def next(self) -> bytes:
        return self._random.choice((self._noise, self._http, self._http, self._frames, self._frames, self._call, self._tls))()

    def _noise(self) -> bytes:
        return self._random.randbytes(self._random.choice((0, 1, 9, 100, 5_000, 70_000)))

    def _damaged(self, data: bytes) -> bytes:
        """Some of: bytes changed, taken out, repeated, put in."""
        out = bytearray(data)
        for _ in range(self._random.randrange(4)):
            at = self._random.randrange(len(out) + 1)
            size = self._random.randrange(1, 9)
            what = self._random.randrange(4)
            if what == 0:
                out[at : at + size] = self._random.randbytes(size)
            elif what == 1:
                del out[at : at + size]
            elif what == 2:
                out[at:at] = bytes(out[at : at + size]) * self._random.choice((1, 2, 500))
            else:
                out[at:at] = self._random.choice((b"\r\n", b"\0", b"\xff\xfe", b"\r\nContent-Length: 99999999999\r\n", b"%", b": ", b"\x1b[31m"))
        return bytes(out)

    def _http(self) -> bytes:
        return b"".join(self._damaged(self._random.choice(_HTTP)) for _ in range(self._random.randrange(1, 4)))

    def _frames(self) -> bytes:
        out = PREFACE + frame(4, 0, 0, b"")
        for _ in range(self._random.randrange(1, 30)):
            out += frame(self._random.randrange(11), self._random.randrange(256), self._random.randrange(4), self._noise()[:200])
        return out

    def _call(self) -> bytes:
        message = self._noise()[:300]
        length = self._random.choice((len(message), 0xFFFFFFFF, 0, len(message) + 1))
        body = bytes([self._random.choice((0, 0, 1, 255))]) + struct.pack(">I", length) + message
        headers = self._damaged(call(self._random.choice(_METHODS)))
        return PREFACE + frame(4, 0, 0, b"") + frame(1, 4, 1, headers) + frame(0, self._random.choice((0, 1)), 1, body)

    def _tls(self) -> bytes:
        hello = b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + self._random.randbytes(32) + b"\x00\x00\x04\x13\x01\x13\x02\x01\x00"
        return self._damaged(hello + self._random.randbytes(self._random.randrange(200)))
