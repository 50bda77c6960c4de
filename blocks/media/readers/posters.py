"""Makes small still pictures: of the first picture of a video, and of a larger picture."""

from __future__ import annotations

import io
from base64 import b64encode
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image

from blocks.media.errors import MediaError
from blocks.media.facts import PosterFacts
from blocks.media.readers.images import read_image
from blocks.media.readers.packets import opened, video_tracks

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

POSTER_SIDE = 480
THUMBNAIL_SIDE = 128
_POSTER_BYTES = 64 * 1024
# What a provider of videos may deliver; everything else FFmpeg could decode stays out of reach.
_DECODERS = "h264,hevc,libdav1d,av1,vp9,mpeg4"


def read_poster(file: BinaryIO) -> PosterFacts:
    """Decode the first key picture of the MP4 in `file`, in which later media data may be missing.

    Raises:
        MediaError: There is none, or it cannot be decoded.
    """
    with opened(file, "mov", "has no picture that can be decoded", decoders=_DECODERS) as container:
        frame = _first_picture(container)
        width, height = _fitted(frame.width, frame.height, POSTER_SIDE)
        small = frame.reformat(width, height, "rgb24", interpolation="AREA")
        return _written(small.to_image())  # type: ignore[no-untyped-call]  # PyAV ships no types of it


def read_thumbnail(file: BinaryIO) -> PosterFacts:
    """Make a still smaller picture of the picture in `file`.

    Raises:
        MediaError: It is no JPEG or PNG, or damaged.
    """
    read_image(file)
    file.seek(0)
    with Image.open(file, formats=["JPEG", "PNG"]) as image:
        return _written(
            image.convert("RGB").resize(_fitted(*image.size, THUMBNAIL_SIDE), Image.Resampling.BOX)
        )


def _first_picture(container: InputContainer) -> VideoFrame:
    """Decode one packet: those after it may be holes."""
    for stream in video_tracks(container)[:1]:
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            if packet.size and packet.is_keyframe:
                for frame in (*stream.decode(packet), *stream.decode(None)):
                    return frame
                break
    raise MediaError("has no picture that can be decoded")


def _fitted(width: int, height: int, side: int) -> tuple[int, int]:
    """Return the size with the same shape whose longer side is at most `side`."""
    scale = min(1.0, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _written(image: Image.Image) -> PosterFacts:
    data = b""
    for quality in (80, 50, 20):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality, optimize=True, progressive=True)
        data = file.getvalue()
        if len(data) <= _POSTER_BYTES:
            break
    return PosterFacts(b64encode(data).decode(), image.width, image.height)
