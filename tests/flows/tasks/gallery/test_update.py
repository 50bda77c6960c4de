"""The gallery shows what the archive holds, reads only what is news, and is whole whatever runs beside it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from blocks.errors import SetupMissing
from blocks.storage.archive import Archive
from blocks.storage.layout import GALLERY_KEY, clip_key, poster_key, sidecar_key
from blocks.storage.local import LocalStore
from blocks.storage.posters import store_poster
from flows.tasks.gallery import listing, pieces
from flows.tasks.gallery.entry import Entry
from flows.tasks.gallery.page import Facts, facts_in
from flows.tasks.gallery.pieces import read_piece
from flows.tasks.gallery.update import Gallery, bring_up_to_date
from tests.blocks.media import samples
from tests.gallery_shelf import job_of_number, put_clip


class Watched(LocalStore):
    """A folder that remembers what was read and written."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads: list[str] = []
        self.writes: list[str] = []

    async def read(self, key: str) -> bytes | None:
        self.reads.append(key)
        return await super().read(key)

    async def replace(self, key: str, data: bytes) -> None:
        self.writes.append(key)
        await super().replace(key, data)


async def update(store: LocalStore, *, posters: bool = False, link_seconds: int = 0) -> Gallery:
    return await bring_up_to_date(Archive(store), posters=posters, link_seconds=link_seconds, at_once=4)


async def facts_of(root: Path) -> Facts:
    facts = facts_in((root / GALLERY_KEY).read_bytes())
    assert facts
    return facts


async def shown(root: Path) -> list[Entry]:
    """Return the entries that somebody who opens the page sees."""
    facts = await facts_of(root)
    store = LocalStore(root)
    found = [entry for key in facts.pieces for entry in (await read_piece(store, key)).entries]
    assert facts.clips == len(found) == len({entry.id for entry in found})
    return found


async def test_every_finished_clip_is_shown_and_only_news_is_read(tmp_path: Path) -> None:
    first = put_clip(tmp_path, 0, name="Kim", prompt="Nod.")
    put_clip(tmp_path, 1)
    (tmp_path / clip_key("cd" * 32)).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / clip_key("cd" * 32)).write_bytes(b"no sidecar yet")
    gallery = await update(LocalStore(tmp_path))
    assert (gallery.clips, gallery.new, gallery.removed) == (2, 2, 0)
    assert gallery.page == f"{tmp_path.as_uri()}/index.html"
    kim = next(entry for entry in await shown(tmp_path) if entry.id == first)
    assert (kim.name, kim.prompt, kim.seconds, kim.poster) == ("Kim", "Nod.", 2.0, None)

    news = put_clip(tmp_path, 2)
    store = Watched(tmp_path)
    gallery = await update(store)
    assert (gallery.clips, gallery.new) == (3, 1)
    assert [key for key in store.reads if key.startswith("clips/")] == [sidecar_key(news)]

    store = Watched(tmp_path)
    before = (tmp_path / GALLERY_KEY).read_bytes()
    assert (await update(store)).new == 0
    assert [key for key in store.reads if key.startswith("clips/")] == []
    assert (tmp_path / GALLERY_KEY).read_bytes() == before


async def test_what_is_gone_is_not_shown_and_what_changed_is_read_again(tmp_path: Path) -> None:
    for number in range(3):
        put_clip(tmp_path, number)
    await update(LocalStore(tmp_path))
    (tmp_path / clip_key(job_of_number(0))).unlink()
    put_clip(tmp_path, 1, name="restored from a backup")
    gallery = await update(LocalStore(tmp_path))
    assert (gallery.clips, gallery.new, gallery.removed) == (2, 0, 1)
    assert [entry.name for entry in await shown(tmp_path)] == ["restored from a backup", "clip 2"]


async def test_a_sidecar_that_cannot_be_read_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put_clip(tmp_path, 0)
    (tmp_path / sidecar_key(put_clip(tmp_path, 1))).write_text("{")
    assert (await update(LocalStore(tmp_path))).clips == 1
    assert "A clip is left out of the gallery" in caplog.text


