"""Secret file: one small file that its user alone can read, replaced whole or not at all.

Law 1. Mode 0600 from the first byte on; a file that others can read, own or have planted is refused, not mended.
Law 2. Readers need no lock: they see the old bytes or the new ones. Writers of this module compare and replace under a
kernel lock of their own (`<path>.guard`, never unlinked), so that no write is lost between two of them.
Law 3. A killed writer leaves the old file, and at most one `<path>.tmp` (0600), which the next writer removes.

A program that writes the file without the guard is met only by the comparison: what it writes in the few microseconds
between that and the rename is lost. POSIX alone.

Protocol: protocol/credential.md, "File".
"""

from __future__ import annotations

import errno
import os
import stat
import time

from latchboard.errors import HostError, StoreBusy, StoreForbidden, UnsafeFolder, from_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

BYTES_MAX = 1024 * 1024
GUARD_WAIT_S_MAX = 5.0  # a write takes milliseconds; five seconds means that its writer is stopped
_POLL_S = 0.002
_SAFE = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class SecretFile:
    """The file at one absolute path; nothing is opened or made before it is needed."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self) -> bytes | None:
        """Its bytes; None when there is none.

        Raises:
            StoreError: It cannot be read, or must not be trusted.
        """
        try:
            fd = os.open(self.path, os.O_RDONLY | _SAFE)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise from_os_error(exc, "read", self.path) from exc
        try:
            self._check_file(os.fstat(fd))
            with open(fd, "rb", closefd=False) as file:
                return file.read(BYTES_MAX + 1)
        except OSError as exc:
            raise from_os_error(exc, "read", self.path) from exc
        finally:
            os.close(fd)

    def replace(self, make: Callable[[], bytes], *, still: Callable[[], bool]) -> bool:
        """Replace the file with what `make` returns, on the disk when this returns.

        Args:
            make: The bytes, at most 1 MiB. A function, so that no frame has them among its locals when a write fails.
            still: Asked once, while no other writer is at it; False leaves the file as it is.

        Returns:
            What `still` said.

        Raises:
            StoreError: The file is what it was, unless the message says that it may be the new one.
        """
        self._make_folder()
        guard = self._take_guard()
        try:
            if not still():
                return False
            self._write(make)
            return True
        finally:
            _give_guard_back(guard)

    def set_aside(self, to: str, *, still: Callable[[], bool]) -> bool:
        """Rename the file, within its folder, if `still` says so while no other writer is at it.

        Raises:
            StoreError: The file is what it was.
        """
        guard = self._take_guard()
        try:
            if not still():
                return False
            os.link(self.path, to, follow_symlinks=False)  # unlike a rename, it writes over nothing
            os.unlink(self.path)
            return True
        except OSError as exc:
            raise from_os_error(exc, "set aside", self.path) from exc
        finally:
            _give_guard_back(guard)

    # -- inside

    def _make_folder(self) -> None:
        folder = os.path.dirname(self.path)
        try:
            os.makedirs(os.path.dirname(folder), exist_ok=True)
            try:
                os.mkdir(folder, 0o700)
            except FileExistsError:
                pass
            found = os.stat(folder)
        except OSError as exc:
            raise from_os_error(exc, "make", folder) from exc
        others_write = found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX
        if found.st_uid not in (os.geteuid(), 0) or others_write:
            raise UnsafeFolder(
                f"{folder} is no place for a credential: other users can replace what is in it",
                hint=f"chmod 700 {folder}, or name a path in a folder of your own",
                path=folder,
            )

    def _check_file(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise UnsafeFolder(f"{self.path} is no plain file", hint="remove what stands there", path=self.path)
        if found.st_uid != os.geteuid():
            raise StoreForbidden(f"{self.path} belongs to another user", hint="name a file of your own", path=self.path)
        if found.st_mode & 0o077:
            raise StoreForbidden(
                f"{self.path} can be read or written by others (mode {stat.S_IMODE(found.st_mode):04o})",
                hint=f"take the token in it for known to others; then chmod 600 {self.path}",
                path=self.path,
            )
        if found.st_size > BYTES_MAX:
            raise UnsafeFolder(f"{self.path} is larger than a credential can be", hint="look at it", path=self.path)

    def _take_guard(self) -> int:
        fcntl = _fcntl()
        path = f"{self.path}.guard"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | _SAFE, 0o600)
        except OSError as exc:
            raise from_os_error(exc, "open", path) from exc
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise UnsafeFolder(f"{path} is no plain file", hint="remove what stands there", path=path)
            deadline = time.monotonic() + GUARD_WAIT_S_MAX
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return fd
                except OSError as exc:
                    if exc.errno not in (errno.EAGAIN, errno.EACCES):
                        raise from_os_error(exc, "lock", path) from exc
                if time.monotonic() > deadline:
                    raise StoreBusy(
                        f"somebody holds {path} for more than {GUARD_WAIT_S_MAX:g} s",
                        hint=f"a stopped process has it: fuser {path}",
                        waited_s=GUARD_WAIT_S_MAX,
                    )
                time.sleep(_POLL_S)
        except BaseException:
            os.close(fd)
            raise

    def _write(self, make: Callable[[], bytes]) -> None:
        temporary = f"{self.path}.tmp"
        try:
            _unlink(temporary)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE, 0o600)
            try:
                os.fchmod(fd, 0o600)  # the umask may have taken more, and a default ACL may have given more
                with open(fd, "wb", closefd=False) as file:
                    file.write(make())
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(temporary, self.path)
        except OSError as exc:
            try:
                _unlink(temporary)
            except OSError:
                pass  # what went wrong first is what is told
            raise from_os_error(exc, "write", self.path) from exc
        self._flush_folder()

    def _flush_folder(self) -> None:
        folder = os.path.dirname(self.path)
        try:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as exc:
            raise from_os_error(exc, "flush (the file may be the new one)", folder) from exc


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _give_guard_back(fd: int) -> None:
    fcntl = _fcntl()
    try:
        fcntl.flock(fd, fcntl.LOCK_UN)  # closing alone does not: a child forked meanwhile has the descriptor, too
    finally:
        os.close(fd)


def _fcntl() -> Any:
    try:
        import fcntl
    except ImportError as exc:
        raise HostError("credentials in files need POSIX locks", hint='set store = "keyring"') from exc
    return fcntl
