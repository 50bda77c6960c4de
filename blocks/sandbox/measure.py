"""What the bytes of an image or an audio really are."""

from __future__ import annotations

import warnings
from decimal import Decimal
from io import BytesIO
from typing import NamedTuple

import av
from av.error import FFmpegError
from PIL import Image

# Playlist formats would let a file name other files, so only the documented ones may be opened.
AUDIO_OPTIONS = {"format_whitelist": "mp3,wav,aac,mov", "protocol_whitelist": "file"}


class Unreadable(Exception):
    """The bytes are not a file of a documented format."""


class Picture(NamedTuple):
    """Pixels of an image."""

    width: int
    height: int


def measure_image(data: bytes) -> Picture:
    """Decode a JPEG or PNG image whole.

    Raises:
        Unreadable: It is something else, or damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(data), formats=("JPEG", "PNG")) as image:
                image.load()
                return Picture(*image.size)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Unreadable from error


def measure_audio(data: bytes, at_most: float) -> Decimal:
    """Decode an MP3, WAV, M4A or AAC audio and return its seconds, to the millisecond.

    Stops shortly after `at_most` seconds, so a tiny file cannot cost hours.

    Raises:
        Unreadable: It is something else, or damaged.
    """
    try:
        with av.open(BytesIO(data), "r", options=AUDIO_OPTIONS) as container:
            if not container.streams.audio:
                raise Unreadable
            seconds = Decimal(0)
            for frame in container.decode(container.streams.audio[0]):
                seconds += Decimal(frame.samples) / frame.sample_rate
                if seconds > at_most + 1:
                    break
    except (FFmpegError, ValueError) as error:
        raise Unreadable from error
    return seconds.quantize(Decimal("0.001"))
