"""How the provider is read: httpx in front, aiohttp's connections below, nothing repeated.

With a thousand jobs waiting, httpx's own pool costs more than all other work of a client together.

MONEY: this is for reads only. Below it an answer that was lost looks like a request that was never sent.
"""

from __future__ import annotations

from typing import Any

import httpx
from aiohttp import ClientSession
from httpx_aiohttp import AiohttpTransport, HttpxAiohttpClient

CONNECTIONS = httpx.Limits(max_connections=32, keepalive_expiry=15)


class ReadTransport(AiohttpTransport):
    """aiohttp's connections, without its own repetition of a GET whose connection broke."""

    def get_client(self) -> ClientSession:
        """Open the session, in the event loop that is to use it."""
        session = super().get_client()
        session._retry_connection = False  # noqa: SLF001 # it has no public name; test_client.py sees it work
        return session


class ReadClient(HttpxAiohttpClient):
    """An httpx client whose connections, also those to proxies, are aiohttp's."""

    def _init_transport(
        self, *_: Any, transport: httpx.AsyncBaseTransport | None = None, **options: Any
    ) -> httpx.AsyncBaseTransport:
        return transport or ReadTransport(**options)

    def _init_proxy_transport(self, proxy: httpx.Proxy, *_: Any, **options: Any) -> httpx.AsyncBaseTransport:
        return ReadTransport(proxy=proxy, **options)
