"""Does once, in the process that forks, what every fork would do again: first calls, caches, lazy parts."""

from __future__ import annotations

import gc
import io
import wave

import av
from PIL import Image

from blocks.media.wire import Kind, answer

_RATE = 44_100
_SAMPLES = 1024


def warm_up() -> None:
    """Measure one tiny file of our own of each kind, then keep the collector away from what forks share.

    A page that a fork writes to is copied first, and the collector would write to all of them.
    """
    files: tuple[tuple[Kind, bytes], ...] = (("image", _image()), ("audio", _sound()), ("clip", _clip()))
    for kind, data in files:
        answer(kind, io.BytesIO(data))
    gc.collect()
    gc.disable()
    gc.freeze()


def _image() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    return file.getvalue()


def _sound() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(_RATE)
        sound.writeframes(bytes(2 * _SAMPLES))
    return file.getvalue()


def _clip() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        video = container.add_stream("mpeg4", rate=25, width=16, height=16, pix_fmt="yuv420p")
        sound = container.add_stream("aac", rate=_RATE, layout="mono")
        samples = av.AudioFrame(format="fltp", layout="mono", samples=_SAMPLES)
        samples.rate = _RATE
        samples.planes[0].update(bytes(samples.planes[0].buffer_size))
        picture = av.VideoFrame(16, 16, "yuv420p")
        picture.pts = samples.pts = 0
        container.mux([*video.encode(picture), *video.encode(None)])
        container.mux([*sound.encode(samples), *sound.encode(None)])
    return file.getvalue()
