"""Buffers are used again, and never while something may still read them."""

from __future__ import annotations

from blocks.storage.s3.part import Buffers


def test_takes_what_there_is_room_for() -> None:
    part = Buffers().lend(4)
    assert bytes(part.take(memoryview(b"ab"))) == b""
    assert bytes(part.take(memoryview(b"cdef"))) == b"ef"
    assert part.is_full
    assert bytes(part.body().read()) == b"abcd"


def test_sends_what_was_gathered_and_nothing_of_an_earlier_part() -> None:
    buffers = Buffers()
    other, first = buffers.lend(4), buffers.lend(4)
    first.take(memoryview(b"abcd"))
    buffers.take_back(first)
    second = buffers.lend(4)
    assert second.buffer is first.buffer
    second.take(memoryview(b"x"))
    assert bytes(second.body().read()) == b"x"
    assert other.size == 0


def test_a_buffer_that_may_still_be_read_is_not_lent_again() -> None:
    buffers = Buffers()
    buffers.lend(4)
    part = buffers.lend(4)
    cut, late = part.body(), part.body()
    part.arrived()
    buffers.take_back(part)
    assert buffers.lend(4).buffer is not part.buffer
    assert len(cut) == len(late) == 0


def test_no_memory_is_kept_when_nothing_is_written() -> None:
    buffers = Buffers()
    part = buffers.lend(4)
    buffers.take_back(part)
    assert buffers.lend(4).buffer is not part.buffer


def test_a_part_of_another_size_gets_a_buffer_of_its_own() -> None:
    buffers = Buffers()
    buffers.lend(4)
    buffers.take_back(buffers.lend(4))
    assert len(buffers.lend(8).buffer) == 8
