"""The clips of one spoken text: all are checked, then all speech is made, then the videos are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

from blocks.kling.job import Job
from blocks.kling.models import KlingTask
from blocks.storage.journal import Entry
from blocks.storage.sidecar import Sidecar
from flows.tasks.archive import archive
from flows.tasks.ask import submit_or_ask
from flows.tasks.connections import Connections
from flows.tasks.form import Wait
from flows.tasks.poll import poll
from flows.tasks.request import Request
from flows.tasks.shown.clip import show_clip
from flows.tasks.speech.speak import speak_or_ask
from flows.tasks.validate import validate
from flows.tasks.waiting.suspend import may_suspend, wait_suspended


class Spoken(NamedTuple):
    """What became of a spoken text.

    Attributes:
        sidecars: One for each clip, in order.
        bought: How many of them were not in the archive before.
    """

    sidecars: list[Sidecar]
    bought: int


async def make_spoken(requests: Sequence[Request], connections: Connections, wait: Wait = "poll") -> Spoken:
    """Make the clips of a spoken text. MAY spend money, once for each speech and once for each video.

    Every clip is checked before the first speech is bought, and every speech is measured before the first
    video is bought. A clip that fails stops no other that was bought.

    Args:
        requests: One for each clip.
        connections: Provider and archive.
        wait: `callback` suspends the run when all videos are bought, where that is possible.

    Raises:
        AvatarError: The first thing that went wrong; what was bought is in the archive, or stays open.
    """
    jobs = [await validate(request, connections) for request in requests]
    done = [await connections.archive.find_done(job.job_id) for job in jobs]
    missing = [number for number, sidecar in enumerate(done) if sidecar is None]
    voiced = {number: await speak_or_ask(jobs[number], connections) for number in missing}
    suspends = wait == "callback" and await may_suspend([jobs[number] for number in missing], connections)
    wanted = [(voiced[number], requests[number]) for number in missing]
    made = await (_make_suspended if suspends else _make_all)(wanted, connections)
    found = {sidecar.job_id: sidecar for sidecar in (*done, *made) if sidecar}
    return Spoken([found[job.job_id] for job in jobs], len(made))


async def _make_all(wanted: Sequence[tuple[Job, Request]], connections: Connections) -> list[Sidecar]:
    """Buy one video after the other; each is waited for and brought home while the next ones are bought."""
    finishing: list[asyncio.Task[Sidecar]] = []
    connections.in_flight.plan(len(wanted), len(wanted))
    async with AsyncExitStack() as counted:
        try:
            for job, request in wanted:
                await counted.enter_async_context(connections.in_flight.counted(job.job_id))
                entry = await submit_or_ask(job, request, connections)
                finishing.append(asyncio.create_task(_finish(entry, connections)))
            await asyncio.gather(*finishing, return_exceptions=True)
            return [await each for each in finishing]
        finally:
            for each in finishing:
                each.cancel()
            await asyncio.gather(*finishing, return_exceptions=True)


async def _make_suspended(wanted: Sequence[tuple[Job, Request]], connections: Connections) -> list[Sidecar]:
    """Buy all videos, then wait without a worker; the run begins again at each call and finds them bought."""
    connections.in_flight.plan(len(wanted), len(wanted))
    async with AsyncExitStack() as counted:
        entries = []
        for job, request in wanted:
            await counted.enter_async_context(connections.in_flight.counted(job.job_id))
            entries.append(await submit_or_ask(job, request, connections))
        return [
            await _bring_home(entry, await wait_suspended(entry, connections), connections)
            for entry in entries
        ]


async def _finish(entry: Entry, connections: Connections) -> Sidecar:
    return await _bring_home(entry, await poll(entry, connections), connections)


async def _bring_home(entry: Entry, kling_task: KlingTask, connections: Connections) -> Sidecar:
    connections.in_flight.over(entry.job_id)
    sidecar = await archive(entry, kling_task, connections)
    await show_clip(sidecar, connections)
    return sidecar
