"""Progress on the page of a run: one artifact, written seldom."""

from __future__ import annotations

from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate

from flows.tasks.progress.tally import Seen
from flows.tasks.progress.words import counts, percent, wait_of
from flows.tasks.shown.markdown import plain

_KEY = "progress"
_FIRST_SECONDS = 5.0
_SECONDS = 15.0
_LONGEST_SECONDS = 60.0
_GROWTH = 1.2


class ProgressArtifact:
    """A progress bar of the current run: one request each 15 seconds at first, each minute in the end."""

    def __init__(self) -> None:
        self._id: UUID | None = None
        self._next = _SECONDS
        self.first_seconds = _FIRST_SECONDS

    def pause(self) -> float:
        """Return how many seconds pass until it is written again."""
        pause, self._next = self._next, min(_LONGEST_SECONDS, self._next * _GROWTH)
        return pause

    async def show(self, seen: Seen, *, is_over: bool) -> None:
        """Write down what is seen; in the end only what was begun."""
        if is_over and self._id is None:
            return
        share, text = percent(seen), as_markdown(seen, is_over=is_over)
        async with get_client() as client:
            if self._id:
                await client.update_artifact(self._id, ArtifactUpdate(data=share, description=text))
                return
            created = await client.create_artifact(
                ArtifactCreate(
                    key=_KEY,
                    type="progress",
                    data=share,
                    description=text,
                    flow_run_id=UUID(runtime.flow_run.id),
                )
            )
            self._id = created.id


def as_markdown(seen: Seen, *, is_over: bool) -> str:
    """Return what stands beside the bar; Prefect's list of artifacts shows the first words only."""
    if seen.total:
        return counts(seen)
    if is_over:
        return "Nothing waits for Kling any more."
    return "\n\n".join(
        f"{wait_of(each)} ({plain(each.name)}, Kling task {plain(each.kling_task_id)})" for each in seen.waits
    )
