"""Agents: the workers of one project, as commands deal with them: start, stop, restart, look.

    board = Latchboard(".")
    report = board.agents.start(["builder"])

Law 1. One command is at it, in its turn; what it says is wanted is written before anything is done about it.
Law 2. What is done to a role is done to that role alone.
Law 3. Whoever is ended here is proven to be the supervisor of this project, or a worker that one started, at that
instant.

Protocol: protocol/supervision.md, "Starting", "Stopping", "Looking".
"""

from __future__ import annotations

from latchboard.daemon import spawning
from latchboard.daemon.turn import turn
from latchboard.errors import AlreadyRunning, CoordinationError, DaemonError, UsageError
from latchboard.host.process import end_process
from latchboard.rules import supervision as rules
from latchboard.rules import worker_role
from latchboard.rules.workqueue import check_role
from latchboard.supervision.keeping import supervised
from latchboard.supervision.looking import Looking, Report
from latchboard.supervision.record import LOG, TURN, ring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from typing import Any

    from latchboard.clock import Clock
    from latchboard.daemon_process import Daemons, Recorded
    from latchboard.host.port import Machine
    from latchboard.rules.worker_role import Role
    from latchboard.supervision.record import ObservedFile, WantedFile

START_WAIT_S = 20.0
STOP_MARGIN_S = 10.0
"""Beyond the drain time of the slowest role: the supervisor's own turns."""
_HEAR_WAIT_S = 5.0
"""A supervisor that has not read for so long what is wanted is stopped, or hangs."""
_LOOK_S = 0.02
_ELSEWHERE_S = 1.0
"""A process that is being killed cannot be judged for some milliseconds, either; one in another container never can."""


