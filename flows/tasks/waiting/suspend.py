"""Waiting without a worker: a deployed run suspends after the submit and goes on when the provider calls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.flow_runs import asuspend_flow_run

from blocks.errors import (
    AvatarError,
    JobOverdue,
    NotSent,
    ProviderUnavailable,
    SlowDown,
    TaskFailed,
    TaskNotFound,
)
from blocks.kling.job import Job
from blocks.kling.models import KlingTask, TaskStatus
from blocks.storage.journal import Entry, new_token, now
from flows.tasks.connections import Connections
from flows.tasks.events import emit_stopped
from flows.tasks.logs import run_logger
from flows.tasks.poll import overdue, poll, read_task, record_failure
from flows.tasks.waiting.account import remember_key, trust_key
from flows.tasks.waiting.resume import WAIT_KEY, tag_of

_PAUSES = (0.0, 2.0, 10.0)


async def may_suspend(jobs: Sequence[Job], connections: Connections) -> bool:
    """Tell whether this run can wait without a worker, and if so, make it known by the tags of its jobs.

    Before the submit, because the provider may call before the answer to the POST was read.
    """
    if reason := _reason_to_poll(connections):
        run_logger().warning("This run keeps its worker and polls: %s", reason)
        return False
    run = _this_run()
    tags = {tag_of(job.job_id) for job in jobs}
    if run and not tags <= set(run.tags):
        async with get_client() as client:
            await client.update_flow_run(run.id, tags=sorted(tags.union(run.tags)))
    await trust_key(connections)
    return True


def _reason_to_poll(connections: Connections) -> str:
    run = _this_run()
    if run is None or run.deployment_id is None:
        return "it is not a run of a deployment, so nobody could start it again"
    if run.parent_task_run_id is not None:
        return "it is part of another run"
    if not connections.credentials.callback_url:
        return "the CometAPI Credentials block has no callback URL"
    return ""


def _this_run() -> FlowRun | None:
    context = FlowRunContext.get()
    return context.flow_run if context else None


async def wait_suspended(entry: Entry, connections: Connections) -> KlingTask:
    """Return the Kling task when it has succeeded; otherwise suspend the flow run, which frees its worker.

    A suspended run begins again from the top and comes here again, so each time the provider is asked first;
    not right after the submit, when the answer is known.

    Args:
        entry: The journal entry that holds the Kling task id.
        connections: Provider and archive.

    Raises:
        Pause: The run is suspended; not an error.
        AvatarError: See `flows.tasks.poll.wait_for_task`.
    """
    if _is_fresh(entry):
        await remember_key(connections)
    elif kling_task := await look(entry, connections):
        return kling_task
    # A key of its own each time: with a used one Prefect would not suspend.
    await asuspend_flow_run(key=f"{WAIT_KEY}{entry.kling_task_id}-{new_token()[:8]}")
    return await poll(entry, connections)


def _is_fresh(entry: Entry) -> bool:
    """Tell whether the job was submitted by this execution of the run, or at least since it began."""
    context = FlowRunContext.get()
    return bool(context and entry.submitted_at and entry.submitted_at >= context.start_time)


@task(name="look", task_run_name="look {entry.kling_task_id}", cache_policy=NO_CACHE)
async def look(entry: Entry, connections: Connections) -> KlingTask | None:
    """Read the Kling task once: succeeded, or `None` while it goes on. Costs nothing."""
    try:
        return await look_once(entry, connections)
    except (TaskFailed, JobOverdue) as error:
        emit_stopped(entry.job_id, entry.job["name"], error)
        raise


async def look_once(entry: Entry, connections: Connections) -> KlingTask | None:
    """Read the Kling task of a submitted job; a read that fails is repeated a few times. Costs nothing.

    Returns:
        The Kling task that has succeeded, or `None` when it goes on or could not be read.

    Raises:
        AvatarError: See `flows.tasks.poll.wait_for_task`.
    """
    kling_task = await _read(entry, connections)
    if kling_task and kling_task.status is TaskStatus.FAILED:
        raise await record_failure(entry, kling_task, connections)
    if kling_task and kling_task.status is TaskStatus.SUCCEED:
        return kling_task
    waited = now() - (entry.submitted_at or entry.at)
    if waited.total_seconds() > connections.credentials.deadline_minutes * 60:
        raise overdue(entry, connections)
    return None


async def _read(entry: Entry, connections: Connections) -> KlingTask | None:
    for pause in _PAUSES:
        await asyncio.sleep(pause)
        try:
            return await read_task(entry, connections)
        except (SlowDown, ProviderUnavailable, TaskNotFound, NotSent) as error:
            run_logger().warning("Reading the Kling task failed: %s", error.message)
        except AvatarError as error:
            raise error.about(job_id=entry.job_id, kling_task_id=entry.kling_task_id) from None
    return None
