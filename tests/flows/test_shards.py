"""A manifest in shards. The test is the worker: it takes the runs that were started and runs them here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.flow_engine import run_flow_async
from prefect.states import Crashed

from blocks import AvatarArchive, CometAPICredentials
from blocks.sandbox.serve import RunningSandbox
from flows.batch import generate_avatars
from flows.shard import avatars_shard
from flows.tasks.manifest import shard_runs
from flows.tasks.manifest.batch import Batch
from flows.tasks.manifest.shards import cut_rows
from tests.flows.desk import bought, results_beside, write_manifest

ROWS = ("kim.png,kim.mp3,one", "kim.png,kim.mp3,two", "no.png,kim.mp3,three", "kim.png,kim.mp3,one")


@pytest.fixture(autouse=True)
def fast(sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.set(fast_clip=True)
    monkeypatch.setattr(shard_runs, "_LOOK_SECONDS", 0.2)
    monkeypatch.setattr(shard_runs, "_CRASHED_SECONDS", 0.5)


@pytest.fixture
async def client() -> AsyncIterator[PrefectClient]:
    async with get_client() as client:
        yield client


@pytest.fixture
async def saved(credentials: CometAPICredentials, archive_block: AvatarArchive) -> dict[str, str]:
    """Save the blocks, so that another process could load them; return the parameters that name them."""
    await credentials.asave("shards", overwrite=True)
    await archive_block.asave("shards", overwrite=True)
    return {"credentials": "shards", "store": "shards"}


@pytest.fixture
async def deployed(client: PrefectClient, limited: None) -> AsyncIterator[None]:
    flow_id = await client.create_flow(avatars_shard)
    deployment_id = await client.create_deployment(flow_id, "avatars-shard")
    yield
    await client.delete_deployment(deployment_id)


async def take_run(client: PrefectClient) -> FlowRun:
    """Wait for a run that was started and that nobody has taken."""
    scheduled = FlowRunFilterStateType(any_=[StateType.SCHEDULED])
    async with asyncio.timeout(60):
        while True:
            found = await client.read_flow_runs(
                flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=scheduled))
            )
            if found:
                return found[0]
            await asyncio.sleep(0.1)


@asynccontextmanager
async def worker(client: PrefectClient) -> AsyncIterator[None]:
    async def work() -> None:
        while True:
            taken = await take_run(client)
            await run_flow_async(
                avatars_shard, flow_run=taken, parameters=taken.parameters, return_type="state"
            )

    working = asyncio.create_task(work())
    try:
        yield
    finally:
        working.cancel()


async def run(manifest: str, saved: dict[str, str], **parameters: object) -> State[Batch]:
    state: State[Batch] = await generate_avatars(manifest, **saved, return_state=True, **parameters)
    return state


async def test_shards_are_run_by_workers_and_their_results_are_gathered(
    tmp_path: Path, sandbox: RunningSandbox, saved: dict[str, str], deployed: None, client: PrefectClient
) -> None:
    """One shard loses its process: it is run again, and nothing is bought twice."""
    manifest = write_manifest(tmp_path / "in", *ROWS)
    batch = asyncio.ensure_future(run(manifest, saved, shards=2))
    lost = await take_run(client)
    await client.set_flow_run_state(lost.id, Crashed(), force=True)
    async with worker(client):
        state = await batch
    assert state.name == "PartlyArchived"
    written = [(line["row"], line["state"]) for line in results_beside(manifest)]
    assert written == [(1, "archived"), (2, "archived"), (3, "invalid"), (4, "duplicate")]
    assert bought(sandbox) == (2, 2)
    assert not list((tmp_path / "archive").glob("results/**/*.jsonl"))


async def test_stop_starts_no_shard_when_a_row_cannot_be_used(
    tmp_path: Path, sandbox: RunningSandbox, saved: dict[str, str], deployed: None
) -> None:
    manifest = write_manifest(tmp_path / "in", *ROWS)
    state = await run(manifest, saved, shards=2, on_invalid="stop")
    assert state.name == "NoneArchived"
    assert [line["state"] for line in results_beside(manifest)][:3] == ["not bought", "not bought", "invalid"]
    assert bought(sandbox) == (0, 0)


async def test_without_a_deployment_for_shards_one_run_does_all(
    tmp_path: Path, sandbox: RunningSandbox, saved: dict[str, str]
) -> None:
    manifest = write_manifest(tmp_path / "in", *ROWS[:2])
    assert (await run(manifest, saved, shards=2)).name == "AllArchived"
    assert bought(sandbox) == (2, 2)


async def test_a_manifest_that_changed_since_it_was_cut_is_refused(
    tmp_path: Path, sandbox: RunningSandbox, saved: dict[str, str]
) -> None:
    manifest = write_manifest(tmp_path / "in", *ROWS)
    state = await avatars_shard(manifest, "0" * 64, 1, 2, "batch", **saved, return_state=True)
    assert state.is_failed()
    assert "it has changed since it was cut" in (state.message or "")
    assert bought(sandbox) == (0, 0)


async def test_a_block_that_no_other_process_can_load_is_refused(
    tmp_path: Path,
    sandbox: RunningSandbox,
    credentials: CometAPICredentials,
    archive_block: AvatarArchive,
    deployed: None,
) -> None:
    manifest = write_manifest(tmp_path / "in", *ROWS)
    state = await generate_avatars(
        manifest, credentials=credentials, store=archive_block, shards=2, return_state=True
    )
    assert "given as an object that is not saved" in (state.message or "")
    assert bought(sandbox) == (0, 0)


@pytest.mark.parametrize(("rows", "shards"), [(10, 3), (2, 5), (1, 1), (100_000, 7)])
def test_shards_are_nearly_equal_and_cover_each_row_once(rows: int, shards: int) -> None:
    cut = cut_rows("m.csv", "0" * 64, rows, shards, batch="b")
    assert [row for each in cut for row in range(each.first, each.last + 1)] == list(range(1, rows + 1))
    sizes = {each.last - each.first + 1 for each in cut}
    assert max(sizes) - min(sizes) <= 1
    assert len(cut) == min(rows, shards)
