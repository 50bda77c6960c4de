from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import fsspec
import pytest
from prefect.client.schemas.objects import State

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import InvalidRequest
from blocks.sandbox.serve import RunningSandbox
from blocks.storage.sidecar import Sidecar
from flows.decide import decide
from flows.inbox import main, watch_inbox
from flows.tasks.inbox.pieces import PieceReport
from flows.tasks.manifest.results import NotAllArchived
from tests.flows.conftest import SAMPLES
from tests.flows.desk import bought, newest_table, put_media, put_text, rest, results_beside, write_manifest


@pytest.fixture(autouse=True)
def fast(sandbox: RunningSandbox) -> None:
    sandbox.set(fast_clip=True)


class Watch:
    """An inbox and what looks into it."""

    def __init__(self, folder: Path, credentials: CometAPICredentials, archive: AvatarArchive) -> None:
        self.folder = folder
        self.address = str(folder)
        self.credentials = credentials
        self.archive = archive

    async def look(
        self, quiet_seconds: float = 0.05
    ) -> tuple[State[list[PieceReport]], dict[str, PieceReport]]:
        """Run the flow once; return its state and its reports by name."""
        state: State[list[PieceReport]] = await watch_inbox(
            self.address,
            quiet_seconds=quiet_seconds,
            credentials=self.credentials,
            store=self.archive,
            return_state=True,
        )
        outcome = await state.aresult(raise_on_failure=False)
        reports = outcome.results if isinstance(outcome, NotAllArchived) else outcome
        assert isinstance(reports, list | tuple), reports
        told = [PieceReport.model_validate(each.model_dump()) for each in reports]
        return state, {each.piece: each for each in told}

    def sidecars(self) -> list[Sidecar]:
        clips = Path(self.archive.url) / "clips"
        return [Sidecar.model_validate_json(path.read_bytes()) for path in clips.rglob("*.json")]


@pytest.fixture
def watch(tmp_path: Path, credentials: CometAPICredentials, archive_block: AvatarArchive) -> Watch:
    (tmp_path / "inbox").mkdir()
    return Watch(tmp_path / "inbox", credentials, archive_block)


def state_of(reports: dict[str, PieceReport]) -> dict[str, str]:
    return {piece: report.state for piece, report in reports.items()}


async def test_pairs_become_videos_and_looking_again_reads_and_buys_nothing(
    watch: Watch, sandbox: RunningSandbox
) -> None:
    put_media(watch.folder, "kim", "new/ann", "new/bob")
    put_text(watch.folder / "new/ann.txt", "\ufeffShe laughs.\n")
    put_text(
        watch.folder / "new/bob.json", '{"prompt": "He nods.", "mode": "pro", "take": 2, "rights": "ok"}'
    )
    (watch.folder / "new/bob.mp3").rename(watch.folder / "new/bob.MP3")
    state, reports = await watch.look()
    assert state.is_completed()
    assert state_of(reports) == {"kim": "archived", "new/ann": "archived", "new/bob": "archived"}
    assert all(report.clip and report.charged == "yes" for report in reports.values())
    assert bought(sandbox) == (3, 3)
    asked = {sidecar.name: sidecar.requested for sidecar in watch.sidecars()}
    assert asked["new/ann"].prompt == "She laughs."
    bob = asked["new/bob"]
    assert (bob.prompt, bob.mode, bob.take, bob.rights) == ("He nods.", "pro", 2, "ok")

    seen = len(sandbox.requests())
    for path in watch.folder.rglob("*.*"):
        inside = path.stat()
        path.write_bytes(b"x" * inside.st_size)
        os.utime(path, ns=(inside.st_atime_ns, inside.st_mtime_ns))
    again, known = await watch.look()
    assert again.is_completed()
    assert state_of(known) == state_of(reports)
    assert len(sandbox.requests()) == seen
    shown, description = await newest_table("watch-inbox")
    assert [row["piece"] for row in shown] == ["kim", "new/ann", "new/bob"]
    assert "3 archived" in description


