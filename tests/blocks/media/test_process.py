"""The measuring process: shared, replaced when it dies, and gone when nobody needs it."""

from __future__ import annotations

import asyncio
import os
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
from blocks.media.measure import PROCESS, measure
from blocks.media.wire import Budget
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


async def test_a_process_that_takes_files_and_says_nothing_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mute, started = tmp_path / "start.py", tmp_path / "started"
    mute.write_text(
        f"import os, socket; open({str(started)!r}, 'a').write('x')\n"
        "control = socket.socket(fileno=0)\n"
        "while True:\n"
        "    for descriptor in socket.recv_fds(control, 100, 2)[1]: os.close(descriptor)\n"
    )
    PROCESS.stop()
    monkeypatch.setattr(launch, "_START", mute)
    with pytest.raises(SetupMissing):
        await measure_image(PICTURE)
    monkeypatch.undo()

    assert started.read_text() == "xxx"
    assert await measure_image(PICTURE) == FACTS


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


async def test_a_caller_who_gives_up_ends_the_work() -> None:
    await measure_image(PICTURE)
    task = asyncio.create_task(measure_audio(samples.slow_adts(20_000_000)))
    assert await asyncio.to_thread(eventually, lambda: PROCESS.pid in alive().values())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await asyncio.to_thread(eventually, lambda: PROCESS.pid not in alive().values())
    assert await measure_image(PICTURE) == FACTS


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
