"""Addresses that strangers may name: what we fetch from, and what we refuse to touch.

A delivery link comes from the provider, a source from whoever fills the form. Neither may make this machine
talk to itself, to its neighbours or to the metadata service of its cloud.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, ClassVar

import httpx

from blocks.errors import AvatarError
from blocks.transport import AiohttpTransport

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

_MOST_REDIRECTS = 3
_MOST_ADDRESSES = 4
_LOOKUP_SECONDS = 10.0
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_HOST_NAME = re.compile(r"[A-Za-z0-9._-]+")
_SPECIAL_NAMES = (
    "localhost",
    "local",
    "internal",
    "intranet",
    "lan",
    "home.arpa",
    "test",
    "invalid",
    "onion",
)


class UnsafeAddress(AvatarError):
    """An address that a stranger named is not on the public internet, or not reached by https."""

    default_next_step: ClassVar[str] = (
        "Use a public https address; a private host is allowed by the delivery hosts of the CometAPI "
        "Credentials block."
    )


class QuietURL(httpx.URL):
    """An address whose query may be a signature: it is sent, but not shown in logs and reprs."""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc.decode('ascii')}{self.path}"

    def __repr__(self) -> str:
        return f"QuietURL({str(self)!r})"


class GuardedTransport(httpx.AsyncBaseTransport):
    """Sends only to public addresses, by https; each redirect is a request of its own and checked too.

    The host name is looked up once, every address it has is checked, and the connection goes to a checked
    address, so a name that changes its mind in between (DNS rebinding) gains nothing. The certificate is
    still checked against the name. Connections are not reused: two names may share one address.

    Args:
        allowed_hosts: Hosts (`media.example`, `127.0.0.1:8788`) for which all this is not asked.
        inner: Sends what was checked; it must not reuse connections either.
        resolve: Looks up the addresses of a host and port.
    """

    def __init__(
        self,
        allowed_hosts: Collection[str] = (),
        inner: httpx.AsyncBaseTransport | None = None,
        resolve: Resolver | None = None,
    ) -> None:
        self._allowed = {host.lower() for host in allowed_hosts}
        self._inner = inner or AiohttpTransport(_trusted_certificates())
        self._resolve = resolve or _look_up

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request` if its address is safe.

        Raises:
            UnsafeAddress: It is not; nothing was sent.
        """
        url = request.url
        if url.userinfo:
            raise UnsafeAddress(f"The address of {url.host} holds a user name or password")
        if url.scheme in ("http", "https") and self._is_allowed(url):
            return await self._inner.handle_async_request(request)
        if url.scheme != "https" or not url.host:
            raise UnsafeAddress(f"The address {url.scheme}://{url.host} is not an https address")
        return await self._send(request, await self._checked_addresses(url))

    async def aclose(self) -> None:
        """Close the transport underneath."""
        await self._inner.aclose()

    def _is_allowed(self, url: httpx.URL) -> bool:
        host = f"[{url.host}]" if ":" in url.host else url.host
        port = url.port or (443 if url.scheme == "https" else 80)
        return not self._allowed.isdisjoint({url.host, host, f"{host}:{port}"})

    async def _checked_addresses(self, url: httpx.URL) -> list[str]:
        host = url.raw_host.decode("ascii")
        literal = _literal(host)
        if literal is None and not _HOST_NAME.fullmatch(host):
            raise UnsafeAddress("The address names no host")
        found = [str(literal)] if literal else await self._resolve(host, url.port or 443)
        if not found:
            raise httpx.ConnectError(f"The host {host} has no address")
        for address in found:
            if not is_public(ip_address(address)):
                raise UnsafeAddress(f"The host {host} leads to {address}, which is not a public address")
        return list(dict.fromkeys(found))[:_MOST_ADDRESSES]

    async def _send(self, request: httpx.Request, addresses: list[str]) -> httpx.Response:
        *others, last = addresses
        for address in others:
            # Not connected means not sent, so the next address may be tried.
            with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._inner.handle_async_request(_pinned(request, address))
        return await self._inner.handle_async_request(_pinned(request, last))


def guarded_client(allowed_hosts: Collection[str] = (), **client_options: Any) -> httpx.AsyncClient:
    """Return a client for addresses that strangers name: guarded, without our key, at most three redirects.

    Queries of addresses, which may be signatures, stay out of its logs. Proxies and `.netrc` of the
    environment are not used: a proxy would look the names up again.

    Args:
        allowed_hosts: Hosts that may be private and may be reached by plain http.
        client_options: Further options of `httpx.AsyncClient`.
    """
    defaults: dict[str, Any] = {
        "timeout": httpx.Timeout(30.0, connect=10.0),
        "headers": {"User-Agent": "kling-avatar-flows", "Accept-Encoding": "identity"},
    }
    return httpx.AsyncClient(
        **(defaults | client_options),
        transport=GuardedTransport(allowed_hosts),
        trust_env=False,
        event_hooks={"request": [_quiet]},
        follow_redirects=True,
        max_redirects=_MOST_REDIRECTS,
    )


def is_public(address: Address) -> bool:
    """Tell whether an address is on the public internet, also where IPv6 wraps an IPv4 address."""
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address in _NAT64:
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    if inner is not None:
        return is_public(inner)
    return address in _GLOBAL_UNICAST and address.is_global


def is_public_host(host: str) -> bool:
    """Tell, without looking it up, whether a host can be public: a full name or a public address."""
    name = host.lower().removesuffix(".")
    literal = _literal(name.strip("[]"))
    if literal is not None:
        return is_public(literal)
    return "." in name and not any(name == end or name.endswith(f".{end}") for end in _SPECIAL_NAMES)


def is_loopback(url: str) -> bool:
    """Tell, without looking anything up, whether a URL leads to this machine."""
    host = httpx.URL(url.strip()).host
    literal = _literal(host)
    return literal.is_loopback if literal else host == "localhost" or host.endswith(".localhost")


def _literal(host: str) -> Address | None:
    with suppress(ValueError):
        return ip_address(host)
    # Decimal, octal, hexadecimal and short forms, which the system's resolver takes for addresses too.
    with suppress(OSError, ValueError):
        return IPv4Address(socket.inet_aton(host))
    return None


def _pinned(request: httpx.Request, address: str) -> httpx.Request:
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={
            **request.extensions,
            "sni_hostname": request.url.raw_host.decode("ascii").removesuffix("."),
        },
    )


@cache
def _trusted_certificates() -> ssl.SSLContext:
    # Reading them takes tens of milliseconds, too much for every fetch. `SSL_CERT_FILE` counts.
    return httpx.create_ssl_context()


async def _quiet(request: httpx.Request) -> None:
    # The client logs the address of each request, also of those that a redirect asks for.
    request.url = QuietURL(request.url)


async def _look_up(host: str, port: int) -> Sequence[str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_LOOKUP_SECONDS):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise httpx.ConnectTimeout(f"The host {host} was not looked up in time") from error
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError(f"The host {host} was not found") from error
    return [str(address[0]) for *_, address in found]
