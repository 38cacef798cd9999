"""Folder: the open descriptors of one store, and what must be true of the folder before it is used.

Open anew whenever the guard at the path is not the guard that is open: the folder was wiped, moved or replaced
(failures 3.3). What cannot be moved or copied with the folder (inodes, and when FORMAT was made) is in the first line
of every journal, so that a copy, or a restored backup, is known for what it is and never gives a revision again.

Protocol: protocol/layout.md, "Opening".
"""

from __future__ import annotations

import errno
import os
import stat

from latchboard.codec import decode, encode
from latchboard.errors import ProtocolError, UnsafeFolder, UnsupportedVersion, from_os_error
from latchboard.store.files import guard, journal, layout, records
from latchboard.store.files.spare import Spares
from latchboard.store.files.trouble import unsafe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.store.files.guard import Header

FORMAT_KNOWN = 1
FORMAT_ELSEWHERE = 0
STORE_ELSEWHERE, STORE_COPYING = "elsewhere", "copying"
_OPEN = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_FIRST_LINE_BYTES_MAX = 4096
_NEVER = (0, 0)
_SOUND_COUNT_MAX = 4096


class Folder:
    """Descriptors of the folder, its guard and its current journal.

    Attributes:
        path: The folder, absolute.
        writing: Whether guard and journal are open for writing.
        fd: Of the folder; everything is opened relative to it.
        guard: Of `journal/guard`.
        freeing: The context that frees the guard.
        guard_path: Absolute, for the check that it is still the same file.
        journal: Of the current journal, -1 while none is open.
        base: Which journal that is.
        store_id: From `FORMAT`; empty while the store is being made.
        header: As this process last saw it.
        spares: Files that records have left, to be used again.
        is_copy: The journal was written for another guard: this folder is a copy of the one it came from.
        keeps_past: Whoever began the journal kept what the records were.
    """

    __slots__ = (
        "_identity",
        "_sound",
        "base",
        "fd",
        "freeing",
        "guard",
        "guard_path",
        "header",
        "is_copy",
        "journal",
        "keeps_past",
        "mode",
        "path",
        "spares",
        "store_id",
        "writing",
    )

    def __init__(self, path: str, *, mode: int, writing: bool) -> None:
        """Open the folder; `writing` makes what is missing.

        Raises:
            FileNotFoundError: There is no store there, and `writing` is false.
            StoreError: It cannot be opened. UnsafeFolder: something else stands there.
            UnsupportedVersion: Another format.
        """
        self.path = path
        self.mode = mode
        self.writing = writing
        self.guard_path = f"{path}/{layout.GUARD}"
        self.fd = self.guard = self.journal = -1
        self.base = 0
        self.store_id = ""
        self.is_copy = False
        self.keeps_past = True
        self.header: Header | None = None
        self.spares = Spares()
        self._sound: set[str] = {""}
        self._identity = _NEVER
        self.freeing = guard.Freeing(-1)
        self.freeing.forget()
        try:
            if not os.path.isdir(path):
                refuse_between_renames(path)
                if writing:
                    from latchboard.store.files import skeleton

                    skeleton.make(path, mode)
            self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _OPEN)
            self.read_format()  # who is refused makes nothing, and is told why
            self._open_guard()
            status = self._regular(self.guard, layout.GUARD)
            self._identity = (status.st_dev, status.st_ino)
            self.freeing = guard.Freeing(self.guard)
        except FileNotFoundError:
            self.close()
            raise
        except OSError as exc:
            self.close()
            self._refuse_planted()
            raise from_os_error(exc, "open", path) from exc
        except BaseException:
            self.close()
            raise

    def __del__(self) -> None:
        """A signal handler may raise between opening and keeping: what nobody has is closed."""
        if self._identity == _NEVER or self.guard < 0 or not self.is_lost():
            self.close()

    def _open_guard(self) -> None:
        if not self.writing:
            self.guard = os.open(layout.GUARD, os.O_RDONLY | _OPEN, dir_fd=self.fd)
            return
        records.make_folders(self.fd, layout.GUARD, self.mode)
        self._refuse_planted()
        self.guard = os.open(layout.GUARD, os.O_RDWR | os.O_CREAT | _OPEN, self.mode, dir_fd=self.fd)
        if self.mode & 0o060 and os.fstat(self.guard).st_size == 0:
            os.fchmod(self.guard, self.mode)

    def _refuse_planted(self) -> None:
        """Refuse a symbolic link, or anything else that is no folder, where a folder of the store belongs."""
        for path in (self.path, f"{self.path}/{layout.JOURNAL_FOLDER}"):
            if os.path.islink(path) or (os.path.exists(path) and not os.path.isdir(path)):
                raise unsafe(path, "something that is no folder stands where a folder of the store belongs")

    def _regular(self, fd: int, name: str) -> os.stat_result:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise unsafe(f"{self.path}/{name}", "something that is no file stands where a file of the store belongs")
        return status

    def is_current(self) -> bool:
        """Whether the guard at the path is still the one that is open. Raises StoreError."""
        try:
            status = os.stat(self.guard_path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as exc:
            raise from_os_error(exc, "look at", self.guard_path) from exc
        return (status.st_dev, status.st_ino) == self._identity

    def check_inside(self, where: str) -> bool:
        """Whether a folder is there; refuses one that a symbolic link leads out of here. `where` is relative.

        A repository may bring such a link along (failures 3.26). Each folder is looked at once.
        """
        if where in self._sound:
            return True
        parts = where.split("/")
        for depth in range(1, len(parts) + 1):
            try:
                mode = os.stat("/".join(parts[:depth]), dir_fd=self.fd, follow_symlinks=False).st_mode
            except FileNotFoundError:
                return False
            except OSError as exc:
                raise from_os_error(exc, "look at", f"{self.path}/{where}") from exc
            if not stat.S_ISDIR(mode):
                raise unsafe(f"{self.path}/{where}", "something that is no folder stands where records belong")
        if len(self._sound) > _SOUND_COUNT_MAX:
            self._sound = {""}
        self._sound.add(where)
        return True

    def marks(self) -> dict[str, int]:
        """What no copy of this folder has: goes into the first line of a journal."""
        try:
            made = os.stat(layout.FORMAT, dir_fd=self.fd, follow_symlinks=False).st_ctime_ns
        except FileNotFoundError:
            made = 0
        return {"inode": self._identity[1], "made": made}

    def read_format(self) -> None:
        """Read `FORMAT`. Raises UnsupportedVersion for another format, ProtocolError for one that cannot be read."""
        data = records.read(self.fd, layout.FORMAT)
        if data is None:
            return
        path = f"{self.path}/{layout.FORMAT}"
        try:
            number, store_id = parse_format(data)
        except (ValueError, KeyError) as exc:
            raise ProtocolError(f"{path} cannot be read: {exc}", hint="restore the file; nothing was changed") from exc
        _check_format(number, path, store_id)
        self.store_id = store_id

    def write_format(self, store_id: str) -> None:
        """Make `FORMAT` with this store id, on the disk. The guard is held."""
        text = encode({"format": FORMAT_KNOWN, "store_id": store_id}) + "\n"
        temporary = records.stage(self.fd, layout.FORMAT, text.encode(), self.mode)
        fd = os.open(temporary, os.O_RDONLY | _OPEN, dir_fd=self.fd)
        try:
            os.fsync(fd)  # an empty FORMAT after a power cut would stop everybody
        finally:
            os.close(fd)
        records.publish(self.fd, temporary, layout.FORMAT)
        self.store_id = store_id

    def open_journal(self, base: int) -> bool:
        """Make the journal with this base the current one; false: it is missing, or its first line is not its own.

        Raises:
            UnsafeFolder: It is no file.
            UnsupportedVersion: It says another format.
        """
        self.close_journal()
        flags = (os.O_RDWR | os.O_APPEND if self.writing else os.O_RDONLY) | _OPEN
        try:
            fd = os.open(layout.journal(base), flags, dir_fd=self.fd)
        except FileNotFoundError:
            return False
        try:
            self._regular(fd, layout.journal(base))
            first = journal.unpack(os.pread(fd, _FIRST_LINE_BYTES_MAX, 0).split(b"\n", 1)[0])
            if first is None or first.get("base") != base:
                return False
            _check_format(first.get("format"), f"{self.path}/{layout.journal(base)}")
            self.is_copy = any(first.get(name) != mark for name, mark in self.marks().items())
            self.keeps_past = "records" in first
            self.journal, fd = fd, -1
            self.base = base  # last: who sees it finds the rest done
            return True
        finally:
            if fd >= 0:
                os.close(fd)

    def close_journal(self) -> None:
        fd, self.journal, self.base = self.journal, -1, 0
        if fd >= 0:
            os.close(fd)

    def is_lost(self) -> bool:
        """Whether somebody closed the descriptors; they are forgotten then, and not closed again.

        A program that becomes a daemon closes every one there is, and the next files that it opens get their numbers:
        what is written to the journal would be written into those.
        """
        try:
            status = os.fstat(self.guard)
        except OSError as exc:
            if exc.errno != errno.EBADF:
                return False
        else:
            if (status.st_dev, status.st_ino) == self._identity:
                return False
        self.freeing.forget()
        self.fd = self.guard = self.journal = -1
        return True

    def close(self) -> None:
        """Close every descriptor. In a forked child this must not unlock, and closing does not (failures 3.8)."""
        self.close_journal()
        self.freeing.forget()
        fd, self.guard = self.guard, -1
        if fd >= 0:
            os.close(fd)
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def self_test(self) -> None:
        """Refuse a folder where locks do not exclude. The guard is held by this process; see decision 0004.

        A second descriptor in this process and one in a child must both be turned away.

        Raises:
            UnsafeFolder: They were not: some network and container mounts say yes to everybody (failures 3.7).
        """
        from latchboard.store.files import mount

        mount.warn_if_network(self.path)
        if self._second_gets_it() or self._child_gets_it():
            raise UnsafeFolder(
                f"file locks do not exclude in {self.path}: a second taker got a lock that is held",
                hint="put the project on a local disk",
                path=self.path,
            )

    def _second_gets_it(self) -> bool:
        return _gets(os.open(layout.GUARD, os.O_RDWR | _OPEN, dir_fd=self.fd))

    def _child_gets_it(self) -> bool:
        if not hasattr(os, "fork"):
            return False
        try:
            pid = os.fork()
        except OSError:
            return False  # no process to be had: then the second descriptor must do
        if pid == 0:
            status = 2
            try:
                status = 1 if _gets(os.open(self.guard_path, os.O_RDWR | _OPEN)) else 0
            finally:
                os._exit(status)  # the descriptors of the parent were closed at the fork
        try:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
        except ChildProcessError:
            return False  # SIGCHLD is ignored in this process


def parse_format(data: bytes) -> tuple[int, str]:
    """The number and the store's id in `FORMAT`. Raises ValueError, KeyError."""
    found = decode(data)
    number, store_id = found["format"], found["store_id"]
    if not isinstance(store_id, str) or not store_id or type(number) is not int:
        raise ValueError("wrong types")
    return number, store_id


def format_in(path: str) -> tuple[int, str]:
    """The number and the store's id that a folder says; nothing is followed, and nothing blocks.

    Raises:
        OSError: There is no FORMAT (FileNotFoundError), or something that is no file.
        ValueError, KeyError: It is none.
    """
    fd = os.open(f"{path}/{layout.FORMAT}", os.O_RDONLY | _OPEN)
    try:
        return parse_format(os.read(fd, _FIRST_LINE_BYTES_MAX))
    finally:
        os.close(fd)


def refuse_between_renames(path: str) -> None:
    """Refuse a place that a copy has taken away and not yet filled: it would look like no store, in which all is free.

    Raises:
        UnsupportedVersion: So it is.
    """
    try:
        number, store_id = format_in(f"{path}.before")
    except (OSError, ValueError, KeyError):
        return
    if (number, store_id) == (FORMAT_ELSEWHERE, STORE_COPYING) and not os.path.lexists(path):
        _check_format(number, f"{path}.before", store_id)


def _gets(fd: int) -> bool:
    try:
        return guard.try_lock(fd, shared=False)
    finally:
        os.close(fd)


def _check_format(number: object, path: str, store_id: str = "") -> None:
    if number == FORMAT_ELSEWHERE and store_id == STORE_COPYING:
        raise UnsupportedVersion(
            f"{path} says that a copy into this folder was not finished: it is no store yet",
            hint="run `latchboard store copy` again",
            found=number,
            known=FORMAT_KNOWN,
        )
    if number == FORMAT_ELSEWHERE:
        raise UnsupportedVersion(
            f"{path} says that this project's store is elsewhere",
            hint="say where, as the others do: `store` in latchboard.toml, or LATCHBOARD_STORE; nothing was changed",
            found=number,
            known=FORMAT_KNOWN,
        )
    if number != FORMAT_KNOWN:
        raise UnsupportedVersion(
            f"{path} says format {number}; this version knows {FORMAT_KNOWN}",
            hint="use a newer latchboard for this project; nothing was changed",
            found=number,
            known=FORMAT_KNOWN,
        )
