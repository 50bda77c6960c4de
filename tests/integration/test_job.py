"""A whole job on the sandbox, with the archive on a production server over https."""

from __future__ import annotations

import hashlib
import ssl
from functools import partial

import httpx
import pytest

from blocks import AvatarArchive
from blocks.sandbox.serve import running_sandbox
from blocks.storage.sidecar import Sidecar
from flows.avatar import generate_avatar
from tests.flows.conftest import SAMPLES, impatient_credentials
from tests.flows.story import entries_of, open_jobs
from tests.integration.gateway import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Gateway
from tests.integration.room import Room


@pytest.fixture
def block(room: Room, gateway: Gateway) -> AvatarArchive:
    return AvatarArchive(
        url=room.url, endpoint_url=gateway.secure_url, key=ACCESS_KEY_ID, secret=SECRET_ACCESS_KEY
    )


async def test_a_job_is_archived_once_with_a_sidecar_that_tells_the_truth(
    prefect_api: None, room: Room, gateway: Gateway, block: AvatarArchive
) -> None:
    with running_sandbox(submitted_seconds=0.05, render_seconds=0.2) as sandbox:
        ask = partial(
            generate_avatar,
            image=str(SAMPLES / "portrait.png"),
            audio=str(SAMPLES / "voice.mp3"),
            credentials=impatient_credentials(sandbox.url),
            store=block,
        )
        sidecar = await ask()
        assert await ask() == sidecar
        (charge,), (task,) = sandbox.ledger()["charges"], sandbox.tasks()
    clip = room.get(sidecar.clip.key)
    assert task["clips"] == [{"sha256": hashlib.sha256(clip).hexdigest(), "size": len(clip)}]
    assert (sidecar.clip.sha256, sidecar.clip.size) == (task["clips"][0]["sha256"], len(clip))
    written = Sidecar.model_validate_json(room.get(sidecar.clip.key.replace(".mp4", ".json")))
    assert written == sidecar
    assert written.provided.task_id == charge["task_id"]
    assert [entry.step for entry in await entries_of(block, sidecar.job_id)] == ["intent", "submitted"]
    assert (await open_jobs(block), room.open_uploads()) == ([], [])
    await _opens_by_its_link(block, sidecar.clip.key, clip, gateway)


async def _opens_by_its_link(block: AvatarArchive, key: str, clip: bytes, gateway: Gateway) -> None:
    async with block.open() as archive:
        link = await archive.store.link(key, 60)
    trusted = ssl.create_default_context(cafile=gateway.authority)
    async with httpx.AsyncClient(verify=trusted, trust_env=False) as browser:
        answer = await browser.get(link)
    assert (answer.status_code, answer.content) == (200, clip)
