"""Downloads: whole or not at all, taken up where they broke, without our key and without leaks."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest

from blocks.errors import ClipRejected, ClipUnavailable
from blocks.kling.delivery import Delivery
from blocks.web import guarded_client
from tests.blocks.kling.delivering import CLIP, ETAG, QUICK, SIGNED, Host, failure, fetch, served
from tests.blocks.kling.wire import Received, say, serve


async def test_a_clip_arrives_whole_with_its_facts() -> None:
    async with served(Host()) as (wire, client):
        content, delivery = await fetch(wire.url + SIGNED, client)
    assert content == CLIP
    assert (delivery.content_length, delivery.received, delivery.resumed) == (len(CLIP), len(CLIP), 0)
    assert (delivery.content_type, delivery.etag) == ("video/mp4", ETAG)
    assert wire.requests[0].target == SIGNED
    assert "authorization" not in wire.requests[0].headers


async def test_facts_are_there_before_the_first_chunk() -> None:
    async with (
        served(Host()) as (wire, client),
        Delivery(wire.url + SIGNED, client=client, **QUICK) as delivery,
    ):
        assert (delivery.content_length, delivery.received) == (len(CLIP), 0)


@pytest.mark.parametrize("ending", ["close", "reset", "stall"])
async def test_a_broken_download_goes_on_where_it_ended(ending: str) -> None:
    async with served(Host(100_000, 70_000, ending=ending)) as (wire, client):
        content, delivery = await fetch(wire.url + SIGNED, client)
    assert content == CLIP
    assert delivery.resumed == 2
    first, second, third = wire.requests
    assert "range" not in first.headers
    assert second.headers["if-range"] == ETAG
    assert second.headers["range"].startswith("bytes=")
    assert int(third.headers["range"][6:-1]) > int(second.headers["range"][6:-1]) > 0
    assert [request.target for request in wire.requests] == [SIGNED] * 3


async def test_a_modification_date_does_where_the_etag_is_weak() -> None:
    date = "Sat, 10 Oct 2026 12:00:00 GMT"
    async with served(Host(100_000, ETag='W/"1"', Last_Modified=date)) as (wire, client):
        content, _ = await fetch(wire.url + SIGNED, client)
    assert content == CLIP
    assert wire.requests[1].headers["if-range"] == date


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_host_that_is_busy_for_a_moment_is_asked_again(status: int) -> None:
    host = Host(100_000)
    host.statuses = {2: status}
    async with served(host) as (wire, client):
        content, delivery = await fetch(wire.url + SIGNED, client)
    assert content == CLIP
    assert delivery.resumed == 2


@pytest.mark.parametrize(
    "headers",
    [{"Accept_Ranges": None}, {"Accept_Ranges": "none"}, {"ETag": None}, {"ETag": 'W/"1"'},
     {"Content_Length": None, "Transfer_Encoding": "chunked"}],
    ids=str,
)  # fmt: skip
async def test_without_proof_that_the_file_is_the_same_it_is_not_taken_up(headers: dict[str, str]) -> None:
    host = Host(100_000, **headers)
    error = await failure(host)
    assert type(error) is ClipUnavailable
    assert host.answered == 1


@pytest.mark.parametrize(
    "later",
    [
        {"ETag": '"v2"'},
        {"Content-Range": "bytes 0-299999/300000"},
        {"Content-Range": "bytes 100000-299999/300001"},
        {"Content-Range": "bytes 100000-200000/300000"},
        {"Content-Range": "bytes */300000"},
        {"Content-Range": ""},
        {"Content-Encoding": "gzip"},
    ],
    ids=str,
)
async def test_a_rest_of_another_file_is_refused(later: dict[str, str]) -> None:
    host = Host(100_000)
    host.later = later
    assert type(await failure(host)) is ClipUnavailable
    assert host.answered == 2


@pytest.mark.parametrize("status", [200, 404, 412, 416])
async def test_a_host_that_does_not_send_the_rest_ends_the_download(status: int) -> None:
    host = Host(100_000)
    host.statuses = {2: status}
    error = await failure(host)
    assert type(error) is ClipUnavailable
    assert error.facts.http_status == status


async def test_a_download_that_breaks_off_for_ever_ends() -> None:
    host = Host(*[1000] * 20)
    error = await failure(host, most_resumes=3)
    assert type(error) is ClipUnavailable
    assert "broke off after" in error.message
    assert host.answered == 4


async def test_a_host_that_is_gone_ends_the_download() -> None:
    async with guarded_client(["127.0.0.1"]) as client:
        async with serve(Host(100_000, ending="stall")) as wire:
            delivery = Delivery(wire.url + SIGNED, client=client, **QUICK)
            await delivery.__aenter__()
        with pytest.raises(ClipUnavailable, match="broke off"):
            _ = [chunk async for chunk in delivery]
        await delivery.__aexit__(None, None, None)
    assert delivery.resumed == 5


@pytest.mark.parametrize("status", [204, 206, 302, 400, 401, 403, 404, 410, 429, 500, 503])
async def test_a_link_that_does_not_answer_200_is_dead(status: int) -> None:
    host = Host()
    host.statuses = {1: status}
    error = await failure(host)
    assert type(error) is ClipUnavailable
    assert error.facts.http_status == status
    assert "127.0.0.1" in error.message
    assert "/kling/1.mp4" in error.message


@pytest.mark.parametrize(
    "kind", ["text/html", "text/plain", "application/xml", "application/json", "image/svg+xml", "TEXT/HTML"]
)
async def test_a_page_is_not_a_video(kind: str) -> None:
    assert type(await failure(Host(Content_Type=kind))) is ClipUnavailable


@pytest.mark.parametrize("kind", ["video/mp4", "application/octet-stream", "binary/octet-stream", None])
async def test_what_hosts_call_a_video_is_taken(kind: str | None) -> None:
    async with served(Host(Content_Type=kind)) as (wire, client):
        content, _ = await fetch(wire.url + SIGNED, client)
    assert content == CLIP


async def test_an_encoded_file_is_not_taken() -> None:
    assert type(await failure(Host(Content_Encoding="gzip"))) is ClipUnavailable


async def test_an_empty_file_is_not_a_video() -> None:
    host = Host()
    host.clip = b""
    assert type(await failure(host)) is ClipUnavailable


@pytest.mark.parametrize("length", [str(len(CLIP)), None])
async def test_a_file_above_the_ceiling_is_not_taken_whether_it_says_so_or_not(length: str | None) -> None:
    error = await failure(Host(Content_Length=length), ceiling_bytes=200_000)
    assert type(error) is ClipRejected
    assert "200000" in error.message


async def test_a_file_that_says_it_is_too_long_is_refused_before_its_first_chunk() -> None:
    async with served(Host()) as (wire, client):
        with pytest.raises(ClipRejected):
            await Delivery(wire.url + SIGNED, client=client, ceiling_bytes=200_000).__aenter__()


async def test_a_file_without_a_length_is_taken_to_its_end() -> None:
    async with served(Host(Content_Length=None)) as (wire, client):
        content, delivery = await fetch(wire.url + SIGNED, client)
    assert content == CLIP
    assert delivery.content_length is None


async def test_a_redirect_is_followed_with_the_range() -> None:
    async with serve(Host(100_000)) as far:

        async def elsewhere(_: Received, writer: asyncio.StreamWriter) -> None:
            await say(writer, 302, b"", {"Location": f"{far.url}/real.mp4?X-Signature=5ec2e7"})

        async with serve(elsewhere) as near, guarded_client(["127.0.0.1"]) as client:
            content, _ = await fetch(near.url + SIGNED, client)
    assert content == CLIP
    assert far.requests[1].target == "/real.mp4?X-Signature=5ec2e7"
    assert far.requests[1].headers["range"].startswith("bytes=")


async def test_a_host_that_redirects_for_ever_is_left() -> None:
    async def round_and_round(_: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, 302, b"", {"Location": SIGNED})

    async with serve(round_and_round) as wire, guarded_client(["127.0.0.1"]) as client:
        with pytest.raises(ClipUnavailable, match="TooManyRedirects"):
            await fetch(wire.url + SIGNED, client)
    assert len(wire.requests) < 10


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x?sig=5ec2e7", "https://10.0.0.1/x?sig=5ec2e7"])
async def test_an_address_that_is_not_allowed_is_not_asked(url: str) -> None:
    async with guarded_client() as client:
        with pytest.raises(ClipUnavailable) as refusal:
            await fetch(url, client)
    assert "delivery hosts" in refusal.value.next_step
    assert "5ec2e7" not in str(refusal.value)


@pytest.mark.parametrize("place", ["https://10.0.0.1/x", "http://8.8.8.8/x", "file:///etc/hostname"])
async def test_a_host_that_sends_the_rest_of_a_download_astray_is_left(place: str) -> None:
    """The video is paid for: this is a dead link to ask for anew, not a reason to give the job up."""
    host = Host(100_000, Location=place)
    host.statuses = {2: 302}
    error = await failure(host)
    assert isinstance(error, ClipUnavailable)
    assert host.answered == 2


@pytest.mark.parametrize("url", ["", "not an address", "https://", "http://[::1", "/kling/1.mp4"])
async def test_a_link_that_is_no_address_is_dead(url: str) -> None:
    async with guarded_client() as client:
        with pytest.raises(ClipUnavailable):
            await fetch(url, client)


async def test_the_signature_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with served(Host(100_000)) as (wire, client):
        await fetch(wire.url + SIGNED, client)
    async with serve(Host(100_000)) as wire, httpx.AsyncClient(trust_env=False) as plain:
        await fetch(wire.url + SIGNED, plain)
    assert "/kling/1.mp4" in caplog.text
    assert "5ec2e7" not in caplog.text


async def test_a_delivery_that_was_not_opened_does_not_look_empty() -> None:
    async with guarded_client() as client:
        with pytest.raises(RuntimeError, match="async with"):
            _ = [chunk async for chunk in Delivery("https://a.example/x", client=client)]


async def test_leaving_early_gives_the_connection_back() -> None:
    async with served(Host(ending="stall")) as (wire, client):
        async with Delivery(wire.url + SIGNED, client=client, **QUICK) as delivery:
            async for _ in delivery:
                break
        content, _ = await fetch(wire.url + SIGNED, client)
    assert content == CLIP
