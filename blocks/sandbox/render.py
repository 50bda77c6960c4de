"""A real clip: H.264 and AAC in an MP4 of the portrait, with a bar that moves with the given audio."""

from __future__ import annotations

import math
import warnings
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
from av.container import OutputContainer
from PIL import Image, ImageDraw, ImageOps

from blocks.sandbox.measure import AUDIO_OPTIONS

FRAMES_PER_SECOND = 12
RATE = 44_100
_DARK, _LIGHT = 50, 220


@dataclass(frozen=True, slots=True)
class Look:
    """How a clip is rendered.

    Attributes:
        short_side: Most pixels of its shorter side; nothing is enlarged.
        long_side: Most pixels of its longer side.
        crf: How much quality is given up, as x264 counts it.
        part: The part of the audio it shows.
        sound: Whether it has sound.
    """

    short_side: int
    long_side: int
    crf: int = 28
    part: float = 1.0
    sound: bool = True


LOOKS = {"std": Look(720, 1280), "pro": Look(1080, 1920, crf=22), "fast": Look(72, 128)}


class Cancelled(Exception):
    """The sandbox ends."""


def render_clip(image: bytes, audio: bytes, look: Look, target: Path, cancelled: Callable[[], bool]) -> None:
    """Write the clip to `target`; the same arguments give the same bytes.

    Raises:
        Cancelled: `cancelled` said so meanwhile; `target` is then not whole.
    """
    sounds = _sounds(audio, look.part)
    seconds = sum(sound.samples for sound in sounds) / RATE
    frames = max(1, round(seconds * FRAMES_PER_SECOND))
    painter = _Painter(image, look, _levels(sounds, frames))
    with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        clip = _Clip(container, look, painter, sounds if look.sound else [])
        for number in range(frames):
            if cancelled():
                raise Cancelled
            clip.write(number)
        clip.finish()


def _sounds(audio: bytes, part: float) -> list[av.AudioFrame]:
    resampler = av.AudioResampler("s16", "mono", RATE, frame_size=1024)
    with av.open(BytesIO(audio), "r", options=AUDIO_OPTIONS) as container:
        decoded = container.decode(container.streams.audio[0])
        sounds = [sound for frame in decoded for sound in resampler.resample(frame)]
    sounds += resampler.resample(None)
    kept = sounds[: math.ceil(len(sounds) * part)]
    for number, sound in enumerate(kept):
        sound.pts = 1024 * number
        sound.time_base = Fraction(1, RATE)
    return kept


def _levels(sounds: list[av.AudioFrame], frames: int) -> list[float]:
    samples = array("h")
    for sound in sounds:
        samples.frombytes(bytes(sound.planes[0])[: 2 * sound.samples])
    each = max(1, len(samples) // frames)
    parts = (samples[number * each : (number + 1) * each] for number in range(frames))
    return [max(max(part, default=0), -min(part, default=0)) / 32768 for part in parts]


class _Painter:
    """Paints each frame: a bar as long as the sound is loud, a line as long as time went.

    Only brightness changes, on a grey strip, and in the one frame that is there: x264 copies what it is
    given, and a frame of its own for each picture costs more than the encoding.
    """

    def __init__(self, image: bytes, look: Look, levels: list[float]) -> None:
        portrait = _portrait(image, look)
        self._width, self._height = portrait.size
        self._strip = max(2, self._height // 60)
        draw = ImageDraw.Draw(portrait)
        draw.rectangle((0, self._height - 4 * self._strip, self._width, self._height), fill=(40, 40, 40))
        frame = av.VideoFrame.from_image(portrait)  # type: ignore[no-untyped-call] # PyAV types half of it
        self.frame = frame.reformat(format="yuv420p")
        self._levels = levels

    def paint(self, number: int) -> None:
        """Paint the next frame into `frame`."""
        half = round(self._width * 0.45 * self._levels[number])
        middle = self._width // 2
        self._fill(3, middle - half, middle + half)
        self._fill(1, 0, round(self._width * (number + 1) / len(self._levels)))

    def _fill(self, strip: int, left: int, right: int) -> None:
        plane = self.frame.planes[0]
        pixels = memoryview(plane)
        row = (
            bytes([_DARK]) * left + bytes([_LIGHT]) * (right - left) + bytes([_DARK]) * (self._width - right)
        )
        top = self._height - strip * self._strip
        for y in range(top, top + max(1, self._strip // strip)):
            pixels[y * plane.line_size : y * plane.line_size + self._width] = row


def _portrait(image: bytes, look: Look) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(BytesIO(image)) as opened:
            opened.draft("RGB", (2 * look.long_side, 2 * look.long_side))
            upright = ImageOps.exif_transpose(opened).convert("RGB")
    short, long = sorted(upright.size)
    scale = min(1.0, look.short_side / short, look.long_side / long)
    width, height = (max(2, int(side * scale) // 2 * 2) for side in upright.size)
    return upright.resize((width, height))


class _Clip:
    """The two streams of a clip, written side by side."""

    def __init__(
        self, container: OutputContainer, look: Look, painter: _Painter, sounds: list[av.AudioFrame]
    ) -> None:
        self._container = container
        self._painter = painter
        self._video = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        self._video.width, self._video.height = painter.frame.width, painter.frame.height
        self._video.pix_fmt = "yuv420p"
        self._video.options = {"preset": "ultrafast", "tune": "stillimage", "threads": "1"}
        self._video.options |= {"crf": str(look.crf)}
        self._audio = (
            container.add_stream("aac", rate=RATE, layout="mono", options={"aac_coder": "fast"})
            if sounds
            else None
        )
        self._sounds = iter(sounds)

    def write(self, number: int) -> None:
        """Write frame `number` and the sound until its end."""
        self._painter.paint(number)
        frame = self._painter.frame
        frame.pts = number
        frame.time_base = Fraction(1, FRAMES_PER_SECOND)
        self._container.mux(self._video.encode(frame))
        self._write_sound(RATE * (number + 1) // FRAMES_PER_SECOND)

    def finish(self) -> None:
        """Write what is left."""
        self._container.mux(self._video.encode(None))
        self._write_sound(None)
        if self._audio is not None:
            self._container.mux(self._audio.encode(None))

    def _write_sound(self, until: int | None) -> None:
        if self._audio is None:
            return
        for sound in self._sounds:
            self._container.mux(self._audio.encode(sound))
            if until is not None and (sound.pts or 0) + sound.samples >= until:
                return
