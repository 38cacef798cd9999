"""Interruption: signals that end a wait, taken note of at once and acted on where that is safe.

A handler that raises may meet any line of any code, be swallowed by the interpreter, or cut a commit from the word
that it happened. So ours only writes into a pipe; a clock that looks at this pipe ends the wait by raising where the
waiting is done, and nothing that was waited for stays behind.
"""

from __future__ import annotations

import os
import signal

from latchboard.clock import SystemClock
from latchboard.surface.cli.failure import Terminated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Any

    from latchboard.clock import HasFileno, Now

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """While it is entered, SIGINT, SIGTERM and SIGHUP are noted; a signal that is ignored (nohup) stays so.

    Attributes:
        number: The signal that came; 0: none.
        clock: The system's clock, whose waits end with the signal.
    """

    def __init__(self) -> None:
        self.number = 0
        self.clock = _Clock(self)
        self._reader = self._writer = -1
        self._before: dict[int, Any] = {}

    def fileno(self) -> int:
        """Readable once a signal came."""
        return self._reader

    def check(self) -> None:
        """Raise Terminated if a signal came: for whoever has just got what it waited for."""
        if self.number:
            raise Terminated(self.number)

    def _note(self, number: int, _frame: object) -> None:
        self.number = self.number or number
        try:
            os.write(self._writer, b"!")
        except OSError:  # full: it is readable already
            return

    def __enter__(self) -> Interruption:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        for number in _ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)
        self._reader = self._writer = -1


class _Clock:
    """The system's clocks; a signal ends a wait."""

    __slots__ = ("_clock", "_interruption")

    def __init__(self, interruption: Interruption) -> None:
        self._clock = SystemClock()
        self._interruption = interruption

    def now(self) -> Now:
        return self._clock.now()

    def wait(self, readables: Iterable[HasFileno], timeout_s: float | None) -> bool:
        """As `Clock.wait`. Raises Terminated when a signal came."""
        own = [self._interruption] if self._interruption.fileno() >= 0 else []
        is_readable = self._clock.wait([*readables, *own], timeout_s)
        self._interruption.check()
        return is_readable
