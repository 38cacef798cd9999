"""Replay: the board as it was at an earlier revision.

It is the board of a program that had started when that revision was the newest: records from the store as they were,
lists from the part of the journal in front of it (`fold`).

Law 1. What is shown is exact, or `Compacted` is raised: nothing is filled in from what came later.
Law 2. The time is that of the revision's commit: what had expired then is over, what has expired since is not.

Not promised: verdicts. Which processes were dead then nobody wrote down; no holder counts as dead in a replay.

Protocol: protocol/board.md, "Replay".
"""

from __future__ import annotations

from latchboard.board.fold import SPAN_BYTES, begun
from latchboard.clock import iso
from latchboard.errors import Compacted, UsageError
from latchboard.rules import board as rules
from latchboard.rules.known import Known, by_commit
from latchboard.rules.replay import time_of
from latchboard.rules.watch import events
from latchboard.store.past import check_past, compacted, spread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Protocol

    from latchboard.clock import Clock
    from latchboard.settings import Settings
    from latchboard.store.port import Change, Store, Watch

    class Journal(Protocol):
        """What a store with a journal of its own can do faster than by a watch from its beginning."""

        def follow(self, after: int) -> Watch:
            """Everything after a revision; 0: from the oldest change kept. Nobody waits for it."""
            ...

        def back(self, until: int, span_bytes: int) -> list[Change]:
            """About so many bytes of commits up to a revision, its own last, without a gap."""
            ...

        def marks(self, count: int) -> list[tuple[int, str]]:
            """Revision and time of at most `count` commits, evenly spread over those that can be replayed."""
            ...


_TRIES = 3
_COUNT_MAX = 100_000


class Replay:
    """What was on the board at each revision that the journal still has. Threads may share one."""

    __slots__ = ("_clock", "_journal", "_settings", "_store")

    def __init__(self, store: Store, clock: Clock, settings: Settings, *, journal: Journal | None = None) -> None:
        """Nothing is read yet.

        Args:
            store: Records of then, and the commits since.
            clock: For a commit that says no time.
            settings: Limits.
            journal: None: `store.watch` from the oldest change that is kept.
        """
        self._store = store
        self._clock = clock
        self._settings = settings
        self._journal = journal

    def at(self, revision: int) -> dict[str, Any]:
        """The board as it was when `revision` was the newest.

        Args:
            revision: 0: the oldest that there is. Between two commits: what the first of them left.

        Returns:
            As `Board.read` (protocol/schema/status_board.json); `revision` is that of the last commit in it,
            `last_updated` its time.

        Raises:
            Compacted: It is not known any more; `oldest`: from which revision on it is.
            UsageError: There is no such revision yet, or it is no revision.
            StoreError: The store cannot be read.

        Protocol: protocol/board.md, "Replay".
        """
        settings = self._settings
        check_past((), revision)
        then = self._store.read(*rules.COLLECTIONS, at=revision or self.span()[0])
        changes = self._back(then.revision)
        if not changes and 0 < then.revision < self._newest():
            # The records of then are kept, for later ones to begin with; what its commit said is not.
            raise compacted(revision, self.span()[0], "its commit is not kept any more")
        state, _ = begun(then, changes, settings.board_history_count)
        now = time_of(changes) or self._clock.now()
        if state.revision and not state.at:
            state.at = iso(now.wall_s)
        return rules.render(state, now, judge=_unknowable, quiet_s=settings.agent_quiet_s)

    def span(self) -> tuple[int, int]:
        """The oldest and the newest revision that can be replayed; (0, 0): nothing was ever committed.

        A damaged part of the journal in between is found when it is asked for.
        """
        for _ in range(_TRIES):
            newest = self._newest()
            watch = self._follow(self._store.read(at=0).revision if newest else 0)
            try:
                first = watch.poll() if newest else []
                return (first[0].revision if first else newest), newest
            except Compacted:
                continue  # it was rotated away meanwhile
            finally:
                watch.close()
        return newest, newest

    def commits(self, after: int = 0, limit: int = 200) -> list[dict[str, Any]]:
        """What happened, commit by commit, oldest first.

        Args:
            after: Those later than this revision; 0: from the oldest that there is.
            limit: At most so many, 1 to 100,000.

        Returns:
            Objects with revision, at, who and events (protocol/schema/event.json; none where a commit means nothing to
            people).

        Raises:
            Compacted, UsageError, StoreError: As `at`.
        """
        check_past((), after)
        _check_count(limit)
        then = self._store.read(*rules.COLLECTIONS, at=after)
        known = Known()
        for collection in rules.COLLECTIONS:
            for key, value in then.scan(collection, damaged=[]):
                known.learn(key, value)
        known.seen = None
        found = []
        watch = self._follow(then.revision)
        try:
            for commit in _by_commit(watch):
                first = commit[0]
                told = {"revision": first.revision, "at": first.at, "who": first.who}
                found.append({**told, "events": events(known, commit)})
                if len(found) == limit:
                    break
        except Compacted:
            if not found:
                raise
        finally:
            watch.close()
        return found

    def timeline(self, count: int = 200) -> list[dict[str, Any]]:
        """Some commits, evenly spread over all that can be replayed, oldest first: what a slider goes over.

        The first call reads all of the journal that is kept, about 0.1 s for every 10,000 commits; any replay after it
        is quick.

        Args:
            count: At most so many, 1 to 100,000. The first and the last are among them, if it is not 1.

        Returns:
            Objects with revision and at.

        Raises:
            UsageError, StoreError: As `at`.
        """
        _check_count(count)
        marks = self._marks(count) if self._journal is None else self._journal.marks(count)
        return [{"revision": revision, "at": at} for revision, at in marks]

    # -- reading ------------------------------------------------------------------------------------------------------

    def _newest(self) -> int:
        return self._store.read("wide").revision

    def _follow(self, after: int) -> Watch:
        return self._store.watch("", after=after) if self._journal is None else self._journal.follow(after)

    def _back(self, until: int) -> list[Change]:
        """The changes up to a revision that its board is made of, those of its commit last; none: it is gone."""
        if self._journal is not None:
            return self._journal.back(until, SPAN_BYTES)
        return [change for commit in self._kept() if commit[0].revision <= until for change in commit]

    def _marks(self, count: int) -> list[tuple[int, str]]:
        marks = [(commit[0].revision, commit[0].at) for commit in self._kept()]
        return [marks[number] for number in spread(len(marks), count)]

    def _kept(self) -> list[list[Change]]:
        """Every commit that the store still has."""
        watch = self._follow(0)
        try:
            return list(_by_commit(watch))
        finally:
            watch.close()


def _by_commit(watch: Watch) -> Iterator[list[Change]]:
    while changes := watch.poll():
        yield from by_commit(changes)


def _unknowable(_process: object) -> str:
    return "unknowable"


def _check_count(count: object) -> None:
    if type(count) is not int or not 1 <= count <= _COUNT_MAX:
        raise UsageError(f"a number from 1 to {_COUNT_MAX} is wanted, not {count!r:.80}")
