"""Errors: one root, one family for each kind of trouble, each with a code that never changes.

A message says what happened, to what, who is in the way and since when; the hint says what to do next and is data, so
that every surface (terminal, JSON, a hook's denial) can show it its own way. `retryable` means: the same call may
succeed later, and nothing has changed meanwhile.

Protocol: protocol/cli.md, "Exit statuses".
"""

from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class CoordinationError(Exception):
    """Root of everything Latchboard raises.

    Attributes:
        code: Stable word for programs, such as `lock-held`.
        exit_status: What the command line exits with (protocol/cli.md).
        retryable: Whether the same call may succeed later.
        hint: One sentence: what to do next. Empty when there is nothing to add.
        fields: JSON-ready facts (who, since when, until when), all of them optional.
    """

    code = "error"
    exit_status = 1
    retryable = False

    def __init__(self, message: str, *, hint: str = "", **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fields = fields

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.hint, self.fields)

    def to_json(self) -> dict[str, Any]:
        """The error as `--json` prints it (protocol/schema/error.json)."""
        return {
            "format": 1,
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "retryable": self.retryable,
            **self.fields,
        }


def _rebuild(kind: type[CoordinationError], message: str, hint: str, fields: dict[str, Any]) -> CoordinationError:
    """Errors cross process pools: pickle must not lose the keyword arguments."""
    return kind(message, hint=hint, **fields)


class Refused(CoordinationError):
    """Somebody else's right stands in the way; nothing is wrong and nothing has changed."""

    code = "refused"
    exit_status = 10
    retryable = True


class LockHeld(Refused):
    """Another holder, or an earlier waiter, has it. Fields: names, holders."""

    code = "lock-held"


class WaitEnded(LockHeld):
    """As `LockHeld`, after waiting. Fields: also waited_s."""

    code = "wait-ended"


class Deadlock(Refused):
    """Waiting would close a cycle. Fields: cycle, the agents in order; holders."""

    code = "deadlock"


class HandoffDeclined(Refused):
    """The holder was asked and said no. Fields: by, reason."""

    code = "handoff-declined"


class AlreadyRunning(Refused):
    """Another process runs as this agent type. Fields: agent_type, pid, started_at, registered_at, version, process.

    Where the store spans machines also host_name.

    Attributes:
        agent_type: Which type.
        pid: Its process; None when its entry does not name one.
        started_at: When that process started, ISO 8601 UTC; None when it cannot be told.
        process: Its identity; None as above.
        next_step: What to do now; the hint by another name.
    """

    code = "already-running"

    @property
    def agent_type(self) -> str:
        """Which type."""
        return str(self.fields.get("agent_type", ""))

    @property
    def pid(self) -> int | None:
        """The process that runs."""
        pid = self.fields.get("pid")
        return pid if isinstance(pid, int) else None

    @property
    def started_at(self) -> str | None:
        """When it started, or registered where that alone is known."""
        return self.fields.get("started_at") or self.fields.get("registered_at")

    @property
    def process(self) -> dict[str, Any] | None:
        """Its identity."""
        return self.fields.get("process")

    @property
    def next_step(self) -> str:
        """What to do now."""
        return self.hint


class WrongStatus(Refused):
    """A job's status does not have this event; nothing was changed. Fields: job, status, event."""

    code = "wrong-status"
    retryable = False


class NotReady(Refused):
    """A job cannot be claimed, or completed, yet. Fields: job, waits_for, ready_at."""

    code = "not-ready"


class NothingReady(Refused):
    """No job of this role is ready.

    Fields: role, held (whose files are not free), no_room (for whose claims there is none), ready_at (of the next one).
    """

    code = "nothing-ready"


class WipLimitReached(Refused):
    """As many jobs are in progress as may be. Fields: role (null: of all roles), limit, in_progress."""

    code = "wip-limit-reached"


class FileConflict(Refused):
    """A queue file and the queue say different things; nothing was changed. Fields: conflicts."""

    code = "file-conflict"
    retryable = False


class LockAcquireTimeout(Refused):
    """A machine lock was not free in time. Fields: path, waited_s, pid and started_at of who has it, if it says so."""

    code = "lock-acquire-timeout"

    @property
    def path(self) -> str:
        """The lock file."""
        return str(self.fields.get("path", ""))


class Cancelled(CoordinationError):
    """The caller gave up waiting; whatever was granted meanwhile has been given back."""

    code = "cancelled"
    retryable = True


class HoldLost(CoordinationError):
    """You had it. Stop touching the file: your lease ran out, or somebody else has it now."""

    code = "hold-lost"
    exit_status = 11


class LeaseExpired(HoldLost):
    """The lease ran out, whether or not somebody took over. Fields: name, expired_for_s."""

    code = "lease-expired"


class TakenOver(HoldLost):
    """Somebody else holds it. Fields: name, by, shown, newest."""

    code = "taken-over"


class StaleToken(HoldLost):
    """The token shown is not the holder's. Fields: name, shown, newest."""

    code = "stale-token"


