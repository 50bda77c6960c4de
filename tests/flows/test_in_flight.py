"""Runs share one limit on Kling tasks in flight; the sandbox refuses what goes beyond it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import SetupMissing
from blocks.sandbox.serve import RunningSandbox
from flows.batch import generate_avatars
from flows.tasks.in_flight import leases
from flows.tasks.in_flight.in_flight import InFlight
from flows.tasks.in_flight.slots import IN_FLIGHT, WAITING, Lease, give_back, take
from flows.tasks.manifest.batch import Batch
from tests.flows.desk import bought, write_manifest
from tests.flows.story import Ask

Limit = Callable[[int], Awaitable[None]]
RunBatch = Callable[..., Awaitable[State[Batch]]]


@pytest.fixture(autouse=True)
def fast(sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.set(fast_clip=True)
    for name in ("_ASK_AGAIN_SECONDS", "_ASK_MORE_SECONDS", "_LOOK_SECONDS"):
        monkeypatch.setattr(leases, name, 0.2)


@pytest.fixture
async def client() -> AsyncIterator[PrefectClient]:
    async with get_client() as client:
        yield client


@pytest.fixture
async def limit(client: PrefectClient) -> AsyncIterator[Limit]:
    """Create the limits, as the set-up does, and remove them afterwards."""

    async def create(slots: int) -> None:
        for name, number in ((IN_FLIGHT, slots), (WAITING, 100)):
            await client.create_global_concurrency_limit(
                GlobalConcurrencyLimitCreate(name=name, limit=number)
            )

    yield create
    for name in (IN_FLIGHT, WAITING):
        try:
            await client.delete_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            continue


@pytest.fixture
def batch(tmp_path: Path, credentials: CometAPICredentials, archive_block: AvatarArchive) -> RunBatch:
    async def run(name: str, rows: int, **parameters: Any) -> State[Batch]:
        manifest = write_manifest(tmp_path / name, *(f"kim.png,kim.mp3,{name} {row}" for row in range(rows)))
        state: State[Batch] = await generate_avatars(
            manifest, credentials=credentials, store=archive_block, return_state=True, **parameters
        )
        return state

    return run


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many slots the runs ask for, each time."""
    asked: list[int] = []

    async def counted(client: PrefectClient, slots: int, *rest: str) -> Lease | None:
        asked.append(slots)
        return await take(client, slots, *rest)

    monkeypatch.setattr(leases, "take", counted)
    return asked


async def active(client: PrefectClient, name: str = IN_FLIGHT) -> int:
    return (await client.read_global_concurrency_limit_by_name(name)).active_slots


async def test_runs_side_by_side_never_have_more_in_flight_than_the_limit(
    sandbox: RunningSandbox,
    batch: RunBatch,
    limit: Limit,
    client: PrefectClient,
) -> None:
    """What is more than the limit would be refused by the sandbox, and posted again."""
    await limit(3)
    sandbox.set(max_in_flight=3)
    ended = await asyncio.gather(batch("one", 4, at_once=4), batch("two", 4, at_once=4))
    assert [state.name for state in ended] == ["AllArchived"] * 2
    assert bought(sandbox) == (8, 8)
    assert (await active(client), await active(client, WAITING)) == (0, 0)


async def test_outside_of_a_flow_run_no_server_is_asked_or_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(leases, "get_client")
    in_flight = InFlight()
    async with in_flight.counted("posted"), in_flight.counted("bought"):
        await in_flight.may_post("posted")
        in_flight.bought("bought")
    await in_flight.close()


