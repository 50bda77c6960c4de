"""Writing down what was bought, before anything else happens."""

from __future__ import annotations

import asyncio
from typing import Any

from blocks.errors import Facts, StorageError, TaskIdNotRecorded
from blocks.kling.models import KlingTask
from blocks.storage.journal import Entry, Outcome, Step, now
from flows.tasks.connections import Connections
from flows.tasks.logs import run_logger
from flows.tasks.metrics import count_bought

_PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)


async def record_submitted(entry: Entry, task: KlingTask, connections: Connections) -> Entry:
    """Write the Kling task id of a bought job to the journal, whatever others wrote meanwhile.

    Args:
        entry: The `intent` (or what it became) that the purchase belongs to.
        task: What was bought.
        connections: Where the journal is.

    Returns:
        The entry by which the job is collected.

    Raises:
        TaskIdNotRecorded: The journal could not be written; the id is in the log and in the error.
    """
    for pause in _PAUSES:
        await asyncio.sleep(pause)
        try:
            return await _adopt(entry, task, connections)
        except StorageError:
            run_logger().exception(
                "BOUGHT but not written down yet: job %s, Kling task %s", entry.job_id, task.task_id
            )
    run_logger().critical("BOUGHT AND NOT WRITTEN DOWN: job %s, Kling task %s", entry.job_id, task.task_id)
    raise TaskIdNotRecorded(
        f"The {entry.thing} was bought, but the journal could not be written",
        Facts(job_id=entry.job_id, kling_task_id=task.task_id, request_id=task.request_id),
        f"Repair the archive, then run the decide flow: adopt Kling task {task.task_id} for this job.",
    )


async def _adopt(entry: Entry, task: KlingTask, connections: Connections) -> Entry:
    journal = connections.archive.journal
    last = entry
    while True:
        if last.kling_task_id == task.task_id or task.task_id in last.surplus_task_ids:
            return last
        ours = last.claim == entry.claim and last.kling_task_id is None
        if ours:
            written = await journal.append(
                entry.job_id, last, Step.SUBMITTED, kling_task_id=task.task_id, submitted_at=now(),
                outcome=Outcome(request_id=task.request_id, charged="yes"), **spoken_by(task),
            )  # fmt: skip
        else:
            run_logger().critical("BOUGHT TWICE: job %s, Kling task %s besides", entry.job_id, task.task_id)
            surplus = (*last.surplus_task_ids, task.task_id)
            written = await journal.append(
                entry.job_id, last, last.step, outcome=last.outcome, surplus_task_ids=surplus
            )
        if written:
            if ours:
                count_bought(written)
            return written
        last = await journal.last(entry.job_id, after=last) or last


def spoken_by(task: KlingTask) -> dict[str, Any]:
    """Return what an entry keeps of delivered speech: enough to use it without its link."""
    audio = task.audio
    return {
        "audio_id": audio.id or None if audio else None,
        "audio_seconds": audio.seconds if audio else None,
    }


async def record_outcome(intent: Entry, step: Step, outcome: Outcome, connections: Connections) -> Entry:
    """Write how a POST ended without a Kling task id; what others concluded meanwhile gives way to it.

    Returns:
        The newest entry of the job.
    """
    journal, last = connections.archive.journal, intent
    while last.claim == intent.claim and last.kling_task_id is None:
        if written := await journal.append(intent.job_id, last, step, outcome=outcome):
            return written
        last = await journal.last(intent.job_id, after=last) or last
    return last
