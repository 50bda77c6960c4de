"""Callbacks: each change of a status is posted to the task's address, in the background, errors ignored."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
from collections import deque
from typing import Any

import httpx

from blocks.sandbox.clock import Clock
from blocks.sandbox.settings import Settings, signing_key

TIMEOUT_SECONDS = 10.0


class Callbacks:
    """Rings, in order for each task.

    Args:
        client: Sends them.
        clock: Dates signatures.
    """

    def __init__(self, client: httpx.AsyncClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._last: dict[str, asyncio.Task[None]] = {}
        self.rung: deque[dict[str, Any]] = deque(maxlen=20_000)

    def ring(self, url: str, body: dict[str, Any], settings: Settings) -> None:
        """Post `body` in the background, as often as the settings say."""
        if settings.callbacks == "never":
            return
        task_id = str(body["task_id"])
        job = asyncio.create_task(self._ring(self._last.get(task_id), url, body, settings))
        self._last[task_id] = job
        job.add_done_callback(lambda done: self._ended(task_id, done))

    async def close(self) -> None:
        """Give up what is still to be rung."""
        jobs = list(self._last.values())
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    async def _ring(
        self, before: asyncio.Task[None] | None, url: str, body: dict[str, Any], settings: Settings
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        raw = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **self._signed(raw, settings)}
        for _ in range(2 if settings.callbacks == "twice" else 1):
            answer = await self._post(url, raw, headers)
            self.rung.append({"task_id": body["task_id"], "status": body["task_status"], "answer": answer})

    async def _post(self, url: str, raw: bytes, headers: dict[str, str]) -> int | None:
        try:
            answer = await self._client.post(
                url, content=raw, headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=False
            )
        except (httpx.HTTPError, httpx.InvalidURL):
            return None
        return answer.status_code

    # https://klingai.com/document-api/api/get-started/callbacks.md
    def _signed(self, raw: bytes, settings: Settings) -> dict[str, str]:
        if settings.callback_secret is None:
            return {}
        number = f"msg_{secrets.token_hex(12)}"
        timestamp = str(int(self._clock.now()))
        signed = f"{number}.{timestamp}.".encode() + raw
        digest = hmac.new(signing_key(settings.callback_secret), signed, hashlib.sha256).digest()
        signature = f"v1,{base64.b64encode(digest).decode()}"
        return {"webhook-id": number, "webhook-timestamp": timestamp, "webhook-signature": signature}

    def _ended(self, task_id: str, job: asyncio.Task[None]) -> None:
        if self._last.get(task_id) is job:
            del self._last[task_id]
