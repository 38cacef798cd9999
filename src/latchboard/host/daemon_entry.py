"""Daemon entry: the two files that say which process is a project's daemon, read without a lock, removed under one.

They lie in the registry of singletons: `daemon.pid` for people and scripts, `daemon.json` with the identity.

Guarantees that what is removed is what was judged: both files are read again under the registry's guard, under which
every entry is written, and a process that holds the daemon's kernel lock keeps its entry.

Protocol: protocol/daemon.md, "Record".
"""

from __future__ import annotations

import os

from latchboard.codec import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.host.registry import Desk

TYPE = "daemon"
FOLDER = "data/.agent_pids"
_BYTES_MAX = 64 * 1024
_WAIT_S_MAX = 1.0
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class Entry:
    """What the two files hold.

    Attributes:
        pid_file: Bytes of `daemon.pid`; None: there is none. b"" also stands for what is no file, or not for us.
        record: Bytes of `daemon.json`, likewise.
    """

    __slots__ = ("pid_file", "record")

    def __init__(self, pid_file: bytes | None, record: bytes | None) -> None:
        self.pid_file = pid_file
        self.record = record

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and (self.pid_file, self.record) == (other.pid_file, other.record)

    def facts(self) -> dict[str, Any] | None:
        """The record as JSON; None when there is none, or it cannot be read."""
        try:
            return None if self.record is None else decode(self.record)
        except ValueError:
            return None


class DaemonEntry:
    """The entry of one project.

    Args:
        root: The project's folder, absolute.
        agent_type: Whose entry it is; that of the supervisor is kept likewise.
    """

    __slots__ = ("_root", "_type")

    def __init__(self, root: str, agent_type: str = TYPE) -> None:
        self._root = root
        self._type = agent_type

    def read(self) -> Entry:
        """Both files as they are."""
        folder = f"{self._root}/{FOLDER}"
        return Entry(_read(f"{folder}/{self._type}.pid"), _read(f"{folder}/{self._type}.json"))

    def remove(self, judged: Entry) -> bool:
        """Remove the entry if it is still the one that was judged, and nobody holds the daemon's lock.

        Raises:
            StoreError: The folder cannot be used; nothing was removed.
        """
        from latchboard.host.registry import Registry  # loads filelock: some 60 ms, which a healthy start never pays

        registry = Registry(self._root, wait_s_max=_WAIT_S_MAX, look_at_mount=lambda path: None)
        with registry.at_desk(make=False) as desk:
            pid_file, record = f"{self._type}.pid", f"{self._type}.json"
            if desk is None or not _is_free(desk, self._type):
                return False
            if Entry(desk.read(pid_file), desk.read(record)) != judged:
                return False
            desk.remove(pid_file)
            desk.remove(record)
            return True


def _is_free(desk: Desk, agent_type: str) -> bool:
    own = (f"{agent_type}.", f"{agent_type}~")
    locks = [name for name in desk.names() if name.startswith(own) and name.endswith(".lock")]
    return all(desk.is_free(name) for name in locks)


def _read(path: str) -> bytes | None:
    try:
        fd = os.open(path, _FLAGS)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):  # a symbolic link, not for us, a path that is none: it says nothing
        return b""
    try:
        return os.read(fd, _BYTES_MAX)
    except OSError:  # a folder, a FIFO
        return b""
    finally:
        os.close(fd)
