"""The Block that opens the archive: where clips, sidecars and journals are kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, SecretStr, ValidationError, model_validator

from blocks.errors import SetupMissing
from blocks.storage.archive import Archive
from blocks.storage.opening import open_store
from blocks.storage.s3.settings import S3Settings

_S3_FIELDS = (
    "endpoint_url",
    "key",
    "secret",
    "token",
    "region",
    "path_style",
    "checksums",
    "server_side_encryption",
    "kms_key_id",
    "storage_class",
    "content_type",
    "tags",
    "single_worker",
)


class AvatarArchive(Block):
    """The place that keeps finished clips, their sidecars and the journal that keeps us from paying twice.

    A local folder needs the URL alone; for S3, keys may be left empty where the worker has its own.

    Example:
        Load a stored archive and list what is open:
        ```python
        import asyncio

        from blocks import AvatarArchive

        archive = AvatarArchive.load("BLOCK_NAME")


        async def open_jobs():
            async with archive.open() as opened:
                return [mark.job_id async for mark in opened.journal.open_marks()]


        print(asyncio.run(open_jobs()))
        ```
    """

    # Pydantic quotes what it was given, secrets included.
    model_config = ConfigDict(hide_input_in_errors=True)

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
    token: SecretStr | None = Field(
        default=None, title="Session token", description="Token of temporary S3 credentials."
    )
    region: str | None = Field(default=None, description="S3 region, such as eu-central-1.")
    path_style: bool | None = Field(
        default=None,
        title="Path style",
        description="Whether the bucket goes into the path; unset it does where there is an endpoint URL.",
    )
    checksums: Literal["when_required", "when_supported"] | None = Field(
        default=None,
        description="When S3 checksums are sent; unset: when_required where there is an endpoint URL.",
    )
    server_side_encryption: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = Field(
        default=None, title="Server-side encryption", description="Encryption at rest that S3 is asked for."
    )
    kms_key_id: str | None = Field(
        default=None, title="KMS key id", description="Key for encryption with aws:kms."
    )
    storage_class: str | None = Field(
        default=None, title="Storage class", description="S3 storage class of the clips."
    )
    content_type: str = Field(
        default="video/mp4",
        title="Content-Type",
        description="Content-Type of the clips on S3.",
        min_length=1,
    )
    tags: dict[str, str] = Field(default_factory=dict, description="Tags put on each S3 object, at most ten.")
    link_seconds: int = Field(
        default=0,
        ge=0,
        le=604_800,
        title="Link seconds",
        description="A run shows signed links to its clips that work so long; whoever sees them can use "
        "them. 0: no links.",
    )
    single_worker: bool = Field(
        default=False,
        title="Single worker",
        description="Only one worker ever uses it: accept a store without conditional writes.",
    )

    @model_validator(mode="after")
    def _settings_fit_together(self) -> Self:
        try:
            self.s3_settings()
        except ValidationError as error:
            reasons = (fault["msg"].removeprefix("Value error, ") for fault in error.errors())
            raise ValueError("; ".join(reasons)) from None
        return self

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> AvatarArchive | None:
        """Read the archive from `AVATAR_ARCHIVE_URL` and, for the other fields, `AVATAR_ARCHIVE_<FIELD>`.

        Returns:
            The archive, or `None` when there is no `AVATAR_ARCHIVE_URL`.

        Raises:
            SetupMissing: A variable has a value that its field does not take.
        """
        if not environment.get("AVATAR_ARCHIVE_URL"):
            return None
        variables = {name: environment.get(f"AVATAR_ARCHIVE_{name.upper()}") for name in cls.model_fields}
        fields: dict[str, object] = {name: value for name, value in variables.items() if value}
        try:
            if variables["tags"]:
                fields["tags"] = dict(pair.split("=", 1) for pair in variables["tags"].split(","))
            return cls.model_validate(fields)
        except ValidationError as error:
            wrong = [(fault["loc"], fault["msg"].removeprefix("Value error, ")) for fault in error.errors()]
        except ValueError:
            wrong = [(("tags",), "")]
        named = (f"AVATAR_ARCHIVE_{where[0]}".upper() if where else reason for where, reason in wrong)
        raise SetupMissing(
            f"These environment variables have values that cannot be used: {', '.join(named)}",
            next_step="Correct them; the fields of the Avatar Archive block say what they take.",
        )

    def s3_settings(self) -> S3Settings:
        """Return how an S3 server is reached, as configured."""
        return S3Settings(**{name: getattr(self, name) for name in _S3_FIELDS})

    def source_options(self, reference: str) -> dict[str, Any] | None:
        """Return how inputs at `reference` are read: on S3 with the keys and endpoint of the archive."""
        if not reference.lower().startswith(("s3://", "s3a://")):
            return None
        if self.key is None and self.endpoint_url is None:
            return None
        return self.s3_settings().client_options()

    def open(self) -> Archive:
        """Return the opened archive, an async context manager for one event loop. Nothing is read yet."""
        return Archive(open_store(self.url, self.s3_settings()))
