"""What a plan reads: settings, inputs and, where there is one, the archive. It opens nothing else."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from blocks.archive import AvatarArchive
from blocks.credentials import CometAPICredentials
from blocks.errors import StorageUnavailable
from blocks.storage.archive import Archive
from blocks.storage.layout import schema_key
from flows.tasks.checking import Checking
from flows.tasks.connections import find_archive, find_credentials, saved

_NO_KEY = "No key is configured; limits and prices are the defaults of the CometAPI Credentials block."
_NO_ARCHIVE = "No archive is configured, so every video counts as new."


class Readings(Checking):
    """What a plan is made from.

    Attributes:
        archive: The archive, which is only read; `None` where there is none, or none that can be read.
        knows_account: Whether it is known whose budgets these are: an account is named by its key.
        notes: What the plan could not take into account.
    """

    def __init__(
        self,
        credentials: CometAPICredentials,
        place: AvatarArchive | None,
        archive: Archive | None,
        notes: tuple[str, ...],
        *,
        knows_account: bool = True,
    ) -> None:
        super().__init__(credentials, place)
        self.archive = archive
        self.knows_account = knows_account
        self.notes = notes


@asynccontextmanager
async def open_readings(
    credentials: CometAPICredentials | str | None = None, store: AvatarArchive | str | None = None
) -> AsyncIterator[Readings]:
    """Open what can be read. A key is not needed, and an archive need not be there yet.

    Args:
        credentials: A block, the name of a saved one, or `None`: the environment, then `default`, then the
            block's own defaults.
        store: A block, the name of a saved one, or `None`: the environment, then `default`, then none.

    Raises:
        SetupMissing: What was named is not there, or what is there cannot be used.
    """
    account, about_key = await _account(credentials)
    place = await _place(store)
    async with AsyncExitStack() as opened:
        archive = await opened.enter_async_context(place.open()) if place else None
        about_archive = await _unread(archive)
        notes = tuple(note for note in (about_key, about_archive) if note)
        knows_account = not about_key or bool(account.namespace)
        known = None if about_archive else archive
        yield Readings(account, place, known, notes, knows_account=knows_account)


async def _account(given: CometAPICredentials | str | None) -> tuple[CometAPICredentials, str]:
    known = CometAPICredentials.from_environment() if given is None else given
    if known is None and await saved(CometAPICredentials, "default") is None:
        without_key = CometAPICredentials.from_environment({**os.environ, "COMETAPI_KEY": "none"})
        return without_key or CometAPICredentials(api_key="none"), _NO_KEY
    return await find_credentials(known), ""


async def _place(given: AvatarArchive | str | None) -> AvatarArchive | None:
    known = AvatarArchive.from_environment() if given is None else given
    if known is None and await saved(AvatarArchive, "default") is None:
        return None
    return await find_archive(known)


async def _unread(archive: Archive | None) -> str:
    """Return why the archive cannot be read, or nothing."""
    if archive is None:
        return _NO_ARCHIVE
    try:
        await archive.store.read(schema_key(1))
    except StorageUnavailable as error:
        return f"The archive cannot be read, so every video counts as new: {error.message}."
    return ""
