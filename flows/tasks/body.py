"""The request body: built late, from inputs that are read again, because bytes never travel in Prefect."""

from __future__ import annotations

import base64
import hashlib

from blocks.errors import Fault, InvalidRequest
from blocks.kling.job import AudioInput, ImageInput, Job
from blocks.kling.models import AvatarRequest
from blocks.kling.sources import read_source, sendable_url
from flows.tasks.checking import Checking
from flows.tasks.connections import Connections
from flows.tasks.request import Request


async def build_request(
    job: Job, request: Request, connections: Connections, external_task_id: str
) -> AvatarRequest:
    """Build what is sent for a job: public addresses as they are, everything else as base64.

    Raises:
        InvalidRequest: An input is no longer what was checked; nothing was sent.
        SourceUnavailable: An input cannot be read now; nothing was sent.
    """
    limits = connections.credentials.media_limits
    sound_file = None
    voice = job.audio.reference if job.speech and job.audio else request.audio
    if job.audio and voice and job.audio_id is None:
        sound_file = await _media("audio", voice, job.audio, limits.audio_bytes, connections)
    return AvatarRequest(
        image=await _media("image", request.image, job.image, limits.image_bytes, connections),
        sound_file=sound_file,
        audio_id=job.audio_id,
        prompt=job.prompt,
        mode=job.mode,
        callback_url=connections.credentials.callback_url_of(job.job_id),
        external_task_id=external_task_id,
    )


async def read_input(reference: str, limit: int, field: str, connections: Checking) -> bytes | Fault:
    """Read an image or audio, at most `limit` bytes and one more, with the rights that this run has."""
    place = connections.place
    return await read_source(
        reference,
        limit,
        field,
        allow_hosts=connections.credentials.local_hosts,
        storage_options=place.source_options(reference) if place else None,
    )


async def _media(
    field: str, reference: str, checked: ImageInput | AudioInput, limit: int, connections: Connections
) -> str:
    if url := sendable_url(reference):
        return url
    # The digest is of what was checked, so is the text that is kept under it.
    if kept := connections.bodies.encoded(checked.sha256):
        return kept
    data = await read_input(reference, limit, field, connections)
    if isinstance(data, Fault):
        raise InvalidRequest((data,))
    if hashlib.sha256(data).hexdigest() != checked.sha256:
        fault = Fault(field, "changed since it was checked", "the same bytes; run it again to check it anew")
        raise InvalidRequest((fault,))
    text = base64.b64encode(data).decode("ascii")
    connections.bodies.keep(checked.sha256, text)
    return text
