"""One manifest from beginning to end, for the flows that run manifests."""

from __future__ import annotations

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import BaseModel, ConfigDict

from flows.tasks.addresses import absolute
from flows.tasks.connections import Connections
from flows.tasks.manifest.manifest import read_manifest
from flows.tasks.manifest.result_manifest import write_results
from flows.tasks.manifest.results import NotAllArchived, RowResult, counted, money
from flows.tasks.manifest.rows import OnInvalid, run_rows


class Batch(BaseModel):
    """What became of a manifest.

    Attributes:
        written_to: Where the result manifest is.
    """

    model_config = ConfigDict(frozen=True)

    results: tuple[RowResult, ...]
    written_to: str

    @property
    def summary(self) -> str:
        """How many rows are in which state, what the new ones cost, and where to read more."""
        states = counted(result.state for result in self.results)
        return f"{states}; {money(self.results)}; results: {self.written_to}"

    @property
    def state(self) -> State[Batch]:
        """The state of the flow run: completed only when every row has its clip."""
        done = sum(result.is_settled for result in self.results)
        if done == len(self.results):
            return Completed(name="AllArchived", message=self.summary, data=self)
        name = "PartlyArchived" if done else "NoneArchived"
        return Failed(
            name=name, message=self.summary, data=NotAllArchived(self.summary, results=self.results)
        )


async def run_manifest(
    manifest: str, connections: Connections, *, on_invalid: OnInvalid, at_once: int
) -> Batch:
    """Make every video of a manifest and write down what became of each. MAY spend money, once a job.

    Running it again does what is missing and costs nothing for the rest.

    Args:
        manifest: Path or address.
        connections: Provider and archive.
        on_invalid: `stop` buys nothing at all when a row cannot be used, `skip` leaves out that row.
        at_once: How many jobs are in flight at most.

    Raises:
        InvalidRequest: The manifest cannot be used as a whole; nothing was bought.
        SourceUnavailable: It could not be read now; nothing was bought.
        StorageError: The results could not be written anywhere; what was bought is in the archive.
    """
    address = absolute(manifest)
    rows = await read_manifest(address)
    results = await run_rows(rows, connections, on_invalid=on_invalid, at_once=at_once)
    written_to = await write_results(results, address, connections.archive)
    return Batch(results=tuple(results), written_to=written_to)
