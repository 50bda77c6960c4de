"""An operator verifies an archive that real jobs filled, and gets back what nobody collected."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types

from blocks import AvatarArchive, CometAPICredentials
from blocks.sandbox.serve import RunningSandbox
from blocks.storage.layout import clip_key, sidecar_key
from blocks.storage.verify import Kind
from flows.reconcile import reconcile_jobs
from flows.tasks.inbox import findings
from flows.tasks.inbox.findings import ArchiveDamaged, Verification
from flows.verify import main, verify_archive
from tests.flows.desk import bought, newest_table
from tests.flows.spoken import Say
from tests.flows.story import Ask, open_jobs


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMETAPI_KEY", raising=False)


@pytest.fixture
def small_batches() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(findings, "_CHECKED_TOGETHER", 2)
        patch.setattr(findings, "SHOWN_ROWS", 3)
        yield


async def state_of(archive: AvatarArchive, **how: Any) -> Any:
    return await verify_archive(store=archive, return_state=True, **how)


async def test_what_was_paid_for_and_collected_by_nobody_comes_back_for_nothing(
    ask: Ask, archive_block: AvatarArchive, credentials: CometAPICredentials, sandbox: RunningSandbox
) -> None:
    first, second = await ask(), await ask(take=2)
    assert first.times.created
    assert first.times.finished
    assert first.times.created <= first.times.finished <= first.times.archived
    root = Path(archive_block.url)
    state = await state_of(archive_block, deep=True)
    assert (state.name, state.type.value) == ("Verified", "COMPLETED")
    verification: Verification = await state.result()
    assert (verification.clips, verification.size) == (2, first.clip.size + second.clip.size)
    assert verification.findings == ()

    # A sidecar and a clip get lost, and with them the only sign that the job was ever bought.
    (root / clip_key(first.job_id)).unlink()
    (root / sidecar_key(first.job_id)).unlink()
    state = await state_of(archive_block)
    assert (state.name, state.type.value) == ("Damaged", "FAILED")
    assert "paid for, not collected (1)" in state.message
    with pytest.raises(ArchiveDamaged, match="paid for, not collected") as damaged:
        await state.result()
    assert [finding.job_id for finding in damaged.value.findings] == [first.job_id]
    assert pickle.loads(pickle.dumps(damaged.value)).findings == damaged.value.findings  # noqa: S301 # our own
    rows, description = await newest_table("verify-archive")
    assert [row["found"] for row in rows] == ["paid for, not collected"]
    assert "1 clips" in description

    assert (await state_of(archive_block, reopen=True)).name == "Verified"
    assert await open_jobs(archive_block) == [first.job_id]
    (report,) = await reconcile_jobs(credentials=credentials, store=archive_block)
    assert (report.state, report.job_id) == ("archived", first.job_id)
    assert (await state_of(archive_block, deep=True)).message.endswith("nothing found")
    assert bought(sandbox) == (2, 2)

    schema = json.loads((root / "schema/sidecar-1.json").read_text())
    for sidecar in root.glob("clips/*/*.json"):
        Draft202012Validator(schema).validate(json.loads(sidecar.read_text()))


@pytest.mark.usefixtures("small_batches")
async def test_the_table_is_bounded_with_the_worst_first_and_everything_is_counted(tmp_path: Path) -> None:
    archive = AvatarArchive(url=str(tmp_path))
    for number in range(5):
        place = tmp_path / clip_key(f"{number:064x}")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"clip")
        (tmp_path / f"clips/00/{number}.txt").write_bytes(b"")
    (tmp_path / "aside").mkdir()
    (tmp_path / "aside/x.mp4").write_bytes(b"torn")
    state = await state_of(archive)
    with pytest.raises(ArchiveDamaged) as damaged:
        await state.result()
    expected = [Kind.NO_SIDECAR] * 3 + [Kind.FOREIGN] * 3 + [Kind.ASIDE]
    assert [finding.kind for finding in damaged.value.findings] == expected
    assert "5 clips of 20 bytes" in state.message
    assert "clip without sidecar (5), foreign object (5), kept aside (1)" in state.message
    rows, description = await newest_table("verify-archive")
    assert [row["found"] for row in rows] == ["clip without sidecar"] * 3
    assert description.endswith("Only 3 of 11 are shown.")


def test_the_command_fails_for_damage_and_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id = "0a" * 32
    place = tmp_path / sidecar_key(job_id)
    place.parent.mkdir(parents=True)
    place.write_text("{")
    monkeypatch.setenv("AVATAR_ARCHIVE_URL", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["flows.verify", "--deep"])
    with pytest.raises(SystemExit, match=r"cannot be read \(1\)") as ended:
        main()
    assert ended.value.code != 0
    (finding,) = (json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{"))
    assert (finding["kind"], finding["key"]) == ("cannot be read", sidecar_key(job_id))


async def test_speech_that_is_archived_is_in_order_and_speech_that_is_not_is_found(
    say: Say, archive_block: AvatarArchive
) -> None:
    await say()
    assert (await state_of(archive_block)).name == "Verified"
    (mark,) = Path(archive_block.url).glob("speech/*/*.json")
    mark.unlink()
    with pytest.raises(ArchiveDamaged) as damaged:
        await verify_archive(store=archive_block)
    assert [(each.kind, each.job_id) for each in damaged.value.findings] == [(Kind.NOT_COLLECTED, mark.stem)]
