"""Starting: see to it that the project's daemon runs, from however many processes at once, and end it.

Law 1. One is at it, in its turn; the others wait, look again, and take the same answer.
Law 2. A healthy daemon stays. An older version is replaced; one that is there and does not answer is told of, and ended
only by who asks for that.
Law 3. The record is written here and nowhere else, after the daemon has answered on the port that it names.
Law 4. The token is sent to nobody but a process that is proven to be ours, and to listen there.

Who is killed here leaves nothing that keeps the next one from it: a daemon without a record is found by its place.

Protocol: protocol/health.md, "Starting", "Ending".
"""

from __future__ import annotations

from latchboard.daemon.probe import exchange, request
from latchboard.daemon.spawning import START_WAIT_S, STOP_WAIT_S, start
from latchboard.daemon.turn import turn
from latchboard.errors import AlreadyRunning, DaemonError, DaemonSilent, StoreError
from latchboard.host.process import GONE, Ending, end_process
from latchboard.rules import daemon, serving

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Literal

    from latchboard.clock import Clock
    from latchboard.daemon.standing import Looking, Standing
    from latchboard.daemon.state import StateFile, Token
    from latchboard.daemon_process import Daemons
    from latchboard.host.port import Machine
    from latchboard.settings import Settings

    How = Literal["running", "started", "adopted", "replaced"]

_LOOK_S = 0.05
_ASK_S = 3.0
_ELSEWHERE_S = 1.0
"""A process that is being killed cannot be judged for some milliseconds, either; one in another container never can."""
_FIRST_PAUSE_S, _PAUSE_S_MAX = 0.05, 2.0
"""Before another one is started, when one was refused: each takes a quarter of a second of a core."""


class Running:
    """A daemon that runs.

    Attributes:
        state: Which, and where.
        how: `running` (it ran already), `started`, `adopted` (it ran, and was in no record), `replaced` (one of an
            older version was ended for it).
        drift: What its version is to ours: "" or `newer`.
    """

    __slots__ = ("drift", "how", "state")

    def __init__(self, state: serving.State, how: How, drift: serving.Drift) -> None:
        self.state = state
        self.how = how
        self.drift = drift


class Stopped:
    """What became of a daemon that was to end.

    Attributes:
        pid: Which; None: there was none.
        port: Where it listened; None: nowhere that could be told.
        path: What it took, in order: `http`, `term`, `kill`.
        is_gone: Whether it is not there any more.
        why: Why not, or why nothing was done; "" otherwise.
    """

    __slots__ = ("is_gone", "path", "pid", "port", "why")

    def __init__(self, pid: int | None, port: int | None) -> None:
        self.pid = pid
        self.port = port
        self.path: list[str] = []
        self.is_gone = False
        self.why = ""

    def to_json(self) -> dict[str, Any]:
        """As `--json` has it."""
        return {name: getattr(self, name) for name in ("pid", "port", "path", "is_gone", "why")}