class HoldCeilingReached(HoldLost):
    """A machine lock was held for longer than its ceiling, and has been given back. Fields: path, max_hold_s, held_s.

    What the body had not finished was not done: do it again, in less time.
    """

    code = "hold-ceiling"
    retryable = True


class LockFileGone(HoldLost):
    """The file of a machine lock was deleted or replaced while it was held. Fields: path."""

    code = "lock-file-gone"
    retryable = True


class ProtocolError(CoordinationError):
    """What is stored is not what the protocol says. Nothing was changed."""

    code = "protocol-error"
    exit_status = 12


class MalformedRecord(ProtocolError):
    """A record cannot be read. It is never treated as free. Fields: key, reason."""

    code = "malformed-record"


class UnsupportedVersion(ProtocolError):
    """The store was written in another format. Fields: found, known."""

    code = "unsupported-version"


class Compacted(ProtocolError):
    """The history asked for is no longer kept: read a snapshot and go on from its revision. Fields: after, oldest."""

    code = "compacted"
    retryable = True


class StoreError(CoordinationError):
    """The store could not do it. Unless the message says otherwise, nothing was changed."""

    code = "store-error"
    exit_status = 13


class StoreUnavailable(StoreError):
    """The store cannot be reached or answered with an input/output error."""

    code = "store-unavailable"
    retryable = True


class StoreBusy(StoreUnavailable):
    """The guard was not free within its limit. Fields: waited_s, pids."""

    code = "store-busy"


class StoreFull(StoreUnavailable):
    """No space, or a quota is used up."""

    code = "store-full"


class StoreReadOnly(StoreError):
    """The file system is mounted read-only."""

    code = "store-read-only"


class StoreForbidden(StoreError):
    """This user may not read or write there."""

    code = "store-forbidden"


class TooManyFiles(StoreUnavailable):
    """This process, or the machine, has no file handle left."""

    code = "too-many-files"


class UnsafeFolder(StoreError):
    """The folder must not be used: a symbolic link, a network mount, or locks that do not exclude."""

    code = "unsafe-folder"


class HostError(CoordinationError):
    """A process could not be read or was not ours to touch."""

    code = "host-error"
    exit_status = 13


class CommandNotFound(CoordinationError):
    """There is no such program. Fields: command."""

    code = "command-not-found"
    exit_status = 127


class CommandNotRunnable(CoordinationError):
    """There is such a file, and it cannot be run. Fields: command."""

    code = "command-not-runnable"
    exit_status = 126


class DaemonError(CoordinationError):
    """The project's daemon could not be started, found or ended."""

    code = "daemon-error"
    exit_status = 13


class DaemonFailed(DaemonError):
    """A daemon that was started ended, or said nothing, before it was ready. Fields: exit_status, log."""

    code = "daemon-failed"


class DaemonSilent(DaemonError):
    """The project's daemon is there and does not answer. Fields: pid, port, waited_s."""

    code = "daemon-silent"
    retryable = True


class DaemonBusy(DaemonError):
    """Another process is starting or stopping the project's daemon, and did not finish. Fields: waited_s, path."""

    code = "daemon-busy"
    retryable = True


class NoFreePort(DaemonError):
    """Every port that a daemon may have belongs to somebody else. Fields: first, end."""

    code = "no-free-port"
    retryable = True


class UsageError(CoordinationError):
    """The caller's mistake: a bad name, a bad number. Nothing was changed."""

    code = "usage"
    exit_status = 2


class CommitTooLarge(UsageError):
    """The store takes no commit of so many records, or of this size. Nothing was changed. Fields: keys_max."""

    code = "commit-too-large"


_FORBIDDEN: tuple[type[StoreError], str] = (
    StoreForbidden,
    "check the owner and mode of the folder; a shared one needs shared = true in latchboard.toml",
)
_BY_ERRNO: dict[int, tuple[type[StoreError], str]] = {
    errno.ENOSPC: (StoreFull, "free some space on that disk, then try again; held locks stay held"),
    errno.EDQUOT: (StoreFull, "the quota of this user is used up: free some space, then try again"),
    errno.EROFS: (StoreReadOnly, "remount it writable, or put the project on a writable disk"),
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EMFILE: (TooManyFiles, "close files in this process, or raise its limit (ulimit -n)"),
    errno.ENFILE: (TooManyFiles, "the machine has no file handle left: close files or raise fs.file-max"),
    errno.ELOOP: (UnsafeFolder, "a symbolic link stands where a file of the store belongs: remove it"),
    errno.ENXIO: (UnsafeFolder, "a socket stands where a file of the store belongs: remove it"),
}


def from_os_error(exc: OSError, what: str, path: str) -> StoreError:
    """The typed error for a system error met while doing `what` to `path`. The caller raises it `from exc`."""
    kind, hint = _BY_ERRNO.get(exc.errno or 0, (StoreUnavailable, "try again; if it stays, check that disk"))
    reason = exc.strerror or str(exc)
    return kind(f"cannot {what} {path}: {reason}", hint=hint, path=path, errno=exc.errno)
