"""The open archive: one store and what is kept in it."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from blocks.storage.journal import Journal
from blocks.storage.layout import clip_key
from blocks.storage.sidecar import Sidecar, commit_sidecar, read_sidecar
from blocks.storage.speech import SpeechSidecar, read_speech
from blocks.storage.store import Store


class Archive:
    """Clips, sidecars and journals in one store, while it is open.

    Args:
        store: The place; it is closed with the archive.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.journal = Journal(store)

    @property
    def url(self) -> str:
        """Where the archive is."""
        return self.store.url

    async def find_done(self, job_id: str) -> Sidecar | None:
        """Return the sidecar of a finished job, or `None`. One read."""
        return await read_sidecar(self.store, job_id)

    async def find_speech(self, speech_id: str) -> SpeechSidecar | None:
        """Return the sidecar of a speech that is made, or `None`. One read."""
        return await read_speech(self.store, speech_id)

    async def commit(self, sidecar: Sidecar) -> Sidecar:
        """Mark a job as done and return the sidecar that counts."""
        return await commit_sidecar(self.store, sidecar)

    async def has_clip(self, job_id: str) -> bool:
        """Tell whether a whole, checked clip is there, with or without its sidecar."""
        return await self.store.size(clip_key(job_id)) is not None

    def address(self, key: str) -> str:
        """Return where `key` is, as people write it."""
        return f"{self.url.rstrip('/')}/{key}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.store.close()
