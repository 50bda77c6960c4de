"""The clip on its way into the archive: hashed and checked while it streams, published when whole."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable

from blocks.errors import ClipRejected
from blocks.media.clip import ClipFacts, ClipInspector, check_seconds
from blocks.storage.journal import now
from blocks.storage.layout import aside_key, clip_key
from blocks.storage.sidecar import StoredClip
from blocks.storage.store import Store


async def store_clip(
    store: Store, job_id: str, chunks: AsyncIterable[bytes], seconds: float | None
) -> StoredClip:
    """Stream a delivered clip into the archive and publish it if it is whole and right.

    Memory is bounded and independent of the size of the clip. Twice in a row is harmless: a clip that is
    there already stays, is checked in the same way, and is the one that is described.

    Args:
        store: Where it goes.
        job_id: Whose clip it is.
        chunks: Its bytes, in order.
        seconds: How long it must be, or `None` when that is not known.

    Raises:
        ClipRejected: It is not the whole, right video; it was kept aside and not published.
    """
    check = _Check()
    async with store.writer(clip_key(job_id)) as writer:
        async for chunk in chunks:
            check.feed(chunk)
            await writer.write(chunk)
        try:
            facts = await check.finish(seconds)
        except ClipRejected:
            await writer.set_aside(aside_key(job_id, now()))
            raise
        published = await writer.publish()
    return check.described(job_id, facts) if published else await adopt_clip(store, job_id, seconds)


async def adopt_clip(store: Store, job_id: str, seconds: float | None) -> StoredClip:
    """Check and describe a clip that is in the archive already, without asking the provider.

    Raises:
        ClipRejected: What is there is not the whole, right video.
    """
    check = _Check()
    async for chunk in store.chunks(clip_key(job_id)):
        check.feed(chunk)
    return check.described(job_id, await check.finish(seconds))


class _Check:
    """Digest, length and structure of the bytes that pass."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._inspector = ClipInspector()
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self._inspector.feed(chunk)
        self._size += len(chunk)

    async def finish(self, seconds: float | None) -> ClipFacts:
        facts = await self._inspector.finish()
        if seconds is not None:
            check_seconds(facts, seconds)
        return facts

    def described(self, job_id: str, facts: ClipFacts) -> StoredClip:
        return StoredClip(
            key=clip_key(job_id),
            size=self._size,
            sha256=self._digest.hexdigest(),
            seconds=facts.seconds,
            width=facts.width,
            height=facts.height,
            fps=facts.fps,
            video_codec=facts.video_codec,
            audio_codec=facts.audio_codec,
            bit_rate=facts.bit_rate,
        )
