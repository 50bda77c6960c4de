"""Real clips of any size: one that the sandbox rendered, with more media data than its pictures need."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from blocks.media.measure import measure_audio
from blocks.sandbox.render import LOOKS, render_clip

SAMPLES = Path(__file__).parents[3] / "blocks/sandbox/samples"
_PIECE_BYTES = 2**20


def write_clip(path: Path, size: int) -> None:
    """Write a playable MP4 of `size` bytes, at most 4 GiB; what fills it is of no kind that compresses."""
    rendered = _rendered()
    start = rendered.index(b"mdat") - 4
    if int.from_bytes(rendered[start : start + 4], "big") != len(rendered) - start:
        raise RuntimeError("the media data are not the last box")
    filling = random.Random(1).randbytes(_PIECE_BYTES)  # noqa: S311 # hides nothing
    missing = size - len(rendered)
    with path.open("wb") as file:
        file.write(rendered[:start] + (size - start).to_bytes(4, "big") + rendered[start + 4 :])
        while missing > 0:
            missing -= file.write(filling[:missing])


async def voice_seconds() -> float:
    """Return how long the voice is from which the clips are made."""
    return (await measure_audio((SAMPLES / "voice.mp3").read_bytes())).seconds


@cache
def _rendered() -> bytes:
    image, audio = (SAMPLES / "portrait.png").read_bytes(), (SAMPLES / "voice.mp3").read_bytes()
    with TemporaryDirectory() as folder:
        target = Path(folder, "clip.mp4")
        render_clip(image, audio, LOOKS["fast"], target, lambda: False)
        return target.read_bytes()
