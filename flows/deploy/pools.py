"""The work pool, and the limit on Kling tasks in flight."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker

from blocks.errors import SetupMissing
from flows.deploy.report import Result

POOL = "kling-avatar"
LIMIT = "kling-avatar-in-flight"
_IN_FLIGHT = 5


async def set_up_pools(client: PrefectClient, environment: Mapping[str, str]) -> AsyncIterator[Result]:
    """Create the work pool and the global concurrency limit where they are missing; never change them."""
    yield await _pool(client)
    yield await _limit(client, environment.get("AVATAR_MAX_IN_FLIGHT", ""))


async def _pool(client: PrefectClient) -> Result:
    try:
        pool = await client.read_work_pool(POOL)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        await client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
        return Result("work pool", POOL, "created", f"start `prefect worker start --pool {POOL}`")
    return Result("work pool", POOL, "unchanged", "paused" if pool.is_paused else "")


async def _limit(client: PrefectClient, wanted: str) -> Result:
    try:
        limit = await client.read_global_concurrency_limit_by_name(LIMIT)
    except ObjectNotFound:
        number = _number(wanted)
        await client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=LIMIT, limit=number))
        return Result("concurrency limit", LIMIT, "created", f"{number} Kling tasks at once")
    return Result("concurrency limit", LIMIT, "unchanged", f"{limit.limit} Kling tasks at once")


def _number(wanted: str) -> int:
    if not wanted:
        return _IN_FLIGHT
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    raise SetupMissing(
        f"AVATAR_MAX_IN_FLIGHT is {wanted!r}",
        next_step="Set it to how many Kling tasks the account may have in flight, or leave it out.",
    )
