"""What a file looks like by its first bytes, to tell people what they gave instead."""

from __future__ import annotations

HEAD_BYTES = 512

_AT_START = (
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"GIF8", "a GIF picture"),
    (b"BM", "a BMP picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"fLaC", "a FLAC sound file"),
    (b"OggS", "an Ogg sound file"),
    (b"ID3", "an MP3 sound file"),
    (b"#!AMR", "an AMR sound file"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM file"),
)
_RIFF_KINDS = {b"WEBP": "a WebP picture", b"WAVE": "a WAV sound file", b"AVI ": "an AVI video"}
_ISO_BRANDS = (
    ((b"M4A", b"M4B"), "an M4A sound file"),
    ((b"hei", b"hev", b"mif1", b"msf1"), "a HEIC picture"),
    ((b"avi",), "an AVIF picture"),
    ((b"qt",), "a QuickTime file"),
    ((b"3g",), "a 3GP file"),
)
_TEXT_STARTS = (
    ((b"<!doctype html", b"<html", b"<head", b"<body"), "an HTML page"),
    ((b"<svg",), "an SVG drawing"),
    ((b"<?xml",), "an XML document"),
    ((b"{", b"["), "a JSON document"),
)


def looks_like(head: bytes) -> str | None:
    """Name what a file looks like by its first `HEAD_BYTES` bytes, such as `an HTML page`, where known."""
    if not head:
        return "an empty file"
    if head[:4] == b"RIFF":
        return _RIFF_KINDS.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _named(head[8:12], _ISO_BRANDS) or "an MP4 file"
    for start, name in _AT_START:
        if head.startswith(start):
            return name
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return _named(text, _TEXT_STARTS)


def _named(text: bytes, table: tuple[tuple[tuple[bytes, ...], str], ...]) -> str | None:
    return next((name for starts, name in table if text.startswith(starts)), None)
