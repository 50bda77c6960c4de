"""One row of a plan: how it stands, what a run would do, and what that would cost. Only reads."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from blocks.errors import InvalidRequest
from blocks.kling.job import Job, Speech
from blocks.kling.prices import Prices
from blocks.kling.text import estimate_seconds
from blocks.storage.journal import Entry, Standing, now
from blocks.storage.sidecar import Sidecar
from blocks.storage.speech import SpeechSidecar
from flows.tasks.manifest.checked import Checked, check_rows, first_rows
from flows.tasks.manifest.manifest import Row
from flows.tasks.manifest.results import RowResult, stopped
from flows.tasks.plan.readings import Readings
from flows.tasks.side_by_side import side_by_side
from flows.tasks.speech.speaking import check_seconds
from flows.tasks.submit import closed
from flows.tasks.validate import check_request

PlanState = Literal[
    "new", "archived", "bought", "being bought", "needs decision", "failed", "duplicate", "invalid", "error",
    "waiting", "left",
]  # fmt: skip

_READ_AT_ONCE = 16


class RowPlan(BaseModel):
    """What would be done for one row.

    Attributes:
        row: Number of the row, from 1; 0 for what is not taken up at all.
        state: `new` would be bought. `bought` is paid for and would be collected. `error` could not be read
            now. `left` is a problem of an inbox that was reported before.
        seconds: Length of the video, as far as it is known.
        is_estimate: Whether the seconds are estimated from a text that is not spoken yet.
        estimated_usd: What a run would pay for it by list price, exactly; `None` when that is not known.
        detail: Why, or everything that is wrong with it.
    """

    model_config = ConfigDict(frozen=True)

    row: int
    name: str = ""
    state: PlanState
    job_id: str | None = None
    seconds: float | None = None
    is_estimate: bool = False
    mode: str = ""
    estimated_usd: Decimal | None = Decimal(0)
    detail: str = ""


class _Known(NamedTuple):
    """What the archive knows about a job and about the speech that is its voice."""

    sidecar: Sidecar | None = None
    last: Entry | None = None
    spoken: SpeechSidecar | None = None
    last_of_speech: Entry | None = None


async def plan_rows(rows: Sequence[Row], readings: Readings) -> list[RowPlan]:
    """Say for each row what a run would do now. Spends nothing, writes nothing.

    The rows are checked by the same code that checks them before they are bought.
    """
    checked = await check_rows(rows, check_request, readings)
    known = await side_by_side(partial(_look_up, readings=readings), checked, _READ_AT_ONCE)
    first, spoken = first_rows(checked), set[str]()
    planned = []
    for each, found in zip(checked, known, strict=True):
        if isinstance(each, RowResult):
            planned.append(unusable(each))
        elif first[each.job.job_id] != each.row:
            detail = f"The same job as row {first[each.job.job_id]}"
            planned.append(_row(each, "duplicate", detail))
        else:
            planned.append(_judged(each, found, spoken, readings))
    return planned


def unusable(result: RowResult) -> RowPlan:
    """Return the plan for what cannot be used, or cannot be read now."""
    return RowPlan(
        row=result.row,
        name=result.name,
        state="invalid" if result.state == "invalid" else "error",
        detail=result.message,
    )


async def _look_up(checked: Checked | RowResult, readings: Readings) -> _Known:
    archive = readings.archive
    if archive is None or isinstance(checked, RowResult):
        return _Known()
    job = checked.job
    if sidecar := await archive.find_done(job.job_id):
        return _Known(sidecar)
    last = await archive.journal.last(job.job_id)
    if job.speech is None:
        return _Known(last=last)
    spoken = await archive.find_speech(job.speech.speech_id)
    return _Known(None, last, spoken, None if spoken else await archive.journal.last(job.speech.speech_id))


def _judged(checked: Checked, known: _Known, spoken: set[str], readings: Readings) -> RowPlan:
    if known.sidecar:
        when = f"on {known.sidecar.times.archived:%Y-%m-%d}"
        return _row(checked, "archived", when, seconds=known.sidecar.clip.seconds)
    open_before = _open(checked, known.last) or _open(checked, known.last_of_speech)
    if open_before:
        return open_before
    prices = readings.credentials.prices
    if checked.job.speech is None:
        return _new(checked, checked.job.seconds, Decimal(0), prices)
    try:
        return _new_spoken(checked, checked.job.speech, known, spoken, readings)
    except InvalidRequest as error:
        return unusable(stopped(checked.row, checked.job.name, error))


def _open(checked: Checked, last: Entry | None) -> RowPlan | None:
    """Return the plan for a job that was begun, or `None` when it may be bought."""
    standing = last.standing(now()) if last else Standing.FREE
    if last is None or standing is Standing.FREE or (last.kind == "speech" and standing is Standing.BOUGHT):
        return None
    if standing is Standing.BOUGHT:
        return _row(checked, "bought", f"Kling task {last.kling_task_id} is collected, not paid for again")
    if standing is Standing.BUSY:
        return _row(checked, "being bought", f"Another run is posting the {last.thing} at this moment")
    if standing is Standing.DOUBTFUL:
        detail = f"The {last.thing} may have been bought: it is looked up first, else a person decides"
        return _row(checked, "needs decision", detail)
    return _row(checked, "failed", closed(last).message)


def _new_spoken(
    checked: Checked, speech: Speech, known: _Known, spoken: set[str], readings: Readings
) -> RowPlan:
    prices, last = readings.credentials.prices, known.last_of_speech
    is_bought = bool(known.spoken) or (last is not None and last.standing(now()) is Standing.BOUGHT)
    measured = known.spoken.audio.seconds if known.spoken else last.audio_seconds if last else None
    check_seconds(measured, speech, readings.credentials)
    # Rows that say the same by the same voice share one speech.
    is_free = is_bought or speech.speech_id in spoken
    spoken.add(speech.speech_id)
    return _new(checked, measured, Decimal(0) if is_free else prices.per_speech, prices)


def _new(checked: Checked, measured: float | None, voice_usd: Decimal, prices: Prices) -> RowPlan:
    """Return the plan for a video that would be bought."""
    job, seconds = checked.job, measured
    if measured is None and job.speech:
        seconds = round(estimate_seconds(job.speech.text, job.speech.language, job.speech.speed), 3)
    usd = voice_usd + prices.of_video(seconds, job.mode) if seconds is not None else None
    return _row(
        checked,
        "new",
        _what(job, voice_usd) if usd is not None else "Its price is not known: nobody says how long it is",
        seconds=seconds,
        is_estimate=measured is None and seconds is not None,
        estimated_usd=usd,
    )


def _what(job: Job, voice_usd: Decimal) -> str:
    if job.speech is None:
        return "buys the video"
    return "buys speech and video" if voice_usd else "buys the video; the speech is there"


def _row(checked: Checked, state: PlanState, detail: str, **facts: Any) -> RowPlan:
    job = checked.job
    known = {"seconds": job.seconds, "mode": job.mode, "job_id": job.job_id, "name": checked.request.title}
    return RowPlan.model_validate(known | facts | {"row": checked.row, "state": state, "detail": detail})
