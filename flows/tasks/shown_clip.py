"""What a run shows of its clip in Prefect: its facts, its address, and a link if the block says so."""

from __future__ import annotations

from datetime import timedelta

import httpx
from prefect.artifacts import acreate_markdown_artifact
from prefect.exceptions import PrefectException

from blocks.errors import StorageError
from blocks.storage.journal import now
from blocks.storage.sidecar import Sidecar
from flows.tasks.connections import Connections
from flows.tasks.logs import run_logger
from flows.tasks.markdown import plain


async def show_clip(sidecar: Sidecar, connections: Connections) -> None:
    """Leave one artifact with the clip's facts and its address in the current run. Costs nothing.

    With `link_seconds` in the archive's block it also has a signed link: whoever sees the artifact can open
    this one clip with it until it expires. The link is written nowhere else: such an artifact has no key and
    is on the page of its run only. A clip that cannot be shown is archived all the same, so that is logged
    and not raised.
    """
    try:
        link = await _link(sidecar, connections)
        await acreate_markdown_artifact(
            markdown=_page(sidecar, connections.archive.address(sidecar.clip.key), link),
            # Prefect copies the newest artifact of each key, its content included, into an event.
            key=None if link else f"clip-{sidecar.job_id[:16]}",
            description=f"The clip of {sidecar.name}",
        )
    except (StorageError, PrefectException, httpx.HTTPError) as error:
        # Its text may repeat what was sent, and so the link.
        run_logger().warning("The clip is archived but cannot be shown here: %s", type(error).__name__)


async def _link(sidecar: Sidecar, connections: Connections) -> str:
    """Return the sentence with the link, or nothing where there is none."""
    seconds = connections.place.link_seconds
    if not seconds:
        return ""
    until = now() + timedelta(seconds=seconds)
    address = await connections.archive.store.link(sidecar.clip.key, seconds)
    if not address.startswith(("https://", "http://")):
        return ""
    return f"[Open the clip](<{address}>) (until {until:%Y-%m-%d %H:%M} UTC at most)\n\n"


def _page(sidecar: Sidecar, address: str, link: str) -> str:
    clip, cost = sidecar.clip, sidecar.cost
    facts = {
        "clip": f"`{address}`",
        "seconds": f"{clip.seconds:g}",
        "picture": f"{clip.width} x {clip.height}, {clip.video_codec}, {clip.audio_codec}",
        "size": f"{clip.size} bytes",
        "SHA-256": f"`{clip.sha256}`",
        "Kling task": plain(sidecar.provided.task_id),
        "charged": "not reported" if cost.reported_units is None else f"{cost.reported_units} units",
        "estimated": "unknown" if cost.estimated_usd is None else f"{cost.estimated_usd} USD",
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    return f"### {plain(sidecar.name)}\n\n{link}| | |\n| --- | --- |\n{rows}\n"
