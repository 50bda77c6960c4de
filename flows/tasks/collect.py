"""Finishing one open job: what reconcile does, and what it reports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict

from blocks.errors import AvatarError, NeedsDecision, TaskFailed
from blocks.kling.models import TaskStatus
from blocks.storage.journal import Entry, OpenMark, Outcome, Standing, Step, now
from blocks.storage.speech import audio_id_lives
from flows.tasks.archive import archive_clip
from flows.tasks.connections import Connections
from flows.tasks.events import emit_archived, emit_stopped
from flows.tasks.lookup import clear_up
from flows.tasks.poll import read_task, record_failure
from flows.tasks.speech.archive import archive_speech
from flows.tasks.submit import check_route

State = Literal[
    "archived", "running", "overdue", "failed", "needs decision", "not bought", "submitting", "unfinished"
]

_ANNOUNCED_FOR = timedelta(hours=1)


class Report(BaseModel):
    """What became of one open job.

    Attributes:
        state: `unfinished` means that it was paid for and this attempt to collect it failed.
        detail: Why, or what to do.
    """

    model_config = ConfigDict(frozen=True)

    job_id: str
    name: str = ""
    state: State
    kling_task_id: str | None = None
    detail: str = ""


async def collect_job(mark: OpenMark, connections: Connections) -> Report:
    """Look once at a job that may have something to collect, and finish it if it can be finished.

    Never posts. Safe beside running jobs and beside itself. Reads the provider at most twice.
    """
    journal, job_id = connections.archive.journal, mark.job_id
    last = await journal.last(job_id)
    if await _is_done(last, job_id, connections):
        await journal.close(job_id, max(mark.number, last.number if last else 0))
        return _report(last, job_id, "archived", "finished before")
    if last is None or last.number < mark.number:
        return await _withdraw(last, mark, connections)
    try:
        return await _collect(last, connections)
    except TaskFailed as error:
        emit_stopped(job_id, last.job.get("name", ""), error)
        return _report(last, job_id, "failed", error.message)
    except NeedsDecision as error:
        return _report(last, job_id, "needs decision", f"{error.message}. {error.next_step}")
    except AvatarError as error:
        if last.kind == "speech" and not audio_id_lives(last.intended_at or last.at):
            await journal.close(job_id, last.number)
        return _report(last, job_id, "unfinished", f"{error.message}. {error.next_step}")


async def _is_done(last: Entry | None, job_id: str, connections: Connections) -> bool:
    archive = connections.archive
    is_speech = last is not None and last.kind == "speech"
    return await (archive.find_speech(job_id) if is_speech else archive.find_done(job_id)) is not None


async def _collect(last: Entry, connections: Connections) -> Report:
    standing = last.standing(now())
    if standing is Standing.DOUBTFUL:
        last = await clear_up(check_route(last, connections), connections, wait=False)
        standing = last.standing(now())
    if standing is Standing.BUSY:
        return _report(last, last.job_id, "submitting", "another run is posting it")
    if standing is Standing.DOUBTFUL:
        return _report(last, last.job_id, "submitting", "its answer was just lost; looked up again later")
    if standing is not Standing.BOUGHT:
        await connections.archive.journal.close(last.job_id, last.number)
        return _report(last, last.job_id, "not bought", last.outcome.message or "run it again to buy it")
    task = await read_task(check_route(last, connections), connections)
    if task.status is TaskStatus.FAILED:
        raise await record_failure(last, task, connections)
    if task.status is not TaskStatus.SUCCEED:
        return _running(last, task.provider_status, connections)
    if last.kind == "speech":
        speech = await archive_speech(last, task, connections)
        return _report(last, last.job_id, "archived", connections.archive.address(speech.audio.key))
    sidecar = await archive_clip(last, task, connections)
    emit_archived(sidecar, connections.archive.address(sidecar.clip.key))
    return _report(last, last.job_id, "archived", connections.archive.address(sidecar.clip.key))


def _running(last: Entry, word: str, connections: Connections) -> Report:
    since = last.submitted_at or last.at
    late = now() - since > timedelta(minutes=connections.credentials.deadline_minutes)
    detail = f"{word}, submitted {since:%Y-%m-%d %H:%M} UTC"
    return _report(last, last.job_id, "overdue" if late else "running", detail)


async def _withdraw(last: Entry | None, mark: OpenMark, connections: Connections) -> Report:
    """Deal with an announced intent that was not written (yet): its number is taken, so it never will be."""
    announced = datetime.fromtimestamp(mark.modified, UTC)
    if now() - announced < _ANNOUNCED_FOR:
        return _report(last, mark.job_id, "submitting", "announced a moment ago")
    outcome = Outcome(message="Announced but never posted", charged="no")
    await connections.archive.journal.append(mark.job_id, last, Step.RELEASED, outcome=outcome)
    newest = await connections.archive.journal.last(mark.job_id, after=last)
    if newest and newest.step is Step.RELEASED:
        await connections.archive.journal.close(mark.job_id, newest.number)
    return _report(last, mark.job_id, "not bought", outcome.message)


def _report(last: Entry | None, job_id: str, state: State, detail: str) -> Report:
    name = str(last.job.get("name", "")) if last else ""
    return Report(
        job_id=job_id,
        name=name,
        state=state,
        kling_task_id=last.kling_task_id if last else None,
        detail=detail,
    )
