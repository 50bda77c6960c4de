"""Run a cluster until Ctrl-C."""

from __future__ import annotations

import argparse
import signal

from tests.cluster.machines import cluster
from tests.cluster.processes import say


def main() -> None:
    """Start PostgreSQL, Redis, two API servers behind a proxy, services, workers and the sandbox."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=main.__doc__)
    parser.add_argument("--workers", default=4, type=int, help="how many process workers")
    workers = parser.parse_args().workers
    try:
        with cluster({}, []) as running:
            for number in range(1, workers + 1):
                running.start_worker(number)
            say(running.deployed)
            say(f"Prefect   {running.url}   UI {running.url.removesuffix('/api')}")
            say(f"sandbox   {running.sandbox}   ledger {running.sandbox}/sandbox/ledger")
            say(f"archive   {running.environment['AVATAR_ARCHIVE_URL']}")
            say(f"workers   {workers}; export PREFECT_API_URL={running.url}; Ctrl-C ends all")
            signal.pause()
    except KeyboardInterrupt:
        say("ended")


if __name__ == "__main__":
    main()
