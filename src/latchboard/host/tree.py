"""Work tree: which name a path is locked under.

Law 1. Every spelling of one file gives one name: relative, absolute, `..`, symbolic links, a dangling link (its
target), Unicode forms (NFC), and letter case where, and only where, the file system folds it.
Law 2. Different files have different names, but for those that differ in Unicode form alone: "under-merging loses data,
over-merging costs a wait".
Law 3. A path that cannot be named is refused (`UsageError`); it is never given a name that protects nothing.

A name is relative to the root, with `/` between its parts; a folder ends in `/`; the root itself is `./`; what lies
outside is named by its absolute path. A file whose name would begin with `glob:` or `hardlink:` is written with `./`
before it.

Does not see that two bind mounts show one folder; a file with several hard links is known by its inode as well
(`names`).

Protocol: protocol/lock.md, "Names".
"""

from __future__ import annotations

import errno
import os
from stat import S_ISDIR, S_ISLNK, S_ISREG

from latchboard.errors import UsageError
from latchboard.host.root import root_of, shared_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.host.staged import Staged

__all__ = ["WorkTree", "root_of", "shared_root"]

PATH_BYTES_MAX = 4096
"""Longest path and longest name, bytes in UTF-8: PATH_MAX of Linux."""
GLOB = "glob:"
HARD_LINK = "hardlink:"
_RESERVED = (GLOB, HARD_LINK)
# O_PATH opens nothing: no permission to read is needed, and a FIFO does not block.
_O_PATH = getattr(os, "O_PATH", 0) | os.O_CLOEXEC
_PLAIN_PARTS_COUNT_MAX = 3
_NOT_PLAIN = frozenset(("", ".", ".."))
_HAS_O_PATH = hasattr(os, "O_PATH")


