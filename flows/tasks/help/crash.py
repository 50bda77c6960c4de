"""What is known about a run whose process was lost: what it had bought by then."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.events.filters import EventFilter, EventNameFilter, EventRelatedFilter

from flows.tasks.help.page import Trouble, code
from flows.tasks.help.steps import Ran

_SHOWN = 20


class Bought(NamedTuple):
    """The Kling tasks that a run submitted or adopted, as its events tell.

    Attributes:
        total: How many there are.
        shown: Job id and Kling task id of some of them.
    """

    total: int
    shown: tuple[tuple[str, str], ...]


async def bought_by(flow_run_id: UUID, client: PrefectClient) -> Bought:
    """Read what a run had bought. One request."""
    wanted = EventFilter(
        event=EventNameFilter(name=["kling-avatar.job.submitted"]),
        related=EventRelatedFilter(id=[f"prefect.flow-run.{flow_run_id}"]),
    )
    page = await client.read_events(wanted, limit=_SHOWN)
    told = ((event.payload.get("job_id"), event.payload.get("kling_task_id")) for event in page.events)
    return Bought(page.total, tuple((str(job), str(task)) for job, task in told))


def tell_crash(bought: Bought, ran: Ran, *, is_left: bool = False) -> Trouble:
    """Return what a crashed run says.

    Args:
        bought: What it had bought.
        ran: The run.
        is_left: Whether it crashed too often and nobody starts it again.
    """
    steps = [ran.again + " It finds in the journal what it has bought."]
    if ran.is_deployed and not is_left:
        steps.insert(0, "Wait: the automation *kling-avatar: crashed* starts it again after a quiet time.")
    return Trouble(
        title="The run crashed too often and was left" if is_left else "The run crashed",
        story=[
            "Its process was lost or ended before the run was over. Nothing that was bought is lost: the "
            "journal in the archive knows it.",
            _table(bought),
        ],
        charged="yes" if bought.total else "unknown",
        money=f"Kling tasks of this run by then: {bought.total}." if bought.total else "",
        steps=[*steps, f"Or only finish what is open; this buys nothing:\n\n{ran.reconcile}"],
    )


def _table(bought: Bought) -> str:
    rows = [f"| {code(job)} | {code(task)} |" for job, task in bought.shown]
    more = f"\n\nand {bought.total - len(rows)} more" if bought.total > len(rows) else ""
    return "\n".join(["| job | Kling task |", "| --- | --- |", *rows]) + more if rows else ""
