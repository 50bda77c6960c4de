"""Side by side in one run: this project, two scripts and a naive flow, against the sandbox.

Usage: `python -m tests.bench --help`. Prints a table and, as its last line, a JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from tests.bench.costs import Cost, comparison, cost, headings, line
from tests.bench.measuring import CONTENDERS, Contender, measure
from tests.bench.servers import Sandbox, sandbox


def main() -> None:
    """Measure every contender with no job and with each number of jobs, one after another."""
    options = _options()
    _say(headings())
    found: dict[str, list[Cost]] = {}
    with sandbox(options.provider_seconds) as provider:
        for name in options.only or [name for name, each in CONTENDERS.items() if not each.is_variant]:
            found[name] = _measure_all(CONTENDERS[name], provider, options)
    ratios = comparison(found)
    for name, ratio in ratios.items():
        _say(f"{name}: {ratio}")
    shown = {name: [asdict(each) for each in costs] for name, costs in found.items()}
    settings = {"database": options.database, "provider_seconds": options.provider_seconds}
    _say(json.dumps({**settings, "costs": shown, "ratios": ratios}))


def _measure_all(contender: Contender, provider: Sandbox, options: argparse.Namespace) -> list[Cost]:
    rest = options.database, options.later_seconds
    idle = measure(contender, provider, 0, *rest)
    costs = []
    for jobs in options.jobs:
        busy = measure(contender, provider, jobs, *rest)
        costs.append(cost(idle, busy, jobs, options.provider_seconds))
        _say(line(contender.name, costs[-1]))
    return costs


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--jobs", type=_numbers, default=[10, 100, 1000], help="such as 10,100,1000")
    parser.add_argument("--only", action="append", choices=list(CONTENDERS), help="can be repeated")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--provider-seconds", type=float, default=10.0, help="time of a Kling task")
    parser.add_argument("--later-seconds", type=float, default=60.0, help="until Prefect's records are read")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
