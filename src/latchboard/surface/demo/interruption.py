"""Interruption: SIGINT, SIGTERM and SIGHUP end the demo, each as KeyboardInterrupt with the signal's number.

Law 1. The first one is the last: nothing interrupts the tidying.
Law 2. None comes between the start of a process and the note that it must be ended.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_pending: list[int] | None = None  # of this process, as its signal handlers are; a list while they are postponed


@contextmanager
def interruptible() -> Generator[None, None, None]:
    """Within it the three signals raise KeyboardInterrupt; afterwards they are handled as before."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's business
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup, or a shell's background job: whoever started it wants it so
            signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def postponed() -> Generator[None, None, None]:
    """What comes within it is raised at its end."""
    global _pending
    came: list[int] = []
    _pending = came
    try:
        yield
    finally:
        _pending = None
    if came:
        raise KeyboardInterrupt(came[0])


def ignore_signals() -> None:
    """From here on nothing interrupts."""
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    ignore_signals()
    if _pending is not None:
        _pending.append(number)
    else:
        raise KeyboardInterrupt(number)
