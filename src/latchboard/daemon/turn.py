"""Turn: of all who want to start or stop a project's daemon, one is at it; the others wait, and then find it done.

A kernel lock on a file that is never unlinked: it is free as soon as its holder is gone, however that came about. A
daemon that was spawned meanwhile does not inherit it.

Protocol: protocol/health.md, "Starting".
"""

from __future__ import annotations

from contextlib import contextmanager

from latchboard.daemon.state import TURN
from latchboard.errors import DaemonBusy
from latchboard.host.kernel_lock import kernel_lock
from latchboard.host.lock_file import LockFile
from latchboard.host.registry import FOLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from latchboard.clock import Clock

WAIT_S_MAX = 45.0
"""Longer than a stop and a start take together in the worst case."""
_FIRST_PAUSE_S, _PAUSE_S_MAX = 0.002, 0.05


@contextmanager
def turn(
    root: str,
    clock: Clock,
    make_folder: Callable[[], None],
    *,
    name: str = TURN,
    what: str = "the daemon",
    wait_s_max: float = WAIT_S_MAX,
) -> Iterator[None]:
    """One's turn at the daemon of the project, for as long as the context lasts.

    Args:
        root: The project's folder, absolute.
        clock: For waiting.
        make_folder: Makes the registry where it is missing.
        name: Of the file, in the registry.
        what: What it is a turn at.
        wait_s_max: Longest wait, seconds.

    Raises:
        DaemonBusy: Somebody else is at it for longer than that.
        StoreError: The file cannot be used.
    """
    make_folder()
    path = f"{root}/{FOLDER}/{name}"
    deadline_s, pause_s = clock.now().mono_s + wait_s_max, _FIRST_PAUSE_S
    file = LockFile(path, kernel_lock())
    try:
        while not file.try_lock() or file.place() != "same":
            if file.is_locked:  # the registry was wiped meanwhile: all must meet on the file that is there now
                file.close()
                make_folder()
                file = LockFile(path, kernel_lock())
                continue
            left_s = deadline_s - clock.now().mono_s
            if left_s <= 0:
                raise DaemonBusy(
                    f"another process has been at {what} of {root} for more than {wait_s_max:g} s",
                    hint=f"find it with `fuser {path}`; if it is stopped, let it go on (kill -CONT) or end it",
                    waited_s=wait_s_max,
                    path=path,
                )
            clock.wait([], min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, _PAUSE_S_MAX)
        yield
    finally:
        file.close()
