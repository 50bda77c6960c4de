"""The deployments of prefect.yaml: each is deployed when it has changed, and left alone otherwise."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import yaml  # type: ignore[import-untyped]  # ships no types
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from prefect.utilities.templating import PlaceholderType, apply_values, find_placeholders

from blocks.errors import SetupMissing
from flows.deploy.report import Result

_FILE = Path("prefect.yaml")


class Wanted(NamedTuple):
    """A deployment as prefect.yaml and the environment want it.

    Attributes:
        name: Flow and deployment, as `prefect deployment run` takes it.
        entry: The entry of prefect.yaml, with its pull steps and its version.
        unset: Environment variables that it names and that are not set.
    """

    name: str
    entry: dict[str, Any]
    unset: list[str]

    @property
    def version(self) -> str:
        """Fingerprint of the entry, its parameters and where its code comes from."""
        return str(self.entry["version"])


def read_wanted(environment: Mapping[str, str]) -> list[Wanted]:
    """Read prefect.yaml and load every flow it names.

    Raises:
        SetupMissing: There is no prefect.yaml in the working directory.
        Exception: A flow cannot be imported; Prefect alone would deploy it all the same.
    """
    if not _FILE.exists():
        raise SetupMissing(
            f"There is no {_FILE} in {Path.cwd()}", next_step="Run this in the folder of the project."
        )
    content = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    pull = _pull(content["definitions"], environment)
    return [_wanted(entry, pull, environment) for entry in content["deployments"]]


def _pull(definitions: dict[str, Any], environment: Mapping[str, str]) -> list[dict[str, Any]]:
    if environment.get("AVATAR_GIT_URL"):
        steps = apply_values(definitions["pull_from_git"], {})
        return [{step: _given(inputs) for step, inputs in each.items()} for each in steps]
    return [{"prefect.deployments.steps.set_working_directory": {"directory": str(Path.cwd())}}]


def _given(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if value}


def _wanted(entry: Mapping[str, Any], pull: list[dict[str, Any]], environment: Mapping[str, str]) -> Wanted:
    flow: Flow[..., Any] = load_flow_from_entrypoint(entry["entrypoint"], use_placeholder_flow=False)
    named = [
        mark.name.lstrip("$")
        for mark in find_placeholders(dict(entry))
        if mark.type is PlaceholderType.ENV_VAR
    ]
    filled = apply_values(dict(entry), {}, remove_notset=False)
    facts = json.dumps([filled, pull, parameter_schema(flow).model_dump()], sort_keys=True, default=str)
    version = sha256(facts.encode()).hexdigest()[:12]
    return Wanted(
        name=f"{flow.name}/{entry['name']}",
        entry={**entry, "pull": pull, "version": version},
        unset=sorted(name for name in named if not environment.get(name)),
    )


async def set_up_deployments(client: PrefectClient, environment: Mapping[str, str]) -> AsyncIterator[Result]:
    """Deploy what has changed; an entry that names an unset variable is left out.

    A deployment whose version is the fingerprint of its entry is not touched: its schedules, its future runs
    and what an operator changed in the UI stay as they are.

    Raises:
        SetupMissing: Prefect could not deploy one of them.
    """
    wanted = await asyncio.to_thread(read_wanted, environment)
    ready = [each for each in wanted if not each.unset]
    before = {each.name: await _version(each.name, client) for each in ready}
    stale = [each for each in ready if before[each.name] != each.version]
    if stale:
        await _check(stale, client, await _deploy(stale, environment))
    for each in wanted:
        if each.unset:
            yield Result("deployment", each.name, "left out", f"{', '.join(each.unset)} is not set")
        elif each in stale:
            yield Result("deployment", each.name, "created" if before[each.name] is None else "updated")
        else:
            yield Result("deployment", each.name, "unchanged")


async def _version(name: str, client: PrefectClient) -> str | None:
    try:
        return (await client.read_deployment_by_name(name)).version or ""
    except ObjectNotFound:
        return None


async def _deploy(stale: list[Wanted], environment: Mapping[str, str]) -> str:
    content = {"name": "kling-avatar-flows", "deployments": [each.entry for each in stale]}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "prefect.yaml")
        await asyncio.to_thread(file.write_text, yaml.safe_dump(content), encoding="utf-8")
        command = ("-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            env=dict(environment),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await process.communicate()
    return printed.decode(errors="replace")


async def _check(stale: list[Wanted], client: PrefectClient, printed: str) -> None:
    wrong = [each.name for each in stale if await _version(each.name, client) != each.version]
    if wrong:
        raise SetupMissing(
            f"Prefect could not deploy {', '.join(wrong)}: ... {printed.strip()[-1500:]}",
            next_step="Correct what Prefect names, then run this again.",
        )
