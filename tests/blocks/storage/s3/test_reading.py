"""Reading from a bucket over connections that break."""

from __future__ import annotations

import pytest

from blocks.errors import StorageUnavailable
from blocks.storage.s3.store import S3Store
from tests.blocks.storage.s3.bucket import Bucket
from tests.blocks.storage.s3.faults import Exchange, Fault, Proxy, answer_cut, refused, silent

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = "clips/a.mp4"
PLACE = f"room/one/{KEY}"
CLIP = bytes(range(256)) * 4096 + b"the end"


async def stored(store: S3Store) -> bytes:
    return b"".join([piece async for piece in store.chunks(KEY)])


@pytest.mark.parametrize(
    "fault", [refused(500, "InternalError"), refused(503, "SlowDown"), silent, answer_cut(5)]
)
async def test_small_reads_are_repeated(
    hasty_store: S3Store, proxy: Proxy, bucket: Bucket, fault: Fault
) -> None:
    bucket.put("room/one/journal/a.json", b"0123456789")
    proxy.fail("GetObject", fault)
    assert await hasty_store.read("journal/a.json") == b"0123456789"


async def test_a_cut_stream_goes_on_where_it_was_cut(s3_store: S3Store, proxy: Proxy, bucket: Bucket) -> None:
    bucket.put(PLACE, CLIP)
    for after in (0, 300_000, 100_000, 400_000):
        proxy.fail("GetObject", answer_cut(after))
    assert await stored(s3_store) == CLIP
    asked = [headers for action, _, headers in proxy.seen if action == "GetObject"]
    assert [headers.get("Range") for headers in asked[:2]] == [None, None]
    assert all(headers["Range"].startswith("bytes=") for headers in asked[2:])
    assert all(headers["If-Match"] for headers in asked[1:])


async def test_a_stream_that_never_advances_is_given_up(
    s3_store: S3Store, proxy: Proxy, bucket: Bucket
) -> None:
    bucket.put(PLACE, CLIP)
    proxy.fail("GetObject", answer_cut(0), times=99)
    with pytest.raises(StorageUnavailable, match="GetObject"):
        await stored(s3_store)
    assert proxy.count("GetObject") == 3


async def test_a_stream_is_not_continued_with_another_object(
    s3_store: S3Store, proxy: Proxy, bucket: Bucket
) -> None:
    def replaced_meanwhile(exchange: Exchange) -> None:
        answer = exchange.forward()
        bucket.put(PLACE, CLIP[::-1])
        exchange.answer(*answer, send=100_000)

    bucket.put(PLACE, CLIP)
    proxy.fail("GetObject", replaced_meanwhile)
    with pytest.raises(StorageUnavailable, match="412"):
        await stored(s3_store)


async def test_a_server_that_starts_again_from_the_beginning_is_not_believed(
    s3_store: S3Store, proxy: Proxy, bucket: Bucket
) -> None:
    bucket.put(PLACE, CLIP)
    proxy.hidden.add("range")
    proxy.fail("GetObject", answer_cut(100_000))
    with pytest.raises(StorageUnavailable, match="does not resume"):
        await stored(s3_store)


async def test_a_failed_read_is_not_taken_for_absence(s3_store: S3Store, proxy: Proxy) -> None:
    for action, attempt in (("GetObject", s3_store.read), ("HeadObject", s3_store.size)):
        proxy.fail(action, refused(503, "SlowDown"), times=3)
        with pytest.raises(StorageUnavailable, match="503"):
            await attempt("journal/a.json")


async def test_a_missing_bucket_is_not_taken_for_an_absent_object(s3_store: S3Store, proxy: Proxy) -> None:
    proxy.fail("GetObject", refused(404, "NoSuchBucket"))
    with pytest.raises(StorageUnavailable, match=r"NoSuchBucket.*Create the bucket"):
        await s3_store.read("journal/a.json")