async def test_a_job_waits_for_a_slot_before_it_is_posted_and_says_so(
    sandbox: RunningSandbox,
    ask: Ask,
    limit: Limit,
    client: PrefectClient,
    asked: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await limit(1)
    held = await take(client, 1)
    assert held
    run = asyncio.ensure_future(ask())
    await _until(lambda: len(asked) > 4)
    assert await active(client, WAITING) == 1
    assert bought(sandbox) == (0, 0)
    await give_back(client, held)
    assert (await run).clip.seconds > 0
    assert caplog.text.count("waiting for one before posting") == 1
    assert (await active(client), await active(client, WAITING)) == (0, 0)


async def test_a_job_that_is_bought_already_never_waits(
    sandbox: RunningSandbox, ask: Ask, limit: Limit, client: PrefectClient
) -> None:
    await _cancelled(ask, sandbox)
    await limit(1)
    assert await take(client, 1)
    sandbox.advance(3600)
    assert (await asyncio.wait_for(ask(), 20)).clip.seconds > 0
    assert bought(sandbox) == (1, 1)


async def test_a_cancelled_run_leaves_its_slot_to_the_kling_task_that_goes_on(
    sandbox: RunningSandbox, ask: Ask, limit: Limit, client: PrefectClient
) -> None:
    await limit(2)
    await _cancelled(ask, sandbox)
    assert await active(client) == 1


async def test_a_lost_lease_ends_nothing_and_its_slot_is_taken_anew(
    sandbox: RunningSandbox, ask: Ask, limit: Limit, client: PrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server forgets the lease but still counts its slot, as when it restarts."""
    taken: list[Lease] = []

    async def remember(*arguments: Any) -> Lease | None:
        if lease := await take(*arguments):
            taken.append(lease)
        return lease

    monkeypatch.setattr(leases, "take", remember)
    await limit(1)
    sandbox.set(render_seconds=3600)
    run = asyncio.ensure_future(ask())
    await _until(lambda: _polls(sandbox))
    first = taken[0].id
    await give_back(client, taken[0])
    await client.increment_concurrency_slots([IN_FLIGHT], 1, "concurrency")
    monkeypatch.setattr(leases, "_RENEW_SECONDS", 0.1)
    await _until(lambda: taken[0].id != first)
    assert await active(client) == 1
    sandbox.advance(3600)
    assert (await run).clip.seconds > 0
    assert await active(client) == 0


async def test_a_run_without_a_slot_is_let_in_by_one_that_holds_all(
    sandbox: RunningSandbox,
    batch: RunBatch,
    ask: Ask,
    limit: Limit,
    client: PrefectClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leases, "_ASK_MORE_SECONDS", 5.0)
    await limit(2)
    sandbox.set(render_seconds=3600)
    large = asyncio.ensure_future(batch("large", 12, at_once=2))
    await _until(lambda: bought(sandbox) == (2, 2))
    single = asyncio.ensure_future(ask(mode="pro"))
    while await active(client, WAITING) == 0:
        await asyncio.sleep(0.05)
    while "pro" not in (modes := [task["mode"] for task in sandbox.tasks()]):
        sandbox.advance(3600)
        await asyncio.sleep(1)
    assert len(modes) < 12
    sandbox.set(render_seconds=0.2)
    sandbox.advance(3600)
    assert (await single).clip.seconds > 0
    assert (await large).name == "AllArchived"


async def test_a_batch_asks_for_slots_a_few_times_and_not_for_each_job(
    sandbox: RunningSandbox,
    batch: RunBatch,
    limit: Limit,
    asked: list[int],
) -> None:
    await limit(100)
    assert (await batch("many", 10, at_once=8)).name == "AllArchived"
    assert sum(asked) == 8
    assert len(asked) <= math.log2(8) + 1


async def test_a_deployed_run_without_the_limit_is_refused_before_anything_is_bought(
    sandbox: RunningSandbox, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "3f0c5f6e-1d1c-4a39-8f0f-6b8f6d5c2a10")
    with pytest.raises(SetupMissing, match="no concurrency limit kling-avatar-in-flight"):
        await ask()
    assert bought(sandbox) == (0, 0)


async def test_a_run_of_ones_own_needs_no_limit_and_says_nothing_about_it(
    sandbox: RunningSandbox, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await ask()).clip.seconds > 0
    assert "limit" not in caplog.text


async def _cancelled(ask: Ask, sandbox: RunningSandbox) -> None:
    """Cancel a run while Kling is at work for it."""
    sandbox.set(render_seconds=3600)
    run = asyncio.ensure_future(ask())
    await _until(lambda: _polls(sandbox))
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


def _polls(sandbox: RunningSandbox) -> bool:
    """Tell whether a run waits for its Kling task: nothing is being written then."""
    methods = [request["method"] for request in sandbox.requests()]
    return "POST" in methods and methods[-1] == "GET"


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.05)
