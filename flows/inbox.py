"""Watch-inbox: what is new in a folder or bucket becomes archived videos."""

from __future__ import annotations

import argparse
import sys
from typing import Annotated

from prefect import flow, runtime
from prefect.artifacts import acreate_table_artifact
from pydantic import Field

from blocks.errors import AvatarError
from flows.tasks.budget.limits import Caps
from flows.tasks.connections import connect
from flows.tasks.form import Credentials, MaxCost, MaxCostPerJob, Store, shown
from flows.tasks.help.hooks import with_help
from flows.tasks.inbox.inbox import empty_inbox
from flows.tasks.inbox.pieces import PieceReport, state_of, table
from flows.tasks.manifest.results import NotAllArchived, shown_of
from flows.tasks.progress.terminal import run_command


@flow(name="watch-inbox", **with_help())
async def watch_inbox(
    inbox: Annotated[
        str, shown("Inbox", "Folder or address that people put portraits and voices into.", minLength=1)
    ],
    quiet_seconds: Annotated[
        float, Field(ge=0), shown("Quiet seconds", "Newer files are left: they may be half uploaded.")
    ] = 60,
    at_once: Annotated[
        int,
        Field(ge=1, le=1000),
        shown("At once", "How many jobs are in flight; at most what Kling allows."),
    ] = 5,
    max_cost: MaxCost = None,
    max_cost_per_job: MaxCostPerJob = None,
    credentials: Credentials = None,
    store: Store = None,
) -> list[PieceReport]:
    """Look once into an inbox and make the videos of what is new there; run it on a schedule.

    A portrait and a voice clip of the same name are one video, with a prompt in `name.txt` or options in
    `name.json`; where those say `"speak": true` and there is no voice clip, `name.txt` is spoken. A `.csv`
    or `.jsonl` file is a manifest, and the files it names are left to it. Put prompt, options and manifest
    there first. MAY spend money, once for each video, however often and by however many runs the inbox is
    looked into. Nothing is moved or removed.

    The run fails for problems that no earlier run has reported; known ones stay in the table.

    Returns:
        One report for each piece of work that lies there.
    """
    caps = Caps.of(max_cost, max_cost_per_job, runtime.flow_run.id)
    async with connect(credentials, store, caps) as connections:
        reports = await empty_inbox(inbox, connections, quiet_seconds=quiet_seconds, at_once=at_once)
    state = state_of(reports)
    await acreate_table_artifact(
        key="watch-inbox", table=table(reports), description=f"{state.message}{shown_of(reports)}"
    )
    return state  # type: ignore[return-value]  # Prefect unwraps a returned state


def main() -> None:
    """Look once into an inbox from the command line."""
    parser = argparse.ArgumentParser(prog="python -m flows.inbox", description=main.__doc__)
    parser.add_argument("inbox", help="folder or address that holds portraits and voice clips")
    parser.add_argument("--quiet-seconds", default=60, type=float, help="newer files are left alone")
    parser.add_argument("--at-once", default=5, type=int, help="how many jobs are in flight")
    parser.add_argument("--max-cost", type=float, help="US dollars that this run may spend")
    parser.add_argument("--max-cost-per-job", type=float, help="US dollars that one video may cost")
    parser.add_argument("--credentials", help="name of a saved CometAPI Credentials block")
    parser.add_argument("--store", help="name of a saved Avatar Archive block")
    try:
        reports = run_command(watch_inbox(**vars(parser.parse_args())))
    except NotAllArchived as error:
        sys.stdout.writelines(f"{each.model_dump_json()}\n" for each in error.results)
        sys.exit(f"\n{error}")
    except AvatarError as error:
        sys.exit(f"\n{type(error).__name__}: {error}")
    sys.stdout.writelines(f"{each.model_dump_json()}\n" for each in reports)


if __name__ == "__main__":
    main()
