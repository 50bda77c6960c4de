"""A manifest in shards: each is a run of a deployment, so that all workers share the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound

from blocks.archive import AvatarArchive
from blocks.credentials import CometAPICredentials
from blocks.errors import SetupMissing
from flows.tasks.addresses import absolute
from flows.tasks.connections import Connections
from flows.tasks.logs import run_logger
from flows.tasks.manifest.batch import Batch, run_manifest
from flows.tasks.manifest.checked import check_rows
from flows.tasks.manifest.manifest import Row, read_manifest_and_digest
from flows.tasks.manifest.result_manifest import results_in, write_results
from flows.tasks.manifest.results import IN_THE_ARCHIVE, RowResult
from flows.tasks.manifest.rows import OnInvalid
from flows.tasks.manifest.shard import Shard
from flows.tasks.manifest.shard_runs import DEPLOYMENT, see_through
from flows.tasks.validate import check_request


async def run_batch(
    manifest: str,
    connections: Connections,
    *,
    on_invalid: OnInvalid,
    at_once: int,
    shards: int,
    given: Mapping[str, Any],
) -> Batch:
    """Make every video of a manifest, in shards where that is wanted and there is a deployment for them.

    MAY spend money, once for each job, whichever runs die. With `stop` all rows are checked here first, and
    read a second time in the shards; when one cannot be used, this run judges the rows itself, as it does
    without shards, and starts none.

    Args:
        manifest: Path or address, which every worker reads.
        connections: Provider and archive.
        on_invalid: `stop` buys nothing at all when a row cannot be used, `skip` leaves out that row.
        at_once: How many jobs each shard has in flight at most.
        shards: How many; 1 runs all rows here.
        given: Parameters that are handed on to the shards: what may be spent, credentials and store.

    Raises:
        InvalidRequest: The manifest cannot be used as a whole; nothing was bought.
        SetupMissing: A block was given that is not saved, so no other process can load it.
    """
    here = partial(run_manifest, manifest, connections, on_invalid=on_invalid, at_once=at_once)
    if shards == 1 or not await _can_cut():
        return await here()
    address = absolute(manifest)
    rows, sha256 = await read_manifest_and_digest(address)
    if on_invalid == "stop" and await _has_unusable(rows, connections):
        return await here()
    cut = cut_rows(address, sha256, len(rows), shards, batch=runtime.flow_run.id or "")
    handed_on = {name: _reference(value) for name, value in given.items()}
    ended = await see_through(cut, {"at_once": at_once, **handed_on}, connections.progress)
    results = [result for shard in cut for result in await _gather(shard, ended[shard], rows, connections)]
    results = _once_each(results)
    written_to = await write_results(results, address, connections.archive)
    for shard in cut:
        await connections.archive.store.delete(shard.results_key)
    return Batch(results=tuple(results), written_to=written_to)


def cut_rows(manifest: str, sha256: str, rows: int, shards: int, *, batch: str) -> list[Shard]:
    """Return shards of nearly the same size; never an empty one."""
    shards = min(shards, rows)
    ends = [rows * number // shards for number in range(shards + 1)] if shards else []
    return [Shard(manifest, sha256, start + 1, end, batch) for start, end in pairwise(ends)]


async def _can_cut() -> bool:
    async with get_client() as client:
        try:
            await client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            run_logger().info("There is no deployment %s: this run does all rows itself", DEPLOYMENT)
            return False
    return True


async def _has_unusable(rows: Sequence[Row], connections: Connections) -> bool:
    checked = await check_rows(rows, check_request, connections)
    unusable = [each for each in checked if isinstance(each, RowResult)]
    for each in unusable:
        run_logger().warning("Row %d, %s: %s", each.row, each.name, each.message)
    return bool(unusable)


async def _gather(
    shard: Shard, ended: State[Any], rows: Sequence[Row], connections: Connections
) -> list[RowResult]:
    if data := await connections.archive.store.read(shard.results_key):
        return results_in(data)
    message = f"Its shard, {shard.name}, ended as {ended.name}: {(ended.message or '')[:300]}"
    return [
        RowResult(
            row=row.number,
            name=row.name,
            state="error",
            charged="unknown",
            error="ShardEnded",
            message=message,
            next_step="Run the manifest again: what was bought is in the journal, and is not bought twice.",
        )
        for row in rows[shard.first - 1 : shard.last]
    ]


def _once_each(results: Sequence[RowResult]) -> list[RowResult]:
    """Count each job once: rows of two shards may ask for the same one, and one of them bought it."""
    new = {result.job_id: result for result in results if result.state == "archived"}
    first: dict[str | None, int] = {}
    told = []
    for result in results:
        update: dict[str, Any] = {}
        if result.state in IN_THE_ARCHIVE:
            row = first.setdefault(result.job_id, result.row)
            if row != result.row:
                update = {"state": "duplicate", "message": f"The same job as row {row}"}
            elif bought := new.get(result.job_id):
                update = {"state": "archived", "message": bought.message}
        told.append(result.model_copy(update=update))
    return told


def _reference(value: Any) -> Any:
    """Return the name of a saved block; anything else is handed on as it is.

    Raises:
        SetupMissing: The block is not saved.
    """
    if not isinstance(value, CometAPICredentials | AvatarArchive):
        return value
    if name := value._block_document_name:  # noqa: SLF001 # Prefect has no public way to ask for it
        return name
    raise SetupMissing(
        f"The {value.get_block_type_slug()} block was given as an object that is not saved",
        next_step="Save it and give its name, or run the manifest without shards.",
    )
