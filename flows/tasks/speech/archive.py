"""Bringing paid speech home: from its delivery link into the archive, with its sidecar."""

from __future__ import annotations

import hashlib
from functools import partial

from blocks.errors import ClipUnavailable, Facts
from blocks.kling.delivery import Delivery
from blocks.kling.job import Speech
from blocks.kling.models import KlingTask, TaskStatus
from blocks.kling.prices import decimal_of
from blocks.storage.journal import Entry, now
from blocks.storage.sidecar import Cost
from blocks.storage.speech import LONGEST_BYTES, SpeechSidecar, StoredSpeech, commit_speech, store_speech
from flows.tasks.connections import Connections
from flows.tasks.events import emit_speech_made
from flows.tasks.fetching import fetch


async def archive_speech(entry: Entry, task: KlingTask | None, connections: Connections) -> SpeechSidecar:
    """Copy a speech that was bought into the archive and write its sidecar. Costs nothing.

    Twice in a row is harmless. A dead link is asked for again, where the provider answers that.

    Args:
        entry: The journal entry that holds the Kling task id.
        task: The Kling task as it was just heard, or `None` to read it.
        connections: Provider and archive.

    Raises:
        ClipUnavailable: No link worked; the speech stays open.
        ClipRejected: What was delivered is not the whole sound; the speech stays open.
        ProviderError: There is no link, and the provider does not answer for the Kling task.
    """
    archive = connections.archive
    sidecar = await archive.find_speech(entry.job_id)
    if sidecar is None:
        download = partial(_download, entry, connections=connections)
        stored, task = await fetch("speech", entry, task, connections, download)
        sidecar = _describe(entry, task, stored)
        if await commit_speech(archive.store, sidecar):
            emit_speech_made(sidecar, archive.address(stored.key))
        sidecar = await archive.find_speech(entry.job_id) or sidecar
    last = await archive.journal.last(entry.job_id)
    await connections.budget.settle(last or entry, connections.budget.charged(sidecar.cost.reported_units))
    await archive.journal.close(entry.job_id, last.number if last else 0)
    return sidecar


async def _download(entry: Entry, task: KlingTask, connections: Connections) -> StoredSpeech:
    audio = task.audio
    if task.status is not TaskStatus.SUCCEED or audio is None or not audio.url:
        raise ClipUnavailable(
            f"The Kling task is {task.provider_status!r} and names no speech",
            Facts(request_id=task.request_id),
            "Ask the provider's support with the Kling task id; reconcile-jobs goes on looking.",
        )
    delivery = Delivery(audio.url, client=connections.delivery, ceiling_bytes=LONGEST_BYTES, thing="speech")
    async with delivery as chunks:
        return await store_speech(connections.archive.store, entry.job_id, chunks, audio.seconds)


def _describe(entry: Entry, task: KlingTask, stored: StoredSpeech) -> SpeechSidecar:
    speech = Speech.model_validate(entry.job)
    moments = (task.created_at, entry.intended_at, entry.submitted_at)
    return SpeechSidecar(
        **speech.model_dump(exclude={"estimated_usd"}),
        text_sha256=hashlib.sha256(speech.text.encode()).hexdigest(),
        base_url=entry.base_url,
        task_id=entry.kling_task_id or task.task_id,
        audio_id=task.audio.id or None if task.audio else None,
        request_id=task.request_id,
        # The earliest: nothing is sent by an id that the provider has forgotten.
        made=min(moment for moment in (*moments, now()) if moment),
        archived=now(),
        audio=stored,
        cost=Cost(estimated_usd=speech.estimated_usd, reported_units=decimal_of(task.charged_units)),
    )
