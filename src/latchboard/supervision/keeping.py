"""Keeping: the supervisor's own process: workers are started, heard of, started again, and ended; in turns.

Law 1. A slot changes as the table says, here and nowhere else; what was done is written at the end of the turn.
Law 2. A worker is ended in a thread of its own, judged anew before each signal; nobody waits for a slow one.
Law 3. Trouble of the disk ends nothing: it is told once, and what could not be written is written later.
Law 4. Whoever is displaced, by an operator's force, goes and leaves the workers to the one that took its place.

Protocol: protocol/supervision.md, "Supervisor".
"""

from __future__ import annotations

import logging
import threading

from latchboard.errors import CoordinationError
from latchboard.host.home import Home
from latchboard.host.process import GONE, end_process
from latchboard.rules import supervision as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Protocol

    from latchboard.clock import Clock
    from latchboard.daemon_process import Daemons
    from latchboard.host.launching import Child
    from latchboard.host.port import Machine, Watchable
    from latchboard.host.process import Ending
    from latchboard.rules.supervision import Slot
    from latchboard.supervision.record import Bell, ObservedFile, WantedFile

    class Place(Protocol):
        """The supervisor's place in the registry."""

        def is_held(self) -> bool:
            """Whether it still counts."""
            ...

    class Manager(Protocol):
        """Whoever looks after this process."""

        watchdog_s: float | None

        def tell(self, *lines: str) -> None:
            """Say it."""
            ...

    Launch = Callable[[str, int, Callable[[], object]], Child]
    """Starts the worker of a role and a number; calls back when it has ended."""

log = logging.getLogger("latchboard.supervision")

TURN_S_MAX = 5.0
"""Between two turns at most: a bell may be lost, and a project's folder may go."""
_LOOK_S = 0.2
"""Between two looks at a worker whose end nothing tells."""
_AGAIN_S = 30.0
"""Before a worker that survived KILL is told to end once more."""
_ALREADY_RUNNING = 10


def in_a_thread(do: Callable[[], None]) -> None:
    """Do it, while this thread goes on."""
    threading.Thread(target=do, name="an end", daemon=True).start()


class _Hold:
    """What this process has in its hands of one slot's worker."""

    __slots__ = ("child", "ending", "watch")

    def __init__(self, child: Child | None, watch: Watchable | None) -> None:
        self.child = child
        self.watch = watch
        self.ending: list[Ending] = []


