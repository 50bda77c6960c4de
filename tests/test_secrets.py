"""Nothing that a run leaves behind holds a key, a signature or the bytes that were sent.

There is one exception, which the owner of the archive asks for in its block (`link_seconds`): the artifacts
that show clips hold signed links to them, which expire.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from moto.server import ThreadedMotoServer

from blocks.sandbox.serve import RunningSandbox, running_sandbox
from tests.blocks.storage.s3.bucket import Bucket
from tests.servers import prefect_server, run

KEY = "sk-3f9c2a71d4b84e0e9a5577aa10c0ffee"
S3_SECRET = "wJalr/K7MDENG+bPxRfiCYzEXAMPLE"
SPOKEN = ["--voice", "oversea_male1", "--text", "Good morning to all of you. This is the news of today."]
SAMPLES = Path("blocks/sandbox/samples")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(submitted_seconds=0.05, render_seconds=0.2) as running:
        yield running


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield Bucket("http://{}:{}".format(*server.get_host_and_port()))
    server.stop()


@pytest.fixture(scope="module")
def left_behind(
    sandbox: RunningSandbox, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """Everything that a good run (to S3), a spoken, a doubtful and a refused one leave behind."""
    folder = tmp_path_factory.mktemp("left")
    with prefect_server(folder / "prefect") as environment:
        environment |= {
            "COMETAPI_KEY": KEY,
            "COMETAPI_BASE_URL": sandbox.url,
            "COMETAPI_FIRST_POLL_SECONDS": "0.1",
            "COMETAPI_RENDER_FACTOR": "0",
            "COMETAPI_POLL_SECONDS": "0.1",
            "COMETAPI_LOOKUP": "no",
            "AVATAR_ARCHIVE_URL": str(folder / "archive"),
            "PREFECT_LOGGING_LEVEL": "DEBUG",
        }
        files = ["--image", str(SAMPLES / "portrait.png"), "--audio", str(SAMPLES / "voice.mp3")]
        shown = {
            "AVATAR_ARCHIVE_URL": "s3://archive/room",
            "AVATAR_ARCHIVE_ENDPOINT_URL": bucket.url,
            "AVATAR_ARCHIVE_KEY": "AKIAEXAMPLE",
            "AVATAR_ARCHIVE_SECRET": S3_SECRET,
            "AVATAR_ARCHIVE_LINK_SECONDS": "600",
        }
        good = run("-m", "flows.avatar", *files, environment=environment | shown)
        assert good.returncode == 0, good.stderr
        spoken = run("-m", "flows.speech", *files[:2], *SPOKEN, environment=environment)
        assert spoken.returncode == 0, spoken.stderr
        sandbox.fault("lost-response", count=1)
        lost = run("-m", "flows.avatar", *files, "--take", "2", environment=environment)
        assert "NeedsDecision" in lost.stderr
        sandbox.set(key="another-key")
        refused = run("-m", "flows.avatar", *files, "--take", "3", environment=environment)
        assert "AccessRefused" in refused.stderr
        left = dict(_printed(good=good.stdout + good.stderr, lost=lost.stdout + lost.stderr))
        left |= dict(_printed(refused=refused.stdout + refused.stderr, spoken=spoken.stdout + spoken.stderr))
        left |= dict(_told_by_api(environment))
    left |= {f"bucket/{key}": bucket.get(key) for key in bucket.keys()}  # noqa: SIM118 # no dict
    left |= {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return left


def _printed(**outputs: str) -> Iterator[tuple[str, bytes]]:
    for name, text in outputs.items():
        yield f"output of the {name} run", text.encode()


def _told_by_api(environment: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    api = environment["PREFECT_API_URL"]
    for kind in ("flow_runs", "task_runs", "logs", "artifacts", "events", "block_documents"):
        answer = httpx.post(f"{api}/{kind}/filter", json={}, timeout=30, trust_env=False)
        assert answer.is_success, answer.text
        yield f"API: {kind}", answer.content


def _places(left_behind: Mapping[str, bytes], secret: bytes) -> list[str]:
    return [name for name, data in left_behind.items() if secret in data]


def test_what_is_searched_is_really_there(left_behind: dict[str, bytes]) -> None:
    """A search in empty places finds nothing and proves nothing."""
    assert json.loads(left_behind["API: flow_runs"])
    assert _places(left_behind, b"First look at Kling task")
    assert any(name.endswith(".db") for name in left_behind)
    assert any(name.startswith("prefect/storage/") for name in left_behind), sorted(left_behind)
    assert any(name.startswith("archive/journal/") for name in left_behind)
    assert any(name.startswith("bucket/room/journal/") for name in left_behind)
    assert any(name.endswith(".mp4") for name in left_behind)
    assert any(name.startswith("archive/speech/") and name.endswith(".mp3") for name in left_behind)


def test_the_key_is_nowhere(left_behind: dict[str, bytes]) -> None:
    assert _places(left_behind, KEY.encode()) == []
    assert _places(left_behind, base64.b64encode(KEY.encode())) == []
    assert _places(left_behind, S3_SECRET.encode()) == []


def test_the_signed_link_to_the_clip_is_only_in_the_artifact_that_shows_it(
    left_behind: dict[str, bytes],
) -> None:
    """And so in the database of Prefect's server, and in its answers about artifacts."""
    pages = left_behind["API: artifacts"]
    (signature,) = set(re.findall(rb"X-Amz-Signature=([0-9a-f]{64})", pages))
    assert set(re.findall(rb"X-Amz-Expires=(\d+)", pages)) == {b"600"}
    for part in (signature, b"X-Amz-Signature", b"X-Amz-Credential"):
        places = [name for name in _places(left_behind, part) if not name.startswith("prefect/prefect.db")]
        assert places == ["API: artifacts"]


@pytest.mark.parametrize("name", ["portrait.png", "voice.mp3"])
def test_the_bytes_that_were_sent_are_nowhere(left_behind: dict[str, bytes], name: str) -> None:
    body = base64.b64encode((SAMPLES / name).read_bytes())
    for start in (0, 3000, len(body) - 120):
        assert _places(left_behind, body[start : start + 40]) == []


def test_signatures_of_delivery_links_are_nowhere(
    left_behind: dict[str, bytes], sandbox: RunningSandbox
) -> None:
    sandbox.set(key=None)
    task = sandbox.tasks()[0]
    query = httpx.get(
        f"{sandbox.url}/kling/v1/videos/avatar/image2video/{task['task_id']}",
        headers={"Authorization": "Bearer any"},
        trust_env=False,
    )
    link = urlsplit(query.json()["data"]["task_result"]["videos"][0]["url"])
    assert link.query, "the sandbox signs its links"
    names = [part.partition("=")[0] for part in link.query.split("&")]
    for name in names:
        assert _places(left_behind, f"?{name}=".encode()) == []
        assert _places(left_behind, f"&{name}=".encode()) == []
