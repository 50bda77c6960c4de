"""Running the sandbox: in this process until a signal comes, or in a thread for tests."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from blocks.sandbox.hosts import build_app
from blocks.sandbox.script import Rule
from blocks.sandbox.settings import Settings
from blocks.sandbox.state import Sandbox

BACKLOG = 2048


class Listeners:
    """The two listening sockets, bound before anything starts, so that their ports are known.

    Args:
        host: The address to bind.
        port: Port of the API; 0 takes a free one.
        delivery_port: Port of the delivery host; 0 takes a free one.

    Raises:
        OSError: A port is taken.
        OverflowError: It is no port.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, delivery_port: int = 0) -> None:
        self.sockets = [_bound(host, port)]
        try:
            self.sockets.append(_bound(host, delivery_port))
        except (OSError, OverflowError):
            self.sockets[0].close()
            raise
        shown = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 # compared, not bound
        shown = f"[{shown}]" if ":" in shown else shown
        self.port, self.delivery_port = (opened.getsockname()[1] for opened in self.sockets)
        self.url = f"http://{shown}:{self.port}"
        self.delivery_url = f"http://{shown}:{self.delivery_port}"


class Server(uvicorn.Server):
    """A server that says when it is up and ends at once."""

    def __init__(self, sandbox: Sandbox, listeners: Listeners, started: Callable[[], None]) -> None:
        app = build_app(sandbox, listeners.delivery_port)
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            backlog=BACKLOG,
            timeout_keep_alive=75,
            server_header=False,
        )
        super().__init__(config)
        self._sandbox = sandbox
        self._listeners = listeners
        self._say_started = started
        sandbox.connections.open = self.server_state.connections

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the ports and say so."""
        await super().startup(sockets)
        self._say_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Cut what is open instead of waiting for it."""
        self._sandbox.clock.stop()
        self._sandbox.connections.abort()
        await super().shutdown(sockets)

    async def run_to_end(self) -> None:
        """Serve until a signal comes or `should_exit` is set."""
        await self.serve(self._listeners.sockets)


def serve(
    settings: Settings,
    rules: Iterable[Rule],
    listeners: Listeners,
    delivery_url: str,
    started: Callable[[], None],
) -> None:
    """Run a sandbox in this thread until a signal comes."""

    async def main() -> None:
        sandbox = Sandbox(settings, rules, delivery_url)
        await Server(sandbox, listeners, started).run_to_end()

    asyncio.run(main())


class RunningSandbox:
    """A sandbox that runs in a thread.

    Attributes:
        url: Base URL of the API.
        delivery_url: Base URL of the delivery host.
    """

    def __init__(self, url: str, delivery_url: str, client: httpx.Client) -> None:
        self.url = url
        self.delivery_url = delivery_url
        self._client = client

    def control(self, method: str, path: str, content: Any = None) -> Any:
        """Call `/sandbox{path}` and return its JSON.

        Raises:
            httpx.HTTPStatusError: It answered with an error.
        """
        answer = self._client.request(method, f"{self.url}/sandbox{path}", json=content)
        answer.raise_for_status()
        return answer.json()

    def ledger(self) -> dict[str, Any]:
        """Return charges, totals and the counts of POSTs."""
        return dict(self.control("GET", "/ledger"))

    def tasks(self) -> list[dict[str, Any]]:
        """Return all tasks."""
        return list(self.control("GET", "/tasks"))

    def requests(self) -> list[dict[str, Any]]:
        """Return what came to the API."""
        return list(self.control("GET", "/requests"))

    def deliveries(self) -> list[dict[str, Any]]:
        """Return what came to the delivery host."""
        return list(self.control("GET", "/deliveries"))

    def callbacks(self) -> list[dict[str, Any]]:
        """Return the callbacks that were rung."""
        return list(self.control("GET", "/callbacks"))

    def fault(self, name: str, **rule: Any) -> None:
        """Ask for a fault; the keywords are the fields of `blocks.sandbox.script.Rule`."""
        self.control("POST", "/faults", {"fault": name, **rule})

    def clear_faults(self) -> None:
        """Remove all rules."""
        self.control("DELETE", "/faults")

    def set(self, **settings: Any) -> None:
        """Turn switches; the keywords are the fields of `blocks.sandbox.settings.Settings`."""
        self.control("POST", "/settings", settings)

    def advance(self, seconds: float) -> None:
        """Move the sandbox's clock ahead."""
        self.control("POST", "/advance", {"seconds": seconds})

    def reset(self) -> None:
        """Begin anew: no tasks, no charges, no faults, the first settings."""
        self.control("POST", "/reset")


@contextmanager
def running_sandbox(**settings: Any) -> Iterator[RunningSandbox]:
    """Run a sandbox on free ports in a thread.

    Args:
        settings: Fields of `blocks.sandbox.settings.Settings`.
    """
    listeners = Listeners()
    sandbox = Sandbox(Settings(**settings), (), listeners.delivery_url)
    up = threading.Event()
    server = Server(sandbox, listeners, up.set)
    thread = threading.Thread(target=asyncio.run, args=(server.run_to_end(),), name="sandbox", daemon=True)
    thread.start()
    try:
        if not up.wait(30):
            raise RuntimeError("the sandbox did not start")
        with httpx.Client(trust_env=False, timeout=30) as client:
            yield RunningSandbox(listeners.url, listeners.delivery_url, client)
    finally:
        server.should_exit = True
        thread.join(30)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only a socket that names its protocol gets TCP_NODELAY from asyncio; without it answers take 40 ms.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
    except (OSError, OverflowError):
        opened.close()
        raise
    return opened
