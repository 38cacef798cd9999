"""Forked: a `python -m latchboard ...` without the start of a Python; one warm process forks it, in milliseconds.

`Popen` and `run` are those of `subprocess`, and what they return is: a pid that signals go to, pipes, an exit status.
A command line that begins with this Python and `-m` of a module, or with a program, that is in `FORKED` is run by a
fork of a process that has loaded our package and nothing of the tests; any other, and whatever asks for what a fork
cannot give (`_is_like_ours`), is started as always. The fork has streams, variables, folder, umask, session and
signals as a started process has them, runs the module as `-m` does, and ends as an interpreter does.

What a fork does not show: what the command loads by itself, the interpreter's own settings, a hash seed of its own, a
command line of its own in the system's list of processes, its caller as its parent. Hence a process that others know
by its command line is never forked (`KNOWN_BY_NAME`), tests/surface/cli/test_forked.py has every verb both ways, and
in the soak nothing is forked.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOAK = os.environ.get("LATCHBOARD_SOAK") == "1"
PATIENT = str(ROOT / "tests/process/patient.py")
FORKED = {"-m": ("latchboard", "latchboard.surface.hooks"), "-P": (PATIENT,)}
"""By the option that stands before it: a module, or a program."""
KNOWN_BY_NAME = ("serve", "supervise", "worker")
"""Verbs whose processes are found, and judged, by their command line."""
_INTERPRETER = ("LANG", "LANGUAGE", "LC_", "PYTHON", "MALLOC_", "LD_")
"""Variables that a Python reads when it starts, by how their names begin."""
_READ_LATE = ("PYTHONUNBUFFERED", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
"""Those of them that a fork can follow."""
_MESSAGE_BYTES_MAX = 1 << 20


_Started = subprocess.Popen
"""That of the standard library, whatever stands in its place later (tests/surface/cli/forking.py)."""


class Popen(_Started):  # type: ignore[type-arg]
    """As `subprocess.Popen`."""

    _pidfd = -1

    def _execute_child(self, *given: Any) -> None:
        """In the place of fork and exec; the names are those that CPython's own has since 3.11."""
        names = _Started._execute_child.__code__.co_varnames[1 : 1 + len(given)]  # type: ignore[attr-defined]
        asked = dict(zip(names, given, strict=True))
        words = _words(asked)
        if words is None or not _is_like_ours(asked):
            super()._execute_child(*given)  # type: ignore[misc]
            return
        streams = [asked[end] if asked[end] >= 0 else fd for fd, end in enumerate(("p2cread", "c2pwrite", "errwrite"))]
        environment = os.environ if asked["env"] is None else asked["env"]
        try:
            self.pid, self._pidfd = _WARM.start(
                streams,
                words=words,
                cwd=os.path.abspath(os.fsdecode(asked["cwd"] or os.curdir)),
                environment={os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()},
                umask=_umask(),
                begins_session=asked["start_new_session"],
            )
        finally:
            self._close_pipe_fds(*(asked[name] for name in _PIPES))  # type: ignore[attr-defined]
        self._child_created = True

    def _internal_poll(self, *given: Any, **more: Any) -> int | None:
        if self._pidfd < 0:
            polled: int | None = super()._internal_poll(*given, **more)  # type: ignore[misc]
            return polled
        if self.returncode is None and select.select([self._pidfd], [], [], 0)[0]:
            self._reap()
        return self.returncode

    def _wait(self, timeout: float | None) -> int | None:
        if self._pidfd < 0:
            waited: int | None = super()._wait(timeout=timeout)  # type: ignore[misc]
            return waited
        if self.returncode is None:
            if not select.select([self._pidfd], [], [], timeout)[0]:
                assert timeout is not None
                raise subprocess.TimeoutExpired(self.args, timeout)
            self._reap()
        return self.returncode

    def _reap(self) -> None:
        with self._waitpid_lock:  # type: ignore[attr-defined]
            if self.returncode is None:
                self.returncode = _WARM.reap(self.pid)
                os.close(self._pidfd)


def run(words: Any, **options: Any) -> subprocess.CompletedProcess[Any]:
    """As `subprocess.run`, which has the `check` of `options`."""
    given, timeout = options.pop("input", None), options.pop("timeout", None)
    if options.pop("capture_output", False):
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if given is not None:
        options["stdin"] = subprocess.PIPE
    is_checked = options.pop("check", False)
    with Popen(words, **options) as process:
        try:
            out, err = process.communicate(given, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if is_checked:
        done.check_returncode()
    return done


_PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")


def _words(asked: dict[str, Any]) -> list[str] | None:
    """Module and arguments; None: another program, or one that is known by its name."""
    if SOAK or isinstance(asked["args"], str | bytes | os.PathLike) or asked["shell"] or asked["executable"]:
        return None
    python, option, *words = [*map(os.fsdecode, asked["args"]), "", ""]
    words = words[:-2]
    is_ours = python == sys.executable and words[:1] and words[0] in FORKED.get(option, ())
    return words if is_ours and not set(words[1:2]) & set(KNOWN_BY_NAME) else None


def _is_like_ours(asked: dict[str, Any]) -> bool:
    """Whether the interpreter would start as the warm one did, with nothing that a fork is not given."""
    if asked["preexec_fn"] or asked["pass_fds"] or not asked["close_fds"]:
        return False
    if (asked["gid"], asked["gids"], asked["uid"], asked["umask"]) != (None, None, None, -1):
        return False
    if asked["process_group"] not in (None, -1):
        return False
    environment = os.environ if asked["env"] is None else asked["env"]
    return _settings(environment) == _WARM.settings() and _path(environment) <= {str(ROOT / "src"), *_path(os.environ)}


def _path(environment: Any) -> set[str]:
    """The folders of PYTHONPATH: in another one than ours may be what an interpreter loads when it starts."""
    texts = {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()}
    return {entry for entry in texts.get("PYTHONPATH", "").split(os.pathsep) if entry}


def _settings(environment: Any) -> dict[str, str]:
    texts = {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()}
    return {k: v for k, v in texts.items() if k.startswith(_INTERPRETER) and k not in _READ_LATE}


def _umask() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)


