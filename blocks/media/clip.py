"""Measures a finished video while it streams into storage, without ever holding it."""

from __future__ import annotations

from blocks.errors import ClipRejected
from blocks.media.boxes import BoxWalker
from blocks.media.errors import MediaError
from blocks.media.facts import ClipFacts
from blocks.media.measure import measure
from blocks.media.signatures import HEAD_BYTES, looks_like

__all__ = ["ClipFacts", "ClipInspector", "check_seconds"]

_NEEDED = (b"ftyp", b"moov", b"mdat")


class ClipInspector:
    """Sees every byte of one MP4 and keeps only what measuring it needs: its index, at most 32 MiB.

    A fragmented MP4 that ends exactly between two fragments is whole by its structure; only
    `check_seconds` can tell that something is missing.
    """

    def __init__(self) -> None:
        self._walker = BoxWalker()
        self._head = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the video, in any lengths; never raises for what they hold."""
        if len(self._head) < HEAD_BYTES:
            self._head += chunk[: HEAD_BYTES - len(self._head)]
        self._walker.feed(chunk)

    async def finish(self) -> ClipFacts:
        """Check that what was fed is one whole video and measure it, in the measuring process.

        Raises:
            ClipRejected: It is cut off, no MP4, or has not exactly one video and one audio track.
            SetupMissing: The measuring process does not start.
        """
        problem = self._problem()
        if problem is not None:
            raise ClipRejected(f"The delivered video {problem}")
        try:
            found = await measure("clip", self._walker.pieces, self._walker.size)
        except MediaError as error:
            raise ClipRejected(f"The delivered video {error.reason}") from error
        return ClipFacts(**found)

    def _problem(self) -> str | None:
        seen = looks_like(self._head)
        if b"ftyp" not in self._walker.kinds and seen is not None:
            return f"is {seen}, not an MP4 file"
        problem = self._walker.problem()
        if problem is not None:
            return problem
        missing = [kind.decode() for kind in _NEEDED if kind not in self._walker.kinds]
        return f"lacks its {' and '.join(missing)} box" if missing else None


def check_seconds(facts: ClipFacts, expected_seconds: float) -> None:
    """Check that both tracks last as long as the sound the video was made from.

    The tolerance is one second or 5 % of the expected length, whichever is more: encoders pad, and the
    provider rounds to whole pictures.

    Raises:
        ClipRejected: They do not.
    """
    tolerance = max(1.0, expected_seconds * 0.05)
    for name, seconds in (("video", facts.seconds), ("audio", facts.audio_seconds)):
        if abs(seconds - expected_seconds) > tolerance:
            raise ClipRejected(
                f"The delivered video's {name} track lasts {seconds:.2f} s, "
                f"but {expected_seconds:.2f} s ± {tolerance:.2f} s were expected"
            )
