"""Launching: a process of ours in the background, and what is known of it until it ends.

Law 1. It is started in a session of its own, in no project's folder, with a path for modules that no project can reach
into, and with no descriptor but those that it is to have.
Law 2. What it is not to know stays here: who asks, with which token, and how this process's manager is to be told.
Law 3. Its exit status is taken, and told once it is known; no zombie stays as long as its launcher lives.

Protocol: protocol/health.md, "Starting"; protocol/supervision.md, "Workers".
"""

from __future__ import annotations

import os
import subprocess
import threading

from latchboard.errors import DaemonFailed, HostError, from_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from latchboard.host.port import Identity, Machine

LOG_BYTES_MAX = 1024 * 1024
_TAIL_BYTES = 2000
_NOT_INHERITED = (
    "AGENT_ID",
    "LATCHBOARD_TOKEN",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
)


class Child:
    """A process that this one started.

    Attributes:
        identity: Who it is; None: it was gone before that could be told.
    """

    def __init__(self, process: subprocess.Popen[bytes], machine: Machine, on_end: Callable[[], object]) -> None:
        self._process = process
        self._ended = threading.Event()
        self._on_end = on_end
        try:
            found = machine.look(process.pid)
        except HostError:
            found = None
        self.identity: Identity | None = found["identity"] if found else None
        # It outlives its launcher as a rule; where it does not, somebody has to reap it.
        threading.Thread(target=self._reap, name="reaper", daemon=True).start()

    def _reap(self) -> None:
        self._process.wait()
        self._ended.set()
        self._on_end()

    def status(self, wait_s: float) -> int | None:
        """Its exit status, negative for a signal; None: it has not ended within so many seconds."""
        return self._process.returncode if self._ended.wait(wait_s) else None


def launch(
    words: Sequence[str],
    *,
    log: str,
    machine: Machine,
    environ: Mapping[str, str],
    pass_fds: Sequence[int] = (),
    on_end: Callable[[], object] = lambda: None,
    is_log_shared: bool = False,
) -> Child:
    """Start a process in the background.

    Args:
        words: Its command line.
        log: Path of the file that takes what it says; appended to.
        machine: Where it runs.
        environ: This process's environment.
        pass_fds: Descriptors that it gets.
        on_end: Called in a thread when it has ended.
        is_log_shared: Others that run write to it, too: it is not put aside now (`empty_log` does that).

    Raises:
        StoreError: The log cannot be opened.
        DaemonFailed: The system refused to start a process.
    """
    fd = _open_log(log, is_shared=is_log_shared)
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=fd,
            stderr=fd,
            cwd="/",
            env=_environment(environ),
            pass_fds=pass_fds,
            start_new_session=True,
        )
    except OSError as exc:
        raise DaemonFailed(f"cannot start {words[0]}: {exc.strerror or exc}", hint="try again", log=None) from exc
    finally:
        os.close(fd)
    return Child(process, machine, on_end)


def isolated(words: list[str]) -> list[str]:
    """A Python's command line, with a path for modules that the current folder is not in.

    A `latchboard` or an `asyncio.py` in the current folder is none of ours.
    """
    return [words[0], "-P", *words[1:]]


def last_line(path: str) -> str:
    """The last line of a log that says something, cut at 300 characters; "" when there is none.

    A hint says what to do and not what is wrong: what it is the hint of comes with it.
    """
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    written = [line.strip() for line in lines if line.strip()]
    if len(written) > 1 and written[-1].startswith("hint: "):
        return f"{written[-2].removeprefix('latchboard: ')} ({written[-1]})"[:300]
    return written[-1][:300] if written else ""


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What it is to know; a path for modules that is relative to the current folder would lead nowhere there."""
    kept = {name: value for name, value in environ.items() if name not in _NOT_INHERITED}
    if "PYTHONPATH" in kept:
        kept["PYTHONPATH"] = os.pathsep.join(
            os.path.abspath(one) for one in kept["PYTHONPATH"].split(os.pathsep) if one
        )
    return kept


def empty_log(path: str) -> None:
    """Put what a large log says aside, and have everybody who appends to it begin anew.

    What is written in between is lost: some lines at the most, in a megabyte.

    Raises:
        StoreError: The disk is full, or not for us.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise from_os_error(exc, "open", path) from exc
    try:
        if os.fstat(fd).st_size <= LOG_BYTES_MAX:
            return
        aside = os.open(f"{path}.1", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(aside, "wb") as old:
            old.write(os.pread(fd, LOG_BYTES_MAX, max(0, os.fstat(fd).st_size - LOG_BYTES_MAX)))
        os.ftruncate(fd, 0)
    except OSError as exc:
        raise from_os_error(exc, "put aside", path) from exc
    finally:
        os.close(fd)


def _open_log(path: str, *, is_shared: bool) -> int:
    """The log, to be appended to; a large one is put aside first."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, 0o600)
        if os.fstat(fd).st_size > LOG_BYTES_MAX and not is_shared:
            os.close(fd)
            os.replace(path, f"{path}.1")
            fd = os.open(path, flags, 0o600)
    except OSError as exc:
        raise from_os_error(exc, "open", path) from exc
    return fd
