"""Ticks: what a daemon does by itself: it cleans up, and finds out when it is one too many.

Law 1. A tick that fails is logged once, when that begins; the next one comes all the same.
Law 2. The record is read, never written: not a byte of it, nor its times.
Law 3. What may block runs in a thread; whoever waits for a tick waits by a clock that he was given.

Protocol: protocol/health.md, "Retirement".
"""

from __future__ import annotations

import asyncio
import logging
import os

from latchboard.daemon.probe import probe
from latchboard.errors import CoordinationError
from latchboard.host.daemon_entry import TYPE
from latchboard.host.home import Home
from latchboard.host.registry import FOLDER
from latchboard.rules import serving
from latchboard.rules.singleton import newest_epoch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from latchboard.clock import Clock
    from latchboard.daemon.state import StateFile
    from latchboard.daemon_process import Daemons
    from latchboard.host.port import Identity

log = logging.getLogger("latchboard.daemon")
_PAUSE_S_MAX = 600.0


async def every(
    tick_s: float,
    name: str,
    do: Callable[[], object],
    *,
    wait: Callable[[float], Awaitable[bool]],
    clock: Clock,
    share_max: float = 1.0,
) -> None:
    """Do it each `tick_s` seconds, in a thread, until `wait` says that it is over.

    Args:
        tick_s: Between two.
        name: For the log.
        do: May block, and may fail.
        wait: Waits so many seconds; True: it is over.
        clock: For how long it took.
        share_max: Of all time; what takes longer is done less often, but at least each ten minutes. One that fails and
            may go well later (its store is away) is done again after `tick_s`.
    """
    trouble, pause_s = "", tick_s
    while not await wait(pause_s):
        started_s, is_away = clock.now().mono_s, False
        try:
            await asyncio.to_thread(do)
            now = why = ""
        except CoordinationError as exc:
            why, is_away = exc.message, exc.retryable
            now = exc.code if is_away else why  # how long it was waited for, and for whom last, is no news
        except Exception as exc:  # noqa: BLE001 - a mistake of ours in one tick must not end all that would follow
            now = why = f"{type(exc).__name__}: {exc}"
        if now != trouble:
            log.warning("daemon.tick_%s tick=%s why=%s", "failed" if now else "well", name, why or "-")
        trouble = now
        took_s = 0.0 if is_away else clock.now().mono_s - started_s  # who waits for an answer that comes late is idle
        pause_s = max(tick_s, min(took_s / share_max, _PAUSE_S_MAX))


class Retirement:
    """Whether this daemon should end by itself.

    Args:
        root: The project's folder, absolute.
        me: This process.
        host: The address at which it listens, as the kernel says it.
        port: Likewise.
        epoch: Of the place that it holds in the registry.
        clock: For idle times.
        state_file: The record.
        daemons: Judge whether the recorded process is this project's daemon.
        idle_s_max: How long nobody may `touch` it, seconds; None: for ever.
    """

    def __init__(  # noqa: PLR0913 - all by keyword, made once
        self,
        root: str,
        *,
        me: Identity,
        host: str,
        port: int,
        epoch: int,
        clock: Clock,
        state_file: StateFile,
        daemons: Daemons,
        idle_s_max: float | None,
    ) -> None:
        self._root = root
        self._me = me
        self._address = host, port
        self._epoch = epoch
        self._clock = clock
        self._state_file = state_file
        self._daemons = daemons
        self._idle_s_max = idle_s_max
        self._home = Home(root)
        self._used_s = clock.now().mono_s

    def touch(self) -> None:
        """Somebody uses the daemon."""
        self._used_s = self._clock.now().mono_s

    def why(self) -> str:
        """Why it should retire: `superseded`, `displaced`, `homeless`, `idle`; "" when it should not."""
        return serving.why_retire(
            is_superseded=self._is_superseded(),
            is_displaced=self._is_displaced(),
            is_homeless=self._home.is_gone(),
            idle_s=self._clock.now().mono_s - self._used_s,
            idle_s_max=self._idle_s_max,
        )

    def _is_superseded(self) -> bool:
        """Whether the record names another daemon of this project that is there and answers, at another address."""
        state = self._state_file.read()
        if state is None or not serving.names_another(state, self._me, *self._address):
            return False
        if self._daemons.why_not_recorded(state.pid, state.process):
            return False
        answer = probe([state.port], self._clock, host=state.host)[state.port]
        return answer.health is not None and answer.health.pid == state.pid

    def _is_displaced(self) -> bool:
        """Whether an operator has opened a newer epoch of the daemon's place: this one holds nothing any more."""
        try:
            names = os.listdir(f"{self._root}/{FOLDER}")
        except OSError:  # wiped, or not for us: nothing says that there is another one
            return False
        return newest_epoch(TYPE, names) > self._epoch
