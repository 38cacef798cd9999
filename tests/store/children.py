"""Children: forked processes that run a function of a test and tell it what they have done, one JSON line at a time."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

PATIENCE_S = 60.0
"""How long a test waits for a child before it fails; a loaded machine takes its time."""


class Child:
    """A forked process. `tell` and `hear` talk to it.

    Attributes:
        pid: Its process id.
    """

    def __init__(self, run: Callable[[Child], object]) -> None:
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(ours_in)
            os.close(ours_out)
            self._in, self._out = theirs_in, theirs_out
            self._run(run)
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out = ours_in, ours_out
        self._is_over = False

    def _run(self, run: Callable[[Child], object]) -> None:
        status = 1
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.tell(run(self))
            status = 0
        finally:
            if status:
                traceback.print_exc()
                sys.stderr.flush()
            os._exit(status)

    def tell(self, what: object) -> None:
        """Send one line."""
        os.write(self._out, json.dumps(what).encode() + b"\n")

    def hear(self) -> Any:
        """The next line; fails when the other side is gone, or says nothing for long."""
        line = b""
        while not line.endswith(b"\n"):
            ready = select.poll()
            ready.register(self._in, select.POLLIN)
            assert ready.poll(PATIENCE_S * 1000), "a child said nothing for long"
            byte = os.read(self._in, 1)
            assert byte, "the other side is gone"
            line += byte
        return json.loads(line)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)
        if number == signal.SIGSTOP:
            os.waitpid(self.pid, os.WUNTRACED)

    def end(self) -> None:
        """Kill it if it still runs, and forget it."""
        if self._is_over:
            return
        self._is_over = True
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._in)
        os.close(self._out)
