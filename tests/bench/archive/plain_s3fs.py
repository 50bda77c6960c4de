"""s3fs' `open("wb")` out of the box, fed by the stream of the delivery. Usage: see `contender.Work`."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import urllib3
from s3fs import S3FileSystem

from tests.bench.archive.contender import CHECKSUMS, KEY_ID, SECRET, Work, measured


def main(work: Work) -> None:
    """Copy the clip, each copy from a thread of its own."""
    filesystem = S3FileSystem(
        key=KEY_ID,
        secret=SECRET,
        endpoint_url=work.server,
        client_kwargs={"region_name": "us-east-1"},
        config_kwargs=CHECKSUMS,
    )
    filesystem.exists("archive/idle")
    source = urllib3.PoolManager(maxsize=work.at_once)

    def copy(number: int) -> None:
        answer = source.request("GET", work.source, preload_content=False)
        with filesystem.open(f"archive/{work.prefix}/{number}.mp4", "wb") as file:
            shutil.copyfileobj(answer, file)
        answer.release_conn()

    with ThreadPoolExecutor(work.at_once) as threads, measured():
        list(threads.map(copy, range(work.clips)))


if __name__ == "__main__":
    main(Work.given())