class WorkTree:
    """The files under one root, and their names.

    Args:
        root: Folder that names are relative to. It need not exist.
    """

    __slots__ = ("_folds", "_prefix", "root")

    def __init__(self, root: str | os.PathLike[str] = ".") -> None:
        text = _text(root)
        try:
            self.root: str = os.path.realpath(text)
        except (OSError, ValueError) as exc:
            raise UsageError(f"cannot find the folder {text}: {exc}", hint="name an existing folder") from exc
        self._folds: bool | None = None
        self._prefix = ""

    def canonical(self, path: str | os.PathLike[str], *, cwd: str | os.PathLike[str] | None = None) -> str:
        """The name of the file or folder at `path`, whether it exists or not.

        Args:
            path: Absolute, or relative to the root. A folder that does not exist yet is told by its trailing slash.
            cwd: What a relative path is relative to instead of the root.

        Raises:
            UsageError: An empty path, a NUL byte, more than 4096 bytes, text that is no Unicode, symbolic links in a
                loop, a file with a trailing slash.
        """
        return self._resolve(self._full(path, cwd))[0]

    def names(self, path: str | os.PathLike[str], *, cwd: str | os.PathLike[str] | None = None) -> tuple[str, ...]:
        """All names to lock for `path`: its own, and `hardlink:<device>-<inode>` for a file with several hard links.

        A string that starts with `glob:` is a pattern and comes back as it is, and so does a well-formed `hardlink:`
        name. Objects such as `pathlib.Path` are always paths.

        Raises:
            UsageError: As for `canonical`.
        """
        if isinstance(path, str) and path.startswith(_RESERVED):
            return (_reserved_name(_text(path)),)
        plain = self._plainly(path) if type(path) is str and cwd is None else None
        name, _, status = plain or self._resolve(self._full(path, cwd))
        if status is not None and status.st_nlink > 1 and S_ISREG(status.st_mode):
            return name, f"{HARD_LINK}{status.st_dev}-{status.st_ino}"
        return (name,)

    def real(self, path: str | os.PathLike[str], *, cwd: str | os.PathLike[str] | None = None) -> str:
        """Where `path` leads on this disk: absolute, without symbolic links, spelled as the disk spells it.

        Raises:
            UsageError: As for `canonical`.
        """
        return _locate(self._full(path, cwd))[0]

    def stage(self, path: str | os.PathLike[str], data: bytes, *, cwd: str | os.PathLike[str] | None = None) -> Staged:
        """Write `data` beside the file at `path`, ready to take its place in one step (`Staged.publish`).

        Raises:
            UsageError: As for `canonical`; or it is a folder, a device, or in a folder that does not exist.
            StoreError: The system refused: no space, read-only, not permitted.
        """
        from latchboard.host import staged

        name, real, status = self._resolve(self._full(path, cwd))
        if name.endswith("/"):
            raise UsageError(f"{name} is a folder, and only a file can be written")
        return staged.stage(real, name, status, data)

    def spell(self, text: str) -> str:
        """A part of a name as names spell it: NFC, and folded where the file system folds case."""
        self._name(self.root, is_folder=True)  # has the file system looked at, once
        return _spell(text, folds_case=bool(self._folds))

    def _full(self, path: str | os.PathLike[str], cwd: str | os.PathLike[str] | None) -> str:
        text = path if type(path) is str and path.isascii() and 0 < len(path) <= 1024 else _text(path)
        if "\0" in text:
            raise UsageError(f"a path cannot hold a NUL byte: {text[:80]!r}")
        if text[0] == "/":
            return text
        return f"{self.root if cwd is None else self._full(cwd, None)}/{text}"

    def _resolve(self, full: str) -> tuple[str, str, os.stat_result | None]:
        """Name, real path and status of what is at `full`, an absolute path."""
        real, status = _locate(full)
        is_folder = full.endswith(("/", "/.", "/.."))
        if status is not None:
            if is_folder and not S_ISDIR(status.st_mode):
                raise UsageError(f"{full} is a file, not a folder", hint="leave out the slash at its end")
            is_folder = S_ISDIR(status.st_mode)
        return self._name(real, is_folder=is_folder), real, status

    def _plainly(self, path: str) -> tuple[str, str, os.stat_result] | None:
        """As `_resolve`, for a short relative path that exists and has no link in it; None for any other.

        Looking at two or three parts costs half of what asking /proc does, and that is most paths.
        """
        parts = path.split("/")
        if len(parts) > _PLAIN_PARTS_COUNT_MAX or not path.isascii() or not _NOT_PLAIN.isdisjoint(parts):
            return None
        real = self.root.rstrip("/")
        try:
            for part in parts:
                real = f"{real}/{part}"
                status = os.lstat(real)
                if S_ISLNK(status.st_mode):
                    return None
        except (OSError, ValueError):
            return None
        return self._name(real, is_folder=S_ISDIR(status.st_mode)), real, status

    def _name(self, real: str, *, is_folder: bool) -> str:
        folds = self._folds
        if folds is None:
            folds = _folds_case(self.root)
            # The prefix first: another thread may be looking at `_folds`.
            self._prefix = _spell(self.root.rstrip("/") + "/", folds_case=folds)
            self._folds = folds
        name = _spell(real, folds_case=folds)
        if is_folder and name[-1] != "/":
            name += "/"
        if name.startswith(self._prefix):
            name = name[len(self._prefix) :] or "./"
            if name.startswith(_RESERVED):
                name = "./" + name
        if len(name) > PATH_BYTES_MAX // 4 and len(name.encode()) > PATH_BYTES_MAX:
            raise UsageError(f"{name[:80]}... is longer than {PATH_BYTES_MAX} bytes")
        return name


def _text(path: object) -> str:
    """`path` as text.

    Raises:
        UsageError: It cannot be the path of a file.
    """
    try:
        text = os.fspath(path)  # type: ignore[call-overload]  # anything else is refused right here
    except TypeError as exc:
        raise UsageError(f"a path is text or a path object, not {type(path).__name__}") from exc
    if not isinstance(text, str):
        raise UsageError("a path is text, not bytes", hint="decode it first: os.fsdecode(path)")
    if not text:
        raise UsageError("a path cannot be empty", hint="the root folder is called ./")
    if "\0" in text:
        raise UsageError(f"a path cannot hold a NUL byte: {text[:80]!r}")
    if len(_encode(text)) > PATH_BYTES_MAX:
        raise UsageError(f"{text[:80]}... is longer than {PATH_BYTES_MAX} bytes")
    return text


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise UsageError(
            f"{text[:200]!r} is not Unicode text and cannot stand in a record", hint="rename that file or folder"
        ) from exc


