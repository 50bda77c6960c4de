"""What a genuine call sets going, in the background: one event, and the runs that wait are resumed."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from prefect.client.orchestration import PrefectClient, get_client
from prefect.logging import get_logger

from flows.tasks.waiting.resume import resume_waiting

# Two minutes in all; a run that has not suspended by then, or a server still down, is left to reconcile.
_PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
_ATTEMPT_SECONDS = 30.0
_SIDE_BY_SIDE = 8
_MOST_CALLS = 1000
_EVENTS = uuid.UUID("8d6f8a52-0c55-4b0b-8a57-6c4f0d2d7a3e")


class Bell:
    """Tells Prefect about calls; it holds only what it is at work on, and that is bounded.

    An async context manager. What does not get through in time is forgotten: reconcile finds the job.
    """

    def __init__(self) -> None:
        self._client: PrefectClient = get_client()
        self._gate = asyncio.Semaphore(_SIDE_BY_SIDE)
        self._at_work: dict[uuid.UUID, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._at_work.values():
            task.cancel()
        await asyncio.gather(*self._at_work.values(), return_exceptions=True)
        await self._client.__aexit__(kind, error, traceback)

    def ring(self, job_id: str, body: bytes, *, resume: bool) -> None:
        """Begin to tell Prefect that the Kling task of a job has moved; returns at once.

        Args:
            job_id: The job.
            body: What was sent; the same call twice is one event.
            resume: Whether the runs that wait for the job are to have a look.
        """
        number = uuid.uuid5(_EVENTS, f"{job_id} {hashlib.sha256(body).hexdigest()}")
        if number in self._at_work:
            return
        if len(self._at_work) >= _MOST_CALLS:
            get_logger("kling-avatar").warning("Too many calls at once: reconcile has to find job %s", job_id)
            return
        task = asyncio.create_task(self._tell(job_id, _event(job_id, number), resume=resume))
        self._at_work[number] = task
        task.add_done_callback(lambda _: self._at_work.pop(number))

    async def _tell(self, job_id: str, event: dict[str, object], *, resume: bool) -> None:
        told = False
        for pause in _PAUSES:
            await asyncio.sleep(pause)
            try:
                async with self._gate, asyncio.timeout(_ATTEMPT_SECONDS):
                    if not told:
                        await self._client.request("POST", "/events", json=[event])
                        told = True
                    if not resume or await resume_waiting(job_id, self._client):
                        return
            except Exception as error:  # noqa: BLE001 # whatever it is, it is tried again or left to reconcile
                trouble = type(error).__name__
                get_logger("kling-avatar").warning("Prefect was not told about job %s: %s", job_id, trouble)


def _event(job_id: str, number: uuid.UUID) -> dict[str, object]:
    return {
        "id": str(number),
        "occurred": datetime.now(UTC).isoformat(),
        "event": "kling-avatar.task.moved",
        "resource": {"prefect.resource.id": f"kling-avatar.job.{job_id}"},
        "payload": {"job_id": job_id},
    }
