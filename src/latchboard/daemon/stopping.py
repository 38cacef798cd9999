"""Stopping: the word that ends a daemon, and the end of its process whatever hangs.

Law 1. The first word counts, whoever says it: a signal, a request, a tick; also before there is a loop to hear it.
Law 2. From the word to the end of the process it takes at most `STOP_S_MAX`, and one second more where even the log
hangs.

Protocol: protocol/health.md, "Ending".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("latchboard.daemon")

STOP_S_MAX = 5.0
"""From the word to the end of the process."""
_LAST_LINE_S = 1.0
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stop:
    """The word that ends a daemon, from a signal, a request or a tick; heard before there is a loop, too.

    Attributes:
        why: Who said it first; "" as long as nobody did.
    """

    def __init__(self) -> None:
        self.why = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()
        self._is_over = threading.Event()
        self._heard, self._say = os.pipe()

    @contextlib.contextmanager
    def noting_signals(self) -> Iterator[None]:
        """Signals that end a process end this one in good order; one that is ignored (nohup) stays so."""
        before = {number: signal.getsignal(number) for number in _ENDING}
        last_resort = threading.Thread(target=self._end_at_last, name="last resort", daemon=True)
        last_resort.start()  # now: a handler of signals must not start a thread
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, lambda number, _: self.say(signal.Signals(number).name))
        mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)  # as whoever started us had them blocked, perhaps
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._is_over.set()
            self.say("over")
            last_resort.join()
            os.close(self._heard)
            os.close(self._say)

    def say(self, why: str) -> None:
        """End. From a handler of signals, a thread or the loop; the first word counts."""
        if self.why:
            return
        self.why = why
        os.write(self._say, b"!")
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    def listen(self) -> None:
        """From now on the running loop is told."""
        self._loop = asyncio.get_running_loop()
        if self.why:
            self._event.set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Whether it was said within the time."""
        try:
            await asyncio.wait_for(self._event.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def _end_at_last(self) -> None:
        """After the word, see to it that the process ends, whatever hangs."""
        os.read(self._heard, 1)
        if not self._is_over.wait(STOP_S_MAX):
            _end_at_once(self.why)


def _end_at_once(why: str) -> None:
    """The last resort: something hangs. The kernel gives everything back; what is half-done is as after SIGKILL."""
    try:  # what hangs may be the log itself: nobody reads the pipe that it goes to
        telling = threading.Thread(target=_tell, args=(why,), name="last line", daemon=True)
        telling.start()
        telling.join(_LAST_LINE_S)
    finally:
        os._exit(0)


def _tell(why: str) -> None:
    log.error("daemon.ended_at_once why=%s after_s=%g", why, STOP_S_MAX)
