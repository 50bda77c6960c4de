"""The poster frame beside a clip: a small picture for people, which can be made again at any time."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from blocks.media.poster import PosterMaker
from blocks.storage.layout import clip_key, poster_key
from blocks.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


async def store_poster(store: Store, job_id: str) -> bytes:
    """Make the poster of a clip in the archive, keep it beside the clip and return it.

    Reads the clip up to its first picture: a few MiB, or all of it when its index is at the end. Twice in a
    row is harmless.

    Returns:
        A JPEG with at most 480 pixels on its longer side, some tens of KB.

    Raises:
        MediaError: The clip has no picture that can be decoded.
        StorageUnavailable: There is no such clip, or the archive does not answer.
    """
    maker = PosterMaker()
    # Every store's stream is a generator; left half read it has to be closed, or its connection stays open.
    async with aclosing(cast("AsyncGenerator[bytes]", store.chunks(clip_key(job_id)))) as chunks:
        async for chunk in chunks:
            if not maker.feed(chunk):
                break
    poster = await maker.finish()
    await store.replace(poster_key(job_id), poster)
    return poster


async def read_poster(store: Store, job_id: str) -> bytes | None:
    """Return the poster of a job, or `None` when none was made yet."""
    return await store.read(poster_key(job_id))
