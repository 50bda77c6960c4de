"""Installs what the tests of this folder need, where that is possible: Debian's packages of Ceph, as root.

Usage: `python -m tests.integration`. Elsewhere it says what is missing, and the tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tests.integration.gateway import missing_programs

_PACKAGES = ("ceph-mon", "ceph-osd", "radosgw")


def main() -> None:
    """Install the packages if they are missing."""
    missing = missing_programs()
    if not missing:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        sys.stderr.write(
            f"Not installed: {', '.join(missing)}. As root: apt-get install {' '.join(_PACKAGES)}\n"
        )
        return
    quietly = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], env=quietly, check=True)
    install = ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *_PACKAGES]
    subprocess.run(install, env=quietly, stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main()
