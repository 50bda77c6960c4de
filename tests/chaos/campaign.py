"""One campaign: the storm, then what an operator's scheduler does until nothing is left to do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import partial

from flows.tasks.decision import Decision
from tests.chaos.audit import Account, Books, audit
from tests.chaos.crew import BROKEN, Crew, Ended, Work
from tests.chaos.plan import Boundary, Plan, Round, dice
from tests.chaos.services import Sandbox
from tests.chaos.setup import Attempt, Setup
from tests.chaos.shelf import Contents, Shelf
from tests.chaos.worker import STOPPED, decide, reconcile, run_job

_MOST_PASSES = 15
_MOST_ATTEMPTS = 8
# A run that has to wait until an abandoned intent expires is not typical.
_LONGEST_RUN = 5.0


class Campaign:
    """Runs jobs against a failing provider and kills those who run them.

    Args:
        setup: What all workers share.
        plans: The jobs.
        crew: Who works.
        sandbox: The provider.
        shelf: A look into the archive.
        seed: Decides when a reconcile is killed.

    Attributes:
        kills: Processes that were killed or paused, by boundary; `None` is a reconcile.
        killed_at: Where the processes of a job were killed, by its id.
        broken: Processes that ended with an error that nobody expects.
        attempts: Every process that ran a job, by its label.
        reports: What the last reconcile said, by job id.
    """

    def __init__(
        self, setup: Setup, plans: tuple[Plan, ...], crew: Crew, sandbox: Sandbox, shelf: Shelf, seed: int
    ) -> None:
        self.setup = setup
        self.plans = plans
        self._crew = crew
        self._sandbox = sandbox
        self._shelf = shelf
        self._seed = seed
        self._left: dict[str, list[Round]] = {plan.job_id: list(plan.rounds) for plan in plans}
        self._restarts = {plan.job_id for plan in plans if plan.is_restarted}
        self._begun: Counter[str] = Counter()
        self._under_way: Counter[str] = Counter()
        self._paused: dict[str, str] = {}
        self._typical_seconds = 1.5
        self._others = 0
        self._has_flows = False
        self.kills: Counter[Boundary | None] = Counter()
        self.killed_at: dict[str, set[Boundary]] = {plan.job_id: set() for plan in plans}
        self.broken: list[str] = []
        self.attempts: dict[str, tuple[Plan, Attempt]] = {}
        self.reports: dict[str, str] = {}

    def storm(self, ready: Callable[[], object]) -> None:
        """Run every job, kill its processes as planned, run some again at once, and reconcile beside them.

        Args:
            ready: Called before the first real flow run.
        """
        for are_flows in (False, True):
            plans = [plan for plan in self.plans if plan.is_flow is are_flows]
            if plans and are_flows:
                ready()
                self._has_flows = True
            for place, plan in enumerate(plans):
                self._start(plan, self._left[plan.job_id].pop(0))
                if place % 20 == 19:
                    self._reconcile(is_killed=True)
            self._crew.run(self._ended)

    def settle(self) -> None:
        """Reconcile and run again what is neither archived nor with a person, until nothing is left to do."""
        self._restarts.clear()
        for _ in range(_MOST_PASSES):
            chance = dice(self._seed, "settle", self._others)
            self._reconcile(is_killed=chance.random() < 0.3)
            self._crew.run(self._ended)
            accounts = self.accounts()
            waiting = [
                plan
                for plan in self.plans
                if not accounts[plan.job_id].is_archived and self.reports.get(plan.job_id) != "needs decision"
            ]
            if not waiting and set(self.reports.values()) <= {"needs decision"}:
                return
            for plan in waiting:
                self._start(plan, (None,))
            self._crew.run(self._ended)

    def decide(self) -> None:
        """Do as a person with the provider's console would: adopt what was bought, else post again."""
        bought = {charge["external_task_id"]: charge["task_id"] for charge in self.books().charged()}
        decisions = {}
        for plan in self.plans:
            if self.reports.get(plan.job_id) == "needs decision":
                found = [bought[name] for name in plan.names if name in bought]
                decisions[plan.job_id] = (
                    Decision(choice="adopt", kling_task_id=found[0])
                    if found
                    else Decision(choice="post again")
                )
        self._others += 1
        label = f"decide-{self._others}"
        self._crew.add(Work(label, partial(decide, self.setup, Attempt(label), decisions)))
        self._crew.run(self._ended)

    def books(self) -> Books:
        """Return what the provider says now."""
        return Books(self._sandbox.ask("/ledger")["charges"], self._sandbox.ask("/tasks"))

    def accounts(self) -> dict[str, Account]:
        """Return how each job stands now."""
        return audit(self.plans, self.books(), Contents(self._shelf))

    @property
    def processes(self) -> int:
        """How many processes ran."""
        return len(self.attempts) + self._others

    def _start(self, plan: Plan, ends: Round) -> None:
        begun = self._begun[plan.job_id]
        labels = [f"job-{plan.number:04}-{begun + place}" for place in range(len(ends))]
        self._begun[plan.job_id] += len(ends)
        self._under_way[plan.job_id] += len(ends)
        for label, kill in zip(labels, ends, strict=True):
            rivals = (label, *(other for other in labels if other != label)) if len(labels) > 1 else ()
            attempt = Attempt(label, kill, rivals)
            self.attempts[label] = plan, attempt
            after = None
            if kill and kill.boundary is Boundary.ANYWHERE:
                after = partial(self._part_of_a_run, kill.seconds)
            self._crew.add(Work(label, partial(run_job, self.setup, plan, attempt), after))

    def _reconcile(self, *, is_killed: bool) -> None:
        self._others += 1
        self.reports = {"": "no report"}
        label = f"reconcile-{self._others}"
        after = partial(self._part_of_a_run, dice(self._seed, label).random()) if is_killed else None
        self._crew.add(
            Work(label, partial(reconcile, self.setup, Attempt(label), is_flow=self._has_flows), after)
        )

    def _part_of_a_run(self, part: float) -> float:
        return part * self._typical_seconds

    def _ended(self, end: Ended) -> None:
        if end.code == BROKEN or (end.code < 0 and not end.is_killed and not end.is_paused):
            self.broken.append(f"{end.label} ({end.code})")
        if end.label in self.attempts:
            self._job_ended(end, *self.attempts[end.label])
            return
        self.kills[None] += end.is_killed
        reports = self.setup.reports(end.label)
        if end.code == 0 and reports.exists():
            self.reports = dict(json.loads(reports.read_text()))

    def _job_ended(self, end: Ended, plan: Plan, attempt: Attempt) -> None:
        if attempt.kill and (end.is_killed or end.is_paused):
            self.kills[attempt.kill.boundary] += 1
            self.killed_at[plan.job_id].add(attempt.kill.boundary)
        if end.is_paused:
            # The next process takes this one for dead, clears up and buys; only then does it wake.
            self._paused[plan.job_id] = end.label
            self._start(plan, (None,))
            return
        if end.code == 0 and end.seconds < _LONGEST_RUN:
            self._typical_seconds += (end.seconds - self._typical_seconds) / 4
        self._under_way[plan.job_id] -= 1
        is_tried_again = end.code == STOPPED and self._begun[plan.job_id] < _MOST_ATTEMPTS
        if plan.job_id in self._paused:
            if is_tried_again:
                self._start(plan, (None,))
            else:
                self._crew.wake(self._paused.pop(plan.job_id))
            return
        if self._under_way[plan.job_id]:
            return
        if attempt.kill and is_tried_again:
            # It gave up unpaid before the place where it was to be killed.
            self._start(plan, (attempt.kill,))
        elif self._left[plan.job_id]:
            self._start(plan, self._left[plan.job_id].pop(0))
        elif plan.job_id in self._restarts and end.code:
            self._restarts.remove(plan.job_id)
            self._start(plan, (None,))
