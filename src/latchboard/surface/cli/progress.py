"""Progress: a bar on standard error while something long goes on, where a person looks at it; nothing is left of it."""

from __future__ import annotations

import os
import sys
from shutil import get_terminal_size

from latchboard.surface.cli.answer import is_watched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from latchboard.surface.cli.call import Call

_CELLS = 30


class Progress:
    """One bar; a context manager. Called with how much of how much is done."""

    def __init__(self, call: Call, what: str) -> None:
        """Nothing is drawn yet.

        Args:
            call: The run; it is ended between two steps when a signal came.
            what: Words in front of the bar.
        """
        self._check: Callable[[], None] = call.check_signals
        self._what = what
        self._is_drawn = False
        self._draws = is_watched() and not call.as_json and os.environ.get("TERM", "dumb") != "dumb"

    def __enter__(self) -> Progress:
        return self

    def __call__(self, done: int, of: int) -> None:
        """So much is done."""
        if self._draws:
            said = f"{done:,} of {of:,}"
            cells = min(_CELLS, max(0, get_terminal_size().columns - len(f"{self._what} [] {said}") - 1))
            filled = cells * done // max(of, 1)
            bar = "#" * filled + "-" * (cells - filled)
            self._put(f"\r\x1b[K{self._what} [{bar}] {said}")  # of what does not fit on a line some would be left
            self._is_drawn = True
        self._check()

    def __exit__(self, *_: object) -> None:
        if self._is_drawn:
            self._put("\r\x1b[K")

    def _put(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):  # the terminal is gone: what was asked for goes on
            self._draws = self._is_drawn = False
