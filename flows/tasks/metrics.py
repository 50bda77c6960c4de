"""Numbers for dashboards: by OpenTelemetry, and on Prefect's own Prometheus endpoint of the process.

Without an OpenTelemetry SDK in the process, and without PREFECT_CLIENT_METRICS_ENABLED, nobody sees them.
Attributes are few and have few values: never an id or a name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

import prometheus_client
from opentelemetry import metrics

from blocks.errors import AvatarError, JobOverdue, NeedsDecision
from blocks.storage.journal import Entry
from blocks.storage.sidecar import Sidecar
from blocks.storage.speech import SpeechSidecar

_METER = metrics.get_meter("kling-avatar")
_SECONDS = (10, 30, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1800, 3600, 7200)
_OPEN = ("needs decision", "overdue", "running", "submitting", "unfinished")


class _Count:
    """A number that only grows."""

    def __init__(self, name: str, says: str, *labels: str) -> None:
        self._labels = labels
        self._counter = _METER.create_counter(f"kling_avatar.{name}", description=says)
        self._prometheus = prometheus_client.Counter(f"kling_avatar_{name}", says, labels)

    def add(self, amount: float, *values: str) -> None:
        self._counter.add(amount, dict(zip(self._labels, values, strict=True)))
        self._prometheus.labels(*values).inc(amount)


class _Waits:
    """How long something took, in seconds."""

    def __init__(self, name: str, says: str, *labels: str) -> None:
        self._labels = labels
        self._histogram = _METER.create_histogram(
            f"kling_avatar.{name}", unit="s", description=says, explicit_bucket_boundaries_advisory=_SECONDS
        )
        self._prometheus = prometheus_client.Histogram(
            f"kling_avatar_{name}_seconds", says, labels, buckets=_SECONDS
        )

    def record(self, seconds: float, *values: str) -> None:
        self._histogram.record(seconds, dict(zip(self._labels, values, strict=True)))
        self._prometheus.labels(*values).observe(seconds)


_BOUGHT = _Count("bought", "What was bought: videos and speeches.", "kind", "mode")
_SPENT = _Count("spent_usd", "List price of what was bought, in US dollars.", "kind", "mode")
_UNITS = _Count("units", "Kling units that the provider reports for what is archived.", "kind", "mode")
_JOBS = _Count("jobs", "How jobs ended, each time a run ended with them.", "outcome", "error", "mode")
_UNKNOWN = _Count("unknown_outcomes", "POSTs of which nobody could tell whether they bought.", "kind", "mode")
_BYTES = _Count("archived_bytes", "Bytes of clips and speech that came into the archive.", "kind", "mode")
_WAIT = _Waits("wait", "Seconds from the submit until Kling was done.", "mode")
_OPEN_JOBS = _METER.create_gauge("kling_avatar.open_jobs", description="Jobs that reconcile-jobs looks at.")
_OPEN_JOBS_HERE = prometheus_client.Gauge("kling_avatar_open_jobs", "As above.", ["state"])


def count_bought(entry: Entry) -> None:
    """Count a purchase, once: by the run that writes it to the journal."""
    mode = _mode(entry)
    _BOUGHT.add(1, entry.kind, mode)
    if usd := entry.job.get("estimated_usd"):
        _SPENT.add(float(usd), entry.kind, mode)


def count_unknown(entry: Entry) -> None:
    """Count a POST whose answer was lost or makes no sense."""
    _UNKNOWN.add(1, entry.kind, _mode(entry))


def count_archived(sidecar: Sidecar) -> None:
    """Count a clip that came into the archive, once: by the run that writes its sidecar."""
    mode, waited = sidecar.requested.mode, sidecar.times.waited_seconds
    _JOBS.add(1, "archived", "", mode)
    _BYTES.add(sidecar.clip.size, "avatar", mode)
    _count_units(sidecar.cost.reported_units, "avatar", mode)
    if waited is not None:
        _WAIT.record(waited, mode)


def count_speech(sidecar: SpeechSidecar) -> None:
    """Count a speech that came into the archive, once."""
    _BYTES.add(sidecar.audio.size, "speech", "")
    _count_units(sidecar.cost.reported_units, "speech", "")


def count_stopped(error: AvatarError) -> None:
    """Count a job with which a run came to an end without a clip; the next run may count it again."""
    outcome = "failed"
    if isinstance(error, NeedsDecision):
        outcome = "needs-decision"
    elif isinstance(error, JobOverdue):
        outcome = "overdue"
    _JOBS.add(1, outcome, type(error).__name__, "")


def show_open(states: Iterable[str]) -> None:
    """Show how many jobs are open, by what reconcile-jobs says of them."""
    counts = Counter(states)
    for state in _OPEN:
        _OPEN_JOBS.set(counts[state], {"state": state})
        _OPEN_JOBS_HERE.labels(state).set(counts[state])


def _count_units(units: Decimal | None, kind: str, mode: str) -> None:
    if units is not None:
        _UNITS.add(float(units), kind, mode)


def _mode(entry: Entry) -> str:
    return str(entry.job.get("mode") or "")
