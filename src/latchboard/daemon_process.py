"""Daemon process: which process is a project's daemon, and the end of those that are one too many.

Law 1. Nothing that is not provably ours is ever signalled: each is judged anew with the grip already on it.
Law 2. Off is off: with the option at its default, no process is listed and no file is touched.
Law 3. The recorded daemon that runs stays; so do this process and its ancestors.

Whoever enforces holds the daemon's place (the singleton `daemon`), or is about to take it: two that enforce at once,
each as a daemon of its own, would end each other.

Protocol: protocol/daemon.md.
"""

from __future__ import annotations

from latchboard.errors import HostError
from latchboard.host.process import SWEEP_WAIT_S, end_process
from latchboard.rules import container
from latchboard.rules import daemon as rules
from latchboard.rules.singleton import parse_pid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from latchboard.clock import Clock
    from latchboard.host.port import Identity, Machine, Process
    from latchboard.settings import Settings

    class Content(Protocol):
        """What the files of a record hold."""

        pid_file: bytes | None
        record: bytes | None

        def facts(self) -> dict[str, Any] | None:
            """The record as JSON; None when there is none that can be read."""
            ...

    class Files(Protocol):
        """The files that say which process is the daemon."""

        def read(self) -> Any:
            """Both, as `Content`."""
            ...

        def remove(self, judged: Any) -> bool:
            """Remove exactly what was judged; False: it is another one by now, or somebody holds its lock."""
            ...


_ANCESTORS_COUNT_MAX = 64


class Recorded:
    """What is recorded, and what that is worth.

    Attributes:
        state: `running` (the recorded process is our daemon), `stale` (provably not), `none`, or `unknowable`.
        pid: What the record says; None when it says none.
        why: Why it is not running; "" otherwise.
        started_at: When it was started, if the record says so.
    """

    __slots__ = ("content", "pid", "started_at", "state", "why")

    def __init__(self, state: rules.State, pid: int | None, why: str, started_at: str | None, content: Content) -> None:
        self.state = state
        self.pid = pid
        self.why = why
        self.started_at = started_at
        self.content = content

    def to_json(self) -> dict[str, Any]:
        """As `--json` has it."""
        return {"state": self.state, "pid": self.pid, "why": self.why, "started_at": self.started_at}


class Found:
    """A process that has our name in its command line.

    Attributes:
        process: As the machine described it.
        why: Why it is not provably this project's daemon; "" when it is.
        spared: Why it stays although it is; "" when nothing spares it.
    """

    __slots__ = ("process", "spared", "why")

    def __init__(self, process: Process, why: str, spared: str) -> None:
        self.process = process
        self.why = why
        self.spared = spared

    def to_json(self) -> dict[str, Any]:
        """As `--json` has it."""
        return {
            "pid": self.process["identity"]["pid"],
            "is_ours": not self.why,
            "why": self.why or self.spared,
        }


class Report:
    """What an enforcement did.

    Attributes:
        mode: `off`, `host` or `container`.
        recorded: The recorded daemon; None when the mode is `off`.
        is_record_removed: The record was stale, and is gone.
        ended: Pid, and what became of it (`is_gone`, `by`, `why`), of each daemon that was to end.
        spared: Pid and reason of each daemon of this project that was left.
    """

    __slots__ = ("ended", "is_record_removed", "mode", "recorded", "spared")

    def __init__(self, mode: rules.Mode) -> None:
        self.mode = mode
        self.recorded: Recorded | None = None
        self.is_record_removed = False
        self.ended: list[dict[str, Any]] = []
        self.spared: list[dict[str, Any]] = []

    @property
    def is_running(self) -> bool:
        """Whether a start has nothing to do: the recorded daemon is healthy, and `start` exits with 0."""
        return self.recorded is not None and self.recorded.state == "running"


def _kept(recorded: Recorded) -> int | None:
    """The recorded process, unless it is proven that it is not the daemon; what cannot be judged stays, too."""
    return recorded.pid if recorded.state in ("running", "unknowable") else None


