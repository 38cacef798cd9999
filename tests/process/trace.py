"""Trace: strace(1) attached to one process, to list its system calls, or to interrupt it at one of them.

strace counts the calls of each name by itself: the third `write` is `write:when=3`.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from types import TracebackType

from tests.conftest import SOAK
from tests.process.nursery import PATIENCE_S

_ASKING = ("access", "fcntl", "geteuid", "getpid", "getrandom", "ioctl", "lseek", "newfstatat", "poll")
_READING = ("getdents64", "pread64", "read", "readlink")
_OWN = ("brk", "close", "dup", "futex", "madvise", "mmap", "mremap", "munmap")
"""About what ends with the process anyway."""
_LASTING = ("fdatasync", "fsync")
"""Only a power cut shows whether they were called, and it has tests of its own."""
SPARED = () if SOAK else (*_ASKING, *_READING, *_OWN, *_LASTING)
"""They change nothing: a kill there leaves what a kill at the next call leaves. Soak kills there too."""
_CALL = re.compile(r"^(?:(\d+) +)?([a-z_0-9]+)\(")


def numbers(count: int) -> range:
    """Where a sweep kills, of the calls of one name: at every one that was counted.

    In the soak it goes on until one number more kills nobody: that one attempt for each name, which shows that no run
    makes more calls than the counted one, is a third of a sweep.
    """
    return range(1, 5 * count + 5 if SOAK else count + 1)


class Trace:
    """strace on a process; ends with the process, or when it is closed.

    Args:
        pid: Which process.
        log: Where the system calls are written.
        injections: What to do to which of them, as strace's `-e inject=` takes it.
    """

    def __init__(self, pid: int, log: Path, *injections: str) -> None:
        options = [word for injection in injections for word in ("-e", f"inject={injection}")]
        self._log = log
        self._pid = str(pid)
        self._process = subprocess.Popen(
            ["strace", "-f", "-p", str(pid), "-o", str(log), *options], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        assert self._process.stderr is not None
        line = self._process.stderr.readline()
        if b"attached" not in line:
            self.close()
            raise AssertionError(f"strace did not attach: {line!r}")

    def calls(self) -> list[tuple[str, str]]:
        """(name, line of the log) of every system call of this process so far, in order; not those of its children."""
        lines = self._log.read_text(errors="replace").splitlines()
        found = [(match, line) for line in lines if (match := _CALL.match(line))]
        return [(match.group(2), line) for match, line in found if match.group(1) in (None, self._pid)]

    def has_stopped(self) -> bool:
        """Whether a signal has stopped it by now."""
        return "--- stopped by SIGSTOP ---" in self._log.read_text(errors="replace")

    def last_calls(self, count: int = 3) -> str:
        """The last system calls, for a report."""
        return " | ".join(self._log.read_text(errors="replace").splitlines()[-count:])

    def close(self) -> None:
        """Let the process go on without us."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait(PATIENCE_S)
        if self._process.stderr is not None:
            self._process.stderr.close()

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
