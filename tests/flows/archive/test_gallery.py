"""The gallery of a bucket: what browsers are told about it, and that links are where they were asked for."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from blocks import AvatarArchive
from blocks.storage.layout import GALLERY_KEY, LINKED_GALLERY_KEY
from flows.gallery import main, update_gallery
from flows.tasks.gallery.page import facts_in
from tests.blocks.storage.s3.bucket import Bucket
from tests.flows.story import Ask
from tests.gallery_shelf import put_clip


async def test_a_bucket_has_a_page_that_browsers_open_and_one_with_links_that_open_clips(
    ask: Ask, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    known = {"key": "test-key-id", "secret": "test-secret-key"}
    place = AvatarArchive.model_validate({"url": "s3://archive/room", "endpoint_url": bucket.url, **known})
    sidecar = await ask(store=place, name="Kim")
    state = await update_gallery(store=place, link_seconds=600, return_state=True)
    gallery = await state.aresult()
    assert (gallery.page, gallery.clips, gallery.posters) == ("s3://archive/room/index.html", 1, 1)
    page, linked = (facts_in(bucket.get(f"room/{key}")) for key in (GALLERY_KEY, LINKED_GALLERY_KEY))
    assert page
    assert linked
    types = {key: bucket.describe(f"room/{key}")["ContentType"] for key in (GALLERY_KEY, *page.pieces)}
    assert set(types.values()) == {"text/html; charset=utf-8", "text/javascript; charset=utf-8"}
    (entry,) = linked.entries
    async with httpx.AsyncClient(trust_env=False) as anybody:
        clip, poster = [await anybody.get(link or "") for link in (entry.clip, entry.picture)]
    assert (len(clip.content), clip.headers["content-type"]) == (sidecar.clip.size, "video/mp4")
    assert (poster.content[:3], poster.headers["content-type"]) == (b"\xff\xd8\xff", "image/jpeg")

    run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    async with get_client() as client:
        found = [each for each in await client.read_artifacts(artifact_filter=run) if each.type == "markdown"]
        (artifact,) = found
    assert artifact.key is None
    link = str(artifact.data).partition("](<")[2].partition(">)")[0]
    async with httpx.AsyncClient(trust_env=False) as anybody:
        assert facts_in((await anybody.get(link)).content) == linked
    holding = [key for key in bucket.keys("room/") if b"X-Amz-Signature" in bucket.get(key)]
    assert holding == [f"room/{LINKED_GALLERY_KEY}"]
    logged = "".join(record.getMessage() for record in caplog.records if record.name != "werkzeug")
    assert "X-Amz-Signature" not in logged + gallery.model_dump_json()


def test_the_command_writes_the_page_and_says_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_clip(tmp_path, 0)
    monkeypatch.setenv("AVATAR_ARCHIVE_URL", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["flows.gallery", "--no-posters"])
    main()
    printed = capsys.readouterr().out
    told = json.loads(printed[printed.index("{\n") :])
    assert (told["page"], told["clips"], told["posters"]) == (f"{tmp_path.as_uri()}/index.html", 1, 0)
    monkeypatch.setattr("sys.argv", ["flows.gallery", "--link-seconds", "60"])
    with pytest.raises(SystemExit, match="cannot sign links"):
        main()