async def test_what_was_touched_only_is_looked_at_and_not_bought_again(
    watch: Watch, sandbox: RunningSandbox
) -> None:
    put_media(watch.folder, "kim")
    await watch.look()
    rest(watch.folder / "kim.png", age=300)
    state, reports = await watch.look()
    assert (state.is_completed(), state_of(reports)) == (True, {"kim": "archived before"})
    assert bought(sandbox) == (1, 1)


async def test_a_bucket_is_an_inbox_too(watch: Watch, sandbox: RunningSandbox) -> None:
    bucket = fsspec.filesystem("memory")
    bucket.pipe_file("/watched/inbox/kim.png", (SAMPLES / "portrait.png").read_bytes())
    bucket.pipe_file("/watched/inbox/kim.mp3", (SAMPLES / "voice.mp3").read_bytes())
    watch.address = "memory://watched/inbox/"
    _, early = await watch.look(quiet_seconds=60)
    assert state_of(early) == {"kim": "waiting"}
    await asyncio.sleep(0.2)
    for state, reports in (await watch.look(), await watch.look()):
        assert (state.is_completed(), state_of(reports)) == (True, {"kim": "archived"})
    assert bought(sandbox) == (1, 1)


async def test_a_half_uploaded_file_waits_until_it_is_whole(watch: Watch, sandbox: RunningSandbox) -> None:
    put_media(watch.folder, "kim", "ann")
    put_text(watch.folder / "kim.txt", "another video")
    whole = (watch.folder / "kim.mp3").read_bytes()
    (watch.folder / "kim.mp3").write_bytes(whole[:1000])
    state, reports = await watch.look(quiet_seconds=60)
    assert (state.is_completed(), state_of(reports)) == (True, {"ann": "archived", "kim": "waiting"})
    (watch.folder / "kim.mp3").write_bytes(whole)
    rest(watch.folder / "kim.mp3", age=61)
    _, reports = await watch.look(quiet_seconds=60)
    assert (state_of(reports)["kim"], bought(sandbox)) == ("archived", (2, 2))


async def test_a_bad_file_is_news_once_and_tried_again_when_it_changes(
    watch: Watch, sandbox: RunningSandbox
) -> None:
    put_media(watch.folder, "kim", "ann")
    put_text(watch.folder / "kim.json", '{"mode": "hd", "promt": "x", "take": "two"}')
    put_text(watch.folder / "kim.mp3", "no sound")
    first, reports = await watch.look()
    assert (first.name, first.is_failed()) == ("Problems", True)
    assert state_of(reports) == {"ann": "archived", "kim": "invalid"}
    said = reports["kim"].message
    assert all(part in said for part in ("mode: 'hd'", "promt", "take: two", "audio: the file")), said
    again, known = await watch.look()
    assert again.is_completed()
    assert (known["kim"].state, known["kim"].is_news, known["kim"].message) == ("invalid", False, said)
    put_media(watch.folder, "kim")
    rest(watch.folder / "kim.mp3", age=500)
    still, reports = await watch.look()
    assert still.name == "Problems"
    assert "audio" not in reports["kim"].message
    put_text(watch.folder / "kim.json", '{"mode": "pro"}', age=500)
    better, reports = await watch.look()
    assert (better.is_completed(), state_of(reports)["kim"]) == (True, "archived")
    assert bought(sandbox) == (2, 2)


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("kim.txt", "", "empty file"),
        ("kim.txt", " \n", "prompt: empty"),
        ("kim.json", "[1]", "no JSON object"),
        ("kim.wav", "x", "kim.mp3 and kim.wav"),
    ],
)
async def test_what_lies_beside_a_pair_is_checked_before_it_is_bought(
    watch: Watch, sandbox: RunningSandbox, name: str, text: str, part: str
) -> None:
    put_media(watch.folder, "kim")
    put_text(watch.folder / name, text)
    _, reports = await watch.look()
    assert reports["kim"].state == "invalid"
    assert part in reports["kim"].message
    assert bought(sandbox) == (0, 0)


