"""Mirror: files that show what a store elsewhere has, where a file store would have them; read-only, for people.

Law 1. Written only where FORMAT says that the store is elsewhere: no file of it is ever taken for a record.
Law 2. A file is replaced whole by a rename; one that is not shown any more is removed, and nothing else is: a folder
       that stands in a file's place is renamed, and what else lies there is left.
Law 3. Nothing is followed: a symbolic link in the place of a folder is refused.

One process at a time writes it, which whoever makes one sees to.

Protocol: protocol/etcd.md, "Mirror".
"""

from __future__ import annotations

import os
import stat

from latchboard.errors import UnsafeFolder, from_os_error
from latchboard.store.files import layout, records
from latchboard.store.files.folder import FORMAT_ELSEWHERE, STORE_ELSEWHERE, format_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COLLECTIONS = ("messages/", "broadcasts/")
"""What is shown besides the status board."""
FOLDERS = tuple(name.rstrip("/") for name in COLLECTIONS)
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)


class MirrorFolder:
    """The folder of a project whose store is elsewhere."""

    def __init__(self, root: str, *, shared: bool) -> None:
        """Nothing is opened yet."""
        self._path = f"{root}/{layout.FOLDER}"
        self._mode = 0o440 if shared else 0o400

    def show(self, board: bytes, messages: Mapping[str, bytes | None], *, is_whole: bool) -> bool:
        """Write files, and remove others.

        Args:
            board: Text of status_board.json, which is written last.
            messages: Keys of `COLLECTIONS`, and the text of each one's file; None: it is gone.
            is_whole: No other messages are shown; otherwise those that are not named stay.

        Returns:
            Whether there is a folder: who wiped it needs no new one.

        Raises:
            StoreError: The disk refused, or the folder is a store of its own. Some files may be as they were.
        """
        files = {layout.record(key): text for key, text in messages.items()}
        try:
            folder = os.open(self._path, _OPEN)
        except FileNotFoundError:
            return False
        except OSError as exc:
            raise from_os_error(exc, "open", self._path) from exc
        try:
            self._refuse_store()
            if is_whole:
                files = {**dict.fromkeys(_left(folder)), **files}
            for path, text in files.items():
                if text is None:
                    _remove(folder, path)
                else:
                    self._write(folder, path, text)
            self._write(folder, layout.STATUS_BOARD, board)
            return True
        except OSError as exc:
            raise from_os_error(exc, "write a mirror into", self._path) from exc
        finally:
            os.close(folder)

    def _refuse_store(self) -> None:
        try:
            is_elsewhere = format_in(self._path) == (FORMAT_ELSEWHERE, STORE_ELSEWHERE)
        except (FileNotFoundError, ValueError, KeyError):
            is_elsewhere = False
        if not is_elsewhere:
            raise UnsafeFolder(
                f"{self._path} is a store of its own, and nothing is mirrored into it",
                hint="move it away, then run `latchboard init` with the setting `store`",
            )

    def _write(self, folder: int, path: str, text: bytes) -> None:
        above, _, name = path.rpartition("/")
        inner = _folder(folder, above, makes=True)
        try:
            temporary = records.stage(inner, name, text, self._mode)
            if _is_folder(inner, name):
                records.set_aside(inner, name)
            records.publish(inner, temporary, name)
        finally:
            os.close(inner)


def _folder(folder: int, path: str, *, makes: bool) -> int:
    """The descriptor of a folder below; no part of it is a symbolic link. Raises OSError."""
    found = os.dup(folder)
    try:
        for name in path.split("/") if path else ():
            if makes:
                _make(found, name)
            inner = os.open(name, _OPEN, dir_fd=found)
            os.close(found)
            found = inner
    except OSError:
        os.close(found)
        raise
    return found


def _make(folder: int, name: str) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=folder)
    except FileExistsError:
        return  # what it is, is seen when it is opened


def _remove(folder: int, path: str) -> None:
    above, _, name = path.rpartition("/")
    try:
        inner = _folder(folder, above, makes=False)
    except FileNotFoundError:
        return
    try:
        if not _is_folder(inner, name):
            records.delete(inner, name)
    finally:
        os.close(inner)


def _is_folder(folder: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _left(folder: int) -> Iterator[str]:
    """The files of the mirrored collections that are there. Raises OSError."""
    for collection in COLLECTIONS:
        path, _, is_deeper = layout.scan_folder(collection)
        try:
            top = _folder(folder, path, makes=False)
        except FileNotFoundError:
            continue
        try:
            for name in os.listdir(top):
                if not is_deeper:
                    yield f"{path}/{name}"
                    continue
                if not _is_folder(top, name):
                    continue
                inner = _folder(top, name, makes=False)
                try:
                    yield from (f"{path}/{name}/{one}" for one in os.listdir(inner))
                finally:
                    os.close(inner)
        finally:
            os.close(top)