def _reserved_name(name: str) -> str:
    if name.startswith(HARD_LINK):
        device, _, inode = name[len(HARD_LINK) :].partition("-")
        if not (name.isascii() and device.isdecimal() and inode.isdecimal()):
            raise UsageError(f"{name} is not hardlink:<device>-<inode>", hint=f"a file of that name is ./{name}")
    elif name == GLOB:
        raise UsageError("a pattern cannot be empty", hint="for example glob:src/**/*.py")
    return name


def _locate(full: str) -> tuple[str, os.stat_result | None]:
    """Where an absolute path leads, and what is there; one open(2) when it exists and the system has O_PATH."""
    if not _HAS_O_PATH:
        return _locate_slowly(full)
    try:
        fd = os.open(full, _O_PATH)
    except FileNotFoundError:
        return _locate_missing(full)
    except (OSError, ValueError):
        return _locate_slowly(full)
    try:
        real = os.readlink(f"/proc/self/fd/{fd}")
        status = os.fstat(fd)
    except OSError:  # no /proc
        return _locate_slowly(full)
    finally:
        os.close(fd)
    if real[0] != "/" or real.endswith(" (deleted)"):  # a pipe, a place outside this root, gone since the open
        return _locate_slowly(full)
    return real, status


def _locate_missing(full: str) -> tuple[str, os.stat_result | None]:
    """For a file that does not exist, in a folder that does, unless it is a dangling link."""
    bare = full.rstrip("/")
    parent, _, last = bare.rpartition("/")
    if last in ("", ".", ".."):
        return _locate_slowly(full)
    try:
        os.readlink(bare)
        return _locate_slowly(full)
    except FileNotFoundError:
        pass
    except OSError:  # it has just been made
        return _locate_slowly(full)
    try:
        fd = os.open(parent or "/", _O_PATH | os.O_DIRECTORY)
    except OSError:
        return _locate_slowly(full)
    try:
        folder = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return _locate_slowly(full)
    finally:
        os.close(fd)
    if folder[0] != "/" or folder.endswith(" (deleted)"):
        return _locate_slowly(full)
    return f"{folder.rstrip('/')}/{last}", None


def _locate_slowly(full: str) -> tuple[str, os.stat_result | None]:
    """By looking at each part of the path: works everywhere, without a descriptor, and in folders that do not exist."""
    try:
        real = os.path.realpath(full)
    except ValueError as exc:
        raise UsageError(f"{full[:200]!r} cannot be written in this system's encoding") from exc
    except OSError as exc:
        raise UsageError(f"cannot follow the symbolic links of {full}: {exc.strerror}") from exc
    try:
        return real, os.stat(real)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise UsageError(f"{full} leads in a circle of symbolic links", hint="see where it points: ls -l") from exc
        return real, None


def _spell(path: str, *, folds_case: bool) -> str:
    """The one spelling of a path: NFC, and without letter case where the file system has none."""
    if path.isascii():
        return path.lower() if folds_case else path
    _encode(path)
    from unicodedata import normalize

    if folds_case:  # canonical caseless matching of the Unicode standard (D145)
        path = normalize("NFD", normalize("NFD", path).casefold())
    return normalize("NFC", path)


def _folds_case(root: str) -> bool:
    """Whether names in `root` that differ in case alone are one file: looks an entry up under its other case."""
    for entry in _entries(root):
        folder, _, last = entry.rpartition("/")
        try:
            here = os.lstat(entry)
        except OSError:
            continue
        try:
            there = os.lstat(f"{folder}/{last.swapcase()}")
        except OSError:
            return False
        if S_ISDIR(here.st_mode) or here.st_nlink == 1:  # two hard links may differ in case alone
            return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
    return False


def _entries(root: str) -> list[str]:
    """Paths to probe with: the folder every project with a board has, and if need be whatever there is."""
    if os.path.isdir(f"{root}/data"):
        return [f"{root}/data"]
    try:
        found = [f"{root}/{name}" for name in os.listdir(root) if name.isascii() and name != name.swapcase()]
    except OSError:
        found = []
    return found[:8] or ([root] if root != root.swapcase() else [])
