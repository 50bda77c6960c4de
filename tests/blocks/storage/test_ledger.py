from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial

import pytest

from blocks.errors import StorageUnavailable
from blocks.storage import book as books
from blocks.storage.book import Book
from blocks.storage.ledger import Ledger, Page, Reserved
from blocks.storage.store import Store

BOOK = "00000000-0000-4000-8000-000000000000/2026-11"
DAY = date(2026, 11, 25)

# The S3 store of these tests lives in the loop of the session.
on_any_store = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "GATHER_SECONDS", 0.01)


def held(usd: str, attempt: str = "first", day: date = DAY) -> Reserved:
    return Reserved(usd=Decimal(usd), day=day, at=datetime(2026, 11, 25, 12, tzinfo=UTC), token=attempt)


def within(limit: str, name: str, usd: str, page: Page) -> Page:
    if page.used() + Decimal(usd) > Decimal(limit):
        raise ValueError(name)
    return page.reserve(name, held(usd))


def test_a_page_adds_up_what_is_spent_and_reserved_by_day_and_in_all() -> None:
    other = date(2026, 11, 24)
    page = Page(spent={DAY: Decimal(1), other: Decimal(2)})
    page = page.reserve("a/1", held("0.5")).reserve("b/1", held("0.25", day=other))
    assert (page.used(), page.used(DAY), page.used(other)) == (
        Decimal("3.75"),
        Decimal("1.5"),
        Decimal("2.25"),
    )
    assert page.used(DAY, without="a/1") == 1
    assert Page.model_validate_json(page.model_dump_json()) == page


def test_a_reservation_is_settled_once_and_for_the_day_on_which_it_was_made() -> None:
    page = Page().reserve("a/1", held("0.5"))
    assert page.settle("a/1", None).spent == {DAY: Decimal("0.5")}
    assert page.settle("a/1", Decimal("0.4"), surplus=2).spent == {DAY: Decimal("1.4")}
    assert page.settle("a/1", Decimal(0)) == Page()
    settled = page.settle("a/1", Decimal("0.4"))
    assert settled.settle("a/1", Decimal("0.4")) is settled
    assert settled.reserved == {}


def test_only_the_attempt_that_reserved_it_last_may_release_it() -> None:
    page = Page().reserve("a/1", held("0.5", "first")).reserve("a/1", held("0.5", "second"))
    assert page.used() == Decimal("0.5")
    assert page.release("a/1", "first") is page
    assert page.release("a/1", "second").reserved == {}


@on_any_store
async def test_books_that_race_never_reserve_more_than_there_is(store: Store) -> None:
    racing = [Book(Ledger(store, BOOK)) for _ in range(4)]
    wanted = [
        book.write(partial(within, "1.00", f"{number}-{each}/1", "0.3"))
        for number, book in enumerate(racing)
        for each in range(3)
    ]
    answers = await asyncio.gather(*wanted, return_exceptions=True)
    assert sum(answer is None for answer in answers) == 3
    assert sum(isinstance(answer, ValueError) for answer in answers) == 9
    page = await Ledger(store, BOOK).last()
    assert (page.used(), len(page.reserved)) == (Decimal("0.9"), 3)


@on_any_store
async def test_what_waits_is_written_together_and_the_newest_page_is_found_in_few_steps(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Book(Ledger(store, BOOK))
    await asyncio.gather(*(book.write(partial(within, "999", f"{each}/1", "0.3")) for each in range(300)))
    await book.close()
    first = await Ledger(store, BOOK).last()
    assert (len(first.reserved), first.number <= 3) == (300, True)
    for each in range(20):
        await book.write(partial(Page.settle, name=f"{each}/1", usd=None))
    asked: list[str] = []
    size = store.size

    async def counted(key: str) -> int | None:
        asked.append(key)
        return await size(key)

    monkeypatch.setattr(store, "size", counted)
    page = await Ledger(store, BOOK).last()
    assert (page.number, page.spent[DAY]) == (first.number + 20, Decimal("6.0"))
    assert len(asked) <= 10
    assert (await Ledger(store, BOOK).last(page), len(asked)) == (page, len(asked))


@on_any_store
async def test_a_page_that_cannot_be_read_stops_everybody(store: Store) -> None:
    await store.create("budget/00000000-0000-4000-8000-000000000000/2026-11/000001.json", b"{")
    with pytest.raises(StorageUnavailable, match=r"page .* of the ledger cannot be read"):
        await Book(Ledger(store, BOOK)).write(lambda page: page.reserve("a/1", held("1")))
