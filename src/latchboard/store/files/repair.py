"""Repair: what is damaged in a store made whole again, as its own rules say, with a copy of what was there before.

Law 1. The copy comes first, and is there whole or not at all. Where it cannot be made, nothing is repaired.
Law 2. Nothing is invented: a record is made what its last commit says, under the guard, after it was looked at again;
the rest is the store's own recovery, which any commit would bring about.
Law 3. A record that decides who may write, and that no journal has, is left alone: to take it away would free it.

Protocol: protocol/health.md, "Repairs"; protocol/store.md, "Recovery".
"""

from __future__ import annotations

import errno
import os

from latchboard.errors import MalformedRecord, StoreFull, from_os_error
from latchboard.store.files import guard, layout, records, recovery
from latchboard.store.files.damage import DECIDING
from latchboard.store.files.folder import Folder, parse_format
from latchboard.store.files.journal_end import Fold, lines_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from latchboard.clock import Clock
    from latchboard.settings import Settings
    from latchboard.store.files.damage import Damage
    from latchboard.store.files.journal_end import Latest
    from latchboard.store.files.store import FileStore

BACKUPS = "backups"
PART = ".part"
"""Ends the name of a copy until it is whole: who is ended meanwhile leaves none that looks like one."""
WHO = "doctor"
_RECOVERED = ("torn", "unapplied", "journal", "copy")
_LOOK = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | getattr(os, "O_NOFOLLOW", 0)
_GUARD = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)


class Step:
    """One thing that is to be done, or was.

    Attributes:
        kind: `recover` (the store's own recovery), `format` (FORMAT is moved away, and made anew), `rotate` (a new
            journal is begun), `restore` (a record is made what its last commit says), `aside` (a record that cannot be
            read is moved away).
        where: The file, relative to the folder; "" for all of it.
        key: Of the record.
    """

    __slots__ = ("key", "kind", "where")

    def __init__(self, kind: str, where: str = "", key: str = "") -> None:
        self.kind = kind
        self.where = where
        self.key = key

    def to_json(self) -> dict[str, str]:
        """As `--json` has it."""
        return {"kind": self.kind, "where": self.where, "key": self.key}


def plan(damage: Iterable[Damage]) -> list[Step]:
    """What can be repaired, in the order in which it is done."""
    damage = list(damage)
    steps = [Step("format", one.where) for one in damage if one.kind == "format" and one.why == "unreadable"]
    if any(one.kind in _RECOVERED or (one.kind == "format" and one.why != "unknown") for one in damage):
        steps.append(Step("recover"))
    steps += [Step("rotate", one.where) for one in damage if one.kind == "line"]
    steps += [Step("restore", one.where, one.key) for one in damage if one.kind == "record"]
    steps += [Step("aside", one.where) for one in damage if one.kind == "unreadable" and one.key not in DECIDING]
    return steps


class Repairer:
    """Repairs one store.

    Args:
        store: The store.
        clock: For the time of a new journal.
        settings: Of the store.
    """

    __slots__ = ("_clock", "_mode", "_path", "_settings", "_store")

    def __init__(self, store: FileStore, clock: Clock, settings: Settings) -> None:
        self._store = store
        self._path = store.path
        self._clock = clock
        self._settings = settings
        self._mode = 0o660 if settings.shared else 0o600

    def apply(self, steps: list[Step], name: str) -> tuple[str, list[Step]]:
        """Copy what will be changed, then repair.

        Args:
            steps: From `plan`.
            name: Of the copy's folder: a time.

        Returns:
            Where the copy is, absolute, and the steps that were done: what was right by then is none of them.

        Raises:
            StoreError: The copy could not be made, and nothing was changed; or the store refused, with the copy there.
        """
        backup = f"{BACKUPS}/{name}"
        try:
            folder = os.open(self._path, _LOOK)
        except OSError as exc:
            raise from_os_error(exc, "open", self._path) from exc
        try:
            _copy_all(folder, steps, backup, self._mode)
            done = []
            for step in steps:
                if step.kind == "format":
                    is_moved = self._move_format(folder, f"{backup}/unreadable/{step.where}")
                    done += [step] if is_moved else []
                elif step.kind == "recover":
                    self._store.transact(lambda _: None, who=WHO)
                    done.append(step)
        except OSError as exc:
            raise from_os_error(exc, "repair", self._path) from exc
        finally:
            os.close(folder)
        return f"{self._path}/{backup}", [*done, *self._under_the_guard(steps, backup)]

    def _move_format(self, folder: int, to: str) -> bool:
        """Move FORMAT away, if it still cannot be read. Whoever makes one has the guard: this has it, too."""
        records.make_folders(folder, layout.GUARD, self._mode)
        fd = os.open(layout.GUARD, _GUARD, self._mode, dir_fd=folder)
        try:
            wait_s_max = self._settings.guard_wait_s_max
            guard.lock(fd, shared=False, wait_s_max=wait_s_max, path=f"{self._path}/{layout.GUARD}")
            if not _is_format_unreadable(folder):
                return False
            _move(folder, layout.FORMAT, to, self._mode)
            return True
        finally:
            os.close(fd)

    def _under_the_guard(self, steps: list[Step], backup: str) -> list[Step]:
        """What must not meet a commit."""
        wanted = [step for step in steps if step.kind in ("rotate", "restore", "aside")]
        done: list[Step] = []

        def repair() -> None:
            folder = Folder(self._path, mode=self._mode, writing=True)
            try:
                latest = _folded(folder)
                done.extend(step for step in wanted if self._is_done(folder, step, latest, backup))
            except OSError as exc:
                raise from_os_error(exc, "repair", self._path) from exc
            finally:
                folder.close()

        if wanted:
            self._store.transact(lambda _: None, who=WHO, effect=repair)
        return done

    def _is_done(self, folder: Folder, step: Step, latest: Latest, backup: str) -> bool:
        """Do it, if there still is need; the guard is held."""
        if step.kind == "rotate":
            return self._rotate(folder, step.where)
        if step.kind == "restore":
            return _restore(folder, step.key, latest)
        if not _is_unreadable(folder, step.where):
            return False
        _move(folder.fd, step.where, f"{backup}/unreadable/{step.where}", self._mode)
        return True

    def _rotate(self, folder: Folder, name: str) -> bool:
        """Begin a new journal, if the damaged one is still the current one: records do not depend on it."""
        header = guard.read_header(folder.guard)
        if header is None or layout.journal(header.base) != name or not folder.open_journal(header.base):
            return False
        recovery.rotate(folder, header, self._clock.now(), self._settings)
        return True


