"""The budgets of one run: every purchase reserves its price first, whatever machine it is bought from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from blocks.credentials import CometAPICredentials
from blocks.errors import AvatarError, Facts, PriceUnknown, StorageError
from blocks.kling.job import Job, Speech
from blocks.storage.book import Book
from blocks.storage.journal import Entry, now
from blocks.storage.ledger import Ledger, Page, month_of
from blocks.storage.store import Store
from flows.tasks.budget.held import Held
from flows.tasks.budget.limits import Caps, Limit, account_limits, check_limits
from flows.tasks.logs import run_logger


class _Kept(NamedTuple):
    """A book, and the budgets that hold in it at a moment."""

    book: Book
    limits: Sequence[Limit]


class Budget:
    """What this run, and its account, may still spend.

    The books are in the archive, beside the journal, so all who share the archive count together. Without
    any budget nothing is read or written. Only what is about to be bought is ever refused.

    Args:
        credentials: Budgets and prices of the account.
        store: Where the books are.
        caps: What this run may spend.
    """

    def __init__(self, credentials: CometAPICredentials, store: Store, caps: Caps) -> None:
        self._credentials = credentials
        self._store = store
        self._caps = caps
        self._books: dict[str, Book] = {}
        self._held: dict[str, Held] = {}

    @property
    def applies(self) -> bool:
        """Whether there is any budget."""
        return self.of_account or self._caps.run_usd is not None or self._caps.job_usd is not None

    @property
    def of_account(self) -> bool:
        """Whether the account has a budget."""
        return bool(account_limits(self._credentials, now()))

    async def reserve(self, job: Job | Speech, purchase: int) -> Held | None:
        """Reserve the price of a purchase in every book, before anything is announced or posted.

        Twice is harmless: a later attempt takes over what an earlier one has reserved.

        Returns:
            What is held, or `None` when there is no budget.

        Raises:
            BudgetExceeded: Too little is left; nothing is reserved.
            PriceUnknown: Nobody can say what it costs.
            StorageError: A book could not be read or written.
        """
        if not self.applies:
            return None
        usd = self._price(job)
        at = now()
        held = Held(_name(job.job_id, purchase), _thing(job), usd, at.date())
        try:
            for kept in self._kept(at):
                await kept.book.write(partial(held.reserved_on, limits=kept.limits))
                held.books += (kept.book,)
        except AvatarError:
            await self._release(held)
            raise
        self._held[held.name] = held
        return held

    async def release(self, entry: Entry) -> None:
        """Give back what this run has reserved for a purchase that is known to have cost nothing."""
        if held := self._held.pop(_name(entry.job_id, entry.purchase), None):
            await self._release(held)

    async def settle(self, entry: Entry, usd: Decimal | None) -> None:
        """Turn a reservation into spent money, once; it does not matter who made it. Never raises for a book.

        Args:
            entry: The journal entry of the purchase.
            usd: What was charged; `None` where nobody says: then what was reserved. Kling tasks that were
                bought besides count for what was reserved as well.
        """
        if not self.applies:
            return
        name = _name(entry.job_id, entry.purchase)
        held = self._held.pop(name, None)
        books = held.books if held else [kept.book for kept in self._kept(entry.intended_at or entry.at)]
        surplus = len(entry.surplus_task_ids)
        for book in books:
            try:
                await book.write(lambda page: page.settle(name, usd, surplus))
            except StorageError as error:
                run_logger().warning("A budget is settled later, by reconcile-jobs: %s", error.message)

    def charged(self, units: Decimal | None) -> Decimal | None:
        """Return what a finished purchase cost by the provider's word, or `None` where it names no units.

        An account that pays from a cash balance reports zero units, so zero says nothing.
        """
        return self._credentials.prices.of_units(units) if units else None

    async def left(self) -> list[tuple[Limit, Decimal]]:
        """Return each budget of the account with what is left of it now; may be below zero. Only reads."""
        at = now()
        limits = account_limits(self._credentials, at)
        page = await self._book(month_of(at)).read() if limits else Page()
        return [(limit, limit.left(page)) for limit in limits]

    def book_of(self, month: str) -> Book:
        """Return the account's book of a month such as `2026-11`."""
        return self._book(month)

    async def close(self) -> None:
        """Write what still waits."""
        for book in self._books.values():
            await book.close()

    async def _release(self, held: Held) -> None:
        for book in held.books:
            try:
                await book.write(lambda page: page.release(held.name, held.token))
            except StorageError as error:
                run_logger().warning("A budget is released later, by reconcile-jobs: %s", error.message)

    def _price(self, job: Job | Speech) -> Decimal:
        usd = job.estimated_usd
        if usd is None:
            raise PriceUnknown(
                "Nobody says how long this speech is, so what the video would cost is not known",
                Facts(job_id=job.job_id),
            )
        if self._caps.job_usd is not None:
            voice = job.speech.estimated_usd if isinstance(job, Job) and job.speech else None
            limit = Limit("for each video", self._caps.job_usd)
            check_limits(_thing(job), usd + (voice or Decimal(0)), [(limit, limit.usd)])
        return usd

    def _kept(self, at: datetime) -> list[_Kept]:
        """Return the books that count, the account's last: its reservation has to be the younger one."""
        kept = []
        if self._caps.run_usd is not None:
            kept.append(
                _Kept(self._book(f"run-{self._caps.run}"), [Limit("for this run", self._caps.run_usd)])
            )
        if limits := account_limits(self._credentials, at):
            kept.append(_Kept(self._book(month_of(at)), limits))
        return kept

    def _book(self, period: str) -> Book:
        if period not in self._books:
            self._books[period] = Book(Ledger(self._store, f"{self._credentials.task_namespace}/{period}"))
        return self._books[period]


def _name(job_id: str, purchase: int) -> str:
    return f"{job_id}/{purchase}"


def _thing(job: Job | Speech) -> str:
    return "speech" if isinstance(job, Speech) else "video"
