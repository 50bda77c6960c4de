"""From what was measured to what a job costs, and how that is shown."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from tests.bench.measuring import Measured


@dataclass(frozen=True)
class Cost:
    """What a job costs; the cost of starting, measured with no job, is taken off.

    Attributes:
        jobs: How many were in flight.
        wall_beyond_seconds: Of the whole run, beyond starting and beyond the provider's own time.
        client_cpu_ms: For each job, children included.
        server_cpu_ms: For each job, Prefect's server and its database.
        peak_rss_mib: Of the client, in all.
        rss_per_job_kib: Peak memory beyond that of a client without jobs, for each job.
        provider_requests: For each job.
        api_requests: HTTP requests to Prefect for each job; nothing is taken off.
        api_failures: In all.
        task_runs: For each job.
        unfinished: Task runs not in a final state a minute after the end, in all.
        failures: Jobs without a clip.
    """

    jobs: int
    wall_beyond_seconds: float
    client_cpu_ms: float
    server_cpu_ms: float
    peak_rss_mib: float
    rss_per_job_kib: float
    provider_requests: float
    api_requests: float
    api_failures: int
    task_runs: float
    unfinished: int
    failures: int


HEADINGS = {
    "jobs": "jobs",
    "wall_beyond_seconds": "wall beyond s",
    "client_cpu_ms": "client ms/job",
    "server_cpu_ms": "server ms/job",
    "peak_rss_mib": "peak MiB",
    "rss_per_job_kib": "KiB/job",
    "provider_requests": "provider req/job",
    "api_requests": "Prefect req/job",
    "api_failures": "API 5xx",
    "task_runs": "task runs/job",
    "unfinished": "unfinished",
    "failures": "failures",
}


def cost(idle: Measured, busy: Measured, jobs: int, provider_seconds: float) -> Cost:
    """Return what each of `jobs` cost."""
    cpu = busy.used.cpu_seconds - idle.used.cpu_seconds
    return Cost(
        jobs=jobs,
        wall_beyond_seconds=round(busy.used.wall_seconds - idle.used.wall_seconds - provider_seconds, 1),
        client_cpu_ms=round(cpu / jobs * 1000, 1),
        server_cpu_ms=round((busy.server_cpu_seconds - idle.server_cpu_seconds) / jobs * 1000, 1),
        peak_rss_mib=round(busy.used.peak_rss_kib / 1024, 1),
        rss_per_job_kib=round((busy.used.peak_rss_kib - idle.used.peak_rss_kib) / jobs, 1),
        provider_requests=round(busy.provider_requests / jobs, 2),
        api_requests=round(busy.api_requests / jobs, 3),
        api_failures=busy.api_failures,
        task_runs=round(busy.task_runs / jobs, 2),
        unfinished=busy.unfinished,
        failures=jobs - busy.clips,
    )


def headings() -> str:
    """Return the first line of the table."""
    return " ".join([f"{'':>14}", *HEADINGS.values()])


def line(name: str, found: Cost) -> str:
    """Return one line of the table."""
    values = asdict(found)
    cells = [f"{values[field]:>{len(heading)}}" for field, heading in HEADINGS.items()]
    return " ".join([f"{name:>14}", *cells])


def comparison(found: dict[str, list[Cost]]) -> dict[str, float]:
    """Return this project's costs as ratios, at the largest number of jobs."""
    ours = found.get("this project", [])
    ratios: dict[str, float] = {}
    for name in found.keys() - {"this project"}:
        for own, other in list(zip(ours, found[name], strict=True))[-1:]:
            ratios[f"client cpu / {name}"] = _ratio(own.client_cpu_ms, other.client_cpu_ms)
            ratios[f"wall beyond / {name}"] = _ratio(own.wall_beyond_seconds, other.wall_beyond_seconds)
    for name, costs in found.items():
        if len(costs) > 1:
            growth = _ratio(costs[-1].client_cpu_ms, costs[-2].client_cpu_ms)
            ratios[f"{name}: client cpu at {costs[-1].jobs} / at {costs[-2].jobs}"] = growth
    return ratios


def _ratio(one: float, other: float) -> float:
    return round(one / other, 2) if other else float("nan")
