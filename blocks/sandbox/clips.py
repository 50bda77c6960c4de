"""Clips: rendered once for what they show, and made each task's own by a box at the end."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import NamedTuple

from anyio import CapacityLimiter, to_thread

from blocks.sandbox.blobs import Blobs
from blocks.sandbox.clock import Clock
from blocks.sandbox.render import LOOKS, Look, render_clip
from blocks.sandbox.tasks import Task
from blocks.sandbox.threads import run_sized

_VARIANTS = {"short-clip": {"part": 0.5}, "silent-clip": {"sound": False}}


class Clip(NamedTuple):
    """The bytes a task delivers."""

    data: bytes
    sha256: str


class Clips:
    """Renders in worker threads, one at a time, so that the event loop keeps answering.

    Args:
        blobs: Where images and audios are and clips go.
        clock: When it stops, rendering stops.
    """

    def __init__(self, blobs: Blobs, clock: Clock) -> None:
        self._blobs = blobs
        self._clock = clock
        self._limiter = CapacityLimiter(1)
        self._pending: dict[str, asyncio.Task[None]] = {}

    def begin(self, task: Task, *, fast: bool) -> None:
        """Start rendering the clip of a task, unless it is there or begun."""
        self._begun(task, fast, "")

    async def clip(self, task: Task, *, fast: bool, variant: str = "") -> Clip:
        """Return the clip of a task, waiting for it; the same bytes each time."""
        name, pending = self._begun(task, fast, variant)
        if pending is not None:
            await asyncio.shield(pending)
        own = task.task_id.encode()
        box = (8 + len(own)).to_bytes(4, "big") + b"free" + own
        data = await self._blobs.get(name) + box
        return Clip(data, await run_sized(_digest, data))

    async def sound(self, task: Task) -> Clip:
        """Return the audio of a speech task."""
        data = await self._blobs.get(task.audio)
        return Clip(data, task.audio)

    async def close(self) -> None:
        """Wait until nothing is rendered any more; the clock must have stopped."""
        await asyncio.gather(*self._pending.values(), return_exceptions=True)

    def _begun(self, task: Task, fast: bool, variant: str) -> tuple[str, asyncio.Task[None] | None]:
        kind = "fast" if fast else task.mode or "std"
        shown = "" if fast else task.image
        name = f"{shown}-{task.audio}-{kind}{variant}.mp4"
        if name not in self._blobs and name not in self._pending:
            look = replace(LOOKS[kind], **_VARIANTS.get(variant, {}))  # type: ignore[arg-type] # by name
            job = asyncio.create_task(self._render(name, task.image, task.audio, look))
            self._pending[name] = job
            job.add_done_callback(lambda done: self._ended(name, done))
        return name, self._pending.get(name)

    async def _render(self, name: str, image: str, audio: str, look: Look) -> None:
        picture, sound = await self._blobs.get(image), await self._blobs.get(audio)
        await to_thread.run_sync(
            render_clip,
            picture,
            sound,
            look,
            self._blobs.path(name),
            self._clock.stopped.is_set,
            limiter=self._limiter,
        )
        self._blobs.added(name)

    def _ended(self, name: str, job: asyncio.Task[None]) -> None:
        del self._pending[name]
        if not job.cancelled():
            # Looked at, so that nobody is warned: who asks for this clip later begins anew.
            job.exception()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
