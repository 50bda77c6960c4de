"""A proxy before the S3 server of the tests that breaks chosen requests, over real connections."""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

_OURS = {"connection", "transfer-encoding", "content-length"}


class Exchange(BaseHTTPRequestHandler):
    """One request on its way through the proxy; faults decide what becomes of it."""

    protocol_version = "HTTP/1.1"
    proxy: ClassVar[Proxy]

    def handle_any(self) -> None:
        with self.proxy.working(_action(self.command, self.path)):
            self.handle_one()

    def handle_one(self) -> None:
        self.action = _action(self.command, self.path)
        length = int(self.headers.get("Content-Length", 0))
        fault = self.proxy.take_fault(self.action)
        if isinstance(fault, Cut):
            self.rfile.read(min(fault.after, length))
            self.cut()
            return
        self.body = self.rfile.read(length)
        if len(self.body) < length:
            self.close_connection = True
            return
        self.proxy.seen.append((self.action, urlsplit(self.path).path, dict(self.headers.items())))
        (fault or Exchange.pass_on)(self)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815 - names of http.server

    def pass_on(self) -> None:
        self.answer(*self.forward())

    def forward(self) -> tuple[int, list[tuple[str, str]], bytes]:
        headers = {
            name: value for name, value in self.headers.items() if name.lower() not in self.proxy.hidden
        }
        conditional = "If-None-Match" in headers
        with self.proxy.one_at_a_time if conditional else nullcontext():
            upstream = HTTPConnection("127.0.0.1", self.proxy.upstream_port)
            try:
                upstream.request(self.command, self.path, self.body, headers)
                response: HTTPResponse = upstream.getresponse()
                return response.status, response.getheaders(), response.read()
            finally:
                upstream.close()

    def answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, send: int | None = None
    ) -> None:
        """Send an answer; `send` bytes of its body only, then the connection is cut."""
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _OURS:
                self.send_header(name, value)
        known = dict(headers).get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", known or str(len(body)))
        with suppress(ConnectionError):
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body[:send])
        if send is not None:
            self.wfile.flush()
            self.cut()

    def refuse(self, status: int, code: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>told to</Message><RequestId>REQ-1</RequestId></Error>"
        self.answer(status, [("Content-Type", "application/xml")], text.encode())

    def cut(self) -> None:
        """Reset the connection."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def stay_silent(self) -> None:
        self.proxy.released.wait()
        self.close_connection = True

    def log_message(self, format: str, *given: object) -> None:  # noqa: A002 - name of http.server
        """Print nothing."""


@dataclass(frozen=True)
class Cut:
    """Reset the connection after so many bytes of the request's body."""

    after: int


Fault = Callable[[Exchange], None] | Cut


class Server(ThreadingHTTPServer):
    """Keeps quiet about connections that clients cut."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # passed on as it came


def refused(status: int, code: str) -> Fault:
    """Answer with an error; the server never hears of the request."""
    return lambda exchange: exchange.refuse(status, code)


def done_but_refused(status: int, code: str) -> Fault:
    """Let the request take effect, then answer with an error."""

    def fault(exchange: Exchange) -> None:
        exchange.forward()
        exchange.refuse(status, code)

    return fault


def done_but_cut(exchange: Exchange) -> None:
    """Let the request take effect, then reset the connection instead of answering."""
    exchange.forward()
    exchange.cut()


def done_but_silent(exchange: Exchange) -> None:
    """Let the request take effect, then never answer."""
    exchange.forward()
    exchange.stay_silent()


def silent(exchange: Exchange) -> None:
    """Accept the request and never answer; the server never hears of it."""
    exchange.stay_silent()


def answer_cut(after: int) -> Fault:
    """Answer, but reset the connection after so many bytes of the body."""
    return lambda exchange: exchange.answer(*exchange.forward(), send=after)


@dataclass
class Proxy:
    """The proxy. It forwards one conditional request at a time, so a condition and its write are one step.

    Attributes:
        upstream_port: Where the S3 server listens.
        hidden: Request headers that the server does not get to see, in lower case.
        seen: Action, path and headers of each request.
        most_at_once: How many requests of an action were on their way at the same time.
    """

    upstream_port: int
    hidden: set[str] = field(default_factory=set)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)
    _faults: list[tuple[str, Fault, int]] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _working: Counter[str] = field(default_factory=Counter)
    most_at_once: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        handler = type("BoundExchange", (Exchange,), {"proxy": self})
        self._server = Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def fail(self, action: str, fault: Fault, times: int = 1, skip: int = 0) -> None:
        """Break the next `times` requests of this action (`*`: any), after letting `skip` pass."""
        self._faults += [(action, Exchange.pass_on, 1)] * skip + [(action, fault, times)]

    def heal(self) -> None:
        """Break nothing any more."""
        self._faults.clear()

    @contextmanager
    def working(self, action: str) -> Iterator[None]:
        with self._changed:
            self._working[action] += 1
            self.most_at_once[action] = max(self.most_at_once[action], self._working[action])
        try:
            yield
        finally:
            with self._changed:
                self._working[action] -= 1
                self._changed.notify_all()

    def pause(self) -> None:
        """Wait long enough for a cancelled client to go away, if it does."""
        time.sleep(0.1)

    def wait_until_idle(self) -> None:
        """Return when no request is on its way any more, also none whose client is gone."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._working.total(), timeout=10)

    def take_fault(self, action: str) -> Fault | None:
        for index, (wanted, fault, times) in enumerate(self._faults):
            if wanted in {action, "*"}:
                self._faults[index : index + 1] = [(wanted, fault, times - 1)] if times > 1 else []
                return fault
        return None

    def count(self, action: str) -> int:
        """Return how many requests of this action arrived."""
        return sum(seen == action for seen, _, _ in self.seen)

    def reset(self) -> None:
        """End what is on its way, and forget what was and what was to be."""
        self.released.set()
        self.wait_until_idle()
        self.released = threading.Event()
        self._faults.clear()
        self.seen.clear()
        self.hidden.clear()
        self.most_at_once.clear()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _action(method: str, path: str) -> str:
    """Return the S3 action of a request with the bucket in its path."""
    parts = urlsplit(path)
    asked = set(parse_qs(parts.query, keep_blank_values=True))
    part = "uploadId" in asked
    return {
        "PUT": "UploadPart" if part else "PutObject",
        "POST": "CompleteMultipartUpload" if part else "CreateMultipartUpload",
        "DELETE": "AbortMultipartUpload" if part else "DeleteObject",
        "HEAD": "HeadObject",
        "GET": "ListObjectsV2"
        if "list-type" in asked
        else "ListMultipartUploads"
        if "uploads" in asked
        else "GetObject",
    }[method]
