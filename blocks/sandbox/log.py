"""What came in: no bodies, no keys, no query strings."""

from __future__ import annotations

from collections import deque
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST = 50_000


class Log:
    """The newest requests of one host."""

    def __init__(self) -> None:
        self.entries: deque[dict[str, Any]] = deque(maxlen=MOST)


class Logged:
    """Writes each request into a log when it comes and its status when it is answered.

    Args:
        app: What answers.
        log: Where it is written.
        headers: Whether the names of the headers are written too.
    """

    def __init__(self, app: ASGIApp, log: Log, *, headers: bool = False) -> None:
        self._app = app
        self._log = log
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"].startswith("/sandbox"):
            await self._app(scope, receive, send)
            return
        entry: dict[str, Any] = dict.fromkeys(("method", "path", "status", "task_id", "fault"))
        entry |= {"method": scope["method"], "path": scope["path"]}
        if self._headers:
            headers = Headers(scope=scope)
            names = sorted(set(headers.keys()))
            entry |= {"headers": names, "authorization": "authorization" in headers}
            entry["range"] = headers.get("range")
        self._log.entries.append(entry)
        scope["sandbox.entry"] = entry

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry["status"] = message["status"]
            await send(message)

        await self._app(scope, receive, noted)


def note(request: Request, **facts: Any) -> None:
    """Add to the entry of a request what is known about it by now."""
    entry = request.scope.get("sandbox.entry")
    if entry is not None:
        entry.update({name: value for name, value in facts.items() if value is not None})
