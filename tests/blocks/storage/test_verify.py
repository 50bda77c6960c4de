"""An archive is checked against its sidecars and journals, and every kind of damage is found."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from blocks.storage.journal import Journal, Step, now
from blocks.storage.layout import clip_key, journal_key, open_key, sidecar_key
from blocks.storage.local import LocalStore
from blocks.storage.s3.store import S3Store
from blocks.storage.shelf import Shelf, shelves
from blocks.storage.sidecar import Sidecar
from blocks.storage.store import Store
from blocks.storage.verify import Finding, Kind, check_shelf, kept_aside
from tests.blocks.storage.s3.faults import Proxy
from tests.blocks.storage.test_sidecar import OLDEST

CLIP = b"a whole video" * 1000
A, B, C, D = ("1a" * 32, "1a" * 31 + "ff", "b0" * 32, "ff" * 32)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def sidecar_of(job_id: str, **clip: Any) -> Sidecar:
    told = OLDEST["clip"] | {"size": len(CLIP), "sha256": hashlib.sha256(CLIP).hexdigest()}
    about = {"job_id": job_id, "clip": told | {"key": clip_key(job_id)} | clip}
    return Sidecar.model_validate(OLDEST | about)


async def put_done(store: Store, job_id: str) -> None:
    await put_bought(store, job_id)
    await put_clip(store, job_id)
    await Journal(store).close(job_id, 9)


async def put_clip(store: Store, job_id: str) -> None:
    await store.replace(clip_key(job_id), CLIP)
    await store.replace(sidecar_key(job_id), sidecar_of(job_id).model_dump_json().encode())


async def put_bought(store: Store, job_id: str) -> None:
    journal = Journal(store)
    intent = await journal.append(job_id, None, Step.INTENT, claim="c", expires_at=now())
    assert await journal.append(job_id, intent, Step.SUBMITTED, kling_task_id="88")


async def found_in(store: Store, **how: bool) -> list[Finding]:
    checked = [await check_shelf(shelf, store, **how) async for shelf in shelves(store)]
    return [finding for findings in checked for finding in findings]


async def kinds_in(store: Store, **how: bool) -> list[tuple[Kind, str]]:
    return [(finding.kind, finding.key) for finding in await found_in(store, **how)]


async def test_an_archive_in_order_has_no_findings(store: LocalStore) -> None:
    await put_done(store, A)
    await put_done(store, B)
    await put_bought(store, C)  # open: reconcile looks at it
    assert await found_in(store, deep=True) == []


async def test_an_empty_archive_has_no_findings(store: LocalStore) -> None:
    assert await found_in(store) == []


async def no_clip(store: Store) -> None:
    await store.delete(clip_key(A))


async def no_sidecar_and_no_journal(store: Store) -> None:
    for key in (sidecar_key(A), journal_key(A, 1), journal_key(A, 2)):
        await store.delete(key)


async def shorter(store: Store) -> None:
    await store.replace(clip_key(A), CLIP[:-1])


async def torn_sidecar(store: Store) -> None:
    await store.replace(sidecar_key(A), b'{"schema_version": 1, "job_id"')


async def sidecar_of_another(store: Store) -> None:
    await store.replace(sidecar_key(A), sidecar_of(B).model_dump_json().encode())


async def sidecar_with_another_clip(store: Store) -> None:
    wrong = sidecar_of(A, key=clip_key(B))
    await store.replace(sidecar_key(A), wrong.model_dump_json().encode())


async def never_collected(store: Store) -> None:
    await store.delete(sidecar_key(A))
    await store.delete(clip_key(A))


async def never_described(store: Store) -> None:
    await store.delete(sidecar_key(A))


async def lost_answer(store: Store) -> None:
    for key in (sidecar_key(A), clip_key(A), journal_key(A, 2)):
        await store.delete(key)


async def gap(store: Store) -> None:
    await store.delete(sidecar_key(A))
    await store.delete(journal_key(A, 1))


async def torn_journal(store: Store) -> None:
    await store.delete(sidecar_key(A))
    await store.replace(journal_key(A, 2), b"{}")


@pytest.mark.parametrize(
    ("damage", "kind", "key"),
    [
        (no_clip, Kind.NO_CLIP, clip_key(A)),
        (no_sidecar_and_no_journal, Kind.NO_SIDECAR, clip_key(A)),
        (shorter, Kind.WRONG_SIZE, clip_key(A)),
        (torn_sidecar, Kind.UNREADABLE, sidecar_key(A)),
        (sidecar_of_another, Kind.OTHER_JOB, sidecar_key(A)),
        (sidecar_with_another_clip, Kind.OTHER_JOB, sidecar_key(A)),
        (never_collected, Kind.NOT_COLLECTED, journal_key(A, 2)),
        (never_described, Kind.NOT_COLLECTED, journal_key(A, 2)),
        (lost_answer, Kind.NOT_LOOKED_UP, journal_key(A, 1)),
        (gap, Kind.GAP, journal_key(A, 1)),
        (torn_journal, Kind.UNREADABLE, journal_key(A, 1)),
    ],
)
async def test_each_damage_is_found_and_only_that(
    store: LocalStore, damage: Callable[[Store], Awaitable[None]], kind: Kind, key: str
) -> None:
    for job_id in (A, B, D):
        await put_done(store, job_id)
    await damage(store)
    (finding,) = await found_in(store)
    assert (finding.kind, finding.key, finding.job_id) == (kind, key, A)
    assert finding.kind.is_damage
    assert finding.next_step


async def test_other_bytes_of_the_same_length_are_found_by_the_deep_check_alone(store: LocalStore) -> None:
    await put_done(store, A)
    await store.replace(clip_key(A), CLIP[:-1] + b"!")
    assert await kinds_in(store) == []
    assert await kinds_in(store, deep=True) == [(Kind.WRONG_BYTES, clip_key(A))]


async def test_what_is_not_ours_is_named_and_is_no_damage(store: LocalStore) -> None:
    await put_done(store, A)
    foreign = ["clips/1a/notes.txt", clip_key(A).replace("/1a/", "/00/"), f"{sidecar_key(A)}.bak"]
    for key in (*foreign, "aside/x.mp4"):
        await store.replace(key, b"?")
    found = await found_in(store)
    assert sorted(finding.key for finding in found) == sorted(foreign)
    assert {finding.kind for finding in found} == {Kind.FOREIGN}
    assert [finding.key async for finding in kept_aside(store)] == ["aside/x.mp4"]
    assert not Kind.FOREIGN.is_damage
    assert not Kind.ASIDE.is_damage


async def test_a_paid_job_that_nobody_collects_is_reopened_and_nothing_else_is_written(
    store: LocalStore, tmp_path: Path
) -> None:
    await put_done(store, B)
    await put_bought(store, A)
    await Journal(store).close(A, 9)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    assert await kinds_in(store) == [(Kind.NOT_COLLECTED, journal_key(A, 2))]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()} == before

    assert await kinds_in(store, reopen=True) == [(Kind.REOPENED, open_key(A, 2))]
    assert [mark.job_id async for mark in Journal(store).open_marks()] == [A]
    assert await found_in(store) == []
    (tmp_path / open_key(A, 2)).unlink()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()} == before


async def test_a_clip_that_was_replaced_by_a_link_out_of_the_archive_is_found(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "archive")
    await put_done(store, A)
    (tmp_path / "archive" / clip_key(A)).rename(tmp_path / "elsewhere.mp4")
    (tmp_path / "archive" / clip_key(A)).symlink_to(tmp_path / "elsewhere.mp4")
    (finding,) = await found_in(store)
    assert finding.kind is Kind.UNREADABLE
    assert "symbolic link" in finding.detail


async def test_a_job_that_ended_without_a_clip_is_in_order(store: LocalStore) -> None:
    for job_id, step in ((A, Step.REFUSED), (B, Step.FAILED), (C, Step.GIVEN_UP)):
        journal = Journal(store)
        intent = await journal.append(job_id, None, Step.INTENT, claim="c", expires_at=now())
        await journal.append(job_id, intent, step)
        await journal.close(job_id, 9)
    assert await found_in(store) == []


@pytest.mark.parametrize("moved", ["opened", "finished", "decided"])
async def test_a_job_that_moves_on_while_it_is_looked_at_is_no_finding(store: LocalStore, moved: str) -> None:
    """The listing is older than the answer: a run may have opened, finished or ended the job meanwhile."""
    await put_bought(store, A)
    await Journal(store).close(A, 9)
    listed = [shelf async for shelf in shelves(store)]
    if moved == "opened":
        await Journal(store).open(A, 2)
    elif moved == "finished":
        await put_clip(store, A)
    else:
        await Journal(store).append(A, await Journal(store).last(A), Step.GIVEN_UP)
    assert [await check_shelf(shelf, store) for shelf in listed] == [[], []]


async def test_an_intent_under_way_whose_mark_is_gone_may_be_paid_for(store: LocalStore) -> None:
    later = now() + timedelta(hours=1)
    await Journal(store).append(A, None, Step.INTENT, claim="c", expires_at=later)
    assert await found_in(store) == []
    await Journal(store).close(A, 9)
    assert await kinds_in(store) == [(Kind.NOT_LOOKED_UP, journal_key(A, 1))]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_bucket_is_checked_with_one_read_for_each_job_and_three_listings(
    s3_store: S3Store, proxy: Proxy
) -> None:
    for job_id in (A, B, C):
        await put_done(s3_store, job_id)
    proxy.reset()
    listed: list[Shelf] = [shelf async for shelf in shelves(s3_store)]
    assert [shelf.job_id for shelf in listed] == ["", A, B, C]
    assert [(shelf.clip_size, shelf.entries) for shelf in listed[1:]] == [(len(CLIP), [1, 2])] * 3
    assert [await check_shelf(shelf, s3_store) for shelf in listed] == [[], [], [], []]
    assert (proxy.count("GetObject"), proxy.count("ListObjectsV2")) == (3, 3)

    await s3_store.replace(clip_key(B), CLIP[::-1])
    assert await kinds_in(s3_store, deep=True) == [(Kind.WRONG_BYTES, clip_key(B))]
