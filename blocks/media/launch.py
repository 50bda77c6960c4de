"""How the measuring process is started: isolated, with nothing of our environment that is secret."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

_START = Path(__file__).parent / "child" / "start.py"
# What an interpreter needs to find its libraries; keys and tokens stay here.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")


def command(module: str, argument: str = "") -> list[str]:
    """Return the command line that runs `main` of `module` in a process of its own."""
    return [sys.executable, "-I", str(_START), module, argument, *_library_folders()]


def environment() -> dict[str, str]:
    """Return the environment variables that process gets."""
    return {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}


def _library_folders() -> list[str]:
    origins = (spec.origin for spec in (find_spec("av"), find_spec("PIL")) if spec is not None)
    return sorted({str(Path(origin).parent.parent) for origin in origins if origin})
