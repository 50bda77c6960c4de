"""Side by side in one run: this project's four steps and a hand-written script, against the sandbox.

Usage: `python -m tests.bench [JOBS]` (default 20). Prints a table and, as its last line, a JSON object.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

CONTENDERS = {"bare script": "tests.bench.bare", "this project": "tests.bench.steps"}


def measure(module: str, url: str, jobs: int) -> dict[str, float]:
    """Run one contender as a process of its own and return what it cost per job."""
    with tempfile.TemporaryDirectory() as folder:
        before = httpx.get(f"{url}/sandbox/requests", timeout=30, trust_env=False).json()
        command = [sys.executable, "-m", module, url, folder, str(jobs)]
        started = time.monotonic()
        process = subprocess.Popen(command)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{module} failed")
        after = httpx.get(f"{url}/sandbox/requests", timeout=30, trust_env=False).json()
        clips = len(list(Path(folder).rglob("*.mp4")))
    if clips != jobs:
        raise SystemExit(f"{module} made {clips} clips of {jobs}")
    return {
        "wall_seconds": round(time.monotonic() - started, 2),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "peak_rss_mib": round(used.ru_maxrss / 1024, 1),
        "requests_per_job": round((_count(after) - _count(before)) / max(jobs, 1), 2),
    }


def _count(requests: Any) -> int:
    return len(requests["requests"] if isinstance(requests, dict) else requests)


def main() -> None:
    """Measure both at no job and at all jobs: the difference is what the jobs cost, without the imports."""
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    options = ["--port", "0", "--json", "--fast-clip", "--render-seconds", "3"]
    command = [sys.executable, "-m", "blocks.sandbox", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sandbox:
        try:
            url = json.loads(sandbox.stdout.readline() if sandbox.stdout else "{}")["url"]
            found = {name: _per_job(module, url, jobs) for name, module in CONTENDERS.items()}
        finally:
            sandbox.terminate()
    for name, row in found.items():
        sys.stdout.write(f"{name:>14}  {json.dumps(row)}\n")
    bare, ours = (found[name]["cpu_ms_per_job"] for name in CONTENDERS)
    ratio = round(ours / max(bare, 0.1), 2)
    sys.stdout.write(json.dumps({"jobs": jobs, "cpu_ratio_to_bare": ratio, **found}) + "\n")


def _per_job(module: str, url: str, jobs: int) -> dict[str, float]:
    idle, busy = measure(module, url, 0), measure(module, url, jobs)
    per_job = (busy["cpu_seconds"] - idle["cpu_seconds"]) / jobs * 1000
    return busy | {"cpu_ms_per_job": round(per_job, 1)}


if __name__ == "__main__":
    main()
