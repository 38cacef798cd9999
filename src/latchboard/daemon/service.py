"""Daemon: one project's daemon, as programs and commands deal with it.

    board = Latchboard(".")
    running = board.daemon.ensure_running()
    print(running.state.port)

Guarantees that any number of callers, in any number of processes, get one daemon and its port; it answers when they do.
Nothing in the library asks for one by itself.

Protocol: protocol/health.md.
"""

from __future__ import annotations

from latchboard.daemon.orphans import SCAN_S
from latchboard.daemon.probe import url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from latchboard.daemon.orphans import OrphanDaemon, Orphans, Scan, SweepReport
    from latchboard.daemon.standing import Looking, Standing
    from latchboard.daemon.starting import Running, Starting, Stopped
    from latchboard.daemon.state import Token
    from latchboard.rules.serving import State


class Daemon:
    """What can be done with it. Each method says in its own module what it raises."""

    __slots__ = ("_looking", "_orphans", "_starting", "_token")

    def __init__(self, looking: Looking, starting: Starting, orphans: Orphans, token: Token) -> None:
        self._looking = looking
        self._starting = starting
        self._orphans = orphans
        self._token = token

    def look(self) -> Standing:
        """How it stands; changes nothing. See `daemon.standing`."""
        return self._looking.look()

    def ensure_running(self, *, host: str | None = None, allowed_hosts: Sequence[str] | None = None) -> Running:
        """See to it that it runs; see `daemon.starting.Starting.ensure_running`."""
        return self._starting.ensure_running(host=host, allowed_hosts=allowed_hosts)

    def stop(self) -> Stopped:
        """End it, if there is one; see `daemon.starting.Starting.stop`."""
        return self._starting.stop()

    def restart(self, *, host: str | None = None, allowed_hosts: Sequence[str] | None = None) -> Running:
        """End it, and start one; see `daemon.starting.Starting.restart`."""
        return self._starting.restart(host=host, allowed_hosts=allowed_hosts)

    def scan(self, *, within_s: float = SCAN_S) -> Scan:
        """Orphans, and what looks like one; see `daemon.orphans.Orphans.scan`."""
        return self._orphans.scan(within_s=within_s)

    def orphans(self) -> list[OrphanDaemon]:
        """Orphans alone."""
        return self._orphans.scan().orphans

    def sweep(self) -> SweepReport:
        """End them; see `daemon.orphans.Orphans.sweep`."""
        return self._orphans.sweep()

    def page(self, state: State) -> str:
        """The address of its page, with the token behind the hash, where no server is told of it.

        Raises:
            StoreError: The token must not be trusted: others can read its file.
        """
        return f"{url(state.host, state.port)}#token={self._token.ensure()}"
