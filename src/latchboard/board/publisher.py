"""Publisher: keeps status_board.json fresh while a process works, in a thread that is there only when it is needed.

Commits say `noted` and nothing else: the thread looks every few hundredths of a second whether there is news. It writes
when nothing has changed for `settings.board_fold_s`, at the latest a second after the first change that is not written
yet, and never more than one part in twenty-five of the time. When the board says all there is, the thread ends; the
next commit starts another.

Law 1. One process writes for all: who finds that the file shows its own last commit has nothing to do.
Law 2. What goes wrong here changes nothing but the file's age; it is kept in `error`, and tried again.
Law 3. A forked child has no thread, and starts its own.

Not promised: that the last change is written when the process is killed. The next one writes it, or the end of the next
command.

Protocol: protocol/board.md, "Freshness".
"""

from __future__ import annotations

from _thread import RLock, allocate_lock, start_new_thread

from latchboard.errors import CoordinationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeVar

    from latchboard.clock import Clock
    from latchboard.settings import Settings
    from latchboard.store.port import Bell, Committed, Snapshot, Store, View, Watch

    T = TypeVar("T")

    class Published(Protocol):
        """What is written: the board, or another file that is made from the store."""

        def publish_if_older(self, revision: int, *, wait_s_max: float = ...) -> bool:
            """Write it unless it shows this revision; False: another process is at it."""


_AGE_S_MAX = 1.0
_SHARE_MAX = 0.04
_LINGER_S = 1.0
_RETRY_S = 1.0
_TRY_S_MAX = 10.0  # then somebody is stopped while writing it, or the store was removed: wait for the next commit
_CLOSE_S_MAX = 2.0


class Publisher:
    """When to write the board.

    `noted` is called by any thread after a commit; everything else is the publisher's own.
    """

    def __init__(self, make_board: Callable[[], Published], clock: Clock, settings: Settings) -> None:
        """Nothing is loaded and no thread started before the first commit.

        Args:
            make_board: The board service, asked for when there is something to write.
            clock: Monotonic time.
            settings: `board_fold_s`.
        """
        self._make_board = make_board
        self._clock = clock
        self._look_s = settings.board_fold_s / 2
        self._mutex = RLock()
        self._wake = allocate_lock()
        self._over = allocate_lock()
        self._is_running = False
        self._is_closed = False
        self._revision = 0
        self._reset()
        self.error: CoordinationError | None = None

    def _reset(self) -> None:
        self._written = self._seen = self._revision
        self._quiet_count = 0
        self._unwritten_since_s: float | None = None
        self._first = self._revision  # the first that is not written, at that time
        self._not_before_s = 0.0
        self._idle_since_s: float | None = None

    # -- called by whoever commits ------------------------------------------------------------------------------------

    def noted(self, revision: int) -> None:
        """There is a commit. Costs a tenth of a microsecond while the thread runs."""
        self._revision = revision
        if not self._is_running:
            self._start()

    def noting(self, store: Store) -> Store:
        """The same store, that tells this publisher of every commit."""
        return _NotingStore(store, self.noted)

    def _start(self) -> None:
        with self._mutex:
            if not self._is_running and not self._is_closed:
                self._is_running = True
                self._wake.acquire(blocking=False)
                self._over = allocate_lock()
                self._over.acquire()
                start_new_thread(self._run, (self._over,))

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _run(self, over: Any) -> None:
        try:
            while not self._is_closed:
                pause_s = self.step()
                if pause_s is None and self._rest():
                    return
                self._wake.acquire(timeout=self._look_s if pause_s is None else pause_s)
        finally:
            self._is_running = False
            over.release()

    def _rest(self) -> bool:
        """End, unless a commit came in this very moment."""
        with self._mutex:
            self._is_running = False
            if self._revision == self._written:
                return True
            self._is_running = True
            return False

    def step(self) -> float | None:
        """Look once, and write if it is time to.

        Returns:
            Seconds until the next look; None: everything is written and nothing has happened for a while.
        """
        now_s = self._clock.now().mono_s
        if self._revision == self._written:
            if self._idle_since_s is None:
                self._idle_since_s = now_s
            return None if now_s - self._idle_since_s >= _LINGER_S else self._look_s
        self._idle_since_s = None
        seen, self._seen = self._seen, self._revision
        if self._unwritten_since_s is None:
            self._unwritten_since_s, self._first = now_s, self._seen
        self._quiet_count = self._quiet_count + 1 if self._seen == seen else 0
        if now_s >= self._not_before_s:
            if self._quiet_count >= 2:
                self._write(now_s, self._seen)
            elif now_s - self._unwritten_since_s >= _AGE_S_MAX:
                # Of many that are busy one writes: the others find their first change in it, and count from now.
                self._write(now_s, self._first)
        return self._look_s

    def _write(self, started_s: float, wanted: int, wait_s_max: float = 0.0) -> None:
        try:
            is_written = self._make_board().publish_if_older(wanted, wait_s_max=wait_s_max)
            self.error = None
        except CoordinationError as exc:
            self.error, is_written = exc, False
            self._not_before_s = started_s + _RETRY_S
            return
        now_s = self._clock.now().mono_s
        self._not_before_s = started_s + (now_s - started_s) / _SHARE_MAX
        has_tried_s = now_s - (self._unwritten_since_s or started_s)
        if is_written or has_tried_s > _TRY_S_MAX:
            self._written = wanted
            self._unwritten_since_s = None
            self._quiet_count = 0

    # -- ending -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the thread, then write what is not written yet, if that is possible."""
        with self._mutex:
            self._is_closed = True
            running, over = self._is_running, self._over
        if running:
            if self._wake.locked():
                self._wake.release()
            if over.acquire(timeout=_CLOSE_S_MAX):
                over.release()
        if self._revision != self._written:
            self._write(self._clock.now().mono_s, self._revision, _CLOSE_S_MAX)

    def after_fork(self) -> None:
        """In a forked child: no thread, and nothing of its own to write."""
        self._mutex = RLock()
        self._wake = allocate_lock()
        self._over = allocate_lock()
        self._is_running = False
        self._reset()


class _NotingStore:
    """A store whose commits are noted. Everything else is the store's own."""

    __slots__ = ("_noted", "_store", "bell", "close", "properties", "read", "watch")

    read: Callable[..., Snapshot]
    watch: Callable[..., Watch]
    bell: Callable[[str], Bell]
    close: Callable[[], None]

    def __init__(self, store: Store, noted: Callable[[int], None]) -> None:
        self._store = store
        self._noted = noted
        self.properties = store.properties
        self.read = store.read
        self.watch = store.watch
        self.bell = store.bell
        self.close = store.close

    def transact(
        self, fn: Callable[[View], T], *, who: str, durable: bool = False, effect: Callable[[], None] | None = None
    ) -> Committed[T]:
        """As the port says."""
        done = self._store.transact(fn, who=who, durable=durable, effect=effect)
        self._noted(done.revision)
        return done
