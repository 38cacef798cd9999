"""Health: is a store what the protocol says: its journals, its header, its records. Changes nothing.

Law 1. No lock is taken, nothing is opened for writing. What a commit that is under way makes look wrong is looked at
again, until it either moved or stood still.
Law 2. Nothing that stands in a damaged file is repeated: it may be anybody's secret.
Law 3. Whatever stands in a file's place is damage and no trap: no link is followed, nothing blocks.

What can be wrong, and what the store does about it by itself, is protocol/store.md, "Recovery".

Protocol: protocol/health.md, "Store".
"""

from __future__ import annotations

import os
import stat
from time import monotonic

from latchboard.clock import parse_iso
from latchboard.codec import decode
from latchboard.errors import MalformedRecord, ProtocolError, StoreError
from latchboard.store.files import beginning, guard, journal, layout, records, recovery
from latchboard.store.files.compared import Compared
from latchboard.store.files.damage import ALONE, COLLECTIONS, Damage, Health, collection_of
from latchboard.store.files.journal_end import Fold, Rotated, Tail, take

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from latchboard.store.files.guard import Header
    from latchboard.store.files.journal_end import Latest

FORMAT_KNOWN = 1
_IN_THE_ROOT = tuple(f"{name}.json" for name in ALONE)
_PER_OWNER = ("messages", "archive")
_LOOK = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | getattr(os, "O_NOFOLLOW", 0)
_OPEN = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_AGAIN_COUNT_MAX = 5
_EVERY = 128


class _Late(Exception):
    """The time is over."""


