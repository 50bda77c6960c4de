from __future__ import annotations

import pytest

from blocks.media.readers.packets import Lengths


@pytest.mark.parametrize(
    ("packets", "total"),
    [
        ([(0, 10), (10, 10), (20, 5)], 25),
        ([(None, 10), (None, 10)], 20),
        ([(0, 0), (10, 10), (20, 10), (30, 4)], 34),
        ([(0, 10), (10, None), (20, 10), (30, -7)], 40),
        ([(-10, 0), (0, 0), (10, 0), (20, 0)], 40),
        ([(5, 0)], 0),
        ([(None, 0), (None, None)], 0),
        ([], 0),
    ],
    ids=[
        "told",
        "without starts",
        "one missing",
        "several missing",
        "all missing",
        "one",
        "nothing told",
        "none",
    ],
)
def test_lengths_are_added_up_as_far_as_they_are_told(
    packets: list[tuple[int | None, int | None]], total: int
) -> None:
    lengths = Lengths()
    for start, length in packets:
        lengths.add(start, length)

    assert lengths.total() == total
