"""Space: a process of its own in a mount or pid namespace, as another user, or under a limit.

Called in a process that the nursery started: whatever is mounted there is gone with it, for nobody else ever saw it.
Where the machine does not let us, `Refused` says so and the test is skipped by name.
"""

from __future__ import annotations

import ctypes
import os
import resource
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.process.nursery import Channel

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18

_libc: Any = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """The machine does not let this process do it."""


def _call(name: str, *arguments: Any) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        raise Refused(f"{name}: {os.strerror(ctypes.get_errno())}")


def own_mounts() -> None:
    """From here on this process, and what it forks, sees mounts of its own. Works without root where users may."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        _call("unshare", _CLONE_NEWNS)
    else:
        _call("unshare", _CLONE_NEWNS | _CLONE_NEWUSER)
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    _mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE)


def mount_tmpfs(path: str, size: str) -> None:
    """A disk in memory that holds no more than `size`."""
    _mount(b"tmpfs", path.encode(), b"tmpfs", 0, f"size={size},mode=0777".encode())


def fill(path: str, *, pages_left: int = 0) -> None:
    """A file that takes all that is left of its disk but so many pages."""
    with open(path, "wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"x" * size):
                    continue
            except OSError:
                continue
        if pages_left:
            file.truncate(file.tell() - pages_left * resource.getpagesize())


def mount_read_only(path: str) -> None:
    """The folder itself, read-only."""
    _mount(path.encode(), path.encode(), None, _MS_BIND)
    _mount(path.encode(), path.encode(), None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY)


def own_pids(*, own_proc: bool) -> None:
    """The next process that is forked is number 1 of a pid namespace; `own_proc`: with a /proc that shows it."""
    own_mounts()
    _call("unshare", _CLONE_NEWPID)
    if own_proc:
        os.register_at_fork(after_in_child=_mount_proc)


def _mount_proc() -> None:
    if os.getpid() == 1:
        _mount(b"proc", b"/proc", b"proc", 0)


def become(uid: int, gid: int) -> None:
    """Another user, for good."""
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int, data: bytes | None = None) -> None:
    _call("mount", source, target, kind, ctypes.c_ulong(flags), data)


def become_first(channel: Channel, *, own_proc: bool) -> bool:
    """Go on as number 1 of a pid namespace. False: this is the process that has forked it and waited for its end.

    Where the machine does not let us, that is sent as `refused`, and this is False as well.
    """
    try:
        own_pids(own_proc=own_proc)
    except Refused as exc:
        channel.send(refused=str(exc))
        return False
    if pid := os.fork():
        os.waitpid(pid, 0)
        return False
    return True
