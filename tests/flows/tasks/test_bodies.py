"""Request bodies: bounded by what they take, not by their number; inputs are encoded once."""

from __future__ import annotations

import asyncio

import pytest

from flows.tasks.bodies import Bodies

MIB = 1024 * 1024


@pytest.mark.parametrize(("size", "at_once"), [(100_000, 16), (20 * MIB, 4), (60 * MIB, 1), (500 * MIB, 1)])
async def test_as_many_bodies_exist_at_once_as_there_is_room_for(size: int, at_once: int) -> None:
    bodies, inside, most = Bodies(), 0, 0

    async def post() -> None:
        nonlocal inside, most
        async with bodies.room(size):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(post() for _ in range(200)))
    assert most == at_once


async def test_who_is_cancelled_while_waiting_gives_all_of_its_room_back() -> None:
    bodies = Bodies()
    async with bodies.room(60 * MIB):
        waiting = asyncio.create_task(bodies.room(40 * MIB).__aenter__())
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(1), bodies.room(80 * MIB):
        pass


def test_what_is_kept_of_inputs_is_bounded_and_what_is_used_stays() -> None:
    bodies = Bodies()
    bodies.keep("a", "a" * 12 * MIB)
    bodies.keep("b", "b" * 12 * MIB)
    assert bodies.encoded("a")
    bodies.keep("c", "c" * 12 * MIB)
    assert bodies.encoded("a")
    assert bodies.encoded("b") is None
    bodies.keep("too long", "d" * 33 * MIB)
    assert bodies.encoded("too long") is None
