from __future__ import annotations

import os
import time
from pathlib import Path

import fsspec
import pytest

from blocks.errors import InvalidRequest
from flows.tasks.inbox.listing import list_files
from flows.tasks.inbox.looking import look, still_same


def put(inbox: Path, *names: str, data: bytes = b"data", age: float = 600.0) -> None:
    for name in names:
        path = inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (time.time() - age, time.time() - age))


async def test_what_was_written_a_moment_ago_waits(tmp_path: Path) -> None:
    put(tmp_path, "kim.png", "kim.mp3", "ann.png", "ann.mp3")
    put(tmp_path, "ann.mp3", age=0)
    sight = await look(str(tmp_path), 60)
    assert [piece.name for piece in sight.ready] == ["kim"]
    assert [(each.piece, each.state, each.is_news) for each in sight.waiting] == [("ann", "waiting", False)]


@pytest.mark.parametrize("change", ["grows", "is written anew", "gets a prompt", "goes"])
async def test_what_changes_between_two_looks_waits(tmp_path: Path, change: str) -> None:
    put(tmp_path, "kim.png", "kim.mp3", "ann.png", "ann.mp3")
    sight = await look(str(tmp_path), 60)
    match change:
        case "grows":
            put(tmp_path, "ann.mp3", data=b"data and more")
        case "is written anew":
            put(tmp_path, "ann.mp3", age=700)
        case "gets a prompt":
            put(tmp_path, "ann.txt")
        case _:
            (tmp_path / "ann.mp3").unlink()
    assert [piece.name for piece in await still_same(sight.ready, sight, str(tmp_path), 0)] == ["kim"]


async def test_a_manifest_that_comes_between_two_looks_stops_everything(tmp_path: Path) -> None:
    put(tmp_path, "kim.png", "kim.mp3")
    sight = await look(str(tmp_path), 60)
    put(tmp_path, "m.csv")
    assert await still_same(sight.ready, sight, str(tmp_path), 0) == []


async def test_files_wait_for_a_manifest_that_is_being_written(tmp_path: Path) -> None:
    """It may ask for them with another prompt; bought twice is bought once too often."""
    put(tmp_path, "x/kim.png", "x/kim.mp3", "ann.png", "ann.mp3")
    put(tmp_path, "x/m.csv", age=0)
    sight = await look(str(tmp_path), 60)
    assert [piece.name for piece in sight.ready] == ["ann"]
    assert [each.piece for each in sight.waiting] == ["x/kim", "x/m.csv"]


async def test_files_that_a_manifest_names_belong_to_it(tmp_path: Path) -> None:
    put(tmp_path, "x/kim.png", "x/kim.mp3", "x/ann.png", "x/ann.mp3")
    put(tmp_path, "m.csv", data=b"image,audio,unknown\nx/kim.png,x/kim.mp3\n")
    assert [piece.name for piece in (await look(str(tmp_path), 60)).ready] == ["m.csv", "x/ann"]


async def test_lonely_files_wait(tmp_path: Path) -> None:
    put(tmp_path, "kim.png", ".hidden.png", ".hidden.mp3", ".new/ann.png", ".new/ann.mp3")
    sight = await look(str(tmp_path), 60)
    assert sight.ready == []
    assert [(each.piece, each.message) for each in sight.waiting] == [
        ("kim", "no voice clip (.mp3, .wav, .m4a, .aac)")
    ]


async def test_a_bucket_is_listed_like_a_folder(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for key in ("parts/kim.png", "kim.mp3", "x/.part"):
        memory.pipe_file(f"/listed/inbox/{key}", b"data")
    found = await list_files("memory://listed/inbox")
    assert [(file.key, file.address, file.size) for file in found] == [
        ("kim.mp3", "memory://listed/inbox/kim.mp3", 4),
        ("parts/kim.png", "memory://listed/inbox/parts/kim.png", 4),
    ]
    assert all(file.modified > 0 for file in found)


async def test_an_inbox_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no folder"):
        await list_files(str(tmp_path / "inbxo"))
