"""The README's commands do what it says, typed by somebody who has read nothing else."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from blocks.kling.voices import VOICES
from tests.readme import README, with_table

ROOT = README.resolve().parent

DEMO = "make demo"
SANDBOX = ".venv/bin/python -m blocks.sandbox --port 8787 --write-samples ."
AVATAR_ARCHIVE = "export AVATAR_ARCHIVE_URL=archive"
ON_SANDBOX = (
    "COMETAPI_KEY=x COMETAPI_BASE_URL=http://127.0.0.1:8787 "
    ".venv/bin/python -m flows.avatar --image face.png --audio voice.mp3"
)
VERIFY = "make verify URL=archive"
REGISTER = ".venv/bin/prefect block register -m blocks"

# What cannot be run here, each with its reason.
NEEDS_A_KEY = {
    "export COMETAPI_KEY=…",
    "export AVATAR_ARCHIVE_URL=s3://your-bucket/avatars",
    ".venv/bin/python -m flows.avatar --image face.png --audio voice.mp3",
}
NEEDS_A_JOB = {
    ".venv/bin/python -m flows.decide --job-id … --choice adopt --kling-task-id …",
    '.venv/bin/python -m flows.decide --job-id … --choice "post again"',
    '.venv/bin/python -m flows.decide --job-id … --choice "give up"',
}
# By tests/callback, tests/chaos, tests/cluster, tests/deploy and tests/flows, on servers of their own.
RUN_BY_OTHERS = {
    "make test",
    "make chaos JOBS=200 SEED=1",
    "make deploy",
    "export PREFECT_API_URL=http://127.0.0.1:4200/api",
    "export COMETAPI_KEY=… AVATAR_ARCHIVE_URL=s3://your-bucket/avatars",
    ".venv/bin/prefect worker start --pool kling-avatar",
    ".venv/bin/prefect deployment run generate-avatar/generate-avatar "
    "-p image=s3://bucket/face.png -p audio=s3://bucket/voice.mp3",
    ".venv/bin/python -m flows.batch manifest.csv",
    ".venv/bin/python -m flows.batch manifest.csv --max-cost 25 --max-cost-per-job 3",
    ".venv/bin/python -m flows.plan manifest.csv",
    ".venv/bin/python -m flows.plan --inbox inbox",
    ".venv/bin/python -m flows.plan --image face.png --audio voice.mp3 --mode pro",
    ".venv/bin/python -m flows.inbox inbox",
    "AVATAR_ARCHIVE_URL=archive .venv/bin/python -m flows.gallery",
    ".venv/bin/python -m flows.gallery --link-seconds 86400",
    "make cluster WORKERS=4",
    "make cluster-test",
    ".venv/bin/prefect deployment run generate-avatars/generate-avatars "
    "-p manifest=s3://bucket/manifest.csv -p shards=8 -p at_once=50",
    "docker compose -f flows/deploy/cluster/compose.yaml up -d",
    "docker compose -f flows/deploy/cluster/compose.yaml run --rm deploy",
    ".venv/bin/prefect work-pool create kling-avatar --type kubernetes "
    "--base-job-template flows/deploy/cluster/kubernetes-work-pool.json",
    "make callback-test",
    "export OTEL_METRICS_EXPORTER=otlp OTEL_TRACES_EXPORTER=none OTEL_LOGS_EXPORTER=none",
    "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318",
    ".venv/bin/opentelemetry-instrument .venv/bin/prefect worker start --pool kling-avatar",
    "export COMETAPI_CALLBACK_URL=https://your-host/kling",
    "export COMETAPI_CALLBACK_SECRET=…",
    ".venv/bin/python -m uvicorn flows.callback:app --port 8790",
    ".venv/bin/prefect deployment run generate-avatar/generate-avatar "
    "-p image=s3://bucket/face.png -p audio=s3://bucket/voice.mp3 -p wait=callback",
    "COMETAPI_KEY=x COMETAPI_BASE_URL=http://127.0.0.1:8787 .venv/bin/python -m flows.speech "
    '--image face.png --voice oversea_male1 --text "Good morning to all of you. This is the news of today."',
}


def commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", README.read_text(), re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a fresh checkout after its set-up."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in (".venv", "Makefile", "blocks", "constraints.txt", "flows", "pyproject.toml", "tests"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture(scope="module")
def environment(checkout: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "COMETAPI"))}
    return kept | {"PREFECT_HOME": str(checkout / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


def shell(command: str, folder: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_the_error_table_is_what_the_code_says() -> None:
    assert README.read_text() == with_table(README.read_text()), "run `python -m tests.readme`"


def test_every_command_is_run_or_has_its_reason() -> None:
    run_here = {DEMO, SANDBOX, AVATAR_ARCHIVE, ON_SANDBOX, VERIFY, REGISTER}
    assert set(commands()) == run_here | NEEDS_A_KEY | NEEDS_A_JOB | RUN_BY_OTHERS


def test_the_demo_archives_a_video_and_the_next_one_charges_nothing(
    checkout: Path, environment: dict[str, str]
) -> None:
    first = shell(DEMO, checkout, environment)
    clip = re.search(r"clip  (\S+\.mp4)", first)
    assert clip
    assert (checkout / clip[1]).is_file()
    assert re.search(r"charged  2\.\d+ units, 0\.\d+ USD", first)
    second = shell(DEMO, checkout, environment)
    assert "charged  nothing: it was archived already" in second
    assert _left_running(checkout) == []


def _left_running(folder: Path) -> list[str]:
    """Return the processes that still work in `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if Path(process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.fixture
def sandbox(checkout: Path, environment: dict[str, str]) -> Iterator[None]:
    with subprocess.Popen(
        ["bash", "-c", f"exec {SANDBOX}"], cwd=checkout, env=environment, stdout=subprocess.DEVNULL
    ) as running:
        deadline = time.monotonic() + 60
        while not (checkout / "voice.mp3").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        yield
        running.send_signal(signal.SIGTERM)


@pytest.mark.usefixtures("sandbox")
def test_two_terminals_make_a_video(checkout: Path, environment: dict[str, str]) -> None:
    impatient = {"COMETAPI_FIRST_POLL_SECONDS": "1", "COMETAPI_RENDER_FACTOR": "0"}
    assert all(name in README.read_text() for name in impatient)
    printed = shell(f"{AVATAR_ARCHIVE}; {ON_SANDBOX}", checkout, environment | impatient)
    assert '"task_id"' in printed
    assert len(list((checkout / "archive").rglob("*.mp4"))) == 1


def test_an_archive_is_verified(
    checkout: Path, environment: dict[str, str], prefect_environment: dict[str, str]
) -> None:
    note = checkout / "archive/clips/00/note.txt"
    note.parent.mkdir(parents=True)
    note.touch()
    printed = shell(VERIFY, checkout, environment | prefect_environment)
    assert '"key":"clips/00/note.txt"' in printed
    assert "compared by size; 0 open jobs; foreign object (1)" in printed


def test_the_voices_are_listed() -> None:
    listed = set(re.findall(r"`([^`\n]+)`", README.read_text()))
    assert VOICES["en"] | VOICES["zh"] <= listed


def test_the_blocks_are_registered(checkout: Path, environment: dict[str, str]) -> None:
    printed = shell(REGISTER, checkout, environment)
    assert "CometAPI Credentials" in printed
    assert "Avatar Archive" in printed
