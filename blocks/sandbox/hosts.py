"""The API and the delivery host, put together as one application that answers on two ports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from blocks.sandbox.app import Api, refused
from blocks.sandbox.control import Control
from blocks.sandbox.delivery import Delivery
from blocks.sandbox.log import Logged
from blocks.sandbox.pages import html_page, redirect
from blocks.sandbox.refusals import Refusal, kling
from blocks.sandbox.state import Sandbox


class Hosts:
    """Two hosts behind one server, told apart by their ports."""

    def __init__(self, api: ASGIApp, delivery: ASGIApp, delivery_port: int) -> None:
        self._api = api
        self._delivery = delivery
        self._delivery_port = delivery_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer where the request came in."""
        here = scope["type"] == "http" and scope["server"][1] == self._delivery_port
        await (self._delivery if here else self._api)(scope, receive, send)


def build_app(sandbox: Sandbox, delivery_port: int) -> ASGIApp:
    """Return the whole sandbox as one ASGI application that answers on two ports."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(sandbox.run)
            yield
            await sandbox.close()

    handlers: Any = {Refusal: refused, HTTPException: _not_known}
    routes = [*Api(sandbox).routes(), *Control(sandbox).routes()]
    api = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    api.router.redirect_slashes = False
    delivery = Delivery(sandbox).app()
    return Hosts(
        Logged(api, sandbox.requests), Logged(delivery, sandbox.deliveries, headers=True), delivery_port
    )


def _not_known(request: Request, error: HTTPException) -> Response:
    path = request.url.path
    if error.status_code == 405:
        return refused(request, kling(404, 1202, "wrong HTTP method"))
    if len(path) > 1 and path.endswith("/"):
        return redirect(path.rstrip("/"))
    return html_page(200 if request.method in ("GET", "HEAD") else 404)
