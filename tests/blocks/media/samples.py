"""Real media files of every kind, made by Pillow and PyAV."""

from __future__ import annotations

import io
import math
import random
import tempfile
from array import array
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import cast

import av
from PIL import Image

RATE = 44_100
_FRAGMENTED = "frag_keyframe+empty_moov+default_base_moof"
MP4_LAYOUTS = {
    "index at the end": {},
    "index at the front": {"movflags": "faststart"},
    "fragmented": {"movflags": _FRAGMENTED, "frag_duration": "400000"},
    "fragmented with an index of fragments": {"movflags": f"{_FRAGMENTED}+global_sidx"},
}


@cache
def picture(format_name: str, width: int = 400, height: int = 300, mode: str = "RGB") -> bytes:
    noise = Image.effect_noise((width, height), 60).convert(mode)
    out = io.BytesIO()
    noise.save(out, format_name)
    return out.getvalue()


def plain_png(width: int, height: int) -> bytes:
    """A picture of one colour: huge when decoded, small as a file."""
    out = io.BytesIO()
    Image.new("1", (width, height)).save(out, "PNG")
    return out.getvalue()


def several_pictures(format_name: str, count: int) -> bytes:
    frames = [Image.new("RGB", (320, 320), (shade * 40, 0, 0)) for shade in range(count)]
    out = io.BytesIO()
    frames[0].save(out, format_name, save_all=True, append_images=frames[1:])
    return out.getvalue()


@cache
def sound(
    format_name: str,
    codec: str,
    seconds: float = 3.0,
    *,
    rate: int = RATE,
    channels: int = 1,
    muxing: tuple[tuple[str, str], ...] = (),
    encoding: tuple[tuple[str, str], ...] = (),
    uneven: bool = False,
) -> bytes:
    """Encode sound; `uneven` is silent at first and loud later, which misleads guesses by bit rate."""
    out = io.BytesIO()
    with av.open(out, "w", format=format_name, options=dict(muxing)) as container:
        layout = "mono" if channels == 1 else "stereo"
        added = container.add_stream(codec, rate=rate, layout=layout, options=dict(encoding))
        stream = cast("av.AudioStream", added)
        for frame in _frames(seconds, rate, channels, uneven):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def wav(seconds: float = 3.0, **options: int) -> bytes:
    return sound("wav", "pcm_s16le", seconds, **options)


def mp3(seconds: float = 3.0, **options: int) -> bytes:
    return sound("mp3", "libmp3lame", seconds, **options)


def adts(seconds: float = 3.0, **options: int) -> bytes:
    return sound("adts", "aac", seconds, **options)


def m4a(seconds: float = 3.0, **options: int) -> bytes:
    return sound("ipod", "aac", seconds, **options)


