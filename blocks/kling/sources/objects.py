"""Reading an object of an object store, through fsspec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fsspec.core

from blocks.errors import SourceUnavailable
from blocks.kling.sources.references import shown
from blocks.kling.sources.refusal import Refused

_READABLE = "an object that this worker may read"
# Their hosts are the worker's own settings. Other file systems connect to whatever host an address names,
# this machine and its neighbours included, or unpack and wrap other places.
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "oci", "memory"}
# s3fs retries itself; botocore doing so too would multiply the attempts, and its own patience is minutes.
_S3_OPTIONS: dict[str, Any] = {
    "use_listings_cache": False,
    "config_kwargs": {"retries": {"total_max_attempts": 1}, "connect_timeout": 10, "read_timeout": 30},
}


def read_object(
    reference: str, most_bytes: int, scheme: str, storage_options: Mapping[str, Any] | None
) -> bytes:
    """Read at most `most_bytes` of an object. Blocks.

    Raises:
        Refused: It is not there, may not be read, or is in no object store.
        SourceUnavailable: The file system did not answer.
    """
    name = shown(reference)
    if "::" in reference:
        raise Refused(f"{name} chains several file systems", "one URL")
    if scheme not in _OBJECT_STORES:
        limit = "a path, an https URL, or an object store such as s3://, gs:// or az://"
        raise Refused(f"nothing here reads {scheme}:// addresses", limit)
    defaults = _S3_OPTIONS if scheme in ("s3", "s3a") else {}
    try:
        files, path = fsspec.core.url_to_fs(reference, **{**defaults, **(storage_options or {})})
        return _first_bytes(files, path, most_bytes)
    except (FileNotFoundError, IsADirectoryError):
        raise Refused(f"{name} does not exist", _READABLE) from None
    except PermissionError:
        raise Refused(f"{name} may not be read by this worker", _READABLE) from None
    except ImportError:
        raise Refused(f"{scheme}:// needs a package that is not installed here", _READABLE) from None
    except Exception as error:  # noqa: BLE001 - each store has its own; their texts may quote signed requests
        raise SourceUnavailable(f"{name} could not be read: {type(error).__name__}") from None


def _first_bytes(files: Any, path: str, most_bytes: int) -> bytes:
    # A store answers a range of an empty object with an error.
    if files.size(path) == 0:
        return b""
    data: bytes = files.cat_file(path, start=0, end=most_bytes)
    return data[:most_bytes]
