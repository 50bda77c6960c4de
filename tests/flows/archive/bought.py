"""A video that was bought, and archives on the S3 server of the tests that it is brought home to."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from blocks import AvatarArchive
from blocks.kling.delivery import Delivery
from blocks.storage.archive import Archive
from blocks.storage.journal import Entry
from blocks.storage.layout import clip_key, sidecar_key
from blocks.storage.s3.settings import S3Settings
from blocks.storage.s3.store import S3Store
from flows.tasks.archive import archive_clip
from flows.tasks.body import build_request
from flows.tasks.connections import Connections, connect
from flows.tasks.poll import wait_for_task
from flows.tasks.purchase import Order
from flows.tasks.request import Request
from flows.tasks.submit import submit_job
from flows.tasks.validate import check_request
from tests.blocks.storage.s3.bucket import Bucket
from tests.flows.conftest import SAMPLES, impatient_credentials

PARTS = 4
ROOM = "room/one"


class Bought:
    """One video that was made and is not archived yet.

    Attributes:
        entry: The journal entry with its Kling task id.
        clip: Its bytes.
        part_bytes: How large the parts of an upload have to be, for it to have `PARTS` of them.
    """

    def __init__(self, entry: Entry, clip: bytes) -> None:
        self.entry = entry
        self.clip = clip
        self.part_bytes = -(-len(clip) // PARTS)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.clip).hexdigest()

    def store(self, settings: S3Settings, room: str) -> S3Store:
        """Return an archive in which its clip takes several parts."""
        return S3Store("archive", room, settings.model_copy(update={"part_bytes": self.part_bytes}))

    def check_nothing_half(self, bucket: Bucket, room: str) -> None:
        """Check that what is visible is whole, and no sidecar is there without its clip."""
        clip = f"{room}/{clip_key(self.entry.job_id)}"
        keys = bucket.keys(f"{room}/clips/")
        assert keys in ([], [clip], [f"{room}/{sidecar_key(self.entry.job_id)}", clip])
        assert not keys or bucket.get(clip) == self.clip

    async def check_completes(self, connections: Connections, bucket: Bucket, room: str) -> None:
        """Check that the next attempt archives it and that nothing is left open."""
        sidecar = await archive_clip(self.entry, None, connections)
        assert sidecar.clip.sha256 == self.sha256
        assert bucket.get(f"{room}/{sidecar.clip.key}") == self.clip
        assert await connections.archive.find_done(self.entry.job_id) == sidecar
        assert bucket.open_uploads(room) == []


async def buy(base_url: str, folder: Path) -> Bought:
    """Buy a video from the sandbox, with a journal of its own."""
    request = Request(image=str(SAMPLES / "portrait.png"), audio=str(SAMPLES / "voice.mp3"))
    async with connect(impatient_credentials(base_url), AvatarArchive(url=str(folder))) as connections:
        job = await check_request(request, connections)
        order = Order(job, partial(build_request, job, request, connections))
        entry = await submit_job(order, connections)
        task = await wait_for_task(entry, connections)
        assert task.video
        async with Delivery(task.video.url, client=connections.delivery) as chunks:
            return Bought(entry, b"".join([chunk async for chunk in chunks]))


def moved(connections: Connections, store: S3Store) -> Connections:
    """Return the same connections with an archive in `store`."""
    account, place = connections.credentials, connections.place
    return Connections(account, connections.client, connections.delivery, Archive(store), place)


@asynccontextmanager
async def connected(base_url: str, store: S3Store) -> AsyncIterator[Connections]:
    """Open the sandbox and an archive in `store`."""
    account = impatient_credentials(base_url)
    async with account.get_client() as client, account.get_delivery_client() as delivery:
        yield Connections(account, client, delivery, Archive(store), AvatarArchive(url=store.url))


async def _archive(base_url: str, endpoint_url: str, room: str, part_bytes: str, entry: str) -> None:
    """Archive a video from a process of its own."""
    told = {"endpoint_url": endpoint_url, "key": "process", "secret": "process"}
    settings = S3Settings.model_validate(told).model_copy(update={"part_bytes": int(part_bytes)})
    async with connected(base_url, S3Store("archive", room, settings)) as connections:
        await archive_clip(Entry.model_validate_json(entry), None, connections)


if __name__ == "__main__":
    asyncio.run(_archive(*sys.argv[1:]))
