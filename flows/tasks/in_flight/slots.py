"""Slots of the global concurrency limits, as Prefect's API takes them and gives them back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from uuid import UUID

import httpx
from prefect import runtime
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import ConcurrencyLeaseHolder
from prefect.client.schemas.responses import ConcurrencyLimitWithLeaseResponse
from prefect.exceptions import ObjectNotFound

from blocks.errors import SetupMissing
from flows.tasks.logs import run_logger

IN_FLIGHT = "kling-avatar-in-flight"
WAITING = "kling-avatar-waiting"
LEASE_SECONDS = 600.0
"""A slot is free again when nothing was heard of its holder for so long: about as long as Kling renders."""


@dataclass
class Lease:
    """Some slots of a limit, taken together and given back together.

    Attributes:
        renewed: When the server last heard of it, by `time.monotonic`.
        is_lost: The server gave the slots to others.
        is_promised: It is given back as soon as its slots are idle, because another run has none.
    """

    id: UUID
    limit: str
    slots: int
    renewed: float = field(default_factory=time.monotonic)
    is_lost: bool = False
    is_promised: bool = False


async def find_limit(client: PrefectClient) -> int | None:
    """Return how many Kling tasks may be in flight, or `None` when nothing limits this run.

    Raises:
        SetupMissing: The limit is not there, although the run has a deployment: the set-up promises it.
    """
    try:
        found = await client.read_global_concurrency_limit_by_name(IN_FLIGHT)
    except ObjectNotFound:
        if runtime.deployment.id is None:
            return None
        raise _no_limit() from None
    if not found.active:
        run_logger().info("The limit %s is switched off: nobody counts Kling tasks in flight", IN_FLIGHT)
        return None
    return found.limit


async def waiting_runs(client: PrefectClient) -> int:
    """Return how many runs wait for their first slot."""
    try:
        return (await client.read_global_concurrency_limit_by_name(WAITING)).active_slots
    except ObjectNotFound:
        return 0


async def take(client: PrefectClient, slots: int, limit: str = IN_FLIGHT) -> Lease | None:
    """Take `slots` of a limit together; `None` means that so many are not free now.

    Raises:
        SetupMissing: The limit on Kling tasks is gone.
    """
    run = runtime.flow_run.id
    holder = ConcurrencyLeaseHolder(type="flow_run", id=UUID(run)) if run else None
    try:
        answer = await client.increment_concurrency_slots_with_lease(
            [limit], slots, "concurrency", LEASE_SECONDS, holder
        )
    except httpx.HTTPStatusError as error:
        # 423: not free. 422: more than the whole limit, which an operator may set to zero for a pause.
        if error.response.status_code in {422, 423}:
            return None
        raise
    taken = ConcurrencyLimitWithLeaseResponse.model_validate(answer.json())
    if not taken.limits and limit == IN_FLIGHT:
        raise _no_limit()
    return Lease(taken.lease_id, limit, slots)


async def renew(client: PrefectClient, lease: Lease) -> None:
    """Tell the server that the slots are still held; take them anew when it knows the lease no more."""
    try:
        await client.renew_concurrency_lease(lease.id, LEASE_SECONDS)
    except httpx.HTTPStatusError as error:
        if error.response.status_code != 410:
            raise
        await _take_anew(client, lease)
    else:
        lease.renewed = time.monotonic()


async def give_back(client: PrefectClient, lease: Lease) -> None:
    """Free the slots of a lease."""
    if not lease.is_lost:
        await client.release_concurrency_slots_with_lease(lease.id)


async def _take_anew(client: PrefectClient, lease: Lease) -> None:
    silent = time.monotonic() - lease.renewed
    if silent < LEASE_SECONDS:
        # A server that holds leases in memory forgets them in a restart, but counts their slots for ever.
        await client.release_concurrency_slots([lease.limit], lease.slots, max(silent, 1.0))
    if found := await take(client, lease.slots, lease.limit):
        lease.id, lease.renewed = found.id, found.renewed
        return
    lease.is_lost = True
    run_logger().warning(
        "%d slots of %s went to other runs while Prefect's server was not reached. What is in flight "
        "goes on; nothing is posted for these slots",
        lease.slots,
        lease.limit,
    )


def _no_limit() -> SetupMissing:
    return SetupMissing(
        f"There is no concurrency limit {IN_FLIGHT}, so nobody counts the Kling tasks in flight",
        next_step="Run `python -m flows.deploy`, which creates it.",
    )
