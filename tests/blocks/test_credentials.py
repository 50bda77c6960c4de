"""The credentials block keeps its secret, says what is missing, and opens a client that works."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import traceback
import uuid
from collections.abc import Iterator
from decimal import Decimal
from importlib.metadata import entry_points
from typing import Any

import pytest
from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from pydantic import ValidationError

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import SetupMissing, TaskNotFound
from blocks.kling.models import AvatarRequest
from blocks.sandbox.serve import RunningSandbox, running_sandbox
from flows.tasks.connections import find_credentials
from tests.blocks.block_standard import OfflineBlockTestSuite, code_of, fields_of
from tests.blocks.sandbox.media import picture, sound, text

KEY = "sk-8c6f0e7d5b4a39281706f5e4d3c2b1a0"
CHANGED: dict[str, Any] = {
    "base_url": "https://gateway.example.com",
    "query_path": "/v1/{task_id}",
    "namespace": "0d6a6a0e-6d0f-4d4e-8f53-0f7f6a6f2c11",
    "lookup": "yes",
    "connect_seconds": 1.5,
    "create_seconds": 2.5,
    "read_seconds": 3.5,
    "clock_margin_seconds": 4.5,
    "absence_seconds": 5.5,
    "wait_seconds": 6.5,
    "first_poll_seconds": 7.5,
    "render_factor": 8.5,
    "poll_seconds": 9.5,
    "polls_per_second": 11.5,
    "deadline_minutes": 10.5,
    "max_audio_seconds": 300.0,
    "usd_per_second_std": Decimal("0.07"),
    "usd_per_second_pro": Decimal("0.14"),
    "usd_per_speech": Decimal("0.01"),
    "usd_per_unit": Decimal("0.15"),
    "price_source": "our contract of 2026-11-01",
    "budget_usd_per_day": Decimal("12.5"),
    "budget_usd_per_month": Decimal(200),
    "extra_voices": ["en:news_anchor_9", "zh:news_anchor_9"],
    "delivery_hosts": ["127.0.0.1:8788", "media.lan"],
    "callback_secret": "a secret of more than thirty-two characters",
    "callback_url": "https://bell.example.org/kling",
    "signing_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}


class TestStandards(OfflineBlockTestSuite):
    @pytest.fixture
    def block(self) -> type[CometAPICredentials]:
        return CometAPICredentials


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMETAPI_KEY", raising=False)


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(fast_clip=True) as running:
        yield running


def test_all_fields_are_changed_below() -> None:
    assert set(CHANGED) == CometAPICredentials.model_fields.keys() - {"api_key"}
    plain = CometAPICredentials(api_key=KEY)
    assert [name for name, value in CHANGED.items() if getattr(plain, name) == value] == []


@pytest.mark.usefixtures("prefect_api")
def test_what_is_saved_is_loaded() -> None:
    saved = CometAPICredentials(api_key=KEY, **CHANGED)
    saved.save("saved", overwrite=True)
    assert fields_of(CometAPICredentials.load("saved")) == fields_of(saved) == CHANGED | {"api_key": KEY}


@pytest.mark.usefixtures("prefect_api")
async def test_a_block_that_an_older_version_saved_is_loaded() -> None:
    await save_by_hand("older", {"api_key": KEY})
    assert fields_of(await CometAPICredentials.aload("older")) == fields_of(CometAPICredentials(api_key=KEY))


@pytest.mark.usefixtures("prefect_api")
async def test_the_key_is_masked_wherever_a_block_is_shown() -> None:
    block = CometAPICredentials(api_key=KEY)
    await block.asave("masked", overwrite=True)
    shown = [
        repr(block),
        str(block),
        str(block.model_dump()),
        block.model_dump_json(),
        repr(block.get_client()),
    ]
    async with get_client() as client:
        document = await client.read_block_document_by_name(
            "masked", "cometapi-credentials", include_secrets=False
        )
    assert document.data["api_key"] == "********"
    assert [where for where in (*shown, document.model_dump_json()) if KEY in where] == []


def test_every_field_can_come_from_the_environment() -> None:
    environment = {f"COMETAPI_{name.upper()}": str(value) for name, value in CHANGED.items()}
    for name in ("delivery_hosts", "extra_voices"):
        environment[f"COMETAPI_{name.upper()}"] = ", ".join(CHANGED[name])
    environment["COMETAPI_KEY"] = KEY
    found = CometAPICredentials.from_environment(environment)
    assert fields_of(found) == CHANGED | {"api_key": KEY}


def test_variables_that_are_empty_or_of_others_change_nothing() -> None:
    environment = {
        "COMETAPI_KEY": KEY,
        "COMETAPI_BASE_URL": "",
        "COMETAPI_API_KEY": "x",
        "COMETAPI_COLOUR": "red",
    }
    assert CometAPICredentials.from_environment(environment) == CometAPICredentials(api_key=KEY)


@pytest.mark.parametrize("environment", [{}, {"COMETAPI_KEY": ""}, {"COMETAPI_BASE_URL": "https://x.org"}])
def test_without_a_key_the_environment_has_no_credentials(environment: dict[str, str]) -> None:
    assert CometAPICredentials.from_environment(environment) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COMETAPI_LOOKUP", "maybe"),
        ("COMETAPI_NAMESPACE", "not-a-uuid"),
        ("COMETAPI_READ_SECONDS", "soon"),
        ("COMETAPI_CREATE_SECONDS", "0"),
        ("COMETAPI_MAX_AUDIO_SECONDS", "301"),
        ("COMETAPI_USD_PER_SECOND_PRO", "-1"),
        ("COMETAPI_SIGNING_SECRET", "whsec_"),
        ("COMETAPI_CALLBACK_URL", "https://bell.example.org/kling"),
    ],
)
def test_a_wrong_variable_is_named_without_its_value(name: str, value: str) -> None:
    environment = {"COMETAPI_KEY": KEY, "COMETAPI_POLL_SECONDS": "never", name: value}
    with pytest.raises(SetupMissing) as missing:
        CometAPICredentials.from_environment(environment)
    assert name in missing.value.message
    assert "COMETAPI_POLL_SECONDS" in missing.value.message
    assert "never" not in str(missing.value)
    assert KEY not in str(missing.value)
    assert missing.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "http://bell.example.org",
        "https://",
        "https://bell.example.org/?a=b",
        "https://bell.example.org/#a",
        "https://me:you@bell.example.org",
        "https://bell.example.org/a\nb",
        "bell.example.org",
    ],
)
def test_an_address_that_the_provider_cannot_call_safely_is_refused(url: str) -> None:
    fields: dict[str, Any] = {"callback_secret": "s" * 32, "callback_url": url}
    with pytest.raises(ValidationError, match="callback_url"):
        CometAPICredentials(api_key=KEY, **fields)


def test_each_job_has_an_address_of_its_own_only_where_callbacks_are_set_up() -> None:
    jobs = ["ab" * 32, "cd" * 32]
    assert CometAPICredentials(api_key=KEY).callback_url_of(jobs[0]) is None
    block = CometAPICredentials(
        api_key=KEY, callback_secret="s" * 32, callback_url="http://127.0.0.1:8790/kling/"
    )
    urls = {block.callback_url_of(job) or "" for job in jobs}
    assert len(urls) == 2
    assert {url.rpartition("/")[0] for url in urls} == {"http://127.0.0.1:8790/kling"}
    assert "ssss" not in f"{block!r}{urls}"


def test_what_no_field_takes_is_refused_when_the_block_is_made() -> None:
    with pytest.raises(ValidationError, match="lookup"):
        CometAPICredentials(api_key=KEY, lookup="maybe")
    with pytest.raises(ValidationError, match="api_key") as refused:
        CometAPICredentials(api_key=[KEY])
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    "wrong", [{"api_key": ""}, {"base_url": "http://api.example.com"}, {"query_path": "/v1/task"}], ids=str
)
def test_what_cannot_reach_the_api_is_refused_when_it_is_opened(wrong: dict[str, str]) -> None:
    fields: dict[str, Any] = {"api_key": KEY} | wrong
    with pytest.raises(SetupMissing) as missing:
        CometAPICredentials(**fields).get_client()
    assert KEY not in str(missing.value)


@pytest.mark.usefixtures("prefect_api", "no_environment")
async def test_with_neither_block_nor_environment_the_error_says_what_to_do() -> None:
    with pytest.raises(SetupMissing) as missing:
        await find_credentials()
    assert "no COMETAPI_KEY in the environment" in missing.value.message
    for step in ("Set COMETAPI_KEY", "prefect block register -m blocks", "'default'"):
        assert step in missing.value.next_step
    with pytest.raises(SetupMissing, match="named 'team-a'"):
        await find_credentials("team-a")


@pytest.mark.usefixtures("prefect_api")
async def test_a_saved_block_with_a_wrong_field_is_named() -> None:
    """Prefect's server takes any value; it shows only when the block is loaded."""
    await save_by_hand("wrong", {"api_key": KEY, "lookup": "maybe"})
    with pytest.raises(SetupMissing, match="'wrong' has fields that cannot be used") as missing:
        await find_credentials("wrong")
    assert KEY not in "".join(traceback.format_exception(missing.value))


