from __future__ import annotations

import asyncio

import pytest

from flows.tasks.side_by_side import side_by_side


async def test_never_more_at_once_than_asked_for_and_answers_in_order() -> None:
    running: set[int] = set()
    most = 0

    async def work(number: int) -> int:
        nonlocal most
        running.add(number)
        most = max(most, len(running))
        await asyncio.sleep(0)
        running.remove(number)
        return number * number

    assert await side_by_side(work, range(50), 4) == [number * number for number in range(50)]
    assert most == 4


async def test_what_waits_is_no_task() -> None:
    before = len(asyncio.all_tasks())
    seen = []

    async def work(number: int) -> None:
        seen.append(len(asyncio.all_tasks()) - before)

    await side_by_side(work, range(1000), 3)
    assert max(seen) <= 3


async def test_a_cancellation_waits_until_all_of_it_has_ended() -> None:
    """A POST that is under way is finished before its connections are closed."""
    started, ended = [], []

    async def work(number: int) -> None:
        started.append(number)
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(number * 10):
                await asyncio.sleep(0)
            ended.append(number)

    running = asyncio.create_task(side_by_side(work, range(1, 9), 3))
    while len(started) < 3:
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(started) == sorted(ended) == [1, 2, 3]


async def test_an_error_is_raised_as_it_is() -> None:
    async def work(number: int) -> None:
        raise KeyError(number)

    with pytest.raises(KeyError):
        await side_by_side(work, [1, 2], 1)
