"""Spawning: a daemon as a process of its own, and what it says before it is ready.

Law 1. It is started with the one command line of a daemon, in a session of its own, in no project's folder, with a
path for modules that no project can reach into.
Law 2. What it is not to know stays here: who asks, with which token, and how this process's manager is to be told.
Law 3. Whoever gives up waiting takes back what it started.

Protocol: protocol/daemon.md, "Command line"; protocol/health.md, "Starting".
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading

from latchboard.clock import Readable
from latchboard.codec import decode
from latchboard.daemon.state import LOG
from latchboard.errors import DaemonFailed, HostError, UsageError, from_os_error
from latchboard.host.process import end_process
from latchboard.host.registry import FOLDER
from latchboard.rules import daemon as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from latchboard.clock import Clock
    from latchboard.host.port import Identity, Machine

START_WAIT_S = 20.0
"""A start takes half a second; on a machine that swaps, many times that."""
LOG_BYTES_MAX = 1024 * 1024
_TAIL_BYTES = 2000
_LINE_BYTES_MAX = 64 * 1024
_NOT_INHERITED = ("AGENT_ID", "LATCHBOARD_TOKEN", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


class Child:
    """A daemon that this process started.

    Attributes:
        identity: Who it is; None: it was gone before that could be told.
    """

    def __init__(self, process: subprocess.Popen[bytes], machine: Machine) -> None:
        self._process = process
        self._ended = threading.Event()
        try:
            found = machine.look(process.pid)
        except HostError:
            found = None
        self.identity: Identity | None = found["identity"] if found else None
        # It outlives its spawner as a rule; where it does not, somebody has to reap it.
        threading.Thread(target=self._reap, name="daemon's reaper", daemon=True).start()

    def _reap(self) -> None:
        self._process.wait()
        self._ended.set()

    def status(self, wait_s: float) -> int | None:
        """Its exit status, negative for a signal; None: it has not ended within so many seconds."""
        return self._process.returncode if self._ended.wait(wait_s) else None


def command(root: str, options: Sequence[str]) -> list[str]:
    """The command line of a daemon that this very Python runs.

    Raises:
        UsageError: This program runs in no Python that could be found again.
    """
    found = [*_isolated(rules.command(sys.executable or "", root, options))]
    if rules.root_in(found) != root:
        raise UsageError(
            f"this program runs in {sys.executable or 'no file'!r}, which is no Python that can run the daemon",
            hint="start it with `python -m latchboard serve` of a Python that has latchboard[board]",
        )
    return found


def _isolated(words: list[str]) -> list[str]:
    return [words[0], "-P", *words[1:]]  # a `latchboard` or an `asyncio.py` in the current folder is none of ours


def spawn(root: str, options: Sequence[str], machine: Machine, environ: Mapping[str, str]) -> tuple[Child, int]:
    """Start a daemon; it, and the pipe that it will write to (to be closed).

    Raises:
        UsageError: This Python cannot run one.
        StoreError: The log cannot be opened.
        DaemonFailed: The system refused to start a process.
    """
    reader, writer = _pipe()
    try:
        words = command(root, [*options, "--ready-fd", str(writer)])
        log = _open_log(root)
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_environment(environ),
                pass_fds=(writer,),
                start_new_session=True,
            )
        except OSError as exc:
            raise DaemonFailed(f"cannot start {words[0]}: {exc.strerror or exc}", hint="try again", log=None) from exc
        finally:
            os.close(log)
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return Child(process, machine), reader


def _pipe() -> tuple[int, int]:
    """A pipe whose numbers are none of the three that a new process gets from us: they may be free here."""
    return tuple(map(_above_standard, os.pipe()))  # type: ignore[return-value]


def _above_standard(fd: int) -> int:
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(fd)


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a daemon is to know; a path for modules that is relative to the current folder would lead nowhere there."""
    kept = {name: value for name, value in environ.items() if name not in _NOT_INHERITED}
    if "PYTHONPATH" in kept:
        kept["PYTHONPATH"] = os.pathsep.join(
            os.path.abspath(one) for one in kept["PYTHONPATH"].split(os.pathsep) if one
        )
    return kept


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


def failed(root: str, child: Child, *, late_s: float | None) -> DaemonFailed:
    """What is to be said about a daemon that did not become ready: it ended, or (`late_s`) took too long for that."""
    status = child.status(1.0)
    path = f"{root}/{FOLDER}/{LOG}"
    if late_s is not None or status is None:
        what = f"was not ready within {late_s:g} s, and was ended" if late_s else "said nothing that could be read"
    elif status < 0:
        what = f"was ended by signal {-status} before it was ready"
    else:
        what = f"ended with status {status} before it was ready"
    last = _last_line(path)
    message = f"the daemon of {root} {what}" + (f": {last}" if last else "")
    return DaemonFailed(message, hint=f"its log tells more: {path}", exit_status=status, log=path)


def _open_log(root: str) -> int:
    """The log, to be appended to; a large one is put aside first."""
    path = f"{root}/{FOLDER}/{LOG}"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, 0o600)
        if os.fstat(fd).st_size > LOG_BYTES_MAX:
            os.close(fd)
            os.replace(path, f"{path}.1")
            fd = os.open(path, flags, 0o600)
    except OSError as exc:
        raise from_os_error(exc, "open", path) from exc
    return fd


def _last_line(path: str) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    written = [line.strip() for line in lines if line.strip()]
    return written[-1][:300] if written else ""
