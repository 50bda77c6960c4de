"""A server, a sandbox, an archive and workers, as real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx

from blocks.sandbox.serve import RunningSandbox

SAMPLES = Path("blocks/sandbox/samples").absolute()
FACE = str(SAMPLES / "portrait.png")
VOICE = str(SAMPLES / "voice.mp3")
POOL = "kling-avatar"
_PATIENCE = 400.0
T = TypeVar("T")


@dataclass
class Stage:
    """What the tests of this folder share.

    Attributes:
        environment: The environment of every command.
        sandbox: CometAPI.
        archive: Folder of the archive.
        folder: For logs and the working directories of workers.
    """

    environment: Mapping[str, str]
    sandbox: RunningSandbox
    archive: Path
    folder: Path
    client: httpx.Client = field(init=False)
    first_report: str = ""

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.environment["PREFECT_API_URL"], timeout=30, trust_env=False)

    @property
    def ui(self) -> str:
        return self.environment["PREFECT_API_URL"].removesuffix("/api")

    def deploy(self, **variables: str) -> str:
        """Run the set-up command as the README has it; return what it printed."""
        command = ["make", "--silent", "deploy"]
        environment = {**self.environment, **variables}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, content: Any = None) -> Any:
        return self.call("POST", path, content or {})

    def patch(self, path: str, content: Any) -> Any:
        return self.call("PATCH", path, content)

    def call(self, method: str, path: str, content: Any = None) -> Any:
        """Call the server's API; a busy SQLite server answers 503, which means: the same again."""

        def look() -> httpx.Response | None:
            try:
                answer = self.client.request(method, path, json=content)
            except httpx.ReadTimeout:
                return None
            return None if answer.status_code == 503 else answer

        answer = wait_for(look, lambda: f"{method} {path}")
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def deployment(self, name: str) -> Any:
        return self.get(f"/deployments/name/{name}/{name}")

    def start(self, name: str, **parameters: Any) -> str:
        """Create a run of a deployment; return its id."""
        created = self.post(
            f"/deployments/{self.deployment(name)['id']}/create_flow_run",
            {"parameters": parameters, "idempotency_key": str(uuid.uuid4())},
        )
        return str(created["id"])

    def emit(self, event: str, payload: Mapping[str, Any], resource: Mapping[str, str]) -> str:
        """Emit an event as any HTTP client can; return its id."""
        content = {
            "id": str(uuid.uuid4()),
            "occurred": f"{datetime.now().astimezone():%Y-%m-%dT%H:%M:%S.%f%z}",
            "event": event,
            "resource": resource,
            "payload": payload,
        }
        self.post("/events", [content])
        return str(content["id"])

    @contextmanager
    def often(self, name: str) -> Iterator[None]:
        """Let a schedule fire every 20 seconds while the block lasts, and not at all afterwards."""
        deployment = self.deployment(name)
        [planned] = deployment["schedules"]

        def plan(interval: float, *, active: bool) -> None:
            schedule = {**planned["schedule"], "interval": interval}
            changed = {"slug": planned["slug"], "schedule": schedule, "active": active}
            self.patch(f"/deployments/{deployment['id']}", {"schedules": [changed]})

        plan(20, active=True)
        try:
            yield
        finally:
            plan(planned["schedule"]["interval"], active=False)

    def run_of(self, flow_run_id: str) -> Any:
        return self.get(f"/flow_runs/{flow_run_id}")

    def runs(self, name: str) -> list[Any]:
        """Return all runs of a deployment."""
        chosen = {"deployments": {"name": {"any_": [name]}}, "limit": 200}
        return list(self.post("/flow_runs/filter", chosen))

    def events(self, name: str) -> list[Any]:
        found = self.post("/events/filter", {"filter": {"event": {"name": [name]}}, "limit": 50})
        return list(found["events"])

    def ended(self, flow_run_id: str, state: str = "") -> Any:
        """Wait until a run has ended, and in this state if one is named; return it."""

        def look() -> Any:
            found = self.run_of(flow_run_id)
            done = found["state_type"] in {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}
            return found if done and (not state or found["state_type"] == state) else None

        return wait_for(
            look, lambda: f"{flow_run_id} is {self.run_of(flow_run_id)['state']}; {self.log_tail()}"
        )

    def states(self, flow_run_id: str) -> list[str]:
        return [state["name"] for state in self.get(f"/flow_run_states/?flow_run_id={flow_run_id}")]

    def foreign(self, state: str) -> str:
        """Create a run that is none of ours."""
        flow = self.post("/flows/", {"name": "foreign"})
        wanted = {"flow_id": flow["id"], "state": {"type": state}, "idempotency_key": str(uuid.uuid4())}
        created = self.post("/flow_runs/", wanted)
        return str(created["id"])

    def help_of(self, flow_run_id: str) -> str:
        """Return what the page of a run says of what went wrong."""
        wanted = {"key": {"any_": ["what-went-wrong"]}, "flow_run_id": {"any_": [flow_run_id]}}
        return "".join(each["data"] for each in self.post("/artifacts/filter", {"artifacts": wanted}))

    def charges(self) -> int:
        return len(self.sandbox.ledger()["charges"])

    def clip_of(self, flow_run_id: str) -> Path:
        """Wait until the job that a run submitted is archived; return the clip."""
        run_resource = f"prefect.flow-run.{flow_run_id}"

        def look() -> Path | None:
            jobs = {
                event["resource"]["prefect.resource.id"]
                for event in self.events("kling-avatar.job.submitted")
                if run_resource in {related["prefect.resource.id"] for related in event["related"]}
            }
            for event in self.events("kling-avatar.job.archived"):
                if event["resource"]["prefect.resource.id"] in jobs:
                    return Path(event["payload"]["clip"].removeprefix("file://"))
            return None

        return wait_for(look, self.log_tail)

    def buy(self, take: int) -> str:
        """Start a run and wait until its video is bought; it goes on rendering for an hour."""
        charges = self.charges()
        self.sandbox.set(render_seconds=3600)
        flow_run_id = self.start("generate-avatar", image=FACE, audio=VOICE, take=take)
        wait_for(lambda: self.charges() > charges, self.log_tail)
        self.sandbox.set(render_seconds=0.5)
        return flow_run_id

    def log_tail(self) -> str:
        return "\n".join(log.read_text()[-1500:] for log in self.folder.glob("worker*.log"))


