"""How many Kling tasks are in flight: each run holds slots of one limit, whatever machine it is on."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prefect import runtime

from blocks.errors import AvatarError, TaskFailed
from flows.tasks.in_flight.leases import Leases
from flows.tasks.in_flight.slots import LEASE_SECONDS


class InFlight:
    """The Kling tasks that a run has in flight, each with a slot of the limit `kling-avatar-in-flight`.

    A job that is to be posted waits for a slot. One that is bought already is counted too, as Kling counts
    it, but never waits. Without a limit, and without a deployment that promises one, nothing waits. Outside
    of a flow run nothing is counted: asking for the limit would start a Prefect server where there is none.
    """

    def __init__(self) -> None:
        self._leases = Leases()
        self._until: dict[str, float] = {}
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._to_come = 1
        self._at_once = 1

    def plan(self, jobs: int, at_once: int) -> None:
        """Say how many jobs are to come, and how many of them side by side."""
        self._to_come, self._at_once = jobs, at_once

    @asynccontextmanager
    async def counted(self, job_id: str) -> AsyncIterator[None]:
        """Count a job from the moment it is posted, or found bought, to the end of the block.

        When the block ends while Kling may still be at work, as in a cancelled run, it is counted on for as
        long as a lease lasts.
        """
        after = 0.0
        try:
            yield
        except BaseException as error:
            over = isinstance(error, TaskFailed) or (isinstance(error, AvatarError) and error.charged == "no")
            after = 0.0 if over else LEASE_SECONDS
            raise
        finally:
            if job_id in self._until:
                self._until[job_id] = time.monotonic() + after
            self._to_come -= 1
            self._changed.set()

    async def may_post(self, job_id: str) -> None:
        """Wait until there is a slot for the job. Costs nothing.

        Raises:
            SetupMissing: The run has a deployment, but the limit that its set-up creates is not there.
        """
        if job_id in self._until or runtime.flow_run.id is None:
            return
        keeper = self._keep()
        granted = self._waiting[job_id] = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait({granted, keeper}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting.pop(job_id, None)
        if not granted.done():
            await keeper

    def bought(self, job_id: str) -> None:
        """Count a job that is bought already; it never waits."""
        if runtime.flow_run.id is None:
            return
        self._until[job_id] = math.inf
        self._keep()

    def over(self, job_id: str) -> None:
        """Count a job no longer: its Kling task has ended."""
        self._until.pop(job_id, None)
        self._changed.set()

    async def close(self) -> None:
        """Give the slots back, except for what Kling may still be at work on."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        self._to_come = 0
        await self._leases.close(self._count())

    def _count(self) -> int:
        now = time.monotonic()
        self._until = {job: until for job, until in self._until.items() if until > now}
        return len(self._until)

    def _keep(self) -> asyncio.Task[None]:
        self._changed.set()
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_on())
            # Whoever waits for a slot is told; a run that only collects goes on without the limit.
            self._keeper.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._keeper

    async def _keep_on(self) -> None:
        while True:
            self._changed.clear()
            wanted = max(min(self._at_once, self._to_come), self._count())
            pause = await self._leases.balance(self._count(), wanted, len(self._waiting))
            self._grant()
            try:
                async with asyncio.timeout(pause * (0.75 + secrets.randbelow(500) / 1000)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _grant(self) -> None:
        for job_id, granted in list(self._waiting.items()):
            if not self._leases.room(self._count()):
                return
            del self._waiting[job_id]
            if not granted.done():
                self._until[job_id] = math.inf
                granted.set_result(None)
