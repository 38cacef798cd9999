"""Watch: a place in the journal, and who tells when there is more to read.

A place is a revision, and a revision is a journal's base plus the offset at which its line begins: a watch resumes with
one seek. It reads by itself, with its own descriptors and without the guard, never beyond `applied` in the guard's
header. From one journal to the next it goes only where that one's first line names the last revision read as its
`previous`; else something is missing, and the watch says `Compacted`. So it does when another store has taken the place
of the one it read: wiped and made anew, or restored, its events do not follow from those before.

Law 1. A notification is a hint: each poll reads from the place to the header. A lost one loses nothing (failures 3.29).
Law 2. Where the system does not notify, `mode` is "poll" and `reason` says why.
Law 3. A watch changes nothing in the folder.
Law 4. One poll reads a bounded part of the journal, whole commits of it, and leaves the watch readable if there may be
       more: a watch from 0 takes no more memory than any other.

Protocol: protocol/store.md, "Watching".
"""

from __future__ import annotations

import os
import weakref

from latchboard.errors import Compacted, CoordinationError, StoreError, from_os_error
from latchboard.store.files import guard, journal, notify, recovery
from latchboard.store.files.folder import Folder
from latchboard.store.port import Change
from latchboard.store.wakeup import Wakeup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from latchboard.store.files.guard import Header

_BATCH_COUNT = 1000
_BATCH_BYTES = 1024 * 1024
_CHUNK_BYTES = 64 * 1024

_open_watches: weakref.WeakSet[FileWatch] = weakref.WeakSet()


