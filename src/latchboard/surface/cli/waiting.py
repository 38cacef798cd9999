"""Waiting: a line on standard error while a store elsewhere does not answer; nothing is left of it.

Where a person looks at standard error alone: not with --json, not in a hook, not beside a command of the user's.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from shutil import get_terminal_size
from threading import Lock, Timer, get_ident

from latchboard.surface.cli.answer import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

AFTER_S = 0.7
"""So long nobody wonders."""
_ERASE = "\r\x1b[K"


class Waiting:
    """Attends the calls of the thread that makes it; what others ask in the background nobody waits for."""

    def __init__(self) -> None:
        """Nothing is drawn yet."""
        self._thread = get_ident()
        self._mutex = Lock()
        self._why = self._text = ""  # no text: nothing is drawn
        self._is_waiting = False

    @contextmanager
    def attending(self, endpoints: Sequence[str], limit_s: float) -> Iterator[None]:
        """While a call of the store is under way."""
        if get_ident() != self._thread or self._is_waiting:
            yield
            return
        timer = Timer(AFTER_S, self._show, (endpoints, limit_s))
        timer.daemon = True
        self._why, self._is_waiting = "nothing comes back", True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._mutex:
                self._is_waiting = False
                if self._text and _can_erase():
                    _put(_ERASE)
                self._text = ""

    def heard(self, why: str) -> None:
        """Why somebody did not answer."""
        if get_ident() != self._thread:
            return
        with self._mutex:
            before, self._why = self._why, why.rpartition("] ")[2]
            if self._text and self._why != before and _can_erase():
                self._draw()

    def _show(self, endpoints: Sequence[str], limit_s: float) -> None:
        """In the timer's thread."""
        hosts = ", ".join(endpoint.partition("://")[2] for endpoint in endpoints)
        with self._mutex:
            if self._is_waiting:
                self._text = f"trying for {limit_s:.0f} s: etcd does not answer at {hosts}"
                self._draw()

    def _draw(self) -> None:
        text = printable(f"{self._text} ({self._why})")
        _put(f"{_ERASE}{text[: max(0, get_terminal_size().columns - 1)]}" if _can_erase() else f"{text}\n")


def _can_erase() -> bool:
    return os.environ.get("TERM", "dumb") != "dumb"


def _put(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):  # the terminal is gone: what was asked for goes on
        return
