"""Measuring: apart from us, within limits, and answered whatever happens."""

from __future__ import annotations

import asyncio
import gc
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from blocks.errors import SetupMissing
from blocks.media import ImageFacts, MediaError, launch, measure_audio, measure_image
from blocks.media import measure as measure_module
from blocks.media.child.server import Measurement
from blocks.media.measure import PROCESS, measure
from blocks.media.wire import Budget, facts, pack
from tests.blocks.media import samples

PICTURE = samples.picture("JPEG", 320, 320)


FACTS = ImageFacts("JPEG", 320, 320)


TOO_LONG = "takes longer to read than measuring may take"


@pytest.fixture
def no_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_module, "_CAN_FORK", False)


@pytest.fixture
def fresh_process() -> Iterator[None]:
    PROCESS.stop()
    yield
    PROCESS.stop()


async def test_many_callers_at_once_get_their_own_answers() -> None:
    sizes = [(300 + number, 300) for number in range(40)]
    found = await asyncio.gather(*(measure_image(samples.picture("JPEG", *size)) for size in sizes))

    assert [(facts.width, facts.height) for facts in found] == sizes


async def test_memory_is_limited() -> None:
    picture = samples.plain_png(9_000, 9_000)
    with pytest.raises(MediaError, match=r"^needs more memory than measuring may take$"):
        await measure("image", [(0, picture)], budget=Budget(memory_mib=180))

    assert (await measure_image(picture)).width == 9_000


async def test_time_is_limited() -> None:
    with pytest.raises(MediaError, match=f"^{TOO_LONG}$"):
        await measure("image", [(0, samples.plain_png(9_000, 9_000))], budget=Budget(wall_milliseconds=10))


async def test_processor_time_is_limited() -> None:
    with pytest.raises(MediaError, match=f"^{TOO_LONG}$"):
        await measure("audio", [(0, samples.slow_adts(9_000_000))], budget=Budget(cpu_seconds=1))


@pytest.mark.parametrize(
    ("killed_by", "reason"),
    [
        (signal.SIGXCPU, TOO_LONG),
        (signal.SIGALRM, TOO_LONG),
        (signal.SIGSEGV, "crashes the decoder"),
        (signal.SIGKILL, "could not be measured within its limits"),
    ],
)
def test_a_fork_that_died_is_answered_for(killed_by: signal.Signals, reason: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        Measurement(1, theirs).refuse(killed_by)
        with pytest.raises(MediaError, match=f"^{reason}$"):
            facts(ours.recv(1000))


@pytest.mark.usefixtures("no_fork")
async def test_without_fork_each_file_gets_a_process() -> None:
    data = samples.clip()

    assert await measure_image(PICTURE) == FACTS
    assert (await measure_audio(samples.mp3())).format == "MP3"
    assert (await measure("clip", [(0, data)], len(data)))["width"] == 320
    with pytest.raises(MediaError, match=r"^is an HTML page"):
        await measure_image(b"<html>")


@pytest.mark.usefixtures("no_fork")
async def test_without_fork_time_and_memory_are_limited_too() -> None:
    picture = [(0, samples.plain_png(9_000, 9_000))]
    with pytest.raises(MediaError, match=r"^needs more memory"):
        await measure("image", picture, budget=Budget(memory_mib=100))
    with pytest.raises(MediaError, match=f"^{TOO_LONG}$"):
        await measure("image", picture, budget=Budget(wall_milliseconds=10))


@pytest.mark.usefixtures("fresh_process")
@pytest.mark.parametrize("can_fork", [True, False])
async def test_a_process_that_does_not_start_is_a_matter_of_setup(
    can_fork: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "start.py"
    broken.write_text("import no_such_library_as_this\n")
    monkeypatch.setattr(launch, "_START", broken)
    monkeypatch.setattr(measure_module, "_CAN_FORK", can_fork)

    with pytest.raises(SetupMissing, match="check that PyAV and Pillow are installed"):
        await measure_image(PICTURE)


def test_it_knows_neither_our_secrets_nor_prefect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    picture = tmp_path / "picture"
    picture.write_bytes(PICTURE)
    monkeypatch.setenv("COMETAPI_KEY", "sandbox-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sandbox-secret")
    assert "sandbox" not in str(launch.environment())

    one = launch.command("blocks.media.child.once", pack("image", Budget()).hex())
    assert one[:2] == [sys.executable, "-I"]
    with picture.open("rb") as file:
        traced = subprocess.run(
            [*one[:2], "-X", "importtime", *one[2:]], stdin=file, capture_output=True, text=True, check=True
        )
    assert facts(traced.stdout.encode())["format"] == "JPEG"
    assert "PIL.Image" in traced.stderr
    assert "prefect" not in traced.stderr


@pytest.mark.usefixtures("fresh_process")
async def test_nothing_is_left_open() -> None:
    def open_files() -> int:
        gc.collect()
        return len(list(Path("/dev/fd").iterdir()))

    await measure_image(PICTURE)
    before = open_files()
    for _ in range(5):
        await measure_image(PICTURE)
        with pytest.raises(MediaError):
            await measure_audio(PICTURE)

    assert open_files() == before


def test_a_refusal_survives_the_journey_between_processes() -> None:
    error = pickle.loads(pickle.dumps(MediaError("is a GIF picture")))  # noqa: S301 - our own bytes

    assert (type(error), error.reason, str(error)) == (MediaError, "is a GIF picture", "is a GIF picture")
