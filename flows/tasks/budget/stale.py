"""Reservations that a process left behind: the journal says what became of their purchases."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from blocks.storage.book import Book
from blocks.storage.journal import Entry, Standing, Step, now
from blocks.storage.ledger import Page, Reserved, month_of
from flows.tasks.connections import Connections
from flows.tasks.purchase import CLAIM_SECONDS
from flows.tasks.side_by_side import side_by_side

_READ_AT_ONCE = 16


class Tidied(NamedTuple):
    """How many reservations became spent money, and how many were given back."""

    settled: int = 0
    released: int = 0


class _Held(NamedTuple):
    """A reservation and its name: the purchase it is for."""

    name: str
    reserved: Reserved


async def tidy_budgets(connections: Connections) -> Tidied:
    """Settle or release what the journal has moved on from. Costs nothing; safe beside running jobs.

    A reservation stays while its purchase may still be posted, is under way, or is in doubt. Without a budget
    for the account nothing is read.

    Raises:
        StorageError: A book or a journal could not be read or written.
    """
    if not connections.budget.of_account:
        return Tidied()
    settled = released = 0
    today = now()
    for month in sorted({month_of(today.replace(day=1) - timedelta(days=1)), month_of(today)}):
        book = connections.budget.book_of(month)
        held = [
            _Held(*item) for item in (await book.read()).reserved.items() if _is_old(item[1], connections)
        ]
        ends = await side_by_side(partial(_end, connections=connections), held, _READ_AT_ONCE)
        for each, charged in zip(held, ends, strict=True):
            if charged is not None:
                await _write(book, each, charged)
                settled, released = settled + bool(charged), released + (not charged)
    return Tidied(settled, released)


def _is_old(reserved: Reserved, connections: Connections) -> bool:
    """Tell whether nobody can post on this reservation any more without having announced it."""
    # MONEY: a POST is sent within CLAIM_SECONDS of its reservation, or not at all.
    oldest = CLAIM_SECONDS + connections.credentials.clock_margin_seconds
    return now() - reserved.at > timedelta(seconds=oldest)


async def _end(held: _Held, connections: Connections) -> Decimal | None:
    """Return what a purchase has cost in the end, or `None` when that is still open."""
    archive, (job_id, _, purchase) = connections.archive, held.name.rpartition("/")
    last = await archive.journal.last(job_id)
    if last is None or last.purchase < int(purchase):
        return Decimal(0)
    if last.purchase > int(purchase):
        return _surplus(last, held)
    standing = last.standing(now())
    if standing in {Standing.BUSY, Standing.DOUBTFUL}:
        return None
    if standing is Standing.BOUGHT:
        return await _of_archive(last, held, connections)
    if last.step is Step.GIVEN_UP:
        # It may have been bought: nobody knows, so it counts.
        return held.reserved.usd + _surplus(last, held)
    return _surplus(last, held)


async def _of_archive(last: Entry, held: _Held, connections: Connections) -> Decimal | None:
    archive = connections.archive
    find = archive.find_speech if last.kind == "speech" else archive.find_done
    sidecar = await find(last.job_id)
    if sidecar is None:
        return None
    charged = connections.budget.charged(sidecar.cost.reported_units)
    return (held.reserved.usd if charged is None else charged) + _surplus(last, held)


def _surplus(last: Entry, held: _Held) -> Decimal:
    return len(last.surplus_task_ids) * held.reserved.usd


async def _write(book: Book, held: _Held, charged: Decimal) -> None:
    name, reserved = held

    def change(page: Page) -> Page:
        # Somebody may have reserved it anew since it was read: that one is not touched.
        now_held = page.reserved.get(name)
        return page.settle(name, charged) if now_held and now_held.token == reserved.token else page

    await book.write(change)
