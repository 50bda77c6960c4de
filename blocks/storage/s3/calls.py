"""One request at a time: with a deadline, sent again when that is safe, and named when it fails."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from botocore import xform_name

from blocks.errors import StorageUnavailable
from blocks.storage.s3.failures import FAILURES, explain, is_absent, is_passing
from blocks.storage.s3.part import Buffers, Part
from blocks.storage.s3.session import Session
from blocks.storage.s3.settings import S3Settings
from blocks.storage.shield import to_the_end

_SLOWEST_BYTES_A_SECOND = 64 * 1024
_LONGEST_PAUSE_SECONDS = 20.0

Answer = TypeVar("Answer")


class Calls:
    """Sends requests about the keys below one prefix of one bucket.

    This is the only place that repeats requests, so everything sent through it must be safe to repeat.

    Args:
        bucket: The bucket.
        prefix: What comes before each key: empty, or ending with `/`.
        settings: How the server is reached.
    """

    def __init__(self, bucket: str, prefix: str, settings: S3Settings) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.settings = settings
        self.session = Session(settings)
        self.parts = asyncio.Semaphore(settings.parts_at_once)
        self.buffers = Buffers()

    async def send(
        self, action: str, key: str | None = None, *, weight: int = 0, **given: Any
    ) -> dict[str, Any]:
        """Send `action` and return the answer.

        Args:
            action: The S3 action, such as `PutObject`.
            key: The key it concerns, or `None` for the bucket.
            weight: Bytes that travel or are moved on the server; they prolong the deadline.
            given: Further parameters of the action.

        Raises:
            StorageUnavailable: It was refused, or no attempt got an answer.
        """
        named = {} if key is None else {"Key": self.prefix + key}

        async def call(client: Any) -> dict[str, Any]:
            return await self._call(client, action, **named, **given)

        return await self.repeat(action, key, call, weight=weight)

    async def send_part(self, action: str, key: str, part: Part, **given: Any) -> dict[str, Any]:
        """Send `action` with the bytes of `part`, of which no copy is made.

        Raises:
            StorageUnavailable: It was refused, or no attempt got an answer.
        """

        async def call(client: Any) -> dict[str, Any]:
            # A body of its own: what is left of an earlier attempt may still read.
            answer = await self._call(client, action, Key=self.prefix + key, Body=part.body(), **given)
            part.arrived()
            return answer

        return await self.repeat(action, key, call, weight=part.size)

    async def _call(self, client: Any, action: str, **given: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await getattr(client, xform_name(action))(Bucket=self.bucket, **given)
        return answer

    async def repeat(
        self,
        action: str,
        key: str | None,
        call: Callable[[Any], Awaitable[Answer]],
        *,
        weight: int = 0,
        shielded: bool = False,
    ) -> Answer:
        """Run `call` with the client until it succeeds, is refused, or the attempts are used up.

        A `shielded` attempt is finished before a cancellation goes on, so that `call` sees its answer.
        """
        seconds = self.settings.connect_timeout + self.settings.read_timeout
        seconds += weight / _SLOWEST_BYTES_A_SECOND
        number = 0
        while True:
            number += 1
            attempt = self._attempt(call, seconds)
            try:
                return await (to_the_end(attempt) if shielded else attempt)
            except FAILURES as error:
                if number >= self.settings.attempts or not is_passing(error):
                    raise self.explain(error, action, key) from error
            await self.pause(number)

    async def _attempt(self, call: Callable[[Any], Awaitable[Answer]], seconds: float) -> Answer:
        async with asyncio.timeout(seconds):
            return await call(await self.session.client())

    async def pause(self, attempt: int) -> None:
        """Wait before the attempt that follows `attempt`, for a random part of a doubling time."""
        longest = min(self.settings.backoff_seconds * 2 ** (attempt - 1), _LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(random.uniform(longest / 4, longest))  # noqa: S311 - spreads load, hides nothing

    def explain(self, error: Exception, action: str, key: str | None) -> StorageUnavailable:
        """Return the error to raise for a failed `action`."""
        return explain(error, action, self.place(key))

    def place(self, key: str | None) -> str:
        """Return where `key` is, for people."""
        return f"s3://{self.bucket}/{self.prefix}{key or ''}"

    async def describe(self, key: str) -> dict[str, Any] | None:
        """Return what the server says about an object (`HeadObject`), or `None` when it is absent."""
        try:
            return await self.send("HeadObject", key)
        except StorageUnavailable as error:
            if is_absent(error):
                return None
            raise
