"""The measuring process starts here: by file path, in isolated mode, without the packages' `__init__`.

`blocks/__init__.py` brings Prefect, which costs seconds and memory and has no business beside hostile files.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType


def _name_packages() -> None:
    blocks = Path(__file__).resolve().parents[2]
    for name, folder in (("blocks", blocks), ("blocks.media", blocks / "media")):
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package


if __name__ == "__main__":
    _name_packages()
    module, argument, *library_folders = sys.argv[1:]
    sys.path.extend(folder for folder in library_folders if folder not in sys.path)
    importlib.import_module(module).main(argument)
