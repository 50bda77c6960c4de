from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from flows.tasks import pace
from flows.tasks.pace import Pace


async def test_turns_are_evenly_spread_in_the_order_of_coming(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    clock = SimpleNamespace(monotonic=lambda: 100.0)
    monkeypatch.setattr(pace, "time", clock)
    monkeypatch.setattr(pace, "asyncio", SimpleNamespace(sleep=sleep))
    looks = Pace(per_second=10)
    await asyncio.gather(*(looks.turn() for _ in range(4)))
    assert slept == pytest.approx([0.1, 0.2, 0.3])
    clock.monotonic = lambda: 200.0
    await looks.turn()
    assert len(slept) == 3
