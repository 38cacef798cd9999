"""Scenes: a file store in a known state, what is done to it, and whether what is left makes sense."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latchboard.settings import Settings
from latchboard.store.files import guard, journal, layout
from latchboard.store.files.store import FileStore
from latchboard.testing.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from latchboard.store.files.guard import Header
    from latchboard.store.port import Change, View, Watch

State = dict[str, dict[str, Any]]
COLLECTIONS = ("agents/", "locks/", "messages/", "waiters/")
TINY = Settings(journal_bytes_max=1200, journals_kept_count=3)


class Scene:
    """A store in a folder, with a clock of its own.

    Attributes:
        root: The project's folder.
        path: The store's folder.
        store: Open on it.
    """

    def __init__(self, root: Path, settings: Settings | None = None, clock: ManualClock | None = None) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.path = root / layout.FOLDER
        self.clock = clock or ManualClock()
        self.settings = settings or Settings()
        self.store = self.open()

    def open(self) -> FileStore:
        return FileStore(str(self.root), clock=self.clock, settings=self.settings)

    def reopen(self) -> FileStore:
        """Close the store and open it again, as the next process would."""
        self.store.close()
        self.store = self.open()
        return self.store

    def commit(self, puts: State | None = None, *deletes: str, **options: Any) -> int:
        def fn(view: View) -> None:
            for key, value in (puts or {}).items():
                view.put(key, value)
            for key in deletes:
                view.delete(key)

        return self.store.transact(fn, who="scene", **options).revision

    # -- looking, with a store of its own -----------------------------------------------------------------------

    def state(self) -> State:
        """Every record, read by somebody else."""
        reader = self.open()
        try:
            snapshot = reader.read(*COLLECTIONS, "wide")
            found = {key: value for prefix in COLLECTIONS for key, value in snapshot.scan(prefix)}
            wide = snapshot.get("wide")
            return found if wide is None else {**found, "wide": wide}
        finally:
            reader.close()

    def history(self, *, after: int = 0) -> list[tuple[int, str, dict[str, Any] | None]]:
        """The changes that are kept, as a watcher gets them."""
        watch = self.store.watch("", after=after)
        try:
            return [(change.revision, change.key, change.value) for change in everything(watch)]
        finally:
            watch.close()

    # -- files --------------------------------------------------------------------------------------------------

    @property
    def guard(self) -> Path:
        return self.path / layout.GUARD

    def header(self) -> Header:
        fd = os.open(self.guard, os.O_RDONLY)
        try:
            header = guard.read_header(fd)
        finally:
            os.close(fd)
        assert header is not None
        return header

    def journals(self) -> list[Path]:
        return sorted((self.path / layout.JOURNAL_FOLDER).glob("*.jsonl"))

    def journal(self) -> Path:
        return self.path / layout.journal(self.header().base)

    def beginning(self) -> Path:
        return self.path / layout.beginning(self.header().base)

    def record(self, key: str) -> Path:
        return self.path / layout.record(key)

    def first_line(self) -> dict[str, Any]:
        line = journal.unpack(self.journal().read_bytes().split(b"\n")[0])
        assert line is not None
        return line

    def guard_is_free(self) -> bool:
        fd = os.open(self.guard, os.O_RDWR)
        try:
            return guard.try_lock(fd, shared=False)
        finally:
            os.close(fd)


def everything(watch: Watch) -> list[Change]:
    """What a watch gives until there is no more."""
    found: list[Change] = []
    while changes := watch.poll():
        found += changes
    return found


def replay(history: list[tuple[int, str, dict[str, Any] | None]]) -> State:
    """The state that the changes of a history lead to."""
    state: State = {}
    for _, key, value in history:
        if value is None:
            state.pop(key, None)
        elif not key.startswith("log/"):
            state[key] = value
    return state


def open_files(below: Path | None = None) -> frozenset[str]:
    """What this process has open, or only what is below a folder: number and file of each.

    So that what others close meanwhile is nobody's: a garbage collection ends what a test before has left, and a thread
    of its closes what it wrote. Without sockets: a thread of a store in etcd opens some by itself.
    """
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            leads_to = os.readlink(f"/proc/self/fd/{fd}")
            is_wanted = leads_to.startswith(f"{below}/") if below else not leads_to.startswith(("socket:", "/proc/"))
            found.add(f"{fd} {leads_to}" if is_wanted else "")
    return frozenset(found - {""})


def close_leftovers(place: Path) -> None:
    """Close what is open below a folder: left by a handler that raised right behind open(2), or by the "killed"."""
    for fd in os.listdir("/proc/self/fd"):
        try:
            leads_to = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue  # of the listing itself
        if leads_to.startswith(f"{place}/"):
            os.close(int(fd))


def quietly(call: Callable[[], Any], *errors: type[BaseException]) -> BaseException | None:
    """Call; the error it raised if it is one of those, None when it raised none."""
    try:
        call()
    except errors as exc:
        return exc
    return None
