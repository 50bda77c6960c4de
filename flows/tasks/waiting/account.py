"""What runs of one account tell each other through the archive, so that not each asks the provider."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from blocks.errors import StorageError
from blocks.storage.layout import learned_key
from flows.tasks.connections import KEY_ACCEPTED, Connections

_TRUSTED_FOR = timedelta(minutes=10)


async def trust_key(connections: Connections) -> None:
    """Spare this run the free read that proves the key, when another run has just proved it.

    One read for each job would be a third of all requests of a job that is waited for without polling.
    """
    try:
        seen = await connections.archive.store.read(_place(connections))
    except StorageError:
        return
    if seen and datetime.now(UTC) - datetime.fromisoformat(seen.decode()) < _TRUSTED_FOR:
        connections.known[KEY_ACCEPTED] = True


async def remember_key(connections: Connections) -> None:
    """Tell other runs that the provider has just taken the key, unless this run was told so itself."""
    if connections.known.get(KEY_ACCEPTED):
        return
    try:
        await connections.archive.store.replace(_place(connections), datetime.now(UTC).isoformat().encode())
    except StorageError:
        return


def _place(connections: Connections) -> str:
    credentials = connections.credentials
    account = f"{credentials.base_url} {credentials.api_key.get_secret_value()}"
    return learned_key(f"key-{sha256(account.encode()).hexdigest()[:16]}")
