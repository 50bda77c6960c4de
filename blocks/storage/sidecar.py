"""The JSON beside a clip: what was asked, what it became, what it cost. It is the mark that a job is done."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blocks.errors import StorageUnavailable
from blocks.storage.layout import sidecar_key
from blocks.storage.store import Store


class Input(BaseModel):
    """The portrait or the voice clip, by digest and by where it came from (without secrets)."""

    model_config = ConfigDict(frozen=True)

    reference: str
    sha256: str
    size: int
    width: int | None = None
    height: int | None = None
    seconds: float | None = None


class Requested(BaseModel):
    """What was asked for."""

    model_config = ConfigDict(frozen=True)

    image: Input
    audio: Input | None = None
    audio_id: str | None = None
    prompt: str
    mode: str
    take: int = 1
    rights: str | None = Field(default=None, description="Note on the consent for face and voice.")


class Provided(BaseModel):
    """What the provider calls it."""

    model_config = ConfigDict(frozen=True)

    base_url: str
    task_id: str
    external_task_id: str
    video_id: str | None = None
    request_id: str | None = None
    surplus_task_ids: tuple[str, ...] = Field(default=(), description="Bought besides; wanted: empty.")


class StoredClip(BaseModel):
    """The clip as it was measured while it was stored."""

    model_config = ConfigDict(frozen=True)

    key: str = Field(description="Key of the clip, relative to the root of the archive.")
    size: int = Field(description="Bytes.")
    sha256: str
    seconds: float
    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")
    fps: float | None = Field(default=None, description="Frames per second.")
    video_codec: str
    audio_codec: str
    bit_rate: int | None = Field(default=None, description="Bits per second, over all.")


class Times(BaseModel):
    """When each step of the job was done, in UTC."""

    model_config = ConfigDict(frozen=True)

    intended: datetime | None = None
    submitted: datetime | None = None
    finished: datetime | None = Field(default=None, description="As the provider says.")
    archived: datetime


class Cost(BaseModel):
    """What it cost: our estimate and the provider's word, each where known."""

    model_config = ConfigDict(frozen=True)

    estimated_usd: Decimal | None = None
    reported_units: Decimal | None = Field(default=None, description="Kling units, as reported.")


@cache
def _our_version() -> str:
    return version("kling-avatar-flows")


class Software(BaseModel):
    """What wrote the sidecar."""

    model_config = ConfigDict(frozen=True)

    name: str = "kling-avatar-flows"
    version: str = Field(default_factory=_our_version)


class Sidecar(BaseModel):
    """The whole record of one finished job, version 1."""

    model_config = ConfigDict(frozen=True, title="Kling avatar sidecar")

    schema_version: Literal[1] = 1
    job_id: str
    name: str
    requested: Requested
    provided: Provided
    clip: StoredClip
    times: Times
    cost: Cost
    software: Software = Field(default_factory=Software)


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
