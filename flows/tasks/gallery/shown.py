"""What a run shows of the gallery in Prefect: where the page is and what is in it."""

from __future__ import annotations

import httpx
from prefect.artifacts import acreate_markdown_artifact
from prefect.exceptions import PrefectException

from blocks.errors import StorageError
from blocks.storage.archive import Archive
from blocks.storage.journal import now
from blocks.storage.layout import LINKED_GALLERY_KEY
from flows.tasks.gallery.update import Gallery
from flows.tasks.logs import run_logger


async def show_gallery(gallery: Gallery, archive: Archive) -> None:
    """Leave one artifact in the current run; it has no key when it links to the page with links."""
    try:
        link = await _link(gallery, archive)
        await acreate_markdown_artifact(
            markdown=f"### Gallery\n\n{link}{_facts(gallery)}",
            # What has a key stays on the page of that key for ever.
            key=None if link else "update-gallery",
            description="The gallery of the archive",
        )
    except (StorageError, PrefectException, httpx.HTTPError) as error:
        # Its text may repeat what was sent, and so the link.
        run_logger().warning("The gallery cannot be shown here: %s", type(error).__name__)


def _facts(gallery: Gallery) -> str:
    facts = {
        "page": f"`{gallery.page}`",
        "clips": f"{gallery.clips:,}",
        "new": f"{gallery.new:,}",
        "removed": f"{gallery.removed:,}",
        "with a poster": f"{gallery.posters:,}",
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    return f"| | |\n| --- | --- |\n{rows}\n"


async def _link(gallery: Gallery, archive: Archive) -> str:
    if gallery.expires is None:
        return ""
    seconds = max(1, int((gallery.expires - now()).total_seconds()))
    address = await archive.store.link(LINKED_GALLERY_KEY, seconds)
    until = f"{gallery.expires:%Y-%m-%d %H:%M} UTC"
    return f"[Open the page with links](<{address}>): whoever has it can open every clip until {until}.\n\n"
