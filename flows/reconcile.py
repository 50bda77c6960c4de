"""Reconcile-jobs: finish what was left open."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import acreate_table_artifact
from prefect.states import Completed
from pydantic import Field

from blocks.storage.schema import publish_schema
from flows.tasks.budget.stale import tidy_budgets
from flows.tasks.collect import Report, collect_job
from flows.tasks.connections import Connections, connect
from flows.tasks.form import Credentials, Store, shown
from flows.tasks.help.hooks import with_help
from flows.tasks.left_running import close_left_running
from flows.tasks.manifest.results import counted
from flows.tasks.metrics import show_open
from flows.tasks.waiting.resume import resume_settled


@flow(name="reconcile-jobs", **with_help())
async def reconcile_jobs(
    sweep_hours: Annotated[
        float, Field(gt=0), shown("Sweep after hours", "Age at which abandoned uploads are removed.")
    ] = 24,
    at_once: Annotated[
        int, Field(ge=1, le=64), shown("At once", "How many jobs are looked at side by side.")
    ] = 8,
    credentials: Credentials = None,
    store: Store = None,
) -> list[Report]:
    """Look once at every open job, archive what is finished, and say what is overdue, failed or undecided.

    Runs that are suspended until the provider calls are resumed when their wait is over and nobody called.
    Task runs that Prefect shows as running although their run has ended are closed. What budgets had
    reserved for jobs that are over is settled or given back. Never buys anything. Its cost grows with the
    open jobs, not with the archive. It is safe beside running jobs and itself; run it on a schedule.

    Returns:
        One report for each open job.
    """
    async with connect(credentials, store) as connections:
        reports = await _collect_all(connections, at_once)
        show_open(report.state for report in reports)
        tidied = await tidy_budgets(connections)
        done = {
            "reservations settled": tidied.settled,
            "reservations given back": tidied.released,
            "suspended runs resumed": len(await resume_settled(_states(reports), connections)),
            "abandoned uploads removed": len(await connections.archive.store.sweep(sweep_hours * 3600)),
            "task runs closed": await close_left_running(),
        }
        await publish_schema(connections.archive.store)
    summary = _summary(reports, done)
    await acreate_table_artifact(key="reconcile-jobs", table=_table(reports), description=summary)
    return Completed(message=summary, data=reports)  # type: ignore[return-value]  # Prefect unwraps a returned state


async def _collect_all(connections: Connections, at_once: int) -> list[Report]:
    newest = {mark.job_id: mark async for mark in connections.archive.journal.open_marks()}
    gate = asyncio.Semaphore(at_once)

    async def collect(job_id: str) -> Report:
        async with gate:
            return await collect_job(newest[job_id], connections)

    return list(await asyncio.gather(*(collect(job_id) for job_id in newest)))


def _table(reports: list[Report]) -> list[dict[str, Any]]:
    return [
        {
            "state": report.state,
            "name": report.name,
            "job": report.job_id[:12],
            "Kling task": report.kling_task_id or "",
            "detail": report.detail,
        }
        for report in sorted(reports, key=lambda report: (report.state, report.name))
    ]


def _states(reports: list[Report]) -> dict[str, str]:
    return {report.job_id: report.state for report in reports}


def _summary(reports: list[Report], done: dict[str, int]) -> str:
    """Return what was found open, and what else was done; what was not is left out."""
    found = counted(report.state for report in reports)
    return "; ".join([f"Open jobs: {found}", *(f"{what}: {count}" for what, count in done.items() if count)])


def main() -> None:
    """Reconcile once from the command line, with the environment's credentials and archive."""
    for report in asyncio.run(reconcile_jobs()):
        sys.stdout.write(f"{report.state:>14}  {report.job_id}  {report.name}  {report.detail}\n")


if __name__ == "__main__":
    main()
