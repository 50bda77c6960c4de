"""What an error means for the run that it ended. Pure: no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from prefect.exceptions import ParameterTypeError, SignatureMismatchError

from blocks.errors import AvatarError, Charged, InvalidRequest
from blocks.storage.journal import Entry
from flows.tasks.help.page import Trouble, price_of
from flows.tasks.help.steps import Ran, decide_commands, steps_after
from flows.tasks.inbox.findings import ArchiveDamaged
from flows.tasks.manifest.results import IN_THE_ARCHIVE, NotAllArchived
from flows.tasks.shown.markdown import plain

_SHOWN_DECISIONS = 5


def tell(error: BaseException, ran: Ran, entry: Entry | None = None) -> Trouble:
    """Return what is known about a run that ended with `error`.

    Args:
        error: What it raised.
        ran: The run.
        entry: Newest entry of the journal of the job that the error names, if there is one.
    """
    if isinstance(error, NotAllArchived):
        return _of_many(error, ran)
    if isinstance(error, ArchiveDamaged):
        return _of_archive(error, ran)
    if isinstance(error, AvatarError):
        return _of_one(error, ran, entry)
    if isinstance(error, ParameterTypeError | SignatureMismatchError):
        return Trouble("The parameters were not accepted", [_NAMED], "no", steps=[ran.corrected])
    return _unexpected(error, ran)


def tell_chosen(message: str, ran: Ran) -> Trouble:
    """Return what is known about a run whose flow chose to end as failed, and said why by itself."""
    return Trouble("The run ended as failed", [plain(message)], "no", steps=[ran.again])


_NAMED = "Nothing was sent. The message of the state names them."


def _of_one(error: AvatarError, ran: Ran, entry: Entry | None) -> Trouble:
    kind, facts = type(error).__name__, error.facts
    usd = entry.job.get("estimated_usd") if entry else None
    return Trouble(
        title=f"{kind}: the {'request has faults' if isinstance(error, InvalidRequest) else 'run failed'}",
        story=[_message(error)],
        charged=error.charged,
        money=price_of(usd, error.charged),
        facts={
            "job": facts.job_id,
            "Kling task": facts.kling_task_id or (entry.kling_task_id if entry else None),
            "external task id": entry.external_task_id if entry else None,
            "request id": facts.request_id or (entry.outcome.request_id if entry else None),
            "HTTP status": facts.http_status,
            "service code": facts.service_code,
        },
        steps=steps_after(error, ran),
        error=kind,
    )


def _message(error: AvatarError) -> str:
    if not isinstance(error, InvalidRequest):
        return plain(error.message)
    faults = (f"- **{plain(each.field)}**: {plain(each.found)}; {plain(each.limit)}" for each in error.faults)
    return "\n".join(["Nothing was sent. Every fault:", "", *faults])


def _of_many(error: NotAllArchived, ran: Ran) -> Trouble:
    results: Sequence[Any] = error.results
    missing = [each for each in results if _is_missing(each)]
    undecided = [each for each in missing if each.state == "needs decision" and each.job_id]
    steps = [plain(error.next_step)]
    if undecided:
        shown = (decide_commands(ran, each.job_id) for each in undecided[:_SHOWN_DECISIONS])
        more = len(undecided) - _SHOWN_DECISIONS
        also = f"\n\nand for {more} more, which the results name" if more > 0 else ""
        steps.append("A person decides about these jobs:\n\n" + "\n\n".join(shown) + also)
    return Trouble(
        title=f"{len(missing)} of {len(results)} are not in the archive",
        story=[plain(error.message), _reasons(missing)],
        charged=_charged_of(missing),
        money="That is about what is not in the archive: " + _counted(each.charged for each in missing) + ".",
        steps=[*steps, f"{ran.again} What is archived already costs nothing."],
        error=type(error).__name__,
    )


def _is_missing(result: Any) -> bool:
    return result.state not in {*IN_THE_ARCHIVE, "waiting"} and result.clip is None


def _charged_of(missing: Sequence[Any]) -> Charged:
    found = {each.charged for each in missing}
    return "unknown" if "unknown" in found else "yes" if "yes" in found else "no"


def _counted(charged: Any) -> str:
    words = {"yes": "paid for", "no": "not paid for", "unknown": "unknown"}
    return ", ".join(f"{count} {words[each]}" for each, count in sorted(Counter(charged).items()))


def _reasons(missing: Sequence[Any]) -> str:
    """Return a line for each reason, the most frequent first; the texts are those of its first result.

    No table: Prefect's UI lets a wide one run into its side panel.
    """
    first: dict[tuple[str, str], Any] = {}
    for each in missing:
        first.setdefault((each.state, each.error or ""), each)
    counts = Counter((each.state, each.error or "") for each in missing)
    lines = []
    for reason, count in counts.most_common():
        named, shown = ", ".join(plain(part) for part in reason if part), first[reason]
        lines.append(
            f"- **{count} {named}.** {plain(shown.message[:300].rstrip('.'))}. *{plain(shown.next_step)}*"
        )
    return "\n".join(lines)


def _of_archive(error: ArchiveDamaged, ran: Ran) -> Trouble:
    steps = {finding.kind: finding.next_step for finding in error.findings if finding.kind.is_damage}
    return Trouble(
        title="The archive is not in order",
        story=[plain(error.message), "Each finding is in the table *verify-archive* on this page."],
        charged="no",
        steps=[*(f"*{kind}*: {plain(step)}" for kind, step in steps.items()), ran.again],
        error=type(error).__name__,
    )


def _unexpected(error: BaseException, ran: Ran) -> Trouble:
    """Name the class only: the text of an error of no known class may quote anything."""
    kind = type(error).__name__
    return Trouble(
        title=f"The run stopped with an unexpected {plain(kind)}",
        story=["This is a fault of the program or of its surroundings. The log of this run has more."],
        charged="unknown",
        steps=[ran.again, f"If it stays, finish what is open:\n\n{ran.reconcile}"],
    )