class Inspector:
    """Looks at one store.

    Args:
        path: The store's folder, absolute.
        boot: Boot id of this machine.
        stop_at_s: On `time.monotonic()`: what is not looked at by then is left out. None: all is looked at.
    """

    __slots__ = ("_boot", "_count", "_fd", "_found", "_guard", "_pending", "_stop_at_s", "path")

    def __init__(self, path: str, *, boot: str, stop_at_s: float | None = None) -> None:
        self.path = path
        self._boot = boot
        self._pending: set[str] = set()
        self._stop_at_s = stop_at_s
        self._found = Health()
        self._fd = self._guard = -1
        self._count = 0

    def look(self) -> Health:
        """Everything that is wrong.

        Raises:
            OSError: The folder cannot be read.
        """
        try:
            self._fd = os.open(self.path, _LOOK)
        except FileNotFoundError:
            return self._found
        except NotADirectoryError:
            self._wrong("planted", ".", "something that is no folder")
            return self._found
        try:
            for _ in range(_AGAIN_COUNT_MAX):
                self._begin()
                try:
                    self._look()
                    break
                except Rotated:  # what was read is not of one journal
                    continue
            else:
                self._begin()
                self._look_at_format()
                self._found.damage += self._look_at_records({})
        except _Late:
            self._found.is_whole_look = False
        finally:
            os.close(self._fd)
            if self._guard >= 0:
                os.close(self._guard)
        return self._found

    def _begin(self) -> None:
        """Nothing was seen yet."""
        self._found = Health()
        self._found.is_there = True
        self._found.facts["is_compared"] = False
        self._pending = set()
        guard_fd, self._guard = self._guard, -1
        if guard_fd >= 0:
            os.close(guard_fd)

    def _look(self) -> None:
        has_format = self._look_at_format()
        names = self._names(layout.JOURNAL_FOLDER)
        if names is None:
            if has_format:
                self._wrong("journal", layout.JOURNAL_FOLDER, "it is missing")
            return
        bases = sorted(base for name in names if (base := layout.journal_base(name)) is not None)
        if bases and not has_format:
            self._wrong("format", layout.FORMAT, "missing")
        known = Fold()
        tail = self._look_at_journals(bases, known, is_made=has_format)
        # What the next commit settles is not compared: the journal itself is in doubt, or the machine was restarted.
        is_in_doubt = tail is None or any(one.kind in ("journal", "line", "copy") for one in self._found.damage)
        is_in_doubt = is_in_doubt or (tail is not None and recovery.is_other_boot(tail.header.boot, self._boot))
        self._found.facts["is_compared"] = not is_in_doubt
        latest = {} if is_in_doubt else known.latest
        wrong = list(self._look_at_records(latest))
        self._found.damage += Compared(self._fd).confirmed(wrong, latest, tail)

    # -- small things -------------------------------------------------------------------------------------------------

    def _wrong(self, kind: str, where: str, why: str, **more: Any) -> None:
        self._found.damage.append(Damage(kind, where, why, **more))

    def _step(self) -> None:
        self._count += 1
        if self._stop_at_s is not None and not self._count % _EVERY and monotonic() > self._stop_at_s:
            raise _Late

    def _names(self, where: str) -> list[str] | None:
        """What lies in a folder; None: there is none. What is no folder is damage."""
        try:
            fd = os.open(where, _LOOK, dir_fd=self._fd)
        except FileNotFoundError:
            return None
        except OSError:  # a link, a file, or not for us
            self._wrong("planted", where, "something that is no folder, or cannot be opened")
            return None
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)

    def _read(self, where: str) -> bytes | None:
        """A file; None: there is none. Raises MalformedRecord, StoreError."""
        is_of_journals = where.startswith(f"{layout.JOURNAL_FOLDER}/")
        bytes_max = records.JOURNAL_BYTES_MAX if is_of_journals else records.RECORD_BYTES_MAX
        return records.read(self._fd, where, bytes_max=bytes_max)

    def _look_at_format(self) -> bool:
        """Whether there is one, readable or not."""
        try:
            data = self._read(layout.FORMAT)
        except (MalformedRecord, StoreError):
            self._wrong("format", layout.FORMAT, "unreadable")
            return True
        if data is None:
            return False
        try:
            said = decode(data)
        except ValueError:
            said = {}
        number, store_id = said.get("format"), said.get("store_id")
        if type(number) is not int or not isinstance(store_id, str) or not store_id:
            self._wrong("format", layout.FORMAT, "unreadable")
        elif number != FORMAT_KNOWN:
            self._wrong("format", layout.FORMAT, "unknown", count=number)
        self._found.facts["format"] = number if type(number) is int else None
        return True

    # -- journals -----------------------------------------------------------------------------------------------------

    def _look_at_journals(self, bases: list[int], known: Fold, *, is_made: bool) -> Tail | None:
        """Fold every commit; how the current journal ends."""
        header = self._header(bool(bases) or is_made)
        sizes = {}
        for base in bases:
            data = self._journal(base)
            if data is None:
                if header is not None and not self._is_there(layout.journal(base)):
                    raise Rotated
                continue
            sizes[base] = len(data)
            self._look_at_beginning(base)
            if header is None or base < header.base:  # a later one is of a writer that died while rotating
                self._fold(data, known, current=False, base=base)
        self._found.facts |= {"journal_count": len(bases), "journal_bytes": sum(sizes.values())}
        if header is None:
            return None
        self._found.facts["revision"] = header.last
        if header.base not in sizes:
            if header.base not in bases and self._is_there(layout.journal(header.base)):
                raise Rotated
            self._wrong("journal", layout.journal(header.base), "the header names it, and it cannot be had")
            return None
        tail = Tail(self._fd, self._guard, header)
        tail.wait_until_still()
        self._fold(tail.data[: tail.header.applied], known, current=True, base=header.base)
        self._look_at_end(tail)
        return tail

    def _is_there(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _header(self, is_expected: bool) -> Header | None:
        try:
            self._guard = os.open(layout.GUARD, _OPEN, dir_fd=self._fd)
            if not stat.S_ISREG(os.fstat(self._guard).st_mode):
                raise ProtocolError("it is no file")
            header = guard.peek_header(self._guard)
        except FileNotFoundError:
            if is_expected:
                self._wrong("journal", layout.GUARD, "the guard is missing")
            return None
        except (OSError, ProtocolError, StoreError):
            self._wrong("journal", layout.GUARD, "its header cannot be read")
            return None
        if header is None and is_expected:
            self._wrong("journal", layout.GUARD, "its header is gone")
        return header

    def _journal(self, base: int) -> bytes | None:
        name = layout.journal(base)
        try:
            return self._read(name)
        except (MalformedRecord, StoreError):
            self._wrong("older-journal", name, "something that is no file, or cannot be read")
            return None

    def _look_at_beginning(self, base: int) -> None:
        """What the past is read from; a journal may have none."""
        name = layout.beginning(base)
        try:
            data = self._read(name)
            is_whole = data is None or beginning.is_whole(data, base)
        except (MalformedRecord, StoreError):
            is_whole = False
        if not is_whole:
            self._wrong("older-journal", name, "the records with which that journal began are damaged")

    def _fold(self, data: bytes, known: Fold, *, current: bool, base: int) -> None:
        """Take in every whole line; say which is the first that is none."""
        kind, name = "journal" if current else "older-journal", layout.journal(base)
        lines = data.split(b"\n")
        is_told = False
        for number, line in enumerate(lines[:-1], 1):
            self._step()
            entry = journal.unpack(line)
            if number == 1 and entry is not None and entry.get("format") not in (None, FORMAT_KNOWN):
                self._wrong("format", name, "unknown")
            if entry is None or (number == 1 and entry.get("base") != base):
                if not is_told:
                    told = "line" if current and number > 1 else kind
                    self._wrong(told, name, f"line {number} is damaged", count=number)
                is_told = True
                known.take(None)
                continue
            known.take(entry)
            if current and isinstance(entry.get("at"), str):
                self._found.last_commit_s = _seconds(entry["at"])
        if lines[-1] and not is_told and not current:
            self._wrong(kind, name, "its last line was never finished", count=len(lines[-1]))

    def _look_at_end(self, tail: Tail) -> None:
        """What is behind `applied`, now that it stands still."""
        name, header, size = layout.journal(tail.header.base), tail.header, len(tail.data)
        first = journal.unpack(tail.data.split(b"\n", 1)[0])
        has_format = not any(one.kind == "format" for one in self._found.damage)  # else its marks are others anyway
        if has_format and first is not None and first.get("base") == header.base and self._is_copy(first):
            self._wrong("copy", layout.JOURNAL_FOLDER, "its marks are those of another folder")
        if tail.pids:
            self._wrong("guard", layout.GUARD, "held", pids=tail.pids)
        if size < header.applied:
            self._wrong("journal", name, "it is shorter than the header says", count=header.applied - size)
            return
        if tail.data[header.applied - 1 : header.applied] != b"\n":
            self._wrong("journal", name, "the header names no end of a line")
            return
        rest = tail.data[header.applied :]
        end, count = 0, 0
        pending: Latest = {}
        for behind, entry in journal.whole_lines(rest):
            take(entry, pending)
            end, count = behind, count + 1
        if any(journal.commits(rest[end:])):
            self._wrong("journal", name, "a whole line stands behind one that is damaged")
        elif rest[end:] and not tail.pids:
            self._wrong("torn", name, "the last line was never finished", count=len(rest) - end)
        self._pending = set(pending)
        if count and not tail.pids:
            self._wrong("unapplied", name, "committed, and not yet in the records", count=count)

    def _is_copy(self, first: dict[str, Any]) -> bool:
        try:
            made = os.stat(layout.FORMAT, dir_fd=self._fd, follow_symlinks=False).st_ctime_ns
        except FileNotFoundError:
            made = 0
        return first.get("inode") != os.fstat(self._guard).st_ino or first.get("made") != made

    # -- records ------------------------------------------------------------------------------------------------------

    def _look_at_records(self, latest: Latest) -> Iterator[Damage]:
        known, compared = set(), Compared(self._fd)
        for key in list(latest):
            self._step()
            path = layout.record(key)
            known.add(path)
            why = compared.against_journal(key, path, latest[key])
            if why and key not in self._pending:
                yield Damage("record", path, why, key=key)
        count = sum(value is not None for _, value in latest.values())
        for path in self._files():
            if path in known:
                continue
            self._step()
            count += 1
            why = compared.alone(path)
            if why:
                yield Damage("unreadable", path, why, key=collection_of(path))
        self._found.facts["record_count"] = count

    def _files(self) -> Iterator[str]:
        """Every file that is a record by its place and name."""
        for name in self._names(".") or []:
            if name.endswith(".lock") or name in _IN_THE_ROOT:
                yield name
        for folder in COLLECTIONS:
            for name in self._names(folder) or []:
                if folder in _PER_OWNER:
                    owner = f"{folder}/{name}"
                    yield from (f"{owner}/{one}" for one in self._names(owner) or [] if one.endswith(".json"))
                elif name.endswith(".json"):
                    yield f"{folder}/{name}"


def _seconds(text: str) -> float | None:
    try:
        return parse_iso(text)
    except ValueError:
        return None
