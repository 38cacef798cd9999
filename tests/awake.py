"""Awake: how long something took, without what this process had to stand still meanwhile.

A limit that is a promise is kept by a process that runs. A machine that is busy, or stops everybody for seconds, takes
that time from whoever measures as well: it is none of what was measured.
"""

from __future__ import annotations

import threading
from time import monotonic

_TICK_S = 0.02
_STOOD_S = 0.2
"""A tick that took longer: for the rest of it this process did not run."""


class Awake:
    """A watch that runs from its making to `close`; a context manager."""

    def __init__(self) -> None:
        self._counted_s = 0.0
        self._last_s = monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="awake", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(_TICK_S):
            now_s = monotonic()
            self._counted_s += min(now_s - self._last_s, _STOOD_S)
            self._last_s = now_s

    @property
    def s(self) -> float:
        """Since it began, seconds."""
        return self._counted_s + min(monotonic() - self._last_s, _STOOD_S)

    def close(self) -> None:
        """End it; what it says then is not to be asked for."""
        self._over.set()
        self._thread.join()

    def __enter__(self) -> Awake:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
