"""Update-gallery: a page of all clips of an archive."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Annotated

from prefect import flow
from pydantic import Field

from blocks.errors import AvatarError
from flows.tasks.connections import find_archive
from flows.tasks.form import Store, shown
from flows.tasks.gallery.shown import show_gallery
from flows.tasks.gallery.update import Gallery, bring_up_to_date


@flow(name="update-gallery")
async def update_gallery(
    posters: Annotated[
        bool, shown("Posters", "Make the posters that are missing; reads some MiB of each such clip, once.")
    ] = True,
    link_seconds: Annotated[
        int,
        Field(ge=0, le=604_800),
        shown(
            "Link seconds",
            "Also write a page with signed links: whoever has that page can open ALL clips so long. 0: none.",
        ),
    ] = 0,
    at_once: Annotated[
        int, Field(ge=1, le=64), shown("At once", "How many sidecars and clips are read side by side.")
    ] = 8,
    store: Store = None,
) -> Gallery:
    """Bring the gallery of an archive up to date: a page of all its clips, to look through and play.

    The page is `index.html` at the root of the archive. It opens from a folder as it is, and from a bucket
    whose objects may be read by those who look. Names and prompts are in it. Costs nothing, needs no API key
    and may run beside jobs. Only sidecars that are new are read.

    With `link_seconds` there is a second page, `gallery/linked.html`, for a bucket that is private. It is one
    file, which may be handed on: WHOEVER HAS IT CAN OPEN EVERY CLIP in it until its links end.

    Returns:
        What the page shows and where it is.
    """
    place = await find_archive(store)
    async with place.open() as archive:
        gallery = await bring_up_to_date(archive, posters=posters, link_seconds=link_seconds, at_once=at_once)
        await show_gallery(gallery, archive)
    return gallery


def main() -> None:
    """Bring the gallery of the archive at AVATAR_ARCHIVE_URL, or of a saved one, up to date."""
    parser = argparse.ArgumentParser(prog="python -m flows.gallery", description=main.__doc__)
    parser.add_argument(
        "--no-posters", dest="posters", action="store_false", help="leave out posters that are missing"
    )
    parser.add_argument(
        "--link-seconds",
        default=0,
        type=int,
        help="also write a page with signed links; whoever has that page can open ALL clips so long",
    )
    parser.add_argument("--at-once", default=8, type=int, help="how many clips are read side by side")
    parser.add_argument("--store", help="name of a saved Avatar Archive block")
    try:
        gallery = asyncio.run(update_gallery(**vars(parser.parse_args())))
    except AvatarError as error:
        sys.exit(f"\n{type(error).__name__}: {error}")
    sys.stdout.write(f"{gallery.model_dump_json(indent=2)}\n")


if __name__ == "__main__":
    main()
