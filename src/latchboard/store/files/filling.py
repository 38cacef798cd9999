"""Filling: a whole store out of a folder, and a folder made a store by what is copied into it.

What is copied is a store beside the place, `data/.agent_locks.copy`; when all of it is there and verified it takes the
place. Until then FORMAT in the place says that no store is there, as it does where the store is in etcd.

Protocol: protocol/etcd.md, "Copying".
"""

from __future__ import annotations

import os

from latchboard.codec import encode
from latchboard.errors import MalformedRecord, StoreBusy, UsageError, from_os_error
from latchboard.store.copying import Whole
from latchboard.store.files import guard, layout, records, skeleton
from latchboard.store.files.damage import ALONE, COLLECTIONS
from latchboard.store.files.folder import FORMAT_ELSEWHERE, STORE_COPYING, STORE_ELSEWHERE, format_in
from latchboard.store.files.guard import Header
from latchboard.store.files.mirror import FOLDERS
from latchboard.store.files.store import FileStore
from latchboard.store.port import FOLDERS_PER_OWNER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from latchboard.clock import Clock
    from latchboard.settings import Settings
    from latchboard.store.copying import Part

WHO = "store copy"
_NO_RECORDS = ("journal", "bells", "kept", "installed", "backups", "queue_file")
"""Folders beside the records that have none."""
_NOTHING, _ELSEWHERE, _UNFINISHED = (0, ""), (FORMAT_ELSEWHERE, STORE_ELSEWHERE), (FORMAT_ELSEWHERE, STORE_COPYING)
_OF_MIRROR = (*FOLDERS, layout.STATUS_BOARD, layout.JOURNAL_FOLDER)
"""What is not kept of a place that was no store: a mirror, and what whoever was refused there has made."""


def everything(store: FileStore, damaged: list[MalformedRecord] | None = None) -> Whole:
    """All records of a store, of one revision. Nothing is written, not even what a dead writer left to do.

    Those that cannot be read are added to `damaged`, where it is given.

    Raises:
        MalformedRecord: One cannot be read.
        StoreError: The folder cannot be read.
    """
    try:
        keys = list(_keys(store.path, is_patient=damaged is not None))
    except OSError as exc:
        raise from_os_error(exc, "read", store.path) from exc
    prefixes = {"locks/", "queue/", *(f"{name}/" for name in COLLECTIONS)}
    prefixes |= {f"{key.partition('/')[0]}/" for key in keys if "/" in key}
    # Those that a dead writer has committed, and not put into their files yet, are read by whoever asks for them.
    alone = sorted({*ALONE, *(key for key in keys if "/" not in key)})
    found = store.read(*sorted(prefixes), *alone)
    whole: dict[str, Any] = {key: value for prefix in prefixes for key, value in found.scan(prefix, damaged=damaged)}
    for key in alone:
        try:
            value = found.get(key)
        except MalformedRecord as exc:
            if damaged is None:
                raise
            damaged.append(exc)
        else:
            whole |= {} if value is None else {key: value}
    return Whole(found.revision, whole)


def _keys(path: str, *, is_patient: bool) -> Iterator[str]:
    """What the files say that they are; of one that is damaged its place, where they are to be told apart later."""
    if not os.path.isdir(path):
        return
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in _files(path):
            try:
                data = records.read(fd, name)
                if data is not None:
                    yield records.unpack(None, data, name)[0]
            except MalformedRecord:
                if not is_patient:
                    raise
                yield name.removesuffix(".json")
    finally:
        os.close(fd)


def _files(path: str) -> Iterator[str]:
    """Every record that is no lock; those are all in one collection."""
    for entry in sorted(os.listdir(path)):
        if os.path.isdir(f"{path}/{entry}"):
            if entry in _NO_RECORDS or entry.startswith("."):
                continue
            folders = [entry]
            if f"{entry}/" in FOLDERS_PER_OWNER:
                folders = [f"{entry}/{owner}" for owner in sorted(os.listdir(f"{path}/{entry}"))]
            there = (one for one in folders if os.path.isdir(f"{path}/{one}"))  # the store itself refuses others
            names = (f"{one}/{name}" for one in there for name in sorted(os.listdir(f"{path}/{one}")))
            yield from (name for name in names if name.endswith(".json"))
        elif entry.endswith(".json") and entry != layout.STATUS_BOARD:
            yield entry