async def test_posters_that_are_missing_are_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = put_clip(tmp_path, 0, clip=samples.clip())
    put_clip(tmp_path, 1, clip=b"<html>no picture</html>")
    there = put_clip(tmp_path, 2, poster=b"made by a run")
    assert (await update(LocalStore(tmp_path), posters=True)).posters == 2
    assert (tmp_path / poster_key(good)).read_bytes()[:3] == b"\xff\xd8\xff"
    assert (tmp_path / poster_key(there)).read_bytes() == b"made by a run"
    assert [entry.poster for entry in await shown(tmp_path)] == [True, False, True]

    made: list[str] = []

    async def counted(store: LocalStore, job_id: str) -> bytes:
        made.append(job_id)
        return await store_poster(store, job_id)

    monkeypatch.setattr(listing, "store_poster", counted)
    await update(LocalStore(tmp_path), posters=True)
    assert made == []
    (tmp_path / poster_key(good)).unlink()
    await update(LocalStore(tmp_path), posters=True)
    assert made == [good]


async def test_pieces_are_bounded_and_little_news_writes_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE_ENTRIES", 2)
    for number in (0, 1, 2, 3, 4):
        put_clip(tmp_path, number)
    await update(LocalStore(tmp_path))
    before = (await facts_of(tmp_path)).pieces
    assert len(before) == 3
    put_clip(tmp_path, 5)
    put_clip(tmp_path, 6)
    store = Watched(tmp_path)
    await update(store)
    after = (await facts_of(tmp_path)).pieces
    assert after[:2] == before[:2]
    assert store.writes == [*after[2:], GALLERY_KEY]
    assert [entry.name for entry in await shown(tmp_path)] == [f"clip {number}" for number in range(7)]


async def test_outdated_data_stays_for_a_day_for_those_who_have_the_page_open(tmp_path: Path) -> None:
    put_clip(tmp_path, 0)
    await update(LocalStore(tmp_path))
    (first,) = (await facts_of(tmp_path)).pieces
    put_clip(tmp_path, 1)
    await update(LocalStore(tmp_path))
    put_clip(tmp_path, 2)
    os.utime(tmp_path / first, (time.time() - 23 * 3600,) * 2)
    await update(LocalStore(tmp_path))
    assert (tmp_path / first).exists()
    put_clip(tmp_path, 3)
    os.utime(tmp_path / first, (time.time() - 25 * 3600,) * 2)
    await update(LocalStore(tmp_path))
    assert not (tmp_path / first).exists()
    assert len(await shown(tmp_path)) == 4


class Slow(LocalStore):
    """A folder whose page is written late, so that another run overtakes this one."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.waits, self.goes_on = asyncio.Event(), asyncio.Event()

    async def replace(self, key: str, data: bytes) -> None:
        if key == GALLERY_KEY:
            self.waits.set()
            await self.goes_on.wait()
        await super().replace(key, data)


async def test_two_runs_at_once_leave_one_whole_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The later writer's page counts, even when it has seen less; all its data is there."""
    monkeypatch.setattr(pieces, "PIECE_ENTRIES", 1)
    gone = put_clip(tmp_path, 0)
    await update(LocalStore(tmp_path))
    for path in (tmp_path / "gallery").iterdir():
        os.utime(path, (0, 0))
    put_clip(tmp_path, 1)
    slow = Slow(tmp_path)
    overtaken = asyncio.create_task(update(slow))
    await slow.waits.wait()
    (tmp_path / sidecar_key(gone)).unlink()
    put_clip(tmp_path, 2)
    assert (await update(LocalStore(tmp_path))).clips == 2
    assert [entry.name for entry in await shown(tmp_path)] == ["clip 1", "clip 2"]
    slow.goes_on.set()
    assert (await overtaken).clips == 2
    assert [entry.name for entry in await shown(tmp_path)] == ["clip 0", "clip 1"]
    await update(LocalStore(tmp_path))
    assert [entry.name for entry in await shown(tmp_path)] == ["clip 1", "clip 2"]


