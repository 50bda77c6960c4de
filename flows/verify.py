"""Verify-archive: does an archive hold what its sidecars say?"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Annotated

from prefect import flow
from prefect.artifacts import acreate_table_artifact
from pydantic import Field

from blocks.errors import AvatarError
from flows.tasks.connections import find_archive
from flows.tasks.form import Store, shown
from flows.tasks.help.hooks import with_help
from flows.tasks.inbox.findings import ArchiveDamaged, Verification, shown_of, table, verify


@flow(name="verify-archive", **with_help())
async def verify_archive(
    deep: Annotated[
        bool, shown("Deep", "Read every clip and compare its SHA-256; otherwise sizes are compared.")
    ] = False,
    reopen: Annotated[
        bool, shown("Reopen", "Let reconcile-jobs collect what is paid for and collected by nobody.")
    ] = False,
    at_once: Annotated[
        int, Field(ge=1, le=64), shown("At once", "How many jobs are checked side by side.")
    ] = 16,
    store: Store = None,
) -> Verification:
    """Check an archive against its sidecars, and find jobs that were paid for and that nobody collects.

    Costs nothing, needs no API key and may run beside jobs. Reads one sidecar a clip, with `deep` the clip
    too. Changes no clip, sidecar or journal; `reopen` writes marks by which reconcile-jobs sees a job.

    The run fails as *Damaged* when something is missing or not what it should be; the table says what to do.

    Returns:
        What was counted and found.
    """
    async with (await find_archive(store)).open() as archive:
        verification = await verify(archive, deep=deep, reopen=reopen, at_once=at_once)
    await acreate_table_artifact(
        key="verify-archive",
        table=table(verification),
        description=f"{verification.archive}: {verification.summary}.{shown_of(verification)}",
    )
    return verification.state  # type: ignore[return-value]  # Prefect unwraps a returned state


def main() -> None:
    """Verify the archive at AVATAR_ARCHIVE_URL, or a saved one, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m flows.verify", description=main.__doc__)
    parser.add_argument("--deep", action="store_true", help="read every clip and compare its SHA-256")
    parser.add_argument("--reopen", action="store_true", help="let reconcile collect what nobody collects")
    parser.add_argument("--at-once", default=16, type=int, help="how many jobs are checked side by side")
    parser.add_argument("--store", help="name of a saved Avatar Archive block")
    try:
        verification = asyncio.run(verify_archive(**vars(parser.parse_args())))
    except ArchiveDamaged as error:
        sys.stdout.writelines(f"{finding.model_dump_json()}\n" for finding in error.findings)
        sys.exit(f"\n{error}")
    except AvatarError as error:
        sys.exit(f"\n{type(error).__name__}: {error}")
    sys.stdout.writelines(f"{finding.model_dump_json()}\n" for finding in verification.findings)
    sys.stdout.write(f"{verification.archive}: {verification.summary}\n")


if __name__ == "__main__":
    main()
