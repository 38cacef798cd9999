"""Ending: what is still to be written when a process ends, and what a forked child must not take for its own.

Whoever publishes nothing and shows no board, as a hook, has nothing of that and never loads this.
"""

from __future__ import annotations

import atexit
import os
from _weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.compose import Latchboard

_attended: set[ref[Latchboard]] = set()  # a WeakSet would load a module for as much


def attend(board: Latchboard) -> None:
    """See to this one at exit and after a fork, as long as it is there. Twice is as good as once."""
    _attended.add(ref(board, _attended.discard))


def _there() -> list[Latchboard]:
    return [board for one in list(_attended) if (board := one()) is not None]


def _publish_all() -> None:
    for board in _there():
        board.publish_last()


def _after_fork() -> None:
    """In a forked child: threads are the parent's, and so are the locks that they hold."""
    for board in _there():
        board.after_fork()


atexit.register(_publish_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
