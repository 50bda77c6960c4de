"""What the tests of the main flow share: how to ask, and what a run leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from prefect.events.worker import EventsWorker

from blocks import AvatarArchive
from blocks.storage.journal import Entry

Ask = Callable[..., Awaitable[Any]]


async def entries_of(block: AvatarArchive, job_id: str) -> list[Entry]:
    async with block.open() as archive:
        keys = [found.key async for found in archive.store.find(f"journal/{job_id[:2]}/{job_id}/")]
        return [Entry.model_validate_json(await archive.store.read(key) or b"") for key in keys]


async def open_jobs(block: AvatarArchive) -> list[str]:
    async with block.open() as archive:
        return [mark.job_id async for mark in archive.journal.open_marks()]


async def eventually(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not met():
            await asyncio.sleep(0.05)


async def drained(worker: EventsWorker) -> list[Any]:
    await asyncio.to_thread(worker.wait_until_empty)
    return list(worker._client.events)  # type: ignore[attr-defined] # the client of Prefect's own fixture


def steps(events: list[Any]) -> list[tuple[str, str]]:
    """Return how each task run ended, in order."""
    runs = [event for event in events if event.event.startswith("prefect.task-run.")]
    ended = [(event.resource["prefect.resource.name"], event.event.rpartition(".")[2]) for event in runs]
    return [
        (name.split(" ")[0], state) for name, state in ended if state in ("Completed", "Cached", "Failed")
    ]
