"""Project files: the configuration files of a project, as an installation reads and replaces them; and its shelf.

Law 1. Only a plain file is read or replaced, and no symbolic link is followed on the way to it: what lies behind one
may belong to other projects.
Law 2. A file is replaced whole, by a rename, and keeps its mode; only if it is what it was when it was read.
Law 3. A killed process leaves at most a `.<name>.latchboard-<random>.tmp`, which the next one to write there removes.

Protocol: protocol/installation.md, "Files".
"""

from __future__ import annotations

import errno
import json
import os
import time
from contextlib import contextmanager
from hashlib import sha256
from stat import S_ISDIR, S_ISLNK, S_ISREG

from latchboard.errors import StoreBusy, UsageError, from_os_error
from latchboard.host import staged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

BYTES_MAX = 4 * 1024 * 1024
"""A configuration of this size is none; hidden in it could be anything."""
SHELF = "installed"
TURN_WAIT_S_MAX = 20.0
"""Setting up takes a second at the most; who takes longer is stopped."""
_POLL_S = 0.01
_PLAIN_HINT = "put a plain file of a sensible size in its place; nothing was changed"
_RECORD = "files.json"
_SAFE = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class ProjectFiles:
    """The files of the project in one folder, an absolute path without symbolic links."""

    __slots__ = ("_bytes_max", "_root")

    def __init__(self, root: str, *, bytes_max: int = BYTES_MAX) -> None:
        self._root = root.rstrip("/")
        self._bytes_max = bytes_max

    def read(self, name: str) -> bytes | None:
        """See installation/port.py."""
        status = self._looked(name)
        if status is None:
            return None
        path = f"{self._root}/{name}"
        if not S_ISREG(status.st_mode):
            what = "folder" if S_ISDIR(status.st_mode) else "device or a pipe"
            raise UsageError(f"{name} is a {what}", hint=_PLAIN_HINT)
        if status.st_size > self._bytes_max:
            raise UsageError(f"{name} is larger than {self._bytes_max:,} bytes", hint=_PLAIN_HINT)
        try:
            fd = os.open(path, os.O_RDONLY | _SAFE)
            with open(fd, "rb") as file:
                data = file.read(self._bytes_max + 1)
        except FileNotFoundError:
            return None  # an editor has just moved it away
        except OSError as exc:
            raise from_os_error(exc, "read", path) from exc
        if not status.st_mode & 0o222 or not (os.access(path, os.W_OK) or not os.path.lexists(path)):
            raise UsageError(f"{name} is read-only", hint="make it writable; nothing was changed")
        return data

    def write(self, name: str, data: bytes, *, instead_of: bytes | None) -> None:
        """See installation/port.py."""
        self._is_still(name, instead_of)
        path = f"{self._root}/{name}"
        missing = self.missing_folders(name)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            sweep(path)
            status = os.lstat(path) if instead_of is not None else None
        except OSError as exc:
            raise from_os_error(exc, "write", path) from exc
        try:
            with staged.stage(path, name, status, data) as new:
                self._is_still(name, instead_of)
                new.publish()
        except BaseException:
            self.prune(missing)
            raise

    def delete(self, name: str, *, instead_of: bytes) -> None:
        """See installation/port.py."""
        self._is_still(name, instead_of)
        path = f"{self._root}/{name}"
        try:
            sweep(path)
            os.unlink(path)
        except OSError as exc:
            raise from_os_error(exc, "remove", path) from exc

    def prune(self, folders: tuple[str, ...]) -> None:
        """See installation/port.py."""
        for folder in reversed(folders):
            path = f"{self._root}/{folder}"
            try:
                os.rmdir(path)
            except OSError as exc:
                if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR):
                    raise from_os_error(exc, "remove", path) from exc

    def missing_folders(self, name: str) -> tuple[str, ...]:
        """See installation/port.py."""
        return tuple(folder for folder in _folders(name) if not self.has(folder))

    def has(self, name: str) -> bool:
        """See installation/port.py."""
        return os.path.lexists(f"{self._root}/{name}")

    def link_to(self, name: str) -> str:
        """See installation/port.py."""
        path = f"{self._root}/{name}"
        found = os.path.realpath(path)
        return found.removeprefix(f"{self._root}/") if os.path.islink(path) and found.startswith(self._root) else ""

    def is_in_git(self) -> bool:
        """Whether git takes care of this folder: a repository that is one, here or above."""
        folder = self._root or "/"
        while not os.path.exists(f"{folder}/.git"):
            above = os.path.dirname(folder)
            if above == folder:
                return False
            folder = above
        return True

    def has_repository(self) -> bool:
        """Whether a repository lies in this very folder, and git would know it."""
        return os.path.isfile(f"{self._root}/.git") or os.path.isfile(f"{self._root}/.git/HEAD")

    def _looked(self, name: str) -> os.stat_result | None:
        """What lies there, with plain folders on the way; None for nothing."""
        for folder in _folders(name):
            status = self._lstat(folder)
            if status is None:
                return None
            if S_ISLNK(status.st_mode):
                raise UsageError(f"{folder} is a symbolic link")
            if not S_ISDIR(status.st_mode):
                raise UsageError(f"{folder} is no folder")
        found = self._lstat(name)
        if found is not None and S_ISLNK(found.st_mode):
            raise UsageError(f"{name} is a symbolic link", hint=_PLAIN_HINT)
        return found

    def _lstat(self, name: str) -> os.stat_result | None:
        path = f"{self._root}/{name}"
        try:
            return os.lstat(path)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise from_os_error(exc, "look at", path) from exc

    def _is_still(self, name: str, data: bytes | None) -> None:
        if self.read(name) != data:
            raise StoreBusy(f"{name} was changed meanwhile", hint="do it again", waited_s=0.0, pids=[])


