"""Where a worker notes how far it came, and dies where it is told to. It wraps the outside of the code."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx

from blocks.archive import AvatarArchive
from blocks.credentials import CometAPICredentials
from blocks.kling.client import KlingClient
from blocks.kling.models import KlingTask
from blocks.storage import local
from blocks.storage.archive import Archive
from blocks.storage.durable import take_name
from blocks.storage.s3.writer import S3Writer
from flows.tasks.connections import Connections
from tests.chaos.plan import Boundary, Kill
from tests.chaos.wire import Downloads, Posts, Reads

_MARKS = {
    Boundary.BEFORE_INTENT: "creating intent",
    Boundary.AFTER_INTENT: "created intent",
    Boundary.POST_LEFT: "post left",
    Boundary.ANSWERED: "creating submitted",
    Boundary.RECORDED: "created submitted",
    Boundary.POLLING: "polling",
    Boundary.DOWNLOADING: "downloading",
    Boundary.UPLOADING: "publishing",
    Boundary.CLIP_STORED: "creating sidecar",
    Boundary.PAUSED: "posting",
    Boundary.PAUSED_SENDING: "sending",
}
_WAIT_FOR_RIVAL = 20.0


class Hooks:
    """The marks that one worker passes, written down at once, so that they outlive it.

    Args:
        trace: Where they are written.
        kill: Where the worker dies.
        rivals: Files by which racing workers find each other, its own first; empty without a race.
        shares: Whether exclusive creation is switched off, to test the oracle.
    """

    def __init__(
        self, trace: Path, kill: Kill | None = None, rivals: tuple[Path, ...] = (), *, shares: bool = False
    ) -> None:
        self._trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._mark = _MARKS.get(kill.boundary) if kill else None
        is_pause = kill is not None and kill.is_pause
        self._signal = signal.SIGSTOP if is_pause else signal.SIGKILL
        self._delay = kill.seconds if kill and not is_pause else 0.0
        self._rivals = rivals
        self._shares = shares

    def passed(self, mark: str) -> None:
        """Write the mark down, and die if this is the place."""
        os.write(self._trace, f"{time.time():.3f} {mark}\n".encode())
        if mark == self._mark:
            self._mark = None
            time.sleep(self._delay)
            os.kill(os.getpid(), self._signal)

    async def _meet(self) -> None:
        """Wait for the rivals a while, so that all ask for the right to post at once."""
        if not self._rivals:
            return
        self._rivals[0].touch()
        limit = time.monotonic() + _WAIT_FOR_RIVAL
        while time.monotonic() < limit and not all(rival.exists() for rival in self._rivals):
            await asyncio.sleep(0.002)
        self._rivals = ()

    def install(self) -> None:
        """Wrap archive and clients of this process, whoever opens them."""
        open_archive, get_client = AvatarArchive.open, CometAPICredentials.get_client
        get_delivery = CometAPICredentials.get_delivery_client

        def opened(block: AvatarArchive) -> Archive:
            return self.wrap_archive(open_archive(block))

        def client(block: CometAPICredentials) -> KlingClient:
            made = get_client(block)
            made._posts._transport = Posts(made._posts._transport, self.passed)
            made._reads._transport = Reads(made._reads._transport, self.passed)
            return made

        def delivery(block: CometAPICredentials) -> httpx.AsyncClient:
            made = get_delivery(block)
            made._transport = Downloads(made._transport, self.passed)
            return made

        check_key = Connections.check_key

        async def met(connections: Connections, external_task_id: str) -> None:
            await check_key(connections, external_task_id)
            await self._meet()

        create = KlingClient.create

        async def posting(client: KlingClient, *given: Any, **named: Any) -> KlingTask:
            self.passed("posting")
            return await create(client, *given, **named)

        patch.object(Connections, "check_key", met).start()
        patch.object(KlingClient, "create", posting).start()
        patch.object(AvatarArchive, "open", opened).start()
        patch.object(CometAPICredentials, "get_client", client).start()
        patch.object(CometAPICredentials, "get_delivery_client", delivery).start()
        self._watch_publishing()

    def wrap_archive(self, archive: Archive) -> Archive:
        """Watch what is created in an archive."""
        store: Any = archive.store
        create, replace = store.create, store.replace

        async def watched(key: str, data: bytes) -> bool:
            what = _what(key, data)
            self.passed(f"creating {what}")
            if self._shares:
                await replace(key, data)
            is_ours: bool = self._shares or await create(key, data)
            self.passed(f"created {what}" if is_ours else f"too late for {what}")
            return is_ours

        store.create = watched
        return archive

    def _watch_publishing(self) -> None:
        publish = S3Writer.publish

        def watched(part: Path, path: Path) -> bool:
            self.passed("publishing")
            return take_name(part, path)

        async def published(writer: S3Writer) -> bool:
            self.passed("publishing")
            return await publish(writer)

        patch.object(local, "take_name", watched).start()
        patch.object(S3Writer, "publish", published).start()


def _what(key: str, data: bytes) -> str:
    if key.startswith("journal/"):
        return str(json.loads(data)["step"])
    return "sidecar" if key.startswith("clips/") else "proof"
