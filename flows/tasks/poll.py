"""Waiting for the Kling task: only reads, never decides more than the provider said."""

from __future__ import annotations

import asyncio
import secrets
import time
from decimal import Decimal

from prefect import task

from blocks.credentials import CometAPICredentials
from blocks.errors import (
    AvatarError,
    Facts,
    JobOverdue,
    NotSent,
    ProviderUnavailable,
    SlowDown,
    TaskFailed,
    TaskNotFound,
)
from blocks.kling.models import KlingTask, TaskStatus
from blocks.kling.prices import decimal_of
from blocks.storage.journal import Entry, Outcome, Step, now
from flows.tasks.caching import once_per_run
from flows.tasks.connections import Connections
from flows.tasks.events import emit_stopped
from flows.tasks.logs import run_logger
from flows.tasks.lookup import learn_lookup
from flows.tasks.retrying import passes_with_time

_GROWTH = 1.2
_LONGEST_PAUSE = 60.0


@task(
    name="poll",
    task_run_name="poll {entry.kling_task_id}",
    retries=3,
    retry_delay_seconds=[2, 10, 30],
    retry_condition_fn=passes_with_time,
    cache_policy=once_per_run("poll", "entry"),
    result_serializer="json",
)
async def poll(entry: Entry, connections: Connections) -> KlingTask:
    """Wait until Kling has made the video. Only reads; costs nothing."""
    try:
        with connections.progress.waiting(entry):
            return await wait_for_task(entry, connections)
    except (TaskFailed, JobOverdue) as error:
        emit_stopped(entry.job_id, entry.job["name"], error)
        raise


async def wait_for_task(entry: Entry, connections: Connections) -> KlingTask:
    """Read the Kling task of a submitted job until it has succeeded. Costs nothing.

    Transport errors, unknown statuses and early "not found" answers mean waiting on, not failure.

    Args:
        entry: The journal entry that holds the Kling task id.
        connections: Provider and archive.

    Raises:
        TaskFailed: Kling reported failure; it is written to the journal and final for this take.
        JobOverdue: Our deadline passed; the job stays open and is finished later.
        AccessRefused: The key may not read it; the job stays open.
    """
    pauses = _Pauses(entry, connections.credentials, await connections.expected.seconds(entry))
    reported: set[str] = set()
    while True:
        await asyncio.sleep(pauses.following())
        await connections.looks.turn()
        task = await _look(entry, connections, pauses)
        if task:
            await learn_lookup(entry, connections)
        if task and task.status is TaskStatus.FAILED:
            raise await record_failure(entry, task, connections)
        if task and task.status is TaskStatus.SUCCEED:
            await connections.expected.learn(entry, task)
            return task
        if task and task.provider_status not in reported:
            reported.add(task.provider_status)
            unknown = task.status is TaskStatus.UNKNOWN
            run_logger().log(30 if unknown else 10, "Kling task %s: %s", task.task_id, task.provider_status)
        if pauses.overdue():
            raise overdue(entry, connections)


async def _look(entry: Entry, connections: Connections, pauses: _Pauses) -> KlingTask | None:
    try:
        return await read_task(entry, connections)
    except SlowDown as error:
        pauses.at_least(error.facts.retry_after or 0.0)
        return None
    except (ProviderUnavailable, TaskNotFound, NotSent) as error:
        run_logger().warning("Reading the Kling task failed and is repeated: %s", error.message)
        return None
    except AvatarError as error:
        raise error.about(job_id=entry.job_id, kling_task_id=entry.kling_task_id, charged="yes") from None


async def read_task(entry: Entry, connections: Connections) -> KlingTask:
    """Read the Kling task of a job once, by the route that it was sent by. Costs nothing."""
    if entry.kind == "speech":
        return await connections.client.get_speech(entry.kling_task_id or "")
    return await connections.client.get(entry.kling_task_id or "", entry.query_path or None)


async def record_failure(entry: Entry, task: KlingTask, connections: Connections) -> TaskFailed:
    """Remember in the journal that Kling failed the task, and return the error that says so."""
    journal = connections.archive.journal
    outcome = Outcome(
        message=task.message or "no reason was given",
        service_code=task.service_code,
        request_id=task.request_id,
        curable=task.is_curable,
    )
    last = await journal.last(entry.job_id) or entry
    while last.step is Step.SUBMITTED and last.kling_task_id == entry.kling_task_id:
        if written := await journal.append(entry.job_id, last, Step.FAILED, outcome=outcome):
            last = written
        else:
            last = await journal.last(entry.job_id, after=last) or last
    # Unless a deduction is reported, a task that failed is not charged.
    await connections.budget.settle(
        last, connections.budget.charged(decimal_of(task.charged_units)) or Decimal(0)
    )
    await journal.close(entry.job_id, last.number)
    facts = Facts(
        job_id=entry.job_id,
        kling_task_id=task.task_id,
        service_code=task.service_code,
        request_id=task.request_id,
    )
    again = (
        "Run it again: this reason passes with waiting, and it is posted anew." if task.is_curable else None
    )
    return TaskFailed(f"Kling failed the task: {outcome.message}", facts, again)


def overdue(entry: Entry, connections: Connections) -> JobOverdue:
    """Return the error that says that our deadline passed; the job stays open."""
    return JobOverdue(
        f"The Kling task was not done {connections.credentials.deadline_minutes:g} minutes after it "
        "was submitted",
        Facts(job_id=entry.job_id, kling_task_id=entry.kling_task_id),
    )


class _Pauses:
    """How long to wait before the next look, and whether it has been too long."""

    def __init__(self, entry: Entry, credentials: CometAPICredentials, expected: float) -> None:
        waited = max(0.0, (now() - (entry.submitted_at or entry.at)).total_seconds())
        self._next = max(0.0, expected - waited)
        self._pause = credentials.poll_seconds
        self._deadline = time.monotonic() + max(0.0, credentials.deadline_minutes * 60 - waited)
        run_logger().info("First look at Kling task %s in %.0f s", entry.kling_task_id, self._next)

    def following(self) -> float:
        pause = self._next
        self._next = self._pause * (0.85 + secrets.randbelow(300) / 1000)
        self._pause = min(max(_LONGEST_PAUSE, self._pause), self._pause * _GROWTH)
        return pause

    def at_least(self, seconds: float) -> None:
        self._next = max(self._next, seconds)

    def overdue(self) -> bool:
        return time.monotonic() + self._next > self._deadline
