from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from blocks.archive import AvatarArchive
from blocks.credentials import CometAPICredentials
from blocks.kling.models import KlingTask, TaskStatus
from blocks.storage.archive import Archive
from blocks.storage.journal import Entry, Step, now
from blocks.storage.layout import learned_key
from flows.tasks.expected import Expected

ENTRY = Entry(
    job_id="0" * 64,
    number=2,
    step=Step.SUBMITTED,
    at=now(),
    token="t",
    claim="c",
    job={"mode": "std", "audio": {"seconds": 10.0}},
)


@pytest.fixture
def account() -> CometAPICredentials:
    return CometAPICredentials(api_key="k", render_factor=6, first_poll_seconds=20, deadline_minutes=60)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return AvatarArchive(url=str(tmp_path)).open()


def done_after(seconds: float) -> KlingTask:
    began = now()
    return KlingTask(
        task_id="1",
        status=TaskStatus.SUCCEED,
        created_at=began,
        updated_at=began + timedelta(seconds=seconds),
    )


async def test_the_configured_factor_counts_until_enough_was_seen(
    account: CometAPICredentials, archive: Archive
) -> None:
    expected = Expected(account, archive)
    assert await expected.seconds(ENTRY) == 60
    for _ in range(4):
        await expected.learn(ENTRY, done_after(200))
    assert await expected.seconds(ENTRY) == 60
    await expected.learn(ENTRY, done_after(200))
    assert await expected.seconds(ENTRY) == 200


async def test_a_later_run_knows_what_an_earlier_one_learned_for_that_mode_only(
    account: CometAPICredentials, archive: Archive
) -> None:
    earlier = Expected(account, archive)
    for seconds in (100, 110, 120, 130, 3000):
        await earlier.learn(ENTRY, done_after(seconds))
    await earlier.save()
    assert await Expected(account, archive).seconds(ENTRY) == 120
    pro = ENTRY.model_copy(update={"job": ENTRY.job | {"mode": "pro"}})
    assert await Expected(account, archive).seconds(pro) == 60


async def test_what_was_learned_is_not_believed_without_limit(
    account: CometAPICredentials, archive: Archive
) -> None:
    slow, fast = Expected(account, archive), Expected(account, archive)
    for _ in range(5):
        await slow.learn(ENTRY, done_after(3599))
        await fast.learn(ENTRY, done_after(0.01))
        await fast.learn(ENTRY, done_after(99_999))
    assert await slow.seconds(ENTRY) == 1800
    assert await fast.seconds(ENTRY) == 20


async def test_a_damaged_memory_is_as_good_as_none(account: CometAPICredentials, archive: Archive) -> None:
    key = learned_key(f"seconds-{account.task_namespace}-std")
    await archive.store.replace(key, b'{"factors": ["?"]}')
    assert await Expected(account, archive).seconds(ENTRY) == 60