def _log(root: str, report: Report) -> None:
    """One line for each process that was to end, and for a record that went: `daemon.ended`, `daemon.left`, ..."""
    if not report.ended and not report.is_record_removed:
        return
    import logging

    log = logging.getLogger("latchboard.daemon")
    for one in report.ended:
        event = "daemon.ended" if one["is_gone"] else "daemon.left"
        log.warning("%s root=%s pid=%d by=%s why=%s", event, root, one["pid"], one["by"] or "-", one["why"] or "-")
    if report.is_record_removed and report.recorded is not None:
        log.info("daemon.record_removed root=%s pid=%s why=%s", root, report.recorded.pid, report.recorded.why)


class Daemons:
    """The daemon of one project, and those beside it.

    Args:
        root: The project's folder, absolute and normal.
        clock: For waiting.
        machine: Where processes are found and ended.
        settings: `enforce_single_daemon_process`.
        files: The record.
        verb: In their command line; that of a supervisor and of a worker is another one.
    """

    __slots__ = ("_clock", "_files", "_machine", "_root", "_settings", "_verb")

    def __init__(
        self, root: str, clock: Clock, machine: Machine, settings: Settings, files: Files, *, verb: str = rules.VERB
    ) -> None:
        self._root = root
        self._clock = clock
        self._machine = machine
        self._settings = settings
        self._files = files
        self._verb = verb

    # -- looking

    def indicators(self) -> list[container.Indicator]:
        """Everything that speaks for a container around this process."""
        return container.indicators(self._machine.surroundings(self._root))

    @property
    def mode(self) -> rules.Mode:
        """What enforcement would do."""
        is_on = self._settings.enforce_single_daemon_process
        return rules.mode(is_on, self.indicators() if is_on else ())

    def verify(self) -> Recorded:
        """Whether the recorded daemon is one, and this project's: two files and one process are looked at."""
        content: Content = self._files.read()
        if content.pid_file is None and content.record is None:
            return Recorded("none", None, "nothing is recorded", None, content)
        facts = content.facts() or {}
        identity, started_at = facts.get("process"), facts.get("started_at")
        started_at = started_at if isinstance(started_at, str) else None
        pid = identity.get("pid") if isinstance(identity, dict) else parse_pid(content.pid_file)
        if type(pid) is not int or not 0 < pid < 2**31:
            return Recorded("stale", None, rules.GARBAGE, started_at, content)
        why = self.why_not_recorded(pid, identity)
        return Recorded(rules.state_of(why), pid, why, started_at, content)

    def why_not(self, pid: int) -> str:
        """Why the process with this pid is not provably this project's daemon; "" when it is."""
        if not 0 < pid < 2**31:
            return rules.DEAD
        try:
            return self._judge(self._machine.look(pid))
        except HostError:
            return rules.UNREADABLE

    def why_not_recorded(self, pid: int, identity: Any) -> str:
        """Why a recorded process is not this project's daemon; its identity, where there is one, is judged first."""
        if identity is not None:
            verdict = self._machine.verdict(identity)
            if verdict != "live":
                return verdict
        try:
            return self._judge(self._machine.look(pid), identity)
        except HostError:
            return rules.UNREADABLE

    def why_not_at_last(self, identity: Identity) -> str:
        """As `why_not_recorded`, for who sends a signal next: nothing is looked at behind this.

        Whatever else is asked takes time, and a process becomes another program in less.
        """
        try:
            now = self._machine.look(identity["pid"])
            why = self._judge(now, identity)
            again = None if why else self._machine.look(identity["pid"])
        except HostError:
            return rules.UNREADABLE
        return why or ("" if again == now else "changed")

    def find(self, recorded: Recorded | None = None) -> list[Found]:
        """Every process that has our name in its command line, judged.

        Args:
            recorded: What `verify` has just said, for whoever acts on it; read again otherwise.

        Raises:
            HostError: Processes cannot be listed.
        """
        why_spared = self._sparing(recorded or self.verify())
        found = []
        for process in self._machine.scan(rules.PACKAGE):
            why = self._judge(process)
            found.append(Found(process, why, "" if why else why_spared(process["identity"]["pid"])))
        return found

    def why_spared(self, pid: int) -> str:
        """Why a daemon of this project must not be ended; "" when nothing spares it."""
        return self._sparing(self.verify())(pid)

    def _sparing(self, recorded: Recorded) -> Callable[[int], str]:
        kept, own_pid = _kept(recorded), self._machine.me()["pid"]
        ancestors, is_daemon = self._ancestors(own_pid), not self.why_not(own_pid)
        return lambda pid: rules.why_spared(
            pid,
            asker_pid=own_pid,
            ancestors=ancestors,
            recorded_pid=kept,
            parents=self._ancestors(pid),
            is_asker_daemon=is_daemon,
        )

    # -- enforcing

    def enforce(self, *, term_wait_s: float = SWEEP_WAIT_S) -> Report:
        """Do what the mode says: nothing, or remove a stale record, or also end this project's other daemons.

        Args:
            term_wait_s: How long each may take to end well, seconds.

        Raises:
            HostError: Processes cannot be listed; nothing was changed.
            StoreError: A stale record cannot be removed. Processes may have been ended.
        """
        mode = self.mode
        report = Report(mode)
        if mode == "off":
            return report
        report.recorded = self.verify()
        if mode == "container":
            self._end_others(report, report.recorded, term_wait_s)
        if report.recorded.state == "stale":
            report.is_record_removed = self._files.remove(report.recorded.content)
        _log(self._root, report)
        return report

    def _end_others(self, report: Report, recorded: Recorded, term_wait_s: float) -> None:
        for one in self.find(recorded):
            identity = one.process["identity"]
            if one.why:
                continue
            if one.spared:
                report.spared.append({"pid": identity["pid"], "why": one.spared})
                continue
            ending = end_process(
                self._machine,
                self._clock,
                identity,
                why_not=lambda meant=one.process: self._why_not_now(meant),  # type: ignore[misc]  # bound at once
                term_wait_s=term_wait_s,
            )
            if ending.why in ("recorded", "child") and ending.by is None:
                report.spared.append({"pid": identity["pid"], "why": ending.why})
            else:
                report.ended.append({"pid": identity["pid"], **ending.to_json()})

    # -- judging

    def _why_not_now(self, meant: Process) -> str:
        """Why a process that was ours is not any more, or is the daemon by now, or forked by it. It is read last."""
        kept = _kept(self.verify())
        if kept == meant["identity"]["pid"]:
            return "recorded"
        if kept in self._ancestors(meant["identity"]["pid"]):
            return "child"
        return self.why_not_at_last(meant["identity"])

    def _judge(self, process: Process | None, recorded: Any = None) -> str:
        if process is None:
            return rules.DEAD
        named = rules.root_in(process["argv"], verb=self._verb)
        asker = self._machine.look(self._machine.me()["pid"]) if named is not None else process
        if asker is None:
            return rules.UNREADABLE
        return rules.why_not_ours(
            process,
            asker,
            verdict=self._machine.verdict(process["identity"]),
            root=self._machine.folder(None, self._root) if named is not None else "",
            folder=self._machine.folder(process, named) if named is not None else "",
            recorded=recorded,
            verb=self._verb,
        )

    def _ancestors(self, pid: int) -> set[int]:
        """The parents of a process; as far as they can be told."""
        found: set[int] = set()
        for _ in range(_ANCESTORS_COUNT_MAX):
            try:
                process = self._machine.look(pid)
            except HostError:
                break
            if process is None or process["parent"] <= 0 or process["parent"] in found:
                break
            pid = process["parent"]
            found.add(pid)
        return found
