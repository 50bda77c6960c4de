"""boto3's `upload_fileobj` out of the box, fed by the stream of the delivery. Usage: see `contender.Work`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import boto3  # type: ignore[import-untyped]  # ships no type information
import urllib3
from botocore.config import Config

from tests.bench.archive.contender import CHECKSUMS, KEY_ID, SECRET, Work, measured


def main(work: Work) -> None:
    """Copy the clip, each copy from a thread of its own."""
    client = boto3.client(
        "s3",
        endpoint_url=work.server,
        region_name="us-east-1",
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
        config=Config(max_pool_connections=10 * work.at_once, **CHECKSUMS),
    )
    client.head_bucket(Bucket="archive")
    source = urllib3.PoolManager(maxsize=work.at_once)

    def copy(number: int) -> None:
        answer = source.request("GET", work.source, preload_content=False)
        client.upload_fileobj(answer, "archive", f"{work.prefix}/{number}.mp4")
        answer.release_conn()

    with ThreadPoolExecutor(work.at_once) as threads, measured():
        list(threads.map(copy, range(work.clips)))


if __name__ == "__main__":
    main(Work.given())
