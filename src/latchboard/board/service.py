"""Board, the service: status entries and heartbeats, the joined view of who does what, history, and the published file.

Guarantees that `read`, `agents` and `history` are exact at one revision. Does not see a record file that somebody
scribbled on after this process first looked: the journal does not tell of it (a new process does, and `latchboard
doctor`).

Protocol: protocol/board.md.
"""

from __future__ import annotations

from _thread import RLock

from latchboard.board.fold import SPAN_BYTES, Fold
from latchboard.board.sheet import Sheet
from latchboard.errors import Compacted, MalformedRecord, UsageError
from latchboard.locks.hold import holder_tag
from latchboard.locks.table import Table
from latchboard.rules import board as rules
from latchboard.rules import lease as leases
from latchboard.rules import pattern
from latchboard.rules.agent import check_agent
from latchboard.rules.known import Known, by_commit, check_status_entry
from latchboard.rules.watch import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Protocol

    from latchboard.board.fold import Journal
    from latchboard.clock import Clock, Now
    from latchboard.host.port import Host
    from latchboard.rules.watch import Event
    from latchboard.settings import Settings
    from latchboard.store.port import Store, View

    class Published(Protocol):
        """A derived file beside the store, written by one process at a time."""

        def head(self) -> bytes:
            """Its beginning; empty when there is none."""
            ...

        def written(self) -> tuple[int, float] | None:
            """Its size in bytes and when it was written, unix seconds; None when there is none."""
            ...

        def replace(self, make: Callable[[bytes], bytes | None], *, wait_s_max: float) -> bool:
            """Replace the file with what `make` returns for its first bytes; None leaves it.

            False: somebody else is at it.
            """
            ...


_STATUS_CHARS_MAX = 10_000
_PUBLISH_WAIT_S_MAX = 1.0
_SMALL_BYTES = 256 * 1024
"""Of about 1,000 locks: a process that has to read everything for it writes it within 50 ms."""

_TRIES = 3