class FileWatch:
    """Changes of keys that start with `prefix`, later than revision `after`.

    Attributes:
        mode: "notify" or "poll".
        reason: Why it is "poll"; empty otherwise.
    """

    __slots__ = (
        "__weakref__",
        "_folder",
        "_last",
        "_lost",
        "_offset",
        "_path",
        "_prefix",
        "_store_id",
        "_wakeup",
        "mode",
        "reason",
    )

    def __init__(self, path: str, prefix: str, *, after: int) -> None:
        """Watch the store in the folder `path`, which may not be there yet.

        Raises:
            StoreError: No file handle is left, or the folder cannot be read.
        """
        self._path = path
        self._prefix = prefix
        self._last = after
        self._store_id = ""
        self._lost: Compacted | None = None
        self._folder: Folder | None = None
        self._offset = 0
        self.mode, self.reason = "poll", ""
        try:
            self._wakeup = Wakeup()
        except OSError as exc:
            raise from_os_error(exc, "watch", path) from exc
        _open_watches.add(self)
        try:
            self._subscribe()
            self._take_place()
        except BaseException:
            self.close()
            raise
        self._wakeup.ring()  # what is there already is to be read

    def poll(self) -> list[Change]:
        """The next changes since the last call, whole commits only, in batches; never blocks.

        Returns:
            Those of 1 MiB of journal, or about 1,000; a commit is never divided. None: there are no more.

        Raises:
            Compacted: The next change is no longer kept, now and in every later call.
            StoreError: The folder cannot be read. The place is kept: poll again.
        """
        if self._wakeup.fileno() < 0:
            raise StoreError("the watch is closed")
        self._wakeup.clear()  # before reading: what comes while reading rings again (failures 3.18)
        self._subscribe()
        self._take_place()
        if self._lost is not None:
            raise self._lost
        found: list[Change] = []
        read_bytes = 0
        try:
            while (chunk := self._read_on()) is not None:
                read_bytes += chunk[0]
                for entry in chunk[1]:
                    found += changes_of(entry, self._prefix)
                if found and (read_bytes >= _BATCH_BYTES or len(found) >= _BATCH_COUNT):
                    self._wakeup.ring()  # there may be more: nobody shall wait before hearing it
                    break
        except (OSError, CoordinationError) as exc:
            if isinstance(exc, Compacted):
                self._lost = exc
            if not found:
                raise (self._failed(exc) if isinstance(exc, OSError) else exc) from exc
            self._wakeup.ring()  # what was read is given out first; the next call says what is wrong
        return found

    def fileno(self) -> int:
        """Readable soon after a commit where `mode` is "notify"."""
        return self._wakeup.fileno()

    def close(self) -> None:
        """Free descriptors; the last watch of a process ends its observer."""
        _open_watches.discard(self)
        notify.unsubscribe(self._wakeup)
        self._wakeup.close()
        self._drop()

    def __del__(self) -> None:
        """Forgotten: free the descriptors. Not `close`: it waits for threads, and this may run in one of them."""
        if hasattr(self, "_wakeup"):
            self._wakeup.close()
            self._drop()

    # -- finding the place --------------------------------------------------------------------------------------------

    def _take_place(self) -> None:
        """Open the folder when it is there, anew when it was replaced, and find the line of the last revision read."""
        if self._lost is not None:
            return
        try:
            folder = self._folder
            if folder is not None and folder.is_current() and folder.journal >= 0:
                return
            was_there = folder is not None
            self._drop()
            try:
                self._folder = Folder(self._path, mode=0o600, writing=False)
            except FileNotFoundError:
                if was_there or self._last:
                    self._lost = self._compacted(0)
                return
            self._seek(self._folder)
        except OSError as exc:
            self._drop()
            raise self._failed(exc) from exc
        except Compacted as exc:
            self._lost = exc

    def _seek(self, folder: Folder) -> None:
        header = guard.peek_header(folder.guard)
        if header is None:  # being made at this moment
            if self._last:
                raise self._compacted(0)
            return
        folder.read_format()
        self._refuse_another(folder.store_id)
        kept = _bases(folder, header)
        if self._last == 0:
            for base in kept:
                if first := self._open(folder, base):
                    self._last = first["previous"]
                    return
        elif any(self._open_at(folder, base) for base in reversed(kept)):
            return
        raise self._compacted(kept[0] if kept else 0)

    def _refuse_another(self, store_id: str) -> None:
        """Other revisions begin in a store that was made anew; by chance they may be those of the one before."""
        if self._store_id and store_id and store_id != self._store_id:
            raise Compacted(
                f"another store is in {self._path} now: what came after revision {self._last} went with the one before",
                hint="read a snapshot and watch on from its revision",
                after=self._last,
                oldest=0,
            )
        self._store_id = store_id or self._store_id

    def _open_at(self, folder: Folder, base: int) -> bool:
        """Whether the place is in this journal: behind the line of the last revision read, or at its very beginning."""
        if self._last < base:
            first = self._open(folder, base)
            return first is not None and first["previous"] == self._last
        if self._open(folder, base) is None:
            return False
        at = self._last - base
        size = os.fstat(folder.journal).st_size
        end, entry = next(journal.whole_lines(os.pread(folder.journal, max(0, size - at), at)), (0, {}))
        self._offset = at + end
        return bool(entry.get("revision") == self._last)

    def _open(self, folder: Folder, base: int) -> dict[str, Any] | None:
        """Open a journal and stand behind its first line, which is returned; None when it is gone or damaged."""
        if not folder.open_journal(base):
            folder.close_journal()
            return None
        line = os.pread(folder.journal, 4096, 0).split(b"\n", 1)[0]
        self._offset = len(line) + 1
        return journal.unpack(line)

    # -- reading on ---------------------------------------------------------------------------------------------------

    def _read_on(self) -> tuple[int, list[dict[str, Any]]] | None:
        """The next commits, some of them, and how many bytes they are; None when there is nothing more to read.

        The place moves behind them.
        """
        folder = self._folder
        header = None if folder is None else guard.peek_header(folder.guard)
        if folder is None or header is None or folder.journal < 0:
            return None
        ended = header.base != folder.base  # rotated: what is in it is applied, and nothing comes after it
        end = os.fstat(folder.journal).st_size if ended else header.applied
        data = self._chunk(folder.journal, end) if end > self._offset else b""
        entries = []
        for length, entry in journal.whole_lines(data):
            entries.append(entry)
            data_end = length
        if entries:
            self._offset += data_end
            self._last = entries[-1]["revision"]
            return data_end, entries
        if not ended:
            if data:
                raise self._compacted(folder.base)  # a committed line is damaged: what it said is in the records alone
            return None
        self._go_on(folder, header)
        return 0, []

    def _chunk(self, fd: int, end: int) -> bytes:
        """The next bytes up to `end`: not all of them, but at least one line."""
        size = _CHUNK_BYTES
        while True:
            data = os.pread(fd, min(size, end - self._offset), self._offset)
            if len(data) < size or b"\n" in data:
                return data
            size *= 2

    def _go_on(self, folder: Folder, header: Header) -> None:
        """Open the next journal, if it starts where this one ended."""
        kept = _bases(folder, header)
        later = [base for base in kept if base > folder.base]
        first = self._open(folder, later[0]) if later else None
        if first is None or first["previous"] != self._last:
            raise self._compacted(kept[0] if kept else 0)

    # -- small things -------------------------------------------------------------------------------------------------

    def _subscribe(self) -> None:
        try:
            self.reason = notify.subscribe(self._wakeup, self._path)
        except OSError as exc:
            raise self._failed(exc) from exc
        self.mode = "poll" if self.reason else "notify"

    def _compacted(self, oldest: int) -> Compacted:
        return Compacted(
            f"no journal in {self._path} goes on from revision {self._last}; the oldest starts at {oldest}: "
            "it was dropped since, or is of another store",
            hint="read a snapshot and watch on from its revision",
            after=self._last,
            oldest=oldest,
        )

    def _failed(self, exc: OSError) -> StoreError:
        return from_os_error(exc, "watch", self._path)

    def _drop(self) -> None:
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.close()

    def _after_fork(self) -> None:
        """In a forked child: the pipe is the parent's too, and the observer is the parent's alone."""
        self._wakeup.after_fork()
        self._wakeup.ring()  # the first poll subscribes anew


def changes_of(entry: dict[str, Any], prefix: str) -> Iterator[Change]:
    """What one commit of the journal changed of the keys that start with `prefix`."""
    revision, at, who = entry["revision"], entry["at"], entry["who"]
    for key, value in entry["puts"].items():
        if key.startswith(prefix):
            yield Change(revision, at, who, key, value)
    for key in entry["deletes"]:
        if key.startswith(prefix):
            yield Change(revision, at, who, key, None)


def _bases(folder: Folder, header: Header) -> list[int]:
    """The journals that are kept, oldest first; later than the header's is one of a writer that died rotating."""
    return [base for base in recovery.bases(folder) if base <= header.base]


def _after_fork() -> None:
    for watch in list(_open_watches):
        watch._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
