"""Driver: the terminal itself, as textual drives it, with what it leaves open.

It writes to standard output, so that `2>log` does what it says; asks the terminal for its size, not COLUMNS, which a
shell may have exported before the window changed; and a terminal that goes away ends the board instead of a thread.
"""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING

from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from typing import Any, TextIO

    from textual.app import App


class Terminal(LinuxDriver):
    """The terminal on standard output."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        stream = sys.__stdout__
        assert stream is not None  # `is_there` has looked
        self._file: Any = _Out(stream)

    @property
    def is_gone(self) -> bool:
        """Whether the terminal went away: then its end is read again and again, and nothing says so by itself."""
        if self._file.is_gone:
            return True
        look = select.poll()
        look.register(self.fileno, 0)
        try:
            return any(happened & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, happened in look.poll(0))
        except OSError:
            return True

    def _get_terminal_size(self) -> tuple[int, int]:
        try:
            columns, lines = os.get_terminal_size(self._file.fileno())
        except OSError:
            return 80, 25
        return columns or 80, lines or 25


class _Out:
    """Standard output: what its encoding lacks is a question mark, and what nobody takes any more is nobody's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._encoding = stream.encoding or "utf-8"
        self.is_gone = False

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> None:
        if self.is_gone:
            return
        try:
            self._stream.buffer.write(text.encode(self._encoding, "replace"))
        except (OSError, ValueError):
            self.is_gone = True

    def flush(self) -> None:
        if self.is_gone:
            return
        try:
            self._stream.buffer.flush()
        except (OSError, ValueError):
            self.is_gone = True


def why_not() -> str:
    """Why nothing can be drawn here; empty: it can."""
    for stream, name in ((sys.__stdin__, "standard input"), (sys.__stdout__, "standard output")):
        try:
            is_terminal = stream is not None and stream.isatty()
        except ValueError:  # closed
            is_terminal = False
        if not is_terminal:
            return f"{name} is no terminal"
    if os.environ.get("TERM", "") in ("", "dumb"):
        return "the terminal cannot place its cursor (TERM is dumb or not set)"
    return ""
