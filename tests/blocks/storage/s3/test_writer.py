"""Streaming into a bucket: whole or invisible, whatever happens midway."""

from __future__ import annotations

import asyncio

import pytest

from blocks.errors import StorageUnavailable
from blocks.storage.s3.settings import S3Settings
from blocks.storage.s3.store import S3Store
from tests.blocks.storage.s3.bucket import Bucket
from tests.blocks.storage.s3.clip import CLIP, KEY, PART, PLACE, publish
from tests.blocks.storage.s3.faults import (
    Cut,
    Exchange,
    Fault,
    Proxy,
    done_but_cut,
    done_but_refused,
    done_but_silent,
    refused,
    silent,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

BEFORE = {
    "internal error": refused(500, "InternalError"),
    "slow down": refused(503, "SlowDown"),
    "a cut connection": Cut(10_000),
    "silence": silent,
}
AFTER = {
    "an error after it took effect": done_but_refused(500, "InternalError"),
    "a cut after it took effect": done_but_cut,
    "silence after it took effect": done_but_silent,
}
SILENT = (silent, done_but_silent)
ACTIONS = ["CreateMultipartUpload", "UploadPart", "HeadObject", "CompleteMultipartUpload"]


@pytest.mark.parametrize("fault", BEFORE.values(), ids=BEFORE)
async def test_a_passing_fault_of_each_request_is_survived(
    s3_store: S3Store, hasty_store: S3Store, proxy: Proxy, bucket: Bucket, fault: Fault
) -> None:
    for action in ACTIONS:
        proxy.fail(action, fault)
    assert await publish(hasty_store if fault in SILENT else s3_store)
    assert bucket.get(PLACE) == CLIP
    if fault in SILENT:
        await s3_store.sweep(-60)
    assert bucket.open_uploads() == []


@pytest.mark.parametrize("fault", AFTER.values(), ids=AFTER)
async def test_a_lost_answer_of_a_part_or_of_the_completion_is_survived(
    s3_store: S3Store, hasty_store: S3Store, proxy: Proxy, bucket: Bucket, fault: Fault
) -> None:
    proxy.fail("UploadPart", fault)
    proxy.fail("CompleteMultipartUpload", fault)
    assert await publish(hasty_store if fault in SILENT else s3_store)
    assert bucket.get(PLACE) == CLIP
    if fault in SILENT:
        await s3_store.sweep(-60)
    assert bucket.open_uploads() == []


@pytest.mark.parametrize("then", [refused(404, "NoSuchUpload"), refused(412, "PreconditionFailed")])
@pytest.mark.parametrize("fault", AFTER.values(), ids=AFTER)
async def test_our_own_completed_object_is_recognised_when_the_second_attempt_is_refused(
    s3_store: S3Store, hasty_store: S3Store, proxy: Proxy, bucket: Bucket, fault: Fault, then: Fault
) -> None:
    proxy.fail("CompleteMultipartUpload", fault)
    proxy.fail("CompleteMultipartUpload", then)
    assert await publish(hasty_store if fault in SILENT else s3_store)
    assert bucket.get(PLACE) == CLIP


@pytest.mark.parametrize("first", [refused(503, "SlowDown"), refused(501, "NotImplemented")])
async def test_a_completion_of_which_every_answer_is_lost_is_found_by_looking(
    s3_store: S3Store, proxy: Proxy, bucket: Bucket, first: Fault
) -> None:
    """With the condition, and without it on a server that does not know it."""
    proxy.fail("CompleteMultipartUpload", first)
    proxy.fail("CompleteMultipartUpload", done_but_cut, times=99)
    assert await publish(s3_store)
    assert bucket.get(PLACE) == CLIP
    assert proxy.count("AbortMultipartUpload") == 0


@pytest.mark.parametrize("fault", AFTER.values(), ids=AFTER)
async def test_our_own_small_object_is_recognised_after_a_lost_answer(
    s3_store: S3Store, hasty_store: S3Store, proxy: Proxy, bucket: Bucket, fault: Fault
) -> None:
    proxy.fail("PutObject", fault)
    assert await publish(hasty_store if fault in SILENT else s3_store, b"small")
    assert bucket.get(PLACE) == b"small"
    assert proxy.count("CreateMultipartUpload") == 0


@pytest.mark.parametrize("data", [b"small", CLIP], ids=["small", "large"])
async def test_another_who_publishes_at_the_same_moment_is_not_replaced(
    s3_store: S3Store, proxy: Proxy, bucket: Bucket, data: bytes
) -> None:
    def another_was_quicker(exchange: Exchange) -> None:
        bucket.put(PLACE, b"theirs")
        exchange.pass_on()

    proxy.fail("CompleteMultipartUpload" if data == CLIP else "PutObject", another_was_quicker)
    assert not await publish(s3_store, data)
    assert bucket.get(PLACE) == b"theirs"
    assert bucket.open_uploads() == []


@pytest.mark.parametrize("data", [b"small", CLIP], ids=["small", "large"])
async def test_a_server_without_conditional_writes_is_asked_beforehand(
    s3_store: S3Store, proxy: Proxy, bucket: Bucket, data: bytes
) -> None:
    proxy.hidden.add("if-none-match")
    assert await publish(s3_store, data)
    assert not await publish(s3_store, b"another")
    assert bucket.get(PLACE) == data


@pytest.mark.parametrize("data", [b"small", CLIP], ids=["small", "large"])
async def test_a_server_that_does_not_know_the_condition_gets_it_without(
    s3_store: S3Store, proxy: Proxy, bucket: Bucket, data: bytes
) -> None:
    action = "CompleteMultipartUpload" if data == CLIP else "PutObject"
    proxy.fail(action, refused(501, "NotImplemented"))
    assert await publish(s3_store, data)
    assert bucket.get(PLACE) == data


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_lasting_refusal_leaves_nothing_and_a_later_retry_completes(
    s3_store: S3Store, proxy: Proxy, bucket: Bucket, action: str
) -> None:
    proxy.fail(action, refused(403, "AccessDenied"), times=9)
    with pytest.raises(StorageUnavailable, match=f"{action}.*403.*s3:PutObject"):
        await publish(s3_store)
    assert bucket.keys() == []
    assert bucket.open_uploads() == []
    proxy.heal()
    assert await publish(s3_store)
    assert bucket.get(PLACE) == CLIP


async def test_credentials_that_expire_midway_leave_one_upload_for_the_sweep(
    s3_store: S3Store, proxy: Proxy, bucket: Bucket
) -> None:
    proxy.fail("*", refused(400, "ExpiredToken"), times=99, skip=2)
    with pytest.raises(StorageUnavailable, match=r"(Expired|400).*Renew"):
        await publish(s3_store)
    assert bucket.keys() == []
    assert bucket.open_uploads() == [PLACE]
    proxy.heal()
    assert await s3_store.sweep(3600) == [KEY]
    assert bucket.open_uploads() == []
    assert await publish(s3_store)


async def test_a_write_that_failed_cannot_be_published(
    s3_store: S3Store, proxy: Proxy, bucket: Bucket
) -> None:
    proxy.fail("CreateMultipartUpload", refused(403, "AccessDenied"))
    async with s3_store.writer(KEY) as writer:
        with pytest.raises(StorageUnavailable):
            await writer.write(CLIP)
        with pytest.raises(RuntimeError, match="not whole"):
            await writer.publish()
    assert bucket.keys() == []


@pytest.mark.parametrize("limit", [{"parts_in_flight": 2}, {"parts_at_once": 4}])
async def test_never_more_parts_are_in_flight_than_allowed(
    s3_settings: S3Settings, proxy: Proxy, bucket: Bucket, limit: dict[str, int]
) -> None:
    def slowly(exchange: Exchange) -> None:
        exchange.proxy.pause()
        exchange.pass_on()

    proxy.fail("UploadPart", slowly, times=15)
    store = S3Store("archive", "", s3_settings.model_copy(update=limit))
    writers = 1 if "parts_in_flight" in limit else 3
    assert all(
        await asyncio.gather(*(publish(store, bytes(5 * PART), f"{name}.mp4") for name in range(writers)))
    )
    await store.close()
    assert proxy.count("UploadPart") == 5 * writers
    assert proxy.most_at_once["UploadPart"] == next(iter(limit.values()))
    assert bucket.open_uploads() == []


async def test_what_is_said_about_objects_arrives(s3_settings: S3Settings, bucket: Bucket) -> None:
    told = {"storage_class": "STANDARD_IA", "tags": {"team": "a + b"}, "server_side_encryption": "AES256"}
    told |= {"content_type": "video/x-own"}
    store = S3Store("archive", "", s3_settings.model_copy(update=told))
    await publish(store, CLIP, "clips/large.mp4")
    await publish(store, b"x", "clips/small.mp4")
    await store.replace("clips/a.json", b"{}")
    assert await store.create("journal/a.json", b"{}")
    await store.close()
    for key in ("clips/large.mp4", "clips/small.mp4", "clips/a.json", "journal/a.json"):
        about = bucket.describe(key)
        streamed = key.endswith(".mp4")
        assert about["ContentType"] == ("video/x-own" if streamed else "application/json")
        assert about["ServerSideEncryption"] == "AES256"
        assert about.get("StorageClass") == ("STANDARD_IA" if streamed else None)
        assert bucket.tags(key) == {"team": "a + b"}
