"""Set up the Prefect server in PREFECT_API_URL: `python -m flows.deploy`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.settings import get_current_settings

from blocks.errors import AvatarError, SetupMissing
from flows.deploy.automations import Patience, set_up_automations
from flows.deploy.blocks import set_up_blocks
from flows.deploy.deployments import set_up_deployments
from flows.deploy.pools import set_up_pools
from flows.deploy.report import Result


async def set_up() -> AsyncIterator[Result]:
    """Bring the server to where this project needs it; a second time changes nothing.

    Raises:
        SetupMissing: There is no server, or the environment has a value that cannot be used.
    """
    address = get_current_settings().api.url
    if not address:
        raise SetupMissing(
            "PREFECT_API_URL is not set",
            next_step="Start a server with `prefect server start` and set it to http://127.0.0.1:4200/api.",
        )
    patience = Patience.from_environment(os.environ)
    async with get_client() as client:
        await _check_server(client, address)
        for part in (
            set_up_blocks(client),
            set_up_pools(client, os.environ),
            set_up_deployments(client, os.environ),
            set_up_automations(client, patience),
        ):
            async for result in part:
                yield result


async def _check_server(client: PrefectClient, address: str) -> None:
    failure = await client.api_healthcheck()
    if failure is not None:
        raise SetupMissing(
            f"No Prefect server answers at {httpx.URL(address).copy_with(userinfo=b'')}",
            next_step=f"Start it, or correct PREFECT_API_URL ({type(failure).__name__}).",
        )


async def _print_all() -> None:
    async for result in set_up():
        sys.stdout.write(f"{result}\n")
        sys.stdout.flush()


def main() -> None:
    """Set up block types and blocks, work pool, limit, deployments and automations on a Prefect server.

    Run it again after each change of the code, of prefect.yaml or of the environment.
    """
    argparse.ArgumentParser(prog="python -m flows.deploy", description=main.__doc__).parse_args()
    try:
        asyncio.run(_print_all())
    except AvatarError as error:
        sys.exit(f"\n{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
