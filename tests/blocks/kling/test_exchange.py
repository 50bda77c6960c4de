"""A body is read once, and whatever comes back is bounded and without the key."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from blocks.kling.exchange import Body, exchange
from tests.blocks.kling.wire import Received, say, serve

KEY = "comet-0123456789abcdef"


async def test_a_body_comes_in_chunks_and_only_once() -> None:
    body = Body(bytes(200_000))
    chunks = [chunk async for chunk in body]
    assert b"".join(chunks) == bytes(200_000)
    assert max(map(len, chunks)) == 64 * 1024
    with pytest.raises(RuntimeError, match="once only"):
        _ = [chunk async for chunk in body]


async def test_a_body_is_not_begun_before_its_first_chunk_is_asked_for() -> None:
    body = Body(b"content")
    chunks = aiter(body)
    assert not body.begun
    await anext(chunks)
    assert body.begun


async def ask(url: str, seconds: float = 5, hide: str = KEY) -> tuple[bytes, dict[str, str], str]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        sent = await exchange(client, client.build_request("GET", url), seconds=seconds, hide=hide)
    assert sent.answer is not None
    return sent.answer.content, dict(sent.answer.headers), sent.trouble


async def test_the_key_is_taken_out_of_what_came_back() -> None:
    async def echo(_: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, 401, f'{{"message":"bad {KEY}"}}'.encode(), {"X-Request-ID": KEY, "ETag": "a"})

    async with serve(echo) as wire:
        content, headers, _ = await ask(wire.url)
    assert content == b'{"message":"bad [key]"}'
    assert headers["x-request-id"] == "[key]"


async def test_a_short_word_as_key_does_not_tear_answers_apart() -> None:
    async def echo(_: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, 200, b'{"message":"x"}')

    async with serve(echo) as wire:
        content, _, _ = await ask(wire.url, hide="x")
    assert content == b'{"message":"x"}'


async def test_an_endless_answer_is_not_taken_in() -> None:
    async def pour(_: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, 200, b"", {"Content-Length": str(10**9)})
        while not writer.is_closing():
            writer.write(bytes(64 * 1024))
            await writer.drain()

    async with serve(pour) as wire:
        content, _, trouble = await ask(wire.url)
    assert len(content) < 5 * 1024 * 1024
    assert "longer than" in trouble


async def test_what_arrived_before_time_was_up_is_kept() -> None:
    async def hesitate(_: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, 400, b'{"message":', {"Content-Length": "99"})
        await asyncio.sleep(60)

    async with serve(hesitate) as wire:
        content, _, trouble = await ask(wire.url, seconds=0.3)
    assert content == b'{"message":'
    assert "0.3 s" in trouble
