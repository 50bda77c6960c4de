"""Reads a sound file packet by packet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from blocks.media.boxes import BoxWalker
from blocks.media.errors import MediaError
from blocks.media.facts import AudioFacts, AudioFormat
from blocks.media.readers.packets import Track, audio_tracks, codec_name, count_packets, opened, video_tracks
from blocks.media.signatures import HEAD_BYTES, looks_like

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

_WANTED = "an MP3, WAV, M4A or AAC sound file"
_FORMATS: dict[str, AudioFormat] = {
    "mp3": "MP3",
    "wav": "WAV",
    "aac": "AAC",
    "mov,mp4,m4a,3gp,3g2,mj2": "M4A",
}


def read_audio(file: BinaryIO) -> AudioFacts:
    """Measure the MP3, WAV, M4A or raw AAC file in `file`.

    Raises:
        MediaError: It is something else, holds a video or several sound tracks, or holds no sound.
    """
    head = file.read(HEAD_BYTES)
    file.seek(0)
    with opened(file, "mp3,wav,aac,mov,flac,ogg", _instead(head)) as container:
        found = _FORMATS.get(container.format.name)
        if found is None:
            raise MediaError(f"is {looks_like(head) or 'another kind of sound file'}, not {_WANTED}")
        return _measured(file, container, _only_track(container), found)


def _only_track(container: InputContainer) -> AudioStream:
    brand = str(container.metadata.get("major_brand", ""))
    if video_tracks(container):
        raise MediaError(f"is a video, not {_WANTED}")
    if brand.startswith(("qt", "3g")):
        raise MediaError(f"is a QuickTime or 3GP file, not {_WANTED}")
    tracks = audio_tracks(container)
    if len(tracks) != 1:
        raise MediaError(f"holds {len(tracks)} sound tracks, not one")
    return tracks[0]


def _measured(
    file: BinaryIO, container: InputContainer, stream: AudioStream, found: AudioFormat
) -> AudioFacts:
    codec = codec_name(stream)
    (track,) = count_packets(container, stream)
    if not track.packets or track.seconds <= 0 or stream.rate <= 0:
        raise MediaError("holds no sound")
    whole = _IS_WHOLE[found](file, track, stream.frames)
    # An MP3 is up to a tenth of a second longer than what is heard of it, and it is paid by the second.
    unheard = track.unheard / stream.rate if found == "MP3" else 0.0
    seconds = round(track.seconds - unheard, 6) if track.seconds > unheard else track.seconds
    return AudioFacts(found, codec, seconds, stream.rate, stream.channels, whole)


def _wav_is_whole(file: BinaryIO, track: Track, _declared: int) -> bool:
    file.seek(4)
    riff_size = int.from_bytes(file.read(4), "little")
    # Writers that cannot seek back put 0, 0x7FFFF024 or 0xFFFFFFFF where the size belongs.
    was_piped = riff_size == 0 or riff_size >= 0x7FFFF000
    return was_piped or not track.cut_off


def _mp3_is_whole(file: BinaryIO, track: Track, _declared: int) -> bool:
    file.seek(0)
    head = file.read(10)
    if head[:3] == b"ID3":
        # ID3v2: seven bits of each size byte count, https://id3.org/id3v2.4.0-structure section 3.1
        file.seek(10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True)))
    else:
        file.seek(0)
    frame = file.read(256)
    tag = max(frame.find(b"Xing"), frame.find(b"Info"))
    if tag < 0 or not frame[tag + 7 : tag + 8] or not frame[tag + 7] & 1:
        return not track.cut_off
    frames = int.from_bytes(frame[tag + 8 : tag + 12], "big")
    # Some encoders count the frame that carries the count.
    return not track.cut_off and track.packets >= frames - 1


def _m4a_is_whole(file: BinaryIO, track: Track, declared: int) -> bool:
    walker = BoxWalker()
    file.seek(0)
    while chunk := file.read(1024 * 1024):
        walker.feed(chunk)
    return walker.problem() is None and not track.cut_off and track.packets >= declared


def _aac_is_whole(_file: BinaryIO, track: Track, _declared: int) -> bool:
    last = track.last
    if len(last) < 7:
        return False
    # ADTS: 13 bits from bit 30 on are the frame's length, ISO/IEC 13818-7 section 6.2
    length = (last[3] & 3) << 11 | last[4] << 3 | last[5] >> 5
    return not track.cut_off and len(last) >= length


_IS_WHOLE: dict[AudioFormat, Callable[[BinaryIO, Track, int], bool]] = {
    "WAV": _wav_is_whole,
    "MP3": _mp3_is_whole,
    "M4A": _m4a_is_whole,
    "AAC": _aac_is_whole,
}


def _instead(head: bytes) -> str:
    seen = looks_like(head)
    if seen in ("an MP3 sound file", "a WAV sound file", "an M4A sound file", "an MP4 file"):
        return f"looks like {seen} but is damaged or cut off"
    return f"is {seen}, not {_WANTED}" if seen else f"is not {_WANTED}"
