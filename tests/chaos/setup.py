"""What the worker processes of a campaign share, and how impatient they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blocks import CometAPICredentials
from tests.chaos.plan import Kill

CREATE_SECONDS = 2.0
# A slow provider accepts after the client has given up, and before "not found" counts as "never bought".
SLOW_SECONDS = CREATE_SECONDS + 0.7
ABSENCE_SECONDS = 4.0


@dataclass(frozen=True)
class Setup:
    """What all workers of a campaign share.

    Attributes:
        folder: Where traces and logs are written.
        base_url: The sandbox.
        archive: Fields of the archive's block.
        lookup: What the credentials say about lookups.
        claim_seconds: How long writing an intent may take.
        unsafe: The safety that is taken out, if any.
        prefect_url: API of the Prefect server for real flow runs.
    """

    folder: Path
    base_url: str
    archive: dict[str, Any]
    lookup: Any = "yes"
    claim_seconds: float = 1.0
    unsafe: str = ""
    prefect_url: str = ""

    def credentials(self) -> CometAPICredentials:
        """Return the credentials of an impatient account."""
        return CometAPICredentials(
            api_key="sandbox-key",
            base_url=self.base_url,
            lookup=self.lookup,
            create_seconds=CREATE_SECONDS,
            read_seconds=4,
            clock_margin_seconds=0.2,
            absence_seconds=ABSENCE_SECONDS,
            wait_seconds=20,
            first_poll_seconds=0.05,
            render_factor=0,
            poll_seconds=0.05,
            deadline_minutes=0.5,
        )

    def trace(self, label: str) -> Path:
        """Return where a worker writes how far it came."""
        return self.folder / f"{label}.trace"

    def reports(self, label: str) -> Path:
        """Return where a worker that reconciles writes what it reports."""
        return self.folder / f"{label}.json"


@dataclass(frozen=True)
class Attempt:
    """One worker process.

    Attributes:
        label: Its name; its trace and log are named so.
        kill: Where it dies.
        rivals: Labels of the processes that run the same job at the same time, itself first.
    """

    label: str
    kill: Kill | None = None
    rivals: tuple[str, ...] = field(default=())
