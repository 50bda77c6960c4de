"""A PostgreSQL of one measurement, from the binaries of this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import free_port


@contextmanager
def postgresql(folder: Path) -> Iterator[tuple[str, int]]:
    """Run a new PostgreSQL; yield the URL for Prefect and the server's process group."""
    binaries = _binaries()
    port = free_port()
    folder.mkdir()
    if os.getuid() == 0:
        # PostgreSQL refuses to run as root.
        shutil.chown(folder, "postgres")
        _open_up(folder.parent)
    data = str(folder / "data")
    _run([str(binaries / "initdb"), "-D", data, "-U", "postgres", "-A", "trust"])
    options = ["-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1"]
    command = _as_postgres([str(binaries / "postgres"), "-D", data, *options])
    with (folder.parent / "postgresql.log").open("w") as log, subprocess.Popen(
        command, stdout=log, stderr=log, start_new_session=True
    ) as process:  # fmt: skip
        try:
            ready = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
            while subprocess.run(ready, check=False).returncode:
                if process.poll() is not None:
                    raise SystemExit(f"PostgreSQL does not start; see {log.name}")
                time.sleep(0.1)
            _run(
                [str(binaries / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "prefect"]
            )
            yield f"postgresql+asyncpg://postgres@127.0.0.1:{port}/prefect", process.pid
        finally:
            os.killpg(process.pid, signal.SIGINT)


def _binaries() -> Path:
    if found := shutil.which("initdb"):
        # A link to it need not have the others beside it.
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not installed:
        raise SystemExit("PostgreSQL is not installed on this machine")
    return installed[-1]


def _as_postgres(command: list[str]) -> list[str]:
    return ["runuser", "-u", "postgres", "--", *command] if os.getuid() == 0 else command


def _run(command: list[str]) -> None:
    subprocess.run(_as_postgres(command), check=True, stdout=subprocess.DEVNULL)


def _open_up(folder: Path) -> None:
    """Let another user pass through a temporary folder."""
    for each in (folder, *folder.parents):
        if each.stat().st_uid == os.getuid() and not each.stat().st_mode & 0o001:
            each.chmod(each.stat().st_mode | 0o011)
