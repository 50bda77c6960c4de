"""Fetching what was bought: a dead link is asked for again, and what is wrong twice is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from blocks.errors import AvatarError, ClipRejected, ClipUnavailable, ProviderError
from blocks.kling.models import KlingTask
from blocks.storage.journal import Entry
from flows.tasks.connections import Connections
from flows.tasks.logs import run_logger
from flows.tasks.poll import read_task

_PAUSES = (0.0, 1.0, 3.0, 10.0)
_MOST_REJECTIONS = 2

Stored = TypeVar("Stored")


async def fetch(
    thing: str,
    entry: Entry,
    task: KlingTask | None,
    connections: Connections,
    download: Callable[[KlingTask], Awaitable[Stored]],
) -> tuple[Stored, KlingTask]:
    """Download what a Kling task made, through a fresh link where one fails. Nothing is ever posted.

    Args:
        thing: What people call it.
        entry: The journal entry that holds the Kling task id.
        task: The Kling task as it was just read, or `None` to read it.
        connections: Provider and archive.
        download: Brings it into the archive.

    Raises:
        ClipUnavailable: No link worked; the job stays open.
        ClipRejected: What was delivered twice is not whole and right; the job stays open.
        ProviderError: There is no link, and the provider does not answer for the Kling task.
    """
    failure: AvatarError = ClipUnavailable(f"The {thing} was not delivered")
    rejections = 0
    for pause in _PAUSES:
        await asyncio.sleep(pause)
        try:
            if task is None or not _has_link(task):
                task = await read_task(entry, connections)
            return await download(task), task
        except (ClipUnavailable, ClipRejected, ProviderError) as error:
            failure, task = error.about(job_id=entry.job_id, kling_task_id=entry.kling_task_id), None
            run_logger().warning("Fetching the %s failed: %s", thing, error.message)
            rejections += isinstance(error, ClipRejected)
        if rejections == _MOST_REJECTIONS:
            break
    raise failure


def _has_link(task: KlingTask) -> bool:
    made = task.video or task.audio
    return bool(made and made.url)
