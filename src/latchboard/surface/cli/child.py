"""Child: a command that runs while locks are held, and the process that stands beside it.

The one beside it renews the lease, looks every second whether the hold is still there, and passes signals on. What a
terminal sends (Ctrl-C) reaches both by itself and is not passed on a second time.

Where the system can (Linux), the command gets SIGTERM when the process beside it is killed, since its locks end with
it. Does not reach what the command started in turn.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

from latchboard.clock import Readable
from latchboard.errors import CommandNotFound, CommandNotRunnable, CoordinationError, HoldLost, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, Protocol

    from latchboard.clock import Clock

    Tell = Callable[[CoordinationError], None]

    class Held(Protocol):
        """What is held while the command runs: a lock, or the place of a singleton."""

        def is_live(self) -> bool:
            """Whether it is still held."""
            ...

        def renew(self) -> object:
            """Make it last. Raises HoldLost."""
            ...


_PASSED_ON = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
_LOOK_S = 1.0
_PR_SET_PDEATHSIG = 1


class Beside:
    """The process beside a command.

    Attributes:
        lost: Why the hold ended before the command did; None while it lasts.
    """

    def __init__(self, hold: Held, ttl_s: float, clock: Clock, tell: Tell, *, stops_when_lost: bool) -> None:
        self._hold = hold
        self._clock = clock
        self._tell = tell
        self._stops_when_lost = stops_when_lost
        self._renew_s = ttl_s / 3
        self._look_s = min(_LOOK_S, ttl_s / 10)
        self._arrived: list[int] = []
        self._is_troubled = False
        self._renewed_s = self._looked_s = 0.0
        self.lost: HoldLost | None = None

    def run(self, command: Sequence[str], environment: dict[str, str]) -> int:
        """Run the command to its end; its status as `subprocess` gives it: below 0, it died of that signal.

        Raises:
            CommandNotFound, CommandNotRunnable: It did not start.
        """
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        before: dict[int, Any] = {}
        try:
            number: int
            for number in _PASSED_ON:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    before[number] = signal.signal(number, lambda n, _frame: self._arrived.append(n))
            before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda _n, _frame: None)
            wakeup_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
            try:
                child = _start(command, environment)
                try:
                    return self._stand_by(child, reader)
                except BaseException:  # without us it would go on without a lock
                    child.terminate()
                    child.wait()
                    raise
            finally:
                signal.set_wakeup_fd(wakeup_before)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(reader)
            os.close(writer)

    def _stand_by(self, child: subprocess.Popen[bytes], reader: int) -> int:
        self._renewed_s = self._looked_s = self._clock.now().mono_s
        while (status := child.poll()) is None:
            while self._arrived:
                _pass_on(child, self._arrived.pop(0))
            if not self._is_lost_now() or not self._stops_when_lost:
                self._clock.wait([Readable(reader)], self._look_s)
                _drain(reader)
            else:
                child.terminate()
        return status

    def _is_lost_now(self) -> bool:
        """Look and renew, each when it is time. True once: when the loss is seen."""
        now_s = self._clock.now().mono_s
        if self.lost is not None or now_s - self._looked_s < self._look_s:
            return False
        self._looked_s = now_s
        is_due = now_s - self._renewed_s >= self._renew_s
        try:
            if is_due or not self._hold.is_live():
                self._hold.renew()
                self._renewed_s = now_s
        except HoldLost as exc:
            self.lost = exc
            self._tell(exc)
            return True
        except CoordinationError as exc:  # told once, and tried again
            if not self._is_troubled:
                self._tell(exc)
            self._is_troubled = True
            return False
        self._is_troubled = False
        return False


@contextmanager
def starting(command: Sequence[str]) -> Iterator[None]:
    """Turn what the system says about a command that does not start into an error of ours.

    Raises:
        CommandNotFound: There is no such program.
        CommandNotRunnable: It is none.
    """
    try:
        yield
    except FileNotFoundError as exc:
        raise CommandNotFound(
            f"cannot run {command[0]}: there is no such program", hint="check its name and PATH", command=list(command)
        ) from exc
    except OSError as exc:
        raise CommandNotRunnable(f"cannot run {command[0]}: {exc.strerror}", command=list(command)) from exc
    except ValueError as exc:  # a NUL byte
        raise UsageError(f"cannot run {command[0]!r}: {exc}") from exc


def _start(command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with starting(command):
        return subprocess.Popen(list(command), env=environment, preexec_fn=_end_with_parent())  # noqa: PLW1509 - there is one thread


def _end_with_parent() -> Callable[[], None] | None:
    """What the child does before it becomes the command: ask for SIGTERM when its parent ends."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:  # it ended before we asked
            os.kill(os.getpid(), signal.SIGTERM)

    return ask


def _pass_on(child: subprocess.Popen[bytes], number: int) -> None:
    if number in _FROM_TERMINAL and _is_in_foreground():
        return
    try:
        child.send_signal(number)
    except OSError:  # it changed its user
        return


def _is_in_foreground() -> bool:
    """Whether this process group is the one that a terminal sends signals to."""
    for fd in (0, 1, 2):
        try:
            return os.tcgetpgrp(fd) == os.getpgrp()
        except OSError:
            continue
    return False


def _drain(reader: int) -> None:
    try:
        while os.read(reader, 512):
            pass
    except BlockingIOError:
        return
