"""Spawning: a daemon as a process of its own, and what it says before it is ready.

Law 1. It is started with the one command line of its kind, as `latchboard.host.launching` starts processes.
Law 2. Whoever gives up waiting takes back what it started.

Protocol: protocol/daemon.md, "Command line"; protocol/health.md, "Starting"; protocol/supervision.md, "Supervisor".
"""

from __future__ import annotations

import fcntl
import os
import sys

from latchboard.clock import Readable
from latchboard.codec import decode
from latchboard.daemon.state import LOG
from latchboard.errors import AlreadyRunning, CoordinationError, DaemonFailed, UsageError
from latchboard.host.launching import Child, isolated, last_line, launch
from latchboard.host.process import end_process
from latchboard.host.registry import FOLDER
from latchboard.rules import daemon as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from latchboard.clock import Clock
    from latchboard.host.port import Machine

START_WAIT_S = 20.0
"""A start takes half a second; on a machine that swaps, many times that."""
STOP_WAIT_S = 6.0
"""After it was asked to end: what a daemon gives itself (5 s), and one more."""
_LINE_BYTES_MAX = 64 * 1024


def command(root: str, options: Sequence[str], *, verb: str = rules.VERB) -> list[str]:
    """The command line of a daemon (or of a supervisor, a worker) that this very Python runs.

    Raises:
        UsageError: This program runs in no Python that could be found again.
    """
    found = isolated(rules.command(sys.executable or "", root, options, verb=verb))
    if rules.root_in(found, verb=verb) != root:
        raise UsageError(
            f"this program runs in {sys.executable or 'no file'!r}, which is no Python that can run the daemon",
            hint=f"start it with `python -m latchboard {verb}` of a Python that has latchboard",
        )
    return found


def start(  # noqa: PLR0913 - as `spawn`, and how long
    root: str,
    options: Sequence[str],
    machine: Machine,
    clock: Clock,
    *,
    wait_s: float = START_WAIT_S,
    verb: str = rules.VERB,
    log: str = LOG,
    what: str = "the daemon",
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Start a daemon, and hear what it says.

    Returns:
        What it says when it is ready, and None; or nothing, and how it was refused because another one has its place.

    Raises:
        DaemonFailed: It ended, or was ended because it took too long; or it says why it will not be ready.
        UsageError, StoreError: As `spawn`.
    """
    started_s = clock.now().mono_s
    child, reader = spawn(root, options, machine, os.environ, verb=verb, log=log)
    try:
        line = heard(reader, clock, wait_s)
        ready = line.get("ready") if line else None
        refused = line.get("refused") if line else None
        if isinstance(refused, dict):
            child.status(STOP_WAIT_S)  # it is on its way out; what is told below is then true
            if refused.get("code") == AlreadyRunning.code:
                return {}, refused
            raise _refused(root, refused, what)
        if not isinstance(ready, dict):
            is_late = clock.now().mono_s - started_s >= wait_s
            take_back(child, machine, clock)
            raise failed(root, child, late_s=wait_s if is_late else None, what=what, log=log)
    except CoordinationError:
        raise
    except BaseException:  # a signal, while it was waited for
        take_back(child, machine, clock)
        raise
    finally:
        os.close(reader)
    return ready, None


def spawn(
    root: str,
    options: Sequence[str],
    machine: Machine,
    environ: Mapping[str, str],
    *,
    verb: str = rules.VERB,
    log: str = LOG,
) -> tuple[Child, int]:
    """Start a daemon; it, and the pipe that it will write to (to be closed).

    Raises:
        UsageError: This Python cannot run one.
        StoreError: The log cannot be opened.
        DaemonFailed: The system refused to start a process.
    """
    reader, writer = _pipe()
    try:
        words = command(root, [*options, "--ready-fd", str(writer)], verb=verb)
        child = launch(words, log=f"{root}/{FOLDER}/{log}", machine=machine, environ=environ, pass_fds=(writer,))
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return child, reader


def _pipe() -> tuple[int, int]:
    """A pipe whose numbers are none of the three that a new process gets from us: they may be free here."""
    return tuple(map(_above_standard, os.pipe()))  # type: ignore[return-value]


def _above_standard(fd: int) -> int:
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(fd)


def heard(reader: int, clock: Clock, wait_s: float) -> dict[str, Any] | None:
    """What a daemon says in its one line; None: it ended, was silent for `wait_s` seconds, or said something else."""
    deadline_s, data = clock.now().mono_s + wait_s, b""
    while b"\n" not in data and len(data) < _LINE_BYTES_MAX:
        left_s = deadline_s - clock.now().mono_s
        if left_s <= 0 or not clock.wait([Readable(reader)], left_s):
            return None
        piece = os.read(reader, _LINE_BYTES_MAX)
        if not piece:
            return None
        data += piece
    try:
        return decode(data)
    except ValueError:
        return None


def take_back(child: Child, machine: Machine, clock: Clock) -> None:
    """End a daemon that this process started and does not want any more."""
    if child.identity is not None and child.status(0) is None:
        end_process(machine, clock, child.identity, reaps=False)  # its status is what is told of it


def failed(root: str, child: Child, *, late_s: float | None, what: str = "the daemon", log: str = LOG) -> DaemonFailed:
    """What is to be said about a daemon that did not become ready: it ended, or (`late_s`) took too long for that."""
    status = child.status(1.0)
    path = f"{root}/{FOLDER}/{log}"
    if late_s is not None or status is None:
        how = f"was not ready within {late_s:g} s, and was ended" if late_s else "said nothing that could be read"
    elif status < 0:
        how = f"was ended by signal {-status} before it was ready"
    else:
        how = f"ended with status {status} before it was ready"
    last = last_line(path)
    message = f"{what} of {root} {how}" + (f": {last}" if last else "")
    return DaemonFailed(message, hint=f"its log tells more: {path}", exit_status=status, log=path)


def _refused(root: str, error: dict[str, Any], what: str) -> DaemonFailed:
    return DaemonFailed(
        f"{what} of {root} did not start: {error.get('message')}",
        hint=str(error.get("hint") or "try again"),
        exit_status=None,
        log=None,
        cause=str(error.get("code")),
    )
