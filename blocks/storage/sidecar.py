"""The JSON beside a clip: what was asked, what it became, what it cost. It is the mark that a job is done.

The models here are published as a JSON Schema: see `blocks.storage.schema`. A sidecar is never changed once
it is written, so a new field needs a default, and old sidecars stay readable.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blocks.errors import StorageUnavailable
from blocks.storage.layout import sidecar_key
from blocks.storage.store import Store

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Input(BaseModel):
    """The portrait or the voice clip, by digest and by where it came from (without secrets)."""

    model_config = ConfigDict(frozen=True)

    reference: str = Field(description="Where it came from: a path or address, without query and user name.")
    sha256: Digest = Field(description="SHA-256 of its bytes, in hexadecimal digits.")
    size: int = Field(ge=0, description="Bytes.")
    width: int | None = Field(default=None, description="Pixels, of a portrait.")
    height: int | None = Field(default=None, description="Pixels, of a portrait.")
    seconds: float | None = Field(default=None, description="Measured length of a voice clip.")


class Requested(BaseModel):
    """What was asked for."""

    model_config = ConfigDict(frozen=True)

    image: Input = Field(description="The portrait.")
    audio: Input | None = Field(default=None, description="The voice clip, unless there is an `audio_id`.")
    audio_id: str | None = Field(default=None, description="Id of speech made by Kling TTS.")
    prompt: str = Field(description="How the person behaves, as it was sent.")
    mode: str = Field(description="Kling's mode: `std` or `pro`.")
    take: int = Field(default=1, ge=1, description="Number of the deliberate version, from 1.")
    rights: str | None = Field(default=None, description="Note on the consent for face and voice.")


class Provided(BaseModel):
    """What the provider calls it."""

    model_config = ConfigDict(frozen=True)

    base_url: str = Field(description="The API it was bought from.")
    task_id: str = Field(description="Kling task id: a decimal string too long for a number.")
    external_task_id: str = Field(description="Our name for the Kling task.")
    video_id: str | None = Field(default=None, description="The provider's id of the video.")
    request_id: str | None = Field(default=None, description="Id of the answer that named the video.")
    surplus_task_ids: tuple[str, ...] = Field(
        default=(), description="Kling tasks bought besides; wanted: empty."
    )


class StoredClip(BaseModel):
    """The clip as it was measured while it was stored."""

    model_config = ConfigDict(frozen=True)

    key: str = Field(description="Key of the clip, relative to the root of the archive.")
    size: int = Field(ge=0, description="Bytes.")
    sha256: Digest = Field(description="SHA-256 of the clip, in hexadecimal digits.")
    seconds: float = Field(description="Length of the clip.")
    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")
    fps: float | None = Field(default=None, description="Frames per second.")
    video_codec: str = Field(description="FFmpeg's name of the video codec.")
    audio_codec: str = Field(description="FFmpeg's name of the audio codec.")
    bit_rate: int | None = Field(default=None, description="Bits per second, over all.")


class Times(BaseModel):
    """When each step of the job was done, in UTC."""

    model_config = ConfigDict(frozen=True)

    intended: datetime | None = Field(default=None, description="The journal announced the POST.")
    submitted: datetime | None = Field(default=None, description="The Kling task id was written down.")
    created: datetime | None = Field(default=None, description="The Kling task began, as the provider says.")
    finished: datetime | None = Field(default=None, description="The Kling task ended, as the provider says.")
    archived: datetime = Field(description="The clip was whole, checked and in the archive.")

    @property
    def waited_seconds(self) -> float | None:
        """Seconds from the submit until the provider was done, by its own clock where it tells both."""
        began = self.created or self.submitted
        return max(0.0, (self.finished - began).total_seconds()) if began and self.finished else None


class Cost(BaseModel):
    """What it cost: our estimate and the provider's word, each where known."""

    model_config = ConfigDict(frozen=True)

    estimated_usd: Decimal | None = Field(
        default=None, description="US dollars, by list price and measured seconds, before the POST."
    )
    reported_units: Decimal | None = Field(default=None, description="Kling units, as reported.")
    reported_quota: Decimal | None = Field(
        default=None, description="Deduction from a cash balance, as reported."
    )
    reported_list_price: Decimal | None = Field(
        default=None, description="List price of that deduction, as reported."
    )


@cache
def _our_version() -> str:
    return version("kling-avatar-flows")


class Software(BaseModel):
    """What wrote the sidecar."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(default="kling-avatar-flows", description="Name of the package.")
    version: str = Field(default_factory=_our_version, description="Version of the package.")


class Sidecar(BaseModel):
    """The whole record of one finished job, version 1."""

    model_config = ConfigDict(frozen=True, title="Kling avatar sidecar")

    schema_version: Literal[1] = Field(default=1, description="Raised when an old reader would go wrong.")
    job_id: Digest = Field(
        description="SHA-256 over the canonical JSON of what decides the picture: digests of portrait and "
        "voice clip (or the audio id), prompt, mode and take."
    )
    name: str = Field(description="What people call the video; it decides nothing.")
    requested: Requested = Field(description="What was asked for.")
    provided: Provided = Field(description="What the provider calls it.")
    clip: StoredClip = Field(description="The clip beside this file.")
    times: Times = Field(description="When each step was done.")
    cost: Cost = Field(description="What it cost.")
    software: Software = Field(default_factory=Software, description="What wrote this file.")


async def read_sidecar(store: Store, job_id: str) -> Sidecar | None:
    """Return the sidecar of `job_id`, or `None` when the job is not done.

    Raises:
        StorageUnavailable: The sidecar is there and cannot be read.
    """
    data = await store.read(sidecar_key(job_id))
    if data is None:
        return None
    try:
        return Sidecar.model_validate_json(data)
    except ValidationError as error:
        raise StorageUnavailable(
            f"The sidecar {sidecar_key(job_id)} cannot be read: {error.error_count()} fields are wrong",
            next_step="Restore the sidecar from a backup, or remove it to have the clip checked again.",
        ) from None


async def commit_sidecar(store: Store, sidecar: Sidecar) -> Sidecar:
    """Write the sidecar unless there is one; return the one that counts.

    Twice in a row is harmless: the first writer's sidecar stays.
    """
    text = sidecar.model_dump_json(indent=2).encode()
    if await store.create(sidecar_key(sidecar.job_id), text):
        return sidecar
    return await read_sidecar(store, sidecar.job_id) or sidecar
