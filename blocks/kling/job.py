"""One wanted video: what decides the picture, and the names that follow from it."""

from __future__ import annotations

import hashlib
import json
import uuid
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict

from blocks.kling.models import Mode


class ImageInput(BaseModel):
    """A portrait as it was checked.

    Attributes:
        reference: Where it came from, without secrets.
        sha256: Digest of its bytes.
        size: Its bytes.
        width: Pixels.
        height: Pixels.
    """

    model_config = ConfigDict(frozen=True)

    reference: str
    sha256: str
    size: int
    width: int
    height: int


class AudioInput(BaseModel):
    """A voice clip as it was checked.

    Attributes:
        reference: Where it came from, without secrets.
        sha256: Digest of its bytes.
        size: Its bytes.
        seconds: Its length, measured.
    """

    model_config = ConfigDict(frozen=True)

    reference: str
    sha256: str
    size: int
    seconds: float


class Job(BaseModel):
    """One wanted video, checked and not yet paid for.

    Attributes:
        job_id: SHA-256 over what decides the picture. Asking for the same thing twice is the same job.
        name: What people call it; it does not decide anything.
        image: The portrait.
        audio: The voice clip, or `None` when `audio_id` names speech that Kling made.
        audio_id: Kling's id of that speech.
        prompt: What the avatar does.
        mode: `std` or `pro`.
        take: Number of the deliberate version, from 1.
        estimated_usd: List price by measured seconds, or `None` when the seconds are not known.
        rights: A note on the consent for face and voice, copied into the sidecar.
    """

    model_config = ConfigDict(frozen=True)

    job_id: str
    name: str
    image: ImageInput
    audio: AudioInput | None = None
    audio_id: str | None = None
    prompt: str
    mode: Mode
    take: int = 1
    estimated_usd: Decimal | None = None
    rights: str | None = None

    @property
    def seconds(self) -> float | None:
        """Length of the voice clip, which is the length of the video; `None` when it is not known."""
        return self.audio.seconds if self.audio else None


def job_id_of(*, image_sha256: str, audio: str, prompt: str, mode: str, take: int) -> str:
    """Return the id of the job that these decide.

    Args:
        image_sha256: Digest of the portrait's bytes.
        audio: `sha256:` and the digest of the voice clip's bytes, or `audio_id:` and Kling's id.
        prompt: As it is sent.
        mode: As it is sent.
        take: Number of the deliberate version.
    """
    decisive = {"image": image_sha256, "audio": audio, "prompt": prompt, "mode": mode, "take": take}
    return hashlib.sha256(canonical_json(decisive)).hexdigest()


def external_task_id_of(namespace: str, job_id: str, purchase: int) -> str:
    """Return our name for the Kling task of one purchase of a job.

    The first purchase is named by the job alone; a later one, after a failed Kling task, by its number too,
    because the provider wants each name once per account.
    """
    # https://apidoc.cometapi.com/it/api/video/kling/avatar : unique per account, which may be shared.
    name = job_id if purchase == 1 else f"{job_id}/{purchase}"
    return str(uuid.uuid5(uuid.UUID(namespace), name))


def body_bytes(job: Job) -> int:
    """Return about how long the body of a job's POST is, with its inputs in base64."""
    return (job.image.size + (job.audio.size if job.audio else 0)) * 4 // 3


def canonical_json(value: Any) -> bytes:
    """Return the one JSON text of `value`: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
