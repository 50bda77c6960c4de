"""The poster frame of a clip: made once, kept beside the clip, shown wherever people look."""

from __future__ import annotations

import asyncio
from base64 import b64encode

from blocks.storage.archive import Archive
from blocks.storage.posters import read_poster, store_poster
from flows.tasks.logs import run_logger

_SECONDS = 120


async def poster_of(job_id: str, archive: Archive) -> bytes | None:
    """Return the poster of a clip that is in the archive, made now if there is none. Costs nothing.

    Reads the clip up to its first picture, a few MiB as a rule. No run fails for a picture: what goes wrong
    is logged.

    Returns:
        A JPEG of some tens of KB, or `None` when none could be made.
    """
    try:
        async with asyncio.timeout(_SECONDS):
            return await read_poster(archive.store, job_id) or await store_poster(archive.store, job_id)
    except Exception as error:  # noqa: BLE001 # the clip is archived, and a picture of it decides nothing
        run_logger().warning("There is no poster of job %s: %s", job_id[:12], type(error).__name__)
        return None


def as_markdown(picture: bytes, says: str, kind: str = "jpeg") -> str:
    """Return a picture as markdown that needs no other place: Prefect's UI shows `data:` pictures.

    Args:
        picture: The file.
        says: What it shows, without any text of others.
        kind: What it is: `jpeg`, or `svg+xml`.
    """
    return f"![{says}](data:image/{kind};base64,{b64encode(picture).decode()})"
