"""Decide: a person says what becomes of a job when nobody can tell whether it was bought."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Annotated

from prefect import flow, runtime

from blocks.errors import AvatarError
from blocks.storage.journal import Entry
from flows.tasks.connections import connect
from flows.tasks.decision import Choice, Decision, decide_job
from flows.tasks.form import Credentials, Store, shown
from flows.tasks.help.hooks import with_help


@flow(name="decide", **with_help())
async def decide(
    job_id: Annotated[
        str, shown("Job id", "The 64 characters that the error named.", pattern="^[0-9a-f]{64}$")
    ],
    choice: Annotated[
        Choice,
        shown(
            "Choice", "adopt: it was bought, collect it. post again: it was not bought. give up: leave it."
        ),
    ],
    kling_task_id: Annotated[
        str,
        shown("Kling task id", "To adopt: the id from the provider's console or log.", pattern="^[0-9]*$"),
    ] = "",
    credentials: Credentials = None,
    store: Store = None,
) -> Entry:
    """Write a person's decision about one job to its journal. Costs nothing by itself.

    After `adopt`, reconcile-jobs or a new run of the job collects the clip. After `post again`, a new run of
    the job posts it: if it had been bought after all, that pays twice. After `give up`, ask for another take
    if the video is still wanted.

    Returns:
        The journal entry that was written.
    """
    async with connect(credentials, store) as connections:
        decision = Decision(choice=choice, kling_task_id=kling_task_id)
        return await decide_job(job_id, decision, connections, by=runtime.flow_run.name or "")


def main() -> None:
    """Decide about a job from the command line."""
    parser = argparse.ArgumentParser(prog="python -m flows.decide", description=main.__doc__)
    parser.add_argument("--job-id", required=True, help="the 64 characters that the error named")
    parser.add_argument("--choice", required=True, choices=["adopt", "post again", "give up"])
    parser.add_argument("--kling-task-id", default="", help="to adopt: the id from the provider's console")
    try:
        entry = asyncio.run(decide(**vars(parser.parse_args())))
    except AvatarError as error:
        sys.exit(f"\n{type(error).__name__}: {error}")
    sys.stdout.write(f"Job {entry.job_id} is now {entry.step}\n")


if __name__ == "__main__":
    main()
