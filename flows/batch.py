"""Generate-avatars: a manifest of portraits and voice clips becomes archived videos."""

from __future__ import annotations

import argparse
import sys
from typing import Annotated, Literal

from prefect import flow, runtime
from prefect.artifacts import acreate_table_artifact
from pydantic import Field

from blocks.errors import AvatarError
from flows.tasks.addresses import absolute, name_of
from flows.tasks.budget.limits import Caps
from flows.tasks.connections import connect
from flows.tasks.form import Credentials, MaxCost, MaxCostPerJob, Store, shown
from flows.tasks.help.hooks import with_help
from flows.tasks.manifest.batch import Batch
from flows.tasks.manifest.results import NotAllArchived, shown_of, table
from flows.tasks.manifest.shard_runs import cancel_shards
from flows.tasks.manifest.shards import run_batch
from flows.tasks.progress.terminal import run_command
from flows.tasks.shown.batch import show_batch


def name_of_run() -> str:
    """Return the name of a flow run that people can read."""
    return f"manifest {name_of(absolute(runtime.flow_run.parameters['manifest']))[:80]}"


@flow(name="generate-avatars", flow_run_name=name_of_run, on_cancellation=[cancel_shards], **with_help())
async def generate_avatars(
    manifest: Annotated[
        str, shown("Manifest", "CSV or JSON Lines, a row a video: a path or address.", minLength=1)
    ],
    on_invalid: Annotated[
        Literal["skip", "stop"],
        shown("On invalid rows", "skip: leave them out. stop: buy nothing until all are right."),
    ] = "skip",
    at_once: Annotated[
        int,
        Field(ge=1, le=1000),
        shown("At once", "How many jobs are in flight, in each shard; at most what Kling allows."),
    ] = 5,
    shards: Annotated[
        int,
        Field(ge=1, le=1000),
        shown("Shards", "Cut the manifest into so many runs, which workers share. 1: this run does all."),
    ] = 1,
    max_cost: MaxCost = None,
    max_cost_per_job: MaxCostPerJob = None,
    credentials: Credentials = None,
    store: Store = None,
) -> Batch:
    """Turn every row of a manifest into a talking-avatar video in the archive.

    Columns are named like the parameters of generate-avatar: image, audio, audio_id, prompt, mode, take,
    name, rights; and of speak-avatar: text, voice, language, speed, speech_take. Relative paths start from
    the manifest. MAY spend money, once for each video and `max_cost` at most: rows that are archived already
    cost nothing, so the same manifest can be run again until all is done. In shards it is run by all workers
    of the pool; they read manifest, inputs and archive by the same addresses.

    Returns:
        What became of each row; also written beside the manifest as `<name>.results.jsonl`.
    """
    caps = Caps.of(max_cost, max_cost_per_job, runtime.flow_run.id)
    async with connect(credentials, store, caps) as connections:
        batch = await run_batch(
            manifest,
            connections,
            on_invalid=on_invalid,
            at_once=at_once,
            shards=shards,
            given={
                "max_cost": max_cost,
                "max_cost_per_job": max_cost_per_job,
                "credentials": credentials,
                "store": store,
            },
        )
        await show_batch(batch.results, connections)
    await acreate_table_artifact(
        key="generate-avatars",
        table=table(batch.results),
        description=batch.summary + shown_of(batch.results),
    )
    return batch.state  # type: ignore[return-value]  # Prefect unwraps a returned state


def main() -> None:
    """Run a manifest from the command line."""
    parser = argparse.ArgumentParser(prog="python -m flows.batch", description=main.__doc__)
    parser.add_argument("manifest", help="CSV or JSON Lines, a row a video: a path or address")
    parser.add_argument("--on-invalid", default="skip", choices=["skip", "stop"])
    parser.add_argument("--at-once", default=5, type=int, help="how many jobs are in flight")
    parser.add_argument("--shards", default=1, type=int, help="cut it into so many runs of a deployment")
    parser.add_argument("--max-cost", type=float, help="US dollars that this run may spend")
    parser.add_argument("--max-cost-per-job", type=float, help="US dollars that one video may cost")
    parser.add_argument("--credentials", help="name of a saved CometAPI Credentials block")
    parser.add_argument("--store", help="name of a saved Avatar Archive block")
    try:
        batch = run_command(generate_avatars(**vars(parser.parse_args())))
    except NotAllArchived as error:
        sys.stdout.writelines(f"{result.model_dump_json()}\n" for result in error.results)
        sys.exit(f"\n{error}")
    except AvatarError as error:
        sys.exit(f"\n{type(error).__name__}: {error}")
    sys.stdout.writelines(f"{result.model_dump_json()}\n" for result in batch.results)


if __name__ == "__main__":
    main()
