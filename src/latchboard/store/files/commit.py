"""Commit: append one line, make the record files say the same, move the header on. The guard is held exclusively.

Order: stage every file, line, renames and deletes, header. What can fail for want of space comes before the line is
whole: at every instant whole lines and files agree, or the line is there and the next writer finishes it. A file shows
its name only when it is whole, so that whoever reads it by itself never meets half a record (K43, failures 3.14).

An effect runs between the line and its newline, which commits it: there is room for the line by then, and none of it
counts yet.

Protocol: protocol/store.md, "Commit".
"""

from __future__ import annotations

import os

from latchboard.errors import StoreError, StoreUnavailable, from_os_error
from latchboard.store.checks import check_commit, check_value, check_who
from latchboard.store.files import guard, journal, layout, records
from latchboard.store.files.spare import SPARE_BYTES_MAX, is_surely_short
from latchboard.store.files.trouble import raise_typed
from latchboard.store.port import TRACE_PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from latchboard.store.files.folder import Folder
    from latchboard.store.files.guard import Header
    from latchboard.store.files.view import FileView
    from latchboard.store.port import Properties


class Plan:
    """What a commit will write.

    Attributes:
        puts: Key to value, as JSON text.
        deletes: Keys.
        files: Path to content of every record file.
        replaced: Those that replace a file.
        spared: Those that may be written into a spare.
        folders: Below the store's, where something will be written or removed.
        line: Of the journal.
        traces: Keys that are put into the line alone.
    """

    __slots__ = ("deletes", "files", "folders", "line", "puts", "replaced", "spared", "traces")

    def __init__(self, view: FileView, at: str, who: str, limits: Properties) -> None:
        """Raises UsageError for what cannot be kept, MalformedRecord for what cannot be replaced or removed."""
        changes, revision = view.changes, view.revision
        if len(changes) > limits.transaction_keys_max:
            check_commit(changes, limits.transaction_keys_max)
        self.puts: dict[str, str] = {}
        self.deletes: list[str] = []
        self.files: dict[str, bytes] = {}
        self.replaced: set[str] = set()
        self.spared: set[str] = set()
        self.traces: list[str] = []
        self.folders: set[str] = set()
        for key, value in changes.items():
            path = layout.record(key)  # refuses a key that cannot be kept
            trace = key.startswith(TRACE_PREFIX)
            if value is None:
                if trace:
                    check_commit(changes, limits.transaction_keys_max)
                self.deletes.append(key)
                if key not in view.known:
                    view.has_file(key, path)
                if "/" in path:
                    self.folders.add(path.rpartition("/")[0])
                continue
            text = self.puts[key] = check_value(key, value, limits.value_bytes_max)
            if trace:
                self.traces.append(key)
            else:
                data = self.files[path] = records.pack(key, revision, text)
                if view.has_file(key, path):
                    self.replaced.add(path)
                if len(data) <= SPARE_BYTES_MAX:
                    self.spared.add(path)
                if "/" in path:
                    self.folders.add(path.rpartition("/")[0])
        if not who.isascii():
            check_who(who)
        self.line = journal.commit_line(revision, at, who, self.puts, self.deletes)


def commit(folder: Folder, header: Header, view: FileView, plan: Plan, effect: Callable[[], None] | None) -> None:
    """Do what `plan` says and move `header` on.

    Raises:
        StoreError: Nothing was committed, unless the message says otherwise.
    """
    missing = [where for where in plan.folders if not folder.check_inside(where)]
    staged = _stage(folder, plan, missing)
    try:
        if effect is None:
            _append(folder, header, plan.line)
        else:
            _append_around(folder, header, plan.line, effect)
    except BaseException:
        for temporary in staged.values():
            folder.spares.discard(folder.fd, temporary)
        raise
    _apply(folder, staged, plan)
    header.written = b""  # whoever is interrupted from here on reads it anew
    header.applied += len(plan.line)
    header.last = view.revision
    try:
        guard.write_header(folder.guard, header)
    except OSError as exc:
        if exc.errno is None:
            raise
        # It is committed and the files say so: no error now. The next writer finds the line and moves the header on.


def _stage(folder: Folder, plan: Plan, missing: list[str]) -> dict[str, str]:
    """Write every file under a name that nobody reads; path to temporary name."""
    staged: dict[str, str] = {}
    try:
        for path, data in plan.files.items():
            replaces, spare = path in plan.replaced, None
            if path in plan.spared and path.rpartition("/")[0] not in missing:
                spare = folder.spares.fill(folder.fd, data, folder.mode, replaces=replaces)
            staged[path] = spare or records.stage(folder.fd, path, data, folder.mode, replaces=replaces)
    except OSError as exc:
        for temporary in staged.values():
            folder.spares.discard(folder.fd, temporary)
        raise_typed(exc, "write", folder.path)
    return staged


def _append(folder: Folder, header: Header, line: bytes) -> None:
    """The commit point. A short or failed append is cut back before anybody can see it."""
    try:
        records.write_all(folder.journal, line)
    except BaseException as exc:
        _cut(folder, header, exc)
        if isinstance(exc, OSError):
            raise_typed(exc, "write", folder.path)
        raise


def _append_around(folder: Folder, header: Header, line: bytes, effect: Callable[[], None]) -> None:
    """The line, the effect, the newline. When the effect raises, the line is cut back."""
    _append(folder, header, line[:-1])
    try:
        effect()
    except BaseException as exc:
        _cut(folder, header, exc)
        raise
    try:
        _append(folder, header, line[-1:])
    except StoreError as exc:
        raise StoreUnavailable(
            f"{exc.message}; what it stands for is done, but not recorded",
            hint="look at the file before you try again",
            path=folder.path,
        ) from exc


def _cut(folder: Folder, header: Header, cause: BaseException) -> None:
    """Take the line back."""
    try:
        os.ftruncate(folder.journal, header.applied)
    except OSError:
        _unknown(folder, cause)


def _unknown(folder: Folder, cause: BaseException) -> NoReturn:
    raise StoreUnavailable(
        f"cannot write {folder.path}: {cause}; nor could it be taken back: the outcome is unknown till the next commit",
        hint="look before you try again: if the line was written whole, the next commit finishes it",
        path=folder.path,
    ) from cause


def _apply(folder: Folder, staged: dict[str, str], plan: Plan) -> None:
    """Renames and deletes: they need no space. If one fails the commit stands, and the next writer finishes it."""
    try:
        for path, temporary in staged.items():
            folder.spares.publish(folder.fd, temporary, path, replaces=path in plan.replaced)
        for key in plan.deletes:
            path = layout.record(key)
            if not folder.spares.keep(folder.fd, path, is_short=is_surely_short(key)):
                records.delete(folder.fd, path)
    except OSError as exc:
        if exc.errno is None:
            raise
        error = from_os_error(exc, "finish a commit in", folder.path)
        raise StoreError(
            f"{error.message}; it is committed and the next writer finishes it", hint=error.hint, path=folder.path
        ) from exc
