"""The sandbox as a whole: what came in, what was charged, what is on its way."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from blocks.sandbox.answers import called_back
from blocks.sandbox.blobs import Blobs
from blocks.sandbox.callbacks import Callbacks
from blocks.sandbox.clips import Clips
from blocks.sandbox.clock import Clock
from blocks.sandbox.connections import Connections
from blocks.sandbox.intake import Intake
from blocks.sandbox.ledger import Charge, Ledger, plain
from blocks.sandbox.links import Links
from blocks.sandbox.log import Log
from blocks.sandbox.script import Rule, Script, markers
from blocks.sandbox.settings import Settings
from blocks.sandbox.sources import new_client
from blocks.sandbox.tasks import Task, Tasks


class Sandbox:
    """One sandbox; it belongs to one event loop.

    Args:
        settings: How it behaves at first and after a reset.
        rules: Faults that are there at first and after a reset.
        delivery_url: Where its delivery host is reached.
    """

    def __init__(self, settings: Settings, rules: Iterable[Rule] = (), delivery_url: str = "") -> None:
        self._first_settings = settings
        self._first_rules = tuple(rules)
        self.clock = Clock()
        self.blobs = Blobs()
        self.client = new_client()
        self.intake = Intake(self.blobs, self.client)
        self.clips = Clips(self.blobs, self.clock)
        self.links = Links(delivery_url, self.clock)
        self.callbacks = Callbacks(self.client, self.clock)
        self.connections = Connections()
        self.script = Script()
        self.requests, self.deliveries = Log(), Log()
        self.reset()

    def reset(self) -> None:
        """Forget all tasks, charges, requests and faults, and go back to the first settings."""
        self.settings = self._first_settings
        self.ledger = Ledger()
        self.tasks = Tasks(self._changed)
        self.script.clear()
        for rule in self._first_rules:
            self.script.add(rule)
        for kept in (self.requests.entries, self.deliveries.entries, self.callbacks.rung):
            kept.clear()
        self.clock.reset()

    async def run(self) -> None:
        """Move the statuses as time goes, so that callbacks come without a query."""
        while not self.clock.stopped.is_set():
            self.catch_up()
            await self.clock.sleep_until(self.tasks.next_due())

    async def close(self) -> None:
        """End everything that is under way and give back what is held."""
        self.clock.stop()
        await self.callbacks.close()
        await self.clips.close()
        await self.client.aclose()
        self.blobs.close()

    def catch_up(self) -> None:
        """Bring all tasks up to this moment."""
        self.tasks.move(self.clock.now())

    def find(self, name: str, kind: str) -> Task | None:
        """Return the task of a `task_id`, or the newest of an `external_task_id` where that is allowed."""
        self.catch_up()
        task = self.tasks.by_id(name)
        if task is None and self.settings.lookup:
            task = self.tasks.by_external_id(name)
        return task if task is not None and task.kind == kind else None

    def units(self, task: Task) -> str:
        """Return what a task was charged, as the provider writes it."""
        return plain(self.ledger.units(task.task_id))

    def link(self, task: Task) -> str:
        """Return a fresh delivery link."""
        return self.links.fresh(task, self.settings.link_seconds)

    def keep(self, task: Task, units: Decimal, waiting: float, working: float) -> None:
        """Charge for a task and let its statuses move, so many seconds each."""
        self.ledger.charge(
            Charge(
                task.task_id,
                task.external_task_id,
                task.kind,
                units,
                task.seconds,
                task.mode,
                task.created_at,
            )
        )
        start = self.clock.now()
        for_ever = ("stuck", None) in markers(task.prompt)
        finished = None if for_ever else start + waiting + working
        if self.tasks.add(task, processing_at=start + waiting, finished_at=finished):
            self.clock.wake()
        self.catch_up()

    def _changed(self, task: Task) -> None:
        if task.status == "failed" and self.settings.refund_failed:
            self.ledger.refund(task.task_id, task.updated_at)
        if task.callback_url:
            url = self.link(task) if task.status == "succeed" else ""
            self.callbacks.ring(task.callback_url, called_back(task, url, self.units(task)), self.settings)
