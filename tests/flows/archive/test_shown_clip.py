"""A run shows its clip; a signed link is shown only where the archive's block says so, and nowhere else."""

from __future__ import annotations

import re
from base64 import b64decode
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import State

from blocks import AvatarArchive
from blocks.storage.layout import poster_key
from flows.batch import generate_avatars
from flows.tasks.help import hooks
from flows.tasks.shown import clip as shown_clip
from tests.blocks.storage.s3.bucket import Bucket
from tests.flows.desk import write_manifest
from tests.flows.story import Ask


@pytest.fixture
def s3_archive(bucket: Bucket) -> AvatarArchive:
    known = {"key": "test-key-id", "secret": "test-secret-key", "link_seconds": 900}
    return AvatarArchive.model_validate({"url": "s3://archive/room", "endpoint_url": bucket.url, **known})


async def artifacts_of(state: State[Any]) -> list[str]:
    return [str(artifact.data) for artifact in await _artifacts(state) if artifact.type == "markdown"]


async def keys_of(state: State[Any]) -> set[str | None]:
    return {artifact.key for artifact in await _artifacts(state) if artifact.type == "markdown"}


async def _artifacts(state: State[Any]) -> list[Any]:
    run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    async with get_client() as client:
        found = await client.read_artifacts(artifact_filter=run)
    return [each for each in found if each.key != hooks.KEY]


def without_pictures(page: str) -> tuple[str, list[bytes]]:
    """Return a page without the pictures that are in it, and those."""
    found = re.compile(r"!\[[^\]]*\]\(data:image/jpeg;base64,([^)]*)\)")
    return found.sub("", page), [b64decode(data) for data in found.findall(page)]


async def test_by_default_a_run_shows_the_facts_and_the_address_and_no_link(
    ask: Ask, archive_block: AvatarArchive
) -> None:
    state = await ask(name="Kim | [x](https://evil.test) <b>", return_state=True)
    sidecar = await state.aresult()
    again = await ask(return_state=True)
    (page,), (page_again,) = await artifacts_of(state), await artifacts_of(again)
    assert page == page_again
    assert f"```text\n{archive_block.open().url}/{sidecar.clip.key}\n```" in page
    for fact in (sidecar.clip.sha256, str(sidecar.clip.size), sidecar.provided.task_id):
        assert fact in page
    assert page.startswith("### Kim \\| \\[x\\]\\(https\\:\u2060//evil.test\\) \\<b\\>\n\n![")
    text, poster = without_pictures(page)
    assert "](" not in text.replace(r"\]\(", "")
    assert poster == [(Path(archive_block.url) / poster_key(sidecar.job_id)).read_bytes()]


async def test_no_link_is_shown_of_a_bucket_either_unless_the_block_says_so(
    ask: Ask, s3_archive: AvatarArchive
) -> None:
    quiet = s3_archive.model_copy(update={"link_seconds": AvatarArchive.model_fields["link_seconds"].default})
    (page,) = await artifacts_of(await ask(store=quiet, return_state=True))
    assert "\ns3://archive/room/clips/" in page
    assert "X-Amz" not in page
    assert "http" not in page
    assert len(without_pictures(page)[1]) == 1


async def test_a_link_that_was_wanted_opens_the_clip_and_is_nowhere_else(
    ask: Ask, s3_archive: AvatarArchive, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    state = await ask(store=s3_archive, return_state=True)
    sidecar = await state.aresult()
    (page,) = await artifacts_of(state)
    logged = caplog.text
    link = page.partition("](<")[2].partition(">)")[0]
    assert "X-Amz-Expires=900&" in link
    async with httpx.AsyncClient(trust_env=False) as anybody:
        assert len((await anybody.get(link)).content) == sidecar.clip.size
    signature = link.partition("X-Amz-Signature=")[2]
    assert len(signature) == 64
    assert signature not in logged + sidecar.model_dump_json()
    assert [key for key in bucket.keys("room/") if signature.encode() in bucket.get(key)] == []


async def test_a_clip_that_cannot_be_shown_is_archived_all_the_same(
    ask: Ask, s3_archive: AvatarArchive, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*, markdown: str, **given: str) -> None:
        raise httpx.ReadTimeout(markdown)

    monkeypatch.setattr(shown_clip, "acreate_markdown_artifact", fail)
    state = await ask(store=s3_archive, return_state=True)
    assert state.is_completed()
    assert "cannot be shown here: ReadTimeout" in caplog.text
    assert "X-Amz" not in caplog.text.partition("cannot be shown here")[2]


async def test_a_clip_without_a_poster_is_shown_without_it(
    ask: Ask, archive_block: AvatarArchive, caplog: pytest.LogCaptureFixture
) -> None:
    sidecar = await ask()
    (Path(archive_block.url) / poster_key(sidecar.job_id)).unlink()
    (Path(archive_block.url) / sidecar.clip.key).write_bytes(b"torn")
    state = await ask(return_state=True)
    assert state.is_completed()
    (page,) = await artifacts_of(state)
    assert without_pictures(page) == (page, [])
    assert "There is no poster of job" in caplog.text


async def test_a_batch_is_one_page_with_totals_timeline_posters_and_reasons(
    archive_block: AvatarArchive, tmp_path: Path, credentials: Any
) -> None:
    rows = ("kim.png,kim.mp3,one", "kim.png,kim.mp3,two", "kim.png,gone.mp3,three")
    manifest = write_manifest(tmp_path / "work", *rows)
    run: Ask = partial(generate_avatars, manifest=manifest, credentials=credentials, store=archive_block)
    (page,) = await artifacts_of(await run(return_state=True))
    text, posters = without_pictures(page)
    assert len(posters) == 2
    assert "3: 2 archived, 1 invalid" in text
    assert "| InvalidRequest | 1 | 3 |" in text
    assert "data:image/svg+xml;base64," in text
    assert "http" not in text
    (again,) = await artifacts_of(await run(return_state=True))
    text, posters = without_pictures(again)
    assert len(posters) == 2
    assert "data:image/svg" not in text, "nothing happened that had a time"


async def test_links_of_a_batch_open_the_clips_and_are_in_a_page_without_a_key(
    s3_archive: AvatarArchive, bucket: Bucket, tmp_path: Path, credentials: Any
) -> None:
    manifest = write_manifest(tmp_path / "work", "kim.png,kim.mp3,one")
    run: Ask = partial(generate_avatars, manifest=manifest, credentials=credentials)
    state = await run(store=s3_archive, return_state=True)
    (page,) = await artifacts_of(state)
    link = page.partition("](<")[2].partition(">)")[0]
    async with httpx.AsyncClient(trust_env=False) as anybody:
        assert (await anybody.get(link)).headers["content-type"] == "video/mp4"
    assert await keys_of(state) == {None}
    quiet = s3_archive.model_copy(update={"link_seconds": 0})
    assert await keys_of(await run(store=quiet, return_state=True)) == {"generate-avatars-results"}
    (poster,) = [key for key in bucket.keys("room/clips/") if key.endswith(".jpg")]
    assert bucket.describe(poster)["ContentType"] == "image/jpeg"
