"""FileStore: the store port over a folder of plain files.

Invariant: under the guard, record files + journal behind `applied` = the state. A commit appends one line (the commit point), then
makes the files say the same, then moves `applied`. Whoever takes the guard next finishes what a dead writer began.

Order inside a commit: stage replacements, effect, line, new files, renames and deletes, header. What can fail for want of space
comes before the line or is undone by cutting the line off again; bells ring after the guard is free.

Protocol: protocol/store.md, "Commit".
"""

from __future__ import annotations

import os
import weakref
from _thread import RLock

from latchboard.clock import iso
from latchboard.errors import StoreError, UsageError, from_os_error
from latchboard.settings import Settings
from latchboard.store.files import bell, guard, journal, layout, records, recovery
from latchboard.store.files.folder import Folder
from latchboard.store.files.view import FileView
from latchboard.store.port import TRACE_PREFIX, Committed, Properties

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from latchboard.clock import Clock, Now
    from latchboard.store.files.guard import Header
    from latchboard.store.files.watch import FileWatch
    from latchboard.store.port import Snapshot, View

    T = TypeVar("T")

_CARRIED_COUNT_MAX = 32
_open_stores: weakref.WeakSet[FileStore] = weakref.WeakSet()


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
        self._carried_at = 0
        self._carried: dict[str, str | None] = {}
        self.properties = Properties(
            engine="files",
            spans_hosts=False,
            survives_restart=True,
            value_bytes_max=self._settings.value_bytes_max,
            transaction_keys_max=100_000,
        )
        _open_stores.add(self)

    # -- the port ---------------------------------------------------------------------------------------------------------

    def transact(
        self, fn: Callable[[View], T], *, who: str, durable: bool = False, effect: Callable[[], None] | None = None
    ) -> Committed[T]:
        if self._mutex._is_owned():
            raise UsageError("a transaction inside a transaction", hint="finish the first one; nothing was changed")
        # Two levels of finally: a signal handler may raise inside the first one (failures 3.16).
        try:
            try:
                self._mutex.acquire()
                now = self._clock.now()
                folder, header = self._enter(now)
                carried = self._carried if self._carried_at == header.last else {}
                view = FileView(folder, header.base + header.applied, carried=carried)
                value = fn(view)
                if view.changes:
                    self._commit(folder, header, view, iso(now.wall_s), who, effect)
                elif effect is not None:
                    effect()
                revision = header.last
                if (durable or self._settings.durable) and view.changes:
                    guard.unlock(folder.guard)  # others may commit while this one is flushed
                    self._flush(folder.journal)
            finally:
                self._leave()
        finally:
            if self._mutex._is_owned():
                self._leave()
        if view.changes:
            bell.ring(folder, view.changes)
        return Committed(value, revision)

    def read(self, *wanted: str) -> Snapshot:
        single = len(wanted) == 1 and not wanted[0].endswith("/")
        if self._mutex._is_owned():
            raise UsageError("a read inside a transaction", hint="use the view")
        try:
            try:
                self._mutex.acquire()
                return self._read_one(wanted[0]) if single else self._read_many(wanted)
            finally:
                self._leave()
        finally:
            if self._mutex._is_owned():
                self._leave()

    def watch(self, prefix: str, *, after: int) -> FileWatch:
        from latchboard.store.files.watch import FileWatch

        return FileWatch(self.path, prefix, after=after)

    def bell(self, key: str) -> bell.FileBell:
        with self._mutex:
            folder = self._reopen_if_changed(writing=True)
            assert folder is not None
            return bell.FileBell(folder, key, mode=self._mode)

    def close(self) -> None:
        with self._mutex:
            self._drop()

    # -- publishing derived files ---------------------------------------------------------------------------------------------

    def publish(self, name: str, data: bytes) -> None:
        """Replace a derived file such as the status board, whole; it is no record and no part of any commit."""
        with self._mutex:
            folder = self._reopen_if_changed(writing=True)
            assert folder is not None
            private = f"{name}.{os.getpid()}"
            try:
                records.publish(folder.fd, records.stage(folder.fd, private, data, self._mode), name)
            except OSError as exc:
                raise from_os_error(exc, "write", f"{self.path}/{name}") from exc

    # -- entering and leaving -----------------------------------------------------------------------------------------------

    def _enter(self, now: Now) -> tuple[Folder, Header]:
        """Take the guard, open what must be open, finish what a dead writer began."""
        while True:
            folder = self._folder
            if folder is None:
                folder = self._reopen_if_changed(writing=True)
                assert folder is not None
            guard.lock(folder.guard, shared=False, wait_s_max=self._settings.guard_wait_s_max, path=folder.guard_path)
            if folder.is_current():
                break
            self._drop()
        try:
            return folder, self._settled(folder, now)
        except OSError as exc:
            raise from_os_error(exc, "write", self.path) from exc

    def _settled(self, folder: Folder, now: Now) -> Header:
        """The header, with every committed line applied and a journal that can take another."""
        header = guard.read_header(folder.guard)
        settings = self._settings
        if header is None:
            header = recovery.begin(folder, now)
        if not folder.store_id:
            folder.read_format()
        sound = folder.base == header.base or folder.open_journal(header.base, writing=True)
        size = os.fstat(folder.journal).st_size if sound else -1
        if size > header.applied:
            header = recovery.redo(folder, header)
        if size < header.applied or folder.is_copy or header.boot != now.boot:
            header = recovery.settle(folder, header, now, kept_count=settings.journals_kept_count)
            folder.open_journal(header.base, writing=True)
        elif header.applied > settings.journal_bytes_max:
            header = recovery.rotate(folder, header, now, kept_count=settings.journals_kept_count)
            folder.open_journal(header.base, writing=True)
        return header

    def _leave(self) -> None:
        """Free guard and mutex, whichever of them is held; runs again if a signal cut it short."""
        if self._mutex._is_owned():
            if self._folder is not None and self._folder.guard >= 0:
                guard.unlock(self._folder.guard)
            self._mutex.release()

    def _reopen_if_changed(self, *, writing: bool) -> Folder | None:
        if self._folder is not None and self._folder.is_current():
            return self._folder
        self._drop()
        try:
            self._folder = Folder(self.path, mode=self._mode, writing=writing)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise from_os_error(exc, "open", self.path) from exc
        return self._folder

    def _drop(self) -> None:
        folder, self._folder = self._folder, None
        self._carried_at, self._carried = 0, {}
        if folder is not None:
            folder.close()

    def _after_fork(self) -> None:
        """In a forked child: the descriptors and the mutex are the parent's."""
        self._mutex = RLock()
        self._drop()

    # -- committing -----------------------------------------------------------------------------------------------------------

    def _commit(
        self, folder: Folder, header: Header, view: FileView, at: str, who: str, effect: Callable[[], None] | None
    ) -> None:
        """Append the line and make the files say the same. `header` is moved on."""
        bytes_max, revision = self.properties.value_bytes_max, view.revision
        puts: dict[str, str] = {}
        deletes: list[str] = []
        files: dict[str, bytes] = {}
        replaced: list[str] = []
        for key, value in view.changes.items():
            if value is None:
                deletes.append(key)
                continue
            text = puts[key] = records.check_value(key, value, bytes_max)
            if not key.startswith(TRACE_PREFIX):
                path = layout.record(key)
                files[path] = records.pack(key, revision, text)
                if view.has_file(key, path):
                    replaced.append(path)
        line = journal.commit_line(revision, at, who, puts, deletes)
        try:
            staged = self._stage(folder, files, replaced)
            try:
                if effect is not None:
                    effect()
                self._append(folder, header, line)
                self._create(folder, header, files, staged)
            except BaseException:
                for temporary in staged.values():
                    records.delete(folder.fd, temporary)
                raise
        except OSError as exc:
            raise from_os_error(exc, "write", self.path) from exc
        self._apply(folder, staged, deletes)
        header.applied += len(line)
        header.last = revision
        guard.write_header(folder.guard, header)
        self._carry(view, revision, puts)

    def _carry(self, view: FileView, revision: int, puts: dict[str, str]) -> None:
        """Remember what this commit left: if nobody commits before our next one, that one need not read it again."""
        carried: dict[str, str | None] = {key: None for key, there in view.known.items() if not there}
        carried.update((key, puts.get(key)) for key in view.changes if not key.startswith(TRACE_PREFIX))
        self._carried_at, self._carried = (revision, carried) if len(carried) <= _CARRIED_COUNT_MAX else (0, {})

    def _stage(self, folder: Folder, files: dict[str, bytes], replaced: list[str]) -> dict[str, str]:
        """Write replacements beside the files they replace; path to temporary name."""
        staged: dict[str, str] = {}
        try:
            for path in replaced:
                staged[path] = records.stage(folder.fd, path, files[path], self._mode)
        except OSError:
            for temporary in staged.values():
                records.delete(folder.fd, temporary)
            raise
        return staged

    def _append(self, folder: Folder, header: Header, line: bytes) -> None:
        """The commit point. A short or failed append is cut back before anybody can see it."""
        try:
            written = os.write(folder.journal, line)
            while written < len(line):
                written += os.write(folder.journal, line[written:])
        except BaseException:
            os.ftruncate(folder.journal, header.applied)
            raise

    def _create(self, folder: Folder, header: Header, files: dict[str, bytes], staged: dict[str, str]) -> None:
        """Make the files that replace none; when one cannot be made, the others and the line are taken back."""
        made: list[str] = []
        try:
            for path, data in files.items():
                if path not in staged:
                    records.create(folder.fd, path, data, self._mode)
                    made.append(path)
        except OSError:
            os.ftruncate(folder.journal, header.applied)
            for path in made:
                records.delete(folder.fd, path)
            raise

    def _apply(self, folder: Folder, staged: dict[str, str], deletes: list[str]) -> None:
        """Renames and deletes: they need no space. If one fails the commit stands, and the next writer finishes it."""
        try:
            for path, temporary in staged.items():
                records.publish(folder.fd, temporary, path)
            for key in deletes:
                records.delete(folder.fd, layout.record(key))
        except OSError as exc:
            error = from_os_error(exc, "finish a commit in", self.path)
            raise StoreError(
                f"{error.message}; it is committed and the next writer finishes it", hint=error.hint
            ) from exc

    def _flush(self, journal_fd: int) -> None:
        try:
            os.fdatasync(journal_fd)
        except OSError as exc:
            error = from_os_error(exc, "flush the journal in", self.path)
            raise StoreError(
                f"{error.message}; it is committed but may not survive a power cut", hint=error.hint
            ) from exc

    # -- reading --------------------------------------------------------------------------------------------------------------

    def _read_one(self, key: str) -> Snapshot:
        """One file read, no guard; a record that cannot be read is read again under the guard."""
        folder = self._reopen_if_changed(writing=False)
        header = None if folder is None else guard.peek_header(folder.guard)
        if folder is None or header is None:
            return FileSnapshot(0, None)
        view = FileView(folder, header.last)
        try:
            view.get(key)
        except records.MalformedRecord:
            return self._read_many((key,))
        return FileSnapshot(header.last, view)

    def _read_many(self, wanted: tuple[str, ...]) -> Snapshot:
        """Under the shared guard, with what a dead writer left behind `applied` laid over the files in memory."""
        folder = self._reopen_if_changed(writing=False)
        if folder is None:
            return FileSnapshot(0, None)
        guard.lock(folder.guard, shared=True, wait_s_max=self._settings.guard_wait_s_max, path=folder.guard_path)
        header = guard.read_header(folder.guard)
        if header is None:
            return FileSnapshot(0, None)
        overlay, last = self._unapplied(folder, header)
        snapshot = FileSnapshot(last, FileView(folder, last, overlay))
        snapshot.load(wanted)
        return snapshot

    def _unapplied(self, folder: Folder, header: Header) -> tuple[dict[str, object], int]:
        """Changes in whole lines behind `applied`, and the revision they lead to."""
        overlay: dict[str, object] = {}
        last = header.last
        if folder.base != header.base:
            folder.open_journal(header.base, writing=os.access(self.path, os.W_OK))
        if folder.journal < 0 or (size := os.fstat(folder.journal).st_size) <= header.applied:
            return overlay, last
        for _, entry in journal.whole_lines(os.pread(folder.journal, size - header.applied, header.applied)):
            overlay.update(entry["puts"])
            overlay.update(dict.fromkeys(entry["deletes"]))
            last = entry["revision"]
        return overlay, last


class FileSnapshot:
    """What was read: only the keys and collections asked for."""

    __slots__ = ("_damaged", "_entries", "_view", "revision")

    def __init__(self, revision: int, view: FileView | None) -> None:
        self.revision = revision
        self._view = view
        self._entries: dict[str, list[tuple[str, dict[str, object]]]] = {}
        self._damaged: dict[str, list[records.MalformedRecord]] = {}

    def load(self, wanted: tuple[str, ...]) -> None:
        """Read everything now, while the guard is held."""
        assert self._view is not None
        for name in wanted:
            if name.endswith("/"):
                self._damaged[name] = []
                self._entries[name] = self._view.scan(name, damaged=self._damaged[name])
            else:
                self._view.get(name)

    def get(self, key: str) -> dict[str, object] | None:
        return None if self._view is None else self._view.get(key)

    def scan(
        self, prefix: str, *, damaged: list[records.MalformedRecord] | None = None
    ) -> list[tuple[str, dict[str, object]]]:
        found = self._damaged.get(prefix, [])
        if found and damaged is None:
            raise found[0]
        if damaged is not None:
            damaged.extend(found)
        return self._entries.get(prefix, [])


def _after_fork() -> None:
    for store in list(_open_stores):
        store._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
