"""Everything a campaign needs, started and ended around it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.campaign import Campaign
from tests.chaos.crew import Crew
from tests.chaos.plan import make_plans
from tests.chaos.services import PrefectServer, Sandbox, bucket, prefect_server, sandbox
from tests.chaos.setup import SLOW_SECONDS, Setup
from tests.chaos.shelf import BucketShelf, FolderShelf, Shelf

# The S3 server of the tests answers one request at a time.
_CLAIM_SECONDS = {"folder": 1.0, "s3": 3.0}


@dataclass(frozen=True)
class Options:
    """What a campaign is to be.

    Attributes:
        jobs: How many jobs.
        seed: Decides kills, races and faults.
        lookup: What the credentials say about lookups by external task id.
        answers: Whether the sandbox answers such lookups.
        unsafe: The safety that is taken out to test the oracle; empty for none.
        archive: `folder` or `s3`.
        flows: Part of the jobs that run as real Prefect flows.
        prefect_url: API of a Prefect server for them; one is started when empty.
        pauses: Whether processes are paused too, as by a machine that is suspended.
        at_once: Most worker processes at a time.
        minutes: After this long it is ended.
        keep: A folder, not there yet, for traces, logs and archive; a temporary one when empty.
    """

    jobs: int = 200
    seed: int = 1
    lookup: str = "yes"
    answers: bool = True
    unsafe: str = ""
    archive: str = "folder"
    flows: float = 0.0
    prefect_url: str = ""
    pauses: bool = False
    at_once: int = 16
    minutes: float = 15
    keep: str = ""

    @property
    def can_look_up(self) -> bool:
        """Whether every doubt can be cleared up without a person."""
        return self.answers and self.lookup != "no"


@dataclass(frozen=True)
class Stage:
    """A campaign that can begin.

    Attributes:
        campaign: The campaign.
        provider: Its sandbox.
        ready: Waits until real flows can run.
    """

    campaign: Campaign
    provider: Sandbox
    ready: Callable[[], object]


@contextmanager
def staged(options: Options) -> Iterator[Stage]:
    """Start servers and make the plans of a campaign."""
    deadline = time.monotonic() + options.minutes * 60
    lifetime = int(options.minutes * 60) + 60
    with ExitStack() as running:
        folder = Path(options.keep or running.enter_context(tempfile.TemporaryDirectory()) + "/chaos")
        folder.mkdir(parents=True)
        provider = running.enter_context(sandbox(folder, lookup=options.answers, seconds=lifetime))
        archive, shelf = _archive(options, folder, lifetime, running)
        flows = PrefectServer(options.prefect_url) if options.prefect_url else None
        if options.flows and not flows:
            flows = running.enter_context(prefect_server(folder))
        setup = Setup(
            folder=folder,
            base_url=provider.url,
            archive=archive,
            lookup=options.lookup,
            claim_seconds=_CLAIM_SECONDS[options.archive],
            unsafe=options.unsafe,
            prefect_url=flows.url if flows else "",
        )
        namespace = setup.credentials().task_namespace
        plans = make_plans(
            options.jobs,
            options.seed,
            namespace,
            flows=options.flows,
            pauses=options.pauses,
            slow_seconds=SLOW_SECONDS,
        )
        provider.script([rule for plan in plans for rule in plan.rules])
        crew = Crew(folder, options.at_once, deadline)
        campaign = Campaign(setup, plans, crew, provider, shelf, options.seed)
        yield Stage(campaign, provider, flows.wait if flows else bool)


def _archive(
    options: Options, folder: Path, lifetime: int, running: ExitStack
) -> tuple[dict[str, str], Shelf]:
    if options.archive == "folder":
        return {"url": str(folder / "archive")}, FolderShelf(folder / "archive")
    url = running.enter_context(bucket(folder, lifetime))
    block = {
        "url": "s3://archive/chaos",
        "endpoint_url": url,
        "key": "chaos-key-id",
        "secret": "chaos-secret",
    }
    return block, BucketShelf(f"{url}/archive", "chaos/")
