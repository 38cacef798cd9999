"""Singleton: at most one process per agent type, in one project, on one machine.

    board = Latchboard(".")
    with board.singletons.enforce("code_developer"):
        ...                                     # nobody else runs as code_developer meanwhile

Guarantees that of any number of processes that start at once exactly one gets in, and that the next one gets in as soon
as it has ended, however it ended. Does not end anybody: who is in the way is named, and stays. Two threads of a process
are one process; a forked child is another one.

Protocol: protocol/singleton.md.
"""

from __future__ import annotations

import logging

from latchboard import __version__, codec
from latchboard.clock import iso
from latchboard.errors import CoordinationError
from latchboard.rules import lease
from latchboard.rules import singleton as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Any, Literal

    from latchboard.clock import Clock
    from latchboard.host.desk import Desk, Ending, Registry, Seat
    from latchboard.host.port import Host, Identity
    from latchboard.settings import Settings
    from latchboard.store.port import Store, View


COUNTS = ".counts"
"""No type begins with a dot."""
TRACE = "log/singleton"
_log = logging.getLogger("latchboard.singleton")


class Registration:
    """This process's right to run as one agent type; a context manager that gives it back.

    Attributes:
        agent_type: Which type.
        is_restricted: False for a type of which any number may run: nothing was made, nothing is to be given back.
        process: This process's identity; None for a type that is not restricted.
        broke: Who had it and was not waited for (`force`): `pid` and what else is known; None: nobody.
    """

    def __init__(self, service: Singletons, agent_type: str, held: _Held | None) -> None:
        self._service = service
        self._held = held
        self._is_given_back = False
        self.agent_type = agent_type
        self.is_restricted = held is not None
        self.process = held.process if held else None
        self.broke = held.broke if held else None

    @property
    def pid(self) -> int | None:
        """This process; None for a type that is not restricted."""
        return self.process["pid"] if self.process else None

    def is_held(self) -> bool:
        """Whether it still holds: not given back, and nobody was forced in beside it."""
        held = self._held
        return held is None or (not self._is_given_back and self._service.is_held(held))

    def release(self) -> bool:
        """Give it back; the entry goes with the last registration of this process. False: it was given back before."""
        held = self._held
        if held is None or self._is_given_back:
            return False
        self._is_given_back = True
        return self._service.give_back(held)

    def __enter__(self) -> Registration:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.release()


class _Held:
    """A lock that this process holds, for all its registrations of the type."""

    __slots__ = ("agent_type", "broke", "number", "path", "process", "seat", "tickets")

    def __init__(self, path: str, agent_type: str, seat: Seat, process: Identity, broke: dict[str, Any] | None) -> None:
        self.path = path
        self.agent_type = agent_type
        self.seat = seat
        self.process = process
        self.broke = broke
        self.tickets: list[None] = [None]
        self.number = 0


_held: dict[tuple[str, str], _Held] = {}
"""What this process holds, by registry and type: shared by every object that looks at one folder."""


