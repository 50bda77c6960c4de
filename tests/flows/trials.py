"""Trying a case out: a sandbox of its own, the flow, then the next attempt without the fault."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import AvatarError
from blocks.sandbox.serve import RunningSandbox, running_sandbox
from blocks.storage.journal import Entry
from blocks.storage.sidecar import Sidecar
from flows.avatar import generate_avatar
from flows.reconcile import reconcile_jobs
from tests.flows.conftest import SAMPLES, impatient_credentials
from tests.flows.fault_table import Case, Ending

# More are slower: the SQLite server of the flows then waits for its own locks.
AT_ONCE = 3
_PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Trial:
    """What was seen of a case.

    Attributes:
        ended: How the run ended.
        error: What it raised.
        ended_next: How the next attempt ended; after a good run there is none.
        entry: Last entry of the journal in the end.
        sidecar: Of the clip, if it is in the archive in the end.
        open_marks: Jobs that reconcile would look at in the end.
        delivered: Digests of the clips that the sandbox delivered whole.
    """

    ended: Ending
    error: AvatarError | None
    ended_next: Ending
    entry: Entry
    sidecar: Sidecar | None
    open_marks: list[str]
    delivered: list[str]


async def try_all(cases: Iterable[Case], folder: Path, voice: Path) -> dict[str, Trial | BaseException]:
    """Try all cases out, some side by side; a case that goes wrong does not stop the others."""
    listed = list(cases)
    free: asyncio.Queue[RunningSandbox] = asyncio.Queue()

    async def try_one(number: int, case: Case) -> Trial:
        sandbox = await free.get()
        try:
            sandbox.reset()
            sandbox.set(**case.sandbox)
            return await _Attempt(case, sandbox, folder / str(number), voice).trial()
        finally:
            free.put_nowait(sandbox)

    with ExitStack() as stack:
        for _ in range(AT_ONCE):
            running = running_sandbox(submitted_seconds=0.05, render_seconds=0.2, fast_clip=True)
            free.put_nowait(stack.enter_context(running))
        tried = await asyncio.gather(
            *(try_one(number, case) for number, case in enumerate(listed)), return_exceptions=True
        )
    return dict(zip(map(str, listed), tried, strict=True))


class _Attempt:
    """One case with its own sandbox and archive."""

    def __init__(self, case: Case, sandbox: RunningSandbox, folder: Path, voice: Path) -> None:
        self._case = case
        self._sandbox = sandbox
        self._place = AvatarArchive(url=str(folder))
        self._ask = partial(
            generate_avatar, image=str(SAMPLES / "portrait.png"), audio=str(voice), store=self._place
        )

    async def trial(self) -> Trial:
        if self._case.proven:
            await self._ask(take=2, credentials=self._credentials({}))
        # Not for the free read by which the key is tried before the POST: no task has this prompt yet.
        rule = {"endpoint": self._case.acts_at, "match": {"prompt": "calm"}, **self._case.rule}
        self._sandbox.fault(self._case.fault, **rule)
        error = await self._run(self._credentials(self._case.credentials))
        ended = await self._ending(error, self._case.ends)
        self._sandbox.clear_faults()
        ended_next = ended
        if error:
            later = self._credentials(self._case.credentials | _ENOUGH | self._case.later)
            error_next = await (self._reconcile if self._case.finish == "reconcile" else self._run)(later)
            ended_next = await self._ending(error_next, self._case.next)
        return await self._seen(ended, error, ended_next)

    def _credentials(self, changes: dict[str, Any]) -> CometAPICredentials:
        return impatient_credentials(self._sandbox.url).model_copy(update=changes)

    async def _run(self, credentials: CometAPICredentials) -> AvatarError | None:
        try:
            await self._ask(credentials=credentials)
        except AvatarError as error:
            return error
        return None

    async def _reconcile(self, credentials: CometAPICredentials) -> None:
        (report,) = await reconcile_jobs(credentials=credentials, store=self._place)
        assert report.state == "archived", report

    async def _ending(self, error: AvatarError | None, expected: Ending) -> Ending:
        """Look at journal and ledger; a POST that the sandbox is still working on is waited for."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (charges := self._charges()) != expected.charges and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        return Ending(
            posts=self._sandbox.ledger()["posts"],
            charges=charges,
            step=(await self._last_entry()).step,
            error=type(error) if error else None,
            charged=error.charged if error else None,
        )

    def _charges(self) -> int:
        totals = self._sandbox.ledger()["totals"]
        return int(totals["charges"]) - int(totals["refunds"])

    async def _last_entry(self) -> Entry:
        async with self._place.open() as archive:
            for key in [found.key async for found in archive.store.find("journal/")]:
                last = await archive.journal.last(key.split("/")[2])
                if last and last.job["take"] == 1:
                    return last
        raise AssertionError("the job has no journal")

    async def _seen(self, ended: Ending, error: AvatarError | None, ended_next: Ending) -> Trial:
        entry = await self._last_entry()
        async with self._place.open() as archive:
            return Trial(
                ended,
                error,
                ended_next,
                entry,
                await archive.find_done(entry.job_id),
                [mark.job_id async for mark in archive.journal.open_marks()],
                [clip["sha256"] for task in self._sandbox.tasks() for clip in task["clips"]],
            )


# The next attempt has no reason to give up early.
_ENOUGH = {"deadline_minutes": 0.5, "wait_seconds": 20, "read_seconds": 20}