class Abandoned(NamedTuple):
    """Runs whose processes are gone.

    Attributes:
        flow_run_id: One of ours; its video is bought and rendered.
        foreign_id: One of another project.
    """

    flow_run_id: str
    foreign_id: str


def wait_for(look: Callable[[], T | None], story: Callable[[], str] = str) -> T:
    """Look until there is something; return it."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.3)
    raise AssertionError(f"It did not happen: {story()}")


@contextmanager
def worker(stage: Stage, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process worker while the block lasts, in a folder of its own that holds no code."""
    folder = stage.folder / name
    folder.mkdir()
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--name", name]
    environment = {
        **stage.environment,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_WORKER_PREFETCH_SECONDS": "1",
    }
    with (
        (stage.folder / f"worker-{name}.log").open("w") as log,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        try:
            yield process
        finally:
            kill(process.pid)


def kill(pid: int) -> None:
    """End a process and all it started, at once and without a word: nobody can report anything."""
    family = [pid, *descendants(pid)]
    for member in family:
        try:
            os.kill(member, signal.SIGKILL)
        except ProcessLookupError:
            continue


def descendants(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in (line.split() for line in listed.splitlines())}
    found: list[int] = []
    wanted = [pid]
    while wanted:
        children = [child for child, parent in parents.items() if parent in wanted]
        found += children
        wanted = children
    return found


def process_of(flow_run_id: str, worker_pid: int) -> int:
    """Return the process that executes a run: the child of the worker that carries its id."""
    for pid in descendants(worker_pid):
        try:
            carried = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if f"PREFECT__FLOW_RUN_ID={flow_run_id}".encode() in carried:
            return pid
    raise AssertionError(f"No process executes {flow_run_id}")


def show(name: str, **facts: Any) -> None:
    """Print a measurement, for `pytest -s`."""
    sys.stdout.write(f"\nmeasured {name}: {json.dumps(facts)}\n")


def seconds_between(earlier: str, later: str) -> float:
    return round((datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds(), 1)