class Filling:
    """A copy into the folder of a project."""

    def __init__(self, root: str, *, clock: Clock, settings: Settings) -> None:
        self._place = f"{os.path.realpath(root)}/{layout.FOLDER}"
        self._staged, self._before = f"{self._place}.copy", f"{self._place}.before"
        self._lock_path = f"{self._staged}.lock"
        self._store = FileStore(root, clock=clock, settings=settings)
        self._store.path = self._staged
        self._mode = 0o660 if settings.shared else 0o600
        self._lock = -1

    def begin(self, above: int, source: str) -> None:
        is_begun = False
        try:
            skeleton.make_above(self._place, self._mode)
            self._take_lock()
            self._take_up()
            self._refuse_store()
            os.makedirs(self._place, exist_ok=True)
            self._mark(source)
            _drop(self._staged)
            skeleton.make(self._staged, self._mode)
            self._seed(above)
            is_begun = True
        except OSError as exc:
            raise from_os_error(exc, "make", self._staged) from exc
        finally:
            if not is_begun:
                self.close()

    def _take_lock(self) -> None:
        """Raises StoreBusy, OSError."""
        lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, self._mode)
        # Whoever ends removes the file: one that was open before that keeps nobody out.
        if guard.try_lock(lock, shared=False) and _is_at(lock, self._lock_path):
            self._lock = lock
            return
        os.close(lock)
        raise StoreBusy(f"somebody else copies into {self._place} now", hint="see what becomes of that")

    def _refuse_store(self) -> None:
        """Raises UsageError: there is a store, or something that may be one, or something else is in the way."""
        try:
            said = format_in(self._place)
        except FileNotFoundError:
            said = _NOTHING
        except (ValueError, KeyError, OSError):
            said = (-1, "")
        if said not in (_NOTHING, _ELSEWHERE, _UNFINISHED) or os.path.islink(self._place) or _has_records(self._place):
            raise UsageError(
                f"there is a store in {self._place} already",
                hint="move that folder away, or name another project; nothing was changed",
            )
        if said != _UNFINISHED and os.path.lexists(self._staged):
            raise UsageError(
                f"{self._staged} is in the way: a copy is made there",
                hint="move that elsewhere; nothing was changed",
            )

    def _mark(self, source: str) -> None:
        """Have the place say that it is no store."""
        told = {"format": FORMAT_ELSEWHERE, "store_id": STORE_COPYING, "store": source}
        place = os.open(self._place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            staged = records.stage(place, layout.FORMAT, f"{encode(told)}\n".encode(), 0o644)
            records.publish(place, staged, layout.FORMAT)
        finally:
            os.close(place)

    def _seed(self, above: int) -> None:
        """A header whose journal is lost: the first commit settles, far above what was given before."""
        journal = f"{self._staged}/{layout.JOURNAL_FOLDER}"
        if not os.path.isdir(journal):
            os.mkdir(journal, 0o700)
        with open(f"{self._staged}/{layout.GUARD}", "wb") as file:
            os.fchmod(file.fileno(), self._mode)
            file.write(Header(1, 1, above, "none").pack())

    def put(self, part: Part) -> None:
        def change(view: Any) -> None:
            for key, value in part:
                view.put(key, value)

        self._store.transact(change, who=WHO, durable=True)

    def everything(self) -> Whole:
        return everything(self._store)

    def finish(self) -> None:
        """Put it into its place; what else lay there (kept bytes, backups) stays."""
        self._store.transact(lambda _: None, who=WHO, durable=True)  # there may have been no record
        try:
            os.rename(self._place, self._before)
            os.rename(self._staged, self._place)
            self._sync()
            self._tidy()
        except OSError as exc:
            raise from_os_error(exc, "put a copy into", self._place) from exc
        finally:
            self.close()

    def _sync(self) -> None:
        """Have it in its place on the disk: the source may be removed now."""
        above = os.open(os.path.dirname(self._place), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(above)
        finally:
            os.close(above)

    def close(self) -> None:
        """Let another copy begin; harmless when it was done already."""
        self._store.close()
        lock, self._lock = self._lock, -1
        if lock >= 0:
            records.discard(lock, self._lock_path)  # an absolute path: of no folder; nobody is kept out by what is left
            os.close(lock)

    def _take_up(self) -> None:
        """What one that was killed inside `finish` has left. Raises UsageError: it is somebody else's."""
        if not os.path.lexists(self._before):
            return
        if not self._is_left():
            raise UsageError(
                f"{self._before} is in the way: a copy puts there for a moment what it replaces",
                hint="move that elsewhere; nothing was changed",
            )
        if os.path.isdir(self._place):
            self._tidy()
        else:
            os.rename(self._before, self._place)

    def _is_left(self) -> bool:
        """Whether what lies beside the place lay in it, when a copy of ours took that."""
        try:
            return format_in(self._before) == _UNFINISHED
        except FileNotFoundError:
            return os.path.isdir(self._before) and not os.listdir(self._before)
        except (ValueError, KeyError, OSError):
            return False

    def _tidy(self) -> None:
        """Bring what lay in the place before, and is none of the store's, back into it; a mirror is no record."""
        for name in os.listdir(self._before):
            if name not in (*_OF_MIRROR, layout.FORMAT) and not os.path.lexists(f"{self._place}/{name}"):
                os.rename(f"{self._before}/{name}", f"{self._place}/{name}")
        for name in (*_OF_MIRROR, layout.FORMAT):  # last what says whose it is
            _drop(f"{self._before}/{name}")
        if not os.listdir(self._before):
            os.rmdir(self._before)


def _has_records(place: str) -> bool:
    """Whether records lie there besides those of a mirror, or the history of some."""
    names = set(os.listdir(place)) if os.path.isdir(place) else set()
    of_store = {*COLLECTIONS, "queue", *(f"{name}.json" for name in ALONE)}.difference(FOLDERS)
    journal = f"{place}/{layout.JOURNAL_FOLDER}"
    is_begun = os.path.isdir(journal) and any(layout.journal_base(name) is not None for name in os.listdir(journal))
    return is_begun or not names.isdisjoint(of_store) or any(name.endswith(".lock") for name in names)


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _drop(path: str) -> None:
    """Remove a file, a folder and all that is in it, or a link; harmless where there is none. Raises OSError."""
    import shutil

    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
