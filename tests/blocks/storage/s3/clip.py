"""What the tests of the writer stream into the bucket."""

from __future__ import annotations

from blocks.storage.s3.store import S3Store

KEY = "clips/ab/a.mp4"
PLACE = f"room/one/{KEY}"
PART = 2**16
CLIP = b"".join(bytes([number]) * PART for number in range(2)) + b"the end"


async def publish(store: S3Store, data: bytes = CLIP, key: str = KEY) -> bool:
    """Stream `data` in small chunks, and publish it."""
    async with store.writer(key) as writer:
        for start in range(0, len(data), 20_000):
            await writer.write(data[start : start + 20_000])
        return await writer.publish()
