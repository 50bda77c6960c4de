"""The measuring process as seen from the process that asks: started when needed, restarted when dead."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence

from blocks.errors import SetupMissing
from blocks.media.launch import command, environment

NOT_STARTED = "Look for its traceback in the worker's output, and check that PyAV and Pillow are installed."
_SENDS = 3


class MeasuringProcess:
    """The one measuring process of this process, shared by all its threads and event loops.

    It ends with this process, however that ends. After a fork of this process the fork starts its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._running: subprocess.Popen[bytes] | None = None
        atexit.register(self.stop)
        if sys.platform != "win32":
            os.register_at_fork(after_in_child=self._forget)

    @property
    def pid(self) -> int | None:
        """Its process id, where one was started."""
        return self._running.pid if self._running else None

    def send(self, request: bytes, descriptors: Sequence[int]) -> int | None:
        """Hand a request and its descriptors over, starting the process when there is none.

        Returns:
            The id of the process that got them.

        Raises:
            SetupMissing: It does not start.
        """
        with self._lock:
            for _ in range(_SENDS):
                try:
                    socket.send_fds(self._control or self._start(), [request], descriptors)
                except OSError:
                    self._end()
                else:
                    return self.pid
        raise SetupMissing("The process that measures media files does not start.", next_step=NOT_STARTED)

    def stop(self, pid: int | None = None) -> None:
        """End the process, or only the one with this id; the next request starts another."""
        with self._lock:
            if pid in (None, self.pid):
                self._end()

    def _start(self) -> socket.socket:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._running = subprocess.Popen(  # noqa: S603 - our own interpreter and file
                command("blocks.media.child.server"),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=environment(),
            )
        return self._control

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._running is not None:
            self._running.kill()
            self._running.wait()
        self._control = self._running = None

    def _forget(self) -> None:
        self._lock = threading.Lock()
        if self._control is not None:
            self._control.close()
        if self._running is not None:
            # It is not this process's child, so nobody here may wait for it.
            self._running.returncode = 0
        self._control = self._running = None
