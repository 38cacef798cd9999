"""Orphans: daemons of this project that are not its daemon: found by their ports, ended one by one.

Law 1. All of it must hold: both versions in the health answer, a pid in it, that process listens there, and it is
provably a daemon of this project (`latchboard.daemon_process`). What a listener says alone gives nobody the right to
end anything.
Law 2. The daemon in the record stays, and so do the one in the daemon's place, this process, and what started it.
Law 3. What is told is what was seen: which way each went, or why it stayed.

Protocol: protocol/health.md, "Orphans".
"""

from __future__ import annotations

from latchboard.daemon.probe import probe
from latchboard.daemon.starting import Stopped, note
from latchboard.host.process import SWEEP_WAIT_S, end_process
from latchboard.rules import serving
from latchboard.rules.daemon import state_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Clock
    from latchboard.daemon.standing import Looking
    from latchboard.daemon.starting import Starting
    from latchboard.daemon.state import StateFile
    from latchboard.daemon_process import Daemons
    from latchboard.host.port import Identity, Machine
    from latchboard.settings import Settings

SCAN_S = 2.0
"""Twice what one daemon may take: where many have to answer, the machine is busy, and one that is missed stays."""
AGAIN_S = 4.0
"""For a sweep that has met a daemon of this project that says nothing: it need not be quick, and is to miss none."""
_AT_ONCE_COUNT = 50


class OrphanDaemon:
    """A daemon of this project that is not its daemon.

    Attributes:
        port: Where it listens.
        pid: Its process.
        version: Of its program.
        protocol_version: Of the protocol that it speaks.
        started_at: When it started, as it says; "" when it does not.
        process: Its identity.
    """

    __slots__ = ("health", "port", "process")

    def __init__(self, port: int, process: Identity, health: serving.Health) -> None:
        self.port = port
        self.process = process
        self.health = health

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process["pid"]

    @property
    def version(self) -> str:
        """Of its program."""
        return self.health.version

    @property
    def protocol_version(self) -> int:
        """Of the protocol that it speaks."""
        return self.health.protocol_version

    @property
    def started_at(self) -> str:
        """When it started, as it says; "" when it does not."""
        return self.health.started_at

    def __repr__(self) -> str:
        return f"OrphanDaemon(port={self.port}, pid={self.pid}, version={self.version!r})"

    def to_json(self) -> dict[str, Any]:
        """As `--json` has it."""
        names = ("port", "pid", "version", "protocol_version", "started_at", "process")
        return {name: getattr(self, name) for name in names}


class Scan:
    """What was found.

    Attributes:
        orphans: By port.
        skipped: What looks like one and is none, or cannot be proven: `port`, `pid`, `why`.
    """

    __slots__ = ("orphans", "skipped")

    def __init__(self) -> None:
        self.orphans: list[OrphanDaemon] = []
        self.skipped: list[dict[str, Any]] = []


class SweepReport:
    """What became of each.

    Attributes:
        swept: Those that are gone: `port`, `pid`, `path` (what it took: `http`, `term`, `kill`), `why` ("").
        skipped: Those that were left: `port`, `pid`, `path` (empty), `why`.
        failed: Those that are still there: the same, with the path that was tried.
    """

    __slots__ = ("failed", "skipped", "swept")

    def __init__(self) -> None:
        self.swept: list[dict[str, Any]] = []
        self.skipped: list[dict[str, Any]] = []
        self.failed: list[dict[str, Any]] = []

    def __repr__(self) -> str:
        return f"SweepReport(swept={self.swept!r}, skipped={self.skipped!r}, failed={self.failed!r})"

    def to_json(self) -> dict[str, Any]:
        """As `--json` has it."""
        return {name: getattr(self, name) for name in ("swept", "skipped", "failed")}


