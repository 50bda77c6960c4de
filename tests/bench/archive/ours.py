"""This project's way: `Delivery` and `store_clip`, hashed and checked. Usage: see `contender.Work`."""

from __future__ import annotations

import asyncio
from functools import partial
from hashlib import sha256
from urllib.parse import urlsplit

from blocks.kling.delivery import Delivery
from blocks.media.measure import PROCESS, measure_image
from blocks.storage.clips import store_clip
from blocks.storage.s3.settings import S3Settings
from blocks.storage.s3.store import S3Store
from blocks.web import guarded_client
from tests.bench.archive.clips import SAMPLES
from tests.bench.archive.contender import KEY_ID, SECRET, Work, measured


async def main(work: Work) -> None:
    """Copy the clip; a check that fails ends the process with an error."""
    store = S3Store("archive", work.prefix, S3Settings(endpoint_url=work.server, key=KEY_ID, secret=SECRET))
    turns = asyncio.Semaphore(work.at_once)
    async with guarded_client([urlsplit(work.source).netloc]) as client:
        deliver = partial(Delivery, work.source, client=client)

        async def copy(number: int) -> None:
            async with turns:
                job_id = sha256(b"%d" % number).hexdigest()
                clip = await store_clip(store, job_id, deliver, work.seconds)
            if clip.size != work.size:
                raise SystemExit(f"{clip.size} bytes arrived of {work.size}")

        # Every worker has measured a picture and asked its archive before it fetches a clip.
        await measure_image((SAMPLES / "portrait.png").read_bytes())
        await store.size("idle")
        with measured(lambda: [PROCESS.pid] if PROCESS.pid else []):
            await asyncio.gather(*(copy(number) for number in range(work.clips)))
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(Work.given()))
