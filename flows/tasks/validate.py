"""Refusing before paying: every input is read, measured and compared with every documented limit."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from prefect import task

from blocks.errors import Fault, InvalidRequest, SourceUnavailable
from blocks.kling.job import AudioInput, ImageInput, Job, Speech, job_id_of
from blocks.kling.media import (
    check_audio,
    check_image,
    check_mode,
    check_one_audio,
    check_prompt,
)
from blocks.kling.sources import shown
from blocks.media import AudioFacts, ImageFacts
from flows.tasks.body import read_input
from flows.tasks.caching import once_per_run
from flows.tasks.checking import Checking
from flows.tasks.connections import Connections
from flows.tasks.request import Request
from flows.tasks.retrying import passes_with_time
from flows.tasks.wording import check_wording

_PAUSES = (2.0, 10.0)


@task(
    name="validate",
    task_run_name="validate {request.title}",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=passes_with_time,
    cache_policy=once_per_run("validate", "request"),
    result_serializer="json",
)
async def validate(request: Request, connections: Connections) -> Job:
    """Check a request against every documented limit before anything is paid for. Costs nothing."""
    return await check_request(request, connections)


async def check_again(request: Request, connections: Checking) -> Job:
    """Check a request as `validate` does, without a task run; see `check_request`."""
    for pause in _PAUSES:
        try:
            return await check_request(request, connections)
        except SourceUnavailable:
            await asyncio.sleep(pause)
    return await check_request(request, connections)


async def check_request(request: Request, connections: Checking) -> Job:
    """Read and measure the inputs of a request and return the job it asks for.

    At most the documented limit plus one byte of each input is read. Nothing is sent to the provider.

    Raises:
        InvalidRequest: Everything that is wrong with the request, at once.
        SourceUnavailable: An input cannot be read at the moment.
    """
    faults = [
        *check_one_audio(request.audio, request.audio_id, request.text),
        *check_prompt(request.prompt),
        *check_mode(request.mode),
        *_check_take(request.take),
    ]
    # Once a run for each reference: what is sent is read again and compared with what was checked.
    (image, image_faults), (audio, audio_faults) = await asyncio.gather(
        connections.inputs.get(("image", request.image), _check_image(request.image, connections)),
        connections.inputs.get(("audio", request.audio), _check_audio(request.audio, connections)),
    )
    speech, speech_faults = check_wording(request, connections.credentials)
    faults += [*image_faults, *audio_faults, *speech_faults]
    if faults or image is None:
        raise InvalidRequest(tuple(faults))
    return _job(request, image, audio or speech, connections)


def _check_take(take: int) -> tuple[Fault, ...]:
    return () if take >= 1 else (Fault("take", str(take), "a whole number from 1"),)


async def _check_image(reference: str, connections: Checking) -> tuple[ImageInput | None, tuple[Fault, ...]]:
    limits = connections.credentials.media_limits
    data, faults = await _read(reference, limits.image_bytes, "image", connections)
    facts: ImageFacts | None = None
    if data is not None:
        facts, faults = await check_image(data, limits)
    if data is None or facts is None:
        return None, faults
    return ImageInput(**_identity(reference, data), width=facts.width, height=facts.height), faults


async def _check_audio(
    reference: str | None, connections: Checking
) -> tuple[AudioInput | None, tuple[Fault, ...]]:
    if not (reference and reference.strip()):
        return None, ()
    limits = connections.credentials.media_limits
    data, faults = await _read(reference, limits.audio_bytes, "audio", connections)
    facts: AudioFacts | None = None
    if data is not None:
        facts, faults = await check_audio(data, limits)
    if data is None or facts is None:
        return None, faults
    return AudioInput(**_identity(reference, data), seconds=round(facts.seconds, 3)), faults


async def _read(
    reference: str, limit: int, field: str, connections: Checking
) -> tuple[bytes | None, tuple[Fault, ...]]:
    found = await read_input(reference, limit, field, connections)
    return (None, (found,)) if isinstance(found, Fault) else (found, ())


def _identity(reference: str, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    return {"reference": shown(reference), "sha256": digest, "size": len(data)}


def _job(
    request: Request, image: ImageInput, voice: AudioInput | Speech | None, connections: Checking
) -> Job:
    prompt = request.prompt.strip()
    audio = voice if isinstance(voice, AudioInput) else None
    job_id = job_id_of(
        image_sha256=image.sha256,
        audio=_name_of(voice) or f"audio_id:{request.audio_id}",
        prompt=prompt,
        mode=request.mode,
        take=request.take,
    )
    estimate = connections.credentials.prices.of_video(audio.seconds, request.mode) if audio else None
    return Job.model_validate(
        {
            "job_id": job_id,
            "name": request.title,
            "image": image,
            "audio": audio,
            "audio_id": None if voice else request.audio_id,
            "speech": voice if isinstance(voice, Speech) else None,
            "prompt": prompt,
            "mode": request.mode,
            "take": request.take,
            "estimated_usd": estimate,
            "rights": request.rights,
        }
    )


def _name_of(voice: AudioInput | Speech | None) -> str | None:
    if isinstance(voice, Speech):
        return f"speech:{voice.speech_id}"
    return f"sha256:{voice.sha256}" if voice else None
