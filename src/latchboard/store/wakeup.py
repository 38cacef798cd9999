"""Wakeup: a pipe that is readable from `ring` until `clear`. Any thread may ring, also one that comes too late."""

from __future__ import annotations

import os
from _thread import RLock


class Wakeup:
    """One bit with a `fileno()`. Ringing it twice is ringing it once."""

    __slots__ = ("_lock", "_reader", "_writer")

    def __init__(self) -> None:
        """Raises OSError when there is no file handle left."""
        self._lock = RLock()
        self._reader = self._writer = -1
        self._open()

    def _open(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def after_fork(self) -> None:
        """In a forked child: a pipe of its own, for the other one is the parent's too."""
        self._lock = RLock()
        if self._reader >= 0:
            self.close()
            self._open()

    def fileno(self) -> int:
        """Readable when rung; -1 after `close`."""
        return self._reader

    def ring(self) -> None:
        """Make it readable."""
        with self._lock:  # else a closed descriptor's number may already be somebody else's file
            if self._writer >= 0:
                try:
                    os.write(self._writer, b"!")
                except BlockingIOError:
                    return  # full of rings: readable anyway

    def clear(self) -> None:
        """Make it unreadable until the next ring."""
        try:
            while self._reader >= 0 and len(os.read(self._reader, 4096)) == 4096:
                continue
        except BlockingIOError:
            return

    def __del__(self) -> None:
        """One that was forgotten keeps no descriptors."""
        self.close()

    def close(self) -> None:
        """Free both ends; ringing is harmless afterwards."""
        with self._lock:
            reader, self._reader = self._reader, -1
            writer, self._writer = self._writer, -1
        if reader >= 0:
            os.close(reader)
            os.close(writer)
