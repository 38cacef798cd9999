"""System host: the machine this process runs on.

On Linux everything comes from /proc, without a third-party package; elsewhere from psutil, which is imported when first
asked.

Guarantees that `verdict` fails closed and never raises. Does not see through pid namespaces: whoever lives in another
one is "unknowable", and there is no death watch on him.

Protocol: protocol/terms.md, "Identity" and "Verdict".
"""

from __future__ import annotations

import errno
import os
import sys

from latchboard.clock import boot_id
from latchboard.errors import HostError
from latchboard.host.identity import Stat, judge, machine_id, pid_namespace, proc_is_ours, read_stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.host.port import Grip, Identity, Process, Surroundings, Verdict, Watchable


class _Forks:
    """Counts the forks between the first process and this one: a parent's knowledge of itself is wrong in its child."""

    count = 0


def _count_fork() -> None:
    _Forks.count += 1


os.register_at_fork(after_in_child=_count_fork)


class SystemHost:
    """This machine, seen from this process. One object may be shared by all threads and survives fork."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: tuple[int, int, Identity, bool] | None = None

    def me(self) -> Identity:
        """Who this process is; read once, and again in a forked child.

        Raises:
            HostError: The system does not tell, as in a chroot without /proc.
        """
        return self._know()[2].copy()

    def verdict(self, identity: object) -> Verdict:
        """Whether that process lives; see `latchboard.host.port.Host.verdict`. Never raises."""
        try:
            _, _, me, can_look = self._know()
        except HostError:
            return "unknowable"
        return judge(identity, me, _look if can_look else _look_away)

    def death_watch(self, identity: object) -> Watchable | None:
        """A pidfd that becomes readable when that process ends; see `Host.death_watch` of the port. Never raises."""
        verdict = self.verdict(identity)
        if verdict == "unknowable" or not isinstance(identity, dict):
            return None
        try:
            watch = Descriptor(_open_pidfd(identity["pid"]) if verdict == "live" else _open_readable())
        except ProcessLookupError:  # it ended since the verdict
            return self.death_watch(identity)
        except OSError:
            return None
        # Between the verdict and the pidfd the process may have ended and its pid may have gone to another one.
        if verdict == "live" and self.verdict(identity) != "live":
            watch.close()
            return self.death_watch(identity)
        return watch

    # -- other processes: see `latchboard.host.port.Machine`

    def look(self, pid: int) -> Process | None:
        from latchboard.host import table

        return table.look(pid, self._who_can_look(), has_proc=not _has_no_proc())

    def scan(self, word: str) -> list[Process]:
        from latchboard.host import table

        return table.scan(word, self._who_can_look(), has_proc=not _has_no_proc())

    def folder(self, process: Process | None, path: str) -> str:
        if process is not None and not _has_no_proc():
            path = f"/proc/{process['identity']['pid']}/root{path}"
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return ""
        return f"{found.st_dev}-{found.st_ino}"

    def listening(self, pid: int) -> list[tuple[str, int]] | None:
        from latchboard.host import listening

        return listening.addresses(pid, has_proc=not _has_no_proc())

    def grip(self, identity: Identity) -> Grip | None:
        from latchboard.host.grip import SystemGrip

        pid = identity["pid"]
        try:
            pidfd: Descriptor | None = Descriptor(_open_pidfd(pid))
        except ProcessLookupError:
            return None
        except OSError as exc:
            if exc.errno not in (None, errno.ENOSYS, errno.EPERM):  # no descriptor left: not by the bare pid instead
                return None
            pidfd = None
        return SystemGrip(pid, pidfd, lambda: self.verdict(identity) == "live")

    def surroundings(self, root: str) -> Surroundings:
        from latchboard.host import container

        return container.surroundings(root)

    def _who_can_look(self) -> Identity:
        """This process, where it can tell one process from another.

        Raises:
            HostError: It cannot: /proc is missing, or numbers the processes of another namespace.
        """
        _, _, me, can_look = self._know()
        if not can_look:
            raise HostError("/proc belongs to another pid namespace", hint="mount /proc in this environment")
        return me

    def _know(self) -> tuple[int, int, Identity, bool]:
        known = self._known
        # The count sees a child that got its dead grandparent's pid; the pid sees a fork that went around Python.
        if known is None or known[0] != os.getpid() or known[1] != _Forks.count:
            known = self._known = (os.getpid(), _Forks.count, *_introduce())
        return known


def _introduce() -> tuple[Identity, bool]:
    """This process's identity, and whether other processes can be looked up by pid."""
    try:
        stat = _stat_by_psutil(os.getpid()) if _has_no_proc() else read_stat("self")
    except (OSError, ValueError) as exc:
        raise HostError(f"cannot read who this process is: {exc}", hint="mount /proc in this environment") from exc
    if stat is None:
        raise HostError("cannot read who this process is", hint="mount /proc in this environment")
    pid_ns = 0 if _has_no_proc() else pid_namespace()
    me: Identity = {
        "host": machine_id(),
        "boot": boot_id(),
        "pid_ns": pid_ns,
        "pid": os.getpid(),
        "start": stat.start,
    }
    return me, _has_no_proc() or proc_is_ours(stat, pid_ns)


def _has_no_proc() -> bool:
    return not sys.platform.startswith("linux")


def _look(pid: int) -> Stat | None:
    return _stat_by_psutil(pid) if _has_no_proc() else read_stat(pid)


def _look_away(pid: int) -> Stat | None:
    """For a process whose /proc numbers other processes than its own namespace does."""
    raise OSError(f"/proc belongs to another pid namespace: nothing is known about {pid}")


def _stat_by_psutil(pid: int) -> Stat | None:
    """What /proc would say, on systems without it.

    Raises:
        OSError: The process exists, but its details are not for this user.
    """
    from latchboard.host.table import stat_by_psutil

    return stat_by_psutil(pid)


class Descriptor:
    """An open descriptor that something waits for. Closing it twice is harmless."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """The descriptor, -1 after `close`."""
        return self._fd

    def close(self) -> None:
        """Stop watching."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


def _open_pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except AttributeError as exc:  # not Linux, or built against an old C library
        raise OSError("there is no pidfd here") from exc


def _open_readable() -> int:
    """A descriptor that is readable for ever: the mark of somebody who is already gone."""
    reader, writer = os.pipe()
    os.close(writer)
    return reader
