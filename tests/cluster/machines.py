"""A whole cluster on loopback: PostgreSQL, Redis, Prefect behind a proxy, workers, the sandbox."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.cluster.processes import Processes, say, wait_for
from tests.servers import free_port

_HAPROXY = Path("flows/deploy/cluster/haproxy.cfg").absolute()
_PYTHON = sys.executable
_POOL = "kling-avatar"


class Cluster:
    """A running cluster.

    Attributes:
        folder: Logs, data and archive.
        processes: What runs.
        url: The API, through the proxy.
        sandbox: The address of the provider.
        environment: For every command against it.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str], sandbox_options: list[str]) -> None:
        self.folder = folder
        self.processes = Processes(folder)
        self.sandbox = self._start_sandbox(sandbox_options)
        database = self._start_postgres()
        redis = self._start_redis()
        port = int(os.environ.get("CLUSTER_PORT", "0")) or free_port()
        self.url = f"http://127.0.0.1:{port}/api"
        self.environment = {
            **os.environ,
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "COMETAPI_KEY": "sandbox-key",
            "COMETAPI_BASE_URL": self.sandbox,
            "AVATAR_ARCHIVE_URL": str(folder / "archive"),
            **settings,
        }
        self._start_servers(database, redis, port)
        self.http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)
        self.deployed = self._deploy()

    def start_worker(self, number: int) -> None:
        """Start a process worker in a folder of its own that holds no code."""
        name = f"worker-{number}"
        place = self.folder / name
        place.mkdir(exist_ok=True)
        command = [_PYTHON, "-m", "prefect", "worker", "start", "--pool", _POOL, "--name", name]
        quick = {"PREFECT_WORKER_QUERY_SECONDS": "2", "PREFECT_WORKER_PREFETCH_SECONDS": "2"}
        self.processes.start(name, command, {**self.environment, **quick}, cwd=place)

    def post(self, path: str, content: Any) -> Any:
        """Call the API as Prefect's clients do: what a dying server did not answer is asked again."""

        def look() -> Any:
            try:
                answer = self.http.post(path, json=content)
            except httpx.TransportError:
                return None
            return None if answer.status_code in {502, 503} else (answer.raise_for_status().json(),)

        return wait_for(look, f"POST {path}")[0]

    def start(self, name: str, **parameters: Any) -> str:
        """Start a run of a deployment; return its id."""
        deployment = self.http.get(f"/deployments/name/{name}/{name}").raise_for_status().json()["id"]
        created = self.post(f"/deployments/{deployment}/create_flow_run", {"parameters": parameters})
        return str(created["id"])

    def read_sandbox(self, path: str) -> Any:
        return httpx.get(f"{self.sandbox}/sandbox{path}", timeout=60, trust_env=False).json()

    def set_sandbox(self, **settings: Any) -> None:
        """Turn switches of the provider: the fields of `blocks.sandbox.settings.Settings`."""
        httpx.post(
            f"{self.sandbox}/sandbox/settings", json=settings, timeout=60, trust_env=False
        ).raise_for_status()

    def close(self) -> None:
        if hasattr(self, "http"):
            self.http.close()
        self.processes.end_all()

    def _start_sandbox(self, options: list[str]) -> str:
        command = [_PYTHON, "-m", "blocks.sandbox", "--port", "0", "--json", *options]
        self.processes.start("sandbox", command, os.environ)
        log = self.processes.log_of("sandbox")

        def greeting() -> Any:
            line = log.read_text().partition("\n")
            return json.loads(line[0]) if line[1] else None

        return str(wait_for(greeting, "the sandbox")["url"])

    def _start_postgres(self) -> str:
        """Start PostgreSQL, which refuses root; return the connection URL."""
        data, port = self.folder / "postgres", free_port()
        data.mkdir(mode=0o700)
        owner: dict[str, Any] = {}
        if os.geteuid() == 0:
            shutil.chown(data, "postgres", "postgres")
            owner = {"user": "postgres", "group": "postgres", "extra_groups": []}
        initdb = [_binary("initdb"), "-D", str(data), "-A", "trust", "-U", "postgres"]
        subprocess.run(initdb, check=True, capture_output=True, cwd="/", **owner)
        command = [_binary("postgres"), "-D", str(data), "-p", str(port), "-k", str(data)]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300"]
        self.processes.start("postgres", command, os.environ, cwd="/", **owner)
        client = ["-h", "127.0.0.1", "-p", str(port), "-U", "postgres"]

        def created() -> bool:
            create = [_binary("createdb"), *client, "prefect"]
            return subprocess.run(create, check=True, capture_output=True).returncode == 0

        wait_for(created, "PostgreSQL")
        return f"postgresql+asyncpg://postgres@127.0.0.1:{port}/prefect"

    def _start_redis(self) -> int:
        port = free_port()
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
        self.processes.start("redis", command, os.environ, cwd=self.folder)
        ping = ["redis-cli", "-p", str(port), "ping"]
        wait_for(lambda: b"PONG" in subprocess.run(ping, capture_output=True, check=True).stdout, "Redis")
        return port

    def _start_servers(self, database: str, redis: int, port: int) -> None:
        """Start one server, then the others: two on an empty database get in each other's way."""
        environment = {**self.environment, **server_settings(database, "127.0.0.1", redis, self.url)}
        ports = (free_port(), free_port())
        for number, own in enumerate(ports, 1):
            command = [_PYTHON, "-m", "prefect", "server", "start", "--no-services"]
            name = f"api-{number}"
            self.processes.start(name, [*command, "--host", "127.0.0.1", "--port", str(own)], environment)
            _wait_for_server(f"http://127.0.0.1:{own}/api", name)
        services = [_PYTHON, "-m", "prefect", "server", "services", "start"]
        self.processes.start("services", services, environment)
        addresses = {"LISTEN": f"127.0.0.1:{port}"}
        addresses |= {"API_ONE": f"127.0.0.1:{ports[0]}", "API_TWO": f"127.0.0.1:{ports[1]}"}
        self.processes.start("proxy", [_binary("haproxy"), "-f", str(_HAPROXY)], {**os.environ, **addresses})
        _wait_for_server(self.url, "the proxy")

    def _deploy(self) -> str:
        command = [_PYTHON, "-m", "flows.deploy"]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=400, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        return done.stdout


