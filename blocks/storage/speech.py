"""Speech in the archive: the sound that a text became, and the JSON beside it that says so."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blocks.errors import ClipRejected, StorageUnavailable
from blocks.media import AudioFacts, MediaError, measure_audio
from blocks.storage.journal import now
from blocks.storage.layout import speech_aside_key, speech_key, speech_sidecar_key
from blocks.storage.sidecar import Cost, Software
from blocks.storage.store import Store

LONGEST_BYTES = 32 * 1024 * 1024
"""A thousand characters are two megabytes of MP3; this much is held in memory at most."""

# "made in the last 30 days": https://klingai.com/document-api/api/video/avatar.md ; a day is kept in hand.
_AUDIO_ID_LIVES = timedelta(days=29)
_TOLERANCE_SECONDS = 1.0


class StoredSpeech(BaseModel):
    """The sound as it was measured when it was stored."""

    model_config = ConfigDict(frozen=True)

    key: str = Field(description="Key of the sound, relative to the root of the archive.")
    size: int = Field(description="Bytes.")
    sha256: str
    seconds: float
    format: str = Field(description="MP3, WAV, M4A or AAC.")
    codec: str
    sample_rate: int = Field(description="Samples per second.")
    channels: int


class SpeechSidecar(BaseModel):
    """The whole record of one speech, version 1."""

    model_config = ConfigDict(frozen=True, title="Kling speech sidecar")

    schema_version: Literal[1] = 1
    speech_id: str
    name: str
    text: str
    text_sha256: str
    voice: str
    language: str
    speed: float
    take: int
    base_url: str
    task_id: str
    audio_id: str | None = Field(default=None, description="Kling's id of it; it lives for 30 days.")
    request_id: str | None = None
    made: datetime = Field(description="When it was made, or shortly before; the 30 days count from here.")
    archived: datetime
    audio: StoredSpeech
    cost: Cost
    software: Software = Field(default_factory=Software)

    def usable_audio_id(self, base_url: str) -> str | None:
        """Return Kling's id of the speech while an avatar may be made from it there, else `None`."""
        return self.audio_id if self.base_url == base_url and audio_id_lives(self.made) else None


def audio_id_lives(made: datetime) -> bool:
    """Tell whether the id of a speech that was made then can still be used."""
    return now() - made < _AUDIO_ID_LIVES


async def store_speech(
    store: Store, speech_id: str, chunks: AsyncIterable[bytes], seconds: float | None
) -> StoredSpeech:
    """Take in a delivered speech and publish it if it is whole and right.

    Twice in a row is harmless: a sound that is there already stays and is the one that is described.

    Args:
        store: Where it goes.
        speech_id: Whose sound it is.
        chunks: Its bytes, in order; at most `LONGEST_BYTES`, which the download sees to.
        seconds: How long it is said to be, or `None` when that is not known.

    Raises:
        ClipRejected: It is not the whole, right sound; it was kept aside and not published.
    """
    data = b"".join([chunk async for chunk in chunks])
    try:
        facts = await _checked(data, seconds)
    except ClipRejected:
        await store.replace(speech_aside_key(speech_id, hashlib.sha256(data).hexdigest()), data)
        raise
    key = speech_key(speech_id, facts.format.lower())
    async with store.writer(key) as writer:
        await writer.write(data)
        published = await writer.publish()
    if not published:
        data = b"".join([chunk async for chunk in store.chunks(key)])
        facts = await _checked(data, seconds)
    return _described(key, data, facts)


async def read_speech(store: Store, speech_id: str) -> SpeechSidecar | None:
    """Return the sidecar of `speech_id`, or `None` when it is not made.

    Raises:
        StorageUnavailable: The sidecar is there and cannot be read.
    """
    data = await store.read(speech_sidecar_key(speech_id))
    if data is None:
        return None
    try:
        return SpeechSidecar.model_validate_json(data)
    except ValidationError as error:
        raise StorageUnavailable(
            f"The sidecar {speech_sidecar_key(speech_id)} cannot be read: "
            f"{error.error_count()} fields are wrong",
            next_step="Restore the sidecar from a backup; until it is readable nothing is posted for it.",
        ) from None


async def commit_speech(store: Store, sidecar: SpeechSidecar) -> bool:
    """Write the sidecar unless there is one; tell whether this call wrote it."""
    return await store.create(
        speech_sidecar_key(sidecar.speech_id), sidecar.model_dump_json(indent=2).encode()
    )


async def _checked(data: bytes, seconds: float | None) -> AudioFacts:
    try:
        facts = await measure_audio(data)
    except MediaError as error:
        raise ClipRejected(f"The delivered speech {error.reason}") from None
    if not facts.whole:
        raise ClipRejected(f"The delivered speech is cut off after {facts.seconds:.2f} s")
    if seconds is not None and abs(facts.seconds - seconds) > _TOLERANCE_SECONDS:
        raise ClipRejected(
            f"The delivered speech lasts {facts.seconds:.2f} s, but {seconds:.2f} s were announced"
        )
    return facts


def _described(key: str, data: bytes, facts: AudioFacts) -> StoredSpeech:
    return StoredSpeech(
        key=key,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        seconds=round(facts.seconds, 3),
        format=facts.format,
        codec=facts.codec,
        sample_rate=facts.sample_rate,
        channels=facts.channels,
    )
