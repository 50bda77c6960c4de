"""The archive block keeps its secrets, says what is missing, and opens the place that it names."""

from __future__ import annotations

import asyncio
import traceback
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from pydantic import ValidationError

from blocks import AvatarArchive
from blocks.errors import SetupMissing
from blocks.storage.journal import Step
from blocks.storage.local import LocalStore
from blocks.storage.s3.store import S3Store
from flows.tasks.connections import find_archive
from tests.blocks.block_standard import OfflineBlockTestSuite, code_of, fields_of

SECRETS = {"key": "AKIA5T7ZQ2EXAMPLE0KEY", "secret": "wJalr/K7MDENG+bPxRfiCYz", "token": "FwoGZXIvYXdzEBYaD"}
PLAIN: dict[str, Any] = {
    "url": "s3://bucket/avatars",
    "endpoint_url": "http://127.0.0.1:9000",
    "region": "eu-central-1",
    "path_style": False,
    "checksums": "when_supported",
    "server_side_encryption": "aws:kms",
    "kms_key_id": "alias/avatars",
    "storage_class": "STANDARD_IA",
    "content_type": "video/quicktime",
    "tags": {"team": "news", "cost": "42"},
    "link_seconds": 3600,
    "single_worker": True,
}
EVERYTHING = PLAIN | SECRETS


class TestStandards(OfflineBlockTestSuite):
    @pytest.fixture
    def block(self) -> type[AvatarArchive]:
        return AvatarArchive


def test_all_fields_are_changed_above() -> None:
    assert set(EVERYTHING) == set(AvatarArchive.model_fields)
    plain = fields_of(AvatarArchive(url="archive"))
    assert [name for name, value in EVERYTHING.items() if plain[name] == value] == []


@pytest.mark.usefixtures("prefect_api")
def test_what_is_saved_is_loaded() -> None:
    AvatarArchive(**EVERYTHING).save("saved", overwrite=True)
    assert fields_of(AvatarArchive.load("saved")) == EVERYTHING


@pytest.mark.usefixtures("prefect_api")
async def test_the_secrets_are_masked_wherever_a_block_is_shown() -> None:
    block = AvatarArchive(**EVERYTHING)
    await block.asave("masked", overwrite=True)
    opened = block.open()
    shown = [repr(block), str(block), str(block.model_dump()), block.model_dump_json()]
    shown += [repr(block.s3_settings()), repr(opened.store), opened.url]
    await opened.store.close()
    async with get_client() as client:
        document = await client.read_block_document_by_name("masked", "avatar-archive", include_secrets=False)
    assert {document.data[name] for name in SECRETS} == {"********"}
    shown.append(document.model_dump_json())
    assert [where for where in shown for secret in SECRETS.values() if secret in where] == []


def test_every_field_can_come_from_the_environment() -> None:
    environment = {f"AVATAR_ARCHIVE_{name.upper()}": str(value) for name, value in EVERYTHING.items()}
    environment["AVATAR_ARCHIVE_TAGS"] = "team=news,cost=42"
    assert fields_of(AvatarArchive.from_environment(environment)) == EVERYTHING


@pytest.mark.parametrize("environment", [{}, {"AVATAR_ARCHIVE_URL": ""}, {"AVATAR_ARCHIVE_REGION": "x"}])
def test_without_a_url_the_environment_has_no_archive(environment: dict[str, str]) -> None:
    assert AvatarArchive.from_environment(environment) is None


def test_variables_that_are_empty_or_of_others_change_nothing() -> None:
    environment = {
        "AVATAR_ARCHIVE_URL": "archive",
        "AVATAR_ARCHIVE_REGION": "",
        "AVATAR_ARCHIVE_COLOUR": "red",
    }
    assert AvatarArchive.from_environment(environment) == AvatarArchive(url="archive")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SINGLE_WORKER": "perhaps"}, "AVATAR_ARCHIVE_SINGLE_WORKER"),
        ({"PATH_STYLE": "some"}, "AVATAR_ARCHIVE_PATH_STYLE"),
        ({"LINK_SECONDS": "-1"}, "AVATAR_ARCHIVE_LINK_SECONDS"),
        ({"SERVER_SIDE_ENCRYPTION": "rot13"}, "AVATAR_ARCHIVE_SERVER_SIDE_ENCRYPTION"),
        ({"TAGS": "news"}, "AVATAR_ARCHIVE_TAGS"),
        ({"TAGS": ",".join(f"t{number}=1" for number in range(11))}, "at most 10"),
        ({"KEY": SECRETS["key"]}, "both key and secret"),
        ({"TOKEN": SECRETS["token"]}, "a token needs its key"),
        ({"STORAGE_CLASS": "GLACIER"}, "restoring"),
        (
            {"PATH_STYLE": "some", "LINK_SECONDS": "-1"},
            "AVATAR_ARCHIVE_PATH_STYLE, AVATAR_ARCHIVE_LINK_SECONDS",
        ),
    ],
)
def test_a_wrong_variable_is_named_without_its_value(variables: dict[str, str], said: str) -> None:
    environment = {"AVATAR_ARCHIVE_URL": "s3://bucket"}
    environment |= {f"AVATAR_ARCHIVE_{name}": value for name, value in variables.items()}
    with pytest.raises(SetupMissing) as missing:
        AvatarArchive.from_environment(environment)
    assert said in missing.value.message
    assert [secret for secret in SECRETS.values() if secret in str(missing.value)] == []
    assert "Avatar Archive block" in missing.value.next_step