def server_settings(database: str, redis_host: str, redis_port: int, url: str) -> dict[str, str]:
    """Return the settings with which Prefect's servers and services share PostgreSQL and Redis."""
    return {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
        "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        "PREFECT_REDIS_MESSAGING_HOST": redis_host,
        "PREFECT_REDIS_MESSAGING_PORT": str(redis_port),
        "PREFECT_REDIS_MESSAGING_DB": "0",
        "PREFECT_SERVER_DOCKET_URL": f"redis://{redis_host}:{redis_port}/1",
        "PREFECT_UI_API_URL": url,
    }


@contextmanager
def cluster(settings: Mapping[str, str], sandbox_options: list[str]) -> Iterator[Cluster]:
    """Run a cluster while the block lasts; its folder goes with it unless something raises."""
    for each in (signal.SIGINT, signal.SIGTERM):
        # A shell starts what it puts into the background with Ctrl-C ignored.
        signal.signal(each, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="kling-avatar-cluster-"))
    folder.chmod(0o755)
    say(f"logs and data: {folder}")
    running = Cluster.__new__(Cluster)
    try:
        running.__init__(folder, settings, sandbox_options)  # type: ignore[misc]  # so that a half-started one is ended too
        yield running
    finally:
        running.close()
    shutil.rmtree(folder, ignore_errors=True)


def _wait_for_server(url: str, name: str) -> None:
    def healthy() -> bool:
        try:
            return httpx.get(f"{url}/health", timeout=5, trust_env=False).is_success
        except httpx.TransportError:
            return False

    wait_for(healthy, name)


def _binary(name: str) -> str:
    """Return the path of a program; Debian keeps those of PostgreSQL and haproxy off the usual path."""
    places = [*Path("/usr/lib/postgresql").glob("*/bin"), Path("/usr/sbin")]
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, sorted(places, reverse=True))])
    if found := shutil.which(name, path=path):
        return found
    raise FileNotFoundError(f"{name} is not installed; `make cluster` installs it from Debian's packages")
