"""Skeleton: the folder of a new store, with nothing in it but the empty guard.

One that a group shares appears at once with its mode bits, whatever the umask: a process that is killed while it makes
it shuts nobody out (K43, failures 3.27). What it leaves then is a folder whose name ends in `.tmp`, which nobody reads.

Law. The project's own folder is never made: one that was moved away while a process runs would come back there, empty,
and who works there would be told that everything is free.

Protocol: protocol/layout.md, "Opening".
"""

from __future__ import annotations

import errno
import os

from latchboard.errors import StoreUnavailable
from latchboard.store.files import layout

SHARED_MODE = 0o2770
"""Open to the group, and what is made inside is the group's too."""

_IS_THERE = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


def make(path: str, mode: int) -> None:
    """Make the folder `path` of a store whose files have `mode`, and the one above it.

    Raises:
        StoreUnavailable: The project's folder, above both, is not there.
        OSError: The system refused.
    """
    if os.path.isdir(path):
        return
    make_above(path, mode)
    if mode & 0o060:
        temporary = _prepared(path)
        _put_guard(temporary, mode)
        _appear(path, temporary)
    else:
        _mkdir(path, 0o700)


def make_above(path: str, mode: int) -> None:
    """Make the folder in which `path` is to lie. Raises as `make`."""
    above = os.path.dirname(path)
    if os.path.isdir(above):
        return
    _refuse_homeless(os.path.dirname(above))
    if mode & 0o060:
        _appear(above, _prepared(above))
    else:
        _mkdir(above, 0o777)


def _refuse_homeless(root: str) -> None:
    try:
        os.stat(root)
    except FileNotFoundError as exc:
        raise StoreUnavailable(
            f"there is no project folder {root}: it was moved or removed",
            hint="start again where the project is now; nothing was made here",
            path=root,
        ) from exc


def _mkdir(path: str, mode: int) -> None:
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return


def _prepared(path: str) -> str:
    """A folder beside `path`, open to the group."""
    temporary = f"{path}.{os.urandom(4).hex()}.tmp"
    os.mkdir(temporary, 0o700)
    os.chmod(temporary, SHARED_MODE)
    return temporary


def _put_guard(folder: str, mode: int) -> None:
    journal = f"{folder}/{layout.JOURNAL_FOLDER}"
    os.mkdir(journal, 0o700)
    os.chmod(journal, SHARED_MODE)
    fd = os.open(f"{folder}/{layout.GUARD}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.fchmod(fd, mode)
    finally:
        os.close(fd)


def _appear(path: str, temporary: str) -> None:
    """Give a prepared folder its name; if somebody else was first, his is as good."""
    try:
        os.rename(temporary, path)
    except OSError as exc:
        _remove(temporary)
        if exc.errno not in _IS_THERE:
            raise


def _remove(temporary: str) -> None:
    for remove, name in ((os.unlink, layout.GUARD), (os.rmdir, layout.JOURNAL_FOLDER), (os.rmdir, "")):
        try:
            remove(f"{temporary}/{name}".rstrip("/"))
        except OSError:
            continue  # nobody reads it
