"""Many pieces of work side by side in one event loop, a bounded number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


async def side_by_side(
    work: Callable[[Item], Awaitable[Answer]],
    items: Sequence[Item],
    at_once: int,
    spread_seconds: float = 0.0,
) -> list[Answer]:
    """Do `work` for each item, at most `at_once` at a time, and return the answers in the order of the items.

    What waits for its turn costs no memory. A cancellation reaches what is under way and is raised when all
    of it has come to its end, so that nothing is torn off its connections.

    Args:
        work: What is done; when it raises, the others are cancelled and the error is raised.
        items: What it is done for.
        at_once: How many are under way at most.
        spread_seconds: Pause between the first starts, because a burst of task runs loses events.
    """
    answers: dict[int, Answer] = {}
    waiting = iter(enumerate(items))

    async def take_turns(first_pause: float) -> None:
        await asyncio.sleep(first_pause)
        for index, item in waiting:
            answers[index] = await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(min(at_once, len(items))):
                group.create_task(take_turns(number * spread_seconds))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [answers[index] for index in range(len(items))]
