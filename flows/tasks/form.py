"""How parameters look in Prefect's Run form, and what the server refuses before a run begins."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from blocks.archive import AvatarArchive
from blocks.credentials import CometAPICredentials


def shown(title: str, description: str, **schema: Any) -> Any:
    """Describe a parameter for the Run form, for use in `Annotated`.

    Prefect puts the parameter's name over a field's title and drops its description; what is in the JSON
    schema survives. Limits given here are enforced by the server, for the form, the API and the command line
    alike; a direct call in Python meets the flow's own checks, which report all faults together.

    Args:
        title: The label.
        description: One line of help.
        schema: More keywords of JSON schema, such as `maxLength`.
    """
    return Field(
        title=title,
        description=description,
        json_schema_extra={"title": title, "description": description, **schema},
    )


def shown_optional(title: str, description: str, **schema: Any) -> Any:
    """Describe an `OptionalText`; see `shown`. The form sends the default, so the server must take it."""
    return shown(title, description, default="", **schema)


def _blank_is_none(value: object) -> object:
    return None if value == "" else value


# One text box in the form, where an optional string would be two tabs; left blank it is `None`.
OptionalText = Annotated[str | None, BeforeValidator(_blank_is_none), WithJsonSchema({"type": "string"})]

Wait = Annotated[
    Literal["poll", "callback"],
    shown("Wait", "poll: the run asks until it is done. callback: it suspends and frees its worker."),
]

MaxCost = Annotated[
    float | None,
    Field(ge=0),
    shown("Max cost (USD)", "US dollars that this run may spend; what would cost more is refused, unpaid."),
]
MaxCostPerJob = Annotated[
    float | None,
    Field(ge=0),
    shown("Max cost per job (USD)", "US dollars that one video may cost; a dearer one is refused, unpaid."),
]

# The slug makes the form offer the saved blocks; events and the command line may also name one.
Credentials = Annotated[
    CometAPICredentials | str | None,
    shown(
        "Credentials",
        "CometAPI Credentials block, or its name. Empty: the worker's environment, then the block 'default'.",
        block_type_slug="cometapi-credentials",
    ),
]
Store = Annotated[
    AvatarArchive | str | None,
    shown(
        "Archive",
        "Avatar Archive block, or its name. Empty: the worker's environment, then the block 'default'.",
        block_type_slug="avatar-archive",
    ),
]