async def test_a_prompt_given_twice_is_refused(watch: Watch, sandbox: RunningSandbox) -> None:
    put_media(watch.folder, "kim")
    put_text(watch.folder / "kim.txt", "one")
    put_text(watch.folder / "kim.json", '{"prompt": "two"}')
    _, reports = await watch.look()
    assert "given twice" in reports["kim"].message
    assert bought(sandbox) == (0, 0)


async def test_lonely_files_wait_and_are_no_problem(watch: Watch, sandbox: RunningSandbox) -> None:
    put_media(watch.folder, "kim")
    (watch.folder / "kim.mp3").unlink()
    state, reports = await watch.look()
    assert (state.is_completed(), state_of(reports)) == (True, {"kim": "waiting"})
    assert "no voice clip" in reports["kim"].message


async def test_what_passes_with_time_is_news_each_time_and_tried_again(
    watch: Watch, sandbox: RunningSandbox
) -> None:
    put_media(watch.folder, "kim")
    sandbox.set(key="another-key")
    for _ in range(2):
        state, reports = await watch.look()
        assert (state.name, reports["kim"].state, reports["kim"].error) == (
            "Problems",
            "error",
            "AccessRefused",
        )
    sandbox.set(key=None)
    state, reports = await watch.look()
    assert (state.is_completed(), state_of(reports)) == (True, {"kim": "archived"})
    assert bought(sandbox)[1] == 1


async def test_an_overdue_video_is_news_once_and_finished_later(
    watch: Watch, sandbox: RunningSandbox
) -> None:
    put_media(watch.folder, "kim")
    sandbox.set(render_seconds=3600)
    watch.credentials = watch.credentials.model_copy(update={"deadline_minutes": 0.005})
    states = [await watch.look(), await watch.look()]
    assert [(state.name, reports["kim"].state) for state, reports in states] == [
        ("Problems", "overdue"),
        ("Completed", "overdue"),
    ]
    sandbox.advance(3600)
    _, reports = await watch.look()
    assert (state_of(reports), bought(sandbox)) == ({"kim": "archived"}, (1, 1))


async def test_a_failed_take_is_reported_and_not_repeated(watch: Watch, sandbox: RunningSandbox) -> None:
    put_media(watch.folder, "kim")
    put_text(watch.folder / "kim.txt", "[fault:failed-moderation]")
    first, _ = await watch.look()
    again, reports = await watch.look()
    assert (first.name, again.is_completed(), state_of(reports)) == ("Problems", True, {"kim": "failed"})
    assert bought(sandbox)[0] == 1


async def test_a_doubt_is_not_repeated_until_a_person_has_decided(
    watch: Watch, sandbox: RunningSandbox
) -> None:
    put_media(watch.folder, "kim")
    put_text(watch.folder / "kim.txt", "[fault:500-before-accept:1]")
    watch.credentials = watch.credentials.model_copy(update={"lookup": "no"})
    first, reports = await watch.look()
    assert (first.name, state_of(reports)) == ("Problems", {"kim": "needs decision"})
    seen = len(sandbox.requests())
    again, reports = await watch.look()
    assert (again.is_completed(), state_of(reports)) == (True, {"kim": "needs decision"})
    assert len(sandbox.requests()) == seen
    job_id = reports["kim"].job_id or ""
    await decide(job_id, "post again", credentials=watch.credentials, store=watch.archive)
    decided, reports = await watch.look()
    assert (decided.is_completed(), state_of(reports)) == (True, {"kim": "archived"})
    assert bought(sandbox)[1] == 1


