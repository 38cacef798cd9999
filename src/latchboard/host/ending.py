"""Ending: what is to be done when this process ends, as far as it can know: at exit, on an error, by a signal.

Law 1. An action runs in the process that asked for it, never in a forked child.
Law 2. A signal still ends the process, and its parent sees which: the action comes first, then the signal's default.
Law 3. Who has a handler of his own keeps it; his process then ends by `exit`, or does not end.

Guarantees nothing for SIGKILL, `os._exit` or a lost machine: whatever depends on it must be safe without it. A signal
that comes in the moment before a call that blocks is acted on when that call returns, or at the next signal: no handler
of Python's does better. Number 1 of a pid namespace is not ended by signals without a handler, so nothing is installed
there.
"""

from __future__ import annotations

import _thread
import atexit
import os
import signal
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NAMES = ("SIGTERM", "SIGHUP", "SIGINT")
"""SIGINT raises KeyboardInterrupt where Python handles it, and the process then ends by `exit`."""


class _State:
    """Of this process."""

    actions: dict[int, Callable[[], object]] = {}
    put_off: dict[int, int] = {}
    pending: dict[int, int] = {}
    is_registered = False


def at_end(action: Callable[[], object]) -> int:
    """Call `action` when this process ends; the answer is for `never_mind`."""
    if not _State.is_registered:
        atexit.register(_run)
        _State.is_registered = True
    _install()
    number = max(_State.actions, default=0) + 1
    _State.actions[number] = action
    return number


def never_mind(number: int) -> None:
    """The action is no longer wanted."""
    _State.actions.pop(number, None)


@contextmanager
def put_off() -> Iterator[None]:
    """In this thread, a signal that ends the process is acted on at the end of the context: nothing is half-done."""
    me = _thread.get_ident()
    _State.put_off[me] = _State.put_off.get(me, 0) + 1
    try:
        yield
    finally:
        _State.put_off[me] -= 1
        if not _State.put_off[me]:
            del _State.put_off[me]
            if me in _State.pending:
                _end(_State.pending.pop(me))


def _install() -> None:
    """Take the place of those handlers that end the process at once."""
    if os.getpid() == 1:
        return
    for name in _NAMES:
        number = getattr(signal, name, None)
        if number is None or signal.getsignal(number) is not signal.SIG_DFL:
            continue
        try:
            signal.signal(number, _on_signal)
        except ValueError:  # not the main thread: only that one may
            return


def _on_signal(number: int, _frame: object) -> None:
    me = _thread.get_ident()
    if me in _State.put_off:
        _State.pending[me] = number
    else:
        _end(number)


def _end(number: int) -> None:
    try:
        _run()
    finally:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _run() -> None:
    """Every action, once; the last asked for comes first."""
    while _State.actions:
        _State.actions.popitem()[1]()


def _forget() -> None:
    """In a forked child: nothing was asked for here, and no other thread is left that put anything off."""
    _State.actions = {}
    _State.pending = {}
    me = _thread.get_ident()
    _State.put_off = {thread: count for thread, count in _State.put_off.items() if thread == me}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
