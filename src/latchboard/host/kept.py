"""Kept bytes: what files were, content-addressed, in a folder beside the store; and the look at a file that decides.

Law 1. `<folder>/<sha256>` is those bytes or it is not read: a file that does not match its name is as good as none.
Law 2. A file is there whole or not at all: written beside, renamed into place. Mode 0600 (0660 in a shared store).
Law 3. Only `sweep` removes, and only what nobody refers to, is old, and was not asked for again meanwhile.

Protocol: protocol/editing.md, "Kept bytes".
"""

from __future__ import annotations

import errno
import os
import time
from stat import S_IMODE, S_ISDIR, S_ISREG

from latchboard.errors import from_os_error
from latchboard.host.identity import sha256_new

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from typing import Any

FOLDER = "kept"
AGE_S_MIN = 600.0
"""What is younger may be somebody's who is about to refer to it."""

_GOING = ".going"
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | getattr(os, "O_NOFOLLOW", 0)
_CHUNK_BYTES = 1024 * 1024
_TRIES = 3


class Kept:
    """The kept bytes of one store, and the files under one root that they are of.

    Args:
        root: Paths are relative to it.
        folder: The store's folder, absolute; kept bytes lie in `kept/` below it, which is made when first needed.
        bytes_max: Largest file whose bytes are kept.
        hash_bytes_max: Largest file that is read at all.
        make_store: Makes the store's folder; called when it is missing, never inside a transaction.
        mode: Of the files made.
    """

    __slots__ = ("_bytes_max", "_folder", "_hash_bytes_max", "_make_store", "_mode", "_root")

    def __init__(
        self,
        root: str,
        folder: str,
        *,
        bytes_max: int,
        hash_bytes_max: int,
        make_store: Callable[[], object],
        mode: int = 0o600,
    ) -> None:
        self._root = root.rstrip("/")
        self._folder = f"{folder}/{FOLDER}"
        self._bytes_max = bytes_max
        self._hash_bytes_max = hash_bytes_max
        self._make_store = make_store
        self._mode = mode

    # -- looking ------------------------------------------------------------------------------------------------------

    def shows(self, path: str, image: Any) -> bool:
        """Whether a look at `path`, without reading it, shows the stamp of an image; None: that nothing is there.

        Raises:
            StoreError: The system will not say.
        """
        try:
            status = os.lstat(path if path[0] == "/" else f"{self._root}/{path}")
        except (FileNotFoundError, NotADirectoryError):
            return image is None
        except OSError as exc:
            if exc.errno == errno.ENAMETOOLONG:
                return image is None
            raise from_os_error(exc, "look at", path) from exc
        if image is None or image["inode"] != status.st_ino:
            return False
        if not S_ISREG(status.st_mode):
            return bool(image["kind"] == _stamp(status)["kind"])
        is_same: bool = (
            image["kind"] == "file"
            and image["ctime_ns"] == status.st_ctime_ns
            and image["mtime_ns"] == status.st_mtime_ns
            and image["size"] == status.st_size
        )
        return is_same

    def take(self, path: str, *, keep: bool = True) -> Any:
        """What is at `path`: read, and its bytes kept if they are few enough; None when nothing is there.

        Returns:
            Its stamp, and `sha256` (empty: not read), `kept`, `seen_ns` (when the look was, unix nanoseconds),
            `steady` (nobody wrote meanwhile).

        Raises:
            StoreError: It cannot be read, or its bytes cannot be kept.
        """
        for _ in range(_TRIES):
            found, data = self._read(path)
            if found is None or found["steady"]:
                break
        if keep and found is not None and data is not None:
            self.keep(data, found["sha256"])
            found["kept"] = True
        return found

    def _read(self, path: str) -> tuple[Any, bytes | None]:
        """What is there, and its bytes where they may be kept."""
        seen_ns = time.time_ns()
        try:
            fd = os.open(self._full(path), _READ)
        except (FileNotFoundError, NotADirectoryError):
            return None, None
        except OSError as exc:
            if exc.errno == errno.ENAMETOOLONG:  # this disk can have nothing of that name
                return None, None
            if exc.errno in (errno.ELOOP, errno.ENXIO, errno.EACCES, errno.EPERM):  # a link, a socket, not readable
                return self._look(path, seen_ns), None
            raise from_os_error(exc, "read", path) from exc
        try:
            status = os.fstat(fd)
            found = _found(status, seen_ns)
            if not S_ISREG(status.st_mode) or status.st_size > self._hash_bytes_max:
                return found, None
            data, found["sha256"] = _contents(fd, self._bytes_max, status.st_size)
            after = os.fstat(fd)
        except OSError as exc:
            raise from_os_error(exc, "read", path) from exc
        finally:
            os.close(fd)
        found["steady"] = _stamp(after) == _stamp(status)
        return found, data

    def _look(self, path: str, seen_ns: int) -> Any:
        """What is there, when it cannot be opened."""
        try:
            return _found(os.lstat(self._full(path)), seen_ns)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise from_os_error(exc, "look at", path) from exc

    def _full(self, path: str) -> str:
        return path if path[0] == "/" else f"{self._root}/{path}"

    # -- keeping ------------------------------------------------------------------------------------------------------

    def keep(self, data: bytes, digest: str = "") -> str:
        """Keep bytes; their SHA-256, by which they are found again.

        Raises:
            StoreError: There is no space, or no right to write there.
        """
        digest = digest or _hex(data)
        place = f"{self._folder}/{digest}"
        try:
            try:
                os.utime(place)  # young again: no sweep that is under way takes it
                if os.lstat(place).st_size == len(data):
                    return digest
            except FileNotFoundError:
                pass
            self._put(place, data)
        except OSError as exc:
            raise from_os_error(exc, "keep bytes in", place) from exc
        return digest

    def keep_small(self, data: bytes) -> tuple[str, bool]:
        """Keep bytes unless there are too many; their SHA-256, and whether they are kept."""
        digest = _hex(data)
        if len(data) > self._bytes_max:
            return digest, False
        return self.keep(data, digest), True

    def keep_named(self, name: str, data: bytes) -> str:
        """Keep bytes under a name of their own (a diff); the path, relative to the store's folder."""
        place = f"{self._folder}/{name}"
        try:
            self._put(place, data)
        except OSError as exc:
            raise from_os_error(exc, "keep bytes in", place) from exc
        return f"{FOLDER}/{name}"

    def _put(self, place: str, data: bytes) -> None:
        temporary = f"{place}.{os.getpid()}-{time.monotonic_ns():x}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        try:
            fd = os.open(temporary, flags, self._mode)
        except FileNotFoundError:
            self._make_folder()
            fd = os.open(temporary, flags, self._mode)
        try:
            try:
                if self._mode & 0o060:
                    os.fchmod(fd, self._mode)
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(fd, rest) :]
            finally:
                os.close(fd)
            os.replace(temporary, place)
        except BaseException:
            _unlink(temporary)
            raise

    def _make_folder(self) -> None:
        mode = 0o2770 if self._mode & 0o060 else 0o700
        if not os.path.isdir(os.path.dirname(self._folder)):
            self._make_store()
            os.makedirs(
                os.path.dirname(self._folder), mode=0o700, exist_ok=True
            )  # a store that is no folder makes none
        try:
            os.mkdir(self._folder, mode)
        except FileExistsError:
            return
        if self._mode & 0o060:
            os.chmod(self._folder, mode)

    def set_mode(self, path: str, mode: int) -> None:
        """Give the file at `path` the mode it had; where that is not allowed it keeps its own."""
        try:
            os.chmod(self._full(path), mode & 0o777)
        except PermissionError:
            return
        except OSError as exc:
            raise from_os_error(exc, "set the mode of", path) from exc

    def read(self, digest: str) -> bytes | None:
        """Kept bytes; None when they are not there, or are not what their name says."""
        data = self.read_named(digest)
        return data if data is not None and _hex(data) == digest else None

    def read_named(self, name: str) -> bytes | None:
        """What was kept under a name of its own; None when it is not there."""
        place = f"{self._folder}/{name}"
        try:
            fd = os.open(place, _READ)
            with open(fd, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise from_os_error(exc, "read", place) from exc

    # -- sweeping -----------------------------------------------------------------------------------------------------

    def sweep(self, referred: Container[str], *, dry_run: bool) -> list[str]:
        """Remove what nobody refers to and is older than `AGE_S_MIN`; the names of it.

        A file goes by two steps, so that one that is kept again in between comes back: it is renamed, looked at once
        more, and only then removed.

        Raises:
            StoreError: The folder cannot be read or written.
        """
        try:
            names = sorted(os.listdir(self._folder))
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise from_os_error(exc, "sweep", self._folder) from exc
        gone: list[str] = []
        for name in names:
            base = name.removesuffix(_GOING)
            if base in referred and base == name:
                continue
            place = f"{self._folder}/{name}"
            try:
                if base not in referred and not _is_old(place):
                    continue
                if base in referred or self._is_gone(place, dry_run=dry_run):
                    if base in referred:  # a sweep was killed between its two steps
                        os.rename(place, f"{self._folder}/{base}")
                    else:
                        gone.append(name)
            except FileNotFoundError:  # another sweep was faster
                continue
            except OSError as exc:
                raise from_os_error(exc, "sweep", place) from exc
        return gone

    def _is_gone(self, place: str, *, dry_run: bool) -> bool:
        if dry_run:
            return True
        going = place if place.endswith(_GOING) else place + _GOING
        os.rename(place, going)
        if _is_old(going):
            os.unlink(going)
            return True
        os.rename(going, place)
        return False


def _stamp(status: os.stat_result) -> dict[str, Any]:
    kind = "file" if S_ISREG(status.st_mode) else "folder" if S_ISDIR(status.st_mode) else "other"
    return {
        "kind": kind,
        "size": status.st_size if kind == "file" else 0,
        "mtime_ns": status.st_mtime_ns if kind == "file" else 0,
        "ctime_ns": status.st_ctime_ns if kind == "file" else 0,
        "inode": status.st_ino,
        "mode": S_IMODE(status.st_mode),
    }


def _found(status: os.stat_result, seen_ns: int) -> dict[str, Any]:
    """What `take` returns, of a file that has not been read."""
    return {**_stamp(status), "sha256": "", "kept": False, "seen_ns": seen_ns, "steady": True}


def _contents(fd: int, bytes_max: int, size: int) -> tuple[bytes | None, str]:
    """The bytes where they may be kept, and the digest of all of them."""
    if size <= bytes_max:
        data = bytearray()
        while len(data) <= bytes_max and (part := os.read(fd, _CHUNK_BYTES)):
            data += part
        if len(data) <= bytes_max:
            whole = bytes(data)
            return whole, _hex(whole)
        digest = sha256_new(bytes(data))
    else:
        digest = sha256_new(b"")
    while part := os.read(fd, _CHUNK_BYTES):
        digest.update(part)
    return None, str(digest.hexdigest())


def _hex(data: bytes) -> str:
    return str(sha256_new(data).hexdigest())


def _is_old(place: str) -> bool:
    return time.time() - os.lstat(place).st_mtime > AGE_S_MIN


def _unlink(place: str) -> None:
    try:
        os.unlink(place)
    except FileNotFoundError:
        return
