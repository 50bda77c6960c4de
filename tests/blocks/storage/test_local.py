"""A folder as a store: links, full disks, dying processes."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from blocks.errors import StorageUnavailable
from blocks.storage.local import LocalStore
from tests.blocks.storage.endless import kill_while_writing
from tests.blocks.storage.racer import race

MEBIBYTE = 2**20
KEY = "clips/a.mp4"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root)


@pytest.fixture
def no_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel answers for file systems without hard links."""

    def link(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)


@pytest.fixture
def small_files_only() -> Iterator[None]:
    """Let no file of this process grow above 64 KiB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


async def keys(store: LocalStore, prefix: str = "") -> list[str]:
    return [found.key async for found in store.find(prefix)]


def test_exactly_one_of_16_racing_processes_wins(root: Path) -> None:
    won = race(str(root), "journal/a.json", 16, 1)
    assert sum(won) == 1
    assert (root / "journal/a.json").read_bytes() == b"creator %d" % won.index(True)
    assert files(root) == ["journal/a.json"]


async def test_without_hard_links_exactly_one_still_wins(
    store: LocalStore, root: Path, no_hard_links: None
) -> None:
    won = await asyncio.gather(*(store.create("journal/a", b"%d" % number) for number in range(16)))
    assert sum(won) == 1
    assert await store.read("journal/a") == b"%d" % won.index(True)
    async with store.writer(KEY) as first, store.writer(KEY) as second:
        await first.write(b"first")
        assert await first.publish()
        assert not await second.publish()
    assert await store.read(KEY) == b"first"
    assert files(root) == ["clips/a.mp4", "journal/a"]


async def test_a_link_that_was_made_though_the_answer_was_lost_is_recognised(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_link = os.link

    def link_and_lose_the_answer(part: Path, path: Path) -> None:
        really_link(part, path)
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(os, "link", link_and_lose_the_answer)
    assert await store.create("journal/a", b"mine")
    async with store.writer(KEY) as writer:
        assert await writer.publish()


async def test_contents_and_names_are_on_the_disk_before_anybody_is_told(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    really_sync = os.fsync

    def sync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append("part" if path.suffix == ".part" else str(path.relative_to(root.parent)))
        really_sync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    await store.create("journal/a", b"x")
    assert synced == [".", "archive", "part", "archive", "archive/journal"]
    synced.clear()
    async with store.writer("journal/b") as writer:
        await writer.publish()
    assert synced == ["part", "archive/journal"]
    synced.clear()
    await store.replace("journal/b", b"x")
    assert synced == ["part", "archive/journal"]
    synced.clear()
    await store.delete("journal/b")
    assert synced == ["archive/journal"]


def links_to_outside(root: Path, tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    root.mkdir()
    (root / "folder").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    (root / "loop").symlink_to(root / "loop")
    return outside


async def test_nothing_outside_of_the_folder_is_reached_through_symbolic_links(
    store: LocalStore, root: Path, tmp_path: Path
) -> None:
    outside = links_to_outside(root, tmp_path)
    for key in ("folder/secret", "folder/new", "file"):
        for attempt in (
            store.read(key),
            store.replace(key, b"x"),
            store.create(key, b"x"),
            store.delete(key),
        ):
            with pytest.raises(ValueError, match="symbolic link"):
                await attempt
    assert files(outside) == ["secret"]
    assert await keys(store) == []
    with pytest.raises(StorageUnavailable):
        await store.read("loop")


async def test_the_archive_itself_may_be_a_symbolic_link(root: Path, tmp_path: Path) -> None:
    await LocalStore(root).replace("open/a", b"")
    (tmp_path / "link").symlink_to(root)
    store = LocalStore(tmp_path / "link")
    assert await store.create("journal/a", b"x")
    assert await keys(store) == ["journal/a", "open/a"]


async def test_files_with_names_that_are_no_keys_are_not_listed(store: LocalStore, root: Path) -> None:
    await store.replace("open/a", b"")
    for name in (b"new\nline", b"back\\slash", b"\xff\xfe"):
        os.close(os.open(bytes(root / "open") + b"/" + name, os.O_CREAT))
    assert await keys(store) == ["open/a"]


async def test_long_listings_come_whole_and_in_order(store: LocalStore, root: Path) -> None:
    (root / "open").mkdir(parents=True)
    for number in range(1201):
        (root / f"open/{number:04}").touch()
    assert await keys(store, "open/") == [f"open/{number:04}" for number in range(1201)]


async def test_a_listing_survives_files_that_vanish_meanwhile(store: LocalStore, root: Path) -> None:
    (root / "open").mkdir(parents=True)
    for number in range(600):
        (root / f"open/{number:04}").touch()
    listing = store.find("open/")
    first = await anext(listing)
    for number in range(550, 600):
        await store.delete(f"open/{number:04}")
    rest = [found.key async for found in listing]
    assert [first.key, *rest] == [f"open/{number:04}" for number in range(550)]


async def test_a_full_disk_is_reported_and_leaves_nothing(
    store: LocalStore, root: Path, small_files_only: None
) -> None:
    with pytest.raises(StorageUnavailable, match=r"File too large \(EFBIG\).*space left"):
        await store.create("journal/a", bytes(2**17))
    with pytest.raises(StorageUnavailable, match="EFBIG"):
        await store.replace("journal/a", bytes(2**17))
    async with store.writer(KEY) as writer:
        with pytest.raises(StorageUnavailable, match="EFBIG"):
            await writer.write(bytes(2 * MEBIBYTE))
        with pytest.raises(RuntimeError, match="not whole"):
            await writer.publish()
    assert files(root) == []


@pytest.mark.parametrize("place", ["/proc/archive", "file/archive", "file"])
async def test_a_place_that_cannot_be_written_is_reported(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    store = LocalStore(tmp_path / place)
    with pytest.raises(StorageUnavailable, match=r"\(E[A-Z]+\).*writable"):
        await store.create("journal/a", b"x")
    with pytest.raises(StorageUnavailable):
        await store.replace("journal/a", b"x")
    with pytest.raises(StorageUnavailable):
        await _publish(store, b"x")


async def _publish(store: LocalStore, data: bytes) -> None:
    async with store.writer(KEY) as writer:
        for start in range(0, len(data), MEBIBYTE // 2):
            await writer.write(data[start : start + MEBIBYTE // 2])
        await writer.publish()


async def test_a_cancellation_at_any_moment_leaves_nothing_half(store: LocalStore, root: Path) -> None:
    data = bytes(3 * MEBIBYTE)
    published = 0
    for steps in range(40):
        task = asyncio.create_task(_publish(store, data))
        for _ in range(steps):
            await asyncio.sleep(0.0005)
        task.cancel()
        await asyncio.wait({task})
        assert files(root) in ([], [KEY])
        if files(root):
            published += 1
            assert (root / KEY).stat().st_size == len(data)
            await store.delete(KEY)
    await _publish(store, data)
    assert files(root) == [KEY]


async def test_a_killed_process_leaves_an_invisible_part_and_the_sweep_removes_it(
    store: LocalStore, root: Path
) -> None:
    await asyncio.to_thread(kill_while_writing, str(root), KEY, 12)
    assert await keys(store) == []
    (left,) = files(root)
    assert await store.sweep(3600) == []
    assert await store.sweep(-60) == [left]
    assert files(root) == []
    await _publish(store, b"x")


async def test_the_sweep_spares_what_is_being_written(store: LocalStore, root: Path) -> None:
    async with store.writer(KEY) as writer:
        await writer.write(bytes(MEBIBYTE))
        (part,) = files(root)
        os.utime(root / part, (0, time.time() - 100))
        assert await store.sweep(3600) == []
        await writer.write(bytes(MEBIBYTE))
        assert await store.sweep(60) == []
        assert await writer.publish()


async def test_the_link_opens_the_file(store: LocalStore, root: Path) -> None:
    await store.replace("clips/a b.mp4", b"x")
    assert await store.link("clips/a b.mp4", 60) == f"{root.as_uri()}/clips/a%20b.mp4"
    assert store.url == root.as_uri()
