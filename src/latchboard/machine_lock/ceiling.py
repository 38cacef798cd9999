"""Ceiling: one thread per process that frees machine locks which are held for too long.

It sleeps until the first hold that it knows of can be spent, and so is woken a few times a minute at most, however
many locks are taken meanwhile. A process that stands still (SIGSTOP, a sleeping laptop) frees nothing, and is not at
work either.

Protocol: protocol/machine_lock.md, "The hold ceiling".
"""

from __future__ import annotations

import threading

from latchboard.errors import CoordinationError, HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.clock import Clock
    from latchboard.machine_lock.hold import MachineHold

_LATE_PAUSE_S = 0.01  # after this, a hold that is spent but in use is looked at again


class Ceiling:
    """Frees what is held for too long."""

    __slots__ = ("_changed", "_clock", "_guard", "_holds", "_thread", "_wake_s")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.forget_all()

    def forget_all(self) -> None:
        """In a forked child: the holds, the thread and whatever it had locked are the parent's."""
        # Not taken by way of the condition, whose `__enter__` is Python: an interrupt in it would leave it taken.
        self._guard = threading.RLock()
        self._changed = threading.Condition(self._guard)
        self._holds: dict[int, MachineHold] = {}
        self._thread: threading.Thread | None = None
        self._wake_s = float("inf")

    def watch(self, hold: MachineHold) -> None:
        """Free it half a second after its ceiling, unless it is given back before.

        Raises:
            HostError: There can be no thread for it: the ceiling cannot be kept, so the lock must not be held.
        """
        due_s = self._clock.now().mono_s + hold.spare_s
        with self._guard:
            if self._thread is None or not self._thread.is_alive():
                self._thread = self._start()
            self._holds[id(hold)] = hold
            if due_s < self._wake_s:
                self._changed.notify()  # first: were an interrupt to come between the two, nobody would call again
                self._wake_s = due_s

    def forget(self, hold: MachineHold) -> None:
        """It was given back."""
        with self._guard:
            self._holds.pop(id(hold), None)

    def sweep(self) -> float:
        """Free what is spent. Returns the seconds until there can be more to do, infinite when nothing is held."""
        with self._guard:
            holds = list(self._holds.values())
        ended = [hold for hold in holds if _free(hold)]
        with self._guard:
            for hold in ended:
                self._holds.pop(id(hold), None)
            pause_s = min((max(hold.spare_s, _LATE_PAUSE_S) for hold in self._holds.values()), default=float("inf"))
            self._wake_s = self._clock.now().mono_s + pause_s
        return pause_s

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="latchboard-ceiling", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:
            raise HostError(
                f"no thread can be started to keep the hold ceiling: {exc}",
                hint="take machine locks before the interpreter ends, or raise the limit of threads (ulimit -u)",
            ) from exc
        return thread

    def _run(self) -> None:
        while True:
            self.sweep()
            with self._guard:  # what came since the sweep has made `_wake_s` earlier, if it must be
                pause_s = self._wake_s - self._clock.now().mono_s
                if pause_s > 0:
                    self._changed.wait(None if pause_s == float("inf") else pause_s)


def _free(hold: MachineHold) -> bool:
    try:
        return hold.free_if_spent()
    except (CoordinationError, OSError):
        return True  # the record could not be cleared; the lock is free, and that is all that counts here
