"""A person decides about a job when nobody can tell whether it was bought."""

from __future__ import annotations

import re
from typing import Literal

from prefect.input import RunInput
from pydantic import Field

from blocks.errors import AvatarError, Facts, Fault, InvalidRequest, JobInProgress, ProviderError
from blocks.kling.models import KlingTask, TaskStatus
from blocks.storage.journal import Entry, Outcome, Standing, Step, now
from blocks.storage.layout import open_key
from flows.tasks.connections import Connections
from flows.tasks.poll import read_task
from flows.tasks.record import spoken_by

Choice = Literal["adopt", "post again", "give up"]

_JOB_ID = re.compile(r"[0-9a-f]{64}")


class Decision(RunInput):
    """What is to become of this job?"""

    choice: Choice = Field(
        title="Choice",
        description="adopt: it was bought, collect it. post again: it was not bought. give up: leave it.",
    )
    kling_task_id: str = Field(
        default="", title="Kling task id", description="To adopt: the id from the provider's console or log."
    )


async def decide_job(job_id: str, decision: Decision, connections: Connections, by: str = "") -> Entry:
    """Write a person's decision about a job to its journal. Never posts by itself.

    `post again` makes the next run of the job post it: if it was bought after all, that pays twice. So the
    provider is asked once more, where it can be: what it finds is not posted again.

    Args:
        job_id: The job.
        decision: What was decided.
        connections: Provider and archive.
        by: The run in which it was decided.

    Raises:
        InvalidRequest: The job or the Kling task is not what the decision takes it for.
        JobInProgress: Another run is posting it at this moment.
        TaskNotFound: The provider does not know the Kling task that was to be adopted.
    """
    journal = connections.archive.journal
    last = await journal.last(job_id) if _JOB_ID.fullmatch(job_id) else None
    while last is not None:
        changes = await _changes(last, decision, connections)
        if decision.choice == "adopt":
            # A job that had ended is no longer in reconcile's sight; this brings it back.
            await connections.archive.store.replace(open_key(job_id, last.number + 1), b"")
        outcome = Outcome(message=f"A person decided: {decision.choice}", charged=_charged(decision))
        written = await journal.append(
            job_id, last, _STEPS[decision.choice], outcome=outcome, run=by, **changes
        )
        if written:
            if written.step is not Step.SUBMITTED:
                await journal.close(job_id, written.number)
            return written
        last = await journal.last(job_id, after=last)
    raise InvalidRequest((Fault("job_id", f"{job_id[:80]!r} is not in this archive", "the id of a job"),))


_STEPS = {"adopt": Step.SUBMITTED, "post again": Step.RELEASED, "give up": Step.GIVEN_UP}


def _charged(decision: Decision) -> str:
    return {"adopt": "yes", "post again": "no", "give up": "unknown"}[decision.choice]


async def _changes(last: Entry, decision: Decision, connections: Connections) -> dict[str, object]:
    standing = last.standing(now())
    if standing is Standing.BUSY:
        raise JobInProgress("Another run is posting this job right now", Facts(job_id=last.job_id))
    if decision.choice == "adopt":
        task = await _check_adoptable(last, decision.kling_task_id, connections)
        adopted = {"kling_task_id": decision.kling_task_id, "submitted_at": last.intended_at or now()}
        return adopted | spoken_by(task) | _surplus(last, decision.kling_task_id)
    if decision.choice == "post again":
        await _check_not_bought(last, connections)
    return {}


def _surplus(last: Entry, adopted: str) -> dict[str, object]:
    """Keep account of a Kling task that was bought and gives way to the adopted one."""
    if last.step is not Step.SUBMITTED or last.kling_task_id in {None, adopted}:
        return {}
    return {"surplus_task_ids": (*last.surplus_task_ids, last.kling_task_id)}


async def _check_not_bought(last: Entry, connections: Connections) -> None:
    """Refuse to post again what was bought, as far as journal and provider can tell."""
    if last.standing(now()) is Standing.BOUGHT:
        raise _refused(last, last.kling_task_id, "is being collected", "give up, or a new take")
    if connections.credentials.lookup == "no" or not last.external_task_id:
        return
    # MONEY: whoever looked it up by hand may have looked too early.
    try:
        task = await connections.client.find(last.external_task_id)
    except ProviderError:
        return
    if task and task.status is not TaskStatus.FAILED:
        raise _refused(last, task.task_id, "was bought for this job", "adopt it")


def _refused(last: Entry, kling_task_id: str | None, found: str, limit: str) -> InvalidRequest:
    facts = Facts(job_id=last.job_id, kling_task_id=kling_task_id, charged="yes")
    return InvalidRequest((Fault("choice", f"Kling task {kling_task_id} {found}", limit),), facts)


async def _check_adoptable(last: Entry, kling_task_id: str, connections: Connections) -> KlingTask:
    facts = Facts(job_id=last.job_id, kling_task_id=kling_task_id or None)
    if not kling_task_id.strip():
        raise InvalidRequest((Fault("kling_task_id", "empty", "the id of the Kling task to adopt"),), facts)
    try:
        task = await read_task(last.model_copy(update={"kling_task_id": kling_task_id}), connections)
    except AvatarError as error:
        raise error.about(job_id=last.job_id) from None
    if task.external_task_id and task.external_task_id != last.external_task_id:
        found = f"that Kling task has external task id {task.external_task_id}"
        raise InvalidRequest((Fault("kling_task_id", found, f"one named {last.external_task_id}"),), facts)
    return task
