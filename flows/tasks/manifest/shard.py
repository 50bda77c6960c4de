"""One shard: some rows of a manifest, run by themselves, their results left where they can be gathered."""

from __future__ import annotations

from typing import NamedTuple

from blocks.errors import Fault, InvalidRequest
from flows.tasks.addresses import name_of
from flows.tasks.connections import Connections
from flows.tasks.manifest.batch import Batch
from flows.tasks.manifest.manifest import read_manifest_and_digest
from flows.tasks.manifest.result_manifest import lines_of
from flows.tasks.manifest.rows import run_rows


class Shard(NamedTuple):
    """Some rows of a manifest.

    Attributes:
        manifest: Its address.
        sha256: Of its bytes: the rows of another manifest are other rows.
        first: Number of the first row.
        last: Number of the last row.
        batch: Id of the flow run that cut the manifest.
    """

    manifest: str
    sha256: str
    first: int
    last: int
    batch: str

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{name_of(self.manifest)[:60]}, rows {self.first} to {self.last}"

    @property
    def results_key(self) -> str:
        """Where in the archive its results lie until they are gathered."""
        return f"results/shards/{self.batch}/{self.first:06d}-{self.last:06d}.jsonl"


async def run_shard(shard: Shard, connections: Connections, at_once: int) -> Batch:
    """Make the videos of a shard, and leave its results in the archive. MAY spend money, once a job.

    Raises:
        InvalidRequest: The manifest is not the one that was cut; nothing was bought.
        SourceUnavailable: It could not be read now; nothing was bought.
        StorageUnavailable: The results could not be written; what was bought is in the archive.
    """
    rows, sha256 = await read_manifest_and_digest(shard.manifest)
    if sha256 != shard.sha256:
        found = f"one with SHA-256 {sha256[:12]}: it has changed since it was cut into shards"
        raise InvalidRequest((Fault("manifest", found, f"the one with SHA-256 {shard.sha256[:12]}"),))
    results = await run_rows(
        rows[shard.first - 1 : shard.last], connections, on_invalid="skip", at_once=at_once
    )
    await connections.archive.store.replace(shard.results_key, lines_of(results))
    return Batch(results=tuple(results), written_to=connections.archive.address(shard.results_key))
