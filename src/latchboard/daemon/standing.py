"""Standing: how a project's daemon stands, by its record, its place, its process and its own word; changes nothing.

Law 1. Whether it is ours is told by the process (`latchboard.daemon_process`); whether it works, by its answer.
Law 2. Who listens is told by the kernel, where it can be: an answer that names a pid is that process's only if that
process listens there.

Protocol: protocol/health.md, "State record".
"""

from __future__ import annotations

from latchboard.daemon.probe import WITHIN_S, address, probe
from latchboard.errors import HostError
from latchboard.rules import serving

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Clock
    from latchboard.daemon.state import StateFile
    from latchboard.daemon_process import Daemons, Recorded
    from latchboard.host.port import Machine
    from latchboard.settings import Settings


class Standing:
    """How it stands.

    Attributes:
        condition: `running` (recorded, ours, and answers), `silent` (recorded, ours, and does not answer),
            `unrecorded` (ours and in the daemon's place, but in no record: it is starting, or was started by hand),
            `elsewhere` (the place is held by a process that cannot be judged from here), `none`.
        state: Which daemon that is; for an unrecorded one None until it answers; None when there is none.
        process: Its identity; None as above, though not for an unrecorded one.
        why: Why what is recorded is not the daemon; "" when it is, or nothing is recorded.
        drift: What its version is to ours.
        place: What the registry says.
    """

    __slots__ = ("condition", "drift", "place", "process", "state", "why")

    def __init__(
        self, condition: serving.Condition, place: Recorded, *, process: Any, state: serving.State | None, why: str
    ) -> None:
        self.condition = condition
        self.place = place
        self.process = process
        self.state = state
        self.why = why
        self.drift: serving.Drift = ""

    @property
    def is_running(self) -> bool:
        """Whether it is recorded and answers."""
        return self.condition == "running"


class Looking:
    """Looks.

    Args:
        clock: For deadlines.
        machine: Where processes are looked at.
        daemons: Judge them.
        state_file: The record.
        settings: The range of ports.
        version: Our own.
    """

    __slots__ = ("_clock", "_daemons", "_machine", "_ports", "_state_file", "_version")

    def __init__(
        self,
        *,
        clock: Clock,
        machine: Machine,
        daemons: Daemons,
        state_file: StateFile,
        settings: Settings,
        version: str,
    ) -> None:
        self._clock = clock
        self._ports = range(settings.daemon_port_first, settings.daemon_port_end)
        self._machine = machine
        self._daemons = daemons
        self._state_file = state_file
        self._version = version

    def look(self, *, within_s: float = WITHIN_S, holder: int | None = None) -> Standing:
        """How the daemon stands now.

        Args:
            within_s: How long it may take to answer, seconds.
            holder: Who has the daemon's place by its lock; for a registry whose entry was removed.
        """
        state, place = self._state_file.read(), self._daemons.verify()
        why = self._daemons.why_not_recorded(state.pid, state.process) if state else ""
        if state is not None and not why:
            answers = self._health(state.pid, state.host, state.port, within_s)
            found = Standing("running" if answers else "silent", place, process=state.process, state=state, why="")
            found.drift = serving.drift(answers.version if answers else state.version, self._version)
            return found
        if place.state == "running" and place.pid is not None:
            return self._unrecorded(place, place.pid, why, within_s)
        if holder is not None and not self._daemons.why_not(holder):
            return self._unrecorded(place, holder, why, within_s)
        condition: serving.Condition = "elsewhere" if place.state == "unknowable" else "none"
        return Standing(condition, place, process=None, state=None, why=why)

    def _unrecorded(self, place: Recorded, pid: int, why: str, within_s: float) -> Standing:
        """The daemon in the place, which no record names: asked at every address at which it listens."""
        try:
            process = self._machine.look(pid)
        except HostError:
            process = None
        if process is None:
            return Standing("none", place, process=None, state=None, why=why)
        found = Standing("unrecorded", place, process=process["identity"], state=None, why=why)
        for host, port, health in self._answers(pid, within_s):
            found.drift = serving.drift(health.version, self._version)
            found.state = serving.State(
                process["identity"],
                host=host,
                port=port,
                version=health.version,
                protocol_version=health.protocol_version,
                started_at=health.started_at or "unknown",
                allowed_hosts=serving.allowed_hosts_in(process["argv"]),
            )
            break
        return found

    def _answers(self, pid: int, within_s: float) -> list[tuple[str, int, serving.Health]]:
        """Where that process answers: at the addresses at which it listens, else anywhere in the range."""
        where = self._machine.listening(pid)
        if where is None:
            found = probe(self._ports, self._clock, within_s=within_s).values()
            return [("127.0.0.1", one.port, one.health) for one in found if one.health and one.health.pid == pid]
        asked = [(host, port, self._health(pid, host, port, within_s)) for host, port in where]
        return [(host, port, health) for host, port, health in asked if health is not None]

    def _health(self, pid: int, host: str, port: int, within_s: float) -> serving.Health | None:
        """What the process says at this address; None: nothing, or somebody else does."""
        if not self.listens(pid, host, port):  # first: a record may name any address, and nobody is to be led there
            return None
        answer = probe([port], self._clock, host=host, within_s=within_s)[port]
        return answer.health if answer.health is not None and answer.health.pid == pid else None

    def listens(self, pid: int, host: str, port: int) -> bool:
        """Whether that process listens there, as far as the kernel tells."""
        found = self._machine.listening(pid)
        return found is None or any(port == at and address(host) == address(where) for where, at in found)
