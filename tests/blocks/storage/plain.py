"""Runs a module with the code of `blocks` but without its Block types: importing Prefect takes seconds."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType


def command(module: str, *given: str) -> list[str]:
    """Return the command that runs `module` in a new process."""
    return [sys.executable, "-m", __name__, module, *given]


if __name__ == "__main__":
    package = ModuleType("blocks")
    package.__path__ = [str(Path(__file__).parents[3] / "blocks")]
    sys.modules["blocks"] = package
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
