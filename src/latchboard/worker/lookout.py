"""Lookout: a worker's place in the stream of changes: wakes it, and shows it what became of its job.

Law. It is a hint: what it misses is found by the interval. Where it cannot look, everything counts as changed.

Protocol: protocol/worker.md, "Claiming".
"""

from __future__ import annotations

from latchboard.errors import CoordinationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from latchboard.clock import HasFileno
    from latchboard.settings import Settings
    from latchboard.store.port import Change, Store, Watch


class Lookout:
    """Changes of the store since the last look."""

    __slots__ = ("_settings", "_store", "_watch")

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._watch: Watch | None = None

    def readables(self) -> list[HasFileno]:
        """What becomes readable when there may be something to see."""
        return [self._watch] if self._watch is not None else []

    def look_s(self) -> float:
        """How long to wait at most before the next look, seconds."""
        if self._watch is None or self._watch.mode == "poll":
            return self._settings.watch_poll_s
        return self._settings.wait_poll_s  # a notification may be lost

    def catch_up(self) -> None:
        """Forget what happened so far."""
        self.seen(lambda _: True)

    def seen(self, matters: Callable[[Change], bool]) -> bool:
        """Whether something that matters happened since the last look, or cannot be excluded."""
        found = False
        try:
            if self._watch is None:
                self._watch = self._store.watch("", after=self._store.read("wide").revision)
                found = True
            while changes := self._watch.poll():
                found = any([matters(change) for change in changes]) or found  # noqa: C419 - each is to be seen
        except CoordinationError:  # Compacted, or trouble that whoever claims is told
            self.close()
            return True
        return found

    def close(self) -> None:
        """Free it; the next look begins anew."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
