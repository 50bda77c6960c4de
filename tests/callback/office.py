"""A post office between provider and receiver: it loses, doubles and forges calls, and brings some early."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from blocks.kling.callback import job_of, token_of

Fate = Literal["lost", "doubled", "early", "forged", "plain"]

_FATES: dict[int, Fate] = {0: "lost", 1: "doubled", 2: "early", 3: "forged"}


class Office:
    """Hands calls on, to the receiver at `url`; of each ten jobs one has each fate, the others are plain.

    Attributes:
        fates: What becomes of the calls of a job.
        sent: How many calls went to the receiver, by kind.
        answers: What the receiver answered.
    """

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._secret = secret
        self._client = httpx.AsyncClient(trust_env=False, timeout=60)
        self.fates: dict[str, Fate] = {}
        self.sent: Counter[str] = Counter()
        self.answers: Counter[int] = Counter()
        routes = [Route("/{token}", self._take, methods=["POST"])]
        self.app = Starlette(routes=routes, lifespan=self._open)

    @asynccontextmanager
    async def _open(self, _: Starlette) -> AsyncIterator[None]:
        async with self._client:
            yield

    async def _take(self, request: Request) -> Response:
        token, body = request.path_params["token"], await request.body()
        job_id = job_of(token, self._secret)
        assert job_id, "the provider was given a wrong address"
        fate = self.fates.setdefault(job_id, _FATES.get(len(self.fates) % 10, "plain"))
        told = json.loads(body)
        if told["task_status"] == "submitted" and fate == "early":
            await self._hand_on("early", token, json.dumps({**told, "task_status": "succeed"}).encode())
        if told["task_status"] == "submitted" and fate == "forged":
            for forged in (token_of(job_id, self._secret[::-1]), token[:-1], job_id):
                await self._hand_on("forged", forged, json.dumps({**told, "task_status": "succeed"}).encode())
        if told["task_status"] != "succeed" or fate != "lost":
            await self._hand_on("call", token, body)
        if told["task_status"] == "succeed" and fate == "doubled":
            await asyncio.gather(*(self._hand_on("double", token, body) for _ in range(2)))
        return Response()

    async def _hand_on(self, kind: str, token: str, body: bytes) -> None:
        self.sent[kind] += 1
        answer = await self._client.post(f"{self._url}/{token}", content=body)
        self.answers[answer.status_code] += 1


@contextmanager
def running(app: Any, port: int) -> Iterator[None]:
    """Serve an application from a thread while the block lasts."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(30)