async def save_by_hand(name: str, data: dict[str, Any]) -> None:
    await CometAPICredentials(api_key=KEY).asave(name, overwrite=True)
    async with get_client() as client:
        document = await client.read_block_document_by_name(name, "cometapi-credentials")
        changes = {"data": data, "merge_existing_data": False}
        await client._client.patch(f"/block_documents/{document.id}", json=changes)


@pytest.mark.usefixtures("prefect_api")
async def test_the_named_block_comes_first_then_the_environment_then_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COMETAPI_KEY", KEY)
    monkeypatch.setenv("COMETAPI_BASE_URL", "https://environment.example.com")
    given = CometAPICredentials(api_key=KEY, base_url="https://given.example.com")
    try:
        for name in ("default", "team-b"):
            saved = CometAPICredentials(api_key=KEY, base_url=f"https://{name}.example.com")
            await saved.asave(name, overwrite=True)
        for named, expected in ((given, "given"), ("team-b", "team-b"), (None, "environment")):
            assert (await find_credentials(named)).base_url == f"https://{expected}.example.com"
        by_slug = await find_credentials("cometapi-credentials/team-b")
        assert by_slug.base_url == "https://team-b.example.com"
        monkeypatch.delenv("COMETAPI_KEY")
        assert (await find_credentials()).base_url == "https://default.example.com"
    finally:
        await CometAPICredentials.adelete("default")


