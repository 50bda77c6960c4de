"""The block types, and the documents `default` that runs fall back to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound

from blocks.archive import AvatarArchive
from blocks.credentials import CometAPICredentials
from flows.deploy.report import Outcome, Result

_BLOCKS: tuple[tuple[type[CometAPICredentials | AvatarArchive], str], ...] = (
    (CometAPICredentials, "COMETAPI_KEY"),
    (AvatarArchive, "AVATAR_ARCHIVE_URL"),
)
_DOCUMENT = "default"


async def set_up_blocks(client: PrefectClient) -> AsyncIterator[Result]:
    """Register the block types; create each document `default` from the environment where it is missing.

    A document that exists is never overwritten, whatever the environment says.

    Raises:
        SetupMissing: A variable has a value that its field does not take.
    """
    for block, variable in _BLOCKS:
        yield await _register(block, client)
        yield await _document(block, variable, client)


async def _register(block: type[CometAPICredentials | AvatarArchive], client: PrefectClient) -> Result:
    before = await _registered(block, client)
    await block.aregister_type_and_schema(client=client)
    after = await _registered(block, client)
    outcome: Outcome = "created" if not before else "unchanged" if before == after else "updated"
    return Result("block type", block.get_block_type_slug(), outcome)


async def _registered(
    block: type[CometAPICredentials | AvatarArchive], client: PrefectClient
) -> tuple[str, ...]:
    try:
        kind = await client.read_block_type_by_slug(block.get_block_type_slug())
    except ObjectNotFound:
        return ()
    schema = await client.get_most_recent_block_schema_for_block_type(kind.id)
    return (kind.model_dump_json(exclude={"updated"}), schema.checksum if schema else "")


async def _document(
    block: type[CometAPICredentials | AvatarArchive], variable: str, client: PrefectClient
) -> Result:
    name = f"{block.get_block_type_slug()}/{_DOCUMENT}"
    try:
        await client.read_block_document_by_name(
            _DOCUMENT, block.get_block_type_slug(), include_secrets=False
        )
    except ObjectNotFound:
        found = block.from_environment()
        if found is None:
            return Result("block", name, "missing", f"set {variable} and run again, or create it in the UI")
        await _absolute(found).asave(_DOCUMENT)
        return Result("block", name, "created", f"from {variable}")
    return Result("block", name, "unchanged")


def _absolute(block: CometAPICredentials | AvatarArchive) -> CometAPICredentials | AvatarArchive:
    # MONEY: a relative folder would be another one, with another journal, wherever a worker happens to run.
    if isinstance(block, AvatarArchive) and "://" not in block.url:
        return block.model_copy(update={"url": str(Path(block.url).expanduser().absolute())})
    return block
