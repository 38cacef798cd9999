"""Fold: the board's state kept at a revision, brought up to date by reading what came after.

It starts from a snapshot, which is the only time it holds the store's guard, and from the last part of the journal for
what happened lately; then it goes on through a watch.

Law 1. Records come from the snapshot and the changes after it, never from a published board.
Law 2. Whoever has fallen too far behind starts anew: then that costs less than folding all that lies between, of which
       the board shows the last 200 entries alone.
"""

from __future__ import annotations

from latchboard.clock import iso
from latchboard.errors import Compacted
from latchboard.rules import board as rules
from latchboard.rules.known import by_commit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from latchboard.clock import Clock
    from latchboard.errors import MalformedRecord
    from latchboard.rules.board import State
    from latchboard.store.port import Change, Snapshot, Store, Watch

    class Follower(Watch, Protocol):
        """A watch of everything that nobody waits for, and that knows how much lies ahead of it."""

        def behind(self) -> int:
            """How much the next `poll` has to read, in bytes of the journal."""
            ...

    class Journal(Protocol):
        """What a store offers to who reads its journal now and then."""

        def follow(self, after: int) -> Follower:
            """Everything after a revision; 0: from the oldest change kept."""
            ...

        def place_back(self, span_bytes: int) -> int:
            """A revision about so many bytes back; 0: there is no more than that."""
            ...

        def behind_gap(self) -> int:
            """A revision from which on nothing is missing or damaged; 0: nothing is."""
            ...


SPAN_BYTES = 512 * 1024
"""How much of the journal a start folds for what happened lately: some 900 commits, 15 ms."""

_LOCK_BYTES = 2000
"""Reading one lock anew costs as much as folding so many bytes of the journal."""

_TRIES = 3


class Fold:
    """One state and the place in the stream from which it goes on. Not for two threads at once."""

    def __init__(self, store: Store, clock: Clock, *, history_count: int, journal: Journal | None = None) -> None:
        """Nothing is read yet.

        Args:
            store: What is folded.
            clock: Used where the journal does not tell a time.
            history_count: Entries kept of each list.
            journal: None: `store.watch` from the oldest change that is kept, and nothing is ever left out.
        """
        self._store = store
        self._clock = clock
        self._history_count = history_count
        self._journal = journal
        self._watch: Watch | None = None
        self._damaged: dict[str, str] = {}
        self.state: State | None = None

    def advance(self) -> State:
        """The state as it is now.

        Raises:
            StoreError: The store cannot be read; the state is kept.
        """
        state, watch = self.state, self._watch
        if state is None or watch is None or self._is_too_far_behind(state, watch):
            return self._start()
        try:
            has_changed = False
            while changes := watch.poll():
                has_changed = True
                for commit in by_commit(changes):
                    rules.apply(state, commit)
        except Compacted:
            return self._start()
        if self._damaged and has_changed:
            self._look_at_damage(state)
        return state

    def close(self) -> None:
        """Forget everything and free the watch."""
        watch, self._watch, self.state = self._watch, None, None
        if watch is not None:
            watch.close()

    def _is_too_far_behind(self, state: State, watch: Any) -> bool:
        return self._journal is not None and watch.behind() > SPAN_BYTES + _LOCK_BYTES * len(state.known.locks)

    # -- starting -----------------------------------------------------------------------------------------------------

    def _start(self) -> State:
        """Records from a snapshot, and what happened lately from the end of the journal."""
        journal, place = self._journal, 0
        for _ in range(_TRIES):
            watch = self._follow(place if journal is None else max(place, journal.place_back(SPAN_BYTES)))
            try:
                snapshot = self._snapshot()
                state = self._begun(snapshot, _all_there_is(watch))
            except Compacted:
                watch.close()  # it was rotated away meanwhile, or is damaged: what is behind that can be told
                place = 0 if journal is None else journal.behind_gap()
                continue
            except BaseException:
                watch.close()
                raise
            return self._keep(state, watch)
        snapshot = self._snapshot()
        return self._keep(self._begun(snapshot, []), self._follow(snapshot.revision))

    def _follow(self, after: int) -> Watch:
        return self._store.watch("", after=after) if self._journal is None else self._journal.follow(after)

    def _keep(self, state: State, watch: Watch) -> State:
        self.close()
        self._watch, self.state = watch, state
        return state

    def _begun(self, snapshot: Snapshot, changes: list[Change]) -> State:
        """The state at the end of `changes`, which began before the snapshot was taken and may go on after it."""
        state, self._damaged = begun(snapshot, changes, self._history_count)
        if state.revision and not state.at:
            state.at = iso(self._clock.now().wall_s)
        return state

    def _snapshot(self) -> Snapshot:
        return self._store.read(*rules.COLLECTIONS)

    # -- damage -------------------------------------------------------------------------------------------------------

    def _note_damage(self, state: State, damaged: dict[str, str]) -> None:
        for key in self._damaged.keys() - damaged.keys():
            state.known.damaged.pop(key, None)
        state.known.damaged.update(damaged)
        self._damaged = damaged

    def _look_at_damage(self, state: State) -> None:
        """Record files that could not be read may be whole again: which record they are, only a snapshot tells."""
        self._note_damage(state, _records(self._snapshot())[1])


def begun(snapshot: Snapshot, changes: list[Change], history_count: int) -> tuple[State, dict[str, str]]:
    """The state at the end of `changes`, which began before the snapshot was taken and may go on after it.

    What a record was before its first change among them is not known: such records join when they are put. At the
    snapshot's revision the records are the snapshot's, whatever the journal said.

    Returns:
        The state, and what is wrong with the records in the snapshot that cannot be read.
    """
    state = rules.State(history_count)
    records, damaged = _records(snapshot)
    earlier = [change for change in changes if change.revision <= snapshot.revision]
    changed = {change.key for change in earlier}
    state.learn((key, value) for key, value in records.items() if key not in changed)
    for commit in by_commit(earlier):
        rules.apply(state, commit)
    state.learn((key, records.get(key)) for key in changed if key.startswith(rules.COLLECTIONS))
    state.known.seen = None
    for commit in by_commit(changes[len(earlier) :]):
        rules.apply(state, commit)
    state.known.damaged.update(damaged)
    state.revision = max(state.revision, snapshot.revision)
    return state, damaged


def _all_there_is(watch: Watch) -> list[Change]:
    """Every change up to now. Raises Compacted."""
    found: list[Change] = []
    while batch := watch.poll():
        found += batch
    return found


def _records(snapshot: Snapshot) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Every record of the board's collections, and what is wrong with those that cannot be read."""
    found: dict[str, dict[str, Any]] = {}
    damaged: list[MalformedRecord] = []
    for collection in rules.COLLECTIONS:
        found.update(snapshot.scan(collection, damaged=damaged))
    return found, {str(exc.fields.get("key")): str(exc.fields.get("reason")) for exc in damaged}
