"""A plan on the command line."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.tasks.manifest.results import shown_of
from flows.tasks.plan.plan import Plan, table

_LONGEST_LINE = 160
_STYLES = {"new": "bold", "invalid": "red", "error": "red", "needs decision": "yellow", "failed": "red"}


def print_plan(plan: Plan) -> None:
    """Print a plan as a table that people read, to the width of the terminal."""
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console.width = _LONGEST_LINE
    rows = table(plan.rows)
    shown = Table(*rows[0], box=None, header_style="bold", pad_edge=False)
    for row in rows:
        shown.add_row(*(escape(str(cell)) for cell in row.values()), style=_STYLES.get(row["state"]))
    console.print(shown)
    console.print(f"\n{escape(plan.summary)}.{shown_of(plan.rows)}", highlight=False)
    for remark in plan.remarks:
        console.print(escape(remark), style="dim", highlight=False)