class Starting:
    """Starts and ends the daemon of one project.

    Args:
        root: The project's folder, absolute.
        clock: For waiting.
        machine: Where processes are.
        daemons: Judge them.
        looking: Tells how the daemon stands.
        state_file: The record.
        token: What a request to end must show.
        settings: `daemon_idle_s_max`.
        make_folder: Makes the registry.
        start_wait_s: How long a daemon may take until it is ready, or answers, seconds.
    """

    def __init__(  # noqa: PLR0913 - made once, by compose
        self,
        root: str,
        *,
        clock: Clock,
        machine: Machine,
        daemons: Daemons,
        looking: Looking,
        state_file: StateFile,
        token: Token,
        settings: Settings,
        make_folder: Callable[[], None],
        start_wait_s: float = START_WAIT_S,
    ) -> None:
        self._root = root
        self._clock = clock
        self._machine = machine
        self._daemons = daemons
        self._looking = looking
        self._state_file = state_file
        self._token = token
        self._settings = settings
        self._make_folder = make_folder
        self._start_wait_s = start_wait_s

    # -- starting

    def ensure_running(self, *, host: str | None = None, allowed_hosts: Sequence[str] | None = None) -> Running:
        """See to it that the daemon runs.

        Args:
            host: Where one that is started listens; as the recorded one did by default, else on the loopback.
            allowed_hosts: Names by which it may be reached besides this machine's, likewise.

        Returns:
            The daemon. It answers on its port.

        Raises:
            DaemonFailed: It was started, and is not ready. Nothing runs.
            DaemonSilent: It is there, and does not answer. Nothing was changed.
            DaemonBusy: Another process is at it, and does not finish. Retryable.
            AlreadyRunning: Its place is held by a process that cannot be proven to be it, or be reached: in another
                container, or of a folder that was moved.
            StoreError: The registry cannot be used.
        """
        standing = self._looking.look()
        if standing.is_running and standing.state is not None and not serving.is_replaced(standing.drift):
            return Running(standing.state, "running", standing.drift)
        with self._turn():
            return self._ensure(host, allowed_hosts)

    def _ensure(
        self, host: str | None, allowed_hosts: Sequence[str] | None, before: serving.State | None = None
    ) -> Running:
        """In one's turn; `before`: the daemon that was proven to be ours, and has been ended for this."""
        began_s = self._clock.now().mono_s
        deadline_s = began_s + self._start_wait_s
        before = before or self._remembered()
        how: How = "started"
        refused, pause_s, is_another = None, _FIRST_PAUSE_S, False
        while True:
            standing = self._looking.look(holder=refused.get("pid") if refused else None)
            state = standing.state
            if state is not None and serving.is_replaced(standing.drift):
                before, how = state, "replaced"
                self._end_for_good(standing)
            elif standing.condition == "running" and state is not None:
                return Running(state, "running", standing.drift)
            elif standing.condition == "unrecorded" and state is not None:
                self._state_file.write(state)
                return Running(state, "adopted", standing.drift)
            elif standing.condition in ("silent", "unrecorded"):
                self._wait_for(standing, deadline_s)
            else:
                if is_another:  # by how it stands now: it may have changed as long as the last one took
                    self._check_patience(standing, refused, began_s)
                found, refused = self._start(self._options(before, host, allowed_hosts))
                if found is not None:
                    return Running(found, how, "")
                is_another = True
                self._clock.wait([], pause_s)
                pause_s = min(2 * pause_s, _PAUSE_S_MAX)

    def _remembered(self) -> serving.State | None:
        """What the record says of the last daemon, if it was written on this machine.

        Else it came with a copy or a repository, and must not open the project to the network.
        """
        state = self._state_file.read()
        return state if state is not None and serving.is_of_machine(state, self._machine.me()) else None

    def _check_patience(self, standing: Standing, refused: dict[str, Any] | None, began_s: float) -> None:
        """Whether it is worth while to start another one."""
        waited_s = self._clock.now().mono_s - began_s
        is_over = waited_s > self._start_wait_s
        if refused is not None and (is_over or (standing.condition == "elsewhere" and waited_s > _ELSEWHERE_S)):
            raise self._in_the_way(refused)
        if is_over:
            raise DaemonError(f"daemons of {self._root} come and go", hint="try again")

    def _wait_for(self, standing: Standing, deadline_s: float) -> None:
        """A daemon that does not answer yet, until the deadline."""
        if self._clock.now().mono_s > deadline_s:
            pid = standing.process["pid"]
            raise DaemonSilent(
                f"the daemon of {self._root} is there (process {pid}), and does not answer",
                hint="if it is stopped, let it go on (kill -CONT); else replace it with `latchboard daemon restart`",
                pid=pid,
                port=standing.state.port if standing.state else None,
                waited_s=self._start_wait_s,
            )
        self._clock.wait([], _LOOK_S)

    def _options(
        self, before: serving.State | None, host: str | None, allowed_hosts: Sequence[str] | None
    ) -> list[str]:
        """Those of a daemon that is to be started: as asked, else as it was before."""
        if host is None:
            host = before.host if before else "127.0.0.1"
            allowed_hosts = before.allowed_hosts if before and allowed_hosts is None else allowed_hosts
        options = ["--idle-s-max", f"{self._settings.daemon_idle_s_max:g}", "--host", host]
        return [*options, "--allowed-hosts", ",".join(allowed_hosts)] if allowed_hosts else options

    def _start(self, options: list[str]) -> tuple[serving.State | None, dict[str, Any] | None]:
        """A daemon that is ready, and recorded; None: another one came first, and what is known of it, if anything."""
        ready, refused = start(self._root, options, self._machine, self._clock, wait_s=self._start_wait_s)
        if refused is not None:
            return None, refused
        found = self._looking.look(within_s=self._start_wait_s)
        if found.condition != "unrecorded" or found.state is None or found.state.pid != ready["process"]["pid"]:
            return None, None  # it is gone again already, or somebody's force has put another one in its place
        self._state_file.write(found.state)
        return found.state, None

    def _in_the_way(self, refused: dict[str, Any]) -> AlreadyRunning:
        """Somebody has the place, and cannot be proven to be the daemon."""
        pid, process = refused.get("pid"), refused.get("process")
        why = self._daemons.why_not_recorded(pid, process) if type(pid) is int else daemon.UNKNOWABLE
        what = "runs in another container, or as another user: it cannot be judged from here"
        hint = "use it there, or end it there"
        if why not in (daemon.UNKNOWABLE, daemon.OTHER_USER):
            what = f"cannot start: process {pid} has its place, and is not proven to be it ({why})"
            hint = "the daemon of a project that was moved ends by itself within a minute; else end that process"
        facts = {name: refused.get(name) for name in ("agent_type", "pid", "started_at", "process")}
        return AlreadyRunning(f"the daemon of {self._root} {what}", hint=hint, **facts)

    # -- ending

    def stop(self) -> Stopped:
        """End the daemon, if there is one, and take its record away.

        Raises:
            DaemonBusy: Another process is at it, and does not finish. Retryable.
            StoreError: The registry cannot be used.
        """
        with self._turn():
            standing = self._look_at_whole()
            stopped = self._end(standing)
            if stopped.is_gone or standing.condition == "none":
                self._state_file.remove()
            return stopped

    def restart(self, *, host: str | None = None, allowed_hosts: Sequence[str] | None = None) -> Running:
        """End the daemon, if there is one, and start one, on the same port if that is free.

        Raises:
            DaemonError: It could not be ended, or what `ensure_running` raises.
        """
        with self._turn():
            standing = self._look_at_whole()
            self._end_for_good(standing)
            if standing.state is not None and standing.condition == "unrecorded":
                self._state_file.write(standing.state)  # so that the next one gets its port
            return self._ensure(host, allowed_hosts, standing.state)

    def _look_at_whole(self) -> Standing:
        """How it stands; one that cannot be read is waited for: somebody else has killed it just now, perhaps."""
        deadline_s = self._clock.now().mono_s + _ELSEWHERE_S
        while True:
            standing = self._looking.look()
            is_readable = standing.condition != "elsewhere" or standing.place.why != daemon.UNREADABLE
            if is_readable or self._clock.now().mono_s > deadline_s:
                return standing
            self._clock.wait([], _LOOK_S)

    def _end_for_good(self, standing: Standing) -> None:
        stopped = self._end(standing)
        if stopped.pid is not None and not stopped.is_gone:
            raise DaemonError(
                f"process {stopped.pid}, the daemon of {self._root}, could not be ended: {stopped.why}",
                hint="end it yourself, then `latchboard daemon start`",
                pid=stopped.pid,
            )

    def _end(self, standing: Standing) -> Stopped:
        """The daemon that was found: asked by HTTP, then by signals; each only as long as it is proven to be ours."""
        stopped = Stopped(standing.process["pid"] if standing.process else None, None)
        if standing.process is None:
            stopped.why = standing.condition
            return stopped
        state = standing.state
        if state is not None:
            stopped.port = state.port
            if standing.condition != "silent":
                self.ask(state, stopped, wait_s=STOP_WAIT_S)
        if not stopped.is_gone:
            why_not = lambda: self._daemons.why_not_at_last(standing.process)  # noqa: E731
            note(stopped, end_process(self._machine, self._clock, standing.process, why_not=why_not))
        return stopped

    def ask(self, state: serving.State, stopped: Stopped, *, wait_s: float) -> None:
        """Ask a daemon to end by itself, and wait so many seconds for it. Somebody else is not asked."""
        if self._daemons.why_not_recorded(state.pid, state.process):
            return
        if not self._looking.listens(state.pid, state.host, state.port):
            return
        try:
            token = self._token.read()
        except StoreError:  # others can read it, or replaced it: no reason to let the daemon run
            return
        if token is None:
            return
        question = request("POST", "/api/stop", state.host, state.port, token=token)
        answer, _ = exchange({state.port: question}, self._clock, state.host, min(_ASK_S, wait_s))[state.port]
        if serving.status_of(answer) // 100 != 2:
            return
        stopped.path.append("http")
        stopped.is_gone = self.has_ended(state.process, wait_s)

    def has_ended(self, process: Any, wait_s: float) -> bool:
        """Whether a process ends within so many seconds."""
        deadline_s = self._clock.now().mono_s + wait_s
        watch = self._machine.death_watch(process)
        try:
            while self._machine.verdict(process) not in GONE:
                left_s = deadline_s - self._clock.now().mono_s
                if left_s <= 0:
                    return False
                self._clock.wait([watch] if watch else [], left_s if watch else min(left_s, _LOOK_S))
            return True
        finally:
            if watch is not None:
                watch.close()

    def _turn(self) -> Any:
        return turn(self._root, self._clock, self._make_folder)


def note(stopped: Stopped, ending: Ending) -> None:
    """What signals did."""
    if ending.by is not None:
        stopped.path += ["term"] if ending.by == "TERM" else ["term", "kill"]
    stopped.is_gone = ending.is_gone
    stopped.why = "" if ending.is_gone else ending.why
