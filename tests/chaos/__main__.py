"""Command line: `python -m tests.chaos --help`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

from tests.chaos.judgement import run_campaign
from tests.chaos.stage import Options
from tests.chaos.unsafe import NO_INTENT, SHARED_CREATE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one campaign; the exit code is 0 only when everything wanted holds."""
    options = _options(arguments)
    started = time.monotonic()
    verdict = run_campaign(options, _say)
    for complaint in verdict.complaints:
        _say(f"NOT AS WANTED  {complaint}")
    _say(f"seed {options.seed}, lookup {options.lookup}, {time.monotonic() - started:.0f} s")
    _say(json.dumps(verdict.sums))
    return 1 if verdict.complaints else 0


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Kill workers at every boundary while the provider fails, and see that each video is "
        "paid for once and none is lost. Everything runs on this machine; nothing is ever charged.",
    )
    parser.add_argument("--jobs", type=int, default=Options.jobs, help="how many videos are wanted")
    parser.add_argument("--seed", type=int, default=Options.seed, help="decides kills, races and faults")
    parser.add_argument(
        "--lookup", choices=("yes", "no", "probe"), default=Options.lookup, help="as in the credentials"
    )
    parser.add_argument(
        "--answers", choices=("yes", "no"), help="whether the provider answers lookups; default: with `yes`"
    )
    parser.add_argument(
        "--unsafe", choices=(NO_INTENT, SHARED_CREATE), default="", help="must be found out: exit code 1"
    )
    parser.add_argument("--archive", choices=("folder", "s3"), default=Options.archive)
    parser.add_argument("--flows", type=float, default=0.1, help="part of the jobs that are real flow runs")
    parser.add_argument("--pauses", action="store_true", help="pause processes too, before they post")
    parser.add_argument("--prefect-url", default="", metavar="URL", help="default: a server of its own")
    parser.add_argument("--at-once", type=int, default=Options.at_once, help="most processes at a time")
    parser.add_argument("--minutes", type=float, default=Options.minutes, help="most minutes")
    parser.add_argument(
        "--keep", default="", metavar="DIR", help="a new folder to keep traces, logs and archive in"
    )
    given = vars(parser.parse_args(arguments))
    answers = given.pop("answers") or ("yes" if given["lookup"] == "yes" else "no")
    return Options(**given, answers=answers == "yes")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
