"""Service manager: what a process says to whoever manages it, by `sd_notify(3)`; silent where nobody does.

Law. Nobody is kept from work by a manager that does not listen; one that is busy is given a moment.

Protocol: protocol/worker.md, "Service managers".
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

NOTIFY_VARIABLE = "NOTIFY_SOCKET"
WATCHDOG_VARIABLE, WATCHDOG_PID_VARIABLE = "WATCHDOG_USEC", "WATCHDOG_PID"
_PATIENCE_S = 0.25
"""Where its queue is full, as when a machine starts: a `READY=1` that is dropped ends the service some time later."""


class ServiceManager:
    """Whoever started this process to look after it.

    Attributes:
        watchdog_s: How often it wants to be told `WATCHDOG=1`, seconds: half of its patience; None: not at all.
    """

    __slots__ = ("_address", "watchdog_s")

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get(NOTIFY_VARIABLE, "")
        self.watchdog_s: float | None = None
        usec, pid = environ.get(WATCHDOG_VARIABLE, ""), environ.get(WATCHDOG_PID_VARIABLE, "")
        is_for_us = not pid or pid == str(os.getpid())
        if self._address and usec.isascii() and usec.isdecimal() and int(usec) > 0 and is_for_us:
            self.watchdog_s = int(usec) / 2e6

    def tell(self, *lines: str) -> None:
        """`READY=1`, `STATUS=idle`, `WATCHDOG=1`, `STOPPING=1`."""
        if not self._address:
            return
        import socket

        name = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.settimeout(_PATIENCE_S)
                out.sendto("\n".join(lines).encode("utf-8", "replace"), name)
        except (OSError, ValueError):  # its patience ends, and it does what it was set up to do
            return
