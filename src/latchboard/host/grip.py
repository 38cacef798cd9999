"""Grip: a hold on one process, for signals that must not meet another one.

By pidfd where the kernel has it: the descriptor is on the process that had the pid when it was opened, whoever has the
pid later. Elsewhere by pid, to be judged right before each signal.

Protocol: protocol/daemon.md, "Ending a process".
"""

from __future__ import annotations

import os
import signal as signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from latchboard.host.port import Watchable

_NUMBERS = {"TERM": signals.SIGTERM, "KILL": getattr(signals, "SIGKILL", signals.SIGTERM)}


class SystemGrip:
    """A hold on the process that has this pid now.

    Args:
        pid: Of the process, in this namespace.
        pidfd: On it; None where there is no such thing.
        is_there: Whether the pid still belongs to it; asked before each signal where there is no pidfd.
    """

    __slots__ = ("_is_there", "_pid", "_pidfd")

    def __init__(self, pid: int, pidfd: Watchable | None, is_there: Callable[[], bool]) -> None:
        self._pid = pid
        self._pidfd = pidfd
        self._is_there = is_there

    def readables(self) -> list[Watchable]:
        return [] if self._pidfd is None else [self._pidfd]

    def send(self, signal: Literal["TERM", "KILL"]) -> str:
        try:
            if self._pidfd is not None:
                signals.pidfd_send_signal(self._pidfd.fileno(), _NUMBERS[signal])
            elif not self._is_there():
                return "dead"
            else:
                os.kill(self._pid, _NUMBERS[signal])
        except ProcessLookupError:
            return "dead"
        except PermissionError:
            return "not-permitted"
        return ""

    def reap(self) -> None:
        try:
            os.waitpid(self._pid, os.WNOHANG)
        except ChildProcessError:
            return  # somebody else's child: its parent, or init, does it

    def close(self) -> None:
        if self._pidfd is not None:
            self._pidfd.close()