class Board:
    """Status, agents, history, conflicts and status_board.json. Threads may share one."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        host: Host,
        settings: Settings,
        *,
        published: Published | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            store: Records and journal.
            clock: Ages and heartbeats.
            host: Verdicts about processes.
            settings: Limits.
            published: Where status_board.json is; None: it is not written.
            journal: See `Fold`.
        """
        self.store = store
        self.clock = clock
        self.host = host
        self.settings = settings
        self._published = published
        self._journal = journal
        self._fold = self._new_fold()
        self._parents: list[Fold] = []
        self._sheet = Sheet(quiet_s=settings.agent_quiet_s)
        self._mutex = RLock()

    # -- what an agent says about itself ------------------------------------------------------------------------------

    def update(self, agent: str, status: str, files: Iterable[str] = ()) -> None:
        """Say what an agent does; a heartbeat, and a renewal of its lease, in the same commit.

        Args:
            agent: Who.
            status: One line for people, at most 10,000 characters.
            files: What it works on; names for people, nothing is locked.

        Raises:
            UsageError: A bad agent id, status or file name.
            StoreError: Nothing was changed.

        Protocol: protocol/board.md, "Update".
        """
        check_agent(agent)
        self._beat(agent, _checked(status, list(files), self.settings.names_count_max))

    def heartbeat(self, agent: str) -> None:
        """A sign of life: renews the agent's lease, leaves its status as it is."""
        self._beat(check_agent(agent), {})

    def introduce(self, names: Iterable[str]) -> str:
        """Go by the first of `names` that no other living process goes by; a heartbeat under it, in the same commit.

        For a program that must have a name and was given none: two of them never take the same one.

        Raises:
            UsageError: A bad agent id, or all of them are taken.
            StoreError: Nothing was changed.

        Protocol: protocol/mcp.md, "Identity".
        """
        me: Any = self.host.me()

        def decide(view: View, name: str) -> bool:
            process = _readable(view, name).get("process")
            if process is not None and process != me and self.host.verdict(process) in ("live", "unknowable"):
                return False
            self._put_entry(view, name, me, {})
            return True

        for name in names:
            check_agent(name)
            if self.store.transact(lambda view: decide(view, name), who=name).value:  # noqa: B023 - run at once
                return name
        raise UsageError("every name is taken by another living process", hint="set AGENT_ID")

    def _beat(self, agent: str, said: dict[str, Any]) -> None:
        me: Any = self.host.me()
        self.store.transact(lambda view: self._put_entry(view, agent, me, said), who=agent)

    def _put_entry(self, view: View, agent: str, me: Any, said: dict[str, Any]) -> None:
        table = Table(view, view.now, self.host.verdict, me)
        moment: Any = leases.moment(table.now)
        old = _readable(view, agent)
        is_mine = old.get("process") == me
        fresh = {"agent": agent, "heartbeat": moment, "started": old["started"] if is_mine else moment}
        view.put(f"agents/{agent}", {"status": "", "files": [], **old, **fresh, "process": me, **said})
        self._renew(table, agent, "agent", agent, me)
        if is_mine:
            # A process that speaks twice lives long enough to need it; one that speaks once leaves no lease behind.
            self._renew(table, agent, "process", f"{agent}#{holder_tag(agent, 'process', me)}", me)

    def _renew(self, table: Table, agent: str, bound: str, lease_id: str, me: Any) -> None:
        ttl_s = self.settings.lease_ttl_s
        lease: Any = leases.renewed(table.lease(lease_id), table.now, ttl_s, agent=agent, bound=bound, process=me)
        table.view.put(f"leases/{lease_id}", lease)

    # -- who does what ------------------------------------------------------------------------------------------------

    def read(self) -> dict[str, Any]:
        """The board as it is now, as one object (protocol/schema/status_board.json)."""
        with self._mutex:
            state = self._advance()
            return rules.render(state, self.clock.now(), judge=self.host.verdict, quiet_s=self.settings.agent_quiet_s)

    def text(self) -> bytes:
        """As `read`, as the JSON of status_board.json: many times faster where there are many locks."""
        with self._mutex:
            self._free_parents()
            return self._sheet.text(self._fold.advance(), self.clock.now(), self.host.verdict)

    def agents(self) -> list[dict[str, Any]]:
        """Every agent that has a status, holds something or waits, sorted by id.

        Returns:
            Objects with agent, status, files, holds (in force), waits_for, heartbeat_at, heartbeat_age_s, started_at,
            pid, quiet, process (a verdict); protocol/schema/agent.json, `$defs/view`.
        """
        with self._mutex:
            state, now, judge = self._advance(), self.clock.now(), self.host.verdict
            return [self._view(state, agent, now, judge) for agent in rules.agent_ids(state)]

    def _view(self, state: rules.State, agent: str, now: Now, judge: Callable[[Any], str]) -> dict[str, Any]:
        entry = rules.agent_entry(state, agent, now, self.settings.agent_quiet_s)
        record = state.known.agents.get(agent)
        in_force = [
            name
            for name in entry["holds"]
            if any(not why and held["agent"] == agent for why, held in rules.lock_entries(state, name, now, judge))
        ]
        return {
            "agent": agent,
            **entry,
            "holds": in_force,
            "heartbeat_age_s": round(leases.age_s(record["heartbeat"], now), 3) if record else None,
            "process": judge(record["process"]) if record else None,
        }

    def history(
        self, path: str | None = None, agent: str | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """What happened to locks and files, oldest first, as far back as the journal is kept.

        Args:
            path: Only what concerns this canonical name: itself, and folders and globs that have it in them.
            agent: Only what this agent did or lost.
            limit: The newest so many; settings.board_history_count when None.

        Returns:
            Events (protocol/schema/event.json).
        """
        limit = self.settings.board_history_count if limit is None else limit
        return self._newest(limit, lambda event: _concerns(event, path, agent))

    def lately(self, limit: int) -> list[dict[str, Any]]:
        """The newest events of every kind, oldest first, as far as the last 512 KiB of the journal tell of any.

        As cheap as a start: for whoever begins to look, and hears of the rest by the stream.

        Returns:
            Events (protocol/schema/event.json); what began before that is told as watch.md, "Starting in the middle".
        """
        for span_bytes in (SPAN_BYTES, 16 * SPAN_BYTES):  # a commit of a thousand locks is longer than the first
            back = 0 if self._journal is None else self._journal.place_back(span_bytes)
            if found := self._newest(limit, lambda event: True, after=back):
                return found
        return []

    def conflicts(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Where two sides met, both named, oldest first, as far back as the journal is kept.

        Returns:
            The newest `limit` (protocol/schema/conflict.json); settings.board_history_count when None.
        """
        limit = self.settings.board_history_count if limit is None else limit
        return [rules.conflict(event) for event in self._newest(limit, rules.is_conflict)]

    def _newest(self, limit: int, is_wanted: Callable[[Event], bool], *, after: int = 0) -> list[Event]:
        """The last events in the journal behind a revision that are wanted, oldest first; 0: in the whole of it."""
        from collections import deque

        if limit < 1:
            raise UsageError(f"a limit is a number from 1, not {limit}")
        found: deque[Event] = deque(maxlen=limit)
        told = 0
        for _ in range(_TRIES):
            watch = self.store.watch("", after=after)
            known = Known()  # of what lies in front of a gap nothing is known behind it
            try:
                while changes := watch.poll():
                    for commit in by_commit(changes):
                        found.extend(event for event in events(known, commit) if is_wanted(event))
                        told = commit[0].revision
                break
            except Compacted:  # the oldest journal went while it was read, or one is damaged
                after = 0 if self._journal is None else self._journal.behind_gap()
                if after <= told:
                    found.clear()
            finally:
                watch.close()
        return list(found)

    # -- the file -----------------------------------------------------------------------------------------------------

    def publish(self, *, wait_s_max: float = _PUBLISH_WAIT_S_MAX) -> bool:
        """Write status_board.json, unless it says what is true already.

        Args:
            wait_s_max: How long to wait for another process that is writing it, seconds.

        Returns:
            False: it was not written, because another process was at it all the time or there is no such file here.
        """
        return self._publish(0, wait_s_max)

    def publish_if_due(self) -> bool:
        """As `publish`, for the end of a command, that knows nothing yet and reads every record for it.

        A large board that was written less than `settings.board_age_s_max` ago is left to a later command; False.
        """
        return False if self._is_young() else self.publish()

    def _is_young(self) -> bool:
        published = self._published
        written = None if published is None else published.written()
        if published is None or written is None or written[0] <= _SMALL_BYTES:
            return False
        if not 0 <= self.clock.now().wall_s - written[1] < self.settings.board_age_s_max:
            return False  # also one that was written in the future: the clock was set
        shown = rules.read_head(published.head())
        return shown is not None and shown <= self.store.read("wide").revision

    def publish_if_older(self, revision: int, *, wait_s_max: float = 0.0) -> bool:
        """As `publish`, but only if the file does not show `revision` yet."""
        return self._publish(revision, wait_s_max)

    def _publish(self, wanted: int, wait_s_max: float) -> bool:
        published = self._published
        if published is None:
            return False

        def make(present: bytes) -> bytes | None:
            shown = rules.read_head(present)
            if wanted and shown is not None and wanted <= shown <= self.store.read("wide").revision:
                return None
            return self._sheet.text(self._fold.advance(), self.clock.now(), self.host.verdict)

        with self._mutex:
            self._free_parents()
            return published.replace(make, wait_s_max=wait_s_max)

    def _advance(self) -> rules.State:
        self._free_parents()
        state = self._fold.advance()
        self._sheet.follow(state)
        return state

    # -- ending -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Free the watch; the next call starts again."""
        with self._mutex:
            self._free_parents()
            self._fold.close()

    def after_fork(self) -> None:
        """In a forked child: a thread that is not here may hold the mutex, or be in the middle of folding."""
        self._mutex = RLock()
        self._parents.append(self._fold)  # freed later: what it consists of may not be ready for this process yet
        self._fold = self._new_fold()

    def _new_fold(self) -> Fold:
        return Fold(self.store, self.clock, history_count=self.settings.board_history_count, journal=self._journal)

    def _free_parents(self) -> None:
        while self._parents:
            self._parents.pop().close()


def _checked(status: object, files: list[object], files_count_max: int) -> dict[str, Any]:
    """What an agent says, if it can be kept. Raises UsageError."""
    if not isinstance(status, str) or len(status) > _STATUS_CHARS_MAX:
        raise UsageError(f"a status is text of at most {_STATUS_CHARS_MAX} characters, not {status!r:.80}")
    if not all(isinstance(name, str) for name in files) or len(files) > files_count_max:
        raise UsageError(f"files are at most {files_count_max} texts, not {files!r:.80}")
    return {"status": status, "files": files}


def _readable(view: View, agent: str) -> dict[str, Any]:
    """An agent's entry; empty when there is none that can be read: what an agent says replaces what is damaged."""
    try:
        entry = view.get(f"agents/{agent}")
    except MalformedRecord:
        return {}
    return entry if entry is not None and not check_status_entry(entry) else {}


def _concerns(event: Event, path: str | None, agent: str | None) -> bool:
    kind = event["event"]
    if not kind.startswith(("lock.", "hold.", "file.", "handoff.")):
        return False
    names = event["names"] if "names" in event else [event["name"]]
    if path is not None and not any(name == path or pattern.overlap(name, path) for name in names):
        return False
    return agent is None or agent in (event["agent"], event.get("by"))
