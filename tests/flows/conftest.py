"""A Prefect server and a sandbox for the flows; each test has an archive of its own and a sandbox as new."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.testing.fixtures import asserting_events_worker  # noqa: F401 # a fixture

from blocks import AvatarArchive, CometAPICredentials
from blocks.kling.delivery import Delivery
from blocks.sandbox.serve import RunningSandbox, running_sandbox
from flows.avatar import generate_avatar
from flows.speech import speak_avatar
from flows.tasks import archive, fetching, lookup, poll, purchase, record, submit, validate
from flows.tasks.in_flight.slots import IN_FLIGHT
from flows.tasks.manifest import make
from flows.tasks.speech import speaking
from tests.flows.spoken import TEXT, Say
from tests.flows.story import Ask

SAMPLES = Path(__file__).parents[2] / "blocks/sandbox/samples"


@pytest.fixture(scope="session", autouse=True)
def prefect_server(prefect_api: None) -> None:
    """Run all flows against one Prefect server."""


@pytest.fixture(scope="package", autouse=True)
def impatient() -> Iterator[None]:
    """Shorten every wait that nobody can configure; what is waited for stays the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetching, "_PAUSES", (0.0, 0.02, 0.05, 0.1))
        patch.setattr(validate, "_PAUSES", (0.02, 0.05))
        patch.setattr(record, "_PAUSES", (0.0, 0.02, 0.05))
        patch.setattr(speaking, "_PAUSES", (0.1,) * 8)
        patch.setattr(submit, "_LONGEST_PAUSE", 0.1)
        patch.setattr(submit, "_LOOK_AGAIN", 0.1)
        patch.setattr(lookup, "_FIRST_PAUSE", 0.1)
        patch.setattr(lookup, "CLAIM_SECONDS", 1.0)
        patch.setattr(purchase, "CLAIM_SECONDS", 1.0)
        patch.setattr(make, "_PAUSES", (0.05,) * 3)
        for task in (archive.archive, poll.poll, validate.validate):
            patch.setattr(task, "retry_delay_seconds", 0.05)
        patience = Delivery.__init__.__kwdefaults__ or {}
        patch.setitem(patience, "pause_seconds", 0.02)
        patch.setitem(patience, "stall_seconds", 0.5)
        yield


@pytest.fixture(scope="session")
def _server() -> Iterator[RunningSandbox]:
    with running_sandbox(submitted_seconds=0.05, render_seconds=0.2) as running:
        yield running


@pytest.fixture
def sandbox(_server: RunningSandbox) -> RunningSandbox:
    _server.reset()
    return _server


@pytest.fixture
def credentials(sandbox: RunningSandbox) -> CometAPICredentials:
    return impatient_credentials(sandbox.url)


def impatient_credentials(base_url: str) -> CometAPICredentials:
    """Return credentials for a sandbox with all patience that can be configured made small."""
    return CometAPICredentials(
        api_key="sandbox-key",
        base_url=base_url,
        create_seconds=20,
        read_seconds=20,
        clock_margin_seconds=0,
        absence_seconds=0.5,
        wait_seconds=20,
        first_poll_seconds=0.1,
        render_factor=0,
        poll_seconds=0.1,
        deadline_minutes=0.5,
    )


@pytest.fixture
def archive_block(tmp_path: Path) -> AvatarArchive:
    return AvatarArchive(url=str(tmp_path / "archive"))


@pytest.fixture
async def limited() -> AsyncIterator[None]:
    """Create the limit on Kling tasks in flight, which a deployed run is not made without."""
    async with get_client() as client:
        wanted = GlobalConcurrencyLimitCreate(name=IN_FLIGHT, limit=100)
        await client.create_global_concurrency_limit(wanted)
        yield
        await client.delete_global_concurrency_limit_by_name(IN_FLIGHT)


@pytest.fixture
def face() -> str:
    return str(SAMPLES / "portrait.png")


@pytest.fixture
def voice() -> str:
    return str(SAMPLES / "voice.mp3")


@pytest.fixture
def ask(face: str, voice: str, credentials: CometAPICredentials, archive_block: AvatarArchive) -> Ask:
    """Return the main flow with everything given that it needs."""
    return partial(generate_avatar, image=face, audio=voice, credentials=credentials, store=archive_block)


@pytest.fixture
def say(
    sandbox: RunningSandbox, face: str, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> Say:
    """Return the flow with everything given that it needs."""
    sandbox.set(fast_clip=True)
    return partial(
        speak_avatar,
        image=face,
        text=TEXT,
        voice="oversea_male1",
        credentials=credentials,
        store=archive_block,
    )
