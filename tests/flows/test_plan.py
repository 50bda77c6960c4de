"""A plan says what a run would do and cost, to the cent, and leaves no trace."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import InvalidRequest, SetupMissing
from blocks.kling.prices import in_cents
from blocks.sandbox.serve import RunningSandbox
from flows.batch import generate_avatars
from flows.plan import main, plan
from flows.tasks.plan.plan import Plan
from tests.blocks.sandbox.media import picture, sound
from tests.flows.desk import bought, newest_table, put_media, put_text, write_manifest
from tests.flows.spoken import TEXT, Say
from tests.flows.story import Ask

SPOKEN = f'"{TEXT}",oversea_male1'
COLUMNS = "image,audio,audio_id,text,voice,speed,mode,take,prompt"
# Lengths whose price in US dollars has more than four decimals: rounding each row would lose cents.
LENGTHS = (2.001, 2.013, 3.337)


@pytest.fixture(autouse=True)
def fast(sandbox: RunningSandbox) -> None:
    sandbox.set(fast_clip=True, submitted_seconds=0, render_seconds=0)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "ann.png").write_bytes(picture())
    (folder / "tiny.png").write_bytes(picture(299, 299))
    (folder / "wide.png").write_bytes(picture(900, 300))
    for number, seconds in enumerate(LENGTHS):
        (folder / f"{number}.wav").write_bytes(sound(seconds))
    (folder / "short.wav").write_bytes(sound(1.9))
    (folder / "long.wav").write_bytes(sound(61))
    (folder / "text.wav").write_text("no sound")
    return folder


# One of each kind; the plan repeats them all over the manifest.
FAULTY = (
    "nobody.png,0.wav,,,,,std,1,x",
    "tiny.png,0.wav,,,,,std,1,x",
    "wide.png,0.wav,,,,,std,1,x",
    "text.wav,0.wav,,,,,std,1,x",
    "ann.png,nobody.wav,,,,,std,1,x",
    "ann.png,short.wav,,,,,std,1,x",
    "ann.png,long.wav,,,,,std,1,x",
    "ann.png,text.wav,,,,,std,1,x",
    "ann.png,,,,,,std,1,x",
    "ann.png,0.wav,880000000000000001,,,,std,1,x",
    "ann.png,0.wav,,,,,hd,1,x",
    "ann.png,0.wav,,,,,std,0,x",
    "ann.png,0.wav,,,,,std,one,x",
    f"ann.png,0.wav,,,,,std,1,{'x' * 2501}",
    "ann.png,0.wav,,,,,std,1,x,one cell too many",
    f'ann.png,,,"{TEXT}",nobody,,std,1,x',
    f'ann.png,,,"{TEXT}",,,std,1,x',
    f'ann.png,,,"{TEXT}",oversea_male1,2.05,std,1,x',
    f"ann.png,,,{'x' * 1001},oversea_male1,,std,1,x",
    "ann.png,,,,oversea_male1,,std,1,x",
    "tiny.png,short.wav,,,nobody,9,hd,0,x",
)
GOOD = 45


def thousand_rows() -> list[str]:
    """Return rows with every kind of fault among those that can be bought, and some that repeat those."""
    good = [
        f"ann.png,{number % 3}.wav,,,,,{'pro' if number % 4 == 0 else 'std'},1,{number}"
        for number in range(GOOD)
    ]
    spoken = [f"ann.png,,,{SPOKEN},,std,1,spoken {number}" for number in range(5)]
    rows = [*good, *spoken, *good[:20]]
    return rows + [FAULTY[number % len(FAULTY)] for number in range(1000 - len(rows))]


def states(made: Plan) -> dict[str, int]:
    return {state: sum(row.state == state for row in made.rows) for state in {row.state for row in made.rows}}


def fingerprints(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path): f"{path.stat().st_mtime_ns} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in files
    }


async def test_the_total_of_a_thousand_rows_is_what_the_provider_charges_to_the_cent(
    inputs: Path,
    tmp_path: Path,
    say: Say,
    sandbox: RunningSandbox,
    credentials: CometAPICredentials,
    archive_block: AvatarArchive,
) -> None:
    await say(image=str(inputs / "ann.png"), prompt="spoken 0")
    await generate_avatars(
        write_manifest(inputs, "ann.png,1.wav,1,std", columns="image,audio,prompt,mode", name="before.csv"),
        credentials=credentials,
        store=archive_block,
    )
    manifest = write_manifest(inputs, *thousand_rows(), columns=COLUMNS)
    before, charged = fingerprints(tmp_path), Decimal(sandbox.ledger()["totals"]["usd"])
    asked = len(sandbox.requests())

    made = await plan(manifest, credentials=credentials, store=archive_block)

    assert (fingerprints(tmp_path), len(sandbox.requests())) == (before, asked)
    assert states(made) == {
        "new": GOOD - 1 + 4,
        "archived": 2,
        "duplicate": 20,
        "invalid": 1000 - GOOD - 5 - 20,
    }
    faulty = [row.detail for row in made.rows if row.state == "invalid"][: len(FAULTY)]
    assert len({detail.partition("(1) ")[2][:60] for detail in faulty}) > 15
    assert all(part in faulty[-1] for part in ("take: 0", "mode: 'hd'", "audio: ", "image: ", "voice"))
    await generate_avatars(
        manifest, at_once=40, credentials=credentials, store=archive_block, return_state=True
    )
    spent = Decimal(sandbox.ledger()["totals"]["usd"]) - charged
    assert len(sandbox.ledger()["charges"]) == GOOD + 5 + 1
    assert made.total_usd == spent
    assert in_cents(spent) in made.summary
    again = await plan(manifest, credentials=credentials, store=archive_block)
    assert (again.total_usd, states(again)["archived"]) == (Decimal(0), GOOD + 5)


async def test_what_is_open_in_the_journal_is_not_paid_for_again(
    ask: Ask,
    inputs: Path,
    sandbox: RunningSandbox,
    credentials: CometAPICredentials,
    archive_block: AvatarArchive,
) -> None:
    manifest = write_manifest(
        inputs,
        *(f"ann.png,0.wav,{prompt}" for prompt in ("running", "lost", "failed", "refused", "new")),
    )
    hasty = credentials.model_copy(update={"deadline_minutes": 0.001, "lookup": "no"})
    given: dict[str, Any] = {"image": str(inputs / "ann.png"), "audio": str(inputs / "0.wav")}
    sandbox.fault("failed-moderation", count=1)
    await ask(**given, prompt="failed", return_state=True)
    sandbox.fault("1301", count=1)
    await ask(**given, prompt="refused", return_state=True)
    sandbox.set(render_seconds=3600)
    await ask(**given, prompt="running", credentials=hasty, return_state=True)
    sandbox.fault("lost-response", count=1)
    await ask(**given, prompt="lost", credentials=hasty, return_state=True)

    made = await plan(manifest, credentials=credentials, store=archive_block)

    running, lost, failed, refused, new = made.rows
    assert [row.state for row in made.rows] == ["bought", "needs decision", "failed", "new", "new"]
    assert f"Kling task {sandbox.tasks()[1]['task_id']}" in running.detail
    assert "may have been bought" in lost.detail
    assert "Kling failed this take" in failed.detail
    assert refused.estimated_usd == new.estimated_usd == Decimal("0.112056")
    assert made.total_usd == Decimal("0.224112")
    shown, description = await newest_table("plan")
    assert [row["state"] for row in shown] == ["needs decision", "failed", "new", "new", "bought"]
    assert "0.22 US dollars by list price" in description
    assert "Kling's list price as reported in October 2026; not confirmed" in description


async def test_seconds_of_a_text_are_estimated_until_it_is_spoken_and_its_speech_is_paid_for_once(
    say: Say, inputs: Path, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    rows = [f"ann.png,,,{SPOKEN},,std,1,{prompt}" for prompt in ("one", "two")]
    manifest = write_manifest(inputs, *rows, "ann.png,,880000000000000001,,,,std,1,x", columns=COLUMNS)
    made = await plan(manifest, credentials=credentials, store=archive_block)
    one, two, foreign = made.rows
    about = Decimal("0.056") * Decimal("3.600")
    assert [row.estimated_usd for row in made.rows] == [about + Decimal("0.007"), about, None]
    assert [row.is_estimate for row in made.rows] == [True, True, False]
    assert (one.detail, two.detail) == ("buys speech and video", "buys the video; the speech is there")
    assert "price is not known" in foreign.detail
    assert "0.41 by estimated seconds, for texts not spoken yet (2)" in made.summary
    assert "without those whose price is not known (1)" in made.summary

    (sidecar,) = await say(image=str(inputs / "ann.png"), prompt="one")
    one, two, _ = (await plan(manifest, credentials=credentials, store=archive_block)).rows
    assert (one.state, two.is_estimate, two.seconds) == ("archived", False, sidecar.requested.audio.seconds)


async def test_one_request_is_planned_with_the_parameters_of_its_flow(
    face: str, voice: str, credentials: CometAPICredentials
) -> None:
    (row,) = (await plan(image=face, audio=voice, mode="pro", credentials=credentials)).rows
    assert (row.state, row.name, row.mode) == ("new", "portrait + voice", "pro")
    long = " ".join(f"Number {number}: {TEXT}" for number in range(25))
    said: dict[str, Any] = {"image": face, "text": long, "voice": "oversea_male1", "credentials": credentials}
    (whole,) = (await plan(**said)).rows
    assert (whole.state, "ask for several clips with split" in whole.detail) == ("invalid", True)
    cut = (await plan(**said, split=True)).rows
    assert [row.state for row in cut] == ["new"] * len(cut)
    assert len(cut) > 1
    with pytest.raises(InvalidRequest, match="exactly one of manifest, inbox and image"):
        await plan(image=face, audio=voice, inbox="inbox", credentials=credentials)


async def test_an_inbox_is_planned_as_it_would_be_watched(
    tmp_path: Path, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    inbox = tmp_path / "inbox"
    put_media(inbox, "ann", "bob")
    (inbox / "bob.mp3").unlink()
    put_text(inbox / "eve.png", "x")
    put_text(inbox / "eve.mp3", "x")
    write_manifest(inbox / "more", "kim.png,kim.mp3,x", "kim.png,nobody.mp3,y")
    before = fingerprints(tmp_path)
    made = await plan(inbox=str(inbox), quiet_seconds=0.05, credentials=credentials, store=archive_block)
    assert sorted((row.name, row.state) for row in made.rows) == [
        ("ann", "new"),
        ("bob", "waiting"),
        ("eve", "invalid"),
        ("kim + kim", "new"),
        ("kim + nobody", "invalid"),
    ]
    assert (fingerprints(tmp_path), bought(sandbox)) == (before, (0, 0))


def test_the_command_needs_no_key_and_no_archive_and_says_so(
    inputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("COMETAPI_KEY", "AVATAR_ARCHIVE_URL"):
        monkeypatch.delenv(name, raising=False)
    manifest = write_manifest(inputs, "ann.png,0.wav,one", "nobody.png,0.wav,two")
    monkeypatch.setattr(sys, "argv", ["plan", manifest])
    main()
    printed = capsys.readouterr().out
    for words in ("No key is configured", "No archive is configured", "0.1121"):
        assert words in printed
    # The table breaks a long path anywhere.
    assert "nobody.pngdoesnotexist" in re.sub(r"\s", "", printed)
    assert "1 invalid, 1 new; a run would cost about 0.11 US dollars by list price" in printed
    monkeypatch.setenv("COMETAPI_USD_PER_SECOND_STD", "1")
    monkeypatch.setattr(sys, "argv", ["plan", manifest, "--json"])
    main()
    assert json.loads(capsys.readouterr().out)["total_usd"] == "2.001"
    monkeypatch.setattr(sys, "argv", ["plan", manifest, "--store", "nowhere"])
    with pytest.raises(SystemExit, match="no Avatar Archive block named 'nowhere'"):
        main()


async def test_a_bucket_that_is_not_there_is_said_and_everything_counts_as_new(
    inputs: Path, credentials: CometAPICredentials
) -> None:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    absent = AvatarArchive(url="s3://nowhere/room", endpoint_url=url, key="k", secret="s")
    manifest = write_manifest(inputs, "ann.png,0.wav,one")
    made = await plan(manifest, credentials=credentials, store=absent)
    assert [row.state for row in made.rows] == ["new"]
    assert "cannot be read, so every video counts as new" in made.notes[0]
    with pytest.raises(SetupMissing):
        await plan(manifest, credentials="nowhere", store=absent)
    server.stop()
