"""View: the state inside a transaction of the file store, read from the record files as it is asked for."""

from __future__ import annotations

import os

from latchboard.codec import decode
from latchboard.errors import MalformedRecord, UsageError, from_os_error
from latchboard.store.checks import check_collection
from latchboard.store.files import layout, records
from latchboard.store.files.trouble import unsafe
from latchboard.store.port import Properties, belongs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.settings import Settings
    from latchboard.store.files.folder import Folder
    from latchboard.store.port import Entries

KEYS_MAX = 100_000
"""Most keys of one commit."""


def properties_of(settings: Settings) -> Properties:
    """Of a store in files."""
    return Properties(
        engine="files",
        spans_hosts=False,
        survives_restart=True,
        value_bytes_max=settings.value_bytes_max,
        transaction_keys_max=KEYS_MAX,
    )


class FileView:
    """Reads go to the files, once per key; puts and deletes stay here until the commit.

    Attributes:
        revision: What this commit will be.
        now: The instant of this commit; none where nothing is committed.
        changes: Key to its new value, None for deleted, in the order of the first change.
        known: Keys that were read: key to whether there is a file.

    `overlay` has values that count instead of the files (a dead writer's); `carried` has what this process's last
    commit left, as JSON text, where nobody has committed since.
    """

    __slots__ = ("_cached", "_carried", "_folder", "_overlaid", "changes", "known", "now", "revision")

    def __init__(
        self,
        folder: Folder,
        revision: int,
        now: Now | None = None,
        *,
        overlay: dict[str, Any] | None = None,
        carried: dict[str, str | None] | None = None,
    ) -> None:
        self._folder = folder
        self._carried = carried or {}
        self._cached: dict[str, Any] = overlay if overlay is not None else {}
        self._overlaid = [layout.record(key) for key in overlay] if overlay else ()
        self.revision = revision
        self.now: Any = now
        self.changes: dict[str, dict[str, Any] | None] = {}
        self.known: dict[str, bool] = {}

    @property
    def room(self) -> int:
        return KEYS_MAX - len(self.changes)

    def get(self, key: str) -> dict[str, Any] | None:
        if key in self.changes:
            return self.changes[key]
        if key in self._cached:
            cached: dict[str, Any] | None = self._cached[key]
            return cached
        if key in self._carried:
            text = self._carried[key]
            self.known[key] = text is not None
            value = None if text is None else decode(text)
        else:
            path = layout.record(key)
            data = records.read(self._folder.fd, path)
            self.known[key] = data is not None
            value = None if data is None else records.unpack(key, data, path)[1]
        self._cached[key] = value
        return value

    def scan(self, prefix: str, *, damaged: list[MalformedRecord] | None = None) -> Entries:
        check_collection(prefix)
        for path in files(self._folder.fd, prefix):
            if path in self._overlaid:
                continue  # the file may be half of what a dead writer had committed
            try:
                self._read_file(path, prefix)
            except MalformedRecord as exc:
                if damaged is None:
                    raise
                damaged.append(exc)
        everything = {**self._cached, **self.changes}
        return sorted((k, v) for k, v in everything.items() if v is not None and belongs(k, prefix))

    def _read_file(self, path: str, prefix: str) -> None:
        data = records.read(self._folder.fd, path)
        if data is None:
            return
        key, value, _ = records.unpack(None, data, path)
        if not is_path_of(key, path):
            raise records.malformed(path, path, f"it says that it is the record {key!r}")
        if key.startswith(prefix):
            self.known[key] = True
            self._cached.setdefault(key, value)

    def has_file(self, key: str, path: str) -> bool:
        """Whether a record that is put replaces a file."""
        known = self.known.get(key)
        return records.exists(self._folder.fd, path) if known is None else known

    def put(self, key: str, value: dict[str, Any]) -> None:
        if value is None:
            raise UsageError(f"nothing cannot be put under {key}", hint="delete it", key=key)
        self.changes[key] = value

    def delete(self, key: str) -> None:
        self.changes[key] = None


def is_path_of(key: str, path: str) -> bool:
    """Whether a record with this key belongs into that file."""
    try:
        return layout.record(key) == path
    except UsageError:
        return False


def files(folder: int, prefix: str) -> list[str]:
    """The record files of a collection."""
    where, ending, deeper = layout.scan_folder(prefix)
    if not deeper:
        return _listed(folder, where, ending, prefix)
    owners = [f"{where}/{owner}" for owner in names(folder, where)]
    return [path for owner in owners for path in _listed(folder, owner, ending, prefix)]


def _listed(folder: int, where: str, ending: str, prefix: str) -> list[str]:
    front = "" if where == "." else f"{where}/"
    return [
        f"{front}{name}" for name in names(folder, where) if name.endswith(ending) and layout.may_hold(name, prefix)
    ]


def names(folder: int, where: str) -> list[str]:
    """What lies in a folder; nothing in one that is not there."""
    try:
        fd = os.open(where, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        return []
    except NotADirectoryError as exc:
        raise unsafe(where, "something that is no folder stands where records belong") from exc
    except OSError as exc:
        raise from_os_error(exc, "list", where) from exc
    try:
        return os.listdir(fd)
    except OSError as exc:
        raise from_os_error(exc, "list", where) from exc
    finally:
        os.close(fd)
