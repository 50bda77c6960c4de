"""One wanted video: what decides the picture, and the names that follow from it."""

from __future__ import annotations

import hashlib
import json
import uuid
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict

from blocks.kling.models import Mode
from blocks.kling.speech import Language, SpeechRequest


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


class Speech(BaseModel):
    """One wanted speech, checked and not yet paid for.

    Attributes:
        speech_id: SHA-256 over what decides the sound. Asking for the same thing twice is the same speech.
        name: What people call it; it does not decide anything.
        text: What is said, as it is sent.
        voice: Kling's id of who says it.
        language: `en` or `zh`.
        speed: 0.8 to 2.0, with one decimal.
        take: Number of the deliberate version, from 1.
        estimated_usd: List price of the speech.
    """

    model_config = ConfigDict(frozen=True)

    speech_id: str
    name: str = ""
    text: str
    voice: str
    language: Language
    speed: float = 1.0
    take: int = 1
    estimated_usd: Decimal | None = None

    @property
    def job_id(self) -> str:
        """The speech id: the name of its journal."""
        return self.speech_id

    @property
    def request(self) -> SpeechRequest:
        """What is sent for it."""
        return SpeechRequest(
            text=self.text, voice_id=self.voice, voice_language=self.language, voice_speed=self.speed
        )


class Job(BaseModel):
    """One wanted video, checked and not yet paid for.

    Attributes:
        job_id: SHA-256 over what decides the picture. Asking for the same thing twice is the same job.
        name: What people call it; it does not decide anything.
        image: The portrait.
        audio: The voice clip, or `None` while it is not known: with a foreign `audio_id`, or before the
            speech was made.
        audio_id: Kling's id of speech that it made; it is sent instead of the voice clip.
        speech: The speech that is the voice, where a text was given.
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
    speech: Speech | None = None
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
        audio: `sha256:` and the digest of the voice clip's bytes, `audio_id:` and Kling's id, or `speech:`
            and the speech id: not what is sent, which is Kling's id at first and the archived bytes later.
        prompt: As it is sent.
        mode: As it is sent.
        take: Number of the deliberate version.
    """
    decisive = {"image": image_sha256, "audio": audio, "prompt": prompt, "mode": mode, "take": take}
    return hashlib.sha256(canonical_json(decisive)).hexdigest()


def speech_id_of(*, text: str, voice: str, language: str, speed: float, take: int) -> str:
    """Return the id of the speech that these decide.

    Args:
        text: As it is sent.
        voice: As it is sent.
        language: As it is sent.
        speed: As it is sent, with one decimal.
        take: Number of the deliberate version.
    """
    sound = {"text": text, "voice": voice, "language": language, "speed": f"{speed:.1f}"}
    decisive = sound | {"speech_take": take}
    return hashlib.sha256(canonical_json(decisive)).hexdigest()


def external_task_id_of(namespace: str, job_id: str, purchase: int) -> str:
    """Return our name for the Kling task of one purchase of a job.

    The first purchase is named by the job alone; a later one, after a failed Kling task, by its number too,
    because the provider wants each name once per account.
    """
    # https://apidoc.cometapi.com/it/api/video/kling/avatar : unique per account, which may be shared.
    name = job_id if purchase == 1 else f"{job_id}/{purchase}"
    return str(uuid.uuid5(uuid.UUID(namespace), name))


def body_bytes(job: Job | Speech) -> int:
    """Return about how long the body of a POST is, with its inputs in base64."""
    if isinstance(job, Speech):
        return len(job.text.encode())
    return (job.image.size + (job.audio.size if job.audio else 0)) * 4 // 3


def canonical_json(value: Any) -> bytes:
    """Return the one JSON text of `value`: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
