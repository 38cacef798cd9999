"""Stopping: signals that ask a process to end, counted; whoever works looks at the count where nothing is half-done."""

from __future__ import annotations

import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Protocol

    class Wakeup(Protocol):
        """One bit with a `fileno()`."""

        def fileno(self) -> int:
            """Readable when it was rung."""
            ...

        def ring(self) -> None:
            """Make it readable."""
            ...

        def clear(self) -> None:
            """Make it unreadable."""
            ...


_ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopping:
    """While it is entered, such signals are counted; one that is ignored (nohup) stays so.

    Attributes:
        count: How many came.
        why: The first one's name; "" before.
        wakeup: Readable after one came.
    """

    def __init__(self, wakeup: Wakeup) -> None:
        self.count = 0
        self.why = ""
        self.wakeup = wakeup
        self._before: dict[int, Any] = {}

    def _note(self, number: int, _frame: object) -> None:
        self.why = self.why or signal.Signals(number).name
        self.count += 1
        self.wakeup.ring()

    def __enter__(self) -> Stopping:
        for number in _ASKING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
