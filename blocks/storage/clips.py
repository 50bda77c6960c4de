"""The clip on its way into the archive: hashed and checked while it streams, published when whole."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from blocks.errors import AvatarError, ClipRejected, ClipUnavailable, StorageUnavailable
from blocks.media.clip import ClipFacts, ClipInspector, check_seconds
from blocks.storage.layout import aside_key, clip_key, sidecar_key
from blocks.storage.sidecar import StoredClip
from blocks.storage.store import Store

Deliver = Callable[[], AbstractAsyncContextManager[AsyncIterable[bytes]]]

_logger = logging.getLogger(__name__)


async def store_clip(store: Store, job_id: str, deliver: Deliver, seconds: float | None) -> StoredClip:
    """Stream a delivered clip into the archive and publish it if it is whole and right.

    Memory is bounded and independent of the size of the clip, and nothing touches this machine's disk unless
    the archive is there. Twice in a row is harmless: a clip that is there already stays, is checked in the
    same way, and is the one that is described.

    Args:
        store: Where it goes.
        job_id: Whose clip it is.
        deliver: Opens the delivery, from its first byte each time; a rejected clip is fetched a second time,
            to keep it aside.
        seconds: How long it must be, or `None` when that is not known.

    Raises:
        ClipRejected: It is not the whole, right video, and was not published; the message says whether it
            could be kept aside.
    """
    check = _Check()
    async with store.writer(clip_key(job_id)) as writer:
        async with deliver() as chunks:
            async for chunk in chunks:
                check.feed(chunk)
                await writer.write(chunk)
        verdict = await check.verdict(seconds)
        published = isinstance(verdict, ClipFacts) and await writer.publish()
    if isinstance(verdict, ClipRejected):
        raise await _kept_if_possible(store, job_id, check, deliver, verdict)
    return check.described(job_id, verdict) if published else await adopt_clip(store, job_id, seconds)


async def adopt_clip(store: Store, job_id: str, seconds: float | None) -> StoredClip:
    """Check and describe a clip that is in the archive already, without asking the provider.

    One that fails its checks is moved out of the way, so that the clip can be fetched anew: it is removed
    only when its copy is whole aside, and never when the job has a sidecar by then.

    Raises:
        ClipRejected: What was there is not the whole, right video; it is kept aside now.
    """
    check = _Check()
    async for chunk in store.chunks(clip_key(job_id)):
        check.feed(chunk)
    verdict = await check.verdict(seconds)
    if isinstance(verdict, ClipFacts):
        return check.described(job_id, verdict)
    key = await _keep_aside(store, job_id, check, lambda: nullcontext(store.chunks(clip_key(job_id))))
    if await store.read(sidecar_key(job_id)) is None:
        await store.delete(clip_key(job_id))
    raise ClipRejected(f"{verdict.message}; it is kept aside as {key}", verdict.facts)


async def _kept_if_possible(
    store: Store, job_id: str, check: _Check, deliver: Deliver, rejected: ClipRejected
) -> ClipRejected:
    """Return the error to raise for a delivery that was rejected."""
    try:
        key = await _keep_aside(store, job_id, check, deliver)
    except AvatarError as error:
        _logger.warning("A rejected clip of job %s could not be kept aside: %s", job_id, error.message)
        message = f"{rejected.message}; it could not be kept aside"
        return ClipRejected(message, rejected.facts, "Run it again to download it anew.")
    return ClipRejected(f"{rejected.message}; it is kept aside as {key}", rejected.facts)


async def _keep_aside(store: Store, job_id: str, check: _Check, deliver: Deliver) -> str:
    """Stream what `check` saw a second time, unchecked, to its key aside; the same bytes are kept once.

    Raises:
        ClipUnavailable: Other bytes came this time, or none.
        StorageUnavailable: It is not whole there.
    """
    key = aside_key(job_id, check.sha256)
    if await store.size(key) != check.size:
        again = hashlib.sha256()
        async with store.writer(key) as writer, deliver() as chunks:
            async for chunk in chunks:
                again.update(chunk)
                await writer.write(chunk)
            if again.hexdigest() != check.sha256:
                raise ClipUnavailable("The rejected file was not delivered a second time: other bytes came")
            await writer.publish()
        if await store.size(key) != check.size:
            raise StorageUnavailable(f"{key} is there already and is not what its name says")
    return key


class _Check:
    """Digest, length and structure of the bytes that pass."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._inspector = ClipInspector()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def feed(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self._inspector.feed(chunk)
        self.size += len(chunk)

    async def verdict(self, seconds: float | None) -> ClipFacts | ClipRejected:
        try:
            facts = await self._inspector.finish()
            if seconds is not None:
                check_seconds(facts, seconds)
        except ClipRejected as rejected:
            return rejected
        return facts

    def described(self, job_id: str, facts: ClipFacts) -> StoredClip:
        return StoredClip(
            key=clip_key(job_id),
            size=self.size,
            sha256=self.sha256,
            seconds=facts.seconds,
            width=facts.width,
            height=facts.height,
            fps=facts.fps,
            video_codec=facts.video_codec,
            audio_codec=facts.audio_codec,
            bit_rate=facts.bit_rate,
        )
