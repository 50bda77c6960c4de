"""The Block that opens CometAPI: the key, where the API is, and how patient to be with it."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Mapping
from decimal import Decimal
from hashlib import sha256
from typing import ClassVar, Literal
from urllib.parse import urlsplit

import httpx
from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator

from blocks.errors import SetupMissing
from blocks.kling.callback import SECRET_MIN_CHARACTERS, is_signing_secret, token_of
from blocks.kling.client import KlingClient, Timeouts
from blocks.kling.media import MediaLimits
from blocks.kling.prices import Prices
from blocks.web import guarded_client, is_loopback

_PROJECT = uuid.UUID("6f0f1c55-5d0b-4a44-9c0e-3a4f3e1d7a10")
_ENVIRONMENT = "COMETAPI_"
_LISTS = ("delivery_hosts", "extra_voices")


class CometAPICredentials(Block):
    """Access to Kling's avatar endpoint through CometAPI. The key pays for every video.

    Example:
        Load stored credentials and read a Kling task:
        ```python
        import asyncio

        from blocks import CometAPICredentials

        credentials = CometAPICredentials.load("BLOCK_NAME")


        async def status(task_id):
            async with credentials.get_client() as client:
                return (await client.get(task_id)).status


        print(asyncio.run(status("880000000000000001")))
        ```
    """

    # Pydantic quotes what it was given, secrets included.
    model_config = ConfigDict(hide_input_in_errors=True)

    _block_type_name: ClassVar[str] = "CometAPI Credentials"
    _block_type_slug: ClassVar[str] = "cometapi-credentials"
    _logo_url = "https://raw.githubusercontent.com/PrefectHQ/prefect/420d0d6a78bb6df1fc18bcf188fdad43c1d22ea9/assets/block-logos/secret.png"  # type: ignore[assignment]  # Prefect declares a URL object and takes text
    _documentation_url = "https://apidoc.cometapi.com/api/video/kling/avatar"  # type: ignore[assignment]  # as above

    api_key: SecretStr = Field(
        title="API key", description="Key of the CometAPI account that pays for the videos."
    )
    base_url: str = Field(
        default="https://api.cometapi.com",
        title="Base URL",
        description="Where the API is; point it at the sandbox for runs without a key.",
    )
    query_path: str = Field(
        default="/kling/v1/videos/avatar/image2video/{task_id}",
        title="Query path",
        description="Path at which a Kling task is read; CometAPI does not document it for avatars.",
    )
    namespace: str = Field(
        default="",
        description="UUID that makes our task names unique on a shared account. Empty: derived.",
    )
    lookup: Literal["probe", "yes", "no"] = Field(
        default="probe",
        title="Lookup by external task id",
        description="Whether a task is found by our name for it. Probe: trusted once it was seen to work.",
    )
    connect_seconds: float = Field(default=10, gt=0, description="Seconds to wait for a connection.")
    create_seconds: float = Field(
        default=180, gt=0, description="Seconds one POST may take; after that its outcome is unknown."
    )
    read_seconds: float = Field(default=30, gt=0, description="Seconds one read may take.")
    clock_margin_seconds: float = Field(
        default=60, ge=0, description="Seconds by which the clocks of two workers may differ."
    )
    absence_seconds: float = Field(
        default=300,
        ge=0,
        description="Seconds after a lost answer before a task that is not found counts as never bought.",
    )
    wait_seconds: float = Field(
        default=1800,
        ge=0,
        description="Seconds to go on asking when the account is busy, before the run gives up unpaid.",
    )
    first_poll_seconds: float = Field(
        default=20, ge=0, description="Seconds after the submit before the first look, at least."
    )
    render_factor: float = Field(
        default=6,
        ge=0,
        description="Seconds the provider usually takes for one second of video, until the archive knows.",
    )
    poll_seconds: float = Field(default=15, gt=0, description="Seconds between two looks at first.")
    polls_per_second: float = Field(
        default=50, gt=0, description="Looks at Kling tasks per second, by all jobs of a run together."
    )
    deadline_minutes: float = Field(
        default=60, gt=0, description="Minutes after which a job counts as overdue; it stays open."
    )
    max_audio_seconds: float = Field(
        default=60, ge=2, le=300, description="Longest voice clip in seconds; Kling's own limit is 300."
    )
    # Reported by several, confirmed by nobody: https://inference.sh/apps/klingai/avatar.md
    usd_per_second_std: Decimal = Field(
        default=Decimal("0.056"), ge=0, description="Price of one second in mode std, in US dollars."
    )
    usd_per_second_pro: Decimal = Field(
        default=Decimal("0.112"), ge=0, description="Price of one second in mode pro, in US dollars."
    )
    usd_per_speech: Decimal = Field(
        default=Decimal("0.007"), ge=0, description="Price of one speech of any length, in US dollars."
    )
    usd_per_unit: Decimal = Field(
        default=Decimal("0.14"),
        ge=0,
        description="Price in US dollars of one Kling unit, in which the provider reports what it deducted.",
    )
    price_source: str = Field(
        default="Kling's list price as reported in October 2026; not confirmed for this account",
        title="Source of the prices",
        description="Where the prices come from and of when they are. Compare them with your account's.",
    )
    budget_usd_per_day: Decimal | None = Field(
        default=None,
        ge=0,
        title="Budget per day (USD)",
        description="US dollars that this account may spend a day (UTC) on one archive. Empty: any.",
    )
    budget_usd_per_month: Decimal | None = Field(
        default=None,
        ge=0,
        title="Budget per month (USD)",
        description="US dollars that this account may spend a month (UTC) on one archive. Empty: any.",
    )
    extra_voices: list[str] = Field(
        default_factory=list,
        description="Voices beyond the README's list, with their language: en:some_voice or zh:some_voice.",
    )
    delivery_hosts: list[str] = Field(
        default_factory=list,
        description="Private hosts that may deliver videos, such as 127.0.0.1:8788.",
    )
    callback_secret: SecretStr = Field(
        default=SecretStr(""),
        title="Callback secret",
        description="At least 32 random characters; makes the addresses of callbacks unguessable.",
    )
    callback_url: str = Field(
        default="",
        title="Callback URL",
        description="Where the provider reaches the callback receiver. Empty: no callbacks are asked for.",
    )
    signing_secret: SecretStr = Field(
        default=SecretStr(""),
        title="Signing secret",
        description="whsec_… from Kling's console: the receiver then takes signed callbacks only.",
    )

    @field_validator("namespace")
    @classmethod
    def _is_a_uuid(cls, value: str) -> str:
        return str(uuid.UUID(value)) if value else value

    @field_validator("callback_url")
    @classmethod
    def _goes_with_a_secret(cls, value: str, info: ValidationInfo) -> str:
        if not value:
            return value
        address = urlsplit(value)
        known = value.isprintable() and address.hostname
        if not known or not (address.scheme == "https" or is_loopback(value)):
            raise ValueError("it is an https address; http is for this machine only")
        if address.query or address.fragment or "@" in address.netloc:
            raise ValueError("it has no query, no fragment and no user")
        secret = info.data.get("callback_secret", SecretStr(""))
        if len(secret.get_secret_value()) < SECRET_MIN_CHARACTERS:
            raise ValueError(f"it needs a callback secret of at least {SECRET_MIN_CHARACTERS} characters")
        return value.rstrip("/")

    @field_validator("signing_secret")
    @classmethod
    def _looks_like_one_of_kling(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not is_signing_secret(value.get_secret_value()):
            raise ValueError("it is whsec_ followed by base64")
        return value

    @field_validator("extra_voices")
    @classmethod
    def _have_languages(cls, values: list[str]) -> list[str]:
        if any(not re.fullmatch(r"(en|zh):\S+", value) for value in values):
            raise ValueError("an extra voice is en: or zh: and the voice's id")
        return values

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> CometAPICredentials | None:
        """Read the credentials from `COMETAPI_KEY` and, for the other fields, `COMETAPI_<FIELD>`.

        Returns:
            The credentials, or `None` when there is no `COMETAPI_KEY`.

        Raises:
            SetupMissing: A variable has a value that its field does not take.
        """
        if not environment.get("COMETAPI_KEY"):
            return None
        fields: dict[str, object] = {"api_key": environment["COMETAPI_KEY"]}
        for name in cls.model_fields.keys() - {"api_key"}:
            if value := environment.get(_ENVIRONMENT + name.upper()):
                fields[name] = [part.strip() for part in value.split(",")] if name in _LISTS else value
        return cls._checked(fields)

    @classmethod
    def _checked(cls, fields: Mapping[str, object]) -> CometAPICredentials:
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            wrong = ", ".join(_ENVIRONMENT + str(fault["loc"][0]).upper() for fault in error.errors())
            raise SetupMissing(
                f"These environment variables have values that cannot be used: {wrong}",
                next_step="Correct them; the fields of the CometAPI Credentials block say what they take.",
            ) from None

    def callback_url_of(self, job_id: str) -> str | None:
        """Return the secret address at which the provider calls about a job, or `None`: it is not to call."""
        if not self.callback_url:
            return None
        return f"{self.callback_url}/{token_of(job_id, self.callback_secret.get_secret_value())}"

    @property
    def task_namespace(self) -> str:
        """The UUID in which external task ids are made."""
        if self.namespace:
            return self.namespace
        account = sha256(self.api_key.get_secret_value().encode()).hexdigest()
        return str(uuid.uuid5(_PROJECT, f"{self.base_url} {account}"))

    @property
    def media_limits(self) -> MediaLimits:
        """The provider's limits for images and audio, as configured."""
        return MediaLimits(audio_max_seconds=self.max_audio_seconds)

    @property
    def prices(self) -> Prices:
        """The prices of this account, as configured."""
        return Prices(
            per_second_std=self.usd_per_second_std,
            per_second_pro=self.usd_per_second_pro,
            per_speech=self.usd_per_speech,
            per_unit=self.usd_per_unit,
            source=self.price_source,
        )

    def get_client(self) -> KlingClient:
        """Return a client for the API: an async context manager; only `create` and `speak` may cost money."""
        return KlingClient(
            self.api_key,
            self.base_url,
            self.query_path,
            Timeouts(
                connect_seconds=self.connect_seconds,
                create_seconds=self.create_seconds,
                read_seconds=self.read_seconds,
            ),
        )

    def get_delivery_client(self) -> httpx.AsyncClient:
        """Return a client for delivery hosts: it has no key and refuses private addresses."""
        return guarded_client([*self.delivery_hosts, *self.local_hosts])

    @property
    def local_hosts(self) -> list[str]:
        """This machine's names while the API is the sandbox, else none: inputs and links may be here then."""
        return ["127.0.0.1", "localhost", "[::1]"] if is_loopback(self.base_url) else []
