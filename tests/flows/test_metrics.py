"""Numbers for dashboards arrive where people collect them, and are those of the books."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prefect.settings import PREFECT_CLIENT_METRICS_ENABLED, PREFECT_CLIENT_METRICS_PORT, temporary_settings
from prefect.utilities import services
from prometheus_client.parser import text_string_to_metric_families

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import JobOverdue, NeedsDecision
from blocks.sandbox.serve import RunningSandbox
from flows.reconcile import reconcile_jobs
from tests.flows.desk import write_manifest
from tests.flows.story import Ask
from tests.servers import free_port

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def prometheus() -> Iterator[str]:
    """Let Prefect serve the metrics of this process; return their address."""
    port = free_port()
    with temporary_settings({PREFECT_CLIENT_METRICS_ENABLED: True, PREFECT_CLIENT_METRICS_PORT: port}):
        yield f"http://127.0.0.1:{port}/metrics"
        served = services._metrics_server
        services.stop_client_metrics_server()
        if served:
            served[0].server_close()


def scraped(address: str) -> Series:
    text = httpx.get(address, trust_env=False).text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("kling_avatar_") and not sample.name.endswith("_created")
    }


async def test_prefects_own_prometheus_endpoint_has_them(
    ask: Ask,
    sandbox: RunningSandbox,
    credentials: CometAPICredentials,
    archive_block: AvatarArchive,
    prometheus: str,
) -> None:
    sandbox.set(fast_clip=True)
    await ask()
    before = scraped(prometheus)
    sidecar = await ask(take=2)
    await ask(take=2)
    sandbox.fault("lost-response", count=1)
    with pytest.raises(NeedsDecision):
        await ask(take=3, credentials=credentials.model_copy(update={"lookup": "no"}))
    sandbox.set(render_seconds=3600)
    with pytest.raises(JobOverdue):
        await ask(take=4, credentials=credentials.model_copy(update={"deadline_minutes": 0.01}))
    await reconcile_jobs(credentials=credentials.model_copy(update={"lookup": "no"}), store=archive_block)
    after = scraped(prometheus)

    def grown(name: str, **labels: str) -> float:
        series = name, frozenset(labels.items())
        return after.get(series, 0.0) - before.get(series, 0.0)

    video = {"kind": "avatar", "mode": "std"}
    price = float(sidecar.cost.estimated_usd or 0)
    assert grown("kling_avatar_bought_total", **video) == 2
    assert grown("kling_avatar_spent_usd_total", **video) == pytest.approx(2 * price)
    units = float(sidecar.cost.reported_units or 0)
    assert grown("kling_avatar_units_total", **video) == pytest.approx(units)
    assert grown("kling_avatar_archived_bytes_total", **video) == sidecar.clip.size
    assert grown("kling_avatar_unknown_outcomes_total", **video) == 1
    assert grown("kling_avatar_jobs_total", outcome="archived", error="", mode="std") == 1
    assert grown("kling_avatar_jobs_total", outcome="needs-decision", error="NeedsDecision", mode="") == 1
    assert grown("kling_avatar_jobs_total", outcome="overdue", error="JobOverdue", mode="") == 1
    assert grown("kling_avatar_wait_seconds_count", mode="std") == 1
    assert grown("kling_avatar_wait_seconds_bucket", mode="std", le="10.0") == 1
    open_jobs = {
        state
        for (name, labels), value in after.items()
        for _, state in labels
        if name == "kling_avatar_open_jobs" and value == 1
    }
    assert open_jobs == {"needs decision", "running"}


@contextmanager
def collector() -> Iterator[tuple[str, list[ExportMetricsServiceRequest]]]:
    """Take in what is sent by OTLP over HTTP; yield the address and what came."""
    came: list[ExportMetricsServiceRequest] = []

    class Intake(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server calls
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/metrics":
                came.append(ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the name of the base class
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Intake)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", came
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sums(came: list[ExportMetricsServiceRequest]) -> dict[tuple[str, str], float]:
    """Return the last value of each counter, by name and first attribute that says something."""
    found: dict[tuple[str, str], float] = {}
    for request in came:
        for scope in request.resource_metrics[0].scope_metrics:
            for metric in scope.metrics:
                for point in metric.sum.data_points:
                    named = {each.key: each.value.string_value for each in point.attributes}
                    assert named.keys() <= {"kind", "mode", "outcome", "error"}
                    told = named.get("outcome") or named.get("kind") or ""
                    found[metric.name, told] = point.as_double or point.as_int
    return found


def test_a_command_sends_its_last_numbers_by_opentelemetry_before_it_ends(
    sandbox: RunningSandbox, prefect_environment: Mapping[str, str], tmp_path: Path
) -> None:
    sandbox.set(fast_clip=True)
    rows = ("kim.png,kim.mp3,one", "kim.png,kim.mp3,two", "kim.png,kim.mp3,[fault:failed-moderation]")
    with collector() as (address, came):
        environment = {
            **os.environ,
            **prefect_environment,
            "COMETAPI_KEY": "sandbox-key",
            "COMETAPI_BASE_URL": sandbox.url,
            "COMETAPI_FIRST_POLL_SECONDS": "0.1",
            "COMETAPI_RENDER_FACTOR": "0",
            "COMETAPI_POLL_SECONDS": "0.1",
            "AVATAR_ARCHIVE_URL": str(tmp_path / "archive"),
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": address,
        }
        instrument = str(Path(sys.executable).with_name("opentelemetry-instrument"))
        command = [instrument, sys.executable, "-m", "flows.batch", write_manifest(tmp_path / "in", *rows)]
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=150, check=False
        )
    assert "1 failed" in ended.stderr, ended.stderr
    ledger = sandbox.ledger()
    told = sums(came)
    assert told["kling_avatar.bought", "avatar"] == len(ledger["charges"]) == 3
    spent = sum(Decimal(charge["usd"]) for charge in ledger["charges"])
    assert told["kling_avatar.spent_usd", "avatar"] == pytest.approx(float(spent), rel=0.02)
    assert told["kling_avatar.jobs", "archived"] == 2
    assert told["kling_avatar.jobs", "failed"] == 1
    clips = sum(clip["size"] for task in sandbox.tasks() for clip in task["clips"])
    assert told["kling_avatar.archived_bytes", "avatar"] == clips
