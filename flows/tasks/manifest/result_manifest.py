"""Writing down what became of a manifest: beside it where that is possible, otherwise in the archive."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from blocks.errors import SetupMissing, StorageError
from blocks.kling.sources import shown
from blocks.kling.sources.references import scheme_of
from blocks.storage.archive import Archive
from blocks.storage.durable import replace_name, write_new_file
from blocks.storage.opening import open_store
from blocks.storage.shield import to_the_end
from flows.tasks.addresses import folder_of, name_of
from flows.tasks.logs import run_logger
from flows.tasks.manifest.results import RowResult

SUFFIX = ".results.jsonl"

_UNCLEAN = re.compile(r"[^A-Za-z0-9._-]+")


def lines_of(results: Sequence[RowResult]) -> bytes:
    """Return one line of JSON for each result."""
    return "".join(f"{result.model_dump_json()}\n" for result in results).encode()


def results_in(data: bytes) -> list[RowResult]:
    """Return the results that `lines_of` wrote."""
    return [RowResult.model_validate_json(line) for line in data.splitlines()]


async def write_results(results: Sequence[RowResult], manifest: str, archive: Archive) -> str:
    """Write one line of JSON for each row, whole or not at all, replacing those of an earlier run.

    Args:
        results: What became of each row.
        manifest: Address of the manifest.
        archive: Takes them, below `results/`, where the place of the manifest does not.

    Returns:
        Where they are.

    Raises:
        StorageError: Neither place took them.
    """
    data = lines_of(results)
    stem = name_of(manifest).rpartition(".")[0]
    try:
        return await _write_beside(folder_of(manifest), f"{stem}{SUFFIX}", data)
    except (OSError, StorageError, SetupMissing, ValueError) as error:
        reason = type(error).__name__
        run_logger().warning("%s cannot be written to: %s", shown(folder_of(manifest)), reason)
    key = (
        f"results/{_UNCLEAN.sub('_', stem)[:80]}.{hashlib.sha256(manifest.encode()).hexdigest()[:12]}{SUFFIX}"
    )
    await archive.store.replace(key, data)
    return archive.address(key)


async def _write_beside(folder: str, name: str, data: bytes) -> str:
    scheme = scheme_of(folder)
    if scheme is None:
        path = Path(folder) / name
        await to_the_end(asyncio.to_thread(_replace_file, path, data))
        return str(path)
    if scheme in {"http", "https"}:
        raise ValueError("a web address is only read")
    store = open_store(folder)
    try:
        await store.replace(name, data)
    finally:
        await store.close()
    return f"{store.url.rstrip('/')}/{name}"


def _replace_file(path: Path, data: bytes) -> None:
    part = path.with_name(f".{uuid4().hex}.part")
    try:
        write_new_file(part, data)
        replace_name(part, path)
    finally:
        part.unlink(missing_ok=True)
