"""Past: the records of a folder as they were at an earlier revision.

Of each journal that is kept it is known what the records were when it began (`beginning`) and what its commits changed:
that is the state at every revision in between, exactly. Nothing is carried over from one journal to the next, for a
power cut may lie between them.

Law 1. What cannot be known is `Compacted`: what is older than every journal, behind a damaged line, in a journal whose
beginning is missing, and between the last line that a power cut left and the journal after it.
Law 2. Nothing is written, no guard is taken (but by who asks for the present), no descriptor stays open.

A first look at a journal reads it whole; later ones read the lines that they show.

Protocol: protocol/store.md, "Reading the past".
"""

from __future__ import annotations

import os
from _thread import RLock

from latchboard.errors import Compacted, StoreUnavailable
from latchboard.store.files import beginning, guard, layout, recovery
from latchboard.store.files.beginning import Beginning
from latchboard.store.files.changes import Changes
from latchboard.store.files.folder import Folder
from latchboard.store.files.trouble import raise_typed
from latchboard.store.past import PastSnapshot, check_past, compacted, spread, too_late
from latchboard.store.port import belongs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from latchboard.store.files.guard import Header
    from latchboard.store.port import Snapshot, Value

    Wanted: TypeAlias = tuple[str, ...]

_TRIES = 5
_FIRST_LINE_BYTES_MAX = 4096
_NOT_KEPT = "what there was when its journal began was not kept"