class Orphans:
    """Finds and ends them.

    Args:
        clock: For deadlines.
        machine: Where processes are.
        daemons: Judge them.
        looking: Tells who listens where.
        starting: Asks a daemon to end.
        state_file: The record.
        settings: The range of ports.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        machine: Machine,
        daemons: Daemons,
        looking: Looking,
        starting: Starting,
        state_file: StateFile,
        settings: Settings,
    ) -> None:
        self._clock = clock
        self._machine = machine
        self._daemons = daemons
        self._looking = looking
        self._starting = starting
        self._state_file = state_file
        self._ports = range(settings.daemon_port_first, settings.daemon_port_end)

    def scan(self, *, within_s: float = SCAN_S) -> Scan:
        """Look at every port of the range at once, and at every process that has our name. Changes nothing.

        Args:
            within_s: How long all of them together may take to answer, seconds.

        Raises:
            HostError: Processes cannot be listed.
        """
        found, answered = Scan(), set()
        for port, answer in probe(self._ports, self._clock, within_s=within_s).items():
            if answer.health is None:
                continue
            why = self._why_not(port, answer.health.pid)
            answered.add(answer.health.pid)
            process = None if why or answer.health.pid is None else self._machine.look(answer.health.pid)
            if process is not None:
                found.orphans.append(OrphanDaemon(port, process["identity"], answer.health))
            elif why not in ("recorded", "itself"):
                found.skipped.append({"port": port, "pid": answer.health.pid, "why": why or "dead"})
        kept = self._kept()
        for one in self._daemons.find():
            pid = one.process["identity"]["pid"]
            if not one.why and not one.spared and pid not in answered and pid not in kept:
                found.skipped.append({"port": None, "pid": pid, "why": "no-answer"})
        return found

    def sweep(self) -> SweepReport:
        """End every orphan: asked by HTTP, TERM after 1 s, KILL after 1 s more; all at the same time.

        Raises:
            HostError: Processes cannot be listed; nothing was done.
        """
        from concurrent.futures import ThreadPoolExecutor  # 12 ms, for those who end something

        scan, report = self.scan(), SweepReport()
        if any(one["why"] == "no-answer" for one in scan.skipped):
            scan = self.scan(within_s=AGAIN_S)
        report.skipped = [{**one, "path": []} for one in scan.skipped]
        with ThreadPoolExecutor(_AT_ONCE_COUNT) as pool:
            ended = list(pool.map(self._end, scan.orphans))
        for stopped in ended:
            facts = {name: getattr(stopped, name) for name in ("port", "pid", "why", "path")}
            done = report.swept if stopped.is_gone else report.failed if stopped.path else report.skipped
            done.append(facts)
        return report

    def _end(self, orphan: OrphanDaemon) -> Stopped:
        """One of them; judged anew before each step."""
        stopped = Stopped(orphan.pid, orphan.port)
        stopped.why = self._why_not(orphan.port, orphan.pid)
        if stopped.why:
            return stopped
        state = serving.State(orphan.process, port=orphan.port, version=orphan.version, started_at="now")
        self._starting.ask(state, stopped, wait_s=SWEEP_WAIT_S)
        if not stopped.is_gone:
            why_not = lambda: self._why_spared(orphan)  # noqa: E731
            ending = end_process(
                self._machine,
                self._clock,
                orphan.process,
                why_not=why_not,
                term_wait_s=SWEEP_WAIT_S,
                kill_wait_s=SWEEP_WAIT_S,
            )
            note(stopped, ending)
        return stopped

    def _why_not(self, port: int, pid: int | None) -> str:
        """Why a listener that answers like a daemon is no orphan; "" when it is one."""
        if pid is None:
            return "no-pid"
        why = self._daemons.why_not(pid)
        if why:
            return why
        if not self._looking.listens(pid, "127.0.0.1", port):
            return "not-its-port"
        return self._spared(pid)

    def _why_spared(self, orphan: OrphanDaemon) -> str:
        """Why it must not get a signal now; "" when it may. Whether it is ours is asked last."""
        return self._spared(orphan.pid) or self._daemons.why_not_at_last(orphan.process)

    def _spared(self, pid: int) -> str:
        if pid in self._kept():
            return "recorded"
        return self._daemons.why_spared(pid)

    def _kept(self) -> set[int]:
        """The process that the record names, unless it is proven to be none of our daemons."""
        state = self._state_file.read()
        if state is None or state_of(self._daemons.why_not_recorded(state.pid, state.process)) == "stale":
            return set()
        return {state.pid}
