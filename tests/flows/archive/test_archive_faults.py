"""Whatever breaks on the way into the archive: nothing half is seen or left open, and the job completes."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from blocks.errors import AvatarError, ClipRejected, ClipUnavailable, StorageUnavailable
from blocks.sandbox.serve import RunningSandbox
from blocks.storage.layout import aside_key
from blocks.storage.s3.session import Session
from blocks.storage.s3.settings import S3Settings
from flows.tasks.archive import archive_clip
from flows.tasks.connections import Connections
from tests.blocks.storage.conftest import shared
from tests.blocks.storage.s3.bucket import Bucket
from tests.blocks.storage.s3.faults import Fault, Proxy, done_but_cut, done_but_refused, refused
from tests.flows.archive.bought import PARTS, ROOM, Bought, connected, moved

pytestmark = pytest.mark.asyncio(loop_scope="session")

FOR_EVER = 99
AT_ONCE = 4


@dataclass(frozen=True)
class Case:
    """What breaks, and how the attempt ends that meets it.

    Attributes:
        ends: What is raised; `None` when the attempt gets through.
        source: The sandbox's fault, if the delivery breaks.
        rule: Further fields of its rule.
        action: The S3 action that breaks otherwise.
        fault: How.
        times: How often.
        skip: How many requests of this action get through before.
    """

    says: str
    ends: type[AvatarError] | None
    source: str = ""
    rule: dict[str, Any] = field(default_factory=lambda: {"count": None})
    action: str = ""
    fault: Fault = done_but_cut
    times: int = FOR_EVER
    skip: int = 0

    def __str__(self) -> str:
        return self.says


COMPLETE = "CompleteMultipartUpload"
CASES = [
    *(
        Case(f"source cut after part {number}", ClipUnavailable, "truncated-clip", {"at": number / PARTS})
        for number in range(PARTS)
    ),
    Case("source cut once", None, "truncated-clip", {"count": 1, "at": 2 / PARTS}),
    Case("source stalls", ClipUnavailable, "stall"),
    Case("source stalls once", None, "stall", {"count": 1}),
    Case("Content-Length of a shorter file", ClipRejected, "wrong-length"),
    Case("other bytes", ClipRejected, "broken-clip"),
    Case("other bytes once", None, "broken-clip", {"count": 1}),
    *(
        Case(f"{status} on {words}", ends, action=action, fault=refused(status, code), times=times, skip=skip)
        for status, code in ((500, "InternalError"), (503, "SlowDown"))
        for words, ends, action, times, skip in (
            ("the first part", StorageUnavailable, "UploadPart", FOR_EVER, 0),
            ("the last part", StorageUnavailable, "UploadPart", FOR_EVER, PARTS - 1),
            ("each part once", None, "UploadPart", PARTS, 0),
            ("complete before it takes effect", StorageUnavailable, COMPLETE, FOR_EVER, 0),
        )
    ),
    *(
        Case(f"{words} on complete after it took effect", None, action=COMPLETE, fault=fault, times=1)
        for words, fault in (
            ("500", done_but_refused(500, "InternalError")),
            ("503", done_but_refused(503, "SlowDown")),
            ("a cut", done_but_cut),
        )
    ),
    Case("the sidecar is refused", StorageUnavailable, action="PutObject", fault=refused(503, "SlowDown")),
]


@pytest_asyncio.fixture(loop_scope="session")
async def connections(
    bought: Bought, source: RunningSandbox, s3_settings: S3Settings, s3_session: Session
) -> AsyncIterator[Connections]:
    async with connected(source.url, shared(bought.store(s3_settings, ROOM), s3_session)) as opened:
        yield opened


@pytest.fixture
def move(
    bought: Bought, connections: Connections, s3_settings: S3Settings, s3_session: Session
) -> Callable[[str], Connections]:
    """Return connections with an archive elsewhere in the bucket."""
    return lambda room: moved(connections, shared(bought.store(s3_settings, room), s3_session))


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_after_each_fault_nothing_half_is_there_and_the_job_completes(
    case: Case,
    bought: Bought,
    source: RunningSandbox,
    proxy: Proxy,
    bucket: Bucket,
    connections: Connections,
) -> None:
    if case.source:
        source.fault(case.source, **({"count": None} | case.rule))
    else:
        proxy.fail(case.action, case.fault, case.times, case.skip)
    ended = await outcome(bought, connections)
    assert type(ended) is (case.ends or type(None))
    bought.check_nothing_half(bucket, ROOM)
    source.clear_faults()
    proxy.heal()
    await connections.archive.store.sweep(60)
    assert bucket.open_uploads() == []
    await bought.check_completes(connections, bucket, ROOM)


async def outcome(bought: Bought, connections: Connections) -> AvatarError | None:
    try:
        await archive_clip(bought.entry, None, connections)
    except AvatarError as error:
        return error
    return None


async def test_what_is_wrong_each_time_is_fetched_three_times_and_kept_once(
    bought: Bought, source: RunningSandbox, bucket: Bucket, connections: Connections
) -> None:
    before = len(source.deliveries())
    source.fault("wrong-length", count=None)
    assert isinstance(await outcome(bought, connections), ClipRejected)
    assert len(source.deliveries()) - before == 3
    (kept,) = bucket.keys(f"{ROOM}/aside/")
    assert bought.clip.startswith(bucket.get(kept))
    assert isinstance(await outcome(bought, connections), ClipRejected)
    assert len(source.deliveries()) - before == 5
    assert bucket.keys(f"{ROOM}/aside/") == [kept]


async def test_a_wrong_clip_without_its_sidecar_is_moved_aside_and_fetched_anew(
    bought: Bought, bucket: Bucket, connections: Connections
) -> None:
    sidecar = await archive_clip(bought.entry, None, connections)
    await connections.archive.store.delete(sidecar.clip.key.replace(".mp4", ".json"))
    await connections.archive.store.replace(sidecar.clip.key, b"something else")
    await bought.check_completes(connections, bucket, ROOM)
    (kept,) = bucket.keys(f"{ROOM}/aside/")
    assert kept.startswith(f"{ROOM}/{aside_key(bought.entry.job_id, '0' * 64)[:70]}")
    assert bucket.get(kept) == b"something else"


async def test_credentials_that_expire_at_any_request_leave_nothing_half(
    bought: Bought, proxy: Proxy, bucket: Bucket, move: Callable[[str], Connections]
) -> None:
    for number in itertools.count():
        room = f"room/{number:03}"
        opened = move(room)
        proxy.fail("*", refused(400, "ExpiredToken"), FOR_EVER, skip=number)
        ended = await outcome(bought, opened)
        proxy.heal()
        bought.check_nothing_half(bucket, room)
        await opened.archive.store.sweep(60)
        assert bucket.open_uploads() == []
        await bought.check_completes(opened, bucket, room)
        if ended is None:
            break
        assert isinstance(ended, StorageUnavailable)
    assert number > PARTS + 3, number


class CancelledAt:
    """Awaits `archive_clip` and cancels its task when it waits for the `number`-th time.

    Attributes:
        waited: How often it has waited so far.
    """

    def __init__(self, number: int, bought: Bought, connections: Connections) -> None:
        self._number = number
        self._steps = archive_clip(bought.entry, None, connections).__await__()
        self.waited = 0

    def __await__(self) -> Generator[Any, Any, None]:
        step, given = self._steps.send, None
        while True:
            try:
                waiting = step(given)
            except StopIteration:
                return
            if self.waited == self._number:
                task = asyncio.current_task()
                assert task
                task.cancel()
            self.waited += 1
            try:
                given = yield waiting
            except asyncio.CancelledError as error:
                step, given = self._steps.throw, error
            else:
                step = self._steps.send


async def test_a_cancellation_at_any_await_leaves_nothing_half(
    bought: Bought, proxy: Proxy, bucket: Bucket, move: Callable[[str], Connections]
) -> None:
    async def cancel_at(number: int) -> bool:
        room = f"room/{number:03}"
        opened = move(room)
        attempt = CancelledAt(number, bought, opened)

        async def work() -> None:
            await attempt

        await asyncio.wait([asyncio.create_task(work())])
        bought.check_nothing_half(bucket, room)
        assert bucket.open_uploads(room) == []
        if attempt.waited > number:
            await bought.check_completes(opened, bucket, room)
        return attempt.waited > number

    for first in itertools.count(0, AT_ONCE):
        cancelled = await asyncio.gather(*(cancel_at(number) for number in range(first, first + AT_ONCE)))
        if not any(cancelled):
            break
    assert first > PARTS, first


async def test_a_process_that_is_killed_leaves_nothing_half(
    bought: Bought, source: RunningSandbox, proxy: Proxy, bucket: Bucket, connections: Connections
) -> None:
    source.fault("stall", count=1, at=0.9)
    given = (source.url, bucket.url, ROOM, str(bought.part_bytes), bought.entry.model_dump_json())
    command = (sys.executable, "-m", "tests.flows.archive.bought", *given)
    process = await asyncio.create_subprocess_exec(*command)
    async with asyncio.timeout(150):
        while not bucket.open_uploads():
            await asyncio.sleep(0.05)
    process.kill()
    assert await process.wait() == -9
    assert (bucket.keys(), len(bucket.open_uploads())) == ([], 1)
    source.clear_faults()
    await connections.archive.store.sweep(60)
    await bought.check_completes(connections, bucket, ROOM)


async def test_a_server_that_checks_signatures_takes_every_request_also_when_it_is_repeated(
    bought: Bought,
    source: RunningSandbox,
    proxy: Proxy,
    s3_settings: S3Settings,
    checked_keys: tuple[str, str],
) -> None:
    key, secret = checked_keys
    told = s3_settings.model_dump() | {"key": key, "secret": secret, "part_bytes": 5 * 2**20}
    store = bought.store(S3Settings.model_validate(told), ROOM)
    source.fault("wrong-length", count=1)
    for action in ("CreateMultipartUpload", "UploadPart", COMPLETE, "PutObject"):
        proxy.fail(action, refused(503, "SlowDown"))
    async with connected(source.url, store) as opened:
        sidecar = await archive_clip(bought.entry, None, opened)
        assert b"".join([piece async for piece in store.chunks(sidecar.clip.key)]) == bought.clip
        assert await store.sweep(60) == []
        await store.close()
