"""Stream: one ordered, gapless stream of changes over everything, and of what they mean.

Law 1. What comes out has the order of commits, and nothing is left out; else `Compacted` is raised.
Law 2. A stream is resumed by its `revision`: the last commit that was given out whole.
Law 3. Notifications only wake it; where there are none it looks every `settings.watch_poll_s`.

Not promised: that a commit is given out once when a reader stopped in the middle of it and resumes.

Protocol: protocol/watch.md.
"""

from __future__ import annotations

from latchboard.errors import UsageError
from latchboard.rules.known import Known, by_commit
from latchboard.rules.watch import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Generic, TypeAlias, TypeVar

    from latchboard.clock import Clock
    from latchboard.rules.watch import Event
    from latchboard.settings import Settings
    from latchboard.store.port import Change, Snapshot, Store, Watch

    T = TypeVar("T")
    Commit: TypeAlias = dict[str, Any]

_KEPT = ("agents/", "leases/", "locks/", "waiters/")


class Stream:
    """Changes and events, from now on or from a revision. Threads may share one; each iterator is of one thread."""

    __slots__ = ("_clock", "_settings", "_store")

    def __init__(self, store: Store, clock: Clock, settings: Settings) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings

    def changes(self, prefix: str = "", *, after: int | None = None, timeout_s: float | None = None) -> Feed[Change]:
        """Changes of keys that start with `prefix`, each as it is committed.

        Args:
            prefix: `locks/`, `messages/a1/`, a whole key; empty: everything.
            after: Go on after this revision; 0: from the oldest change kept; None: from now on, the moment of this
                call.
            timeout_s: End when nothing came for this long, seconds; 0: what is there already; None: never.

        Returns:
            An iterator to be closed (`with`, or `close()`); its `revision` is where to go on later.

        Raises:
            Compacted: What comes after that revision is not kept any more (also while iterating): read a snapshot, such
                as `board.read()`, and go on after its revision.
            StoreError: The store cannot be read.

        Protocol: protocol/watch.md, "Changes".
        """
        place = self._store.read("wide").revision if after is None else _revision(after)
        watch = self._store.watch("", after=place)  # everything, so that `revision` never falls behind for want of news

        def tell(commit: list[Change]) -> list[Change]:
            return [change for change in commit if change.key.startswith(prefix)]

        return Feed(self, watch, place, timeout_s, tell)

    def events(self, prefix: str = "", *, after: int | None = None, timeout_s: float | None = None) -> Feed[Event]:
        """What the changes mean, as named events: `lock.acquired`, `lock.released`, `message.sent`, ...

        Args:
            prefix: Beginning of the event's name: `lock.`, `message.sent`; empty: all of them.
            after: As for `changes`. Who held a lock before the first change seen of it is known only if it still did
                when this was called; such fields are None.
            timeout_s: As for `changes`.

        Returns:
            An iterator of objects with `event`, `revision`, `at`, `who` and the fields of that event
            (protocol/schema/event.json).

        Raises:
            Compacted, StoreError: As for `changes`.

        Protocol: protocol/watch.md, "Events".
        """
        return self._feed(after, timeout_s, lambda _, told: [one for one in told if one["event"].startswith(prefix)])

    def commits(self, *, after: int | None = None, timeout_s: float | None = None) -> Feed[Commit]:
        """Every commit with what it means, for whoever must know how far he has heard everything.

        Args:
            after: As for `changes`.
            timeout_s: As for `changes`.

        Returns:
            An iterator of objects with `revision`, `at`, `who` and `events` (as `events` gives them), which are none
            where a commit means nothing to people.

        Raises:
            Compacted, StoreError: As for `changes`.

        Protocol: protocol/watch.md, "Events".
        """

        def tell(commit: list[Change], told: list[Event]) -> list[Commit]:
            first = commit[0]
            return [{"revision": first.revision, "at": first.at, "who": first.who, "events": told}]

        return self._feed(after, timeout_s, tell)

    def _feed(
        self, after: int | None, timeout_s: float | None, give: Callable[[list[Change], list[Event]], list[T]]
    ) -> Feed[T]:
        """A feed of what `give` makes of each commit and its events."""
        known = Known()
        changed: set[str] = set()
        if after is None:
            snapshot = self._store.read(*_KEPT)
            place = snapshot.revision
            watch = self._store.watch("", after=place)
        else:
            place = _revision(after)
            watch = self._store.watch("", after=place)
            try:
                snapshot = self._store.read(*_KEPT)
                changed = self._changed(place, snapshot.revision)
            except BaseException:
                watch.close()
                raise
        # What has not changed since the place is what it was there; of the rest it is not known what it was.
        _learn(known, snapshot, changed)

        def tell(commit: list[Change]) -> list[T]:
            if commit[0].revision > snapshot.revision:
                known.seen = None
            return give(commit, events(known, commit))

        return Feed(self, watch, place, timeout_s, tell)

    def _changed(self, place: int, until: int) -> set[str]:
        """Which records changed between two revisions: kept are the keys alone, for the journal may be long."""
        found: set[str] = set()
        if place == until:
            return found
        watch = self._store.watch("", after=place)
        try:
            while changes := watch.poll():
                found.update(c.key for c in changes if c.revision <= until and c.key.startswith(_KEPT))
                if changes[-1].revision >= until:
                    break
        finally:
            watch.close()
        return found

    def wait(self, watch: Watch, timeout_s: float) -> None:
        """Until there may be something to read, or the time is over."""
        settings = self._settings
        safety_s = settings.watch_poll_s if watch.mode == "poll" else settings.wait_poll_s
        self._clock.wait([watch], min(timeout_s, safety_s))

    def mono_s(self) -> float:
        """Monotonic time, for time-outs."""
        return self._clock.now().mono_s


