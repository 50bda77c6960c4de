"""Images and audios as they come in: read, looked at, kept."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from typing import Generic, NamedTuple, TypeVar

import httpx
from anyio import to_thread

from blocks.sandbox.blobs import Blobs
from blocks.sandbox.limits import AUDIO_BYTES, IMAGE_BYTES, LONGEST_SECONDS, check_picture, check_seconds
from blocks.sandbox.measure import Picture, Unreadable, measure_audio, measure_image
from blocks.sandbox.refusals import parameter
from blocks.sandbox.sources import read_source
from blocks.sandbox.threads import run_sized

Fact = TypeVar("Fact")


class Sound(NamedTuple):
    """An audio that is kept: its digest and its measured seconds."""

    digest: str
    seconds: Decimal


class _Remembered(Generic[Fact]):
    """What was measured of bytes that come again and again; each is measured once, also at the same time."""

    def __init__(self, measure: Callable[[bytes], Fact], most: int = 4096) -> None:
        self._measure = measure
        self._most = most
        self._facts: OrderedDict[str, asyncio.Future[Fact]] = OrderedDict()

    async def look(self, data: bytes) -> tuple[str, Fact]:
        """Return digest and facts of `data`.

        Raises:
            Unreadable: It is not of a documented format.
        """
        digest = await run_sized(_digest, data)
        fact = self._facts.get(digest)
        if fact is None:
            fact = asyncio.ensure_future(to_thread.run_sync(self._measure, data))
            self._facts[digest] = fact
            if len(self._facts) > self._most:
                self._facts.popitem(last=False)
        return digest, await asyncio.shield(fact)


class Intake:
    """Takes in what create requests bring.

    Args:
        blobs: Where the bytes are kept.
        client: Fetches URLs.
    """

    def __init__(self, blobs: Blobs, client: httpx.AsyncClient) -> None:
        self._blobs = blobs
        self._client = client
        self._pictures = _Remembered[Picture](measure_image)
        self._seconds = _Remembered[Decimal](lambda data: measure_audio(data, LONGEST_SECONDS))

    async def image(self, value: str) -> str:
        """Keep an image and return its digest.

        Raises:
            Refusal: It breaks a documented limit.
        """
        data = await read_source(self._client, "image", value, IMAGE_BYTES)
        try:
            digest, picture = await self._pictures.look(data)
        except Unreadable:
            raise parameter("image is not a readable JPEG or PNG") from None
        check_picture(picture)
        await self._blobs.put(digest, data)
        return digest

    async def sound(self, value: str) -> Sound:
        """Keep an audio and return its digest and seconds.

        Raises:
            Refusal: It breaks a documented limit.
        """
        data = await read_source(self._client, "sound_file", value, AUDIO_BYTES)
        try:
            digest, seconds = await self._seconds.look(data)
        except Unreadable:
            raise parameter("sound_file is not a readable MP3, WAV, M4A or AAC") from None
        check_seconds("sound_file", seconds)
        await self._blobs.put(digest, data)
        return Sound(digest, seconds)

    async def speech(self, data: bytes) -> Sound:
        """Keep speech of any length."""
        digest = _digest(data)
        seconds = await to_thread.run_sync(measure_audio, data, 10 * LONGEST_SECONDS)
        await self._blobs.put(digest, data)
        return Sound(digest, seconds)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
