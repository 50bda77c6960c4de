"""What a campaign found, in lines for people and one line for machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tests.chaos.audit import Account, totals
from tests.chaos.campaign import Campaign
from tests.chaos.evidence import lost_answer, marks_of, spoiled_answer
from tests.chaos.plan import KILLS, PAUSES, Boundary
from tests.chaos.services import Sandbox


def table(campaign: Campaign, accounts: Mapping[str, Account]) -> Iterator[str]:
    """Return a line for each boundary: kills there, and how the jobs that were killed there stand."""
    yield f"{'killed':50} {'kills':>6} {'jobs':>6} {'charged':>8} {'archived':>9} {'undecided':>10}"
    killed_at = campaign.killed_at
    for boundary in Boundary if campaign.kills.keys() & set(PAUSES) else KILLS:
        jobs = [accounts[job_id] for job_id, places in killed_at.items() if boundary in places]
        yield _line(boundary, str(campaign.kills[boundary]), jobs)
    yield _line("never", "", [accounts[job_id] for job_id, places in killed_at.items() if not places])
    yield f"{'a reconcile':50} {campaign.kills[None]:6}"


def result(
    campaign: Campaign, accounts: Mapping[str, Account], fired: Mapping[str, list[str]]
) -> dict[str, int]:
    """Return the sums of a campaign."""
    return {
        "jobs": len(campaign.plans),
        "kills": sum(count for boundary, count in campaign.kills.items() if boundary not in PAUSES),
        "faults": sum(map(len, fired.values())),
        **totals(accounts, campaign.books()),
    }


def fired_faults(campaign: Campaign, sandbox: Sandbox) -> dict[str, list[str]]:
    """Return the faults that fired for each job, as `endpoint name`."""
    jobs = {plan.scene: plan.job_id for plan in campaign.plans}
    found: dict[str, list[str]] = {}
    for rule in sandbox.ask("/faults")["faults"]:
        names = [f"{rule['endpoint']} {rule['fault']}"] * rule["fired"]
        found.setdefault(jobs[rule["match"]["prompt"]], []).extend(names)
    return found


def unexplained(
    campaign: Campaign, accounts: Mapping[str, Account], fired: Mapping[str, list[str]]
) -> list[str]:
    """Return the undecided jobs whose answer was not lost, as far as workers and provider noted."""
    explained = {
        job_id
        for job_id, names in fired.items()
        if spoiled_answer(name.removeprefix("create ") for name in names if name.startswith("create "))
    }
    explained |= {job_id for job_id, marks in _traces(campaign) if lost_answer(marks)}
    undecided = {job_id for job_id, account in accounts.items() if account.is_undecided}
    return sorted(undecided - explained)


def races_decided(campaign: Campaign) -> int:
    """Return how often the journal told a process that another one may post."""
    return sum("too late for intent" in marks for _, marks in _traces(campaign))


def _traces(campaign: Campaign) -> Iterator[tuple[str, list[str]]]:
    for label, (plan, _) in campaign.attempts.items():
        trace = campaign.setup.trace(label)
        if trace.exists():
            yield plan.job_id, marks_of(trace.read_text())


def _line(name: str, kills: str, jobs: Iterable[Account]) -> str:
    jobs = list(jobs)
    charged, archived = sum(len(job.charged) for job in jobs), sum(job.is_archived for job in jobs)
    undecided = sum(job.is_undecided for job in jobs)
    return f"{name:50} {kills:>6} {len(jobs):6} {charged:8} {archived:9} {undecided:10}"
