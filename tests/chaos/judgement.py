"""Runs a campaign and says what is not as wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.chaos.audit import Account
from tests.chaos.report import fired_faults, races_decided, result, table, unexplained
from tests.chaos.stage import Options, Stage, staged

Say = Callable[[str], object]


@dataclass(frozen=True)
class Verdict:
    """What a campaign found.

    Attributes:
        sums: Jobs, kills, faults, charges and the rest, before a person decided anything.
        kills: Kills and pauses by the name of their boundary.
        races: How often two processes asked for the right to post and the journal said no to one.
        complaints: What is not as wanted.
    """

    sums: dict[str, int]
    kills: dict[str, int]
    races: int
    complaints: list[str]


def run_campaign(options: Options, say: Say) -> Verdict:
    """Run a campaign to its end and judge it."""
    with staged(options) as stage:
        campaign = stage.campaign
        campaign.storm(stage.ready)
        campaign.settle()
        accounts, fired = campaign.accounts(), fired_faults(campaign, stage.provider)
        sums = result(campaign, accounts, fired)
        for line in table(campaign, accounts):
            say(line)
        complaints = [*_wrong(sums), *_unsettled(accounts, stage), *_needless(accounts, fired, stage)]
        if sums["undecided"] and options.can_look_up:
            complaints.append(f"undecided: {sums['undecided']}")
        if sums["undecided"] and not options.unsafe:
            complaints += _after_decisions(stage, say)
        races = races_decided(campaign)
        say(f"{campaign.processes} worker processes; {races} races decided by the journal")
        say(_named(fired))
        complaints += [f"unexpected end of {name}" for name in campaign.broken]
        kills = {str(boundary): count for boundary, count in campaign.kills.items() if boundary}
    return Verdict(sums, kills, races, complaints)


def _wrong(sums: Mapping[str, int]) -> list[str]:
    return [f"{name}: {sums[name]}" for name in ("double_charged", "lost", "corrupt") if sums[name]]


def _unsettled(accounts: Mapping[str, Account], stage: Stage) -> list[str]:
    said = stage.campaign.reports
    complaints = []
    for job_id, account in accounts.items():
        if not account.is_archived and not account.is_undecided:
            complaints.append(f"job {job_id} is neither archived nor undecided: {said.get(job_id)}")
        if account.is_open and account.is_archived:
            complaints.append(f"job {job_id} is archived and still marked as open")
        if account.is_undecided and not account.is_open:
            complaints.append(f"job {job_id} is undecided and reconcile does not see it")
    return complaints


def _needless(accounts: Mapping[str, Account], fired: Mapping[str, list[str]], stage: Stage) -> list[str]:
    return [
        f"job {job_id} is undecided though no answer of it was lost"
        for job_id in unexplained(stage.campaign, accounts, fired)
    ]


def _after_decisions(stage: Stage, say: Say) -> list[str]:
    """Let a person decide with the provider's console at hand: then all must be archived, paid once."""
    stage.provider.forgive()
    stage.campaign.decide()
    stage.campaign.settle()
    accounts = stage.campaign.accounts()
    sums = result(stage.campaign, accounts, {})
    say(f"after a person decided: {sums['charged']} charged, {sums['archived']} archived")
    complaints = [*_wrong(sums), *_unsettled(accounts, stage)]
    return [f"after decisions: {complaint}" for complaint in complaints] + (
        [f"after decisions undecided: {sums['undecided']}"] if sums["undecided"] else []
    )


def _named(fired: Mapping[str, list[str]]) -> str:
    counted: dict[str, int] = {}
    for names in fired.values():
        for name in names:
            counted[name] = counted.get(name, 0) + 1
    return "faults: " + (", ".join(f"{count} {name}" for name, count in sorted(counted.items())) or "none")
