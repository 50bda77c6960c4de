from __future__ import annotations

import asyncio

import pytest

from flows.tasks.once import Once


async def test_work_is_done_once_for_all_who_ask_at_the_same_time_and_later() -> None:
    known: Once[int] = Once()
    done: list[int] = []

    async def work() -> int:
        await asyncio.sleep(0)
        done.append(1)
        return len(done)

    assert await asyncio.gather(*(known.get("a", work()) for _ in range(5))) == [1] * 5
    assert await known.get("a", work()) == 1
    assert await known.get("b", work()) == 2


async def test_what_fails_is_tried_again() -> None:
    known: Once[str] = Once()

    async def fail() -> str:
        raise OSError("away")

    async def work() -> str:
        return "here"

    for _ in range(2):
        with pytest.raises(OSError, match="away"):
            await known.get("a", fail())
    assert await known.get("a", work()) == "here"


async def test_who_is_cancelled_takes_nothing_away_from_the_others() -> None:
    known: Once[str] = Once()
    go = asyncio.Event()

    async def work() -> str:
        await go.wait()
        return "here"

    first, second = (asyncio.create_task(known.get("a", work())) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    go.set()
    assert await second == "here"
    with pytest.raises(asyncio.CancelledError):
        await first
