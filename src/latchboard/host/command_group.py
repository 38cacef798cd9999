"""Command group: a command with everything that it starts, as one thing that runs, writes and ends.

Law 1. A keeper (keeper.py) leads its process group, and ends that whole when it is told to, or when this process is
gone, however that came about.
Law 2. The end of what it writes is kept, and all of it is counted; nobody waits because nobody reads.
Law 3. Only the keeper, a child of this process that is not reaped before, is ever signalled from here, with its group.

Protocol: protocol/worker.md, "Running".
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from latchboard.clock import Readable
from latchboard.errors import CommandNotFound, CommandNotRunnable, UsageError, from_os_error
from latchboard.host import keeper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from latchboard.host.lock_file import LockFile

_PIECE_BYTES = 64 * 1024
_PIECES_COUNT_MAX = 16
"""So much is read in one go: the rest of the worker has its turn, too."""

_REST_WAIT_S, _LOOK_S = 1.0, 0.002


def check_command(command: Sequence[str], *, folder: str, environment: Mapping[str, str]) -> None:
    """Whether a command can be started: its folder and its program are there.

    Raises:
        CommandNotFound, CommandNotRunnable: It cannot.
        UsageError: There is no such folder.
    """
    if not os.path.isdir(folder):
        raise UsageError(f"there is no folder {folder}", hint="mend `folder` in latchboard.toml")
    program = command[0]
    if "/" not in program:
        if shutil.which(program, path=environment.get("PATH", os.defpath)) is None:
            raise not_started(command, 2)
        return
    path = os.path.join(folder, program)
    if not os.path.exists(path):
        raise not_started(command, 2)
    if os.path.isdir(path) or not os.access(path, os.X_OK):
        raise not_started(command, 13)


def not_started(command: Sequence[str], errno: int) -> CommandNotFound | CommandNotRunnable:
    """The error for a command that the system did not start."""
    if errno == 2:
        hint = "check its name, its folder and PATH"
        return CommandNotFound(f"cannot run {command[0]}: there is no such program", hint=hint, command=[*command])
    return CommandNotRunnable(f"cannot run {command[0]}: {os.strerror(errno)}", command=[*command])


class CommandGroup:
    """A command that runs. Used by one thread.

    Attributes:
        exit_code: Its exit status, once it has one.
        signal: Of which it died, once it did.
        output_bytes: How much it wrote so far.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: str,
        environment: Mapping[str, str],
        text: bytes,
        grace_s: float,
        output_bytes_max: int,
        lock: LockFile | None = None,
    ) -> None:
        """Start it.

        Args:
            command: Program and arguments.
            folder: Where it runs, absolute.
            environment: All of it.
            text: What it finds on standard input.
            grace_s: Between TERM and KILL, seconds.
            output_bytes_max: How much of the end of its output is kept.
            lock: A file whose kernel lock is to last as long as the group.

        Raises:
            StoreError: The system has no process, descriptor or file left for it.
        """
        self.exit_code: int | None = None
        self.signal: int | None = None
        self.output_bytes = 0
        self._tail = bytearray()
        self._tail_bytes_max = output_bytes_max
        self._command = [*command]
        self._line = b""
        self._out = self._status = self._word = -1
        try:
            self._start(folder, environment, text, grace_s, lock)
        except OSError as exc:
            self._close()
            raise from_os_error(exc, "run", command[0]) from exc

    def _start(
        self, folder: str, environment: Mapping[str, str], text: bytes, grace_s: float, lock: LockFile | None
    ) -> None:
        self._out, out = os.pipe()
        theirs = [out]
        try:
            self._status, status = os.pipe()
            theirs.append(status)
            word, self._word = os.pipe()
            theirs.append(word)
            passed = [word, status, self._out]
            numbers = [str(fd) for fd in passed]
            if lock is not None:
                passed.append(lock.fileno())
            words = [sys.executable, "-I", "-S", keeper.__file__, f"{grace_s:g}", *numbers, *self._command]
            with tempfile.TemporaryFile() as given:  # a pipe would fill, and need somebody to write the rest
                given.write(text)
                given.seek(0)
                self._process = subprocess.Popen(
                    words,
                    stdin=given,
                    stdout=out,
                    stderr=out,
                    cwd=folder,
                    env=dict(environment),
                    pass_fds=passed,
                    start_new_session=True,
                )
        finally:
            for fd in theirs:
                os.close(fd)
        os.set_blocking(self._out, False)
        os.set_blocking(self._status, False)

    @property
    def output(self) -> bytes:
        """The end of what it wrote so far."""
        return bytes(self._tail)

    def readables(self) -> list[Readable]:
        """What becomes readable when there is more for `look` to see."""
        return [Readable(fd) for fd in (self._out, self._status) if fd >= 0]

    def look(self) -> bool:
        """Take what it wrote; whether all of it has ended.

        Raises:
            CommandNotFound, CommandNotRunnable: It did not start.
        """
        self._read_output()
        if self._status < 0:
            return True
        try:
            piece = os.read(self._status, 512)
        except BlockingIOError:
            return False
        if piece:
            self._line += piece
            return False
        if not self._line:  # the end of the pipe is that of the keeper, and somebody has killed it
            self.end_keeper()
        self._wait_for_rest()
        self._process.wait()
        self._read_output()
        self._close()
        self._understand()
        return True

    def end(self) -> None:
        """Have the group end: TERM, and KILL after the grace. Returns at once."""
        self._say(b"e")

    def end_now(self) -> None:
        """Have the group end now. Returns at once."""
        self._say(b"k")

    def end_keeper(self) -> None:
        """The last resort, when a keeper does not do what it was told: it is stopped, perhaps."""
        if self._status >= 0:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):  # it has ended; or became another user's, and is out of reach
                return

    def _wait_for_rest(self) -> None:
        """Where a keeper was killed with its group, the others may need a moment more to be gone.

        The group's number is nobody else's: the keeper has not been reaped.
        """
        deadline_s = time.monotonic() + _REST_WAIT_S
        while keeper.others(self._process.pid) and time.monotonic() < deadline_s:
            time.sleep(_LOOK_S)

    def _say(self, word: bytes) -> None:
        if self._word >= 0:
            try:
                os.write(self._word, word)
            except BrokenPipeError:  # it has ended
                return

    def _read_output(self) -> None:
        for _ in range(_PIECES_COUNT_MAX):
            if self._out < 0:
                return
            try:
                piece = os.read(self._out, _PIECE_BYTES)
            except BlockingIOError:
                return
            if not piece:
                os.close(self._out)
                self._out = -1
                return
            self.output_bytes += len(piece)
            self._tail += piece
            del self._tail[: max(0, len(self._tail) - self._tail_bytes_max)]

    def _understand(self) -> None:
        kind, _, number = self._line.decode("ascii", "replace").strip().partition(" ")
        if kind == "none":
            raise not_started(self._command, int(number))
        if kind == "exit":
            self.exit_code = int(number)
        elif kind == "signal":
            self.signal = int(number)

    def _close(self) -> None:
        for fd in (self._out, self._status, self._word):
            if fd >= 0:
                os.close(fd)
        self._out = self._status = self._word = -1
