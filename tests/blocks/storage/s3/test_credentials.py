"""Who we are on the server, and that nobody reads it anywhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import boto3  # type: ignore[import-untyped]  # ships no type information
import httpx
import pytest

from blocks.errors import StorageUnavailable
from blocks.storage.s3.settings import S3Settings
from blocks.storage.s3.store import S3Store
from tests.blocks.storage.s3.bucket import Bucket
from tests.blocks.storage.s3.faults import Proxy

POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'


@pytest.fixture
def checked_keys(bucket: Bucket) -> Iterator[tuple[str, str]]:
    """A user's keys on a server that checks signatures and rights."""
    iam = boto3.client(
        "iam",
        endpoint_url=bucket.url,
        region_name="us-east-1",
        aws_access_key_id="maker",
        aws_secret_access_key="maker",
    )
    iam.create_user(UserName="worker")
    iam.put_user_policy(UserName="worker", PolicyName="archive", PolicyDocument=POLICY)
    made = iam.create_access_key(UserName="worker")["AccessKey"]
    httpx.post(f"{bucket.url}/moto-api/reset-auth", content=b"0").raise_for_status()
    yield made["AccessKeyId"], made["SecretAccessKey"]
    httpx.post(f"{bucket.url}/moto-api/reset-auth", content=b"inf").raise_for_status()
    iam.close()


async def tour(store: S3Store) -> None:
    """Send every kind of request."""
    try:
        assert await store.create("journal/a b+c.json", b"x")
        await store.replace("open/ř", b"x")
        async with store.writer("clips/a.mp4") as writer:
            await writer.write(bytes(200_000))
            assert await writer.publish()
        async with store.writer("clips/b.mp4") as writer:
            await writer.write(bytes(200_000))
        assert [found.key async for found in store.find("")] == [
            "clips/a.mp4",
            "journal/a b+c.json",
            "open/ř",
        ]
        assert sum([len(piece) async for piece in store.chunks("clips/a.mp4")]) == 200_000
        assert await store.size("open/ř") == 1
        await store.delete("open/ř")
        assert await store.sweep(60) == []
    finally:
        await store.close()


@pytest.mark.parametrize("checksums", ["when_required", "when_supported"])
async def test_every_request_is_signed_rightly(
    checked_keys: tuple[str, str], s3_settings: S3Settings, bucket: Bucket, checksums: str
) -> None:
    key, secret = checked_keys
    told = {"endpoint_url": bucket.url, "key": key, "secret": secret, "checksums": checksums}
    known = S3Settings.model_validate(told)
    await tour(S3Store("archive", "a room", known.model_copy(update={"part_bytes": s3_settings.part_bytes})))


async def test_a_signed_link_opens_the_object_for_anybody(s3_settings: S3Settings) -> None:
    store = S3Store("archive", "a room", s3_settings)
    await store.replace("clips/a ř.mp4", b"the clip")
    link = await store.link("clips/a ř.mp4", 60)
    forever = await store.link("clips/a ř.mp4", 10**9)
    await store.close()
    async with httpx.AsyncClient() as anybody:
        assert (await anybody.get(link)).content == b"the clip"
        assert (await anybody.get(link.split("?")[0])).status_code == 403
    assert "X-Amz-Expires=60&" in link
    assert "X-Amz-Expires=604800&" in forever
    assert "test-secret-key" not in link


async def test_wrong_keys_are_refused_with_what_to_do_and_without_telling_them(
    checked_keys: tuple[str, str], bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "blocks")
    key, _ = checked_keys
    wrong = S3Settings.model_validate({"endpoint_url": bucket.url, "key": key, "secret": "hush-hush-hush"})
    store = S3Store("archive", "", wrong)
    with pytest.raises(StorageUnavailable, match=r"SignatureDoesNotMatch.*Correct key and secret") as caught:
        await store.replace("a", b"x")
    await store.close()
    for text in (str(caught.value), repr(caught.value), repr(wrong), repr(store), caplog.text):
        assert "hush" not in text
        assert key not in text


async def test_the_credentials_of_the_environment_are_used_when_none_are_given(
    checked_keys: tuple[str, str], bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", checked_keys[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", checked_keys[1])
    store = S3Store("archive", "", S3Settings(endpoint_url=bucket.url))
    await store.replace("a", b"x")
    await store.close()
    assert bucket.url


async def test_no_credentials_at_all_are_reported_at_once(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    store = S3Store("archive", "", S3Settings(endpoint_url=bucket.url))
    with pytest.raises(StorageUnavailable, match=r"NoCredentialsError.*Give key and secret"):
        await store.read("a")
    await store.close()


async def test_no_request_waits_for_100_continue(s3_settings: S3Settings, proxy: Proxy) -> None:
    store = S3Store("archive", "room", s3_settings)
    await tour(store)
    again = S3Store("archive", "room", s3_settings.model_copy(update={"checksums": "when_supported"}))
    await again.replace("a", b"x")
    await again.close()
    assert len(proxy.seen) > 10
    assert not [action for action, _, headers in proxy.seen if "Expect" in headers]
