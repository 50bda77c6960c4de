from __future__ import annotations

import pytest

from blocks.media.signatures import looks_like
from tests.blocks.media import samples


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"\xef\xbb\xbf \r\n<HTML lang='en'>", "an HTML page"),
        (b'<svg xmlns="x">', "an SVG drawing"),
        (b'{"error": {}}', "a JSON document"),
        (b"<?xml version='1.0'?><Error>", "an XML document"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\0\0\0\x18ftypheic", "a HEIC picture"),
        (b"\0\0\0\x18ftypavif", "an AVIF picture"),
        (b"\0\0\0\x18ftypqt  ", "a QuickTime file"),
        (b"\0\0\0\x18ftypM4A ", "an M4A sound file"),
        (b"\0\0\0\x18ftypisom", "an MP4 file"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP picture"),
        (b"RIFF\0\0\0\0ACON", None),
        (b"x", None),
        (b"\x01\x02\x03\x04\x05\x06\x07\x08", None),
    ],
)
def test_a_file_is_named_by_its_first_bytes(head: bytes, name: str | None) -> None:
    assert looks_like(head) == name


def test_real_files_are_named() -> None:
    assert looks_like(samples.picture("JPEG")) == "a JPEG picture"
    assert looks_like(samples.picture("PNG")) == "a PNG picture"
    assert looks_like(samples.picture("WEBP")) == "a WebP picture"
    assert looks_like(samples.several_pictures("GIF", 2)) == "a GIF picture"
    assert looks_like(samples.wav()) == "a WAV sound file"
    assert looks_like(samples.mp3()) == "an MP3 sound file"
    assert looks_like(samples.m4a()) == "an M4A sound file"
