"""The poster of a video is its first picture, small, and made where a hostile file can do no harm."""

from __future__ import annotations

import io

import av
import pytest
from PIL import Image, ImageStat

from blocks.media import MediaError, PosterMaker, make_thumbnail
from tests.blocks.media import samples


async def poster_of(data: bytes, chunk_bytes: int = 10_000) -> tuple[Image.Image, int]:
    """Return the poster and how many bytes of the video were wanted."""
    maker = PosterMaker()
    fed = 0
    for start in range(0, len(data), chunk_bytes):
        fed = min(len(data), start + chunk_bytes)
        if not maker.feed(data[start:fed]):
            break
    return Image.open(io.BytesIO(await maker.finish()), formats=["JPEG"]), fed


def picture(image: Image.Image) -> av.VideoFrame:
    made: av.VideoFrame = av.VideoFrame.from_image(image)  # type: ignore[no-untyped-call]  # PyAV ships no types of it
    return made


def film(*colours: str, size: tuple[int, int] = (960, 1280)) -> bytes:
    """A film of one second for each colour, without sound."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("h264", rate=10, width=size[0], height=size[1], pix_fmt="yuv420p")
        for colour in colours:
            for _ in range(10):
                container.mux(stream.encode(picture(Image.new("RGB", size, colour))))
        container.mux(stream.encode(None))
    return out.getvalue()


async def test_it_is_the_first_picture_and_small() -> None:
    picture, _ = await poster_of(film("#c02020", "#2020c0"))
    assert picture.size == (360, 480)
    red, green, blue = ImageStat.Stat(picture).mean
    assert (abs(red - 0xC0) < 12, green < 0x34, blue < 0x34) == (True, True, True)


@pytest.mark.parametrize("layout", samples.MP4_LAYOUTS)
async def test_it_is_made_of_every_layout(layout: str) -> None:
    data = samples.clip(layout)
    picture, _ = await poster_of(data)
    with av.open(io.BytesIO(data), "r") as whole:
        assert picture.size == (whole.streams.video[0].width, whole.streams.video[0].height)


async def test_no_more_is_read_than_it_takes() -> None:
    """What follows the first four MiB of pictures is not asked for when the index comes first."""
    data = samples.clip("index at the front")
    at = data.index(b"mdat") - 4
    longer = data[:at] + (int.from_bytes(data[at : at + 4], "big") + 9_000_000).to_bytes(4, "big")
    longer += data[at + 4 :] + bytes(9_000_000)
    picture, fed = await poster_of(longer)
    assert picture.size == (320, 240)
    assert fed < 5_000_000


@pytest.mark.parametrize(
    "data", [b"", b"<html>", samples.clip()[:4000], samples.m4a(), samples.picture("PNG")], ids=len
)
async def test_what_has_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(MediaError):
        await poster_of(data)


async def test_a_noisy_picture_is_made_small_at_the_cost_of_its_quality() -> None:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("h264", rate=10, width=480, height=480, pix_fmt="yuv420p")
        stream.options = {"crf": "1"}
        noise = Image.effect_noise((480, 480), 90).convert("RGB")
        container.mux([*stream.encode(picture(noise)), *stream.encode(None)])
    maker = PosterMaker()
    maker.feed(out.getvalue())
    assert len(await maker.finish()) <= 64 * 1024


async def test_a_thumbnail_is_smaller_still() -> None:
    thumbnail = await make_thumbnail(samples.picture("JPEG", 480, 300))
    with Image.open(io.BytesIO(thumbnail), formats=["JPEG"]) as image:
        assert image.size == (128, 80)
    with pytest.raises(MediaError):
        await make_thumbnail(b"\xff\xd8\xff\xe0 no picture")