@pytest.mark.parametrize(
    "wrong",
    [{"url": ""}, {"secret": SECRETS["secret"]}, {"key": [SECRETS["key"]]}, {"link_seconds": 604_801}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_cannot_work_is_refused_when_the_block_is_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        AvatarArchive(**{"url": "s3://bucket"} | wrong)
    assert [secret for secret in SECRETS.values() if secret in str(refused.value)] == []


@pytest.mark.usefixtures("prefect_api")
async def test_with_neither_block_nor_environment_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AVATAR_ARCHIVE_URL", raising=False)
    with pytest.raises(SetupMissing) as missing:
        await find_archive()
    assert "no AVATAR_ARCHIVE_URL in the environment" in missing.value.message
    for step in ("Set AVATAR_ARCHIVE_URL", "prefect block register -m blocks", "'default'"):
        assert step in missing.value.next_step
    with pytest.raises(SetupMissing, match="named 'team-a'"):
        await find_archive("team-a")


@pytest.mark.usefixtures("prefect_api")
async def test_a_saved_block_with_a_wrong_field_is_named() -> None:
    await AvatarArchive(**EVERYTHING).asave("wrong", overwrite=True)
    async with get_client() as client:
        document = await client.read_block_document_by_name("wrong", "avatar-archive")
        changes = {"data": {"url": "s3://bucket", "secret": SECRETS["secret"]}, "merge_existing_data": False}
        await client._client.patch(f"/block_documents/{document.id}", json=changes)
    with pytest.raises(SetupMissing, match="'wrong' has fields that cannot be used") as missing:
        await find_archive("wrong")
    assert SECRETS["secret"] not in "".join(traceback.format_exception(missing.value))


@pytest.mark.usefixtures("prefect_api")
async def test_the_named_block_comes_first_then_the_environment_then_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AVATAR_ARCHIVE_URL", "memory://environment")
    try:
        for name in ("default", "team-b"):
            await AvatarArchive(url=f"memory://{name}").asave(name, overwrite=True)
        for named in ("team-b", "avatar-archive/team-b"):
            assert (await find_archive(named)).url == "memory://team-b"
        assert (await find_archive(AvatarArchive(url="given"))).url == "given"
        assert (await find_archive()).url == "memory://environment"
        monkeypatch.delenv("AVATAR_ARCHIVE_URL")
        assert (await find_archive()).url == "memory://default"
    finally:
        await AvatarArchive.adelete("default")


async def test_the_url_decides_what_is_opened(tmp_path: Path) -> None:
    async with AvatarArchive(url=str(tmp_path / "archive")).open() as opened:
        assert isinstance(opened.store, LocalStore)
        assert opened.address("clips/x.mp4") == f"{opened.url}/clips/x.mp4"
    async with AvatarArchive(**EVERYTHING).open() as opened:
        assert isinstance(opened.store, S3Store)
        assert opened.url == "s3://bucket/avatars"


def test_inputs_on_s3_are_read_with_the_keys_of_the_archive() -> None:
    archive = AvatarArchive(**EVERYTHING)
    options = archive.source_options("S3://other/face.png") or {}
    assert (options["key"], options["secret"]) == (SECRETS["key"], SECRETS["secret"])
    assert options["endpoint_url"] == "http://127.0.0.1:9000"
    for reference in ("https://example.com/s3://face.png", "face.png", "gs://other/face.png"):
        assert archive.source_options(reference) is None
    assert AvatarArchive(url="s3://bucket").source_options("s3://other/face.png") is None


@pytest.mark.usefixtures("prefect_api")
def test_the_example_of_the_documentation_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    block = AvatarArchive(url=str(tmp_path / "archive"))
    block.save("block-name", overwrite=True)
    job_id = "ab" * 32

    async def announce() -> None:
        async with block.open() as opened:
            await opened.journal.append(job_id, None, Step.INTENT, claim="1")

    asyncio.run(announce())
    exec(code_of(AvatarArchive).replace("BLOCK_NAME", "block-name"), {})  # noqa: S102 # our own documentation
    assert capsys.readouterr().out == f"['{job_id}']\n"
