"""Runs a module with the code of `blocks` but without its Block types: importing Prefect takes seconds."""

from __future__ import annotations

import runpy
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blocks.storage.store import Store


def command(module: str, *given: str) -> list[str]:
    """Return the command that runs `module` in a new process."""
    return [sys.executable, "-m", __name__, module, *given]


def open_quickly(url: str, endpoint_url: str) -> Store:
    """Return the store at `url`; a folder's without loading all that S3 needs."""
    if not endpoint_url:
        local: Store = import_module("blocks.storage.local").LocalStore(Path(url))
        return local
    known = {"endpoint_url": endpoint_url, "key": "process", "secret": "process"}
    settings = import_module("blocks.storage.s3.settings").S3Settings(**known)
    bucket: Store = import_module("blocks.storage.opening").open_store(url, settings)
    return bucket


if __name__ == "__main__":
    package = ModuleType("blocks")
    package.__path__ = [str(Path(__file__).parents[3] / "blocks")]
    sys.modules["blocks"] = package
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
