"""Real servers on this machine that misbehave as told, down to single bytes and resets."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

CONTRACT = Path(__file__).parents[2] / "contract"


@dataclass(frozen=True)
class Received:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Wire:
    url: str
    requests: list[Received] = field(default_factory=list)
    connections: int = 0

    @property
    def posts(self) -> int:
        return sum(request.method == "POST" for request in self.requests)


Script = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serve(script: Script) -> AsyncIterator[Wire]:
    """Run `script` for each request that arrives whole; a connection may carry several."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                request = await read_request(reader)
                wire.requests.append(request)
                await script(request, writer)
        writer.close()

    async with listen(talk) as url:
        wire = Wire(url)
        yield wire


@asynccontextmanager
async def listen(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    """Run `talk` for each connection, whatever arrives on it."""
    running: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await talk(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            running.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=2**20, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    finally:
        server.close()
        for task in tuple(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> Received:
    method, target, headers = await read_head(reader)
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, target, headers, body)


async def read_head(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str]]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    return method, target, {name.lower(): value.strip() for name, _, value in pairs}


def head(status: int, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode("latin-1")


async def say(
    writer: asyncio.StreamWriter, status: int, content: bytes, headers: dict[str, str] | None = None
) -> None:
    fields = {"Content-Type": "application/json", "Content-Length": str(len(content))} | (headers or {})
    writer.write(head(status, fields) + content)
    await writer.drain()


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with a TCP reset, as a dying host does."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def self_signed(folder: Path) -> ssl.SSLContext:
    """Return what a TLS server needs to present a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    begin = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context


def sample(name: str) -> tuple[int, bytes]:
    """Return status and body of a contract sample."""
    content: dict[str, Any] = json.loads((CONTRACT / f"{name}.json").read_bytes())
    return content["status"], json.dumps(content["body"]).encode()


def answering(name: str) -> Script:
    status, content = sample(name)

    async def script(_: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, status, content)

    return script


async def no_answer(_: Received, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def reset_instead_of_answer(_: Received, writer: asyncio.StreamWriter) -> None:
    reset(writer)


async def never(_: Received, __: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def half_a_head(_: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    await writer.drain()
    writer.close()


async def no_http(_: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail ready\r\n\r\n")
    await writer.drain()


async def half_a_body(_: Received, writer: asyncio.StreamWriter) -> None:
    status, content = sample("create-accepted")
    await say(writer, status, content[:40], {"Content-Length": str(len(content))})
    writer.close()


async def a_slow_body(_: Received, writer: asyncio.StreamWriter) -> None:
    status, content = sample("create-accepted")
    writer.write(head(status, {"Content-Length": str(len(content))}))
    for byte in content:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def too_long_an_answer(_: Received, writer: asyncio.StreamWriter) -> None:
    await say(writer, 200, b'{"code": 0, "message": "' + b"x" * 5_000_000 + b'"}')
