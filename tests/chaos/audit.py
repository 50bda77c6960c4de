"""The oracle: the sandbox's books against the archive, job by job. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.plan import Plan
from tests.chaos.shelf import Contents


@dataclass(frozen=True)
class Account:
    """How one job stands.

    Attributes:
        charged: Kling tasks that were charged for it and not given back.
        lost: Those of them whose clip is nowhere, and nobody is asked about them.
        is_archived: Whether it has a clip and a sidecar.
        is_undecided: Whether its journal says that nobody can tell, and there is no clip.
        is_corrupt: Whether what is there is not what the provider delivered for one of its Kling tasks.
        is_open: Whether it is still marked as open.
    """

    charged: tuple[str, ...]
    lost: tuple[str, ...]
    is_archived: bool
    is_undecided: bool
    is_corrupt: bool
    is_open: bool


@dataclass(frozen=True)
class Books:
    """What the provider says.

    Attributes:
        charges: All charges, as in the sandbox's ledger.
        tasks: All Kling tasks, with the digests of what was delivered for each.
    """

    charges: Sequence[Mapping[str, Any]]
    tasks: Sequence[Mapping[str, Any]]

    def charged(self) -> list[Mapping[str, Any]]:
        """Return the charges that were not given back."""
        return [charge for charge in self.charges if not charge["refunded"]]

    def delivered(self) -> dict[str, set[str]]:
        """Return the digests of the clips that were delivered for each Kling task."""
        return {task["task_id"]: {clip["sha256"] for clip in task["clips"]} for task in self.tasks}


def audit(plans: Iterable[Plan], books: Books, contents: Contents) -> dict[str, Account]:
    """Return how each job stands, by its id."""
    delivered = books.delivered()
    by_name: dict[str, list[str]] = {}
    for charge in books.charged():
        by_name.setdefault(charge["external_task_id"] or "", []).append(charge["task_id"])
    return {
        plan.job_id: _account(
            plan.job_id, [task for name in plan.names for task in by_name.get(name, [])], delivered, contents
        )
        for plan in plans
    }


def totals(accounts: Mapping[str, Account], books: Books) -> dict[str, int]:
    """Return the sums; a charge under a name of no job counts as a second one too."""
    explained = sum(len(account.charged) for account in accounts.values())
    charged = len(books.charged())
    return {
        "charged": charged,
        "double_charged": charged
        - explained
        + sum(max(0, len(account.charged) - 1) for account in accounts.values()),
        "archived": sum(account.is_archived for account in accounts.values()),
        "undecided": sum(account.is_undecided for account in accounts.values()),
        "lost": sum(len(account.lost) for account in accounts.values()),
        "corrupt": sum(account.is_corrupt for account in accounts.values()),
    }


def _account(
    job_id: str, charged: list[str], delivered: Mapping[str, set[str]], contents: Contents
) -> Account:
    sidecar, clip = contents.sidecars.get(job_id), contents.clips.get(job_id)
    is_archived = sidecar is not None and clip is not None
    steps = contents.steps.get(job_id, [])
    is_undecided = not is_archived and steps[-1:] == ["undecided"]
    is_corrupt = job_id in contents.sidecars and not is_archived
    kept = None
    if clip is not None:
        own = {task for task in charged if hashlib.sha256(clip).hexdigest() in delivered.get(task, set())}
        if sidecar is not None:
            own &= {sidecar["provided"]["task_id"]} if _describes(sidecar, clip) else set()
        is_corrupt = not own
        kept = own.pop() if is_archived and own else None
    lost = () if is_undecided else tuple(task for task in charged if task != kept)
    return Account(tuple(charged), lost, is_archived, is_undecided, is_corrupt, job_id in contents.open_jobs)


def _describes(sidecar: Mapping[str, Any], clip: bytes) -> bool:
    described = sidecar["clip"]
    return (described["sha256"], described["size"]) == (hashlib.sha256(clip).hexdigest(), len(clip))