class Singletons:
    """Registers, refuses, tells and releases. Threads may share one."""

    def __init__(
        self,
        registry: Registry,
        store: Store,
        clock: Clock,
        host: Host,
        settings: Settings,
        *,
        ending: Ending,
        started_s: Callable[[Identity], float | None],
    ) -> None:
        """Nothing is opened yet.

        Args:
            registry: Locks and entries.
            store: Takes traces of what happened, for `latchboard watch`.
            clock: When.
            host: Who this process is, and verdicts about others.
            settings: `singleton_types`.
            ending: Runs the clean-up when this process ends.
            started_s: When a process started, unix seconds; None where it cannot be told.
        """
        self.registry = registry
        self.store = store
        self.clock = clock
        self.host = host
        self.settings = settings
        self._ending = ending
        self._started_s = started_s

    # -- registering --------------------------------------------------------------------------------------------------

    def enforce(self, agent_type: str, *, force: bool = False) -> Registration:
        """Register this process as the one that runs as `agent_type`, until it gives it back or ends.

        Again in the same process is harmless: it is given back when every registration was. Signals that end the
        process (SIGTERM, SIGHUP) and have no handler get one that removes the entry first.

        Args:
            agent_type: 1 to 100 letters, digits, dots, hyphens, underscores. One that is not in the setting
                `singleton_types` is free: nothing is looked at and nothing is made.
            force: Register also when another process runs. It is not ended; it loses its registration, which is
                logged, counted and in `broke`.

        Raises:
            AlreadyRunning: Another process has it; tells which, since when, and what to do. Nothing was changed.
            UsageError: The type can be none.
            StoreError: The registry cannot be used; nothing was taken.

        Protocol: protocol/singleton.md, "Register".
        """
        rules.check_type(agent_type)
        if not rules.is_restricted(agent_type, self.settings.singleton_types):
            return Registration(self, agent_type, None)
        me = self.host.me()
        told: list[dict[str, Any]] = []
        try:
            with self.registry.at_desk(make=True) as desk:
                if desk is None:
                    raise AssertionError("a registry that is made is there")
                held = self._register(desk, agent_type, me, force, told)
        finally:
            self._tell(agent_type, me, told)
        return Registration(self, agent_type, held)

    def _register(self, desk: Desk, agent_type: str, me: Identity, force: bool, told: list[dict[str, Any]]) -> _Held:
        """What this process holds from now on; `told` gets what happened."""
        key, epoch = (self.registry.path, agent_type), rules.newest_epoch(agent_type, desk.names())
        ours = _held.get(key)
        if ours is not None and ours.seat.is_held and ours.seat.epoch == epoch:
            ours.tickets.append(None)
            return ours
        lock_name = rules.lock_name(agent_type, epoch)
        seat = desk.sit(lock_name, epoch)
        value, pid, is_left = self._entry(desk, agent_type)
        decision = rules.decide(is_free=seat is not None, is_left=is_left, force=force)
        known = rules.facts(agent_type, value, pid)
        if decision == "refuse":
            refusal = rules.already_running(self._named(known, lock_name))
            told.append({"event": "blocked", "by_pid": refusal.pid})
            self._count(desk, agent_type, told)
            raise refusal
        if decision == "clean-and-enter":
            why = rules.why_stale(known["pid"], None if value is None else self.host.verdict(value["process"]))
            told.append({"event": "stale_cleaned", "stale_pid": known["pid"], "why": why})
        broke = self._named(known, lock_name) if seat is None else None
        held = _Held(self.registry.path, agent_type, seat or self._open_epoch(desk, agent_type, epoch + 1), me, broke)
        self._enter(desk, held)
        told.append({"event": "enforced", "forced_over_pid": broke["pid"] if broke else None})
        self._count(desk, agent_type, told)
        _held[key] = held
        held.number = self._ending.at_end(lambda: self._at_end(held))
        return held

    def _open_epoch(self, desk: Desk, agent_type: str, epoch: int) -> Seat:
        seat = desk.sit(rules.lock_name(agent_type, epoch), epoch)
        if seat is None:  # nobody looks at a lock without the guard, and the file was not there
            raise AssertionError(f"the lock of a new epoch of {agent_type} is held")
        return seat

    def _enter(self, desk: Desk, held: _Held) -> None:
        """Write the entry; without one nothing is registered."""
        now = self.clock.now()
        started_s = self._started_s(held.process)
        record = rules.record(
            held.agent_type,
            held.seat.epoch,
            process=held.process,
            started_at=None if started_s is None else iso(started_s),
            registered=lease.moment(now),
            version=__version__,
            broke=held.broke,
        )
        try:
            desk.write(f"{held.agent_type}.json", f"{codec.encode(record)}\n".encode())
            desk.write(f"{held.agent_type}.pid", b"%d\n" % held.process["pid"])
        except BaseException:
            held.seat.leave()
            raise

    # -- giving back --------------------------------------------------------------------------------------------------

    def cleanup(self, agent_type: str) -> bool:
        """Give back every registration of this process as `agent_type`.

        Returns:
            False: this process had none. Somebody else's entry is never touched.

        Raises:
            UsageError: The type can be none.
            StoreError: The entry could not be removed; the lock is free all the same.
        """
        rules.check_type(agent_type)
        held = _held.get((self.registry.path, agent_type))
        if held is None:
            return False
        del held.tickets[1:]
        return self.give_back(held)

    def give_back(self, held: _Held) -> bool:
        """One registration of this process less; with the last one the entry and the lock go.

        Returns:
            False: this process does not hold it, as after a fork, or when the folder was wiped.
        """
        outcome = self._leave(held)
        if outcome == "removed":
            self._tell(held.agent_type, held.process, [{"event": "cleaned"}])
        return outcome != "gone"

    def _leave(self, held: _Held) -> Literal["gone", "kept", "left", "removed"]:
        """Give back one registration; "left": it was the last one, and the entry is somebody else's by now."""
        if held.tickets:
            held.tickets.pop()  # in one step: another thread may register meanwhile, and then all goes on
        if not held.seat.is_held:
            self._forget(held)
            return "gone"
        try:
            with self.registry.at_desk(make=False) as desk:
                if held.tickets:
                    return "kept"
                if desk is None or not self._is_own_entry(desk, held):
                    return "left"
                self._remove(desk, held.agent_type)
                self._count(desk, held.agent_type, [{"event": "cleaned"}])
                return "removed"
        finally:
            if not held.tickets:
                self._forget(held)

    def _forget(self, held: _Held) -> None:
        """Let the lock go, whatever became of the entry."""
        key = (held.path, held.agent_type)
        if _held.get(key) is held:
            del _held[key]
        self._ending.never_mind(held.number)
        held.seat.leave()

    def _is_own_entry(self, desk: Desk, held: _Held) -> bool:
        value, _, _ = self._entry(desk, held.agent_type)
        newest = rules.newest_epoch(held.agent_type, desk.names())
        return rules.may_remove(value, process=held.process, epoch=held.seat.epoch, newest=newest)

    def _at_end(self, held: _Held) -> None:
        """When this process ends, by a signal perhaps: only the registry, which nothing can be in the middle of."""
        del held.tickets[1:]
        try:
            if held.process == self.host.me() and self._leave(held) == "removed":
                _log_event(held.agent_type, held.process, {"event": "cleaned"})
        except CoordinationError as exc:
            _log.warning("the entry of %s stays, which is harmless: %s", held.agent_type, exc.message)

    @staticmethod
    def _remove(desk: Desk, agent_type: str) -> None:
        desk.remove(f"{agent_type}.pid")
        desk.remove(f"{agent_type}.json")

    def is_held(self, held: _Held) -> bool:
        """Whether the newest epoch is still that of this lock."""
        if not held.seat.is_held:
            return False
        with self.registry.at_desk(make=False) as desk:
            return desk is not None and rules.newest_epoch(held.agent_type, desk.names()) == held.seat.epoch

    # -- an operator --------------------------------------------------------------------------------------------------

    def release(self, agent_type: str, *, force: bool = False) -> dict[str, Any]:
        """Remove an entry that is not this process's: a stale one; with `force` also that of a process that runs.

        Nobody is signalled: a process that runs goes on, and whoever starts next runs beside it.

        Returns:
            What `status` tells, as it was before, and `released`: whether anything was removed.

        Raises:
            AlreadyRunning: It runs, and `force` is false. Nothing was changed.
        """
        rules.check_type(agent_type)
        me = self.host.me()
        with self.registry.at_desk(make=False) as desk:
            before = self._status(desk, agent_type)
            before["released"] = desk is not None and before["state"] != "free"
            if desk is None or not before["released"]:
                return before
            event: dict[str, Any] = {"event": "stale_cleaned", "stale_pid": before["pid"], "why": before["why"]}
            if before["state"] == "running":
                if not force:
                    raise rules.already_running({name: before[name] for name in rules.facts(agent_type, None, None)})
                self._open_epoch(desk, agent_type, before["epoch"] + 1).leave()
                event = {"event": "cleaned", "forced_over_pid": before["pid"]}
            self._remove(desk, agent_type)
            self._count(desk, agent_type, [event])
        self._tell(agent_type, me, [event])
        return before

    # -- looking ------------------------------------------------------------------------------------------------------

    def status(self, types: Iterable[str] = ()) -> list[dict[str, Any]]:
        """How types stand: those named, else every configured one and every one that has left something.

        Returns:
            For each `agent_type`, `is_restricted`, `state` ("free", "stale", "running"), `pid`, `verdict`,
                `started_at`, `registered_at`, `version`, `process`, `epoch`, `why` (it is stale). Changes nothing.
        """
        wanted = [rules.check_type(one) for one in types]
        with self.registry.at_desk(make=False) as desk:
            if not wanted:
                there = rules.types_of(desk.names()) if desk is not None else set()
                more = sorted(there - set(self.settings.singleton_types))
                wanted = [*self.settings.singleton_types, *more]
            return [self._status(desk, one) for one in wanted]

    def counts(self) -> rules.Counts:
        """How often each event happened, by type: since the registry was made, over all processes."""
        with self.registry.at_desk(make=False) as desk:
            found = {} if desk is None else _counts(desk)
        return {one: found.get(one, dict.fromkeys(rules.EVENTS, 0)) for one in (*self.settings.singleton_types, *found)}

    def _status(self, desk: Desk | None, agent_type: str) -> dict[str, Any]:
        is_free, value, pid, is_left, epoch = True, None, None, False, 0
        if desk is not None:
            epoch = rules.newest_epoch(agent_type, desk.names())
            is_free = desk.is_free(rules.lock_name(agent_type, epoch))
            value, pid, is_left = self._entry(desk, agent_type)
        state = rules.state(is_free=is_free, is_left=is_left)
        known = rules.facts(agent_type, value, pid)
        if state == "running":
            known = self._named(known, rules.lock_name(agent_type, epoch))
        verdict = None if known["process"] is None else self.host.verdict(known["process"])
        return {
            **known,
            "is_restricted": rules.is_restricted(agent_type, self.settings.singleton_types),
            "state": state,
            "verdict": verdict,
            "epoch": epoch,
            "why": rules.why_stale(known["pid"], verdict) if state == "stale" else None,
        }

    def _named(self, known: dict[str, Any], lock_name: str) -> dict[str, Any]:
        """The facts about a process that holds the lock; without an entry the kernel may know its number."""
        if known["pid"] is None:
            pids = self.registry.pids_at(lock_name)
            return {**known, "pid": pids[0]} if pids else known
        return known

    @staticmethod
    def _entry(desk: Desk, agent_type: str) -> tuple[dict[str, Any] | None, int | None, bool]:
        """The record (None: none that can be read), the number in the pid file, and whether anything is there."""
        pid_data, data = desk.read(f"{agent_type}.pid"), desk.read(f"{agent_type}.json")
        is_left = pid_data is not None or data is not None
        try:
            value: dict[str, Any] | None = codec.decode(data or b"")
        except ValueError:
            value = None
        return None if rules.check_record(value, agent_type) else value, rules.parse_pid(pid_data), is_left

    # -- telling ------------------------------------------------------------------------------------------------------

    @staticmethod
    def _count(desk: Desk, agent_type: str, told: list[dict[str, Any]]) -> None:
        """Count events; where that fails, what was done is done all the same."""
        counts = rules.counted(_counts(desk), agent_type, [one["event"] for one in told])
        try:
            desk.write(COUNTS, f"{codec.encode({'format': 1, 'counts': counts})}\n".encode())
        except CoordinationError as exc:
            _log.warning("events of %s are not counted: %s", agent_type, exc.message)

    def _tell(self, agent_type: str, process: Identity, told: list[dict[str, Any]]) -> None:
        """Log events, and leave a trace of them in the store; where that fails, it is only logged."""
        for event in told:
            _log_event(agent_type, process, event)
        if not told:
            return
        trace = {"agent_type": agent_type, "process": dict(process), "events": told}

        def put(view: View) -> None:
            view.put(TRACE, trace)

        try:
            self.store.transact(put, who=agent_type)
        except CoordinationError as exc:
            _log.warning("no trace of %s in the store: %s", agent_type, exc.message)


def _counts(desk: Desk) -> rules.Counts:
    try:
        return rules.check_counts(codec.decode(desk.read(COUNTS) or b"").get("counts"))
    except ValueError:
        return {}


def _log_event(agent_type: str, process: Identity, event: dict[str, Any]) -> None:
    """One line for each event; a refusal and a break are warnings."""
    is_warning = event["event"] == "blocked" or event.get("forced_over_pid") is not None
    details = " ".join(f"{name}={value}" for name, value in event.items() if name != "event" and value is not None)
    name = f"agent.singleton.{event['event']}"
    line = f"{name} agent_type={agent_type} pid={process['pid']} {details}".rstrip()
    _log.log(logging.WARNING if is_warning else logging.INFO, line, extra={"latchboard": {"event": name, **event}})