class Keeper:
    """Keeps the workers of one project.

    Args:
        root: The project's folder, absolute.
        clock: For times and waiting.
        machine: Where processes are.
        workers: Judge whether a process is a supervised worker of this project.
        wanted_file: What should run.
        observed_file: What runs.
        bell: Rung by commands, and by what ends.
        place: In the registry.
        pace: How soon the dead are started again.
        launch: Starts one.
        stop_s: How long a worker of a role may take to drain, seconds.
        tidy: Keeps the log small.
        aside: Does something that takes its time, without waiting for it.
        version: Of the program.
    """

    def __init__(  # noqa: PLR0913 - made once, by compose
        self,
        root: str,
        *,
        clock: Clock,
        machine: Machine,
        workers: Daemons,
        wanted_file: WantedFile,
        observed_file: ObservedFile,
        bell: Bell,
        place: Place,
        pace: rules.Pace,
        launch: Launch,
        stop_s: Callable[[str], float],
        tidy: Callable[[], None],
        aside: Callable[[Callable[[], None]], None] = in_a_thread,
        version: str,
    ) -> None:
        self._home = Home(root)
        self._clock = clock
        self._machine = machine
        self._workers = workers
        self._wanted_file = wanted_file
        self._observed_file = observed_file
        self._bell = bell
        self._place = place
        self._pace = pace
        self._launch = launch
        self._stop_s = stop_s
        self._tidy = tidy
        self._aside = aside
        self._version = version
        self._wanted = rules.Wanted()
        self._slots: list[Slot] = []
        self._holds: dict[tuple[str, int], _Hold] = {}
        self._written: Any = None
        self._troubles: dict[str, str] = {}
        self._is_ending = False

    # -- from its start to its end ------------------------------------------------------------------------------------

    def take_over(self) -> None:
        """Every supervised worker that is there already; of it no status will be known.

        Raises:
            HostError: Processes cannot be listed.
        """
        self._read()
        before = self._observed_file.read()
        for role, number, process in self._found():
            known = before.of(role, number) if before is not None else None
            slot = next((s for s in self._slots if (s.role, s.number) == (role, number)), None)
            if slot is None:
                slot = rules.Slot(role, number, self._want(role), self._clock.now())
                self._slots.append(slot)
            round = known["round"] if known and known["process"] == process["identity"] else slot.round
            self._takes(slot, process["identity"], None)
            slot.round = round
            if known:
                slot.deaths, slot.last = known["deaths"], known["last"]
            log.info("agents.taken_over role=%s number=%d pid=%d", role, number, process["identity"]["pid"])

    def run(self, *, is_asked_to_end: Callable[[], bool], manager: Manager) -> str:
        """Turn after turn, until nothing is left to be kept; why it ended: `done`, `asked`, `displaced`, `homeless`."""
        while True:
            self._bell.clear()
            if manager.watchdog_s is not None:
                manager.tell("WATCHDOG=1")
            if why := self.turn(is_asked_to_end=is_asked_to_end()):
                return why
            self._wait(min(TURN_S_MAX, manager.watchdog_s or TURN_S_MAX))

    def turn(self, *, is_asked_to_end: bool) -> str:
        """One of them; why it was the last one, "" otherwise."""
        is_homeless = self._home.is_gone()
        self._is_ending = self._is_ending or is_asked_to_end or is_homeless
        if not self._is_ending and self._is_displaced():
            return "displaced"
        self._read()
        self._hear()
        self._act()
        self._write()
        if self._slots:
            return ""
        return "asked" if is_asked_to_end else "homeless" if is_homeless else "done"

    def close(self) -> None:
        """Let go of everything; workers that are left go on."""
        for hold in self._holds.values():
            if hold.watch is not None:
                hold.watch.close()
        self._holds = {}

    def _is_displaced(self) -> bool:
        try:
            is_held = self._place.is_held()
            self._tell("look", "")
            return not is_held
        except CoordinationError as exc:  # a disk that does not answer proves nothing
            self._tell("look", exc.message)
            return False

    # -- a turn -------------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """What is wanted; what cannot be read changes nothing."""
        found = self._wanted_file.read()
        if found is not None:
            self._wanted = found
        if self._is_ending:
            self._wanted = rules.not_wanted(self._wanted, None)
            self._wanted.revision -= 1  # nobody has written that
        for role, number in rules.missing(self._slots, self._wanted):
            self._slots.append(rules.Slot(role, number, self._want(role), self._clock.now()))
        self._slots.sort(key=lambda slot: (slot.role, slot.number))

    def _want(self, role: str) -> rules.Want:
        return self._wanted.roles.get(role) or rules.Want(0)

    def _hear(self) -> None:
        """Who has ended, and who would not."""
        for slot in self._slots:
            hold = self._holds.get((slot.role, slot.number))
            if hold is None:
                continue
            is_child = hold.child is not None and hold.child.identity is not None
            status = hold.child.status(0) if hold.child is not None else None
            is_gone = status is not None or (not is_child and self._machine.verdict(slot.process) in GONE)
            if is_gone:
                self._has_ended(slot, status)
            elif hold.ending and not hold.ending[0].is_gone:
                log.warning("agents.survived role=%s number=%d why=%s", slot.role, slot.number, hold.ending[0].why)
                now = self._clock.now()
                slot.goes("survived", now)
                slot.due_s, slot.why, hold.ending = now.mono_s + _AGAIN_S, hold.ending[0].why, []

    def _has_ended(self, slot: Slot, status: int | None) -> None:
        hold = self._holds.pop((slot.role, slot.number))
        if hold.watch is not None:
            hold.watch.close()
        pid, was_told = slot.process["pid"] if slot.process else 0, slot.state == "stopping"
        slot.has_ended(status, self._clock.now(), self._pace)
        event = "stopped" if was_told else "refused" if slot.state == "refused" else "died"
        told = log.info if was_told else log.warning
        told("agents.%s role=%s number=%d pid=%d status=%s", event, slot.role, slot.number, pid, status)

    def _act(self) -> None:
        """What each slot needs now."""
        for slot in list(self._slots):
            now = self._clock.now()
            what = rules.act(slot, self._wanted, now.mono_s)
            if what == "ask":
                slot.goes("asked anew", now)
                what = "start"
            if what == "start":
                self._start(slot)
            elif what == "stop":
                self._stop(slot)
            elif what == "drop":
                slot.goes("not wanted", now)
                self._slots.remove(slot)

    def _start(self, slot: Slot) -> None:
        try:
            if slot.last is not None and slot.last["status"] == _ALREADY_RUNNING:
                for role, number, process in self._found():
                    if (role, number) == (slot.role, slot.number):
                        self._takes(slot, process["identity"], None)
                        return
            child = self._launch(slot.role, slot.number, self._bell.ring)
        except CoordinationError as exc:
            slot.asked = self._want(slot.role).asked
            slot.died(exc.message, self._clock.now(), self._pace)
            self._tell("start", exc.message)
            return
        self._takes(slot, child.identity, child)
        self._tell("start", "")
        pid = child.identity["pid"] if child.identity else 0
        log.info("agents.started role=%s number=%d pid=%d", slot.role, slot.number, pid)

    def _takes(self, slot: Slot, process: Any, child: Child | None) -> None:
        """A worker is in its slot."""
        slot.has_started(process, self._want(slot.role), self._clock.now())
        watch = None if child is not None else self._machine.death_watch(process)
        self._holds[slot.role, slot.number] = _Hold(child, watch)

    def _stop(self, slot: Slot) -> None:
        """Tell its worker to end, and go on."""
        hold = self._holds[slot.role, slot.number]
        slot.goes("told to end", self._clock.now())
        identity, stop_s, is_child = slot.process, self._stop_s(slot.role), hold.child is not None
        if identity is None:  # it was gone before anybody could look; its status comes at once
            return

        def end() -> None:
            hold.ending.append(
                end_process(
                    self._machine,
                    self._clock,
                    identity,
                    # A child is ours without its folder, which may be gone; what was taken over is judged anew.
                    why_not=lambda: "" if is_child else self._workers.why_not_at_last(identity),
                    term_wait_s=stop_s,
                    reaps=False,
                )
            )
            self._bell.ring()

        log.info("agents.stopping role=%s number=%d pid=%d", slot.role, slot.number, identity["pid"])
        self._aside(end)

    def _write(self) -> None:
        """What runs, if that changed; and the log is kept small."""
        workers = [slot.to_json() for slot in self._slots]
        observed = rules.Observed(self._wanted.revision, self._machine.me(), workers).to_json(self._version)
        try:
            self._tidy()
            if observed == self._written:
                return
            self._observed_file.write_value(observed)
        except CoordinationError as exc:
            self._tell("write", exc.message)
            return
        self._written = observed
        self._tell("write", "")

    def _tell(self, what: str, trouble: str) -> None:
        """Trouble is told when it begins, and when it is over; not in between."""
        if trouble != self._troubles.get(what, ""):
            log.warning("agents.%s what=%s why=%s", "troubled" if trouble else "well", what, trouble or "-")
            self._troubles[what] = trouble

    def _wait(self, until_s: float) -> None:
        """For the bell, an end, or the next slot that is due."""
        now_s = self._clock.now().mono_s
        for slot in self._slots:
            if slot.state == "waiting" or (slot.state == "running" and slot.due_s > now_s):
                until_s = min(until_s, max(0.0, slot.due_s - now_s))
        watches = []
        for hold in self._holds.values():
            if hold.child is None and hold.watch is None:
                until_s = min(until_s, _LOOK_S)
            elif hold.watch is not None:
                watches.append(hold.watch)
        if not self._bell.is_heard_by_all:
            until_s = min(until_s, _LOOK_S)
        self._clock.wait([self._bell, *watches], until_s)

    def _found(self) -> list[tuple[str, int, Any]]:
        """Role, number and process of each supervised worker that is there, none of which has forked another one."""
        return supervised(self._workers)


def supervised(workers: Daemons) -> list[tuple[str, int, Any]]:
    """Role, number and process of each supervised worker of a project; a forked child is none.

    Raises:
        HostError: Processes cannot be listed.
    """
    ours = [one.process for one in workers.find() if not one.why]
    pids = {one["identity"]["pid"] for one in ours}
    return list(_named(one for one in ours if one["parent"] not in pids))


def _named(processes: Iterable[Any]) -> Iterable[tuple[str, int, Any]]:
    seen = set()
    for process in processes:
        named = rules.worker_in(process["argv"])
        if named is not None and named not in seen:
            seen.add(named)
            yield (*named, process)
