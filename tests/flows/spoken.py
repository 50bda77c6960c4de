"""What the tests of spoken videos share: what is said, and a look at archive and books."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from blocks import AvatarArchive
from blocks.sandbox.serve import RunningSandbox
from blocks.storage.speech import SpeechSidecar

TEXT = "Good morning to all of you, this is the news of today."

Say = Callable[..., Awaitable[Any]]


async def speeches(place: AvatarArchive) -> list[SpeechSidecar]:
    async with place.open() as archive:
        keys = [found.key async for found in archive.store.find("speech/") if found.key.endswith(".json")]
        return [SpeechSidecar.model_validate_json(await archive.store.read(key) or b"") for key in keys]


def books(sandbox: RunningSandbox) -> tuple[int, int, list[str]]:
    """Return the POSTs for speech, the POSTs for video, and what was charged."""
    ledger = sandbox.ledger()
    return ledger["tts_posts"], ledger["posts"], [charge["kind"] for charge in ledger["charges"]]
