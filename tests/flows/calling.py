"""The callback receiver in this process, and what a provider sends to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager

from blocks.kling.callback import token_of
from flows.callback import app

SECRET = "a secret of more than thirty-two characters"
SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@asynccontextmanager
async def receiver(patch: pytest.MonkeyPatch, signing: str = "") -> AsyncIterator[httpx.AsyncClient]:
    """Run the receiver as uvicorn does; yield a client for it. What it is at work on ends with the block."""
    patch.setenv("COMETAPI_CALLBACK_SECRET", SECRET)
    patch.setenv("COMETAPI_SIGNING_SECRET", signing)
    async with (
        LifespanManager(app, startup_timeout=60, shutdown_timeout=60) as running,
        httpx.AsyncClient(transport=httpx.ASGITransport(running.app), base_url="http://bell") as client,
    ):
        yield client


def path_of(job_id: str, secret: str = SECRET) -> str:
    return f"/kling/{token_of(job_id, secret)}"


def saying(status: str, **more: Any) -> bytes:
    return json.dumps({"task_id": "880000000000000001", "task_status": status, **more}).encode()
