"""A delivery host in a process of its own: serves the files of a folder, straight from the kernel.

Usage: `python -m tests.bench.archive.host FOLDER`. Prints its port.
"""

from __future__ import annotations

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder = Path()

    def do_GET(self) -> None:  # the name that http.server looks for
        with (self.folder / self.path.lstrip("/")).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self.send_response(200)
            self.send_header("Content-Type", "video/mp4")
            self.send_header("Content-Length", str(size))
            self.send_header("ETag", f'"{size}"')
            self.send_header("Accept-Ranges", "bytes")
            self.end_headers()
            self.connection.sendfile(file)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


def main(folder: str) -> None:
    """Serve until killed."""
    _Handler.folder = Path(folder)
    with _Server(("127.0.0.1", 0), _Handler) as server:
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
