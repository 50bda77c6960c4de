"""The client of one store, made by s3fs on first use and bound to one event loop."""

from __future__ import annotations

import asyncio
from typing import Any

from botocore.handlers import add_expect_header
from s3fs import S3FileSystem

from blocks.storage.s3.settings import S3Settings


class Session:
    """Makes the client when it is first needed, and closes it.

    Args:
        settings: How the server is reached.
    """

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._filesystem: Any = None
        self._client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def client(self) -> Any:
        """Return the `aiobotocore` client.

        Raises:
            RuntimeError: Another event loop than the first asks; connections do not move between loops.
        """
        if self._filesystem is None:
            self._loop = asyncio.get_running_loop()
            self._filesystem = S3FileSystem(
                asynchronous=True,
                skip_instance_cache=True,
                use_listings_cache=False,
                **self._settings.client_options(),
            )
        if self._loop is not asyncio.get_running_loop():
            raise RuntimeError("this S3 store belongs to another event loop; open one for each loop")
        client = await self._filesystem.set_session()
        if client is not self._client:
            # aiohttp waits without a limit for the answer to `Expect: 100-continue`.
            client.meta.events.unregister("before-call.s3", add_expect_header)
            self._client = client
        return client

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        client, self._client, self._filesystem, self._loop = self._client, None, None, None
        if client is not None:
            await client.close()
