"""What a run shows of its batch in Prefect: totals, a timeline, and the clips with posters and links."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

import httpx
from prefect.artifacts import acreate_markdown_artifact
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException

from blocks.errors import AvatarError, StorageError
from blocks.media import MediaError, make_thumbnail
from blocks.storage.journal import now
from blocks.storage.layout import clip_key
from blocks.storage.posters import read_poster
from flows.tasks.connections import Connections
from flows.tasks.logs import run_logger
from flows.tasks.manifest.results import RowResult
from flows.tasks.shown.clip import signed_link, works_until
from flows.tasks.shown.markdown import plain
from flows.tasks.shown.poster import as_markdown
from flows.tasks.shown.timeline import Line, timeline
from flows.tasks.shown.totals import failures, totals
from flows.tasks.side_by_side import side_by_side

SHOWN_CLIPS = 50
_AT_ONCE = 8
_LINK = "](<"


async def show_batch(results: Sequence[RowResult], connections: Connections) -> None:
    """Leave one artifact with the totals, the timeline and the first clips of a batch. Costs nothing.

    Signed links are in it where the archive's block wants them; it has no key then. What cannot be shown is
    logged and not raised.
    """
    try:
        parts = [
            f"### {len(results):,} rows\n\n{totals(results)}",
            drawn(results, _start()),
            failures(results),
            clips := await _clips(results, connections),
        ]
        await acreate_markdown_artifact(
            markdown="\n".join(part for part in parts if part),
            # What has a key stays on the page of that key for ever.
            key=None if _LINK in clips else "generate-avatars-results",
            description="The batch: totals, timeline and clips",
        )
    except (StorageError, PrefectException, httpx.HTTPError) as error:
        # Its text may repeat what was sent, and so the links.
        run_logger().warning("The results cannot be shown here: %s", type(error).__name__)


def drawn(results: Sequence[RowResult], start: datetime) -> str:
    """Return the timeline of what was archived now, as markdown; nothing when nothing was."""
    lines = [
        Line.of(f"{result.row} {result.name}", result.times, start)
        for result in results
        if result.state == "archived" and result.times
    ]
    if not lines:
        return ""
    picture = as_markdown(timeline(lines).encode(), "Timeline: when each job waited and rendered", "svg+xml")
    return f"{picture}\n"


def _start() -> datetime:
    run = FlowRunContext.get()
    return run.start_time if run else now()


async def _clips(results: Sequence[RowResult], connections: Connections) -> str:
    done = [result for result in results if result.state in {"archived", "archived before"}]
    if not done:
        return ""

    async def shown(result: RowResult) -> str:
        return await _row(result, connections)

    rows = await side_by_side(shown, done[:SHOWN_CLIPS], _AT_ONCE)
    has_links = any(_LINK in row for row in rows)
    head = f"| row | | name | seconds | {'clip' if has_links else 'job'} |"
    table = "\n".join([head, "| --- | --- | --- | --- | --- |", *rows])
    links = f" Links work {works_until(connections)}." if has_links else ""
    more = f" {len(done) - SHOWN_CLIPS:,} more are in the table." if len(done) > SHOWN_CLIPS else ""
    return f"#### {len(done):,} clips\n\n{table}\n\n{links}{more}".rstrip() + "\n"


async def _row(result: RowResult, connections: Connections) -> str:
    link = await signed_link(clip_key(result.job_id or ""), connections)
    clip = f"[Open{_LINK}{link}>)" if link else f"`{(result.job_id or '')[:12]}`"
    picture = await _thumbnail(result, connections)
    seconds = f"{result.seconds:.1f}" if result.seconds else ""
    return f"| {result.row} | {picture} | {plain(result.name)} | {seconds} | {clip} |"


async def _thumbnail(result: RowResult, connections: Connections) -> str:
    with suppress(AvatarError, MediaError):
        poster = await read_poster(connections.archive.store, result.job_id or "")
        return as_markdown(await make_thumbnail(poster), "The first picture") if poster else ""
    return ""