class Agents:
    """Starts, ends and looks at the workers of one project.

    Args:
        root: The project's folder, absolute.
        clock: For waiting.
        machine: Where processes are.
        supervisors: Judge whether a process is the project's supervisor.
        workers: Judge whether a process is a supervised worker of it.
        wanted_file: What should run.
        observed_file: What runs.
        looking: Tells how workers stand.
        tables: Every `[roles.NAME]` of the configuration, read anew.
        make_folder: Makes the registry.
        is_place_taken: Whether somebody, wherever, holds the supervisor's kernel lock.
    """

    def __init__(  # noqa: PLR0913 - made once, by compose
        self,
        root: str,
        *,
        clock: Clock,
        machine: Machine,
        supervisors: Daemons,
        workers: Daemons,
        wanted_file: WantedFile,
        observed_file: ObservedFile,
        looking: Looking,
        tables: Callable[[], Mapping[str, Mapping[str, Any]]],
        make_folder: Callable[[], None],
        is_place_taken: Callable[[], bool],
    ) -> None:
        self._root = root
        self._clock = clock
        self._machine = machine
        self._supervisors = supervisors
        self._workers = workers
        self._wanted_file = wanted_file
        self._observed_file = observed_file
        self._looking = looking
        self._tables = tables
        self._make_folder = make_folder
        self._is_place_taken = is_place_taken

    # -- looking ------------------------------------------------------------------------------------------------------

    def look(self, roles: Collection[str] = ()) -> Report:
        """How they stand; changes nothing.

        Args:
            roles: Which; all there are when none is named.

        Raises:
            UsageError: The configuration is wrong, or one of them can be no role.
        """
        return self._looking.look(roles, self._tables())

    # -- starting -----------------------------------------------------------------------------------------------------

    def start(self, roles: Collection[str] = (), *, count: int | None = None, is_restart: bool = False) -> Report:
        """See to it that workers run.

        Args:
            roles: Of which roles; of each that is configured when none is named.
            count: How many of each; as the configuration says by default.
            is_restart: Those that run are ended first.

        Returns:
            How they stand: each is registered, has died, or is refused; or the time was over.

        Raises:
            UsageError: A role has no command, none is configured, or there cannot be so many. Nothing was changed.
            AlreadyRunning: The supervisor runs where it cannot be judged from here.
            DaemonFailed: The supervisor was started, and is not ready.
            DaemonBusy: Another process is at it, and does not finish. Retryable.
            StoreError: The registry cannot be used.
        """
        if count is not None and not 0 <= count <= rules.COUNT_MAX:
            raise UsageError(f"of each role 0 to {rules.COUNT_MAX} workers can be wanted, not {count}")
        tables = self._tables()
        found = self._configured(roles, tables)
        counts = {name: role.workers if count is None else count for name, role in found.items()}
        with self._turn():
            wait_s = START_WAIT_S + max(role.stop_s for role in found.values())
            wanted = self._want(counts, is_restart=is_restart)
            self._bring(wanted, counts, wait_s)
        return self._looking.look(roles or tuple(counts), tables)

    def want(self, roles: Collection[str] = ()) -> None:
        """Say what a supervisor is to keep that is about to be run by hand.

        Args:
            roles: These, as the configuration says; when none is named what was wanted last, else all that are
                configured.

        Raises:
            UsageError, AlreadyRunning, DaemonBusy, StoreError: As `start`.
        """
        with self._turn():
            before = self._wanted_file.read()
            if self._standing().state == "running":  # whoever asks is about to be refused
                return
            if roles or before is None or before.is_empty:
                found = self._configured(roles, self._tables())
                self._want({name: role.workers for name, role in found.items()}, is_restart=False)

    def _want(self, counts: Mapping[str, int], *, is_restart: bool) -> rules.Wanted:
        """Write what is wanted. In one's turn."""
        before = self._wanted_file.read() or rules.Wanted()
        is_alone = self._standing().state != "running" and not supervised(self._workers)
        wanted = rules.asked_for(before, counts, is_alone=is_alone, is_restart=is_restart)
        self._wanted_file.write(wanted)
        return wanted

    def _configured(self, roles: Collection[str], tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Role]:
        if not roles and not tables:
            raise UsageError(
                "no role is configured here",
                hint='put one into latchboard.toml: [roles.builder] and command = ["program", "argument"]; '
                "`latchboard worker --templates` shows some",
            )
        return {role: worker_role.read(role, tables) for role in roles or tables}

    def _bring(self, wanted: rules.Wanted, counts: Mapping[str, int], wait_s: float) -> None:
        """Have a supervisor do it, and wait until it is done, or cannot be."""
        deadline_s = self._clock.now().mono_s + wait_s
        self._ensure()
        ring(self._root)
        while not self._looking.is_settled(wanted, counts):
            if self._clock.now().mono_s > deadline_s:
                return
            if self._supervisors.verify().state in ("none", "stale"):  # it had just found that nothing was wanted
                self._ensure()
            self._clock.wait([], _LOOK_S)

    def _ensure(self) -> None:
        """A supervisor that runs."""
        deadline_s = self._clock.now().mono_s + spawning.START_WAIT_S
        while True:
            if self._standing().state == "running":
                return
            _, refused = spawning.start(
                self._root, [], self._machine, self._clock, verb=rules.SUPERVISOR, log=LOG, what="the supervisor"
            )
            if refused is None:
                return
            if self._clock.now().mono_s > deadline_s:
                raise self._elsewhere(refused)
            self._clock.wait([], _LOOK_S)  # it is on its way out

    def _standing(self) -> Recorded:
        """The supervisor in the record, which can be judged.

        Raises:
            AlreadyRunning: It cannot. Nothing was changed.
        """
        deadline_s = self._clock.now().mono_s + _ELSEWHERE_S
        while True:
            recorded = self._supervisors.verify()
            if recorded.state == "unknowable" and not self._is_place_taken():
                recorded.state = "stale"  # whoever that was: the kernel says that he is gone
            if recorded.state != "unknowable":
                return recorded
            if self._clock.now().mono_s > deadline_s:
                raise self._elsewhere(recorded.content.facts() or {})
            self._clock.wait([], _LOOK_S)

    def _elsewhere(self, facts: Mapping[str, Any]) -> AlreadyRunning:
        return AlreadyRunning(
            f"the supervisor of {self._root} runs in another container, or as another user: it cannot be judged from "
            "here",
            hint="use it there, or end it there",
            **{name: facts.get(name) for name in ("agent_type", "pid", "started_at", "process")},
        )

    # -- stopping -----------------------------------------------------------------------------------------------------

    def stop(self, roles: Collection[str] = ()) -> Report:
        """End the workers of these roles, of all when none is named; and the supervisor with the last one.

        What runs is in the records: a configuration that cannot be read is in nobody's way.

        Raises:
            UsageError: One of them can be no role. Nothing was changed.
            DaemonError: A process could not be ended; says which.
            AlreadyRunning: The supervisor runs where it cannot be judged from here. Nothing was changed.
            DaemonBusy: Another process is at it, and does not finish. Retryable.
            StoreError: The registry cannot be used.
        """
        for role in roles:
            check_role(role)
        tables = self._known_tables()
        with self._turn():
            recorded = self._standing()
            before = self._wanted_file.read() or rules.Wanted()
            is_alone = recorded.state != "running" and not supervised(self._workers)  # nothing is wanted any more
            after = rules.not_wanted(before, None if is_alone else set(roles) or None)
            self._wanted_file.write(after)
            if recorded.state != "running" or not self._is_done(after, roles, tables):
                self._end_by_hand(after, roles, tables)
            if after.is_empty and recorded.state == "running":
                self._see_off((recorded.content.facts() or {}).get("process"))
        return self._looking.look(roles, tables)

    def _known_tables(self) -> Mapping[str, Mapping[str, Any]]:
        """What the configuration says, as far as it can be read."""
        try:
            return self._tables()
        except CoordinationError:
            return {}

    def _is_done(self, wanted: rules.Wanted, roles: Collection[str], tables: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether the supervisor did it; False: it hangs, or does not get to the end of it."""
        ring(self._root)
        started_s = self._clock.now().mono_s
        stop_s = max([worker_role.stop_s_of(role, tables) for role in roles or wanted.roles], default=0.0)
        while True:
            observed = self._observed_file.read()
            is_running = self._supervisors.verify().state == "running"
            has_heard = observed is not None and observed.revision >= wanted.revision
            left = [one for one in observed.workers if not roles or one["role"] in roles] if observed else []
            if not is_running:
                return False  # what is left is found by its command line
            if has_heard and not left and not wanted.is_empty:
                return True
            spent_s = self._clock.now().mono_s - started_s
            if spent_s > stop_s + STOP_MARGIN_S or (not has_heard and spent_s > _HEAR_WAIT_S):
                return False
            self._clock.wait([], _LOOK_S)

    def _end_by_hand(
        self, wanted: rules.Wanted, roles: Collection[str], tables: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """End a supervisor that hangs, and the workers that are left; start one again for what is still wanted."""
        recorded = self._supervisors.verify()
        if recorded.state == "running" and recorded.pid is not None:
            process = self._machine.look(recorded.pid)
            if process is not None:
                self._end(process["identity"], self._supervisors, "the supervisor", 0.0)
        found = [one for one in supervised(self._workers) if not roles or one[0] in roles]
        if found:
            from concurrent.futures import ThreadPoolExecutor  # 12 ms, for those who end something

            with ThreadPoolExecutor(len(found)) as pool:
                ends = [
                    pool.submit(
                        self._end,
                        process["identity"],
                        self._workers,
                        f"worker {number} of {role}",
                        worker_role.stop_s_of(role, tables),
                    )
                    for role, number, process in found
                ]
            for end in ends:
                end.result()
        if not wanted.is_empty:
            self._ensure()
            ring(self._root)
        elif self._supervisors.verify().state != "running":
            self._observed_file.remove()

    def _see_off(self, process: Any) -> None:
        """It has given its place back: it is about to end, and nothing is left behind when this returns."""
        deadline_s = self._clock.now().mono_s + STOP_MARGIN_S
        while self._machine.verdict(process) == "live" and self._clock.now().mono_s < deadline_s:
            self._clock.wait([], _LOOK_S)

    def _end(self, identity: Any, judge: Daemons, what: str, term_wait_s: float) -> None:
        ending = end_process(
            self._machine,
            self._clock,
            identity,
            why_not=lambda: judge.why_not_at_last(identity),
            term_wait_s=term_wait_s,
        )
        if not ending.is_gone:
            raise DaemonError(
                f"{what} (process {identity['pid']}) could not be ended: {ending.why}",
                hint="end it yourself, then try again",
                pid=identity["pid"],
            )

    def _turn(self) -> Any:
        return turn(self._root, self._clock, self._make_folder, name=TURN, what="the workers")
