"""Singleton: at most one process per agent type, in one project, on one machine; on all that its store spans.

    board = Latchboard(".")
    with board.singletons.enforce("code_developer"):
        ...                                     # nobody else runs as code_developer meanwhile

Guarantees that of any number of own that start at once exactly one gets in, and that the next one gets in as soon
as it has ended, however it ended. Does not end anybody: who is in the way is named, and stays. Two threads of a process
are one process; a forked child is another one.

Protocol: protocol/singleton.md.
"""

from __future__ import annotations

from latchboard.clock import iso
from latchboard.errors import AlreadyRunning, CoordinationError
from latchboard.rules import singleton as rules
from latchboard.singleton import entry, telling
from latchboard.singleton.registration import Held, Registration
from latchboard.singleton.registration import held as own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Literal

    from latchboard.clock import Clock
    from latchboard.host.desk import Desk, Ending, Registry, Seat
    from latchboard.host.port import Host, Identity
    from latchboard.settings import Settings
    from latchboard.singleton.everywhere import Everywhere, Records, Taken
    from latchboard.store.port import Store

_TRACE_S_MAX = 1.0
"""How long a daemon that ends waits for a store on other machines to take its last trace."""


class Singletons:
    """Registers, refuses, tells and releases. Threads may share one."""

    def __init__(  # noqa: PLR0913 - made once, by compose
        self,
        registry: Registry,
        store: Store,
        clock: Clock,
        host: Host,
        settings: Settings,
        *,
        ending: Ending,
        started_s: Callable[[Identity], float | None],
        everywhere: Everywhere | None = None,
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
            everywhere: The registrations of all machines; None: there is no other one.
        """
        self.registry = registry
        self.store = store
        self.clock = clock
        self.host = host
        self.settings = settings
        self._ending = ending
        self._started_s = started_s
        self._everywhere = everywhere

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
        held = None
        taken = self._take_everywhere(agent_type, me, force)
        if taken is not None and taken.over is not None:
            known = taken.over
            why = rules.why_over(known, known["host_name"])
            told.append({"event": "stale_cleaned", "stale_pid": known["pid"], "why": why})
        try:
            try:
                with self.registry.at_desk(make=True) as desk:
                    if desk is None:
                        raise AssertionError("a registry that is made is there")
                    held = self._register(desk, agent_type, me, force, told)
                held.broke = held.broke or (None if taken is None else taken.broke)
            finally:
                telling.tell(self.store, agent_type, me, told, wait_s_max=self._patience_s(agent_type, 0.0))
            return Registration(self, agent_type, held)
        except BaseException:  # an interrupt: nobody will give it back; the entry is left, and stale (failures 3.16)
            if held is not None:
                held.tickets.pop()
                if not held.tickets:
                    self._forget(held)
            if taken is not None and taken.is_new and (among := self._among_all(agent_type)) is not None:
                among.give_back(agent_type)
            raise

    def _among_all(self, agent_type: str) -> Everywhere | None:
        """The registrations of all machines, if this type has any."""
        return None if rules.is_of_machine(agent_type) else self._everywhere

    def _take_everywhere(self, agent_type: str, me: Identity, force: bool) -> Taken | None:
        """Before the lock of this machine; None: this type has no other one."""
        among = self._among_all(agent_type)
        if among is None:
            return None
        started_s = self._started_s(me)
        try:
            return among.take(agent_type, started_at=None if started_s is None else iso(started_s), force=force)
        except AlreadyRunning as refusal:
            told = [{"event": "blocked", "by_pid": refusal.pid}]
            with self.registry.at_desk(make=True) as desk:
                if desk is not None:
                    telling.count(desk, agent_type, told)
            telling.tell(self.store, agent_type, me, told)
            raise

    def _register(self, desk: Desk, agent_type: str, me: Identity, force: bool, told: list[dict[str, Any]]) -> Held:
        """What this process holds from now on; `told` gets what happened."""
        key, epoch = (self.registry.path, agent_type), rules.newest_epoch(agent_type, desk.names())
        ours = own.get(key)
        if ours is not None and ours.seat.is_held and ours.seat.epoch == epoch:
            ours.tickets.append(None)
            if told:
                telling.count(desk, agent_type, told)
            return ours
        lock_name = rules.lock_name(agent_type, epoch)
        seat = desk.sit(lock_name, epoch)
        try:
            broke = self._make_way(desk, agent_type, lock_name, told, is_free=seat is not None, force=force)
            seat = seat or self._open_epoch(desk, agent_type, epoch + 1)
            held = Held(self.registry.path, agent_type, seat, me, broke)
            entry.write(desk, held, self.clock.now(), self._started_s(me))
            told.append({"event": "enforced", "forced_over_pid": broke["pid"] if broke else None})
            telling.count(desk, agent_type, told)
            own[key] = held
            held.number = self._ending.at_end(lambda: self._at_end(held))
        except BaseException:  # without an entry there is no registration
            if seat is not None:
                seat.leave()
            raise
        return held

    def _make_way(
        self, desk: Desk, agent_type: str, lock_name: str, told: list[dict[str, Any]], *, is_free: bool, force: bool
    ) -> dict[str, Any] | None:
        """Remove a stale entry, or refuse; with force, who has it and is not waited for."""
        value, pid, is_left = entry.read(desk, agent_type)
        decision = rules.decide(is_free=is_free, is_left=is_left, force=force)
        known = rules.facts(agent_type, value, pid)
        if decision == "clean-and-enter":
            why = rules.why_stale(known["pid"], None if value is None else self.host.verdict(value["process"]))
            entry.remove(desk, agent_type)
            told[:] = [{"event": "stale_cleaned", "stale_pid": known["pid"], "why": why}]  # once, in whichever place
        if is_free:
            return None
        runs = entry.running(self.registry, self.host, known, lock_name)
        if decision == "refuse":
            refusal = rules.already_running(runs)
            told.append({"event": "blocked", "by_pid": refusal.pid})
            telling.count(desk, agent_type, told)
            raise refusal
        return runs

    def _open_epoch(self, desk: Desk, agent_type: str, epoch: int) -> Seat:
        seat = desk.sit(rules.lock_name(agent_type, epoch), epoch)
        if seat is None:  # nobody looks at a lock without the guard, and the file was not there
            raise AssertionError(f"the lock of a new epoch of {agent_type} is held")
        return seat

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
        held = own.get((self.registry.path, agent_type))
        if held is None:
            return False
        del held.tickets[1:]
        return self.give_back(held)

    def give_back(self, held: Held) -> bool:
        """One registration of this process less; with the last one the entry and the lock go.

        Returns:
            False: this process does not hold it, as after a fork, or when the folder was wiped.
        """
        outcome = self._leave(held)
        among = self._among_all(held.agent_type)
        if outcome in ("left", "removed") and among is not None:
            among.give_back(held.agent_type)
        if outcome == "removed":
            patience_s = self._patience_s(held.agent_type, _TRACE_S_MAX)
            telling.tell(self.store, held.agent_type, held.process, [{"event": "cleaned"}], wait_s_max=patience_s)
        return outcome != "gone"

    def _patience_s(self, agent_type: str, limit_s: float) -> float | None:
        """How long the store is waited for with a trace, by who needs none of it to begin or end; None: as it takes."""
        return limit_s if rules.is_of_machine(agent_type) and self.store.properties.spans_hosts else None

    def _leave(self, held: Held) -> Literal["gone", "kept", "left", "removed"]:
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
                try:
                    if desk is None or not entry.is_own(desk, held):
                        return "left"
                    entry.remove(desk, held.agent_type)
                    telling.count(desk, held.agent_type, [{"event": "cleaned"}])
                    return "removed"
                finally:
                    self._forget(held)  # here, where no other thread can come in between
        finally:
            if not held.tickets:  # the desk was not free, or cannot be used: the lock goes all the same
                self._forget(held)

    def _forget(self, held: Held) -> None:
        """Let the lock go, whatever became of the entry."""
        key = (held.path, held.agent_type)
        if own.get(key) is held:
            del own[key]
        self._ending.never_mind(held.number)
        held.seat.leave()

    def _at_end(self, held: Held) -> None:
        """When this process ends, by a signal perhaps: only the registry, which nothing can be in the middle of."""
        del held.tickets[1:]
        try:
            if held.process != self.host.me():
                return
            if self._leave(held) == "removed":
                telling.log_event(held.agent_type, held.process, {"event": "cleaned"})
            if (among := self._among_all(held.agent_type)) is not None:
                among.leave()
        except CoordinationError as exc:
            telling.log.warning("the entry of %s stays, which is harmless: %s", held.agent_type, exc.message)

    def is_held(self, held: Held) -> bool:
        """Whether the newest epoch is still that of this lock."""
        if not held.seat.is_held:
            return False
        with self.registry.at_desk(make=False) as desk:
            if desk is None or rules.newest_epoch(held.agent_type, desk.names()) != held.seat.epoch:
                return False
        among = self._among_all(held.agent_type)
        return among is None or among.is_own(held.agent_type)

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
        among = self._among_all(agent_type)
        seen = None if among is None else among.look()
        if among is not None and seen is not None:
            if force:
                among.end_by_force(agent_type)
            elif (runs := among.running(agent_type, seen)) is not None:
                raise rules.already_running(runs)
        with self.registry.at_desk(make=force and among is not None) as desk:
            before = self._status(desk, agent_type, seen)
            before["released"] = desk is not None and before["state"] != "free"
            if desk is None or not before["released"]:
                return before
            event: dict[str, Any] = {"event": "stale_cleaned", "stale_pid": before["pid"], "why": before["why"]}
            if before["state"] == "running":
                if not force:
                    raise rules.already_running({name: before[name] for name in rules.facts(agent_type, None, None)})
                self._open_epoch(desk, agent_type, before["epoch"] + 1).leave()
                event = {"event": "cleaned", "forced_over_pid": before["pid"]}
            entry.remove(desk, agent_type)
            telling.count(desk, agent_type, [event])
        telling.tell(self.store, agent_type, me, [event])
        return before

    # -- looking ------------------------------------------------------------------------------------------------------

    def status(self, types: Iterable[str] = ()) -> list[dict[str, Any]]:
        """How types stand: those named, else every configured one and every one that has left something.

        Returns:
            For each `agent_type`, `is_restricted`, `state` ("free", "stale", "running"), `pid`, `verdict`,
                `started_at`, `registered_at`, `version`, `process`, `epoch`, `why` (it is stale). Changes nothing.
        """
        wanted = [rules.check_type(one) for one in types]
        among = self._everywhere
        seen = None if among is None or all(map(rules.is_of_machine, wanted or [""])) else among.look()
        with self.registry.at_desk(make=False) as desk:
            if not wanted:
                there = rules.types_of(desk.names()) if desk is not None else set()
                more = sorted(there - set(self.settings.singleton_types))
                wanted = [*self.settings.singleton_types, *more]
            return [self._status(desk, one, seen) for one in wanted]

    def counts(self) -> rules.Counts:
        """How often each event happened, by type: since the registry was made, over all own."""
        with self.registry.at_desk(make=False) as desk:
            found = {} if desk is None else telling.counts_at(desk)
        return {one: found.get(one, dict.fromkeys(rules.EVENTS, 0)) for one in (*self.settings.singleton_types, *found)}

    def _status(self, desk: Desk | None, agent_type: str, seen: Records | None) -> dict[str, Any]:
        """How a type stands here, and where nobody runs as it here, on the other machines as they were `seen`."""
        is_restricted = rules.is_restricted(agent_type, self.settings.singleton_types)
        found = {**entry.standing(self.registry, self.host, desk, agent_type), "is_restricted": is_restricted}
        among = self._among_all(agent_type)
        if not is_restricted or among is None or seen is None or found["state"] == "running":
            return found
        runs = among.running(agent_type, seen)
        return found if runs is None else {**found, **runs, "state": "running", "verdict": "live", "why": None}
