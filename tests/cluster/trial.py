"""The cluster under load: jobs per minute by workers, then a worker and an API server are killed midway.

The first loads have as many jobs for each worker, few in flight, and a provider that takes time as it does:
they show what a further worker brings while processors are idle. The large one shows that nothing is lost.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from tests.cluster.machines import Cluster, cluster
from tests.cluster.processes import say, wait_for

_SAMPLES = Path("blocks/sandbox/samples").absolute()
_AT_ONCE = 40
_FEW_AT_ONCE = 10
_SLOW, _QUICK = {"render_seconds": 25.0}, {"render_seconds": 3.0}
_IN_FLIGHT = 400
_MOST_SECONDS = 580.0
_SETTLE_SECONDS = 60.0
# Not crashed: the batch itself may have been on the worker that is killed, and is started again.
_FINAL = {"COMPLETED", "FAILED", "CANCELLED"}
_OPEN = ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"]
_SETTINGS = {
    "AVATAR_MAX_IN_FLIGHT": str(_IN_FLIGHT),
    "AVATAR_ZOMBIE_SECONDS": "90",
    "AVATAR_CRASH_QUIET_SECONDS": "10",
    "COMETAPI_FIRST_POLL_SECONDS": "2",
    "COMETAPI_RENDER_FACTOR": "0",
    "COMETAPI_POLL_SECONDS": "2",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    # How long a POST of a killed worker stays in doubt; all clocks here are one.
    "COMETAPI_CREATE_SECONDS": "60",
    "COMETAPI_CLOCK_MARGIN_SECONDS": "1",
    "COMETAPI_ABSENCE_SECONDS": "60",
}
# A task more than the limit would be refused by the sandbox, as Kling refuses it.
_SANDBOX = ["--fast-clip", "--callbacks", "never", "--submitted-seconds", "0.5", "--render-seconds", "3"]


class Load(NamedTuple):
    """A manifest that is run: how many rows, by how many workers."""

    name: str
    jobs: int
    workers: int
    at_once: int


def run_load(load: Load, running: Cluster, *, killing: bool = False) -> dict[str, Any]:
    """Run a manifest in shards, two for each worker; return what was measured."""
    manifest = _write_manifest(load, running.folder)
    started = time.monotonic()
    run_id = _start(manifest, load, running)
    if killing:
        _kill_midway(load, running)
    state = wait_for(lambda: _ended(run_id, running), load.name, _MOST_SECONDS)
    seconds = time.monotonic() - started
    lines = [json.loads(line) for line in _results(manifest).read_text().splitlines()]
    return {
        "jobs": load.jobs,
        "workers": load.workers,
        "seconds": round(seconds, 1),
        "jobs_per_minute": round(load.jobs / seconds * 60),
        "state": state,
        "rows": dict(Counter(line["state"] for line in lines)),
        "has_clip": sum(_is_there(line["clip"]) for line in lines),
    }


def judge(running: Cluster, jobs: int) -> dict[str, Any]:
    """Compare the books of the sandbox with what was asked for, and see what Prefect says of its runs."""
    charges = running.read_sandbox("/ledger")["charges"]
    bought = Counter(charge["external_task_id"] for charge in charges)
    # A killed API server takes events of task runs with it; reconcile-jobs closes what was left.
    reconciled = running.start("reconcile-jobs")
    wait_for(lambda: _ended(reconciled, running), "reconcile-jobs", _MOST_SECONDS)
    deadline = time.monotonic() + _SETTLE_SECONDS
    while (unfinished := _unfinished(running)) != {"flow_runs": 0, "task_runs": 0}:
        if time.monotonic() > deadline:
            break
        time.sleep(5)
    return {
        "wanted": jobs,
        "charged": len(charges),
        "charged_twice": sum(count - 1 for count in bought.values()),
        "refused_as_too_many": running.read_sandbox("/ledger")["posts"] - len(charges),
        "unfinished": unfinished,
        "shards_run_again": _run_again(running),
        "died_by_themselves": running.processes.dead(),
    }


def _write_manifest(load: Load, folder: Path) -> Path:
    place = folder / "manifests"
    place.mkdir(exist_ok=True)
    for name in ("portrait.png", "voice.mp3"):
        shutil.copy(_SAMPLES / name, place / name)
    rows = "".join(f"portrait.png,voice.mp3,{load.name} {number}\n" for number in range(load.jobs))
    path = place / f"{load.name}.csv"
    path.write_text(f"image,audio,prompt\n{rows}")
    return path


def _is_there(clip: str | None) -> bool:
    return bool(clip) and Path(str(clip).removeprefix("file://")).stat().st_size > 0


def _results(manifest: Path) -> Path:
    return manifest.with_suffix(".results.jsonl")


def _start(manifest: Path, load: Load, running: Cluster) -> str:
    parameters = {"manifest": str(manifest), "at_once": load.at_once, "shards": 2 * load.workers}
    return running.start("generate-avatars", **parameters)


def _kill_midway(load: Load, running: Cluster) -> None:
    before = len(running.read_sandbox("/ledger")["charges"])
    _charged(before + load.jobs // 3, running)
    say("killing a worker with its runs")
    running.processes.kill(f"worker-{load.workers}")
    _charged(before + load.jobs // 2, running)
    say("killing an API server")
    running.processes.kill("api-1")


def _charged(number: int, running: Cluster) -> None:
    wait_for(
        lambda: len(running.read_sandbox("/ledger")["charges"]) >= number, f"{number} charges", _MOST_SECONDS
    )


def _ended(run_id: str, running: Cluster) -> str | None:
    (run,) = running.post("/flow_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
    return str(run["state_name"]) if run["state_type"] in _FINAL else None


def _run_again(running: Cluster) -> int:
    ours = {"flows": {"name": {"any_": ["avatars-shard"]}}}
    return sum(run["run_count"] > 1 for run in running.post("/flow_runs/filter", {**ours, "limit": 200}))


def _unfinished(running: Cluster) -> dict[str, int]:
    open_states = {"state": {"type": {"any_": _OPEN}}}
    ours = {"flows": {"name": {"any_": ["generate-avatars", "avatars-shard"]}}}
    return {
        kind: int(running.post(f"/{kind}/count", {kind: open_states, **ours}))
        for kind in ("flow_runs", "task_runs")
    }


def main() -> None:
    """Run loads on 1, 2 and 4 workers, then a large one in which a worker and an API server are killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.trial", description=main.__doc__)
    parser.add_argument("--jobs", default=2000, type=int, help="of the large load")
    parser.add_argument("--small", default=80, type=int, help="for each worker before it; 0 leaves them out")
    parser.add_argument("--workers", default=4, type=int)
    asked = parser.parse_args()
    sandbox = [*_SANDBOX, "--max-in-flight", str(_IN_FLIGHT)]
    jobs = 0
    with cluster(_SETTINGS, sandbox) as running:
        for number in range(1, asked.workers + 1):
            running.start_worker(number)
            if asked.small and number in {1, 2, asked.workers}:
                load = Load(f"with-{number}", asked.small * number, number, _FEW_AT_ONCE)
                running.set_sandbox(**_SLOW)
                say(json.dumps(run_load(load, running)))
                jobs += load.jobs
        running.set_sandbox(**_QUICK)
        large = run_load(Load("large", asked.jobs, asked.workers, _AT_ONCE), running, killing=True)
        jobs += asked.jobs
        say(json.dumps(large))
        books = judge(running, jobs)
        say(json.dumps(books))
        sound = (
            books["charged"] == jobs
            and not books["charged_twice"]
            and books["shards_run_again"] > 0
            and books["unfinished"] == {"flow_runs": 0, "task_runs": 0}
            and large["state"] == "AllArchived"
            and large["has_clip"] == asked.jobs
        )
        if not sound:
            say(f"Not as promised; logs are kept in {running.folder}")
            raise SystemExit(1)


if __name__ == "__main__":
    main()
