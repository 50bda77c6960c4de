"""Side by side in one run: this project, boto3 and plain s3fs bring clips from a delivery host into a bucket.

Prints a table and, as its last line, a JSON object. Each contender is a process of its own; they take turns,
round after round, and the fastest round of each counts. This project hashes and checks every clip; the others
do neither. The ceiling is what the server takes from a client that reads, hashes and signs nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.bench.archive.clips import voice_seconds, write_clip
from tests.bench.archive.contender import Work
from tests.bench.archive.servers import KINDS, Bucket, bucket, delivery_host

CONTENDERS = {"this project": "ours", "boto3": "boto", "s3fs": "plain_s3fs", "ceiling": "ceiling"}
MEGABYTE = 1_000_000


class Case(NamedTuple):
    """One kind of work: so many clips of so many megabytes, so many at once."""

    clips: int
    megabytes: int
    at_once: int


CASES = {"one": Case(1, 500, 1), "hundred": Case(100, 20, 8), "sixteen": Case(16, 100, 16)}

Found = dict[str, float]


def main(words: Sequence[str] | None = None) -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.archive", description=__doc__)
    parser.add_argument("--server", choices=KINDS, default=KINDS[0], help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", choices=CASES, action="append", help="default: all")
    parser.add_argument("--contender", choices=CONTENDERS, action="append", help="default: all")
    asked = parser.parse_args(words)
    names = asked.contender or list(CONTENDERS)
    with (
        TemporaryDirectory() as folder,
        bucket(asked.server, Path(folder)) as target,
        delivery_host(Path(folder)) as host,
    ):
        stage = Stage(Path(folder), target, host)
        found = {case: stage.compare(CASES[case], names, asked.rounds) for case in asked.case or CASES}
    for case, rows in found.items():
        sys.stdout.writelines(f"{line}\n" for line in table(case, rows))
    sys.stdout.write(json.dumps({"server": asked.server, "rounds": asked.rounds, **found}) + "\n")


class Stage:
    """The servers, and the clips that are brought from one to the other.

    Args:
        folder: What the delivery host serves.
        target: The bucket.
        host: Address of the delivery host.
    """

    def __init__(self, folder: Path, target: Bucket, host: str) -> None:
        self._folder = folder
        self._target = target
        self._host = host
        self._runs = count()
        self._seconds = asyncio.run(voice_seconds())

    def compare(self, case: Case, names: Sequence[str], rounds: int) -> dict[str, Found]:
        """Let the contenders take turns and return the best round of each, by name."""
        name = f"{case.megabytes}.mp4"
        write_clip(self._folder / name, case.megabytes * MEGABYTE)
        runs: dict[str, list[Found]] = {each: [] for each in names}
        for _ in range(rounds):
            for each in names:
                runs[each].append(self._run(each, case, f"{self._host}/{name}"))
        best = {each: max(found, key=lambda one: one["mb_per_second"]) for each, found in runs.items()}
        return {each: row | _worst_memory(runs[each]) | _ratio(row, best) for each, row in best.items()}

    def _run(self, name: str, case: Case, source: str) -> Found:
        prefix = f"run-{next(self._runs)}"
        size = case.megabytes * MEGABYTE
        work = Work(self._target.url, source, case.clips, case.at_once, prefix, self._seconds, size)
        command = [
            sys.executable,
            "-m",
            f"tests.bench.archive.{CONTENDERS[name]}",
            json.dumps(work._asdict()),
        ]
        ended = subprocess.run(
            command, env=os.environ | self._target.variables, stdout=subprocess.PIPE, text=True, check=True
        )
        if name != "ceiling" and self._target.sizes(prefix) != [size] * case.clips:
            raise SystemExit(f"{name} did not bring every clip whole")
        self._target.clear()
        found = json.loads(ended.stdout)
        moved = case.clips * case.megabytes
        return {
            "mb_per_second": round(moved / found["wall_seconds"], 1),
            "cpu_seconds_per_gb": round(found["cpu_seconds"] / moved * 1000, 2),
            "rss_growth_mib": round(found["rss_growth_mib"], 1),
        }


def _worst_memory(runs: Sequence[Found]) -> Found:
    return {"rss_growth_mib": max(run["rss_growth_mib"] for run in runs)}


def _ratio(row: Found, best: dict[str, Found]) -> Found:
    ours = best.get("this project", row)["mb_per_second"]
    return {"our_speed_to_it": round(ours / row["mb_per_second"], 2)}


def table(case: str, rows: dict[str, Found]) -> Iterator[str]:
    """Return the lines that people read."""
    asked = CASES[case]
    yield f"{asked.clips} x {asked.megabytes} MB, {asked.at_once} at once"
    yield f"{'':>14} {'MB/s':>8} {'ours to it':>11} {'CPU s/GB':>9} {'RSS growth MiB':>15}"
    for name, row in rows.items():
        yield (
            f"{name:>14} {row['mb_per_second']:>8} {row['our_speed_to_it']:>11} "
            f"{row['cpu_seconds_per_gb']:>9} {row['rss_growth_mib']:>15}"
        )


if __name__ == "__main__":
    main()
