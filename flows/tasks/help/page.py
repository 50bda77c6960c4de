"""What a run that failed says on its page, as markdown. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from blocks.errors import Charged
from flows.tasks.shown.markdown import plain

_ID = re.compile(r"[\w.:-]{1,128}")


@dataclass(frozen=True)
class Trouble:
    """What is known about a run that failed. Every text is markdown already, ids and prices are not.

    Attributes:
        title: What happened, in a few words.
        story: What happened, a paragraph or a table each.
        charged: Whether money was spent.
        money: What that cost or would have cost; a full sentence, or nothing.
        facts: Ids and codes by their names; those that are not known are left out.
        steps: What to do next, in order.
        error: Class of the error, for the README's table.
    """

    title: str
    story: Sequence[str]
    charged: Charged
    money: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    steps: Sequence[str] = ()
    error: str = ""


_CHARGED: Mapping[Charged, str] = {
    "yes": "**Yes.** Money was spent.",
    "no": "**No.** Nothing was spent.",
    "unknown": "**Unknown.** Money may have been spent; what was bought is never bought twice.",
}
_PRICED: Mapping[Charged, str] = {
    "yes": "It costs about {} US dollars by list price.",
    "no": "It would have cost about {} US dollars by list price.",
    "unknown": "It costs about {} US dollars by list price if it was bought.",
}


def price_of(usd: object, charged: Charged) -> str:
    """Return the sentence that says what one job costs, or nothing where that is not known."""
    return _PRICED[charged].format(Decimal(str(usd)).normalize()) if usd is not None else ""


def as_markdown(trouble: Trouble) -> str:
    """Return the page."""
    parts = [
        f"### {trouble.title}",
        *trouble.story,
        f"#### Was money spent?\n\n{_CHARGED[trouble.charged]} {trouble.money}".rstrip(),
        f"#### What to do next\n\n{_numbered(trouble.steps)}",
        _table(trouble.facts),
        _readme(trouble.error),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def code(text: object) -> str:
    """Return an id so that it can be copied, or a text of others as it is."""
    return f"`{text}`" if _ID.fullmatch(str(text)) else plain(str(text))


def command(*lines: str) -> str:
    """Return commands as a block that can be copied; they hold nothing that others wrote."""
    return "\n".join(["```sh", *lines, "```"])


def _numbered(steps: Sequence[str]) -> str:
    return "\n".join(f"{number}. " + step.replace("\n", "\n   ") for number, step in enumerate(steps, 1))


def _table(facts: Mapping[str, object]) -> str:
    known = [f"| {name} | {code(value)} |" for name, value in facts.items() if value not in {None, ""}]
    return "\n".join(["| | |", "| --- | --- |", *known]) if known else ""


def _readme(error: str) -> str:
    row = f", row `{error}`" if error else ""
    return f"All errors are in a table of the README, section *When something goes wrong*{row}."
