"""Manual clock: time that moves only when a test says so."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from latchboard.clock import Now

if TYPE_CHECKING:
    from collections.abc import Iterable

    from latchboard.clock import HasFileno


class ManualClock:
    """A `Clock` for tests. Safe for threads; never sleeps.

    Args:
        wall_s: First wall time, unix seconds.
        mono_s: First monotonic time, seconds.
        boot: First boot id.
    """

    def __init__(self, wall_s: float = 1_795_225_200.0, mono_s: float = 1000.0, boot: str = "fake-boot-1") -> None:
        self._lock = threading.Lock()
        self._now = Now(wall_s, mono_s, boot)
        self._boot_count = 1

    def now(self) -> Now:
        """The time as it was set."""
        with self._lock:
            return self._now

    def wait(self, readables: Iterable[HasFileno], timeout_s: float | None) -> bool:
        """Look once; when nothing is readable, move on by `timeout_s` seconds and return False.

        Raises:
            AssertionError: Nothing is readable and there is no timeout: a real clock would wait for ever.
        """
        import select

        poll = select.poll()
        for readable in readables:
            poll.register(readable.fileno(), select.POLLIN)
        if poll.poll(0):
            return True
        if timeout_s is None:
            raise AssertionError("waiting without a timeout for something that is not readable")
        self.advance(max(0.0, timeout_s))
        return False

    def advance(self, s: float) -> None:
        """Let `s` seconds pass on both clocks."""
        if s < 0:
            raise ValueError("time does not run backwards; use jump_wall for a clock that is set")
        with self._lock:
            self._now = Now(self._now.wall_s + s, self._now.mono_s + s, self._now.boot)

    def jump_wall(self, s: float) -> None:
        """Set the wall clock `s` seconds forward (or back); the monotonic clock does not notice."""
        with self._lock:
            self._now = Now(self._now.wall_s + s, self._now.mono_s, self._now.boot)

    def suspend(self, s: float) -> None:
        """Let the machine sleep for `s` seconds: the wall clock moves on, the monotonic clock stands still."""
        self.jump_wall(s)

    def reboot(self, off_s: float = 60.0) -> None:
        """Restart the machine: the wall clock moves on by `off_s` seconds, monotonic time and boot id are new."""
        with self._lock:
            self._boot_count += 1
            self._now = Now(self._now.wall_s + off_s, 0.0, f"fake-boot-{self._boot_count}")
