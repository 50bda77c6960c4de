"""What the tasks of a run share: the open provider, the open archive, and how patient to be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx

from blocks.archive import AvatarArchive
from blocks.credentials import CometAPICredentials
from blocks.errors import AccessRefused, ProviderError, SetupMissing
from blocks.kling.client import KlingClient
from blocks.storage.archive import Archive
from flows.tasks.bodies import Bodies
from flows.tasks.budget.budget import Budget
from flows.tasks.budget.limits import Caps
from flows.tasks.checking import Checking
from flows.tasks.expected import Expected
from flows.tasks.in_flight.in_flight import InFlight
from flows.tasks.pace import Pace
from flows.tasks.progress.tally import Progress
from flows.tasks.progress.watch import watched

Saved = TypeVar("Saved", CometAPICredentials, AvatarArchive)

KEY_ACCEPTED = "key accepted"
"""What `Connections.known` says when another run of this account has just seen that the key is taken."""


class Connections(Checking):
    """Everything outside that a job touches, opened once for a run and shared by its tasks.

    Attributes:
        credentials: Settings of the provider's account.
        client: The provider's API.
        delivery: For delivery hosts; it has no key.
        archive: Clips, sidecars and journals.
        place: Settings of the archive.
        bodies: How many bytes of request bodies (up to 20 MB each) may be in memory at once.
        known: What was learned about this provider, remembered for the run.
        inputs: What was found out about each image and audio, by parameter and reference; see `Checking`.
        looks: How often Kling tasks are looked at, by all jobs together.
        expected: When a job is likely to be done.
        in_flight: The Kling tasks that this run has in flight.
        budget: What this run and its account may spend.
        progress: What its jobs have done so far.
    """

    place: AvatarArchive

    def __init__(
        self,
        credentials: CometAPICredentials,
        client: KlingClient,
        delivery: httpx.AsyncClient,
        archive: Archive,
        place: AvatarArchive,
        caps: Caps | None = None,
    ) -> None:
        super().__init__(credentials, place)
        self.client = client
        self.delivery = delivery
        self.archive = archive
        self.bodies = Bodies()
        self.known: dict[str, bool] = {}
        self.looks = Pace(credentials.polls_per_second)
        self.expected = Expected(credentials, archive)
        self.in_flight = InFlight()
        self.budget = Budget(credentials, archive.store, caps or Caps())
        self.progress = Progress(self.expected)
        self._key_accepted = False

    async def check_key(self, external_task_id: str) -> None:
        """See, once for a run and by a free read, that the provider takes the key at all.

        A provider may refuse a key while a large body is still being sent, and the refusal is lost on the
        way: then nobody could tell it from a lost answer.

        Raises:
            AccessRefused: The provider does not take the key (HTTP 401); nothing was sent.
        """
        if self._key_accepted or self.known.get(KEY_ACCEPTED):
            return
        try:
            await self.client.find(external_task_id)
        except AccessRefused as error:
            if error.facts.http_status == 401:
                raise
        except ProviderError:
            return
        self._key_accepted = True


@asynccontextmanager
async def connect(
    credentials: CometAPICredentials | str | None = None,
    archive: AvatarArchive | str | None = None,
    caps: Caps | None = None,
) -> AsyncIterator[Connections]:
    """Open the provider and the archive for one run. Nothing is sent.

    Args:
        credentials: A block, the name of a saved one, or `None`: the environment, then `default`.
        archive: Likewise.
        caps: What this run may spend.

    Raises:
        SetupMissing: There is neither; the message says what to do.
    """
    account = await find_credentials(credentials)
    place = await find_archive(archive)
    async with (
        account.get_client() as client,
        account.get_delivery_client() as delivery,
        place.open() as opened,
    ):
        connections = Connections(account, client, delivery, opened, place, caps)
        try:
            async with watched(connections.progress):
                yield connections
        finally:
            await connections.in_flight.close()
            await connections.expected.save()
            await connections.budget.close()


async def find_credentials(credentials: CometAPICredentials | str | None = None) -> CometAPICredentials:
    """Return the credentials that a run is to use; see `connect`."""
    if isinstance(credentials, CometAPICredentials):
        return credentials
    if credentials is None and (found := CometAPICredentials.from_environment()):
        return found
    name = (credentials or "default").removeprefix("cometapi-credentials/")
    if found := await saved(CometAPICredentials, name):
        return found
    raise SetupMissing(
        f"There is no CometAPI Credentials block named {name!r}"
        + ("" if credentials else " and no COMETAPI_KEY in the environment"),
        next_step="Set COMETAPI_KEY, or run `prefect block register -m blocks` "
        f"and create a CometAPI Credentials block named {name!r} in Prefect's UI.",
    )


async def find_archive(archive: AvatarArchive | str | None = None) -> AvatarArchive:
    """Return the archive that a run is to use; see `connect`."""
    if isinstance(archive, AvatarArchive):
        return archive
    if archive is None and (found := AvatarArchive.from_environment()):
        return found
    name = (archive or "default").removeprefix("avatar-archive/")
    if found := await saved(AvatarArchive, name):
        return found
    raise SetupMissing(
        f"There is no Avatar Archive block named {name!r}"
        + ("" if archive else " and no AVATAR_ARCHIVE_URL in the environment"),
        next_step="Set AVATAR_ARCHIVE_URL to a folder or an s3:// address, or run "
        f"`prefect block register -m blocks` and create an Avatar Archive block named {name!r}.",
    )


async def saved(kind: type[Saved], name: str) -> Saved | None:
    """Return a saved block, or `None` when there is none of that name.

    Raises:
        SetupMissing: It has fields that cannot be used: Prefect's server does not check what is saved.
    """
    try:
        return await kind.aload(name)
    except RuntimeError:
        raise SetupMissing(
            f"The {kind.__name__} block named {name!r} has fields that cannot be used",
            next_step="Correct them in Prefect's UI; their descriptions say what they take.",
        ) from None
    except ValueError:
        return None
