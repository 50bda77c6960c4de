"""What is not JSON: web pages and redirects, as a gateway answers what it does not know."""

from __future__ import annotations

from starlette.responses import HTMLResponse, Response

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Gateway</title></head>
<body><div id="root">Please enable JavaScript.</div></body></html>
"""


def html_page(status: int) -> Response:
    """Return the page that stands for everything unknown."""
    return HTMLResponse(_PAGE, status_code=status)


def redirect(location: str) -> Response:
    """Return a 301."""
    return Response(status_code=301, headers={"Location": location})
