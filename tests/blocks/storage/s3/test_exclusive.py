"""Creating an object only if it is absent, whatever the server and the network do."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from blocks.errors import NoExclusiveCreate, StorageUnavailable
from blocks.storage.s3.settings import S3Settings
from blocks.storage.s3.store import S3Store
from tests.blocks.storage.racer import race
from tests.blocks.storage.s3.bucket import Bucket
from tests.blocks.storage.s3.faults import (
    Cut,
    Fault,
    Proxy,
    done_but_cut,
    done_but_refused,
    done_but_silent,
    refused,
    silent,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROOF = "room/one/capabilities/exclusive-create.json"
PASSING = {
    "internal error": refused(500, "InternalError"),
    "slow down": refused(503, "SlowDown"),
    "too many requests": refused(429, "TooManyRequests"),
    "a conflict with another writer": refused(409, "ConditionalRequestConflict"),
    "silence": silent,
    "a cut connection": Cut(1),
    "an error after it took effect": done_but_refused(500, "InternalError"),
    "a cut after it took effect": done_but_cut,
    "silence after it took effect": done_but_silent,
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
async def test_create_gets_through_and_knows_that_it_won(
    hasty_store: S3Store, proxy: Proxy, bucket: Bucket, fault: Fault
) -> None:
    assert await hasty_store.create("journal/other.json", b"probe it first")
    proxy.fail("PutObject", fault)
    assert await hasty_store.create("journal/a.json", b"mine")
    assert not await hasty_store.create("journal/a.json", b"theirs")
    assert bucket.get("room/one/journal/a.json") == b"mine"


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
async def test_the_test_of_the_server_survives_passing_faults(
    hasty_store: S3Store, proxy: Proxy, fault: Fault
) -> None:
    proxy.fail("PutObject", fault)
    assert await hasty_store.create("journal/a.json", b"mine")


async def test_a_lost_answer_is_not_taken_for_a_win_when_another_was_first(
    s3_store: S3Store, proxy: Proxy, bucket: Bucket
) -> None:
    assert await s3_store.create("journal/a.json", b"theirs")
    proxy.fail("PutObject", done_but_cut)
    assert not await s3_store.create("journal/a.json", b"mine")
    assert bucket.get("room/one/journal/a.json") == b"theirs"


async def test_create_fails_when_no_attempt_gets_an_answer(hasty_store: S3Store, proxy: Proxy) -> None:
    settings = hasty_store._calls.settings.model_copy(update={"attempts": 2})
    hasty_store._calls.settings = settings
    proxy.fail("PutObject", silent, times=9)
    with pytest.raises(StorageUnavailable, match="no answer"):
        await hasty_store.create("journal/a.json", b"mine")
    assert proxy.count("PutObject") == 2


async def test_a_server_that_accepts_and_never_reads_does_not_hang_us(s3_settings: S3Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = "http://{}:{}".format(*server.getsockname())
        update = {"endpoint_url": url, "attempts": 1, "connect_timeout": 0.3, "read_timeout": 0.3}
        store = S3Store("archive", "", s3_settings.model_copy(update=update))
        with pytest.raises(StorageUnavailable):
            await store.create("journal/a.json", b"mine")
        await store.close()


async def test_a_server_that_answers_drop_by_drop_does_not_hold_us_for_ever(s3_settings: S3Settings) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Endless: ")
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        url = "http://{}:{}".format(*server.sockets[0].getsockname())
        update = {"endpoint_url": url, "attempts": 1, "connect_timeout": 0.2, "read_timeout": 0.2}
        store = S3Store("archive", "", s3_settings.model_copy(update=update))
        async with asyncio.timeout(20):
            with pytest.raises(StorageUnavailable, match="no answer in time"):
                await store.create("journal/a.json", b"mine")
        await store.close()


async def test_a_new_archive_costs_two_requests_and_a_known_one_costs_one(
    s3_store: S3Store, s3_settings: S3Settings, proxy: Proxy, bucket: Bucket
) -> None:
    await asyncio.gather(*(s3_store.create(f"journal/{number}", b"x") for number in range(5)))
    paths = [path for action, path, _ in proxy.seen if action == "PutObject"]
    assert paths.count(f"/archive/{PROOF}") == 2
    assert bucket.describe(PROOF)
    again = S3Store("archive", "room/one", s3_settings)
    proxy.seen.clear()
    assert await again.create("journal/new", b"x")
    await again.close()
    assert [path for _, path, _ in proxy.seen] == [f"/archive/{PROOF}", "/archive/room/one/journal/new"]


async def test_a_server_that_ignores_the_condition_is_refused_also_after_it_once_honoured_it(
    s3_store: S3Store, s3_settings: S3Settings, proxy: Proxy, bucket: Bucket
) -> None:
    assert await s3_store.create("journal/a.json", b"first")
    proxy.hidden.add("if-none-match")
    again = S3Store("archive", "room/one", s3_settings)
    with pytest.raises(NoExclusiveCreate, match="s3://archive/room/one"):
        await again.create("journal/a.json", b"second")
    await again.close()
    assert bucket.get("room/one/journal/a.json") == b"first"


@pytest.mark.parametrize("code", [(501, "NotImplemented"), (400, "InvalidArgument")])
async def test_a_server_that_does_not_know_the_condition_is_refused(
    s3_store: S3Store, proxy: Proxy, code: tuple[int, str]
) -> None:
    proxy.fail("PutObject", refused(*code), times=99)
    with pytest.raises(NoExclusiveCreate):
        await s3_store.create("journal/a.json", b"mine")


async def test_the_owners_word_makes_such_a_server_good_enough(
    s3_settings: S3Settings, proxy: Proxy, bucket: Bucket
) -> None:
    proxy.hidden.add("if-none-match")
    store = S3Store("archive", "room/one", s3_settings.model_copy(update={"single_worker": True}))
    won = await asyncio.gather(*(store.create("journal/a", b"%d" % number) for number in range(16)))
    assert sum(won) == 1
    assert await store.create("journal/a", b"%d" % won.index(True))
    await store.close()
    assert bucket.get("room/one/journal/a") == b"%d" % won.index(True)


async def test_a_failed_test_of_the_server_proves_nothing_and_is_repeated(
    s3_store: S3Store, proxy: Proxy
) -> None:
    proxy.fail("PutObject", refused(503, "SlowDown"), times=3)
    with pytest.raises(StorageUnavailable):
        await s3_store.create("journal/a.json", b"mine")
    assert await s3_store.create("journal/a.json", b"mine")


async def test_exactly_one_of_16_racing_creators_in_2_processes_wins(proxy: Proxy, bucket: Bucket) -> None:
    won = await asyncio.to_thread(race, "s3://archive/room/one", "journal/a.json", 2, 8, proxy.url)
    assert sum(won) == 1
    assert bucket.get("room/one/journal/a.json") == b"creator %d" % won.index(True)