@pytest.mark.parametrize("damage", [b"", b"gallery.add([{}]);\n", b"changed", None])
async def test_a_page_whose_data_is_damaged_is_made_anew(tmp_path: Path, damage: bytes | None) -> None:
    put_clip(tmp_path, 0)
    await update(LocalStore(tmp_path))
    (piece,) = (await facts_of(tmp_path)).pieces
    if damage is None:
        (tmp_path / GALLERY_KEY).write_bytes(b"<html>somebody else's page</html>")
    else:
        changed = (tmp_path / piece).read_bytes().replace(b"clip 0", b"another")
        (tmp_path / piece).write_bytes(changed if damage == b"changed" else damage)
    await update(LocalStore(tmp_path))
    assert [entry.name for entry in await shown(tmp_path)] == ["clip 0"]


async def test_what_strangers_wrote_is_data_and_never_part_of_the_page(tmp_path: Path) -> None:
    hostile = '</script><script>stranger("x")</script><!-- \u2028 \u202e {{facts}} `${1}`'
    put_clip(tmp_path, 0, name=hostile, prompt=hostile)
    await update(LocalStore(tmp_path))
    page = (tmp_path / GALLERY_KEY).read_text()
    assert "stranger(" not in page
    (piece,) = (await facts_of(tmp_path)).pieces
    text = (tmp_path / piece).read_text()
    (entry,) = json.loads(text.removeprefix("gallery.add(").removesuffix(");\n"))
    assert (entry["name"], entry["prompt"]) == (hostile, hostile)
    assert "default-src 'none'" in page
    assert "unsafe" not in page
    assert re.findall(r"(?:src|href)=\"(?!#)", page) == [], "nothing outside is asked for"


async def test_a_folder_signs_no_links_and_nothing_is_written(tmp_path: Path) -> None:
    put_clip(tmp_path, 0)
    with pytest.raises(SetupMissing, match="cannot sign links"):
        await update(LocalStore(tmp_path), link_seconds=60)
    assert not (tmp_path / GALLERY_KEY).exists()


class Signing(LocalStore):
    """A folder that signs links as a bucket does."""

    async def link(self, key: str, seconds: int) -> str:
        return f"https://bucket.example.org/{key}?X-Amz-Expires={seconds}&X-Amz-Signature=secret"


async def test_links_are_in_the_page_with_links_and_nowhere_else(tmp_path: Path) -> None:
    hostile = "</script><script>stranger(1)</script>"
    job_id = put_clip(tmp_path, 0, poster=b"jpeg", name=hostile)
    gallery = await update(Signing(tmp_path), link_seconds=600)
    assert gallery.linked_page == f"{tmp_path.as_uri()}/gallery/linked.html"
    page = (tmp_path / "gallery/linked.html").read_bytes()
    assert b"stranger(1)" in page
    assert b"<script>stranger" not in page
    facts = facts_in(page)
    assert facts
    assert facts.expires == gallery.expires
    (entry,) = facts.entries
    for key, link in ((clip_key(job_id), entry.clip), (poster_key(job_id), entry.picture)):
        assert link == f"https://bucket.example.org/{key}?X-Amz-Expires=600&X-Amz-Signature=secret"
    assert b"media-src 'self' file: https://bucket.example.org;" in page
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and b"secret" in path.read_bytes()]
    assert holding == [tmp_path / "gallery/linked.html"]
    await update(Signing(tmp_path))
    assert [entry.clip for entry in await shown(tmp_path)] == [None]


async def walked(store: LocalStore) -> AsyncIterator[str]:
    async for found in store.find(""):
        yield found.key


async def test_clips_sidecars_and_journals_stay_as_they_are(tmp_path: Path) -> None:
    put_clip(tmp_path, 0, clip=samples.clip())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    await update(LocalStore(tmp_path), posters=True)
    assert {path: path.read_bytes() for path in before} == before
    new = {key async for key in walked(LocalStore(tmp_path))} - {
        str(path.relative_to(tmp_path)) for path in before
    }
    assert new == {GALLERY_KEY, poster_key(job_of_number(0)), *(await facts_of(tmp_path)).pieces}
