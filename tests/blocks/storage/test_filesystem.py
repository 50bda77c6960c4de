"""Other places behind fsspec drivers, and drivers that cannot do what is needed."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
import traceback
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from blocks.errors import NoExclusiveCreate, SetupMissing, StorageUnavailable
from blocks.storage import filesystem
from blocks.storage.filesystem import FilesystemStore

KEY = "clips/a.mp4"


@pytest.fixture
def memory() -> FilesystemStore:
    return FilesystemStore(f"memory://{uuid4().hex}")


@pytest.fixture
def other(tmp_path: Path) -> FilesystemStore:
    return FilesystemStore((tmp_path / "other").as_uri(), single_worker=True)


async def keys(store: FilesystemStore) -> list[str]:
    return [found.key async for found in store.find("")]


def files(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]


async def test_a_driver_that_is_not_known_to_create_exclusively_is_refused(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path.as_uri())
    with pytest.raises(NoExclusiveCreate, match="only if it is absent"):
        await store.create("journal/a", b"x")
    assert await keys(store) == []


async def test_a_driver_that_ignores_the_condition_is_found_out(
    memory: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_pipe = MemoryFileSystem.pipe_file

    def ignore_mode(self: Any, path: str, value: bytes, mode: str = "overwrite") -> None:
        really_pipe(self, path, value)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", ignore_mode)
    with pytest.raises(NoExclusiveCreate):
        await memory.create("journal/a", b"x")


async def test_two_stores_of_one_process_share_the_memory_and_its_guard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    really_exists = MemoryFileSystem.exists

    def exists_slowly(self: Any, path: str, **given: Any) -> bool:
        found = bool(really_exists(self, path, **given))
        time.sleep(0.005)
        return found

    monkeypatch.setattr(MemoryFileSystem, "exists", exists_slowly)
    url = f"memory://{uuid4().hex}"
    stores = [FilesystemStore(url) for _ in range(16)]
    won = await asyncio.gather(
        *(store.create("journal/a", b"%d" % number) for number, store in enumerate(stores))
    )
    assert sum(won) == 1
    assert await stores[0].read("journal/a") == b"%d" % won.index(True)


@pytest.mark.parametrize("url", ["nonsense://a", "sftp-not-there://a", "gdrive://a/b"])
def test_a_driver_that_is_not_there_is_a_matter_of_set_up(url: str) -> None:
    with pytest.raises(SetupMissing, match="Install the fsspec driver"):
        FilesystemStore(url)


async def test_what_a_driver_says_is_not_repeated(
    memory: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> bytes:
        raise ArithmeticError("sig=hush")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", fail)
    with pytest.raises(StorageUnavailable, match="ArithmeticError") as caught:
        await memory.read("journal/a")
    assert "hush" not in "".join(traceback.format_exception(caught.value))


async def test_a_driver_that_hangs_does_not_hold_us_for_ever(
    memory: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(MemoryFileSystem, "cat_file", lambda *_, **__: ended.wait())
    monkeypatch.setattr(filesystem, "_CALL_SECONDS", 0.05)
    with pytest.raises(StorageUnavailable, match="TimeoutError"):
        await memory.read("journal/a")
    ended.set()


async def test_a_driver_is_made_on_first_use_and_its_failure_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "hush")

    store = FilesystemStore(f"memory://{uuid4().hex}")
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "__init__", refuse)
        with pytest.raises(StorageUnavailable, match="Connection refused"):
            await store.read("journal/a")
    assert await store.read("journal/a") is None


async def test_a_driver_that_loses_bytes_is_found_out(
    memory: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryFile, "write", lambda _, data: len(data))
    async with memory.writer(KEY) as writer:
        await writer.write(b"12345")
        with pytest.raises(StorageUnavailable, match="kept 0 of 5 bytes"):
            await writer.publish()
    assert await keys(memory) == []


async def test_a_write_that_failed_cannot_be_published(
    other: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_open = LocalFileSystem.open

    def open_nothing(self: Any, path: str, mode: str = "rb", **given: Any) -> Any:
        return really_open(self, "/dev/full" if mode == "wb" else path, mode, **given)

    monkeypatch.setattr(LocalFileSystem, "open", open_nothing)
    async with other.writer(KEY) as writer:
        with pytest.raises(StorageUnavailable, match="No space left"):
            await writer.write(bytes(2**21))
        with pytest.raises(RuntimeError, match="not whole"):
            await writer.publish()
    assert await keys(other) == []


async def test_a_cancellation_leaves_nothing_half(other: FilesystemStore, tmp_path: Path) -> None:
    async def publish() -> None:
        async with other.writer(KEY) as writer:
            for _ in range(3):
                await writer.write(bytes(2**20))
            await writer.publish()

    for steps in range(20):
        task = asyncio.create_task(publish())
        for _ in range(steps):
            await asyncio.sleep(0.0005)
        task.cancel()
        await asyncio.wait({task})
        assert files(tmp_path / "other") in ([], [KEY])
        await other.delete(KEY)
    await publish()
    assert await other.size(KEY) == 3 * 2**20


async def test_work_that_has_begun_is_finished_before_a_cancellation_goes_on(
    other: FilesystemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_open = LocalFileSystem.open
    reached, go, opened = threading.Event(), threading.Event(), threading.Event()

    def open_late(self: Any, path: str, mode: str = "rb", **given: Any) -> Any:
        reached.set()
        go.wait(10)
        file = really_open(self, path, mode, **given)
        opened.set()
        return file

    async def write() -> None:
        async with other.writer(KEY) as writer:
            await writer.write(bytes(2**20))

    monkeypatch.setattr(LocalFileSystem, "open", open_late)
    task = asyncio.create_task(write())
    await asyncio.to_thread(reached.wait, 10)
    task.cancel()
    asyncio.get_running_loop().call_later(0.1, go.set)
    await asyncio.wait({task})
    assert await asyncio.to_thread(opened.wait, 10)
    assert files(tmp_path) == []


async def test_the_sweep_removes_unfinished_objects_that_are_old(
    other: FilesystemStore, tmp_path: Path
) -> None:
    await other.replace(KEY, b"x")
    for name, age in (("old", 7200), ("new", 10)):
        part = tmp_path / f"other/parts/{name}.part"
        part.parent.mkdir(exist_ok=True)
        part.touch()
        os.utime(part, (0, time.time() - age))
    assert await other.sweep(3600) == ["parts/old.part"]
    assert (tmp_path / "other/parts/new.part").exists()
    assert await keys(other) == [KEY]


async def test_an_object_that_changes_while_it_is_read_is_an_error(memory: FilesystemStore) -> None:
    await memory.replace(KEY, bytes(9 * 2**20))
    pieces = memory.chunks(KEY)
    assert len(await anext(pieces)) == 2**20
    await memory.replace(KEY, b"short")
    with pytest.raises(StorageUnavailable, match="changed"):
        [piece async for piece in pieces]


async def test_characters_that_drivers_expand_are_refused(memory: FilesystemStore) -> None:
    for key in ("clips/*", "clips/a?", "clips/[a]"):
        with pytest.raises(ValueError, match="pattern"):
            await memory.replace(key, b"x")


async def test_the_link_is_the_url_where_nothing_can_be_signed(memory: FilesystemStore) -> None:
    assert await memory.link(KEY, 60) == f"{memory.url}/{KEY}"


async def test_secrets_in_the_url_are_not_shown(tmp_path: Path) -> None:
    store = FilesystemStore("memory://user:hush@host/archive?sig=hush")
    assert store.url == "memory://host/archive"
    assert "hush" not in await store.link(KEY, 60)