def slow_adts(size: int) -> bytes:
    """Raw AAC of silence, whose frames are so short that reading it takes long for its size."""
    data, frames = uneven_adts(), []
    while data:
        length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
        frames.append(data[:length])
        data = data[length:]
    shortest = min(frames, key=len)
    return shortest * (size // len(shortest))


def fragmented_m4a(seconds: float = 3.0) -> bytes:
    return sound("mp4", "aac", seconds, muxing=(("movflags", _FRAGMENTED), ("frag_duration", "1000000")))


def vbr_mp3_without_count(seconds: float = 3.0) -> bytes:
    return sound(
        "mp3",
        "libmp3lame",
        seconds,
        muxing=(("write_xing", "0"), ("id3v2_version", "0")),
        encoding=(("global_quality", "472"), ("flags", "+qscale")),
        uneven=True,
    )


def uneven_adts(seconds: float = 3.0) -> bytes:
    return sound("adts", "aac", seconds, uneven=True)


def piped_wav(seconds: float = 3.0, placeholder: int = 0xFFFFFFFF) -> bytes:
    """A WAV as a program writes it that cannot seek back to fill in the sizes."""
    data = bytearray(wav(seconds))
    size = placeholder.to_bytes(4, "little")
    start = data.index(b"data") + 4
    data[4:8] = data[start : start + 4] = size
    return bytes(data)


@cache
def with_cover(format_name: str, codec: str, seconds: float = 3.0) -> bytes:
    """Sound with cover art, which containers store as a video track of one picture."""
    out = io.BytesIO()
    with av.open(out, "w", format=format_name) as container:
        stream = cast("av.AudioStream", container.add_stream(codec, rate=RATE, layout="mono"))
        cover = container.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 320, 320, "yuvj420p"
        # Older versions of PyAV take the number only, all take it.
        setattr(cover, "disposition", av.stream.Disposition.attached_pic.value)  # noqa: B010
        image = av.VideoFrame(320, 320, "yuvj420p")
        image.pts = 0
        container.mux(cover.encode(image))
        container.mux(cover.encode(None))
        for frame in _frames(seconds, RATE, 1, False):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


@cache
def clip(
    layout: str = "index at the end",
    seconds: float = 2.0,
    *,
    fps: int = 30,
    size: tuple[int, int] = (320, 240),
    videos: int = 1,
    sounds: int = 1,
    container_format: str = "mp4",
) -> bytes:
    """A talking picture: H.264 and AAC, moving a little."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        # By name, because moving the index to the front opens the file again.
        with av.open(str(path), "w", format=container_format, options=MP4_LAYOUTS[layout]) as container:
            pictures = [_video_stream(container, fps, size) for _ in range(videos)]
            voices = [container.add_stream("aac", rate=RATE, layout="mono") for _ in range(sounds)]
            spoken = list(_frames(seconds, RATE, 1, False))
            for second in range(math.ceil(seconds)):
                for stream in pictures:
                    for number in range(second * fps, min((second + 1) * fps, int(seconds * fps))):
                        container.mux(stream.encode(_video_frame(number, fps, size)))
                for voice in voices:
                    for frame in spoken:
                        if second * RATE <= (frame.pts or 0) < (second + 1) * RATE:
                            container.mux(voice.encode(frame))
            for stream in pictures:
                container.mux(stream.encode(None))
            for voice in voices:
                container.mux(voice.encode(None))
        return path.read_bytes()


def _video_stream(container: av.container.OutputContainer, fps: int, size: tuple[int, int]) -> av.VideoStream:
    stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "g": str(fps)})
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    return stream


def _video_frame(number: int, fps: int, size: tuple[int, int]) -> av.VideoFrame:
    frame = av.VideoFrame(*size, "yuv420p")
    for place, plane in enumerate(frame.planes):
        plane.update(bytes([(number * 3 + place * 40) % 256]) * plane.buffer_size)
    frame.pts, frame.time_base = number, Fraction(1, fps)
    return frame


def _frames(seconds: float, rate: int, channels: int, uneven: bool) -> Iterator[av.AudioFrame]:
    total = round(seconds * rate)
    luck = random.Random(7)  # noqa: S311 - a reproducible noise
    tone = _one_second(rate) * math.ceil(seconds)
    for start in range(0, total, 1024):
        count = min(1024, total - start)
        if uneven:
            mono = luck.randbytes(count * 2) if start > total * 0.4 else bytes(count * 2)
        else:
            mono = tone[start : start + count].tobytes()
        frame = av.AudioFrame(format="s16", layout="mono" if channels == 1 else "stereo", samples=count)
        samples = b"".join(mono[at : at + 2] * 2 for at in range(0, len(mono), 2)) if channels == 2 else mono
        frame.planes[0].update(samples.ljust(frame.planes[0].buffer_size, b"\0"))
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        yield frame


@cache
def _one_second(rate: int) -> array[int]:
    return array("h", (int(9_000 * math.sin(at * 2 * math.pi * 330 / rate)) for at in range(rate)))
