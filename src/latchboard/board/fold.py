"""Fold: the board's state kept at a revision, brought up to date by reading what came after.

It starts from a snapshot, which is the only time it holds the store's guard, and goes on through a watch. History comes
from the journal: the board that somebody published says from where (a hint; the journal itself decides whether it is
one).

Law 1. Records come from the snapshot and the changes after it, never from a published board.
Law 2. Who may skip and has fallen too far behind starts again from a snapshot, with the history of the published board
       if that is not far behind, else with a mark in the history (`gap`): folding a long journal for a list of the last
       200 entries would cost more than it tells.
"""

from __future__ import annotations

from latchboard.clock import iso
from latchboard.errors import Compacted
from latchboard.rules import board as rules
from latchboard.rules.known import by_commit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from latchboard.clock import Clock
    from latchboard.errors import MalformedRecord
    from latchboard.rules.board import State
    from latchboard.store.port import Change, Snapshot, Store, Watch

    class Follower(Watch, Protocol):
        """A watch of everything that nobody waits for, and that knows how much lies ahead of it."""

        def behind(self) -> int:
            """How much the next `poll` has to read."""
            ...


BEHIND_MAX = 512 * 1024
"""How far behind is folded and not skipped, as `Follower.behind` counts it: bytes of the journal, some 900 commits."""


class Fold:
    """One state and the place in the stream from which it goes on. Not for two threads at once."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        history_count: int,
        follow: Callable[[int], Follower] | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            store: What is folded.
            clock: For the time of a gap in the history.
            history_count: Entries kept of each list.
            follow: Makes a follower from a revision on; None: `store.watch`, and nothing is ever skipped.
        """
        self._store = store
        self._clock = clock
        self._history_count = history_count
        self._follow: Callable[[int], Watch] = follow or (lambda after: store.watch("", after=after))
        self._can_skip = follow is not None
        self._watch: Any = None
        self._damaged: dict[str, str] = {}
        self.state: State | None = None

    def advance(self, *, hint: int = 0, may_skip: bool = False) -> State:
        """The state as it is now.

        Args:
            hint: From which revision to fold history on a start; 0: all that is kept.
            may_skip: Read no more than `BEHIND_MAX` of the journal; what lies further back is left out.

        Raises:
            StoreError: The store cannot be read; the state is kept.
        """
        state, watch = self.state, self._watch
        may_skip = may_skip and self._can_skip
        if state is None or watch is None:
            return self._start((hint, 0) if hint else (0,), may_skip)
        if may_skip and watch.behind() > BEHIND_MAX:
            return self._start((hint,) if hint > state.revision else (), may_skip)
        try:
            changes = watch.poll()
        except Compacted:
            return self._start_again()
        for commit in by_commit(changes):
            rules.apply(state, commit)
        if self._damaged and changes:
            self._look_at_damage(state)
        return state

    def close(self) -> None:
        """Forget everything and free the watch."""
        watch, self._watch, self.state = self._watch, None, None
        if watch is not None:
            watch.close()

    # -- starting -----------------------------------------------------------------------------------------------------

    def _start(self, places: tuple[int, ...], may_skip: bool) -> State:
        """Records from a snapshot; history from the first of `places` that the journal has and that is near enough."""
        for after in places:
            watch: Any = self._follow(after)
            try:
                if not may_skip or watch.behind() <= BEHIND_MAX:
                    snapshot = self._snapshot()
                    state = self._begun(snapshot, watch.poll())
                    self.close()
                    self._watch, self.state = watch, state
                    return state
                watch.close()
            except Compacted:
                watch.close()
            except BaseException:
                watch.close()
                raise
        return self._start_again()

    def _begun(self, snapshot: Snapshot, changes: list[Change]) -> State:
        """The state at the end of `changes`, which began before the snapshot was taken and may go on after it.

        What a record was before its first change among them is not known: such records join when they are put. At the
        snapshot's revision the records are the snapshot's, whatever the journal said.
        """
        state = rules.State(self._history_count)
        records, damaged = _records(snapshot)
        changed = {change.key for change in changes if change.revision <= snapshot.revision}
        state.learn((key, value) for key, value in records.items() if key not in changed)
        is_exact = False
        for commit in by_commit(changes):
            if not is_exact and commit[0].revision > snapshot.revision:
                _correct(state, records, changed)
                state.known.seen = None
                is_exact = True
            rules.apply(state, commit)
        if not is_exact:
            _correct(state, records, changed)
        state.known.seen = None
        self._note_damage(state, damaged)
        state.revision = max(state.revision, snapshot.revision)
        return state

    def _start_again(self) -> State:
        """Records from a snapshot; the history so far, and a mark where something is missing."""
        old, self.state = self.state, None
        self.close()
        snapshot = self._snapshot()
        watch = self._follow(snapshot.revision)
        state = rules.State(self._history_count)
        records, damaged = _records(snapshot)
        state.learn(records.items())
        state.known.seen = None
        self._note_damage(state, damaged)
        if old is not None:
            state.history.extend(old.history)
            state.conflicts.extend(old.conflicts)
            state.messages.extend(old.messages)
            state.revision, state.commits_count = old.revision, old.commits_count
        rules.skipped(state, snapshot.revision, iso(self._clock.now().wall_s))
        self._watch, self.state = watch, state
        return state

    # -- damage -------------------------------------------------------------------------------------------------------

    def _note_damage(self, state: State, damaged: dict[str, str]) -> None:
        for key in self._damaged.keys() - damaged.keys():
            state.known.damaged.pop(key, None)
        state.known.damaged.update(damaged)
        self._damaged = damaged

    def _look_at_damage(self, state: State) -> None:
        """Record files that could not be read may be whole again: which record they are, only a snapshot tells."""
        self._note_damage(state, _records(self._snapshot())[1])

    def _snapshot(self) -> Snapshot:
        return self._store.read(*rules.COLLECTIONS)


def _records(snapshot: Snapshot) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Every record of the board's collections, and what is wrong with those that cannot be read."""
    found: dict[str, dict[str, Any]] = {}
    damaged: list[MalformedRecord] = []
    for collection in rules.COLLECTIONS:
        found.update(snapshot.scan(collection, damaged=damaged))
    return found, {str(exc.fields.get("key")): str(exc.fields.get("reason")) for exc in damaged}


def _correct(state: State, records: dict[str, dict[str, Any]], changed: set[str]) -> None:
    """Make the records that the journal told of those of the snapshot."""
    state.learn((key, records.get(key)) for key in changed if f"{key.partition('/')[0]}/" in rules.COLLECTIONS)
