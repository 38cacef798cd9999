"""Notify: one observer per process tells every watch that the guard's header was written.

The journal's folder is watched, not its files: they come and go. While it is not there, the nearest folder above it is
watched, so that whoever waits for a store's first commit is told too. Of what happens in the journal's folder only a
write to `guard` counts: it comes after the append, and nothing before it may be read.

This is the one module that imports watchdog, and only when the first watch is opened. Where the system gives no
notification (limits, no library, no native observer), `subscribe` says why; nothing else in the store depends on it.
"""

from __future__ import annotations

import os
from _thread import RLock

from latchboard.store.files import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.store.wakeup import Wakeup

_GUARD_NAME = os.path.basename(layout.GUARD)
_TRIES = 10


class _Place:
    """A folder that is observed, and whom to wake."""

    __slots__ = ("identity", "path", "scheduled", "wakeups")

    def __init__(self, path: str, identity: tuple[int, int]) -> None:
        self.path = path
        self.identity = identity
        self.scheduled: Any = None
        self.wakeups: tuple[Wakeup, ...] = ()  # replaced, never changed: the observer's thread reads it without a lock

    def dispatch(self, event: Any) -> None:
        """Called by the observer's thread."""
        if (
            event.event_type == "modified"
            and not event.is_directory
            and os.path.basename(event.src_path) != _GUARD_NAME
        ):
            return
        for wakeup in self.wakeups:
            wakeup.ring()


class _Hub:
    """The observer and its places; the observer runs while there is a place."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.observer: Any = None
        self.places: dict[str, _Place] = {}
        self.refused: dict[Wakeup, tuple[tuple[str, int, int], str]] = {}  # where it was refused, and why

    def subscribe(self, wakeup: Wakeup, folder: str) -> str:
        if self.observer is not None and not self.observer.is_alive():
            self._start_again()
        for _ in range(_TRIES):
            path, identity = _nearest(folder)
            place = self.places.get(path)
            if place is not None and place.identity == identity and wakeup in place.wakeups:
                return ""
            refused = self.refused.get(wakeup)
            if refused is not None and refused[0] == (path, *identity):
                return refused[1]
            self.unsubscribe(wakeup)
            try:
                self._add(wakeup, path, identity)
            except FileNotFoundError:
                continue  # gone meanwhile: look again
            except (OSError, RuntimeError, ImportError) as exc:
                reason = f"{folder} is polled: {exc}"
                self.refused[wakeup] = ((path, *identity), reason)
                return reason
        return f"{folder} is polled: it comes and goes"

    def _add(self, wakeup: Wakeup, path: str, identity: tuple[int, int]) -> None:
        place = self.places.get(path)
        if place is None or place.identity != identity:
            woken = () if place is None else place.wakeups
            if place is not None:
                self._remove(place)
            place = _Place(path, identity)
            self._schedule(place)
            place.wakeups = woken
            for other in woken:
                other.ring()
            self.places[path] = place
        place.wakeups = (*place.wakeups, wakeup)

    def _schedule(self, place: _Place) -> None:
        from watchdog.events import DirCreatedEvent, DirDeletedEvent, DirMovedEvent, FileDeletedEvent, FileModifiedEvent
        from watchdog.observers import Observer

        _quieten()
        try:
            if self.observer is None:
                observer = Observer()
                if type(observer).__name__ == "PollingObserver":
                    raise RuntimeError("this system has no notification of its own")
                observer.start()
                self.observer = observer
            # A folder is not told of its own end while a file is open that was in it: hence the end of files too.
            wanted = [DirCreatedEvent, DirDeletedEvent, DirMovedEvent, FileDeletedEvent, FileModifiedEvent]
            place.scheduled = self.observer.schedule(place, place.path, recursive=False, event_filter=wanted)
        finally:
            self._rest()

    def unsubscribe(self, wakeup: Wakeup) -> None:
        self.refused = {w: why for w, why in self.refused.items() if w is not wakeup and w.fileno() >= 0}
        for place in list(self.places.values()):
            place.wakeups = tuple(w for w in place.wakeups if w is not wakeup and w.fileno() >= 0)
            if not place.wakeups:
                self._remove(place)
        self._rest()

    def _remove(self, place: _Place) -> None:
        del self.places[place.path]
        if self.observer.is_alive():
            self.observer.unschedule(place.scheduled)

    def _start_again(self) -> None:
        """The observer died: let everybody subscribe anew."""
        places, self.places, self.observer = self.places, {}, None
        for place in places.values():
            for wakeup in place.wakeups:
                wakeup.ring()

    def _rest(self) -> None:
        """Stop the threads when nothing is observed."""
        observer = self.observer
        if observer is not None and not self.places and not observer.emitters:
            self.observer = None
            observer.stop()
            observer.join()


_hub = _Hub()


def subscribe(wakeup: Wakeup, folder: str) -> str:
    """Ring `wakeup` after commits to the store in `folder`; call again before each read, for folders come and go.

    Returns:
        Why there is no notification; empty when there is.
    """
    with _hub.lock:
        return _hub.subscribe(wakeup, folder)


def unsubscribe(wakeup: Wakeup) -> None:
    """Ring it no more; the last one ends the observer's threads."""
    with _hub.lock:
        _hub.unsubscribe(wakeup)


def _quieten() -> None:
    """Keep a false alarm off the terminal: watchdog logs as an error that a folder is no longer observed."""
    import logging

    log = logging.getLogger("watchdog.observers.inotify")
    if _is_alarm not in log.filters:
        log.addFilter(_is_alarm)


def _is_alarm(record: Any) -> bool:
    return "called when the thread is inactive" not in record.getMessage()


def _nearest(folder: str) -> tuple[str, tuple[int, int]]:
    """The journal's folder, or the nearest one above it that is there."""
    path = f"{folder}/{layout.JOURNAL_FOLDER}"
    while True:
        try:
            status = os.stat(path)
            return path, (status.st_dev, status.st_ino)
        except OSError:
            if path == "/":
                raise
            path = os.path.dirname(path)


def _after_fork() -> None:
    """In a forked child: the threads of the parent's observer are not here."""
    global _hub
    _hub = _Hub()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
