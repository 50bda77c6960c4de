"""Callback: the provider calls here when a Kling task has moved; run it by `uvicorn flows.callback:app`.

It keeps no state, buys nothing and believes nothing of what a call says. A call that is lost, here or on the
way, costs time: the next run of reconcile-jobs finds the task.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from prefect.settings import get_current_settings
from starlette.routing import Router
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from blocks.errors import SetupMissing
from flows.tasks.waiting.bell import Bell
from flows.tasks.waiting.receiver import Receiver, find_secrets


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[dict[str, Receiver]]:
    """Find the secrets and open the way to Prefect's server; the server itself may be down.

    Raises:
        SetupMissing: There is no callback secret, or no address of a server.
    """
    logging.getLogger("uvicorn.access").addFilter(hide_path)
    if not get_current_settings().api.url:
        raise SetupMissing(
            "PREFECT_API_URL is not set", next_step="Set it to the server whose runs are to be resumed."
        )
    async with Bell() as bell:
        yield {"receiver": Receiver(await find_secrets(), bell)}


def hide_path(record: logging.LogRecord) -> bool:
    """Take the path out of a line of uvicorn's access log: it holds the token."""
    if isinstance(record.args, tuple) and len(record.args) > 2:
        record.args = (*record.args[:2], "/[...]", *record.args[3:])
    return True


async def receive_call(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer whatever comes over HTTP in the same way; a genuine call is worked on afterwards."""
    if scope["type"] == "websocket":
        await WebSocketClose()(scope, receive, send)
    else:
        await scope["state"]["receiver"](scope, receive, send)


app = Router(default=receive_call, lifespan=lifespan, redirect_slashes=False)
