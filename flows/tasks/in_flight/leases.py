"""The leases of a run: as many slots as it has use for, in few requests, and none kept from others."""

from __future__ import annotations

import math
import time
from contextlib import AsyncExitStack

import httpx
from prefect.client.orchestration import PrefectClient, get_client

from flows.tasks.in_flight.slots import (
    IN_FLIGHT,
    LEASE_SECONDS,
    WAITING,
    Lease,
    find_limit,
    give_back,
    renew,
    take,
    waiting_runs,
)
from flows.tasks.logs import run_logger

_RENEW_SECONDS = LEASE_SECONDS * 0.4
_ASK_AGAIN_SECONDS = 5.0
_ASK_MORE_SECONDS = 30.0
_LOOK_SECONDS = 60.0


class Leases:
    """What a run holds of the limit.

    Slots are taken in halves of what is still wanted, so a thousand cost ten requests, and what is left over
    at the end goes back piece by piece. A run that has none says so through a second limit; a run that holds
    some looks there once a minute, and gives back half.
    """

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._client: PrefectClient | None = None
        self._limit: int | None = None
        self._leases: list[Lease] = []
        self._flag: Lease | None = None
        self._ask_at = 0.0
        self._look_at = 0.0
        self._told: set[str] = set()

    def room(self, count: int) -> bool:
        """Return whether another job may be posted beside `count` in flight."""
        return self._client is not None and (self._limit is None or count < self._free())

    async def balance(self, count: int, wanted: int, waiting: int) -> float:
        """Take what is missing, give back what is left over, renew what is held.

        Args:
            count: How many Kling tasks are in flight.
            wanted: How many there will be at most.
            waiting: How many jobs wait for a slot.

        Returns:
            After how many seconds there is something to do again, if nothing changes.

        Raises:
            SetupMissing: See `flows.tasks.in_flight.slots.find_limit`.
        """
        try:
            client = self._client or await self._open()
            await self._look(client, waiting)
            if self._limit is None:
                return _LOOK_SECONDS
            await self._renew(client)
            await self._shrink(client, count, wanted)
            await self._grow(client, count, min(wanted, self._limit), waiting)
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            if isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500:
                raise
            self._tell(f"Prefect's server does not answer ({type(error).__name__}); asking again")
            return _ASK_AGAIN_SECONDS
        return self._pause(waiting)

    async def close(self, count: int) -> None:
        """Give back all slots but `count`; those end by themselves when their lease is over."""
        try:
            if self._client:
                await self._shrink(self._client, count, count)
            if self._client and self._flag:
                await give_back(self._client, self._flag)
        except httpx.HTTPError as error:
            run_logger().info("Slots were not given back and end by themselves: %s", type(error).__name__)
        finally:
            await self._stack.aclose()

    async def _open(self) -> PrefectClient:
        client = await self._stack.enter_async_context(get_client())
        self._limit = await find_limit(client)
        self._client = client
        self._look_at = time.monotonic() + _LOOK_SECONDS
        return client

    def _held(self) -> int:
        return sum(lease.slots for lease in self._leases if not lease.is_lost)

    def _free(self) -> int:
        return sum(lease.slots for lease in self._leases if not (lease.is_lost or lease.is_promised))

    async def _renew(self, client: PrefectClient) -> None:
        for lease in [*self._leases, *([self._flag] if self._flag else [])]:
            if not lease.is_lost and time.monotonic() - lease.renewed > _RENEW_SECONDS:
                await renew(client, lease)

    async def _look(self, client: PrefectClient, waiting: int) -> None:
        """See once a minute whether a run has no slot, and what the limit is by now."""
        if self._limit is None or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK_SECONDS
        if waiting:
            self._limit = await find_limit(client)
        promised = any(lease.is_promised for lease in self._leases)
        if self._held() and not promised and await waiting_runs(client):
            self._promise_half()

    def _promise_half(self) -> None:
        held, promised = self._held(), 0
        for lease in sorted(self._leases, key=lambda lease: lease.slots):
            if promised and promised + lease.slots > held / 2:
                return
            lease.is_promised = True
            promised += lease.slots

    async def _shrink(self, client: PrefectClient, count: int, wanted: int) -> None:
        for lease in sorted(self._leases, key=lambda lease: (not lease.is_promised, -lease.slots)):
            held = self._held()
            left = 0 if lease.is_lost else held - lease.slots
            if lease.is_lost and count > held:
                continue
            if lease.is_lost or left >= (count if lease.is_promised else max(count, wanted)):
                await give_back(client, lease)
                self._leases.remove(lease)
                if lease.is_promised:
                    self._ask_at = time.monotonic() + _ASK_MORE_SECONDS

    async def _grow(self, client: PrefectClient, count: int, wanted: int, waiting: int) -> None:
        least = 1 if waiting and not self._held() else 0
        size = max(least, math.ceil((wanted - self._held()) / 2))
        while count + waiting > self._free() and size > 0 and time.monotonic() >= self._ask_at:
            if lease := await take(client, size):
                self._leases.append(lease)
                size = min(size, math.ceil((wanted - self._held()) / 2))
            elif size > 1:
                size = math.ceil(size / 2)
            else:
                self._ask_at = time.monotonic() + (_ASK_MORE_SECONDS if self._held() else _ASK_AGAIN_SECONDS)
                await self._wait(client, waiting)
        if self._flag and self._held():
            flag, self._flag = self._flag, None
            await give_back(client, flag)

    async def _wait(self, client: PrefectClient, waiting: int) -> None:
        if waiting and not self._held():
            self._flag = self._flag or await take(client, 1, WAITING)
            self._tell(f"All {self._limit} slots of {IN_FLIGHT} are taken; waiting for one before posting")

    def _pause(self, waiting: int) -> float:
        now = time.monotonic()
        due = [lease.renewed + _RENEW_SECONDS for lease in self._leases] + [self._look_at]
        if waiting:
            due.append(max(self._ask_at, now + 0.05))
        return max(min(due) - now, 0.01)

    def _tell(self, story: str) -> None:
        if story not in self._told:
            run_logger().info(story)
        self._told.add(story)