class KeptFiles:
    """The shelf beside a store: what was installed, and the bytes from before.

    Args:
        store: The store's folder, absolute; it must be there.
        place: Which project's: the folder of the files, as told apart from others that share the store.
        is_shared: Others of the group use the store. What is kept may be secret, and is nobody else's.
    """

    __slots__ = ("_folder", "_has_turn", "_is_shared", "_place")

    def __init__(self, store: str, place: str, *, is_shared: bool = False) -> None:
        self._folder = f"{store}/{SHELF}"
        self._place = place
        self._is_shared = is_shared
        self._has_turn = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """See installation/port.py."""
        is_there = os.path.isdir(os.path.dirname(self._folder))
        if self._has_turn or not is_there:  # no store: nothing is known, and nothing will be kept
            yield
            return
        path = f"{self._folder}/turn"
        try:
            self._make_folder()
            fd = os.open(path, os.O_RDWR | os.O_CREAT | _SAFE, 0o600)
        except OSError as exc:
            raise from_os_error(exc, "lock", path) from exc
        try:
            self._lock(fd, path)
            self._has_turn = True
            yield
        finally:
            self._has_turn = False
            os.close(fd)

    def _lock(self, fd: int, path: str) -> None:
        import fcntl

        if self._is_shared and os.fstat(fd).st_uid == os.geteuid():
            os.fchmod(fd, 0o660)
        deadline = time.monotonic() + TURN_WAIT_S_MAX
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as exc:
                if exc.errno not in (errno.EAGAIN, errno.EACCES):
                    raise from_os_error(exc, "lock", path) from exc
            if time.monotonic() > deadline:
                raise StoreBusy(
                    f"another process has been setting up here for {TURN_WAIT_S_MAX:g} s",
                    hint=f"a stopped one has it: fuser {path}",
                    waited_s=TURN_WAIT_S_MAX,
                    pids=[],
                )
            time.sleep(_POLL_S)

    def load(self) -> dict[str, Any]:
        """See installation/port.py."""
        found = self._all().get(self._place)
        if not isinstance(found, dict):
            return {}
        return {name: entry for name, entry in found.items() if _is_entry(entry)}

    def save(self, record: dict[str, Any]) -> None:
        """See installation/port.py."""
        places = {**self._all(), self._place: record}
        if not record:
            del places[self._place]
        if not places:
            self._drop(_RECORD)
            return
        text = json.dumps({"format": 1, "places": places}, indent=2) + "\n"
        self._write(_RECORD, text.encode())

    def keep(self, data: bytes) -> str:
        """See installation/port.py."""
        name = sha256(data).hexdigest()
        if self.fetch(name) is None:
            self._write(name, data)
        return name

    def fetch(self, name: str) -> bytes | None:
        """See installation/port.py."""
        data = self._read(name) if len(name) == 64 and name.isalnum() else None
        return data if data is not None and sha256(data).hexdigest() == name else None

    def forget_all_but(self, names: set[str]) -> None:
        """See installation/port.py: what other places refer to stays, too."""
        for place in self._all().values():
            names = names | {entry["before"] for entry in place.values() if _is_entry(entry) and entry["before"]}
        try:
            for name in os.listdir(self._folder):
                if len(name) == 64 and name not in names:
                    self._drop(name)
        except OSError as exc:
            raise from_os_error(exc, "tidy up", self._folder) from exc

    def _make_folder(self) -> None:
        try:
            os.mkdir(self._folder, 0o700)
        except FileExistsError:
            return
        if self._is_shared:
            os.chmod(self._folder, 0o2770)

    def _drop(self, name: str) -> None:
        path = f"{self._folder}/{name}"
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise from_os_error(exc, "remove", path) from exc

    def _all(self) -> dict[str, Any]:
        data = self._read(_RECORD)
        try:
            found = json.loads(data) if data is not None else {}
        except ValueError:
            return {}  # it is as if nothing were known: ours is taken out by what it looks like
        places = found.get("places") if isinstance(found, dict) and found.get("format") == 1 else None
        return places if isinstance(places, dict) else {}

    def _read(self, name: str) -> bytes | None:
        path = f"{self._folder}/{name}"
        try:
            fd = os.open(path, os.O_RDONLY | _SAFE)
            with open(fd, "rb") as file:
                return file.read(BYTES_MAX + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise from_os_error(exc, "read", path) from exc

    def _write(self, name: str, data: bytes) -> None:
        path = f"{self._folder}/{name}"
        try:
            self._make_folder()
            sweep(path)
            status = os.lstat(path) if os.path.lexists(path) else None
        except OSError as exc:
            raise from_os_error(exc, "write", path) from exc
        with staged.stage(path, name, status, data) as new:
            new.publish()


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("after"), str):
        return False
    folders = entry.get("folders")
    is_named = entry.get("before", "") is None or isinstance(entry.get("before"), str)
    return is_named and isinstance(folders, list) and all(isinstance(one, str) for one in folders)


def _folders(name: str) -> list[str]:
    """The folders on the way to a file, the outermost first."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def sweep(path: str) -> None:
    """Remove what a killed process left beside a file."""
    folder, last = os.path.split(path)
    for name in os.listdir(folder):
        if name.startswith(f".{last}.latchboard-") and name.endswith(".tmp"):
            os.unlink(f"{folder}/{name}")
