"""What can be said about a file once it was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ImageFormat = Literal["JPEG", "PNG"]
AudioFormat = Literal["MP3", "WAV", "M4A", "AAC"]


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """A picture that was decoded to its last pixel.

    Attributes:
        format: What it is, whatever its name says.
        width: Pixels, as stored (before any rotation the camera asked for).
        height: Pixels, as stored.
        frames: Pictures of an animated PNG; 1 for a still picture.
    """

    format: ImageFormat
    width: int
    height: int
    frames: int = 1


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """A sound file whose packets were all read.

    Attributes:
        format: What it is, whatever its name says.
        codec: How the sound is encoded, such as `mp3`, `aac`, `pcm_s16le`.
        seconds: Length by its packets, so including what the encoder padded.
        sample_rate: Samples per second.
        channels: 1 for mono, 2 for stereo.
        whole: False when the file shows that it was cut off; an MP3 without frame count cannot show it.
    """

    format: AudioFormat
    codec: str
    seconds: float
    sample_rate: int
    channels: int
    whole: bool


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """A finished video of one picture and one sound track, whole by its structure.

    Attributes:
        container: `MP4`, or `MOV` when its brand is QuickTime's.
        video_codec: Such as `h264`.
        width: Pixels.
        height: Pixels.
        fps: Pictures per second, on average.
        audio_codec: Such as `aac`.
        sample_rate: Samples per second of the sound.
        seconds: Length of the picture track.
        audio_seconds: Length of the sound track.
        video_streams: Picture tracks, always 1.
        audio_streams: Sound tracks, always 1.
        bit_rate: Bits per second of the whole file.
        size: Bytes of the whole file.
    """

    container: Literal["MP4", "MOV"]
    video_codec: str
    width: int
    height: int
    fps: float
    audio_codec: str
    sample_rate: int
    seconds: float
    audio_seconds: float
    video_streams: int
    audio_streams: int
    bit_rate: int
    size: int


@dataclass(frozen=True, slots=True)
class PosterFacts:
    """A small picture that was made of a larger one or of a video.

    Attributes:
        jpeg: The JPEG file, in base64.
        width: Pixels.
        height: Pixels.
    """

    jpeg: str
    width: int
    height: int
