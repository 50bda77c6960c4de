"""Ceph's RADOS Gateway on this machine: one monitor, one store in memory, one gateway, all below a folder."""

from __future__ import annotations

import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import boto3  # type: ignore[import-untyped]  # ships no type information
import httpx
import trustme

from tests.servers import free_port

PROGRAMS = (
    "ceph",
    "ceph-authtool",
    "ceph-mon",
    "ceph-osd",
    "monmaptool",
    "radosgw",
    "radosgw-admin",
    "setpriv",
)
ACCESS_KEY_ID = "test-key-id"
SECRET_ACCESS_KEY = "test-secret-key"

_START_SECONDS = 90.0
_CONFIGURATION = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{port}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
# With `none` instead of cephx the daemons wait for each other for ever.
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {folder}/keyring
admin socket = {folder}/$name-$pid.asok
pid file = {folder}/$name-$pid.pid
log file = {folder}/$name.log
crash dir = {folder}/crash
mon data = {folder}/mon
mon allow pool size one = true
mon max pg per osd = 1000
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = {room}
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
rgw gc obj min wait = 5
rgw gc processor period = 5
# Parts of any size, so that tests need not move megabytes; the large clips have parts as large as ever.
rgw multipart min part size = 1
"""
_RIGHTS = {
    "mon.": ["--cap", "mon", "allow *"],
    "client.admin": ["--cap", "mon", "allow *", "--cap", "osd", "allow *"],
    "osd.0": ["--cap", "mon", "allow profile osd", "--cap", "osd", "allow *"],
}


class Gateway(NamedTuple):
    """A gateway that runs.

    Attributes:
        url: Its address over http.
        secure_url: Its address over https.
        authority: File with the certificate of the authority that signed the gateway's.
    """

    url: str
    secure_url: str
    authority: Path


def missing_programs() -> list[str]:
    """Return the programs of Ceph that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


@contextmanager
def running_gateway(folder: Path, gibibytes: int = 4) -> Iterator[Gateway]:
    """Run a gateway of our own on the loopback device until the block ends; it has the bucket `archive`.

    Args:
        folder: Where it lives; it must not exist.
        gibibytes: How much it stores at most, in memory.

    Raises:
        RuntimeError: It does not start; what it printed is in `folder`.
    """
    folder.mkdir(parents=True)
    with ExitStack() as ends:
        daemons = _Daemons(folder, ends)
        _start_storage(daemons, gibibytes << 30)
        yield _start_gateway(daemons)


class _Daemons:
    """Runs programs of Ceph with the configuration in `folder`, and ends them by their process ids."""

    def __init__(self, folder: Path, ends: ExitStack) -> None:
        self.folder = folder
        self._configuration = str(folder / "ceph.conf")
        self._ends = ends

    def run(self, program: str, *words: str) -> str:
        command = [program, "--conf", self._configuration, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_START_SECONDS, check=False)
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr}")
        return done.stdout

    def start(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        printed = self._ends.enter_context((self.folder / f"{program}.printed").open("wb"))
        # A daemon dies with us, however we end.
        command = ["setpriv", "--pdeathsig", "KILL", program, "--conf", self._configuration, "-f", *words]
        process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True)
        self._ends.callback(_end, process)
        return process


def _start_storage(daemons: _Daemons, room: int) -> None:
    """Start the monitor and the object storage daemon that keeps everything in memory."""
    folder, port = daemons.folder, free_port()
    cluster, disk = str(uuid.uuid4()), str(uuid.uuid4())
    values = {"fsid": cluster, "port": port, "folder": folder, "room": room}
    (folder / "ceph.conf").write_text(_CONFIGURATION.format(**values))
    keys, plan = str(folder / "keyring"), str(folder / "monmap")
    for number, (name, rights) in enumerate(_RIGHTS.items()):
        create = [] if number else ["--create-keyring"]
        daemons.run("ceph-authtool", *create, keys, "--gen-key", "-n", name, *rights)
    daemons.run("monmaptool", "--create", "--addv", "a", f"[v2:127.0.0.1:{port}]", "--fsid", cluster, plan)
    daemons.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", plan, "--keyring", keys)
    monitor = daemons.start("ceph-mon", "-i", "a")
    daemons.run("ceph", "osd", "new", disk)
    (folder / "osd").mkdir()
    daemons.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
    storage = daemons.start("ceph-osd", "-i", "0")
    _wait_for(lambda: "1 up" in daemons.run("ceph", "osd", "stat"), monitor, storage)


def _start_gateway(daemons: _Daemons) -> Gateway:
    folder, port, secure_port = daemons.folder, free_port(), free_port()
    authority, certificate = folder / "authority.pem", folder / "certificate.pem"
    issuer = trustme.CA()
    issuer.cert_pem.write_to_path(authority)
    issuer.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    front = f"beast endpoint=127.0.0.1:{port} ssl_endpoint=127.0.0.1:{secure_port}"
    front = f"{front} ssl_certificate={certificate} ssl_private_key={certificate}"
    process = daemons.start("radosgw", "-n", "client.admin", "--rgw-frontends", front)
    url = f"http://127.0.0.1:{port}"
    _wait_for(lambda: httpx.get(url, timeout=5, trust_env=False).is_success, process)
    owner = ["--uid", "archive", "--display-name", "archive"]
    keys = ["--access-key", ACCESS_KEY_ID, "--secret-key", SECRET_ACCESS_KEY]
    daemons.run("radosgw-admin", "user", "create", *owner, *keys)
    # The pair that processes of tests/blocks/storage/plain.py come with.
    daemons.run(
        "radosgw-admin", "key", "create", *owner[:2], "--access-key", "process", "--secret", "process"
    )
    look_into(url).create_bucket(Bucket="archive")
    return Gateway(url, f"https://127.0.0.1:{secure_port}", authority)


def look_into(url: str) -> Any:
    """Return a client for the gateway at `url` that does not go through the code under test."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
    )


def _wait_for(look: Callable[[], bool], *processes: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if any(process.poll() is not None for process in processes):
            raise RuntimeError(f"{processes[-1].args!r} ended at once")
        with suppress(httpx.TransportError):
            if look():
                return
        time.sleep(0.1)
    raise RuntimeError(f"{processes[-1].args!r} did not start")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