if TYPE_CHECKING:

    class _Of(Generic[T]):
        """What a feed gives."""

else:
    T = None

    class _Of:  # typing.Generic without loading typing
        __slots__ = ()

        def __class_getitem__(cls, item):
            return cls


class Feed(_Of[T]):
    """An iterator over what a stream gives.

    Attributes:
        revision: The last commit of which everything was given out: go on `after` it.
    """

    __slots__ = ("_commits", "_ready", "_stream", "_tell", "_timeout_s", "_watch", "revision")

    def __init__(
        self,
        stream: Stream,
        watch: Watch,
        place: int,
        timeout_s: float | None,
        tell: Callable[[list[Change]], list[T]],
    ) -> None:
        from collections import deque

        self._stream = stream
        self._watch = watch
        self._timeout_s = timeout_s
        self._tell = tell
        self._commits: deque[list[Change]] = deque()
        self._ready: deque[T] = deque()
        self.revision = place

    @property
    def mode(self) -> str:
        """`notify`, or `poll` where the system does not tell of changes."""
        return self._watch.mode

    def fileno(self) -> int:
        """Readable when there may be more to come, where `mode` is `notify`."""
        return self._watch.fileno()

    def __iter__(self) -> Feed[T]:
        return self

    def __next__(self) -> T:
        started_s = self._stream.mono_s()
        while not self._ready:
            if not self._commits and not self._read():
                left_s = 1e9 if self._timeout_s is None else started_s + self._timeout_s - self._stream.mono_s()
                if left_s <= 0:
                    raise StopIteration
                self._stream.wait(self._watch, left_s)
                continue
            self._next_commit()
        item = self._ready.popleft()
        if not self._ready:
            self._given()
        return item

    def _read(self) -> bool:
        changes = self._watch.poll()
        self._commits.extend(by_commit(changes))
        return bool(changes)

    def _next_commit(self) -> None:
        """Make the next commit ready; one that says nothing here is given out by that."""
        commit = self._commits[0]
        self._ready.extend(self._tell(commit))
        if not self._ready:
            self._given()

    def _given(self) -> None:
        self.revision = self._commits.popleft()[0].revision

    def close(self) -> None:
        """Free the watch."""
        self._watch.close()

    def __enter__(self) -> Feed[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _learn(known: Known, snapshot: Snapshot, but: set[str]) -> None:
    damaged: list[Any] = []
    for collection in _KEPT:
        for key, value in snapshot.scan(collection, damaged=damaged):
            if key not in but:
                known.learn(key, value)


def _revision(after: Any) -> int:
    if type(after) is not int or after < 0:
        raise UsageError(f"a revision is a whole number from 0, not {after!r}")
    return after