class _Warm:
    """The warm process, as those see it that ask for forks; started when it is first asked, it ends with this one."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._settings: dict[str, str] = {}
        self._lock = threading.Lock()

    def settings(self) -> dict[str, str]:
        """What its interpreter was told."""
        self._begin()
        return self._settings

    def start(self, streams: list[int], **request: Any) -> tuple[int, int]:
        """Fork; pid and pidfd."""
        self._begin()
        with self._lock:
            socket.send_fds(self._sock, [json.dumps(request).encode()], streams)
            data, fds, _, _ = socket.recv_fds(self._sock, 1024, 1)
        return json.loads(data)["pid"], fds[0]

    def reap(self, pid: int) -> int:
        """The exit status of one that has ended."""
        with self._lock:
            self._sock.send(json.dumps({"reap": pid}).encode())
            return int(json.loads(self._sock.recv(1024))["status"])

    def _begin(self) -> None:
        if self._process is not None:
            return
        self._settings = _settings(os.environ)
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "tests.forked", str(theirs.fileno())]
            nothing = subprocess.DEVNULL
            fds = [theirs.fileno()]
            self._process = _Started(command, cwd=ROOT, pass_fds=fds, stdin=nothing, stdout=nothing)
        atexit.register(self._end)

    def _end(self) -> None:
        assert self._process is not None
        self._sock.close()
        self._process.wait()


_WARM = _Warm()


# -- in the warm process -----------------------------------------------------------------------------------------------


def _serve(control: socket.socket) -> None:
    while True:
        data, streams, _, _ = socket.recv_fds(control, _MESSAGE_BYTES_MAX, 3)
        if not data:
            return
        request = json.loads(data)
        if "reap" in request:
            status = os.waitstatus_to_exitcode(os.waitpid(request["reap"], 0)[1])
            control.send(json.dumps({"status": status}).encode())
            continue
        pid = os.fork()
        if pid == 0:
            _become(streams, request)
        pidfd = os.pidfd_open(pid)
        socket.send_fds(control, [json.dumps({"pid": pid}).encode()], [pidfd])
        for fd in (pidfd, *streams):
            os.close(fd)


def _become(streams: list[int], request: dict[str, Any]) -> None:
    """Be the command; never returns."""
    module, *words = request["words"]
    status = 1
    try:
        _dress(streams, request)
        sys.argv = ["", *words]
        try:
            if module == PATIENT:
                sys.path[:1] = []
                runpy.run_path(module, run_name="__main__")
            else:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            status = 0
        except SystemExit as exc:
            status = _status_of(exc)
    except BaseException as exc:  # noqa: BLE001 - as an interpreter does
        sys.excepthook(type(exc), exc, exc.__traceback__)
        status = -signal.SIGINT if isinstance(exc, KeyboardInterrupt) else 1
    finally:
        status = _end(status)
        if status < 0:
            signal.signal(-status, signal.SIG_DFL)
            os.kill(os.getpid(), -status)
        os._exit(status)


def _dress(streams: list[int], request: dict[str, Any]) -> None:
    """Streams, variables, folder, signals."""
    for fd, stream in enumerate(streams):
        os.dup2(stream, fd)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["begins_session"]:
        os.setsid()
    os.umask(request["umask"])
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    path = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = [request["cwd"], *path, *(entry for entry in _PATH if entry not in path)]
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    is_unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        _open(fd, name, is_unbuffered)


def _open(fd: int, name: str, is_unbuffered: bool) -> None:
    """A standard stream as an interpreter opens it, in the encoding that it found right for the warm process's own."""
    old = getattr(sys, name)
    buffer = open(fd, "wb" if fd else "rb", 0 if is_unbuffered and fd else -1, closefd=False)  # noqa: SIM115
    by_line = not is_unbuffered and (fd == 2 or os.isatty(fd))
    new = io.TextIOWrapper(buffer, old.encoding, old.errors, "\n", by_line, write_through=is_unbuffered and fd > 0)
    setattr(sys, name, new)
    setattr(sys, f"__{name}__", new)


def _status_of(exc: SystemExit) -> int:
    if exc.code is None or isinstance(exc.code, int):
        return (exc.code or 0) & 0xFF
    sys.stderr.write(f"{exc.code}\n")
    return 1


def _end(status: int) -> int:
    """End as an interpreter: threads, what was registered for the exit, what is still to be written."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as exc:
        if not sys.stdout.closed:
            sys.stderr.write(f"Exception ignored in: {sys.stdout!r}\n{type(exc).__name__}: {exc}\n")
            status = 120
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    return status


_LOADED_LATE = ("surface.web", "surface.tui", "surface.mcp", "surface.demo", "testing")
"""Of no use to most commands; whoever needs it loads it."""


def _warm_up() -> None:
    """Load what commands are made of."""
    import latchboard

    source = Path(latchboard.__file__).parent
    for path in sorted(source.rglob("*.py")):
        name = ".".join(path.relative_to(source).with_suffix("").parts)
        if not name.endswith("__main__") and not name.startswith(_LOADED_LATE):
            importlib.import_module(f"latchboard.{name}".removesuffix(".__init__"))
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _PATH = sys.path[1:]
    _warm_up()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C is for the test run; it closes its end
    _serve(socket.socket(fileno=int(sys.argv[1])))
