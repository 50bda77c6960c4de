"""No flow of this project fails without a word."""

from __future__ import annotations

import json
import shlex

import pytest
from prefect.flows import Flow

from blocks.errors import Facts, Fault, InvalidRequest, RequestRejected, TaskIdNotRecorded
from flows import avatar, batch, decide, inbox, reconcile, requested, shard, speech, upkeep, verify
from flows.tasks.help.hooks import explain, withdraw
from flows.tasks.help.page import as_markdown
from flows.tasks.help.steps import Ran
from flows.tasks.help.told import tell

# It ends as failed to be seen, and its own artifact says what is wrong.
SPEAKS_FOR_ITSELF = {"alert"}

MODULES = (avatar, batch, decide, inbox, reconcile, requested, shard, speech, upkeep, verify)
FLOWS = {each.name: each for module in MODULES for each in vars(module).values() if isinstance(each, Flow)}


@pytest.mark.parametrize("name", sorted(FLOWS.keys() - SPEAKS_FOR_ITSELF))
def test_each_flow_has_help(name: str) -> None:
    flow = FLOWS[name]
    assert flow.on_failure_hooks == flow.on_crashed_hooks == [explain]
    assert flow.on_completion_hooks == [withdraw]


def test_words_of_others_are_shown_as_they_are() -> None:
    refused = RequestRejected("<img src=x> | [a](b) `c`\n# d", Facts(request_id="r|1 <b>"))
    page = as_markdown(tell(refused, Ran("generate-avatar")))
    assert r"\<img src=x\> \| \[a\]\(b\) \`c\` \# d" in page
    assert r"| request id | r\|1 \<b\> |" in page
    faulty = InvalidRequest((Fault("prompt", "<script>", "`x`"),))
    assert r"- **prompt**: \<script\>; \`x\`" in as_markdown(tell(faulty, Ran("generate-avatar")))


def test_a_known_kling_task_is_in_the_command_unless_it_is_none() -> None:
    def page(task_id: str) -> str:
        error = TaskIdNotRecorded("not written down", Facts(job_id="0" * 64, kling_task_id=task_id))
        ran = Ran("generate-avatar", is_deployed=True, parameters={"store": "ours", "credentials": "a'b"})
        return as_markdown(tell(error, ran))

    (line,) = [line for line in page("88001").splitlines() if "prefect deployment run" in line]
    command = shlex.split(line)
    assert command[:-1] == ["prefect", "deployment", "run", "decide/decide", "--params"]
    decision = {"choice": "adopt", "kling_task_id": "88001", "job_id": "0" * 64, "store": "ours"}
    assert json.loads(command[-1]) == decision
    assert '"kling_task_id": "…"' in page("1; rm -rf")
    assert "*Retry* in the menu of the run's page" in page("88001")
