"""The measuring process: imports the decoders once, then forks for each file and limits the fork.

Standard input is the control socket. Each request on it comes with two descriptors: the file, and a socket
for the answer. The process ends when the control socket's other end is gone, or after a while without work.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from contextlib import suppress
from typing import BinaryIO, NoReturn

from blocks.media.child.confinement import confine
from blocks.media.child.warming import warm_up
from blocks.media.wire import REQUEST_BYTES, Budget, Kind, answer, reason_of_death, refusal, unpack

IDLE_SECONDS = 60.0


class Measurement:
    """A fork that measures one file.

    Args:
        pid: Its process id.
        reply: Where its answer goes.
    """

    def __init__(self, pid: int, reply: socket.socket) -> None:
        self.pid = pid
        self.reply = reply

    def kill(self) -> None:
        """End it."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def refuse(self, status: int) -> None:
        """Answer in place of a fork that died."""
        reason = reason_of_death(os.waitstatus_to_exitcode(status))
        with suppress(OSError):
            self.reply.sendall(refusal(reason))


class _Server:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._selector = selectors.DefaultSelector()
        self._running: dict[int, Measurement] = {}
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)

    def run(self) -> None:
        """Serve until nobody is left to serve."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        while self._serve():
            self._reap()
        for measurement in self._running.values():
            measurement.kill()

    def _serve(self) -> bool:
        ready = self._selector.select(None if self._running else IDLE_SECONDS)
        for key, _ in ready:
            if key.fileobj is self._control:
                if not self._accept():
                    return False
            elif key.fileobj is self._woken:
                self._woken.recv(4096)
            else:
                # The asker is gone: its end of the answer's socket was closed.
                key.data.kill()
                self._selector.unregister(key.fileobj)
        return bool(ready)

    def _accept(self) -> bool:
        request, descriptors, _, _ = socket.recv_fds(self._control, REQUEST_BYTES, 2)
        if len(request) < REQUEST_BYTES or len(descriptors) < 2:
            return False
        kind, budget = unpack(request)
        file, reply = os.fdopen(descriptors[0], "rb"), socket.socket(fileno=descriptors[1])
        pid = os.fork()
        if pid == 0:
            self._measure(kind, budget, file, reply)
        file.close()
        self._running[pid] = Measurement(pid, reply)
        self._selector.register(reply, selectors.EVENT_READ, self._running[pid])
        return True

    def _measure(self, kind: Kind, budget: Budget, file: BinaryIO, reply: socket.socket) -> NoReturn:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            self._selector.close()
            others = (measurement.reply for measurement in self._running.values())
            for held in (self._control, self._woken, self._wake, *others):
                held.close()
            confine(budget)
            reply.sendall(answer(kind, file))
            status = 0
        finally:
            # Nothing of the server's may run in its fork.
            os._exit(status)

    def _reap(self) -> None:
        for pid in list(self._running):
            done, status = os.waitpid(pid, os.WNOHANG)
            if not done:
                continue
            measurement = self._running.pop(pid)
            if status:
                measurement.refuse(status)
            with suppress(KeyError):
                self._selector.unregister(measurement.reply)
            measurement.reply.close()


def main(_argument: str) -> None:
    """Try the decoders, then serve."""
    # What a decoder prints about a hostile file belongs to nobody's log.
    silent = os.open(os.devnull, os.O_RDWR)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    warm_up()
    _Server(socket.socket(fileno=0)).run()
