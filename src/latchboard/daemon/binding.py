"""Binding: a port for a daemon, bound and listened on at once, so that nobody can get in between.

Protocol: protocol/health.md, "Starting".
"""

from __future__ import annotations

import contextlib
import errno
import socket

from latchboard.errors import NoFreePort, UsageError
from latchboard.rules import serving

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from latchboard.daemon.state import StateFile
    from latchboard.settings import Settings

_BACKLOG_COUNT = 2048


@contextlib.contextmanager
def bound(host: str, port: int | None, settings: Settings, state_file: StateFile) -> Iterator[socket.socket]:
    """A socket with a port of its own, that listens.

    Args:
        host: The address.
        port: The only port to take; None: the recorded one, else the first free one of the settings' range.
        settings: `daemon_port_first`, `daemon_port_end`.
        state_file: The record.

    Raises:
        NoFreePort: There is none, or not the one that was asked for.
        UsageError: This machine has no such address.
    """
    first, end = settings.daemon_port_first, settings.daemon_port_end
    recorded = state_file.read()
    if port is not None:
        first, end = port, port + 1
    for one in serving.ports(first, end, recorded.port if recorded else None):
        listener = _listen(host, one)
        if listener is not None:
            with listener:
                yield listener
            return
    which = f"port {first}" if end - first == 1 else f"any port from {first} to {end - 1}"
    raise NoFreePort(
        f"cannot listen on {which} of {host}: others do",
        hint="end what listens there (`ss -ltnp` tells), or set daemon_port_first and daemon_port_end",
        first=first,
        end=end,
    )


def _listen(host: str, port: int) -> socket.socket | None:
    """A socket that listens; None: somebody else does.

    It listens at once: two sockets with SO_REUSEADDR may both be bound to a port on which nobody listens yet.
    """
    try:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what the last one's connections left
            listener.bind((host, port))
            listener.listen(_BACKLOG_COUNT)
        except BaseException:
            listener.close()
            raise
    except (OSError, TypeError) as exc:  # TypeError: a name that no machine can have
        if getattr(exc, "errno", None) == errno.EADDRINUSE:
            return None
        what = f"cannot listen on port {port} of {host}: {getattr(exc, 'strerror', None) or exc}"
        raise UsageError(what, hint="name an address of this machine, and a port above 1023") from exc
    return listener
