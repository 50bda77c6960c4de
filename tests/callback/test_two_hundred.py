"""Many jobs wait at once and nothing runs meanwhile; calls get lost, doubled, come early and are forged."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from blocks.kling.callback import token_of
from blocks.storage.sidecar import Sidecar
from tests.callback.conftest import SECRET, Waiting, resident_mib
from tests.callback.office import Fate
from tests.deploy.stage import FACE, VOICE, Stage, descendants, show, worker

JOBS = int(os.environ.get("JOBS", "200"))
_HOUR = 3600
_PATIENCE_OF_RECEIVER = 125.0

pytestmark = pytest.mark.timeout(3600)


def test_all_are_archived_and_none_is_bought_twice(waiting: Waiting) -> None:
    stage, office = waiting.stage, waiting.office
    stage.sandbox.set(render_seconds=2 * _HOUR)
    started = time.monotonic()
    runs = [
        stage.start("generate-avatar", image=FACE, audio=VOICE, take=take, wait="callback")
        for take in range(1, JOBS + 1)
    ]
    stage.patch("/work_pools/kling-avatar", {"concurrency_limit": 4})
    with worker(stage, "only") as process:
        _patiently(lambda: _waiting(stage) == JOBS, stage)
        submitted = time.monotonic() - started
        time.sleep(_PATIENCE_OF_RECEIVER)
        _patiently(lambda: _waiting(stage) == JOBS and not descendants(process.pid), stage)
        time.sleep(10)
        idle = _at_rest(process.pid)
        assert idle["processes"] == 0
        assert _waiting(stage) == JOBS, "a forged or an early call changed something"
        advanced = _until_first_is_done(stage)
        lost = sum(fate == "lost" for fate in office.fates.values())
        _until_calls_are_used_up(stage)
        called = _completed(stage)
        assert called >= 0.9 * (JOBS - lost)
        swept = time.monotonic()
        sweeps = _sweep_until_all_are_done(stage)
        swept = time.monotonic() - swept
    sidecars = _sidecars(stage)
    assert len(sidecars) == JOBS
    ledger = stage.sandbox.ledger()
    bought = [charge["external_task_id"] for charge in ledger["charges"]]
    assert (ledger["posts"], len(set(bought))) == (JOBS, JOBS)
    requests = len(stage.sandbox.requests()) / JOBS
    show(
        f"{JOBS} jobs on one worker",
        waiting=idle,
        receiver_mib=resident_mib(waiting.receiver.pid),
        seconds_to_submit_all=round(submitted),
        seconds_from_done_to_archived=_latencies(sidecars, office.fates, advanced),
        archived_after_a_call=called,
        sweeps=sweeps,
        seconds_of_the_sweeps=round(swept),
        requests_per_job=round(requests, 2),
        calls=dict(office.sent),
        executions={
            fate: _executions(stage, runs, office.fates, fate) for fate in sorted(set(office.fates.values()))
        },
    )
    assert set(office.answers) == {200}
    assert _files_with_a_token(stage, office.fates) == []
    assert requests <= 2.2


def _files_with_a_token(stage: Stage, jobs: Iterable[str]) -> list[Path]:
    """Return what of database, logs, results and archive holds the secret part of an address."""
    codes = [token_of(job, SECRET)[-43:].encode() for job in jobs]
    files = [path for path in stage.folder.rglob("*") if path.is_file()]
    return [path for path in files if (data := path.read_bytes()) and any(code in data for code in codes)]


def _patiently(look: Any, stage: Stage) -> None:
    """Wait as long as there is progress, and forty minutes at most."""
    deadline = time.monotonic() + 2400
    while not look():
        assert time.monotonic() < deadline, stage.log_tail()
        time.sleep(2)


def _count(stage: Stage, **state: str) -> int:
    wanted = {
        "deployments": {"name": {"any_": ["generate-avatar"]}},
        "flow_runs": {"state": {what: {"any_": [one]} for what, one in state.items()}},
    }
    return int(stage.post("/flow_runs/count", wanted))


def _completed(stage: Stage) -> int:
    """Count by the type of the state: those that found the video archived have a name of their own."""
    return _count(stage, type="COMPLETED")


def _waiting(stage: Stage) -> int:
    """Count the runs that wait; a busy server takes some of them for lost, which must not matter."""
    return _count(stage, name="Suspended") + _count(stage, type="CRASHED")


def _until_calls_are_used_up(stage: Stage) -> None:
    """Wait until nothing has moved for longer than the receiver tries to resume a run."""
    seen, since = 0, time.monotonic()

    def look() -> bool:
        nonlocal seen, since
        completed = _completed(stage)
        if completed != seen or completed + _waiting(stage) < JOBS:
            seen, since = completed, time.monotonic()
        return completed == JOBS or time.monotonic() - since > _PATIENCE_OF_RECEIVER

    _patiently(look, stage)


def _sweep_until_all_are_done(stage: Stage) -> int:
    """Run reconcile-jobs as its schedule would; return how often it took."""
    sweeps = 0
    while _completed(stage) != JOBS:
        assert sweeps < 5, stage.log_tail()
        assert stage.ended(stage.start("reconcile-jobs"))["state_type"] == "COMPLETED"
        _patiently(lambda: _completed(stage) + _waiting(stage) == JOBS, stage)
        sweeps += 1
    return sweeps


def _at_rest(worker_pid: int) -> dict[str, float]:
    return {"processes": len(descendants(worker_pid)), "worker_mib": resident_mib(worker_pid)}


def _until_first_is_done(stage: Stage) -> float:
    """Move the sandbox's clock to where the first video is done; the others follow as they were submitted."""
    first = min(task["created_at"] for task in stage.sandbox.tasks()) / 1000
    seconds = float(2 * _HOUR - (time.time() - first) + 1)
    stage.sandbox.advance(seconds)
    return seconds


def _sidecars(stage: Stage) -> list[Sidecar]:
    return [
        Sidecar.model_validate_json(path.read_text()) for path in (stage.archive / "clips").rglob("*.json")
    ]


def _latencies(sidecars: Iterable[Sidecar], fates: dict[str, Fate], advanced: float) -> dict[str, Any]:
    """Return seconds from the provider's "done" to the sidecar: median and maximum, by fate."""
    found: dict[str, list[float]] = {}
    for sidecar in sidecars:
        assert sidecar.times.finished
        done = sidecar.times.finished - timedelta(seconds=advanced)
        seconds = (sidecar.times.archived - done).total_seconds()
        found.setdefault(fates[sidecar.job_id], []).append(round(seconds, 1))
    return {fate: [statistics.median(seconds), max(seconds)] for fate, seconds in sorted(found.items())}


def _executions(stage: Stage, runs: list[str], fates: dict[str, Fate], fate: Fate) -> float:
    """Return how often a run of this fate was started, on average."""
    found = [stage.run_of(run) for run in runs]
    counts = [
        stage.states(each["id"]).count("Running")
        for each in found
        for tag in each["tags"]
        if tag.startswith("kling-job:") and fates[tag.removeprefix("kling-job:")] == fate
    ]
    return float(round(statistics.mean(counts), 2))
