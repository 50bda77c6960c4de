"""From a text to the voice of an avatar: bought once, archived, and handed on by its id while that lives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from prefect import runtime

from blocks.credentials import CometAPICredentials
from blocks.errors import (
    ClipError,
    Facts,
    Fault,
    InvalidRequest,
    JobOverdue,
    NotSent,
    ProviderError,
    ProviderUnavailable,
    SlowDown,
    TaskNotFound,
)
from blocks.kling.client import KlingClient
from blocks.kling.job import AudioInput, Job, Speech
from blocks.kling.models import KlingTask, TaskStatus
from blocks.kling.speech import SpeechRequest
from blocks.storage.journal import Entry
from blocks.storage.speech import SpeechSidecar, audio_id_lives
from flows.tasks.connections import Connections
from flows.tasks.logs import run_logger
from flows.tasks.poll import read_task, record_failure
from flows.tasks.purchase import Order
from flows.tasks.speech.archive import archive_speech

Buy = Callable[[Order, Connections], Awaitable[Entry]]

_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0)


class Voice(NamedTuple):
    """A speech that is made.

    Attributes:
        audio: The archived sound, or `None` when it could not be fetched.
        audio_id: Kling's id of it, while an avatar can be made from it.
        seconds: Its length, measured, or as the provider states it.
    """

    audio: AudioInput | None
    audio_id: str | None
    seconds: float | None


async def give_voice(job: Job, connections: Connections, buy: Buy) -> Job:
    """Make the speech that a job needs, or take the one that was made before. MAY spend money, once.

    Args:
        job: The job; one that has its voice, or needs no speech, is returned as it is.
        connections: Provider and archive.
        buy: Buys what is ordered, or hands back what was bought before.

    Raises:
        InvalidRequest: The speech is too short or too long to be the voice of an avatar; it is kept.
        NeedsDecision: It may have been bought and nobody can tell.
        AvatarError: It could not be made.
    """
    if job.speech is None or job.audio or job.audio_id:
        return job
    voice = await make_speech(job.speech, connections, buy)
    check_seconds(voice.seconds, job.speech, connections.credentials)
    prices = connections.credentials.prices
    estimate = prices.of_video(voice.seconds, job.mode) if voice.seconds else None
    known = {"audio": voice.audio, "audio_id": voice.audio_id, "estimated_usd": estimate}
    return job.model_copy(update=known)


async def make_speech(speech: Speech, connections: Connections, buy: Buy) -> Voice:
    """Buy a speech and archive it, or take the one that was made before. MAY spend money, once."""
    if made := await connections.archive.find_speech(speech.speech_id):
        return _of_archive(made, connections)
    heard: list[KlingTask] = []

    async def build(_: str) -> SpeechRequest:
        return speech.request

    async def post(client: KlingClient, request: SpeechRequest) -> KlingTask:
        # MONEY: the one POST of a speech; `buy` sees to it that it is sent once.
        heard.append(await client.speak(request))
        return heard[-1]

    entry = await buy(Order(speech, build, run=runtime.flow_run.name or "", post=post), connections)
    task = heard[-1] if heard else None
    try:
        task = await _finished(entry, task, connections)
        return _of_archive(await archive_speech(entry, task, connections), connections)
    except (ClipError, ProviderError) as error:
        return _unarchived(entry, task, error.about(job_id=entry.job_id, kling_task_id=entry.kling_task_id))


async def _finished(entry: Entry, task: KlingTask | None, connections: Connections) -> KlingTask | None:
    """Wait for speech that was not in the answer to its POST; that it can be asked for is only reported.

    Raises:
        TaskFailed: Kling failed the task.
        JobOverdue: It was not heard of in time; it stays open.
    """
    if task is None and (entry.audio_id or await connections.archive.find_speech(entry.job_id)):
        return None
    pauses = iter(_PAUSES)
    while task is None or not (task.audio or task.status.is_final):
        pause = next(pauses, None)
        if pause is None:
            raise _late(entry)
        await asyncio.sleep(pause)
        task = await _look(entry, connections)
    if task.status is TaskStatus.FAILED:
        raise await record_failure(entry, task, connections)
    return task


def _late(entry: Entry) -> JobOverdue:
    return JobOverdue(
        f"The speech was bought, and within {sum(_PAUSES):.0f} s the provider did not hand it over",
        Facts(job_id=entry.job_id, kling_task_id=entry.kling_task_id),
        "Run it again later: nothing is posted again. If the provider never answers for this Kling task, "
        "ask for another take of the speech, which is paid for anew.",
    )


async def _look(entry: Entry, connections: Connections) -> KlingTask | None:
    try:
        return await read_task(entry, connections)
    except (NotSent, ProviderUnavailable, SlowDown, TaskNotFound) as error:
        run_logger().info("The speech cannot be read yet: %s", error.message)
        return None


def _of_archive(made: SpeechSidecar, connections: Connections) -> Voice:
    audio = AudioInput(
        reference=connections.archive.address(made.audio.key),
        sha256=made.audio.sha256,
        size=made.audio.size,
        seconds=made.audio.seconds,
    )
    return Voice(audio, made.usable_audio_id(connections.credentials.base_url), audio.seconds)


def _unarchived(entry: Entry, task: KlingTask | None, error: ClipError | ProviderError) -> Voice:
    """Go on without the sound where Kling's id of it is known and lives: it is paid for all the same.

    Raises:
        ClipError: The id is not known or has expired.
        ProviderError: As above.
    """
    audio = task.audio if task else None
    audio_id = audio.id if audio and audio.id else entry.audio_id
    if not audio_id or not audio_id_lives(entry.intended_at or entry.at):
        raise error
    run_logger().warning("The speech is used by its id, because it cannot be archived: %s", error.message)
    return Voice(None, audio_id, audio.seconds if audio else entry.audio_seconds)


def check_seconds(seconds: float | None, speech: Speech, credentials: CometAPICredentials) -> None:
    """Refuse speech that cannot be the voice of an avatar, before the avatar is bought.

    Raises:
        InvalidRequest: It is too short or too long.
    """
    limits = credentials.media_limits
    if seconds is None or limits.audio_min_seconds <= seconds <= limits.audio_max_seconds:
        return
    pace = len(speech.text) / seconds
    limit = f"{limits.audio_min_seconds:g} to {limits.audio_max_seconds:g} s"
    about = f"about {pace * limits.audio_min_seconds:.0f} to {pace * limits.audio_max_seconds:.0f} characters"
    found = f"{len(speech.text):,} characters, spoken in {seconds:.3f} s, {pace:.3g} a second"
    raise InvalidRequest(
        (Fault("text", found, f"{limit}: {about} at this pace"),),
        Facts(job_id=speech.speech_id, charged="yes"),
        "Change the text or the speed, or ask for several clips with split. The speech was paid for and is "
        "kept; no video was bought.",
    )
