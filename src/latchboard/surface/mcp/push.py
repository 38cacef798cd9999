"""Push: what other processes commit, told to whoever subscribed, as soon as the store's watch says so.

A thread waits on the watch's descriptor and on one that ends it; where the system does not notify it looks every
`settings.watch_poll_s`. What it tells is which resources may have changed; that they did is for the reader to see.

Protocol: protocol/mcp.md, "Resources".
"""

from __future__ import annotations

import socket
import threading

from latchboard.errors import Compacted, CoordinationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from latchboard.compose import Latchboard
    from latchboard.store.port import Watch

BOARD = "latchboard://board"
HISTORY = "latchboard://history"

_SHOWN = {
    "agents/": (BOARD,),
    "leases/": (BOARD,),
    "locks/": (BOARD, HISTORY),
    "waiters/": (BOARD, HISTORY),
    "log/": (BOARD, HISTORY),
}
_RETRY_S = 1.0


def concerned(keys: Iterable[str]) -> set[str]:
    """The resources in which a change of these records shows."""
    return {uri for key in keys for prefix, uris in _SHOWN.items() if key.startswith(prefix) for uri in uris}


class Push:
    """A thread that tells which resources changed, from the moment it is made."""

    def __init__(self, board: Latchboard, tell: Callable[[set[str]], None]) -> None:
        """Begin.

        Args:
            board: The project.
            tell: Takes the resources; called in the thread.

        Raises:
            StoreError: The store cannot be watched.
        """
        self._board = board
        self._tell = tell
        self._told, self._ending = socket.socketpair()
        watch = self._watch()
        self._thread = threading.Thread(target=self._run, args=(watch,), name="latchboard-push", daemon=True)
        self._thread.start()

    def _watch(self) -> Watch:
        store = self._board.store
        return store.watch("", after=store.read("wide").revision)

    def _run(self, watch: Watch) -> None:
        try:
            while not self._is_over(watch):
                try:
                    changes = watch.poll()
                    found = concerned(change.key for change in changes)
                except CoordinationError as exc:  # it fell behind, the store is another one, or cannot be read now
                    found = {BOARD, HISTORY}  # whoever reads meets the trouble, and is told what it is
                    watch = self._again(watch, exc)
                if found:
                    self._tell(found)
        finally:
            watch.close()
            self._told.close()

    def _again(self, watch: Watch, exc: CoordinationError) -> Watch:
        """A watch that goes on, after trouble with this one."""
        if not isinstance(exc, Compacted):
            self._board.clock.wait([self._told], _RETRY_S)
            return watch
        watch.close()
        return self._watch()

    def _is_over(self, watch: Watch) -> bool:
        """Wait until there may be something to read; True when it has ended."""
        clock, poll_s = self._board.clock, self._board.settings.watch_poll_s
        clock.wait([watch, self._told], poll_s if watch.mode == "poll" else None)
        return clock.wait([self._told], 0)

    def close(self) -> None:
        """End the thread."""
        self._ending.close()
        self._thread.join(_RETRY_S)
