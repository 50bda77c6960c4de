from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.media.boxes import MAXIMUM_BOXES, BoxWalker
from tests.blocks.media import samples


def box(kind: bytes, payload: bytes = b"", *, long: bool = False) -> bytes:
    if long:
        return b"\0\0\0\1" + kind + (16 + len(payload)).to_bytes(8, "big") + payload
    return (8 + len(payload)).to_bytes(4, "big") + kind + payload


def walked(*chunks: bytes, kept_bytes: int = 1000, media_bytes: int = 10) -> BoxWalker:
    walker = BoxWalker(kept_bytes, media_bytes)
    for chunk in chunks:
        walker.feed(chunk)
    return walker


FILE = (
    box(b"ftyp", b"isom")
    + box(b"free", b"padding")
    + box(b"mdat", b"m" * 50, long=True)
    + box(b"moov", b"index")
)


def test_everything_but_padding_and_media_data_is_kept_at_its_place() -> None:
    walker = walked(FILE)

    assert walker.problem() is None
    assert walker.size == len(FILE)
    assert walker.kinds == {b"ftyp", b"free", b"mdat", b"moov"}
    rebuilt = bytearray(len(FILE))
    for offset, data in walker.pieces:
        rebuilt[offset : offset + len(data)] = data
    assert bytes(rebuilt) == FILE.replace(b"padding", bytes(7)).replace(b"m" * 50, b"m" * 10 + bytes(40))


@given(cuts=st.lists(st.integers(0, len(FILE))), media_bytes=st.integers(0, 60))
def test_the_chunking_makes_no_difference(cuts: list[int], media_bytes: int) -> None:
    at_once = walked(FILE, media_bytes=media_bytes)
    edges = [0, *sorted(cuts), len(FILE)]
    in_chunks = walked(*(FILE[a:b] for a, b in itertools.pairwise(edges)), media_bytes=media_bytes)

    assert in_chunks.pieces == at_once.pieces
    assert (in_chunks.size, in_chunks.kinds, in_chunks.problem()) == (
        at_once.size,
        at_once.kinds,
        at_once.problem(),
    )


@given(end=st.integers(1, len(FILE) - 1))
def test_a_file_that_ends_inside_a_box_is_cut_off(end: int) -> None:
    whole_ends = {12, 27, 93}
    problem = walked(FILE[:end]).problem()

    assert (problem is None) == (end in whole_ends)
    assert problem is None or "cut off" in problem


@settings(max_examples=300)
@given(data=st.binary(max_size=400))
def test_anything_at_all_can_be_walked_within_bounds(data: bytes) -> None:
    walker = walked(data, kept_bytes=50)

    assert walker.size == len(data)
    assert sum(len(piece) for _, piece in walker.pieces) <= 50


def test_what_is_missing_is_counted() -> None:
    assert walked(FILE[:-2]).problem() == "is cut off: 2 bytes of its 'moov' box are missing"


def test_a_box_of_length_zero_goes_to_the_end() -> None:
    walker = walked(box(b"ftyp", b"isom"), b"\0\0\0\0mdat", b"x" * 5000)

    assert walker.problem() is None
    assert walker.size == 12 + 8 + 5000
    assert sum(len(piece) for _, piece in walker.pieces) == 12 + 8 + 10


@pytest.mark.parametrize(
    "head",
    [b"\0\0\0\7mdat", b"\0\0\0\2mdat", b"\0\0\0\1mdat" + (15).to_bytes(8, "big")],
    ids=["7", "2", "long 15"],
)
def test_a_box_shorter_than_its_own_head_is_impossible(head: bytes) -> None:
    assert walked(head, b"more").problem() == "has a 'mdat' box of impossible length"


def test_an_index_beyond_the_limit_is_not_kept() -> None:
    walker = walked(box(b"ftyp"), box(b"moov", b"i" * 2000))

    assert walker.problem() == "has an index larger than can be checked"
    assert walker.size == 8 + 2008


def test_the_limit_of_the_index_counts_all_boxes_together() -> None:
    assert walked(box(b"moof", b"i" * 492), box(b"moof", b"i" * 492)).problem() is None
    assert walked(box(b"moof", b"i" * 492), box(b"moof", b"i" * 493)).problem() is not None


def test_too_many_boxes_are_refused() -> None:
    walker = BoxWalker()
    walker.feed(box(b"free", b"x") * MAXIMUM_BOXES)
    assert walker.problem() is None

    walker.feed(box(b"free"))
    assert walker.problem() == f"has more than {MAXIMUM_BOXES} boxes"


def test_only_the_first_media_data_is_kept_of_several_pieces() -> None:
    walker = walked(box(b"mdat", b"a" * 7), box(b"mdat", b"b" * 7), box(b"mdat", b"c" * 7))

    kept = b"".join(bytes(data) for _, data in walker.pieces)
    assert (kept.count(b"a"), kept.count(b"b"), kept.count(b"c")) == (7 + 3, 3, 0)  # "mdat" has an a


@pytest.mark.parametrize("layout", samples.MP4_LAYOUTS)
def test_a_real_video_is_a_whole_sequence_of_boxes(layout: str) -> None:
    data = samples.clip(layout)

    assert walked(data, kept_bytes=100_000).problem() is None
    assert walked(data[:-1], kept_bytes=100_000).problem() is not None
