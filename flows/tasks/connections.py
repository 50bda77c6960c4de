"""What the tasks of a run share: the open provider, the open archive, and how patient to be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from blocks.archive import AvatarArchive
from blocks.credentials import CometAPICredentials
from blocks.errors import AccessRefused, ProviderError, SetupMissing
from blocks.kling.client import KlingClient
from blocks.storage.archive import Archive
from flows.tasks.bodies import Bodies
from flows.tasks.expected import Expected
from flows.tasks.in_flight import InFlight
from flows.tasks.once import Once
from flows.tasks.pace import Pace
from flows.tasks.progress.tally import Progress
from flows.tasks.progress.watch import watched

KEY_ACCEPTED = "key accepted"
"""What `Connections.known` says when another run of this account has just seen that the key is taken."""


class Connections:
    """Everything outside that a job touches, opened once for a run and shared by its tasks.

    Attributes:
        credentials: Settings of the provider's account.
        client: The provider's API.
        delivery: For delivery hosts; it has no key.
        archive: Clips, sidecars and journals.
        place: Settings of the archive.
        bodies: How many bytes of request bodies (up to 20 MB each) may be in memory at once.
        known: What was learned about this provider, remembered for the run.
        inputs: What was found out about each image and audio, by parameter and reference.
        looks: How often Kling tasks are looked at, by all jobs together.
        expected: When a job is likely to be done.
        in_flight: The Kling tasks that this run has in flight.
        progress: What its jobs have done so far.
    """

    def __init__(
        self,
        credentials: CometAPICredentials,
        client: KlingClient,
        delivery: httpx.AsyncClient,
        archive: Archive,
        place: AvatarArchive,
    ) -> None:
        self.credentials = credentials
        self.client = client
        self.delivery = delivery
        self.archive = archive
        self.place = place
        self.bodies = Bodies()
        self.known: dict[str, bool] = {}
        self.inputs: Once[Any] = Once()
        self.looks = Pace(credentials.polls_per_second)
        self.expected = Expected(credentials, archive)
        self.in_flight = InFlight()
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
    credentials: CometAPICredentials | str | None = None, archive: AvatarArchive | str | None = None
) -> AsyncIterator[Connections]:
    """Open the provider and the archive for one run. Nothing is sent.

    Args:
        credentials: A block, the name of a saved one, or `None`: the environment, then `default`.
        archive: Likewise.

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
        connections = Connections(account, client, delivery, opened, place)
        try:
            async with watched(connections.progress):
                yield connections
        finally:
            await connections.in_flight.close()
            await connections.expected.save()


async def find_credentials(credentials: CometAPICredentials | str | None = None) -> CometAPICredentials:
    """Return the credentials that a run is to use; see `connect`."""
    if isinstance(credentials, CometAPICredentials):
        return credentials
    if credentials is None and (found := CometAPICredentials.from_environment()):
        return found
    name = (credentials or "default").removeprefix("cometapi-credentials/")
    try:
        return await CometAPICredentials.aload(name)
    except RuntimeError:
        raise _unusable("CometAPI Credentials", name) from None
    except ValueError:
        raise SetupMissing(
            f"There is no CometAPI Credentials block named {name!r}"
            + ("" if credentials else " and no COMETAPI_KEY in the environment"),
            next_step="Set COMETAPI_KEY, or run `prefect block register -m blocks` "
            f"and create a CometAPI Credentials block named {name!r} in Prefect's UI.",
        ) from None


async def find_archive(archive: AvatarArchive | str | None = None) -> AvatarArchive:
    """Return the archive that a run is to use; see `connect`."""
    if isinstance(archive, AvatarArchive):
        return archive
    if archive is None and (found := AvatarArchive.from_environment()):
        return found
    name = (archive or "default").removeprefix("avatar-archive/")
    try:
        return await AvatarArchive.aload(name)
    except RuntimeError:
        raise _unusable("Avatar Archive", name) from None
    except ValueError:
        raise SetupMissing(
            f"There is no Avatar Archive block named {name!r}"
            + ("" if archive else " and no AVATAR_ARCHIVE_URL in the environment"),
            next_step="Set AVATAR_ARCHIVE_URL to a folder or an s3:// address, or run "
            f"`prefect block register -m blocks` and create an Avatar Archive block named {name!r}.",
        ) from None


def _unusable(kind: str, name: str) -> SetupMissing:
    """Prefect's server does not check what is saved in a block, so it is found out here."""
    return SetupMissing(
        f"The {kind} block named {name!r} has fields that cannot be used",
        next_step="Correct them in Prefect's UI; their descriptions say what they take.",
    )
