"""Ports: what a worker needs of the machine, and how it waits for all of it at once."""

from __future__ import annotations

from latchboard.errors import CoordinationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Protocol

    from latchboard.clock import Clock, HasFileno

    class Wakeup(Protocol):
        """One bit with a `fileno()`."""

        def fileno(self) -> int:
            """Readable from `ring` to `clear`."""
            ...

        def ring(self) -> None:
            """Make it readable."""
            ...

        def clear(self) -> None:
            """Make it unreadable."""
            ...

        def close(self) -> None:
            """Free it; ringing is harmless afterwards."""
            ...

    class Asked(Protocol):
        """What becomes readable when a signal asks for an end."""

        def fileno(self) -> int:
            """Its descriptor."""
            ...

        def clear(self) -> None:
            """Make it unreadable."""
            ...

    class Command(Protocol):
        """A command that runs, with everything that it starts."""

        exit_code: int | None
        signal: int | None
        output_bytes: int

        @property
        def output(self) -> bytes:
            """The end of what it wrote."""
            ...

        def readables(self) -> Sequence[HasFileno]:
            """What becomes readable when `look` may see more."""
            ...

        def look(self) -> bool:
            """Take what it wrote; whether all of it has ended. Raises CommandNotFound, CommandNotRunnable."""
            ...

        def end(self) -> None:
            """TERM, and KILL after the grace; returns at once."""
            ...

        def end_now(self) -> None:
            """KILL; returns at once."""
            ...

        def end_keeper(self) -> None:
            """The last resort."""
            ...

    class Log(Protocol):
        """Where changes of state are told."""

        def say(self, event: str, **facts: object) -> None:
            """A line. Never raises."""
            ...

    class Manager(Protocol):
        """Whoever looks after this process."""

        watchdog_s: float | None

        def tell(self, *lines: str) -> None:
            """Lines of sd_notify(3). Never raises."""
            ...

    class Stop(Protocol):
        """Signals that ask for an end."""

        count: int
        why: str

        @property
        def wakeup(self) -> Asked:
            """Readable after one came."""
            ...

    Start = Callable[[Mapping[str, str], bytes], Command]
    """Starts the role's command with this environment and standard input. Raises StoreError."""


class Ports:
    """The machine, as a worker sees it.

    Attributes:
        clock: Time, and waiting.
        log: Where changes of state are told.
        manager: Whoever looks after this process.
        stop: Whether it was asked to end.
        start: Starts the role's command.
        make_wakeup: A new wakeup.
        environment: What the command inherits.
        show: Puts on the board what the worker does, and with which files.
        is_seated: Whether this process still has its name.
        is_home: Whether the project is still where it was: who writes to a store that is gone would begin a new one.
        before_claim: What else may fill the queue has its turn here: the queue file that people edit.
    """

    __slots__ = (
        "_told_s",
        "before_claim",
        "clock",
        "environment",
        "is_home",
        "is_seated",
        "log",
        "make_wakeup",
        "manager",
        "show",
        "start",
        "stop",
    )

    def __init__(  # noqa: PLR0913 - all by keyword, made once
        self,
        *,
        clock: Clock,
        log: Log,
        manager: Manager,
        stop: Stop,
        start: Start,
        make_wakeup: Callable[[], Wakeup],
        environment: Mapping[str, str],
        show: Callable[[str, Sequence[str]], object],
        before_claim: Callable[[], object] = lambda: None,
        is_seated: Callable[[], bool] = lambda: True,
        is_home: Callable[[], bool] = lambda: True,
    ) -> None:
        self.clock = clock
        self.log = log
        self.manager = manager
        self.stop = stop
        self.start = start
        self.make_wakeup = make_wakeup
        self.environment = environment
        self.show = show
        self.before_claim = before_claim
        self.is_seated = is_seated
        self.is_home = is_home
        self._told_s = clock.now().mono_s

    def mono_s(self) -> float:
        """Monotonic time, seconds."""
        return self.clock.now().mono_s

    def wait(self, readables: Iterable[HasFileno], until_s: float) -> None:
        """Wait until something is readable, a signal asks for an end, or it is `until_s`; the manager sees us alive."""
        for_s = until_s - self.mono_s()
        watchdog_s = self.manager.watchdog_s
        if watchdog_s is not None:
            if self.mono_s() - self._told_s >= watchdog_s / 2:
                self.manager.tell("WATCHDOG=1")
                self._told_s = self.mono_s()
            for_s = min(for_s, watchdog_s / 2)
        self.clock.wait([*readables, self.stop.wakeup], max(0.0, for_s))
        self.stop.wakeup.clear()

    def say_state(self, text: str, files: Sequence[str] = ()) -> None:
        """Tell manager and board what the worker does; that they cannot be told keeps nobody from work."""
        self.manager.tell(f"STATUS={text}")
        try:
            if self.is_home():
                self.show(text, files)
        except CoordinationError:  # the store's trouble is told where it is in the way
            return
