"""What Prefect loads by its entrypoint really loads, explains itself in the form, and shadows nothing."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.metadata
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no type information
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools import validate
from pydantic import TypeAdapter

ROOT = Path(__file__).parent.parent
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
MODULES = sorted(path for path in (ROOT / "flows").glob("*.py") if path.name != "__init__.py")


def flows_in(path: Path) -> list[str]:
    """Return the names of the flows that a file defines."""
    functions = [
        node
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [
        function.name
        for function in functions
        if any("flow" in ast.unparse(decorator) for decorator in function.decorator_list)
    ]


ENTRYPOINTS = sorted(
    {deployment["entrypoint"] for deployment in DEPLOYMENTS}
    | {f"flows/{path.name}:{name}" for path in MODULES for name in flows_in(path)}
)
of_every_entrypoint = pytest.mark.parametrize("entrypoint", ENTRYPOINTS)


@pytest.fixture(scope="module", autouse=True)
def imports_of_its_own() -> Iterator[None]:
    """Undo what loading by file leaves behind: folders in front of `sys.path`, modules under other names."""
    before = sys.path[:], set(sys.modules)
    with contextlib.chdir(ROOT):
        yield
    sys.path[:] = before[0]
    for name in set(sys.modules) - before[1]:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(f"{ROOT}/flows") and not name.startswith("flows."):
            del sys.modules[name]


@functools.cache
def loaded(entrypoint: str) -> Flow[..., Any]:
    # Not strict, Prefect would deploy a placeholder made from the text of a file that does not import.
    return load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)


@of_every_entrypoint
def test_it_loads_strictly(entrypoint: str) -> None:
    flow = loaded(entrypoint)
    assert isinstance(flow, Flow)
    assert flow.fn.__name__ == entrypoint.rpartition(":")[2]
    assert inspect.iscoroutinefunction(flow.fn), "a synchronous flow costs a second more each run"
    assert flow.description, "the operator reads it in Prefect's UI"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_every_module_imports_under_its_own_name(path: Path) -> None:
    assert importlib.import_module(f"flows.{path.stem}").__doc__


@of_every_entrypoint
def test_every_default_is_a_value_that_its_parameter_takes(entrypoint: str) -> None:
    flow = loaded(entrypoint)
    signature = inspect.signature(flow.fn, eval_str=True)
    defaults = {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if parameter.default is not parameter.empty
    }
    for name, default in defaults.items():
        TypeAdapter(signature.parameters[name].annotation).validate_python(default)
    given = {name: value for name, value in defaults.items() if value is not None}
    validate(given, parameter_schema(flow).model_dump(), raise_on_error=True, ignore_required=True)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
def test_what_a_deployment_sets_is_taken_by_its_flow(deployment: dict[str, Any]) -> None:
    schema = parameter_schema(loaded(deployment["entrypoint"])).model_dump()
    sets = [deployment, *deployment.get("schedules", []), *deployment.get("triggers", [])]
    for parameters in (part["parameters"] for part in sets if "parameters" in part):
        assert set(parameters) <= set(schema["properties"])
    validate(deployment.get("parameters", {}), schema, raise_on_error=True, ignore_required=True)
    assert deployment["enforce_parameter_schema"] is True
    assert deployment["description"]


@of_every_entrypoint
def test_every_parameter_has_a_title_and_a_description(entrypoint: str) -> None:
    schema = parameter_schema(loaded(entrypoint))
    assert schema.properties
    for name, parameter in schema.properties.items():
        # Prefect itself puts the bare name where there is no title.
        assert parameter["title"] not in ("", name), name
        assert parameter["description"].endswith("."), name
        assert parameter.get("format") != "password", name


@of_every_entrypoint
def test_a_choice_is_a_list_in_the_form(entrypoint: str) -> None:
    schema = parameter_schema(loaded(entrypoint))
    expected = {"mode": ["std", "pro"], "choice": ["adopt", "post again", "give up"]}
    for name, values in expected.items():
        if name in schema.properties:
            assert schema.properties[name]["enum"] == values


def test_the_main_flow_asks_for_the_mode() -> None:
    schema = parameter_schema(loaded("flows/avatar.py:generate_avatar"))
    assert schema.properties["mode"]["enum"] == ["std", "pro"]
    assert schema.required == ["image"]


def test_a_direct_call_takes_none_and_blank_for_what_is_optional() -> None:
    flow = loaded("flows/avatar.py:generate_avatar")
    given = flow.validate_parameters({"image": "a", "audio": None, "audio_id": "", "name": "n"})
    assert (given["audio"], given["audio_id"], given["name"]) == (None, None, "n")


def test_entrypoint_files_hold_functions_only() -> None:
    """Prefect loads them under another name, so a class defined there would be two classes."""
    for path in MODULES:
        nodes = ast.walk(ast.parse(path.read_text()))
        assert [node.name for node in nodes if isinstance(node, ast.ClassDef)] == [], path


def test_no_entrypoint_file_shadows_an_importable_name() -> None:
    """Prefect puts `flows/` in front of `sys.path`, and it stays there."""
    installed = set(importlib.metadata.packages_distributions()) - {"flows", "blocks"}
    assert {"prefect", "httpx", "av"} <= installed
    importable = installed | set(sys.stdlib_module_names) | set(sys.builtin_module_names)
    inside = {path.stem for path in (ROOT / "flows").iterdir() if path.stem != "__init__"} - {"__pycache__"}
    assert {"avatar", "reconcile", "decide"} <= inside
    assert inside & importable == set()
