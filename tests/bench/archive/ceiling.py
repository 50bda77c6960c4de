"""What the server itself can take: the same bytes in parts from memory, signed beforehand, nothing read.

Usage: see `contender.Work`.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import boto3  # type: ignore[import-untyped]  # ships no type information
import urllib3

from tests.bench.archive.contender import KEY_ID, SECRET, Work, measured

_PART_BYTES = 8 * 2**20
_AT_ONCE = 4


def main(work: Work) -> None:
    """Send all parts of all clips, as if they were one object."""
    client = boto3.client(
        "s3",
        endpoint_url=work.server,
        region_name="us-east-1",
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
    )
    place = {"Bucket": "archive", "Key": f"{work.prefix}/0.bin"}
    place["UploadId"] = client.create_multipart_upload(**place)["UploadId"]
    count = -(-work.clips * work.size // _PART_BYTES)
    trusted = os.environ.get("AWS_CA_BUNDLE")
    part, links = bytes(_PART_BYTES), urllib3.PoolManager(maxsize=_AT_ONCE, ca_certs=trusted)

    def link(number: int) -> str:
        named = place | {"PartNumber": number}
        return str(client.generate_presigned_url("upload_part", named))

    def send(link: str) -> None:
        answer = links.request("PUT", link, body=part)
        if answer.status != 200:
            raise SystemExit(f"the server answers {answer.status}")

    signed = [link(number) for number in range(1, count + 1)]
    with ThreadPoolExecutor(_AT_ONCE) as threads, measured():
        list(threads.map(send, signed))
    client.abort_multipart_upload(**place)


if __name__ == "__main__":
    main(Work.given())
