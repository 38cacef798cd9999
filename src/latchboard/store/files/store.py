"""FileStore: the store port over a folder of plain files.

Invariant: under the guard, record files + journal behind `applied` = the state. A commit appends one line (the commit
point), then makes the files say the same, then moves `applied`. Whoever takes the guard next finishes what a dead
writer began. Bells ring after the guard is free.

What few transactions need (recovery, snapshots, bells) is loaded by the first one that does: a hook makes one
transaction in its life.

Protocol: protocol/store.md, "Commit".
"""

from __future__ import annotations

import os
from _thread import RLock, get_ident
from _weakref import ref
from time import monotonic

from latchboard.clock import iso
from latchboard.errors import ProtocolError, StoreError, StoreUnavailable, UsageError, from_os_error
from latchboard.settings import Settings
from latchboard.store.checks import check_key
from latchboard.store.files import commit, guard, layout
from latchboard.store.files.folder import Folder
from latchboard.store.files.trouble import raise_typed
from latchboard.store.files.view import FileView, properties_of
from latchboard.store.port import Committed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from latchboard.clock import Clock, Now
    from latchboard.store.files.guard import Header
    from latchboard.store.files.past import Past
    from latchboard.store.files.watch import FileWatch
    from latchboard.store.port import Bell, Snapshot, View

    T = TypeVar("T")

_CARRIED_COUNT_MAX = 32
_REOPENED_COUNT_MAX = 100
_WITHOUT_PAST_BYTES_MAX = 65536  # what no beginning was kept for is rotated soon, so that it is kept for the next
_open_stores: set[ref[FileStore]] = set()  # a WeakSet would load modules that a hook has no time for


