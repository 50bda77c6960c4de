"""Writers that are cancelled or killed: whole or invisible, and tidied up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from blocks.storage.s3 import upload
from blocks.storage.s3.store import S3Store
from tests.blocks.storage.endless import kill_while_writing
from tests.blocks.storage.s3.bucket import Bucket
from tests.blocks.storage.s3.clip import CLIP, KEY, PLACE, publish
from tests.blocks.storage.s3.faults import Exchange, Proxy, silent

pytestmark = pytest.mark.asyncio(loop_scope="session")


def answers_after_the_cancellation(exchange: Exchange) -> None:
    exchange.answer(*exchange.forward())


def takes_effect_after_the_cancellation(exchange: Exchange) -> None:
    exchange.proxy.pause()
    exchange.answer(*exchange.forward())


def never_takes_effect(exchange: Exchange) -> None:
    exchange.proxy.pause()
    exchange.cut()


@pytest.mark.parametrize(
    "then", [answers_after_the_cancellation, takes_effect_after_the_cancellation, never_takes_effect]
)
async def test_a_cancellation_during_any_request_leaves_nothing_half(
    s3_store: S3Store, proxy: Proxy, bucket: Bucket, then: Callable[[Exchange], None]
) -> None:
    loop = asyncio.get_running_loop()
    for number in range(6):
        task = asyncio.create_task(publish(s3_store))

        def cancel(exchange: Exchange, task: asyncio.Task[bool] = task) -> None:
            loop.call_soon_threadsafe(task.cancel)
            then(exchange)

        proxy.fail("*", cancel, skip=number)
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(proxy.wait_until_idle)
        assert bucket.open_uploads() == [], f"cancelled at request {number}"
        assert bucket.keys() in ([], [PLACE])
        if bucket.keys():
            assert bucket.get(PLACE) == CLIP
            await s3_store.delete(KEY)
    proxy.heal()
    assert await publish(s3_store)
    assert bucket.get(PLACE) == CLIP


async def test_a_second_cancellation_does_not_stop_the_tidying(
    s3_store: S3Store, proxy: Proxy, bucket: Bucket
) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(publish(s3_store))

    def cancel(exchange: Exchange) -> None:
        loop.call_soon_threadsafe(task.cancel)
        exchange.proxy.pause()
        exchange.pass_on()

    def cancel_and_refuse(exchange: Exchange) -> None:
        loop.call_soon_threadsafe(task.cancel)
        exchange.proxy.pause()
        exchange.refuse(503, "SlowDown")

    proxy.fail("UploadPart", cancel)
    proxy.fail("AbortMultipartUpload", cancel_and_refuse)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bucket.open_uploads() == []
    assert proxy.count("AbortMultipartUpload") == 2


def opened_just_now(exchange: Exchange) -> None:
    """The server of the tests says of every upload that it was opened in 2010."""
    status, headers, body = exchange.forward()
    now = f"<Initiated>{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000Z}</Initiated>".encode()
    exchange.answer(status, headers, re.sub(rb"<Initiated>.*?</Initiated>", now, body))


async def test_a_cancelled_writer_does_not_go_on_sending(
    hasty_store: S3Store, proxy: Proxy, bucket: Bucket
) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(publish(hasty_store))

    def cancel(exchange: Exchange) -> None:
        loop.call_soon_threadsafe(task.cancel)
        exchange.stay_silent()

    proxy.fail("UploadPart", cancel)
    proxy.fail("UploadPart", silent, times=99)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert proxy.count("UploadPart") <= 3
    assert bucket.open_uploads() == []


async def test_a_killed_process_leaves_one_invisible_upload_and_the_sweep_removes_it(
    s3_store: S3Store, proxy: Proxy, bucket: Bucket
) -> None:
    await asyncio.to_thread(kill_while_writing, "s3://archive/room/one", KEY, 12, bucket.url)
    assert bucket.keys() == []
    assert bucket.open_uploads() == [PLACE]
    proxy.fail("ListMultipartUploads", opened_just_now)
    assert await s3_store.sweep(3600) == []
    assert bucket.open_uploads() == [PLACE]
    assert await s3_store.sweep(3600) == [KEY]
    assert bucket.open_uploads() == []
    assert await publish(s3_store)


async def test_a_server_that_does_not_answer_the_tidying_does_not_hold_us_for_ever(
    s3_store: S3Store, proxy: Proxy, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "_ABORT_SECONDS", 0.05)
    proxy.fail("AbortMultipartUpload", silent, times=9)
    async with asyncio.timeout(20), s3_store.writer(KEY) as writer:
        await writer.write(CLIP)
    assert bucket.open_uploads() == [PLACE]
    proxy.heal()
    assert await s3_store.sweep(60) == [KEY]
