"""One job of many: buy it, wait for it, bring it home; as one task run or as one for each step."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from blocks.errors import AvatarError
from blocks.kling.job import Job
from blocks.storage.sidecar import Sidecar
from flows.tasks.archive import archive
from flows.tasks.connections import Connections
from flows.tasks.poll import poll
from flows.tasks.poster import poster_of
from flows.tasks.request import Request
from flows.tasks.retrying import passes_with_time
from flows.tasks.submit import submit


async def is_bought_and_passes_with_time(task: Any, run: Any, state: State[Any]) -> bool:
    """Tell whether the failure came after the purchase and may be gone in a while.

    MONEY: what may be repeated before the purchase is decided by the protocol alone, inside `submit`.
    """
    try:
        await state.aresult()
    except AvatarError as error:
        return error.facts.kling_task_id is not None and await passes_with_time(task, run, state)
    except Exception:  # noqa: BLE001 # any other failure is the answer "no"; raising here would hide it
        return False
    return False


class Wanted:
    """One job that is to be made, as one thing: Prefect looks into each field of what it knows the inside of.

    Args:
        job: The job, checked.
        request: What it was made from.
        connections: Provider and archive.
    """

    def __init__(self, job: Job, request: Request, connections: Connections) -> None:
        self.job = job
        self.request = request
        self.connections = connections


@task(
    name="make",
    task_run_name="make {wanted.job.name}",
    retries=3,
    retry_delay_seconds=[5, 20, 60],
    retry_condition_fn=is_bought_and_passes_with_time,
    # The journal remembers every step; a cache would cost a file and a lookup for each job.
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def make(wanted: Wanted) -> Sidecar:
    """Buy the video of a job, wait for it and archive it. MAY spend money, once.

    The same steps as in generate-avatar, in one task run: the events of task runs are most of what many
    jobs cost Prefect.
    """
    connections = wanted.connections
    entry = await submit.fn(wanted.job, wanted.request, connections)
    try:
        kling_task = await poll.fn(entry, connections)
        connections.in_flight.over(entry.job_id)
        return await archive.fn(entry, kling_task, connections)
    except AvatarError as error:
        raise error.about(job_id=entry.job_id, kling_task_id=entry.kling_task_id) from None


async def make_in_steps(wanted: Wanted) -> Sidecar:
    """Do the same in a task run for each step, and make a poster, where people can look at each job."""
    entry = await submit(wanted.job, wanted.request, wanted.connections)
    kling_task = await poll(entry, wanted.connections)
    wanted.connections.in_flight.over(entry.job_id)
    sidecar = await archive(entry, kling_task, wanted.connections)
    await poster_of(sidecar.job_id, wanted.connections.archive)
    return sidecar