def test_task_names_are_made_in_a_namespace_of_the_account() -> None:
    spaces = {
        CometAPICredentials(api_key=key, base_url=base_url).task_namespace
        for key in (KEY, "another")
        for base_url in ("https://api.cometapi.com", "https://gateway.example.com")
    }
    assert len(spaces) == 4
    assert [space for space in spaces if str(uuid.UUID(space)) != space or KEY in space] == []
    chosen = CometAPICredentials(api_key=KEY, namespace="0D6A6A0E6D0F4D4E8F530F7F6A6F2C11")
    assert chosen.task_namespace == "0d6a6a0e-6d0f-4d4e-8f53-0f7f6a6f2c11"


def test_the_estimate_follows_the_price_of_the_mode() -> None:
    block = CometAPICredentials(api_key=KEY)
    assert block.prices.of_video(27.041, "std") == Decimal("1.514296")
    assert block.prices.of_video(27.041, "pro") == Decimal("3.028592")
    assert CometAPICredentials(api_key=KEY, usd_per_second_std=Decimal(1)).prices.of_video(2, "std") == 2


@pytest.mark.usefixtures("prefect_api")
def test_the_example_of_the_documentation_runs(
    sandbox: RunningSandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    block = CometAPICredentials(api_key=KEY, base_url=sandbox.url)
    block.save("block-name", overwrite=True)
    request = AvatarRequest(
        image=text(picture()), sound_file=text(sound()), prompt="Calm.", external_task_id="example-1"
    )

    async def buy() -> str:
        async with block.get_client() as client:
            return (await client.create(request)).task_id

    code = code_of(CometAPICredentials).replace("BLOCK_NAME", "block-name")
    assert "880000000000000001" in code
    with pytest.raises(TaskNotFound):
        exec(code, {})  # noqa: S102 # our own documentation
    exec(code.replace("880000000000000001", asyncio.run(buy())), {})  # noqa: S102 # as above
    assert capsys.readouterr().out == "submitted\n"


def test_the_types_are_registered_by_the_command_that_the_documentation_names(
    prefect_environment: dict[str, str], tmp_path: Any
) -> None:
    command = [sys.executable, "-m", "prefect", "block", "register", "-m", "blocks"]
    done = subprocess.run(
        command,
        env=prefect_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "CometAPI Credentials" in done.stdout
    assert "Avatar Archive" in done.stdout
    assert asyncio.run(_registered()) == {
        block._block_type_slug: (block.get_description(), block.get_code_example())
        for block in (CometAPICredentials, AvatarArchive)
    }


async def _registered() -> dict[str, tuple[str | None, str | None]]:
    async with get_client() as client:
        found = await client.read_block_types()
    ours = [kind for kind in found if kind.slug in {"cometapi-credentials", "avatar-archive"}]
    return {kind.slug: (kind.description, kind.code_example) for kind in ours}


def test_prefect_finds_the_types_wherever_the_project_is_installed() -> None:
    (collection,) = [entry for entry in entry_points(group="prefect.collections") if entry.value == "blocks"]
    types = vars(collection.load())
    assert {name for name in types["__all__"] if issubclass(types[name], Block)} == set(types["__all__"])
    schema = json.dumps(CometAPICredentials.model_json_schema())
    assert '"secret_fields": ["api_key", "callback_secret", "signing_secret"]' in schema
