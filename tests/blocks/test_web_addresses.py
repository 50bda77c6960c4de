"""Which addresses are let through, and to where; nothing here reaches a network."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

import httpx
import pytest

from blocks.web import (
    GuardedTransport,
    QuietURL,
    UnsafeAddress,
    guarded_client,
    is_loopback,
    is_public,
    is_public_host,
)

PUBLIC = "93.184.216.34"


class Recorder(httpx.AsyncBaseTransport):
    """Answers in place of the network and keeps what it was asked."""

    def __init__(self, unreachable: Sequence[str] = ()) -> None:
        self.requests: list[httpx.Request] = []
        self.unreachable = unreachable

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.host in self.unreachable:
            raise httpx.ConnectError("no route")
        return httpx.Response(200)


def resolver(*answers: Sequence[str]) -> Callable[[str, int], Any]:
    """Give another answer to each lookup, as a name does that rebinds."""
    remaining = iter(answers)

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return next(remaining)

    return resolve


async def get(url: str, *answers: Sequence[str], recorder: Recorder | None = None) -> httpx.Response:
    transport = GuardedTransport((), recorder or Recorder(), resolver(*answers))
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        return await client.get(url)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0x7f000001",
        "017700000001",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",  # noqa: S104 - nobody listens there
        "224.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[fe80::1]",
        "[fc00::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:db8::1]",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
        "localhost",
    ],
)
async def test_private_addresses_are_refused_in_every_spelling(host: str) -> None:
    """By the system's own resolver; nothing reaches the network."""
    recorder = Recorder()
    async with httpx.AsyncClient(transport=GuardedTransport((), recorder), trust_env=False) as client:
        with pytest.raises(UnsafeAddress, match="not a public address"):
            await client.get(f"https://{host}/")

    assert recorder.requests == []


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (f"https://{PUBLIC}/", PUBLIC),
        ("https://1572395042/", PUBLIC),
        ("https://[2606:2800:220:1:248:1893:25c8:1946]/", "2606:2800:220:1:248:1893:25c8:1946"),
    ],
)
async def test_a_public_address_is_reached_without_lookup(url: str, address: str) -> None:
    recorder = Recorder()
    await get(url, recorder=recorder)

    assert recorder.requests[0].url.host == address


async def test_the_connection_goes_to_the_checked_address_under_the_name_that_was_asked_for() -> None:
    recorder = Recorder()
    await get("https://films.example.com:8443/a%20b?sig=1%2F2", [PUBLIC], ["127.0.0.1"], recorder=recorder)

    (request,) = recorder.requests
    assert str(request.url) == f"https://{PUBLIC}:8443/a%20b?sig=1%2F2"
    assert request.headers["host"] == "films.example.com:8443"
    assert request.extensions["sni_hostname"] == "films.example.com"


async def test_a_name_that_changes_its_mind_is_refused_at_its_next_lookup() -> None:
    recorder = Recorder()
    transport = GuardedTransport((), recorder, resolver([PUBLIC], ["127.0.0.1"]))
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        await client.get("https://rebinding.example.com/")
        with pytest.raises(UnsafeAddress):
            await client.get("https://rebinding.example.com/")

    assert len(recorder.requests) == 1


async def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    recorder = Recorder()
    with pytest.raises(UnsafeAddress, match=r"10\.0\.0\.7"):
        await get("https://mixed.example.com/", [PUBLIC, "1.1.1.1", "10.0.0.7"], recorder=recorder)

    assert recorder.requests == []


async def test_an_address_without_route_is_passed_over() -> None:
    addresses = ["2606:2800:220:1:248:1893:25c8:1946", PUBLIC]
    recorder = Recorder(unreachable=addresses[:1])
    await get("https://films.example.com/", addresses, recorder=recorder)
    assert [request.url.host for request in recorder.requests] == addresses

    with pytest.raises(httpx.ConnectError):
        await get("https://films.example.com/", addresses, recorder=Recorder(unreachable=addresses))


@pytest.mark.parametrize(
    "url",
    ["https://key:secret@example.com/", "https://key@example.com/", "https://good.example.com\\@127.0.0.1/"],
)
async def test_credentials_in_an_address_are_refused(url: str) -> None:
    with pytest.raises(UnsafeAddress, match="user name or password") as refused:
        await get(url, [PUBLIC])

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("host", ["[bad", "x y", "ex%61mple.com", "a(b).com"])
async def test_what_is_no_host_name_is_not_looked_up(host: str) -> None:
    with pytest.raises(UnsafeAddress, match="names no host"):
        await get(f"https://{host}/", [PUBLIC])


async def test_a_name_without_address_is_a_connection_that_failed() -> None:
    with pytest.raises(httpx.ConnectError):
        await get("https://nowhere.example.com/", [])
    async with guarded_client() as client:
        with pytest.raises(httpx.ConnectError, match="not found"):
            await client.get("https://nowhere.invalid/")


async def test_the_refusal_says_what_to_do_and_survives_pickling() -> None:
    with pytest.raises(UnsafeAddress) as refused:
        await get("https://inside.example.com/?signature=abc", ["10.0.0.1"])
    again = pickle.loads(pickle.dumps(refused.value))  # noqa: S301 - our own bytes

    assert "delivery hosts" in str(again)
    assert "signature" not in str(again)
    assert again.charged == "no"


def test_a_quiet_address_still_is_the_address() -> None:
    url = QuietURL("https://example.com/a?signature=abc")

    assert str(url) == "https://example.com/a"
    assert repr(url) == "QuietURL('https://example.com/a')"
    assert url.raw_path == b"/a?signature=abc"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        (PUBLIC, True),
        ("8.8.8.8", True),
        ("192.0.2.1", False),
        ("198.18.0.1", False),
        ("240.0.0.1", False),
        ("2606:4700::1111", True),
        ("2002:0808:0808::", True),
        ("64:ff9b::808:808", True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("fe80::1%eth0", False),
        ("4000::1", False),
    ],
)
def test_what_a_public_address_is(address: str, public: bool) -> None:
    assert is_public(ip_address(address)) is public


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("assets.example.org", True),
        ("Assets.Example.ORG.", True),
        (PUBLIC, True),
        ("[2606:4700::1111]", True),
        ("xn--mnchen-3ya.de", True),
        ("localhost", False),
        ("me.localhost", False),
        ("printer", False),
        ("printer.local", False),
        ("db.internal", False),
        ("nas.lan", False),
        ("router.home.arpa", False),
        ("10.1.2.3", False),
        ("2130706433", False),
        ("0x7f.1", False),
        ("[::1]", False),
        ("", False),
        (".", False),
    ],
)
def test_what_a_public_host_is(host: str, public: bool) -> None:
    assert is_public_host(host) is public


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:8788", True),
        ("http://127.3.2.1", True),
        (" http://localhost:8788/ ", True),
        ("http://sandbox.localhost", True),
        ("http://[::1]:8788", True),
        ("https://api.cometapi.com", False),
        ("http://10.0.0.1", False),
        ("http://localhost.example.com", False),
    ],
)
def test_what_leads_to_this_machine(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback
