"""Listings that come in pages."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from moto.s3.models import s3_backends

from blocks.errors import StorageUnavailable
from blocks.storage.s3.store import S3Store
from tests.blocks.storage.s3.bucket import Bucket
from tests.blocks.storage.s3.faults import Exchange, Proxy, done_but_refused, refused

pytestmark = pytest.mark.asyncio(loop_scope="session")

ACCOUNT = "123456789012"
_UPLOAD = re.compile(r"<Upload><UploadId>(.*?)</UploadId><Key>(.*?)</Key>.*?</Upload>")


async def test_find_goes_on_after_a_thousand_objects_and_survives_faults(
    s3_store: S3Store, proxy: Proxy
) -> None:
    backend = s3_backends[ACCOUNT]["aws"]
    for number in range(1001):
        backend.put_object("archive", f"room/one/open/{number:04}", b"x")
    backend.put_object("archive", "room/one/open/folder/", b"")
    backend.put_object("archive", "room/onemore/open/a", b"x")
    proxy.fail("ListObjectsV2", refused(503, "SlowDown"), skip=1)
    found = [each.key async for each in s3_store.find("open/")]
    assert found == [f"open/{number:04}" for number in range(1001)]
    assert proxy.count("ListObjectsV2") == 3


def one_upload_a_page(exchange: Exchange) -> None:
    """The server of the tests lists all uploads at once."""
    query = parse_qs(urlsplit(exchange.path).query)
    after = (query.get("key-marker", [""])[0], query.get("upload-id-marker", [""])[0])
    status, headers, body = exchange.forward()
    uploads = {(found[2], found[1]): found[0] for found in _UPLOAD.finditer(body.decode())}
    (key, upload), *more = sorted(marks for marks in uploads if marks > after)
    page = (
        f"<ListMultipartUploadsResult><IsTruncated>{'true' if more else 'false'}</IsTruncated>"
        f"<NextKeyMarker>{key}</NextKeyMarker><NextUploadIdMarker>{upload}</NextUploadIdMarker>"
        f"{uploads[key, upload]}</ListMultipartUploadsResult>"
    )
    exchange.answer(status, headers, page.encode())


async def test_sweep_goes_through_all_pages_and_stays_in_its_own_room(
    s3_store: S3Store, proxy: Proxy, bucket: Bucket
) -> None:
    for key in ("room/one/a", "room/one/a", "room/one/b", "room/onemore/c"):
        bucket.open_upload(key)
    proxy.fail("ListMultipartUploads", one_upload_a_page, times=9)
    assert await s3_store.sweep(60) == ["a", "a", "b"]
    assert bucket.open_uploads() == ["room/onemore/c"]


async def test_sweep_takes_an_upload_that_is_gone_already_as_done(
    s3_store: S3Store, proxy: Proxy, bucket: Bucket
) -> None:
    bucket.open_upload("room/one/a")
    proxy.fail("AbortMultipartUpload", done_but_refused(500, "InternalError"))
    await s3_store.sweep(60)
    assert bucket.open_uploads() == []


async def test_sweep_says_when_it_may_not(s3_store: S3Store, proxy: Proxy, bucket: Bucket) -> None:
    bucket.open_upload("room/one/a")
    proxy.fail("AbortMultipartUpload", refused(403, "AccessDenied"))
    with pytest.raises(StorageUnavailable, match="s3:AbortMultipartUpload"):
        await s3_store.sweep(60)
