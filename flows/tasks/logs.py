"""Where the tasks log: on the page of the run they belong to, or plainly when there is none."""

from __future__ import annotations

from logging import Logger, LoggerAdapter

from prefect import get_run_logger
from prefect.exceptions import MissingContextError
from prefect.logging import get_logger


def run_logger() -> Logger | LoggerAdapter[Logger]:
    """Return the logger of the current run, or the project's own outside of any run."""
    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("kling-avatar")
