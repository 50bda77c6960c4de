"""How a bucket is reached and what is said about the objects in it."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Literal, Self
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, SecretStr, model_validator

MEBIBYTE = 2**20

_CONTENT_TYPES = {
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
_ARCHIVES_THAT_NEED_RESTORING = {"GLACIER", "DEEP_ARCHIVE"}


class S3Settings(BaseModel):
    """Where the S3 server is, who we are there, and how patient we are.

    Attributes:
        endpoint_url: Address of the server; `None` means AWS.
        key: Access key id; `None` means the credentials of the environment, as the AWS tools find them.
        secret: Secret access key.
        token: Session token of temporary credentials.
        region: Region of the bucket; with `endpoint_url` it is `us-east-1` unless set.
        path_style: Whether the bucket goes into the path; unset it does with `endpoint_url`.
        checksums: When checksums are sent and expected; unset `when_required` with `endpoint_url`, because
            other servers refuse what AWS expects, and `when_supported` on AWS.
        server_side_encryption: Encryption at rest that is asked for.
        kms_key_id: Key for `aws:kms` encryption.
        storage_class: Class of the clips; journal and sidecars stay in the default class.
        content_type: Content-Type of the clips.
        tags: Tags put on each object.
        connect_timeout: Seconds for reaching the server.
        read_timeout: Seconds for an answer; sending adds time by size.
        part_bytes: Bytes of one part of a multipart upload; it grows for huge objects.
        parts_in_flight: Parts sent at the same time by one writer.
        parts_at_once: Parts sent at the same time by all writers of a store; each writer holds one more.
        attempts: How often one request is sent before giving up.
        backoff_seconds: Longest pause before the second attempt; it doubles for each further one.
        connections: Connections kept open to the server.
        single_worker: The owner's word that only one worker writes to this archive, so a store that cannot
            create exclusively is accepted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint_url: str | None = None
    key: SecretStr | None = None
    secret: SecretStr | None = None
    token: SecretStr | None = None
    region: str | None = None
    path_style: bool | None = None
    checksums: Literal["when_required", "when_supported"] | None = None
    server_side_encryption: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = None
    kms_key_id: str | None = None
    storage_class: str | None = None
    content_type: str = "video/mp4"
    tags: dict[str, str] = Field(default_factory=dict, max_length=10)
    connect_timeout: PositiveFloat = 10
    read_timeout: PositiveFloat = 60
    part_bytes: int = Field(default=5 * MEBIBYTE, ge=5 * MEBIBYTE, le=512 * MEBIBYTE)
    parts_in_flight: int = Field(default=6, ge=1, le=16)
    parts_at_once: int = Field(default=10, ge=1)
    attempts: int = Field(default=5, ge=1, le=20)
    backoff_seconds: PositiveFloat = 0.4
    connections: PositiveInt = 64
    single_worker: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.key is None) != (self.secret is None):
            raise ValueError("give both key and secret, or neither")
        if self.token is not None and self.key is None:
            raise ValueError("a token needs its key and secret")
        if self.kms_key_id is not None and self.server_side_encryption in {None, "AES256"}:
            raise ValueError("kms_key_id needs server_side_encryption aws:kms or aws:kms:dsse")
        if self.storage_class in _ARCHIVES_THAT_NEED_RESTORING:
            raise ValueError(f"clips in {self.storage_class} could not be read without restoring them first")
        return self

    def client_options(self) -> dict[str, Any]:
        """Return the arguments of `s3fs.S3FileSystem`, secrets included."""
        elsewhere = self.endpoint_url is not None
        checksums = self.checksums or ("when_required" if elsewhere else "when_supported")
        path_style = elsewhere if self.path_style is None else self.path_style
        region = self.region or ("us-east-1" if elsewhere else None)
        # Where TLS keeps the bytes as they were, a SHA-256 of each part would be half of what sending costs.
        is_sealed = not elsewhere or str(self.endpoint_url).lower().startswith("https://")
        addressing = {"addressing_style": "path" if path_style else "auto"}
        return {
            "key": _revealed(self.key),
            "secret": _revealed(self.secret),
            "token": _revealed(self.token),
            "endpoint_url": self.endpoint_url,
            "client_kwargs": {"region_name": region} if region else {},
            "config_kwargs": {
                "retries": {"total_max_attempts": 1},
                "connect_timeout": self.connect_timeout,
                "read_timeout": self.read_timeout,
                "max_pool_connections": self.connections,
                "signature_version": "s3v4",
                "s3": addressing | ({"payload_signing_enabled": False} if is_sealed else {}),
                "request_checksum_calculation": checksums,
                "response_checksum_validation": checksums,
            },
        }

    def object_options(self, key: str) -> dict[str, str]:
        """Return what is said about each object when it is written."""
        suffix = PurePosixPath(key).suffix.lower()
        known = _CONTENT_TYPES | {".mp4": self.content_type}
        options = {
            "ContentType": known.get(suffix, "application/octet-stream"),
            "ServerSideEncryption": self.server_side_encryption,
            "SSEKMSKeyId": self.kms_key_id,
            "Tagging": urlencode(self.tags),
        }
        return {name: value for name, value in options.items() if value}

    def stream_options(self, key: str) -> dict[str, str]:
        """Return what is said about an object that a writer streams."""
        chosen = {"StorageClass": self.storage_class} if self.storage_class else {}
        return self.object_options(key) | chosen

    def part_size(self, number: int) -> int:
        """Return the bytes of part `number` (from 1); 10,000 such parts hold more than the largest object."""
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
        return min(self.part_bytes << (number - 1) // 900, 5 * 1024 * MEBIBYTE)


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
