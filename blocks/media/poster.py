"""Makes the poster frame of a video, in the measuring process: a small JPEG of its first picture."""

from __future__ import annotations

from base64 import b64decode

from blocks.media.boxes import BoxWalker
from blocks.media.measure import measure

_MEDIA_BYTES = 4 * 1024 * 1024


class PosterMaker:
    """Sees a video from its first byte until it has seen enough; keeps at most 32 MiB, mostly far less."""

    def __init__(self) -> None:
        self._walker = BoxWalker(media_bytes=_MEDIA_BYTES)

    def feed(self, chunk: bytes) -> bool:
        """Take the next bytes; tell whether more are wanted. An index at the end means all of them."""
        self._walker.feed(chunk)
        return not self._walker.shows_its_beginning

    async def finish(self) -> bytes:
        """Return the poster: a JPEG with at most 480 pixels on its longer side and mostly below 64 KiB.

        Raises:
            MediaError: There is no picture, or it cannot be decoded.
            SetupMissing: The measuring process does not start.
        """
        made = await measure("poster", self._walker.pieces, self._walker.size)
        return b64decode(made["jpeg"])


async def make_thumbnail(picture: bytes) -> bytes:
    """Return a JPEG of a JPEG or PNG with at most 128 pixels on its longer side: a few KiB.

    Raises:
        MediaError: It cannot be decoded.
        SetupMissing: The measuring process does not start.
    """
    made = await measure("thumbnail", [(0, picture)])
    return b64decode(made["jpeg"])
