"""The measuring process: isolated, limited, restarted, and gone when nobody needs it."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
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
BLOCKS = Path(launch.__file__).parent.parent
TOO_LONG = "takes longer to read than measuring may take"


def eventually(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def alive() -> dict[int, int]:
    """The parent of each process that is neither gone nor waiting to be buried."""
    if Path("/proc/self/stat").exists():
        stats = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            # It may end while we look.
            with suppress(OSError):
                stats.append(path.read_text())
        rows = [[stat.split(" ", 1)[0], *stat.rpartition(")")[2].split()[:2]] for stat in stats]
    else:
        listed = subprocess.run(["ps", "-A", "-o", "pid=,stat=,ppid="], capture_output=True, check=True)
        rows = [line.split() for line in listed.stdout.decode().splitlines()]
    return {int(pid): int(parent) for pid, state, parent in rows if not state.startswith("Z")}


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


def test_several_event_loops_one_after_another_share_the_process() -> None:
    pids = set()
    for _ in range(3):
        assert asyncio.run(measure_image(PICTURE)) == FACTS
        pids.add(PROCESS.pid)

    assert len(pids) == 1


def test_event_loops_in_several_threads_share_the_process() -> None:
    found: list[ImageFacts] = []

    async def ten() -> None:
        found.extend(await asyncio.gather(*(measure_image(PICTURE) for _ in range(10))))

    threads = [threading.Thread(target=asyncio.run, args=(ten(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [FACTS] * 30


async def test_a_process_that_was_killed_is_replaced() -> None:
    await measure_image(PICTURE)
    first = PROCESS.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)

    assert await measure_image(PICTURE) == FACTS
    assert PROCESS.pid != first


async def test_a_process_that_dies_at_work_loses_nobody() -> None:
    await measure_image(PICTURE)
    assert PROCESS.pid is not None
    waiting = [asyncio.create_task(measure_image(samples.picture("PNG", 500, 500))) for _ in range(20)]
    for _ in range(2):
        await asyncio.sleep(0.02)
        os.kill(PROCESS.pid, signal.SIGKILL)

    assert {facts.width for facts in await asyncio.gather(*waiting)} == {500}


async def test_a_process_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    await measure_image(PICTURE)
    hung = PROCESS.pid
    assert hung is not None
    os.kill(hung, signal.SIGSTOP)
    monkeypatch.setattr(measure_module, "_START_SECONDS", 0.1)
    with pytest.raises(MediaError, match=f"^{TOO_LONG}$"):
        await measure("image", [(0, PICTURE)], budget=Budget(wall_milliseconds=100))
    monkeypatch.undo()

    assert await measure_image(PICTURE) == FACTS
    assert PROCESS.pid != hung


def test_a_process_without_work_ends_by_itself() -> None:
    script = (
        "import sys, types; sys.modules['blocks'] = types.ModuleType('blocks')\n"
        "sys.modules['blocks'].__path__ = [sys.argv[1]]\n"
        "from blocks.media.child import server; server.IDLE_SECONDS = 0.01; server.main('')"
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ended = subprocess.run(
            [sys.executable, "-c", script, BLOCKS], stdin=theirs.fileno(), timeout=60, check=False
        )

    assert ended.returncode == 0


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


async def test_a_caller_who_gives_up_ends_the_work() -> None:
    await measure_image(PICTURE)
    task = asyncio.create_task(measure_audio(samples.slow_adts(20_000_000)))
    assert await asyncio.to_thread(eventually, lambda: PROCESS.pid in alive().values())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await asyncio.to_thread(eventually, lambda: PROCESS.pid not in alive().values())
    assert await measure_image(PICTURE) == FACTS


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


# Without `blocks/__init__.py`, because importing Prefect takes seconds.
SCRIPT = """
import asyncio, os, sys, time, types

sys.modules["blocks"] = types.ModuleType("blocks")
sys.modules["blocks"].__path__ = [sys.argv[2]]
from blocks.media import measure_image
from blocks.media.measure import PROCESS

picture = open(sys.argv[1], "rb").read()
print(asyncio.run(measure_image(picture)).width, PROCESS.pid, flush=True)
{then}
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Run a script that measures, prints the width and the process id, and goes on as told."""
    script, picture = tmp_path / "script.py", tmp_path / "picture"
    picture.write_bytes(PICTURE)
    started = []

    def start(then: str) -> subprocess.Popen[str]:
        script.write_text(SCRIPT.format(then=then))
        process = subprocess.Popen(
            [sys.executable, script, picture, BLOCKS], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def printed(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    return [int(word) for word in process.stdout.readline().split()]


@pytest.mark.parametrize(
    "then",
    ["time.sleep(600)", "sys.exit(3)", "os._exit(0)", "raise KeyboardInterrupt"],
    ids=["killed", "exit", "hard exit", "interrupted"],
)
def test_it_ends_with_the_process_that_asked_however_that_ends(
    then: str, run: Callable[[str], subprocess.Popen[str]]
) -> None:
    process = run(then)
    width, pid = printed(process)
    assert width == 320
    if "sleep" in then:
        assert pid in alive()
        process.kill()

    assert eventually(lambda: pid not in alive())


def test_after_a_fork_both_sides_measure_with_processes_of_their_own(
    run: Callable[[str], subprocess.Popen[str]],
) -> None:
    process = run(
        "if os.fork() == 0:\n"
        "    print(asyncio.run(measure_image(picture)).width, PROCESS.pid, flush=True)\n"
        "else:\n"
        "    os.wait()\n"
        "    print(asyncio.run(measure_image(picture)).width, PROCESS.pid, flush=True)\n"
    )
    (_, first), (width, of_the_fork), (_, again) = (printed(process) for _ in range(3))

    assert width == 320
    assert of_the_fork != first
    assert again == first
    assert process.wait() == 0


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
