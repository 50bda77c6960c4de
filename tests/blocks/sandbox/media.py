"""Images and audios of exactly the size and length a test wants."""

from __future__ import annotations

import base64
import wave
from functools import cache
from io import BytesIO

import av
from PIL import Image


@cache
def picture(width: int = 320, height: int = 400, kind: str = "PNG") -> bytes:
    out = BytesIO()
    Image.new("RGB", (width, height), (90, 140, 200)).save(out, kind)
    return out.getvalue()


@cache
def sound(seconds: float = 2.0, rate: int = 8000) -> bytes:
    out = BytesIO()
    with wave.open(out, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        frames = round(seconds * rate)
        period = b"".join((8000 if i < 20 else -8000).to_bytes(2, "little", signed=True) for i in range(40))
        writer.writeframes((period * (frames // 40 + 1))[: 2 * frames])
    return out.getvalue()


@cache
def encoded(form: str, codec: str, seconds: float = 3.0) -> bytes:
    out = BytesIO()
    with (
        av.open(BytesIO(sound(seconds, 44100)), "r") as source,
        av.open(out, "w", format=form) as target,
    ):
        stream = target.add_stream(codec, rate=44100, layout="mono")
        assert isinstance(stream, av.AudioStream)
        for frame in source.decode(source.streams.audio[0]):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return out.getvalue()


def padded(data: bytes, size: int) -> bytes:
    return data + bytes(size - len(data))


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def streams(data: bytes) -> tuple[set[str], float]:
    """Decode a clip whole; give its codecs and the seconds of its pictures."""
    with av.open(BytesIO(data), "r") as clip:
        codecs = {stream.codec_context.name for stream in (*clip.streams.video, *clip.streams.audio)}
        last = max(float(frame.time or 0) for frame in clip.decode(video=0))
        return codecs, last
