"""Connections that end without an answer, or in the middle of one."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Collection
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class Connections:
    """The open connections of the server; empty until it runs."""

    def __init__(self) -> None:
        self.open: Collection[Any] = ()

    async def cut(self, scope: Scope, receive: Receive, *, reset: bool = False) -> None:
        """Close the connection of a request after what was written to it; with `reset` at once, by RST."""
        transport = self._transport(scope)
        if reset:
            opened = transport.get_extra_info("socket")
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()
        await gone(receive)

    def abort(self) -> None:
        """Cut every connection."""
        for connection in list(self.open):
            connection.transport.abort()

    def _transport(self, scope: Scope) -> asyncio.Transport:
        for connection in self.open:
            if connection.client == scope["client"] and connection.server == scope["server"]:
                transport: asyncio.Transport = connection.transport
                return transport
        raise ConnectionAbortedError("the sandbox cuts this connection")


async def gone(receive: Receive) -> None:
    """Wait until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Cut(Response):
    """No answer: the connection ends.

    Args:
        connections: Where the connection is found.
        reset: By RST instead of an orderly end.
    """

    def __init__(self, connections: Connections, *, reset: bool) -> None:
        super().__init__()
        self._connections = connections
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 # ASGI
        """End the connection."""
        await self._connections.cut(scope, receive, reset=self._reset)
