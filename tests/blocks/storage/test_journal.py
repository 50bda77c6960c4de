"""The journal: created once, never changed, and only one may have the say."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from blocks.errors import StorageUnavailable
from blocks.storage.journal import Entry, Journal, Outcome, Standing, Step, now
from blocks.storage.layout import journal_key, open_key, read_open_key
from blocks.storage.local import LocalStore

JOB = "ab" * 32


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


@pytest.fixture
def journal(store: LocalStore) -> Journal:
    return Journal(store)


async def intend(journal: Journal, before: Entry | None = None, seconds: float = 60) -> Entry:
    entry = await journal.append(
        JOB, before, Step.INTENT, claim="c1", attempt=1, expires_at=now() + timedelta(seconds=seconds)
    )
    assert entry
    return entry


async def test_a_job_nobody_asked_for_has_no_entry(journal: Journal) -> None:
    assert await journal.last(JOB) is None


async def test_only_one_of_many_racing_writers_gets_a_number(store: LocalStore) -> None:
    writers = [Journal(store).append(JOB, None, Step.INTENT, claim=f"c{number}") for number in range(20)]
    written = [entry for entry in await asyncio.gather(*writers) if entry]
    assert len(written) == 1
    assert await Journal(store).last(JOB) == written[0]


async def test_an_entry_carries_on_what_was_known_and_forgets_the_old_outcome(journal: Journal) -> None:
    intent = await intend(journal)
    doubt = await journal.append(JOB, intent, Step.UNDECIDED, outcome=Outcome(message="lost"))
    bought = await journal.append(JOB, doubt, Step.SUBMITTED, kling_task_id="88")
    assert bought
    assert (bought.number, bought.claim, bought.attempt) == (3, "c1", 1)
    assert bought.outcome == Outcome()
    assert await journal.last(JOB, after=intent) == bought


async def test_an_abandoned_intent_becomes_a_doubt_and_never_free(journal: Journal) -> None:
    intent = await intend(journal, seconds=60)
    assert intent.standing(now()) is Standing.BUSY
    assert intent.standing(now() + timedelta(seconds=61)) is Standing.DOUBTFUL
    assert intent.standing(now() + timedelta(days=10_000)) is Standing.DOUBTFUL


@pytest.mark.parametrize(
    ("step", "standing"),
    [
        (Step.DEFERRED, Standing.FREE),
        (Step.REFUSED, Standing.FREE),
        (Step.RELEASED, Standing.FREE),
        (Step.SUBMITTED, Standing.BOUGHT),
        (Step.UNDECIDED, Standing.DOUBTFUL),
        (Step.FAILED, Standing.CLOSED),
        (Step.GIVEN_UP, Standing.CLOSED),
    ],
)
async def test_each_step_has_its_standing(journal: Journal, step: Step, standing: Standing) -> None:
    entry = await journal.append(JOB, await intend(journal), step)
    assert entry
    assert entry.standing(now()) is standing


async def test_a_failure_that_waiting_cures_may_be_bought_again(journal: Journal) -> None:
    entry = await journal.append(JOB, await intend(journal), Step.FAILED, outcome=Outcome(curable=True))
    assert entry
    assert entry.standing(now()) is Standing.FREE


async def test_an_intent_is_announced_before_it_is_written(journal: Journal, store: LocalStore) -> None:
    intent = await intend(journal)
    assert [mark[:2] async for mark in journal.open_marks()] == [(JOB, intent.number)]
    lost_race = await journal.append(JOB, None, Step.INTENT, claim="c2")
    assert lost_race is None


async def test_closing_removes_the_marks_up_to_an_entry_and_no_later_one(journal: Journal) -> None:
    first = await intend(journal)
    released = await journal.append(JOB, first, Step.RELEASED)
    assert released
    second = await intend(journal, released)
    await journal.close(JOB, first.number)
    assert [mark[:2] async for mark in journal.open_marks()] == [(JOB, second.number)]


async def test_closing_a_long_journal_removes_its_marks_alone(journal: Journal, store: LocalStore) -> None:
    wanted = [open_key(JOB, number) for number in (1, 3, 6, 9)]
    for key in (*wanted, open_key("cd" * 32, 6)):
        await store.replace(key, b"")
    await journal.close(JOB, 6)
    assert [mark[:2] async for mark in journal.open_marks()] == [(JOB, 9), ("cd" * 32, 6)]


async def test_an_unreadable_entry_stops_everything(journal: Journal, store: LocalStore) -> None:
    """Guessing what a damaged journal said could buy a video twice."""
    await store.create(journal_key(JOB, 1), b'{"step": "intent"')
    with pytest.raises(StorageUnavailable, match=r"0001\.json cannot be read"):
        await journal.last(JOB)


@pytest.mark.parametrize("hostile", ["", "../" * 20, "A" * 64, "ab" * 31, f"{JOB}/x", f"{JOB}\n"])
def test_only_job_ids_become_keys(hostile: str) -> None:
    with pytest.raises(ValueError, match="not a job id"):
        open_key(hostile, 1)


def test_open_keys_are_read_back_and_foreign_keys_ignored() -> None:
    assert read_open_key(open_key(JOB, 12)) == (JOB, 12)
    assert read_open_key("open/readme.txt") is None
