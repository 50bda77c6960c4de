"""Speech without a voice: a sequence of tones whose length and tune follow the text."""

from __future__ import annotations

import math
from array import array
from functools import lru_cache
from io import BytesIO

import av

RATE = 16_000
# A thousand characters of English are said to be 60 to 75 seconds at normal speed.
CHARACTERS_PER_SECOND = 15
_FRAME = 1152


def speak(text: str, voice_id: str, speed: float) -> bytes:
    """Return an MP3 of the text: the same text, voice and speed give the same bytes."""
    samples = round(RATE / CHARACTERS_PER_SECOND / speed)
    pitch = 110 + sum(voice_id.encode()) % 110
    return _mp3(b"".join(_tone(character, pitch, samples) for character in text))


@lru_cache(maxsize=512)
def _tone(character: str, pitch: int, samples: int) -> bytes:
    if not character.isalnum():
        return bytes(2 * samples)
    frequency = pitch * 2 ** (ord(character) % 8 / 12)
    tone = (
        math.sin(2 * math.pi * frequency * i / RATE) * math.sin(math.pi * i / samples) for i in range(samples)
    )
    return array("h", (round(9000 * value) for value in tone)).tobytes()


def _mp3(pcm: bytes) -> bytes:
    out = BytesIO()
    with av.open(out, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=RATE, layout="mono")
        stream.bit_rate = 48_000
        for start in range(0, len(pcm), 2 * _FRAME):
            part = pcm[start : start + 2 * _FRAME]
            frame = av.AudioFrame(format="s16", layout="mono", samples=len(part) // 2)
            frame.planes[0].update(part)
            frame.sample_rate = RATE
            frame.pts = start // 2
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()
