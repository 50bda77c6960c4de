"""Counts the packets of a media file's tracks."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import av
from av.stream import Disposition

from blocks.media.errors import MediaError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

# Cover art and chapter pictures are stored as video tracks of single pictures.
_STILL = Disposition.attached_pic | Disposition.timed_thumbnails


@dataclass(slots=True)
class Track:
    """What the packets of one track add up to.

    Attributes:
        packets: How many there are.
        seconds: Their durations together; a packet that does not tell its own counts like most others.
        cut_off: Whether a packet lacks bytes.
        last: The last packet's bytes.
        unheard: Samples of sound that encoders put before and after it, and that players leave out.
    """

    packets: int = 0
    seconds: float = 0.0
    cut_off: bool = False
    last: bytes = b""
    unheard: int = 0


@contextmanager
def opened(
    file: BinaryIO, formats: str, otherwise: str, *, decoders: str | None = None
) -> Iterator[InputContainer]:
    """Open a media file as one of FFmpeg's `formats` (comma-separated), whatever its name says.

    Args:
        file: The file.
        formats: Names of FFmpeg's demuxers.
        otherwise: The reason when it is none of them.
        decoders: The only decoders that may be tried, comma-separated; `None` for all.

    Raises:
        MediaError: It is none of them, or reading it fails; the reason is `otherwise`.
    """
    options = {"format_whitelist": formats} | ({"codec_whitelist": decoders} if decoders else {})
    try:
        with av.open(file, mode="r", options=options) as container:
            yield container
    except (MediaError, MemoryError):
        raise
    except Exception as error:
        # A hostile file makes FFmpeg and PyAV raise nearly anything.
        raise MediaError(otherwise) from error


def audio_tracks(container: InputContainer) -> list[AudioStream]:
    """Return the sound tracks."""
    return list(container.streams.audio)


def video_tracks(container: InputContainer) -> list[VideoStream]:
    """Return the moving-picture tracks; cover art and chapter pictures are not among them."""
    return [stream for stream in container.streams.video if not stream.disposition & _STILL]


def codec_name(stream: AudioStream | VideoStream) -> str:
    """Return the codec's own name (`mp3`), not the decoder's (`mp3float`).

    Raises:
        MediaError: FFmpeg does not know the codec.
    """
    # The type promises a context, but a track with an unknown codec has none.
    context: object = stream.codec_context
    if context is None:
        raise MediaError(f"holds a {stream.type} track of an unknown codec")
    return stream.codec_context.codec.canonical_name


def count_packets(container: InputContainer, *streams: Stream) -> list[Track]:
    """Read every packet of `streams` and add them up; a read error counts as cut off."""
    tracks = {stream.index: Track() for stream in streams}
    last: dict[int, Packet[Stream]] = {}
    lengths = {stream.index: Lengths() for stream in streams}
    try:
        for packet in container.demux(*streams):
            if packet.size:
                track = tracks[packet.stream_index]
                track.packets += 1
                track.cut_off = track.cut_off or packet.is_corrupt
                track.unheard += _unheard(packet)
                last[packet.stream_index] = packet
                lengths[packet.stream_index].add(packet.dts, packet.duration)
    except av.error.InvalidDataError:
        for track in tracks.values():
            track.cut_off = True
    for index, packet in last.items():
        tracks[index].last = bytes(packet)
    for stream in streams:
        tracks[stream.index].seconds = lengths[stream.index].total() * float(stream.time_base or 0)
    return [tracks[stream.index] for stream in streams]


def _unheard(packet: Packet[Stream]) -> int:
    # AV_PKT_DATA_SKIP_SAMPLES, https://ffmpeg.org/doxygen/trunk/packet_8h.html : at the start, at the end.
    if not packet.has_sidedata("skip_samples"):
        return 0
    start, end = struct.unpack_from("<II", bytes(packet.get_sidedata("skip_samples")))
    return int(start + end)


class Lengths:
    """Adds up the lengths of a track's packets, some of which may not tell theirs."""

    def __init__(self) -> None:
        self._known: Counter[int] = Counter()
        self._missing = 0
        self._first: int | None = None
        self._last = 0

    def add(self, start: int | None, length: int | None) -> None:
        """Add a packet by when it starts and how long it lasts, as far as it tells."""
        if length is not None and length > 0:
            self._known[length] += 1
        else:
            self._missing += 1
        if start is not None:
            self._first = start if self._first is None else self._first
            self._last = start

    def total(self) -> float:
        """Return the length of all: what is not told is as usual, or, if nothing is, as the starts say."""
        if self._known:
            usual = self._known.most_common(1)[0][0]
            return sum(length * count for length, count in self._known.items()) + self._missing * usual
        if self._first is None or self._missing < 2:
            return 0
        return (self._last - self._first) * self._missing / (self._missing - 1)
