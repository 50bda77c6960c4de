"""One Prefect server for the whole session, started when the first test asks for it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest
from prefect.filesystems import LocalFileSystem
from prefect.settings import (
    PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
    PREFECT_DEFAULT_RESULT_STORAGE_BLOCK,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_LOCAL_STORAGE_PATH,
    PREFECT_LOGGING_TO_API_ENABLED,
    PREFECT_SERVER_ANALYTICS_ENABLED,
    get_current_settings,
    temporary_settings,
)


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run everything after it against a Prefect server with an empty database."""
    results = str(tmp_path_factory.mktemp("results"))
    settings = {
        PREFECT_LOCAL_STORAGE_PATH: results,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
        PREFECT_SERVER_ANALYTICS_ENABLED: False,
        PREFECT_LOGGING_TO_API_ENABLED: False,
        # The server is on plain http; otherwise each client reads all certificates first.
        PREFECT_API_TLS_INSECURE_SKIP_VERIFY: True,
    }
    # Imported late: it brings Prefect's whole server along, which most tests do without.
    harness = importlib.import_module("prefect.testing.utilities").prefect_test_harness
    with temporary_settings(settings), harness(server_startup_timeout=170):
        LocalFileSystem(basepath=results).save("results", overwrite=True)
        # Each time Prefect 3.8 asks its server where results go, it leaves a socket open.
        with temporary_settings({PREFECT_DEFAULT_RESULT_STORAGE_BLOCK: "local-file-system/results"}):
            yield


@pytest.fixture
def prefect_environment(prefect_api: None) -> dict[str, str]:
    """Return the variables with which a command of its own uses the same Prefect server."""
    return get_current_settings().to_environment_variables(exclude_unset=True)
