"""One job of many: buy it, wait for it, bring it home; in a task run for each step or in none."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from blocks.errors import AvatarError
from blocks.kling.job import Job
from blocks.storage.journal import Entry
from blocks.storage.sidecar import Sidecar
from flows.tasks.archive import archive
from flows.tasks.connections import Connections
from flows.tasks.logs import run_logger
from flows.tasks.poll import poll
from flows.tasks.request import Request
from flows.tasks.retrying import passes
from flows.tasks.shown.poster import poster_of
from flows.tasks.submit import submit

_PAUSES = (5.0, 20.0, 60.0)


class Wanted(NamedTuple):
    """One job that is to be made.

    Attributes:
        job: The job, checked.
        request: What it was made from.
        connections: Provider and archive.
    """

    job: Job
    request: Request
    connections: Connections


async def make(wanted: Wanted) -> Sidecar:
    """Buy the video of a job, wait for it and archive it. MAY spend money, once.

    The same steps as in generate-avatar, without task runs of their own. What fails after the purchase and
    passes with time is tried again, as Prefect does it for those.

    MONEY: what may be repeated before the purchase is decided by the protocol alone, inside `submit`.
    """
    entry = await submit.fn(wanted.job, wanted.request, wanted.connections)
    for pause in (*_PAUSES, None):
        try:
            return await _bring_home(entry, wanted.connections)
        except AvatarError as error:
            if pause is None or not passes(error):
                raise error.about(job_id=entry.job_id, kling_task_id=entry.kling_task_id) from None
            run_logger().warning("%s is tried again in %.0f s: %s", wanted.job.name, pause, error.message)
            await asyncio.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


async def _bring_home(entry: Entry, connections: Connections) -> Sidecar:
    kling_task = await poll.fn(entry, connections)
    connections.in_flight.over(entry.job_id)
    return await archive.fn(entry, kling_task, connections)


async def make_in_steps(wanted: Wanted) -> Sidecar:
    """Do the same in a task run for each step, and make a poster, where people can look at each job."""
    entry = await submit(wanted.job, wanted.request, wanted.connections)
    kling_task = await poll(entry, wanted.connections)
    wanted.connections.in_flight.over(entry.job_id)
    sidecar = await archive(entry, kling_task, wanted.connections)
    await poster_of(sidecar.job_id, wanted.connections.archive)
    return sidecar
