"""Readiness: a daemon says that it is ready, or why it never will be; nobody has to guess.

To whoever spawned it, through a pipe that it was given (`--ready-fd`): one line of JSON, then the end of the pipe. An
end without a line means that it died. To a service manager by its own datagram (`sd_notify(3)`), without a library.

Law 1. Ready is said after it holds the project's place, listens and answers; never before.
Law 2. A spawner that is gone, or does not listen any more, changes nothing for the daemon.

Protocol: protocol/health.md, "Starting".
"""

from __future__ import annotations

import os
import socket
import stat

from latchboard.codec import encode
from latchboard.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

NOTIFY_VARIABLE = "NOTIFY_SOCKET"
LINE_BYTES_MAX = 4096
"""What a pipe takes in one piece on every system."""


class Readiness:
    """Tells who waits for this daemon.

    Args:
        fd: The writing end of the spawner's pipe; None: nobody gave one.
        environ: Where a service manager says how it is to be told.

    Raises:
        UsageError: `fd` is no pipe of this process.
    """

    __slots__ = ("_address", "_fd")

    def __init__(self, fd: int | None, environ: Mapping[str, str]) -> None:
        self._fd = fd
        self._address = environ.get(NOTIFY_VARIABLE, "")
        if fd is None:
            return
        hint = "leave it out: it is for programs that start one"
        try:
            if not stat.S_ISFIFO(os.fstat(fd).st_mode):
                raise UsageError(f"--ready-fd {fd} is no pipe", hint=hint)
            os.set_inheritable(fd, False)
            os.set_blocking(fd, False)  # who does not read must not stop it
        except (OSError, OverflowError) as exc:
            raise UsageError(
                f"--ready-fd {fd} is not open", hint="leave it out: programs that start one set it"
            ) from exc

    def tell_ready(self, facts: dict[str, Any]) -> None:
        """It is ready, and this is where."""
        self._say({"ready": facts})
        self._notify(f"READY=1\nSTATUS=port {facts['port']}" if "port" in facts else "READY=1")

    def tell_refused(self, error: dict[str, Any]) -> None:
        """It will not be, for this reason: an error as `--json` prints it."""
        self._say({"refused": error})

    def tell_stopping(self) -> None:
        """It is about to end."""
        self._notify("STOPPING=1")

    def close(self) -> None:
        """Nothing more will be said to the spawner. Twice is harmless."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _say(self, facts: dict[str, Any]) -> None:
        if self._fd is None:
            return
        line = encode(facts).encode() + b"\n"
        if len(line) > LINE_BYTES_MAX:
            short = {name: str(facts["refused"].get(name, ""))[:500] for name in ("code", "message", "hint")}
            line = encode({"refused": short}).encode() + b"\n"
        try:
            os.write(self._fd, line)
        except OSError:  # the spawner is gone: whoever comes next finds this daemon by itself
            pass
        self.close()

    def _notify(self, text: str) -> None:
        if not self._address:
            return
        name = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.setblocking(False)
                out.sendto(text.encode(), name)
        except OSError as exc:  # a manager that cannot be told does not keep the board from people
            import logging

            logging.getLogger("latchboard.daemon").warning("daemon.notify_failed why=%s", exc)
