from __future__ import annotations

from importlib.resources import files
from io import BytesIO
from pathlib import Path

import av
import httpx
import pytest

from blocks.sandbox.measure import Picture, measure_audio, measure_image
from blocks.sandbox.render import LOOKS, Cancelled, render_clip
from blocks.sandbox.serve import RunningSandbox
from tests.blocks.sandbox.conftest import AVATAR, Create
from tests.blocks.sandbox.media import encoded, picture, sound, text

SAMPLES = files("blocks.sandbox") / "samples"
FACE, VOICE = (SAMPLES / "portrait.png").read_bytes(), (SAMPLES / "voice.mp3").read_bytes()


def rendered(folder: Path, image: bytes, audio: bytes, look: str = "std") -> bytes:
    target = folder / "clip.mp4"
    render_clip(image, audio, LOOKS[look], target, lambda: False)
    return target.read_bytes()


def test_the_samples_are_within_every_limit() -> None:
    picture = measure_image(FACE)
    assert picture.width >= 600
    assert picture.height >= 800
    assert 4 < measure_audio(VOICE, 60) < 6
    assert len(FACE) + len(VOICE) < 100_000


@pytest.mark.parametrize("audio", [VOICE, sound(2.0), sound(7.31, 22050), encoded("ipod", "aac", 4.4)])
def test_a_clip_is_h264_and_aac_as_long_as_its_audio(audio: bytes, tmp_path: Path) -> None:
    seconds = float(measure_audio(audio, 60))
    data = rendered(tmp_path, picture(), audio)
    with av.open(BytesIO(data), "r") as clip:
        assert clip.streams.video[0].codec_context.name == "h264"
        assert clip.streams.audio[0].codec_context.name == "aac"
        assert (clip.duration or 0) / 1_000_000 == pytest.approx(seconds, abs=0.1)
        samples = sum(frame.samples for frame in clip.decode(audio=0))
        assert samples / 44_100 == pytest.approx(seconds, abs=0.1)
    with av.open(BytesIO(data), "r") as clip:
        frames = sum(1 for _ in clip.decode(video=0))
        assert frames / 12 == pytest.approx(seconds, abs=0.1)


@pytest.mark.parametrize(
    ("size", "look", "wanted"),
    [
        ((301, 401), "std", (300, 400)),
        ((1500, 2000), "std", (720, 960)),
        ((1500, 2000), "pro", (1080, 1440)),
        ((4000, 1600), "std", (1280, 512)),
        ((300, 750), "pro", (300, 750)),
    ],
)
def test_a_clip_is_scaled_down_to_its_mode_with_even_sides(
    size: tuple[int, int], look: str, wanted: tuple[int, int], tmp_path: Path
) -> None:
    data = rendered(tmp_path, picture(*size), sound(2.0), look)
    with av.open(BytesIO(data), "r") as clip:
        video = clip.streams.video[0]
        assert (video.width, video.height) == wanted


@pytest.mark.parametrize("audio", [VOICE, sound(4.0)])
def test_a_clip_moves_also_when_the_sound_does_not(audio: bytes, tmp_path: Path) -> None:
    with av.open(BytesIO(rendered(tmp_path, picture(), audio)), "r") as clip:
        frames = {bytes(frame.reformat(format="gray").planes[0]) for frame in clip.decode(video=0)}
    assert len(frames) > 30


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    assert rendered(tmp_path, FACE, VOICE, "fast") == rendered(tmp_path, FACE, VOICE, "fast")
    assert rendered(tmp_path, picture(), sound()) == rendered(tmp_path, picture(), sound())


def test_rendering_ends_when_the_sandbox_does(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        render_clip(FACE, VOICE, LOOKS["std"], tmp_path / "clip.mp4", lambda: True)


@pytest.mark.parametrize(("mode", "size"), [("std", Picture(720, 960)), ("pro", Picture(1080, 1440))])
def test_what_is_delivered_shows_the_portrait_that_was_sent(
    mode: str,
    size: Picture,
    sandbox: RunningSandbox,
    create: Create,
    api: httpx.Client,
    web: httpx.Client,
) -> None:
    sandbox.set(fast_clip=False)
    task_id = create(image=text(picture(1500, 2000)), mode=mode).json()["data"]["task_id"]
    sandbox.advance(40)
    link = api.get(f"{AVATAR}/{task_id}").json()["data"]["task_result"]["videos"][0]["url"]
    with av.open(BytesIO(web.get(link).content), "r") as clip:
        frame = next(clip.decode(video=0))
    assert (frame.width, frame.height) == size
    red, green, blue = frame.to_image().getpixel((20, 20))  # type: ignore[no-untyped-call] # PyAV types half of it
    assert (red, green, blue) == pytest.approx((90, 140, 200), abs=12)
