"""Bringing the paid video home: from the delivery link into the archive, whole, with its sidecar."""

from __future__ import annotations

from functools import partial

from prefect import task

from blocks.errors import ClipRejected, ClipUnavailable, Facts, ProviderError
from blocks.kling.delivery import Delivery
from blocks.kling.models import KlingTask, TaskStatus
from blocks.kling.prices import decimal_of
from blocks.storage.clips import adopt_clip, store_clip
from blocks.storage.journal import Entry, now
from blocks.storage.sidecar import Cost, Provided, Requested, Sidecar, StoredClip, Times
from flows.tasks.caching import once_per_run
from flows.tasks.connections import Connections
from flows.tasks.events import emit_archived
from flows.tasks.fetching import fetch
from flows.tasks.logs import run_logger
from flows.tasks.metrics import count_archived
from flows.tasks.poll import read_task
from flows.tasks.retrying import passes_with_time


@task(
    name="archive",
    task_run_name="archive {entry.kling_task_id}",
    retries=3,
    retry_delay_seconds=[5, 20, 60],
    retry_condition_fn=passes_with_time,
    cache_policy=once_per_run("archive", "entry"),
    result_serializer="json",
)
async def archive(entry: Entry, kling_task: KlingTask, connections: Connections) -> Sidecar:
    """Copy the clip into the archive, checked and whole, and write its sidecar. Costs nothing."""
    sidecar = await archive_clip(entry, kling_task, connections)
    emit_archived(sidecar, connections.archive.address(sidecar.clip.key))
    return sidecar


async def archive_clip(entry: Entry, task: KlingTask | None, connections: Connections) -> Sidecar:
    """Copy the clip of a job whose Kling task succeeded into the archive and write its sidecar.

    Twice in a row is harmless. A dead link is asked for again from the provider; nothing is ever posted. A
    delivery that fails its checks is fetched once more, through a fresh link: what is wrong twice is wrong.

    Args:
        entry: The journal entry that holds the Kling task id.
        task: The Kling task as it was just read, or `None` to read it again.
        connections: Provider and archive.

    Raises:
        ClipUnavailable: No link worked; the job stays open.
        ClipRejected: What was delivered is not the whole, right video; the job stays open.
    """
    archive = connections.archive
    sidecar = await archive.find_done(entry.job_id)
    if sidecar is None:
        clip, task = await _bring_home(entry, task, connections)
        described = _describe(entry, task, clip)
        sidecar = await archive.commit(described)
        if sidecar == described:
            count_archived(sidecar)
    last = await archive.journal.last(entry.job_id, after=entry)
    await connections.budget.settle(last or entry, connections.budget.charged(sidecar.cost.reported_units))
    await archive.journal.close(entry.job_id, last.number if last else 0)
    return sidecar


async def _bring_home(
    entry: Entry, task: KlingTask | None, connections: Connections
) -> tuple[StoredClip, KlingTask | None]:
    if clip := await _adopt(entry, task, connections):
        return clip, task or await _read_if_possible(entry, connections)
    return await fetch("clip", entry, task, connections, partial(_download, entry, connections=connections))


async def _adopt(entry: Entry, task: KlingTask | None, connections: Connections) -> StoredClip | None:
    """Return the clip that is in the archive without its sidecar; one that is not right is moved aside."""
    if not await connections.archive.has_clip(entry.job_id):
        return None
    try:
        return await adopt_clip(connections.archive.store, entry.job_id, _seconds(entry, task))
    except ClipRejected as error:
        run_logger().warning("The clip in the archive is fetched anew: %s", error.message)
        return None


async def _download(entry: Entry, task: KlingTask, connections: Connections) -> StoredClip:
    if task.status is not TaskStatus.SUCCEED or task.video is None:
        raise ClipUnavailable(
            f"The Kling task is {task.provider_status!r} and names no video",
            Facts(request_id=task.request_id),
            "Ask the provider's support with the Kling task id; reconcile-jobs goes on looking.",
        )
    deliver = partial(Delivery, task.video.url, client=connections.delivery)
    return await store_clip(connections.archive.store, entry.job_id, deliver, _seconds(entry, task))


async def _read_if_possible(entry: Entry, connections: Connections) -> KlingTask | None:
    """Read what the task cost; the clip is there, so nothing depends on it."""
    try:
        return await read_task(entry, connections)
    except ProviderError:
        return None


def _seconds(entry: Entry, task: KlingTask | None) -> float | None:
    audio = entry.job.get("audio")
    if audio:
        return float(audio["seconds"])
    return task.video.seconds if task and task.video else None


def _describe(entry: Entry, task: KlingTask | None, clip: StoredClip) -> Sidecar:
    return Sidecar(
        job_id=entry.job_id,
        name=entry.job["name"],
        requested=Requested.model_validate(entry.job),
        provided=Provided(
            base_url=entry.base_url,
            task_id=entry.kling_task_id or "",
            external_task_id=entry.external_task_id,
            video_id=task.video.id if task and task.video else None,
            request_id=task.request_id if task else None,
            surplus_task_ids=entry.surplus_task_ids,
        ),
        clip=clip,
        times=Times(
            intended=entry.intended_at,
            submitted=entry.submitted_at,
            created=task.created_at if task else None,
            finished=task.updated_at if task else None,
            archived=now(),
        ),
        cost=Cost(
            estimated_usd=entry.job.get("estimated_usd"),
            reported_units=decimal_of(task.charged_units if task else None),
            reported_quota=decimal_of(task.charged_quota if task else None),
            reported_list_price=decimal_of(task.charged_list_price if task else None),
        ),
    )