def _folded(folder: Folder) -> Latest:
    """The last commit of each record, as far as the journals that are kept can be believed; the guard is held."""
    known = Fold()
    header = guard.read_header(folder.guard)
    for base in recovery.bases(folder):
        if header is not None and base <= header.base:
            for entry in lines_of(recovery.content(folder, base), base):
                known.take(entry)
    return known.latest


def _restore(folder: Folder, key: str, latest: Latest) -> bool:
    """Make a record what its last commit says. False: it is that already, or no journal has it any more."""
    if key not in latest:
        return False
    revision, value = latest[key]
    path = layout.record(key)
    try:
        data = records.read(folder.fd, path)
        found = None if data is None else records.unpack(key, data, path)
    except MalformedRecord:
        found = (key, {}, -1)
    if (found is None and value is None) or (found is not None and (found[1], found[2]) == (value, revision)):
        return False
    puts, deletes = ({}, [key]) if value is None else ({key: value}, [])
    recovery.apply(folder, {"revision": revision, "puts": puts, "deletes": deletes})
    return True


def _is_format_unreadable(folder: int) -> bool:
    """Whether there is one, and it is none."""
    try:
        data = records.read(folder, layout.FORMAT)
        if data is not None:
            parse_format(data)
    except (MalformedRecord, ValueError, KeyError):
        return True
    return False


def _is_unreadable(folder: Folder, path: str) -> bool:
    try:
        data = records.read(folder.fd, path)
        return data is not None and layout.record(records.unpack(None, data, path)[0]) != path
    except MalformedRecord:
        return True


# -- the copy ---------------------------------------------------------------------------------------------------------


def _copy_all(folder: int, steps: list[Step], backup: str, mode: int) -> None:
    """FORMAT, the journals with what they began with, every record that will be changed. Raises OSError, StoreFull."""
    names = [layout.FORMAT, layout.GUARD, *(step.where for step in steps if step.where)]
    try:
        fd = os.open(layout.JOURNAL_FOLDER, _LOOK, dir_fd=folder)
    except OSError as exc:
        if exc.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
    else:
        try:
            names += [f"{layout.JOURNAL_FOLDER}/{one}" for one in os.listdir(fd) if _is_of_a_journal(one)]
        finally:
            os.close(fd)
    names = list(dict.fromkeys(names))
    space = os.fstatvfs(folder)
    block = max(space.f_frsize, 1)
    needed = 2 * sum(-(-_size(folder, name) // block) for name in names)  # however small, each takes a block
    if space.f_bavail < needed:
        raise StoreFull(
            f"a copy of what would be repaired needs {needed * block / 1000:.0f} kB",
            hint="free some space; nothing was changed",
        )
    part, made = f"{backup}{PART}", list[str]()
    try:
        records.make_folders(folder, f"{part}/x", mode)
        for name in names:
            _copy(folder, name, f"{part}/{name}", mode, made)
        os.rename(part, backup, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        _take_back(folder, made, [f"{part}/x", *(f"{part}/{name}" for name in names)])
        raise


def _take_back(folder: int, made: list[str], paths: list[str]) -> None:
    """Remove what was made of a copy that will not be whole, and the folders of its `paths`."""
    for path in made:
        records.discard(folder, path)
    above = {path[:end] for path in paths for end, one in enumerate(path) if one == "/"}
    for path in sorted(above, reverse=True):
        try:
            os.rmdir(path, dir_fd=folder)
        except OSError:
            continue  # not ours, or not to be had: by its name it is a part


def _is_of_a_journal(name: str) -> bool:
    return any(layout.journal_base(name, ending) is not None for ending in ("jsonl", "records"))


def _size(folder: int, name: str) -> int:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_size
    except OSError:
        return 0


def _copy(folder: int, name: str, to: str, mode: int, made: list[str]) -> None:
    """One file; what is none (a link, a folder, what never ends) is moved, not lost, where it must go."""
    try:
        data = records.read(folder, name, bytes_max=records.JOURNAL_BYTES_MAX)
    except MalformedRecord:
        return
    if data is None:
        return
    records.make_folders(folder, to, mode)
    fd = os.open(to, _NEW, mode, dir_fd=folder)
    made.append(to)
    try:
        records.write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def _move(folder: int, name: str, to: str, mode: int) -> None:
    records.make_folders(folder, to, mode)
    os.rename(name, to, src_dir_fd=folder, dst_dir_fd=folder)
