"""A run shows how far it is: on its page, seldom, and on the command line."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import subprocess
import sys
import threading
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterType,
    FlowRunFilter,
    FlowRunFilterName,
)
from prefect.client.schemas.objects import Artifact

from blocks import AvatarArchive, CometAPICredentials
from blocks.sandbox.serve import RunningSandbox
from flows.batch import generate_avatars
from flows.tasks.connections import connect
from flows.tasks.progress import artifact, terminal
from flows.tasks.progress.tally import Seen, Wait
from flows.tasks.progress.terminal import run_command
from flows.tasks.progress.words import counts, percent, wait_of
from tests.flows.conftest import SAMPLES
from tests.flows.desk import results_beside, write_manifest
from tests.flows.story import Ask


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what is asked of Prefect's server about artifacts; it is still asked."""
    asked: Counter[str] = Counter()
    for name in ("create_artifact", "update_artifact"):
        real = getattr(PrefectClient, name)

        async def call(self: Any, *given: Any, _name: str = name, _real: Any = real, **named: Any) -> Any:
            asked[_name] += any(getattr(each, "type", "progress") == "progress" for each in given[-1:])
            return await _real(self, *given, **named)

        monkeypatch.setattr(PrefectClient, name, call)
    return asked


def often(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(artifact, "_FIRST_SECONDS", 0.1)
    monkeypatch.setattr(artifact, "_SECONDS", seconds)


async def bars_of(name: str) -> list[Artifact]:
    """Return the progress artifacts of the runs with this name."""
    async with get_client() as client:
        return await client.read_artifacts(
            artifact_filter=ArtifactFilter(type=ArtifactFilterType(any_=["progress"])),
            flow_run_filter=FlowRunFilter(name=FlowRunFilterName(like_=name)),
        )


async def test_a_waiting_run_shows_elapsed_against_expected_and_why(
    ask: Ask,
    sandbox: RunningSandbox,
    credentials: CometAPICredentials,
    monkeypatch: pytest.MonkeyPatch,
    requests: Counter[str],
) -> None:
    often(monkeypatch, 0.2)
    sandbox.set(fast_clip=True, render_seconds=3600)
    slow = credentials.model_copy(update={"render_factor": 1})
    run = asyncio.ensure_future(ask(name="waits", credentials=slow))
    seen: set[tuple[float, str]] = set()
    async with asyncio.timeout(60):
        while len({data for data, _ in seen}) < 2:
            seen |= {(float(each.data), each.description or "") for each in await bars_of("waits")}  # type: ignore[arg-type] # a bar has a number
            await asyncio.sleep(0.1)
    assert all(0 <= data <= 99 for data, _ in seen)
    (task,) = sandbox.tasks()
    for _, text in seen:
        assert re.match(
            r"\d+ s(, longer than the expected| of about) \d+ s: 1 s for each second of sound", text
        )
        assert text.endswith(f" (waits, Kling task {task['task_id']})")
    sandbox.advance(3600)
    await run
    (bar,) = await bars_of("waits")
    assert bar.description == "Nothing waits for Kling any more."
    assert requests["create_artifact"] == 1


async def test_a_batch_counts_what_is_done_running_failed_and_spent_in_few_requests(
    tmp_path: Path,
    sandbox: RunningSandbox,
    credentials: CometAPICredentials,
    archive_block: AvatarArchive,
    monkeypatch: pytest.MonkeyPatch,
    requests: Counter[str],
) -> None:
    often(monkeypatch, 1000)
    sandbox.set(fast_clip=True, render_seconds=1)
    rows = [f"kim.png,kim.mp3,{number}" for number in range(6)]
    manifest = write_manifest(
        tmp_path, *rows, "nobody.png,kim.mp3,x", "kim.png,kim.mp3,[fault:1301]", name="counted.csv"
    )
    await generate_avatars(manifest, credentials=credentials, store=archive_block, return_state=True)
    (bar,) = await bars_of("counted")
    spent = sum(Decimal(line["estimated_usd"]) for line in results_beside(manifest) if line["clip"])
    assert bar.data == 100
    assert bar.description == (
        f"6 of 8 done, 0 running, 2 failed, 0 to come; about {spent:.2f} US dollars spent by list price"
    )
    assert (requests["create_artifact"], requests["update_artifact"]) == (1, 1)


async def test_outside_of_a_flow_run_nothing_is_shown(
    credentials: CometAPICredentials,
    archive_block: AvatarArchive,
    requests: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    often(monkeypatch, 0.01)
    async with connect(credentials, archive_block) as connections:
        connections.progress.plan(1)
        await asyncio.sleep(0.3)
    assert not requests


async def test_a_bar_that_cannot_be_written_stops_nothing(
    ask: Ask, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the server is gone")

    often(monkeypatch, 0.01)
    monkeypatch.setattr(artifact.ProgressArtifact, "show", fail)
    sandbox.set(fast_clip=True, render_seconds=1)
    assert (await ask()).clip.size


def test_elapsed_is_set_against_expected() -> None:
    wait = Wait("Kim", "17", 42.4, 90.2, "so it was")
    assert wait_of(wait) == "42 s of about 90 s: so it was"
    assert wait_of(wait._replace(elapsed=100)) == "100 s, longer than the expected 90 s: so it was"
    assert wait_of(wait._replace(expected=0)) == "42 s since the submit; there is no estimate"
    alone = Seen(0, Counter(), 1, Decimal(0), (wait,))
    assert percent(alone) == pytest.approx(47, abs=0.1)
    assert percent(Seen(0, Counter(), 1, Decimal(0), (wait._replace(elapsed=900),))) == 99
    many = Seen(10, Counter({"archived": 4, "duplicate": 1, "failed": 1}), 3, Decimal("1.2"), (wait,))
    assert percent(many) == 60
    assert counts(many) == (
        "5 of 10 done, 3 running, 1 failed, 1 to come; about 1.20 US dollars spent by list price"
    )


def test_without_a_terminal_progress_is_a_line_of_the_log(
    ask: Ask, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(terminal, "_LINE_SECONDS", 0.3)
    sandbox.set(fast_clip=True, render_seconds=2)
    run_command(ask())  # type: ignore[arg-type] # an async flow is called: a coroutine
    (task,) = sandbox.tasks()
    said = [line for line in caplog.messages if line.startswith(f"Kling task {task['task_id']}: ")]
    assert said
    assert "no estimate" in said[0]


def test_in_a_terminal_bars_move_below_the_log(
    sandbox: RunningSandbox, prefect_environment: dict[str, str], tmp_path: Path
) -> None:
    sandbox.set(fast_clip=True, render_seconds=3)
    environment = {
        **os.environ,
        **prefect_environment,
        "COMETAPI_KEY": "sandbox-key",
        "COMETAPI_BASE_URL": sandbox.url,
        "COMETAPI_FIRST_POLL_SECONDS": "0.2",
        "COMETAPI_RENDER_FACTOR": "0.5",
        "COMETAPI_POLL_SECONDS": "0.2",
        "AVATAR_ARCHIVE_URL": str(tmp_path / "archive"),
        "TERM": "xterm",
        "COLUMNS": "160",
    }
    files = ["--image", str(SAMPLES / "portrait.png"), "--audio", str(SAMPLES / "voice.mp3")]
    printed, told = in_terminal([sys.executable, "-m", "flows.avatar", *files], environment)
    assert sandbox.tasks()[0]["task_id"] in told
    seen = re.split(r"[\r\n]", re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", printed))
    assert any(re.match(r"[━╸╺]{20} \d s of about 3 s: 0.5 s for each second", line) for line in seen), seen
    logged = [line for line in seen if "| INFO" in line]
    assert any("poll" in line and "Finished in state Completed()" in line for line in logged), seen
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d{3} \| INFO", line) for line in logged), logged


def in_terminal(command: list[str], environment: dict[str, str]) -> tuple[str, str]:
    """Run a command whose stderr is a terminal; return what it printed there, and its stdout."""
    ours, theirs = pty.openpty()
    printed = bytearray()

    def read() -> None:
        try:
            while data := os.read(ours, 65536):
                printed.extend(data)
        except OSError:
            return

    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True) as run:
        os.close(theirs)
        reader = threading.Thread(target=read)
        reader.start()
        told, _ = run.communicate(timeout=150)
        reader.join()
    os.close(ours)
    assert run.returncode == 0, printed.decode()
    return printed.decode(), told
