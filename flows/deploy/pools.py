"""The work pool, the limit on Kling tasks in flight, and the one that shows who waits for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker

from blocks.errors import SetupMissing
from flows.deploy.report import Result
from flows.tasks.in_flight.slots import IN_FLIGHT, WAITING

POOL = "kling-avatar"
_IN_FLIGHT = 5
_WAITING = 10_000


async def set_up_pools(client: PrefectClient, environment: Mapping[str, str]) -> AsyncIterator[Result]:
    """Create the work pool and the global concurrency limits where they are missing; never change them."""
    yield await _pool(client)
    wanted = environment.get("AVATAR_MAX_IN_FLIGHT", "")
    yield await _limit(client, IN_FLIGHT, lambda: _number(wanted), "Kling tasks at once")
    yield await _limit(client, WAITING, lambda: _WAITING, "runs may wait for their first Kling task")


async def _pool(client: PrefectClient) -> Result:
    try:
        pool = await client.read_work_pool(POOL)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        await client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
        return Result("work pool", POOL, "created", f"start `prefect worker start --pool {POOL}`")
    return Result("work pool", POOL, "unchanged", "paused" if pool.is_paused else "")


async def _limit(client: PrefectClient, name: str, number: Callable[[], int], what: str) -> Result:
    try:
        limit = await client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        created = GlobalConcurrencyLimitCreate(name=name, limit=number())
        await client.create_global_concurrency_limit(created)
        return Result("concurrency limit", name, "created", f"{created.limit} {what}")
    return Result("concurrency limit", name, "unchanged", f"{limit.limit} {what}")


def _number(wanted: str) -> int:
    if not wanted:
        return _IN_FLIGHT
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    raise SetupMissing(
        f"AVATAR_MAX_IN_FLIGHT is {wanted!r}",
        next_step="Set it to how many Kling tasks the account may have in flight, or leave it out.",
    )
