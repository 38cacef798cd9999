"""Everywhere: who runs as an agent type on any machine, where shared state spans machines.

Law 1. A record counts while the presence of its process is there, and no longer; on its own machine a process that has
ended ends it at once.
Law 2. Nobody's own record is taken for somebody else's: it names a presence, which is never used twice.
Law 3. What cannot be read keeps everybody out, but an operator's force.

Protocol: protocol/singleton.md, "Many machines".
"""

from __future__ import annotations

from latchboard import __version__
from latchboard.errors import CoordinationError, MalformedRecord, StoreUnavailable
from latchboard.rules import lease, lock
from latchboard.rules import singleton as rules
from latchboard.singleton.telling import log
from latchboard.store.port import PRESENCES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from latchboard.host.port import Host
    from latchboard.store.port import Store, View

    class Records(Protocol):
        """What a transaction and a snapshot have in common."""

        def get(self, key: str) -> Any:
            """None: there is none."""
            ...


class Taken:
    """What became of taking a record.

    Attributes:
        is_new: It was not this process's before.
        broke: The facts about who had it and was not waited for.
        over: The facts about whose was there, and is over.
    """

    __slots__ = ("broke", "is_new", "over")

    def __init__(
        self, *, is_new: bool, broke: dict[str, Any] | None = None, over: dict[str, Any] | None = None
    ) -> None:
        self.is_new = is_new
        self.broke = broke
        self.over = over


class Everywhere:
    """The records of all machines. Threads may share one."""

    def __init__(
        self, store: Store, host: Host, *, present: Callable[[], str], leave: Callable[[], None], host_name: str
    ) -> None:
        """Nothing is asked yet.

        Args:
            store: Shared state.
            host: Who this process is, and verdicts about others of this machine.
            present: The id of this process's presence; it begins with the first call.
            leave: Ends that presence, because this process ends: at once, and never with an error.
            host_name: Of this machine, for people.
        """
        self._store = store
        self._host = host
        self._present = present
        self.leave = leave
        self._host_name = host_name

    def take(self, agent_type: str, *, started_at: str | None, force: bool) -> Taken:
        """Put this process's record.

        Raises:
            AlreadyRunning: Another process has it, on whatever machine.
            MalformedRecord: Nobody can say who has it.
            StoreError: Nothing was taken.
        """
        me: Any = {**self._host.me(), "presence": self._present()}

        def decide(view: View) -> Taken:
            if self._is_over(view, me):
                raise StoreUnavailable(
                    "the store does not know any more that this process is there: it was cut off from it",
                    hint="nothing was changed; try again in some seconds",
                )
            found = self._found(view, agent_type, may_be_damaged=force)
            if found is not None and found["process"] == me:
                return Taken(is_new=False)
            over = None
            if found is not None and self._is_over(view, found["process"]):
                over, found = self._facts(agent_type, found), None
            if found is not None and not force:
                raise rules.already_running(self._facts(agent_type, found))
            record = {
                "format": 1,
                "agent_type": agent_type,
                "host_name": self._host_name,
                "process": me,
                "started_at": started_at,
                "registered": lease.moment(view.now),
                "version": __version__,
            }
            view.put(_key(agent_type), record)
            broke = None if found is None else self._facts(agent_type, found)
            return Taken(is_new=True, broke=broke, over=over)

        return self._store.transact(decide, who=agent_type).value

    def give_back(self, agent_type: str) -> None:
        """Remove the record if it is this process's; where the store refuses, it ends with this process."""
        me: Any = self._host.me()

        def decide(view: View) -> None:
            found = self._found(view, agent_type, may_be_damaged=True)
            if found is not None and lock.is_same_process(found["process"], me):
                view.delete(_key(agent_type))

        try:
            self._store.transact(decide, who=agent_type)
        except CoordinationError as exc:
            log.warning("the record of %s stays while this process is there: %s", agent_type, exc.message)

    def end_by_force(self, agent_type: str) -> None:
        """Remove the record, whoever's it is."""
        self._store.transact(lambda view: view.delete(_key(agent_type)), who=agent_type)

    def is_own(self, agent_type: str) -> bool:
        """Whether the record is that of this process, which is present under the same id as when it took it."""
        me: Any = {**self._host.me(), "presence": self._present()}
        seen = self._store.read(_key(agent_type), f"{PRESENCES}{me['presence']}")
        found = self._found(seen, agent_type, may_be_damaged=True)
        return found is not None and found["process"] == me and not self._is_over(seen, me)

    def look(self) -> Records:
        """All records and presences there are, of one revision: for `running`, which asks nobody."""
        return self._store.read(_key(""), PRESENCES)

    def running(self, agent_type: str, seen: Records) -> dict[str, Any] | None:
        """The facts about who ran as it at that look, with `host_name`; None: nobody. What cannot be read may run."""
        try:
            found = self._found(seen, agent_type, may_be_damaged=False)
        except MalformedRecord:
            return {**rules.facts(agent_type, None, None), "host_name": None}
        return None if found is None or self._is_over(seen, found["process"]) else self._facts(agent_type, found)

    def _facts(self, agent_type: str, found: dict[str, Any]) -> dict[str, Any]:
        is_here = self._host.verdict(found["process"]) == "live" and found["host_name"] == self._host_name
        return {**rules.facts(agent_type, found, None), "is_here": is_here, "host_name": found["host_name"]}

    def _is_over(self, records: Records, process: Any) -> bool:
        is_present = records.get(f"{PRESENCES}{process['presence']}") is not None
        me: Any = self._host.me()
        return lock.presence_verdict(process, me, self._host.verdict, is_present=is_present) in lock.GONE

    def _found(self, records: Records, agent_type: str, *, may_be_damaged: bool) -> dict[str, Any] | None:
        """The record; None: there is none, or none that can be read where that may be."""
        try:
            value: dict[str, Any] | None = records.get(_key(agent_type))
            if value is not None and (why := rules.check_everywhere(value, agent_type)):
                raise MalformedRecord(
                    f"the record {_key(agent_type)} cannot be used: {why}",
                    hint=f"latchboard singleton release {agent_type} --force",
                    key=_key(agent_type),
                    reason=why,
                )
        except MalformedRecord:
            if not may_be_damaged:
                raise
            return None
        return value


def _key(agent_type: str) -> str:
    return f"singletons/{agent_type}"
