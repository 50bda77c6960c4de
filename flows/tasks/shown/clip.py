"""What a run shows of its clip in Prefect: poster, facts, address, and a link if the block says so."""

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
from flows.tasks.shown.markdown import plain
from flows.tasks.shown.poster import as_markdown, poster_of


async def show_clip(sidecar: Sidecar, connections: Connections) -> None:
    """Leave one artifact with the clip's poster, facts and address in the current run. Costs nothing.

    The poster is made if there is none yet. It is part of the artifact, so people see it wherever the archive
    is and whoever may read there.

    With `link_seconds` in the archive's block it also has a signed link: whoever sees the artifact can open
    this one clip with it until it expires. The link is written nowhere else: such an artifact has no key and
    is on the page of its run only. A clip that cannot be shown is archived all the same, so that is logged
    and not raised.
    """
    poster = await poster_of(sidecar.job_id, connections.archive)
    try:
        link = await _link(sidecar, connections)
        await acreate_markdown_artifact(
            markdown=_page(sidecar, connections.archive.address(sidecar.clip.key), link, poster),
            # Prefect copies the newest artifact of each key, its content included, into an event.
            key=None if link else f"clip-{sidecar.job_id[:16]}",
            description=f"The clip of {plain(sidecar.name)}",
        )
    except (StorageError, PrefectException, httpx.HTTPError) as error:
        # Its text may repeat what was sent, and so the link.
        run_logger().warning("The clip is archived but cannot be shown here: %s", type(error).__name__)


async def _link(sidecar: Sidecar, connections: Connections) -> str:
    """Return the sentence with the link, or nothing where there is none."""
    address = await signed_link(sidecar.clip.key, connections)
    return f"[Open the clip](<{address}>) ({works_until(connections)})\n\n" if address else ""


async def signed_link(key: str, connections: Connections) -> str:
    """Return an address that anybody can open for a while, where the archive's block wants one; else nothing.

    It is a secret while it works: it belongs into artifacts without a key and nowhere else.
    """
    if not connections.place.link_seconds:
        return ""
    address = await connections.archive.store.link(key, connections.place.link_seconds)
    return address if address.startswith(("https://", "http://")) else ""


def works_until(connections: Connections) -> str:
    """Say how long links that are made now work."""
    until = now() + timedelta(seconds=connections.place.link_seconds)
    return f"until {until:%Y-%m-%d %H:%M} UTC at most"


def _page(sidecar: Sidecar, address: str, link: str, poster: bytes | None) -> str:
    clip, cost = sidecar.clip, sidecar.cost
    facts = {
        "seconds": f"{clip.seconds:g}",
        "picture": f"{clip.width} x {clip.height}, {clip.video_codec}, {clip.audio_codec}",
        "size": f"{clip.size} bytes",
        "SHA-256": f"`{clip.sha256}`",
        "Kling task": plain(sidecar.provided.task_id),
        "charged": "not reported" if cost.reported_units is None else f"{cost.reported_units} units",
        "estimated": "unknown" if cost.estimated_usd is None else f"{cost.estimated_usd} USD",
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    picture = f"{as_markdown(poster, 'The first picture of the clip')}\n\n" if poster else ""
    # A block of its own: an address does not wrap, and would push a table across the page.
    head = f"### {plain(sidecar.name)}\n\n{picture}{link}```text\n{address}\n```\n\n"
    return f"{head}| | |\n| --- | --- |\n{rows}\n"
