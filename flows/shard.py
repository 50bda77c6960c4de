"""Avatars-shard: some rows of a manifest, as generate-avatars cuts it."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from pydantic import Field

from flows.tasks.budget.limits import Caps
from flows.tasks.connections import connect
from flows.tasks.form import Credentials, MaxCost, MaxCostPerJob, Store, shown
from flows.tasks.help.hooks import with_help
from flows.tasks.manifest.batch import Batch
from flows.tasks.manifest.shard import Shard, run_shard


@flow(name="avatars-shard", **with_help())
async def avatars_shard(
    manifest: Annotated[str, shown("Manifest", "Its address, which this worker can read.", minLength=1)],
    sha256: Annotated[str, shown("SHA-256", "Of the manifest; a changed one is refused.", minLength=64)],
    first: Annotated[int, Field(ge=1), shown("First row", "Number of the first row.")],
    last: Annotated[int, Field(ge=1), shown("Last row", "Number of the last row.")],
    batch: Annotated[str, shown("Batch", "Id of the flow run that cut the manifest.", minLength=1)],
    at_once: Annotated[
        int, Field(ge=1, le=1000), shown("At once", "How many jobs this shard has in flight.")
    ] = 5,
    max_cost: MaxCost = None,
    max_cost_per_job: MaxCostPerJob = None,
    credentials: Credentials = None,
    store: Store = None,
) -> Batch:
    """Turn some rows of a manifest into videos; generate-avatars starts these runs and gathers their results.

    MAY spend money, once for each video, however often a shard is started. A manifest that has changed since
    it was cut is refused before anything is bought.

    Returns:
        What became of each row; also left in the archive for the run that gathers.
    """
    shard = Shard(manifest, sha256, first, last, batch)
    caps = Caps.of(max_cost, max_cost_per_job, batch)
    async with connect(credentials, store, caps) as connections:
        done = await run_shard(shard, connections, at_once)
    return done.state  # type: ignore[return-value]  # Prefect unwraps a returned state
