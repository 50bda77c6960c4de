"""The Block that opens the archive: where clips, sidecars and journals are kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from blocks.storage.archive import Archive
from blocks.storage.opening import open_store
from blocks.storage.s3.settings import S3Settings


class AvatarArchive(Block):
    """The place that keeps finished clips, their sidecars and the journal that keeps us from paying twice.

    A local folder needs the URL alone; for S3, keys may be left empty where the worker has its own.

    Example:
        Load a stored archive and look for a finished job:
        ```python
        from blocks import AvatarArchive

        archive = AvatarArchive.load("BLOCK_NAME")
        async with archive.open() as opened:
            sidecar = await opened.find_done(job_id)
        ```
    """

    _block_type_name: ClassVar[str] = "Avatar Archive"
    _block_type_slug: ClassVar[str] = "avatar-archive"
    _logo_url = "https://raw.githubusercontent.com/PrefectHQ/prefect/420d0d6a78bb6df1fc18bcf188fdad43c1d22ea9/assets/block-logos/filesystem.png"  # type: ignore[assignment]  # Prefect declares a URL object and takes text
    _documentation_url = "https://s3fs.readthedocs.io/en/latest/"  # type: ignore[assignment]  # as above

    url: str = Field(
        title="URL",
        description="Root of the archive: a folder, s3://bucket/prefix, or any other fsspec URL.",
        min_length=1,
    )
    endpoint_url: str | None = Field(
        default=None, title="Endpoint URL", description="Address of an S3 server other than AWS."
    )
    key: SecretStr | None = Field(default=None, title="Access key id", description="S3 access key id.")
    secret: SecretStr | None = Field(
        default=None, title="Secret access key", description="S3 secret access key."
    )
    region: str | None = Field(default=None, description="S3 region, such as eu-central-1.")
    single_worker: bool = Field(
        default=False,
        description="Only one worker ever uses it: accept a store without conditional writes.",
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> AvatarArchive | None:
        """Read the archive from `AVATAR_ARCHIVE_URL` and, for the other fields, `AVATAR_ARCHIVE_<FIELD>`.

        Returns:
            The archive, or `None` when there is no `AVATAR_ARCHIVE_URL`.
        """
        if not environment.get("AVATAR_ARCHIVE_URL"):
            return None
        variables = {name: environment.get(f"AVATAR_ARCHIVE_{name.upper()}") for name in cls.model_fields}
        return cls.model_validate({name: value for name, value in variables.items() if value})

    def open(self) -> Archive:
        """Return the opened archive, an async context manager for one event loop. Nothing is read yet."""
        settings = S3Settings(
            endpoint_url=self.endpoint_url,
            key=self.key,
            secret=self.secret,
            region=self.region,
            single_worker=self.single_worker,
        )
        return Archive(open_store(self.url, settings))
