"""The short version: small campaigns side by side, forked from one process that imports everything once."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from tests.chaos.crew import fork
from tests.chaos.judgement import run_campaign
from tests.chaos.stage import Options
from tests.chaos.unsafe import NO_INTENT, SHARED_CREATE

SECONDS = 400
_SMALL = Options(at_once=6, minutes=6)

CAMPAIGNS = {
    "lookup": replace(_SMALL, jobs=11, flows=0.1),
    "no-lookup": replace(_SMALL, jobs=11, lookup="no", answers=False),
    "probe": replace(_SMALL, jobs=4, lookup="probe", answers=False),
    "s3": replace(_SMALL, jobs=4, archive="s3"),
    NO_INTENT: replace(_SMALL, jobs=6, unsafe=NO_INTENT),
    SHARED_CREATE: replace(_SMALL, jobs=6, unsafe=SHARED_CREATE),
}


def main(folder: Path, prefect_url: str) -> None:
    """Run every campaign; each leaves what it prints and its verdict in `folder`."""
    running = []
    for name, options in CAMPAIGNS.items():
        chosen = replace(options, keep=str(folder / name), prefect_url=prefect_url if options.flows else "")
        work = partial(_run, chosen, folder / f"{name}.json")
        running.append(fork(work, folder / f"{name}.log", SECONDS))
    for pid in running:
        os.waitpid(pid, 0)


def _run(options: Options, verdict: Path) -> int:
    found = run_campaign(options, lambda line: sys.stdout.write(f"{line}\n"))
    verdict.write_text(json.dumps(asdict(found)))
    return 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