class FileStore:
    """A store in `<root>/data/.agent_locks`; the folder is made by the first commit, never by a reader.

    Threads may share one; forked children open their own descriptors by themselves.
    """

    def __init__(self, root: str, *, clock: Clock, settings: Settings | None = None) -> None:
        """Nothing is opened yet.

        Args:
            root: The project's folder.
            clock: Times of commits and the boot id.
            settings: Limits; `shared` decides the mode bits.
        """
        self._settings = settings or Settings()
        self._clock = clock
        self.path = f"{os.path.realpath(root)}/{layout.FOLDER}"
        self._mode = 0o660 if self._settings.shared else 0o600
        self._folder: Folder | None = None
        self._mutex = RLock()
        self._thread = get_ident()
        self._beside: _Reader | None = None  # made when a second thread comes
        self._past: Past | None = None
        self._carried_at = (0, 0)
        self._carried: dict[str, str | None] = {}
        self.properties = properties_of(self._settings)
        _open_stores.add(ref(self, _open_stores.discard))

    # -- the port -----------------------------------------------------------------------------------------------------

    def transact(
        self, fn: Callable[[View], T], *, who: str, durable: bool = False, effect: Callable[[], None] | None = None
    ) -> Committed[T]:
        if self._mutex._is_owned():  # type: ignore[attr-defined]
            self._refuse_nesting("transaction")
        since_s = monotonic()
        if self._thread != get_ident():
            self._share()
        # C code takes and frees both locks: no signal handler can raise in between (failures 3.16).
        with self._mutex:
            for _ in range(_REOPENED_COUNT_MAX):
                folder = self._writable()
                with folder.freeing:
                    if not self._lock(folder, since_s, shared=False):
                        continue
                    now = self._clock.now()  # behind the wait, so that times grow with revisions
                    header = self._settled(folder, now)
                    carried = self._carried if self._carried_at == (header.base, header.last) else None
                    view = FileView(folder, header.base + header.applied, now, carried=carried)
                    value = fn(view)
                    if view.changes:
                        self._commit(folder, header, view, iso(now.wall_s), who, effect)
                        if durable or self._settings.durable:
                            self._flush(folder)
                    elif effect is not None:
                        effect()
                if any(map(layout.has_bell, view.changes)):
                    from latchboard.store.files import bell

                    bell.ring(folder, view.changes)
                return Committed(value, header.last)
            raise self._replaced_again_and_again()

    def read(self, *wanted: str, at: int | None = None) -> Snapshot:
        self._refuse_nesting("read")
        if at is not None:
            return self.past().read(wanted, at, self.read)
        since_s = monotonic()
        from latchboard.store.files import snapshot

        if self._thread != get_ident():
            self._share()
        if self._beside is not None and (beside := self._read_beside(self._beside, wanted)) is not None:
            return beside
        with self._mutex:
            for _ in range(_REOPENED_COUNT_MAX):
                folder = self._readable()
                if folder is None:
                    return snapshot.FileSnapshot(0).load(None, wanted)
                found = self._read_one(folder, wanted)
                if found is not None:
                    return found
                with folder.freeing:
                    if self._lock(folder, since_s, shared=True):
                        return self._read_many(folder, wanted)
            raise self._replaced_again_and_again()

    def past(self) -> Past:
        """What there was at earlier revisions, as far as this store has looked."""
        if self._past is None:
            from latchboard.store.files.past import Past

            self._past = Past(self.path)
        return self._past

    def watch(self, prefix: str, *, after: int) -> FileWatch:
        from latchboard.store.files.watch import FileWatch

        return FileWatch(self.path, prefix, after=after)

    def bell(self, key: str) -> Bell:
        from latchboard.store.files import bell

        check_key(key)
        self._refuse_nesting("bell")
        with self._mutex:
            return bell.make(self._current(), key, mode=self._mode, look_s=self._settings.watch_poll_s)

    def close(self) -> None:
        self._refuse_nesting("close")
        with self._mutex:
            self._drop()
        beside = self._beside
        if beside is not None:
            with beside.mutex:
                beside.drop()

    def _refuse_nesting(self, what: str) -> None:
        if self._mutex._is_owned():  # type: ignore[attr-defined]
            raise UsageError(f"a {what} inside a transaction", hint="use the view; nothing was changed by this call")

    # -- entering and leaving -----------------------------------------------------------------------------------------

    def _lock(self, folder: Folder, since_s: float, *, shared: bool) -> bool:
        """Take the guard; false when it is not the folder's any more, which is dropped then."""
        wait_s_max, path = self._settings.guard_wait_s_max, folder.guard_path
        guard.lock(folder.guard, shared=shared, wait_s_max=wait_s_max, path=path, since_s=since_s)
        if folder.is_current():
            return True
        self._drop()
        return False

    def _replaced_again_and_again(self) -> StoreUnavailable:
        return StoreUnavailable(f"{self.path} is replaced again and again", hint="find out who does that")

    def _writable(self) -> Folder:
        """The folder, open for writing; whether it is still there is seen when the guard is held."""
        folder = self._folder
        if folder is None or not folder.writing or folder.is_lost():
            folder = self._reopen(writing=True)
            assert folder is not None
        return folder

    def _current(self) -> Folder:
        """The folder that is there now, open for writing; the guard is not held."""
        folder = self._writable()
        if not folder.is_current():
            self._drop()
            folder = self._writable()
        return folder

    def _readable(self) -> Folder | None:
        """The folder that is there now; None when there is none."""
        folder = self._folder
        if folder is not None and not folder.is_lost() and folder.is_current():
            return folder
        return self._reopen(writing=False)

    def _reopen(self, *, writing: bool) -> Folder | None:
        self._drop()
        try:
            self._folder = Folder(self.path, mode=self._mode, writing=writing)
        except FileNotFoundError as exc:
            if writing:
                raise from_os_error(exc, "open", self.path) from exc
            if os.path.exists(f"{self.path}/{layout.FORMAT}"):  # its records must not look free
                raise ProtocolError(
                    f"{self.path} has lost its guard", hint="the next commit makes it again from the journals"
                ) from exc
        return self._folder

    def _drop(self) -> None:
        folder = self._folder
        is_lost = folder is None or folder.is_lost()
        self._folder = None
        self._carried_at, self._carried = (0, 0), {}
        if folder is not None and not is_lost:
            folder.close()

    def _after_fork(self) -> None:
        """In a forked child: the descriptors and the mutex are the parent's."""
        self._mutex = RLock()
        self._thread = get_ident()
        self._past = None  # a thread that is not here may hold its mutex
        self._drop()
        beside, self._beside = self._beside, None
        if beside is not None:
            beside.drop()

    # -- settling -----------------------------------------------------------------------------------------------------

    def _settled(self, folder: Folder, now: Now) -> Header:
        """The header, with every committed line applied and a journal that can take another."""
        try:
            return self._settle(folder, now)
        except OSError as exc:
            raise_typed(exc, "write", self.path)

    def _settle(self, folder: Folder, now: Now) -> Header:
        settings = self._settings
        try:
            header = guard.read_header(folder.guard, folder.header)
        except ProtocolError:
            header = None  # damaged: begin again from the journals
        if header is None:
            from latchboard.store.files import recovery

            header = recovery.begin(folder, now, settings)
        if not folder.store_id:
            folder.close_journal()
            folder.read_format()
        if folder.base != header.base and not folder.open_journal(header.base):
            return self._resettled(folder, header, now)
        size = os.fstat(folder.journal).st_size
        if size > header.applied:
            from latchboard.store.files import recovery

            redone = recovery.redo(folder, header)
            if redone is None:
                return self._resettled(folder, header, now)
            header = redone
        if folder.header is not None and header.last < folder.header.last:
            # A backup was put back beneath this process: what was given meanwhile must not be given again.
            header.last = folder.header.last
            return self._resettled(folder, header, now)
        if size < header.applied or folder.is_copy:
            return self._resettled(folder, header, now)
        if header.boot != now.boot:
            from latchboard.store.files import recovery

            if recovery.is_other_boot(header.boot, now.boot):
                return self._resettled(folder, header, now)
        if header.applied > (settings.journal_bytes_max if folder.keeps_past else _WITHOUT_PAST_BYTES_MAX):
            from latchboard.store.files import recovery

            header = recovery.rotate(folder, header, now, settings)
            folder.open_journal(header.base)
        folder.header = header
        return header

    def _resettled(self, folder: Folder, header: Header, now: Now) -> Header:
        from latchboard.store.files import recovery

        self._carried_at = (0, 0)
        header = recovery.settle(folder, header, now, self._settings)
        folder.open_journal(header.base)
        folder.header = header
        return header

    # -- committing and reading ---------------------------------------------------------------------------------------

    def _commit(
        self, folder: Folder, header: Header, view: FileView, at: str, who: str, effect: Callable[[], None] | None
    ) -> None:
        plan = commit.Plan(view, at, who, self.properties)
        self._carried_at = (0, 0)
        commit.commit(folder, header, view, plan, effect)
        # What this commit left: if nobody commits before our next one, that one need not read it again.
        carried: dict[str, str | None] = {key: None for key, there in view.known.items() if not there}
        carried.update(plan.puts)
        for key in plan.traces:
            del carried[key]
        for key in plan.deletes:
            carried[key] = None
        if len(carried) <= _CARRIED_COUNT_MAX:
            self._carried, self._carried_at = carried, (header.base, view.revision)

    def _flush(self, folder: Folder) -> None:
        """Have the commit on the disk; others may commit meanwhile."""
        try:
            guard.unlock(folder.guard)
            os.fdatasync(folder.journal)
        except OSError as exc:
            if exc.errno is None:
                raise
            error = from_os_error(exc, "flush the journal in", self.path)
            raise StoreError(
                f"{error.message}; it is committed but may not survive a power cut", hint=error.hint, path=self.path
            ) from exc

    def _read_one(self, folder: Folder, wanted: tuple[str, ...]) -> Snapshot | None:
        """One key without the guard, if that is possible."""
        if not _is_one(wanted):
            return None
        from latchboard.store.files import snapshot

        try:
            return snapshot.read_one(folder, wanted[0])
        except OSError as exc:
            raise_typed(exc, "read", self.path)

    def _share(self) -> None:
        """Threads share this store from now on: who reads one key shall not wait for who waits for the guard."""
        if self._beside is None:
            self._beside = _Reader()

    def _read_beside(self, beside: _Reader, wanted: tuple[str, ...]) -> Snapshot | None:
        """One key through descriptors of its own; None when it must be read under the guard."""
        if not _is_one(wanted) or beside.mutex._is_owned():  # type: ignore[attr-defined]
            return None
        with beside.mutex:
            folder = beside.folder
            if folder is None or folder.is_lost() or not folder.is_current():
                beside.drop()
                try:
                    folder = beside.folder = Folder(self.path, mode=self._mode, writing=False)
                except FileNotFoundError:
                    return None
            return self._read_one(folder, wanted)

    def _read_many(self, folder: Folder, wanted: tuple[str, ...]) -> Snapshot:
        from latchboard.store.files import snapshot

        try:
            return snapshot.read_many(folder, wanted)
        except OSError as exc:
            raise_typed(exc, "read", self.path)


class _Reader:
    """The folder, open to read one key at a time beside a transaction of another thread."""

    __slots__ = ("folder", "mutex")

    def __init__(self) -> None:
        self.folder: Folder | None = None
        self.mutex = RLock()

    def drop(self) -> None:
        folder, self.folder = self.folder, None
        if folder is not None and not folder.is_lost():
            folder.close()


def _is_one(wanted: tuple[str, ...]) -> bool:
    return len(wanted) == 1 and not wanted[0].endswith("/")


def _after_fork() -> None:
    for one in list(_open_stores):
        if (store := one()) is not None:
            store._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