async def test_a_manifest_is_run_and_its_files_are_left_to_it(watch: Watch, sandbox: RunningSandbox) -> None:
    put_media(watch.folder, "ann")
    manifest = write_manifest(watch.folder / "jobs", "kim.png,kim.mp3,one", "../ann.png,kim.mp3,[fault:1301]")
    first, reports = await watch.look()
    assert first.name == "Problems"
    assert state_of(reports) == {"ann": "waiting", "jobs/m.csv": "not all archived"}
    assert [line["state"] for line in results_beside(manifest)] == ["archived", "failed"]
    assert bought(sandbox) == (2, 1)
    again, known = await watch.look()
    assert (again.is_completed(), known["jobs/m.csv"].message) == (True, reports["jobs/m.csv"].message)
    assert bought(sandbox) == (2, 1)
    put_text(Path(manifest), "image,audio,prompt\nkim.png,kim.mp3,one\n", age=500)
    better, reports = await watch.look()
    assert better.is_completed()
    assert reports["jobs/m.csv"].state == "archived before"


async def test_a_broken_manifest_stops_no_other_and_keeps_its_files(
    watch: Watch, sandbox: RunningSandbox
) -> None:
    put_media(watch.folder, "ann")
    write_manifest(watch.folder, "kim.png,kim.mp3,one", columns="image,audio,promt")
    state, reports = await watch.look()
    assert state.name == "Problems"
    assert state_of(reports) == {"ann": "archived", "m.csv": "invalid"}
    assert "unknown column 'promt'" in reports["m.csv"].message
    assert (await watch.look())[0].is_completed()
    assert bought(sandbox) == (1, 1)


async def test_the_same_video_twice_is_one_job(watch: Watch, sandbox: RunningSandbox) -> None:
    put_media(watch.folder, "kim", "copy/kim")
    for wanted in (["archived", "duplicate"], ["archived", "duplicate"]):
        state, reports = await watch.look()
        assert state.is_completed()
        assert sorted(state_of(reports).values()) == wanted
    assert bought(sandbox) == (1, 1)


async def test_a_copy_outlives_an_original_that_failed(watch: Watch, sandbox: RunningSandbox) -> None:
    put_media(watch.folder, "a", "b")
    sandbox.set(key="another-key")
    _, reports = await watch.look()
    assert state_of(reports) == {"a": "error", "b": "duplicate"}
    sandbox.set(key=None)
    (watch.folder / "a.png").unlink()
    _, reports = await watch.look()
    assert state_of(reports) == {"a": "waiting", "b": "archived"}


async def test_two_runs_at_once_buy_each_video_once(watch: Watch, sandbox: RunningSandbox) -> None:
    put_media(watch.folder, "kim", "ann")
    put_text(watch.folder / "ann.txt", "two")
    both = await asyncio.gather(watch.look(), watch.look())
    assert all(state.is_completed() for state, _ in both)
    assert bought(sandbox) == (2, 2)


async def test_an_inbox_and_an_archive_lie_apart(watch: Watch, tmp_path: Path) -> None:
    """Sidecars are JSON files: they would be taken for options."""
    for place in (tmp_path, Path(watch.archive.url), Path(watch.archive.url) / "inbox"):
        place.mkdir(exist_ok=True)
        with pytest.raises(InvalidRequest, match="one with the archive"):
            await watch_inbox(str(place), credentials=watch.credentials, store=watch.archive)


def test_the_command_prints_what_became_of_each_piece(
    watch: Watch, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("FIRST_POLL_SECONDS", "0.1"), ("RENDER_FACTOR", "0"), ("POLL_SECONDS", "0.1")):
        monkeypatch.setenv(f"COMETAPI_{name}", value)
    monkeypatch.setenv("COMETAPI_KEY", "sandbox-key")
    monkeypatch.setenv("COMETAPI_BASE_URL", sandbox.url)
    monkeypatch.setenv("AVATAR_ARCHIVE_URL", watch.archive.url)
    put_media(watch.folder, "kim", "ann")
    put_text(watch.folder / "ann.mp3", "no sound")
    monkeypatch.setattr(sys, "argv", ["inbox", watch.address, "--quiet-seconds", "0.05"])
    with pytest.raises(SystemExit, match="1 with new problems"):
        main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["piece"], line["state"]) for line in lines] == [("ann", "invalid"), ("kim", "archived")]
    main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["piece"], line["is_news"]) for line in lines] == [("ann", False), ("kim", False)]
