"""What the gallery's page knows of one clip."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from blocks.storage.sidecar import Digest, Sidecar
from blocks.storage.store import Found


class Entry(BaseModel):
    """One clip.

    Attributes:
        id: The job id, from which the page knows where clip and poster are.
        size: Bytes.
        poster: Whether there is a poster; `None` when none was tried to make, `False` when it cannot be.
        seen: The sidecar that this was read from, as the listing showed it: when another is there, it is
            read again.
        clip: A signed link to the clip, in a page with links only.
        picture: A signed link to the poster, likewise.
    """

    model_config = ConfigDict(frozen=True)

    id: Digest
    name: str
    prompt: str
    mode: str
    take: int
    seconds: float = Field(allow_inf_nan=False)
    width: int
    height: int
    size: int
    archived: datetime
    usd: Decimal | None = None
    poster: bool | None = None
    seen: str = ""
    clip: str | None = None
    picture: str | None = None

    @classmethod
    def of(cls, sidecar: Sidecar, seen: str, poster: bool | None) -> Self:
        """Return the entry of a finished job."""
        clip = sidecar.clip
        return cls(
            id=sidecar.job_id,
            name=sidecar.name,
            prompt=sidecar.requested.prompt,
            mode=sidecar.requested.mode,
            take=sidecar.requested.take,
            seconds=clip.seconds,
            width=clip.width,
            height=clip.height,
            size=clip.size,
            archived=sidecar.times.archived,
            usd=sidecar.cost.estimated_usd,
            poster=poster,
            seen=seen,
        )


def seen_as(found: Found) -> str:
    """Return what tells one version of a sidecar from another in a listing."""
    return f"{found.size}-{found.modified:.3f}"
