from __future__ import annotations

import struct
import zlib

import pytest

from blocks.media import ImageFacts, MediaError, measure_image
from blocks.media.readers.images import MAXIMUM_PIXELS
from tests.blocks.media import samples


async def refusal(data: bytes) -> str:
    with pytest.raises(MediaError) as refused:
        await measure_image(data)
    return refused.value.reason


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
async def test_format_and_size_are_measured(format_name: str, mode: str) -> None:
    facts = await measure_image(samples.picture(format_name, 420, 310, mode))

    assert facts == ImageFacts("PNG" if format_name == "PNG" else "JPEG", 420, 310)


@pytest.mark.parametrize(
    ("format_name", "mode"), [("JPEG", "CMYK"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "1")]
)
async def test_unusual_colours_are_decoded(format_name: str, mode: str) -> None:
    assert (await measure_image(samples.picture(format_name, 320, 300, mode))).width == 320


async def test_a_camera_jpeg_with_a_second_picture_is_a_jpeg() -> None:
    assert await measure_image(samples.several_pictures("MPO", 2)) == ImageFacts("JPEG", 320, 320)


async def test_an_animated_png_tells_its_pictures() -> None:
    assert await measure_image(samples.several_pictures("PNG", 3)) == ImageFacts("PNG", 320, 320, frames=3)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.98])
async def test_a_cut_off_picture_is_refused(format_name: str, kept: float) -> None:
    data = samples.picture(format_name)

    assert await refusal(data[: int(len(data) * kept)]) == "is a damaged or cut off picture"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is an empty file, not a JPEG or PNG picture"),
        (b"\xff", "is not a JPEG or PNG picture"),
        (b"<!doctype html><title>Sign in</title>", "is an HTML page, not a JPEG or PNG picture"),
        (samples.picture("WEBP"), "is a WebP picture, not a JPEG or PNG picture"),
        (samples.several_pictures("GIF", 2), "is a GIF picture, not a JPEG or PNG picture"),
        (samples.wav(1), "is a WAV sound file, not a JPEG or PNG picture"),
        (b"\xff\xd8\xff\xe0", "is a damaged or cut off picture"),
    ],
    ids=["empty", "one byte", "html", "webp", "gif", "wav", "jpeg head"],
)
async def test_what_is_no_picture_is_named(data: bytes, reason: str) -> None:
    assert await refusal(data) == reason


async def test_the_largest_picture_is_decoded_and_a_larger_one_is_not() -> None:
    width = 10_000
    height = MAXIMUM_PIXELS // width

    assert (await measure_image(samples.plain_png(width, height))).height == height
    assert "more than can be checked" in await refusal(samples.plain_png(width, height + 1))


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (2**31 - 1, 2**31 - 1), (0, 0)])
async def test_a_picture_that_claims_absurd_sizes_is_refused(width: int, height: int) -> None:
    """A few bytes that promise gigabytes of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")

    assert await refusal(bomb) in {"has more pixels than can be checked", "is a damaged or cut off picture"}