class Past:
    """What was looked at so far of one folder's journals. Threads may share one."""

    __slots__ = ("_journals", "_mutex", "_path")

    def __init__(self, path: str) -> None:
        """Nothing is opened yet."""
        self._path = path
        self._mutex = RLock()
        self._journals: dict[int, Changes] = {}

    def read(self, wanted: Wanted, at: int, read_now: Callable[..., Snapshot]) -> Snapshot:
        """What was wanted as it was at that revision; see `Store.read`.

        Args:
            wanted: Keys and collections.
            at: Revision; 0: before the oldest commit that can be read on from.
            read_now: Reads the present: the newest revision is never unknown.
        """
        check_past(wanted, at)
        for name in wanted:
            layout.record(name)  # refuses a key that cannot be kept
        with self._mutex:
            for _ in range(_TRIES):
                found = self._try(wanted, at, read_now)
                if found is not None:
                    return found
        raise StoreUnavailable(f"the journals in {self._path} go away while they are read", hint="try again")

    def marks(self, count: int) -> list[tuple[int, str]]:
        """Revision and time of at most `count` commits, evenly spread over those that can be read, oldest first."""
        with self._mutex:
            try:
                folder = Folder(self._path, mode=0o600, writing=False)
            except FileNotFoundError:
                return []
            try:
                return self._marks(folder, count)
            except OSError as exc:
                raise_typed(exc, "read the journals in", self._path)
            finally:
                folder.close()

    def _marks(self, folder: Folder, count: int) -> list[tuple[int, str]]:
        header = guard.peek_header(folder.guard)
        bases = [base for base in recovery.bases(folder) if header is not None and base <= header.base]
        oldest = _oldest(folder, bases)
        if header is None or oldest is None:
            return []
        journals = [c for base in bases if base >= oldest and (c := self._changes(folder, header, base)) is not None]
        wanted = spread(sum(len(changes.commits) for changes in journals), count)
        found: list[tuple[int, str]] = []
        behind = 0
        for changes in journals:
            inside = [number - behind for number in wanted if 0 <= number - behind < len(changes.commits)]
            behind += len(changes.commits)
            if inside and folder.open_journal(changes.base):
                lines = [changes.line(folder.journal, changes.commits[number]) for number in inside]
                found += [(line["revision"], line["at"]) for line in lines if line is not None]
        return found

    def _try(self, wanted: Wanted, at: int, read_now: Callable[..., Snapshot]) -> Snapshot | None:
        """None: what was looked for has gone away, or come, in this very moment."""
        try:
            folder = Folder(self._path, mode=0o600, writing=False)
        except FileNotFoundError:
            return _present(read_now(*wanted), at)
        try:
            header = guard.peek_header(folder.guard)
            if header is None or at > header.last:
                now = _present(read_now(*wanted), at)
                if now is not None or header is None or not _is_still(folder, header):
                    return now
                at = header.last  # a dead writer's commit is the next one, and later than that
            try:
                return self._look(folder, header, wanted, at)
            except Compacted:
                now = read_now(*wanted) if at in (0, header.last) else None
                if now is None or at not in (0, now.revision):
                    raise
                return now
        except OSError as exc:
            raise_typed(exc, "read the journals in", self._path)
        finally:
            folder.close()

    # -- finding the place --------------------------------------------------------------------------------------------

    def _look(self, folder: Folder, header: Header, wanted: Wanted, at: int) -> Snapshot | None:
        bases = [base for base in recovery.bases(folder) if base <= header.base]
        self._forget_but(bases)
        if at == 0:
            oldest = _oldest(folder, bases)
            if oldest is None:
                raise compacted(at, header.last, "no journal says what there was when it began")
            return self._begun(folder, header, oldest, wanted, at)
        for base in reversed(bases):
            if at >= base:
                return self._inside(folder, header, base, wanted, at)
            previous = recovery.previous(folder, base)
            if 0 <= previous <= at:
                return self._begun(folder, header, base, wanted, at)
        raise self._unknown(folder, header, at, "its commits are not kept any more")

    def _begun(self, folder: Folder, header: Header, base: int, wanted: Wanted, at: int) -> Snapshot:
        """The state with which a journal began."""
        previous = beginning.previous(folder, base)
        begun = beginning.load(folder, base, but=set()) if wanted else Beginning()
        if begun is None or previous is None:
            raise self._unknown(folder, header, at, _NOT_KEPT)
        return PastSnapshot(previous, _wanted_of(begun, wanted), wanted, begun.damaged, layout.record)

    def _inside(self, folder: Folder, header: Header, base: int, wanted: Wanted, at: int) -> Snapshot | None:
        """The state after some commits of a journal: what it began with, and what was put since."""
        changes = self._changes(folder, header, base)
        if changes is None and base in recovery.bases(folder):
            raise self._unknown(folder, header, at, "its journal is damaged")
        if changes is None:
            return None
        if at >= base + changes.covered:
            raise self._unknown(folder, header, at, "its journal is damaged, or ends earlier since a power cut")
        newest = changes.newest(at) if wanted else {}
        paths = {changes.paths[number] for number in newest}
        begun = beginning.load(folder, base, but=paths) if wanted else Beginning()
        previous = beginning.previous(folder, base)
        if begun is None or previous is None:
            raise self._unknown(folder, header, at, _NOT_KEPT)
        found = _wanted_of(begun, wanted)
        for revision, keys in _by_revision(changes, newest, wanted).items():
            line = changes.line(folder.journal, revision)
            if line is None:
                raise self._unknown(folder, header, at, "its journal was damaged since it was first read")
            found.update((key, line["puts"][key]) for key in keys)
        return PastSnapshot(changes.commit_at(at) or previous, found, wanted, begun.damaged, layout.record)

    def _changes(self, folder: Folder, header: Header, base: int) -> Changes | None:
        """What is known of a journal, which is open then, up to its end; None: it cannot be opened."""
        if not folder.open_journal(base):
            return None
        first = os.pread(folder.journal, _FIRST_LINE_BYTES_MAX, 0).split(b"\n", 1)[0]
        changes = self._journals.get(base)
        if changes is None or changes.first != first:
            changes = self._journals[base] = Changes(base, first)
        changes.read_on(folder.journal, header.applied if base == header.base else os.fstat(folder.journal).st_size)
        return changes

    def _forget_but(self, bases: Iterable[int]) -> None:
        for base in self._journals.keys() - set(bases):
            del self._journals[base]

    def _unknown(self, folder: Folder, header: Header, at: int, why: str) -> Compacted:
        """The error, with the revision from which on everything can be told again."""
        bases = [base for base in recovery.bases(folder) if at < base <= header.base]
        begun = [base for base in bases if beginning.previous(folder, base) is not None]
        return compacted(at, max(at + 1, recovery.previous(folder, begun[0])) if begun else header.last, why)


def _present(now: Snapshot, at: int) -> Snapshot | None:
    """What is there now, if it is that; None: there was a commit since."""
    if at > now.revision:
        raise too_late(at, now.revision)
    return now if at == now.revision else None


def _is_still(folder: Folder, header: Header) -> bool:
    again = guard.peek_header(folder.guard)
    return again is not None and again.written == header.written


def _oldest(folder: Folder, bases: list[int]) -> int | None:
    """The oldest journal from which on every one says what it began with."""
    oldest = None
    for base in reversed(bases):
        if beginning.previous(folder, base) is None:
            break
        oldest = base
    return oldest


def _wanted_of(begun: Beginning, wanted: Wanted) -> dict[str, Value]:
    return {key: value for key, value in begun.values.values() if _is_wanted(key, wanted)}


def _by_revision(changes: Changes, newest: dict[int, int], wanted: Wanted) -> dict[int, list[str]]:
    """Which keys were put last in which commit; those that were deleted since are left out."""
    found: dict[int, list[str]] = {}
    for number, revision in newest.items():
        if revision > 0 and _is_wanted(key := changes.keys[number], wanted):
            found.setdefault(revision, []).append(key)
    return found


def _is_wanted(key: str, wanted: Wanted) -> bool:
    return any(key == name or belongs(key, name) for name in wanted)
