"""Reads a finished video by its index, its media data may be absent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from blocks.media.errors import MediaError
from blocks.media.facts import ClipFacts
from blocks.media.readers.packets import Track, audio_tracks, codec_name, count_packets, opened, video_tracks

if TYPE_CHECKING:
    from av.container import InputContainer

# The index says all that is asked, and decoding a picture would be most of the work. For these FFmpeg leaves
# width and height to the decoder: mov_finalize_stsd_codec in libavformat/mov.c.
_SIZED_BY_DECODER = "mpeg4,h263,h261,vc1"


def read_clip(file: BinaryIO) -> ClipFacts:
    """Measure the MP4 in `file`, in which media data may be replaced by holes.

    Raises:
        MediaError: It cannot be read, refers to media beyond its end, or has not one video and one audio
            track.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    with opened(file, "mov", "cannot be read", decoders=_SIZED_BY_DECODER) as container:
        videos, sounds = video_tracks(container), audio_tracks(container)
        if len(videos) != 1 or len(sounds) != 1:
            raise MediaError(f"holds {len(videos)} video and {len(sounds)} audio tracks, not one of each")
        return _measured(container, size)


def _measured(container: InputContainer, size: int) -> ClipFacts:
    (video,), (sound,) = video_tracks(container), audio_tracks(container)
    video_codec, audio_codec = codec_name(video), codec_name(sound)
    pictures, samples = count_packets(container, video, sound)
    for name, track, declared in (("video", pictures, video.frames), ("audio", samples, sound.frames)):
        _check_whole(name, track, declared)
    brand = str(container.metadata.get("major_brand", ""))
    return ClipFacts(
        container="MOV" if brand.startswith("qt") else "MP4",
        video_codec=video_codec,
        width=video.width,
        height=video.height,
        fps=round(float(video.average_rate or pictures.packets / pictures.seconds), 3),
        audio_codec=audio_codec,
        sample_rate=sound.rate,
        seconds=pictures.seconds,
        audio_seconds=samples.seconds,
        video_streams=1,
        audio_streams=1,
        bit_rate=round(size * 8 / pictures.seconds),
        size=size,
    )


def _check_whole(name: str, track: Track, declared: int) -> None:
    if track.cut_off or track.packets < declared:
        raise MediaError(f"refers to {name} data beyond its end")
    if not track.packets or track.seconds <= 0:
        raise MediaError(f"has an empty {name} track")
