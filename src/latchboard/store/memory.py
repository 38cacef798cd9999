"""MemoryStore: the store port in one process, for tests and for whoever needs no second process.

Values are kept as JSON text: what is put and what is read share nothing with what is stored. Threads may share a
store; `beside` gives a second store on the same state, as a second process would have it. The journal keeps the last
commits; a watch that is further behind gets `Compacted`.

Protocol: protocol/store.md. `StoreSuite` holds it to the same promises as the files.
"""

from __future__ import annotations

from _thread import RLock
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from latchboard.clock import iso
from latchboard.codec import decode
from latchboard.errors import Compacted, StoreError, UsageError, from_os_error
from latchboard.settings import Settings
from latchboard.store.checks import check_collection, check_commit, check_key, check_value, check_who
from latchboard.store.past import PastSnapshot, check_past, compacted, too_late
from latchboard.store.port import TRACE_PREFIX, Change, Committed, Properties, belongs
from latchboard.store.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from latchboard.clock import Clock, Now
    from latchboard.errors import MalformedRecord
    from latchboard.store.port import Entries, Snapshot, Value, View

T = TypeVar("T")
_Commit = tuple[int, str, str, dict[str, str | None]]


class _State:
    """What the stores that are beside each other share. Everything but `mutex` is used with the mutex held."""

    def __init__(self, first: int, commits_kept_count: int) -> None:
        self.mutex = RLock()
        self.records: dict[str, str] = {}
        self.last = 0
        self.next = first
        self.forgotten = 0  # revision of the newest commit that the journal no longer has
        self.beginning: dict[str, str] = {}  # the records as they were then
        self.journal: deque[_Commit] = deque()
        self.commits_kept_count = commits_kept_count
        self.watches: set[MemoryWatch] = set()
        self.bells: set[MemoryBell] = set()

    def commit(self, at: str, who: str, changes: dict[str, str | None]) -> None:
        _apply(self.records, changes)
        self.last, self.next = self.next, self.next + 1
        self.journal.append((self.last, at, who, changes))
        while len(self.journal) > self.commits_kept_count:
            self.forgotten, _, _, oldest = self.journal.popleft()
            _apply(self.beginning, oldest)


def _apply(records: dict[str, str], changes: dict[str, str | None]) -> None:
    for key, text in changes.items():
        if text is None:
            records.pop(key, None)
        elif not key.startswith(TRACE_PREFIX):
            records[key] = text


class MemoryStore:
    """A store that lives as long as its process."""

    def __init__(
        self,
        *,
        clock: Clock,
        settings: Settings | None = None,
        beside: MemoryStore | None = None,
        commits_kept_count: int = 100_000,
        keys_max: int = 100_000,
    ) -> None:
        """Make an empty store, or a second one on the state of another.

        Args:
            clock: Times of commits; the first revision is its wall time in microseconds.
            settings: Limits.
            beside: The store whose state this one shares.
            commits_kept_count: How many commits watches may be behind.
            keys_max: Most keys of one commit; as few as another engine takes, to see what its users do then.
        """
        self._settings = settings or Settings()
        self._clock = clock
        self._state: _State = beside._state if beside else _State(int(clock.now().wall_s * 1e6), commits_kept_count)
        self.properties = Properties(
            engine="memory",
            spans_hosts=False,
            survives_restart=False,
            value_bytes_max=self._settings.value_bytes_max,
            transaction_keys_max=keys_max,
        )

    def transact(
        self, fn: Callable[[View], T], *, who: str, durable: bool = False, effect: Callable[[], None] | None = None
    ) -> Committed[T]:
        state = self._state
        self._refuse_nesting("transaction")
        with state.mutex:
            now = self._clock.now()
            view = _MemoryView(state.records, state.next, now, self.properties.transaction_keys_max)
            value = fn(view)
            check_commit(view.changes, self.properties.transaction_keys_max)
            bytes_max = self.properties.value_bytes_max
            changes = {k: None if v is None else check_value(k, v, bytes_max) for k, v in view.changes.items()}
            check_who(who)
            if effect is not None:
                effect()
            if changes:
                state.commit(iso(now.wall_s), who, changes)
                _ring(state, changes)
            return Committed(value, state.last)

    def read(self, *wanted: str, at: int | None = None) -> Snapshot:
        self._refuse_nesting("read")
        for name in wanted:
            check_key(name)
        with self._state.mutex:
            if at is not None:
                return self._read_past(wanted, at)
            records = self._state.records
            found = {key: records[key] for key in wanted if key in records}
            for prefix in [name for name in wanted if name.endswith("/")]:
                found.update({key: text for key, text in records.items() if belongs(key, prefix)})
            return MemorySnapshot(self._state.last, found, wanted)

    def _read_past(self, wanted: tuple[str, ...], at: int) -> PastSnapshot:
        """Every commit up to that revision on top of what the journal begins with."""
        check_past(wanted, at)
        state = self._state
        if at > state.last:
            raise too_late(at, state.last)
        if 0 < at < state.forgotten:
            raise compacted(at, state.forgotten, "its commits are not kept any more")
        records, revision = dict(state.beginning), state.forgotten
        for commit, _, _, changes in state.journal:
            if commit > at:
                break
            _apply(records, changes)
            revision = commit
        found = {k: decode(text) for k, text in records.items() if any(k == n or belongs(k, n) for n in wanted)}
        return PastSnapshot(revision, found, wanted)

    def watch(self, prefix: str, *, after: int) -> MemoryWatch:
        return MemoryWatch(self._state, prefix, after)

    def bell(self, key: str) -> MemoryBell:
        check_key(key)
        return MemoryBell(self._state, key)

    def close(self) -> None:
        """Nothing to free; the state lives as long as somebody uses it."""

    def _refuse_nesting(self, what: str) -> None:
        if self._state.mutex._is_owned():  # type: ignore[attr-defined]
            raise UsageError(f"a {what} inside a transaction", hint="use the view; nothing was changed")


def _ring(state: _State, changes: Iterable[str]) -> None:
    for bell in state.bells:
        if bell.key in changes:
            bell.wakeup.ring()
    for watch in state.watches:
        if any(key.startswith(watch.prefix) for key in changes):
            watch.wakeup.ring()


class _MemoryView:
    """The state inside a transaction."""

    def __init__(self, records: dict[str, str], revision: int, now: Now, keys_max: int) -> None:
        self._records = records
        self._keys_max = keys_max
        self.now = now
        self._cached: dict[str, Value | None] = {}
        self.changes: dict[str, dict[str, Any] | None] = {}
        self.revision = revision

    @property
    def room(self) -> int:
        return self._keys_max - len(self.changes)

    def get(self, key: str) -> Value | None:
        if key in self.changes:
            return self.changes[key]
        if key not in self._cached:
            check_key(key)
            text = self._records.get(key)
            self._cached[key] = None if text is None else decode(text)
        return self._cached[key]

    def scan(self, prefix: str, *, damaged: list[MalformedRecord] | None = None) -> Entries:
        check_collection(prefix)
        keys = {*self._records, *self.changes}
        found = [(key, self.get(key)) for key in sorted(keys) if belongs(key, prefix)]
        return [(key, value) for key, value in found if value is not None]

    def put(self, key: str, value: Value) -> None:
        check_key(key)
        if value is None:
            raise UsageError(f"nothing cannot be put under {key}", hint="delete it", key=key)
        self.changes[key] = value

    def delete(self, key: str) -> None:
        check_key(key)
        self.changes[key] = None


class MemorySnapshot:
    """What was read, all of one revision."""

    def __init__(self, revision: int, found: dict[str, str], wanted: tuple[str, ...]) -> None:
        self.revision = revision
        self._found = found
        self._wanted = wanted

    def get(self, key: str) -> Value | None:
        if key not in self._wanted and not any(n.endswith("/") and belongs(key, n) for n in self._wanted):
            raise UsageError(f"{key} was not read", hint="name it in the call of read")
        text = self._found.get(key)
        return None if text is None else decode(text)

    def scan(self, prefix: str, *, damaged: list[MalformedRecord] | None = None) -> Entries:
        check_collection(prefix)
        if prefix not in self._wanted:
            raise UsageError(f"{prefix} was not read", hint="name it in the call of read")
        return [(key, decode(text)) for key, text in sorted(self._found.items()) if belongs(key, prefix)]


class MemoryWatch:
    """A place in the journal of a memory store."""

    mode = "notify"

    def __init__(self, state: _State, prefix: str, after: int) -> None:
        self._state = state
        self.prefix = prefix
        try:
            self.wakeup = Wakeup()
        except OSError as exc:
            raise from_os_error(exc, "watch", prefix) from exc
        with state.mutex:
            self._after = after or state.forgotten
            state.watches.add(self)
            if state.last > after:
                self.wakeup.ring()

    def poll(self) -> list[Change]:
        if self.wakeup.fileno() < 0:
            raise StoreError("the watch is closed")
        self.wakeup.clear()
        with self._state.mutex:
            later = self._later()
        if later:
            self._after = later[-1][0]
        return [
            Change(revision, at, who, key, None if text is None else decode(text))
            for revision, at, who, changes in later
            for key, text in changes.items()
            if key.startswith(self.prefix)
        ]

    def _later(self) -> list[_Commit]:
        """The commits behind the place, which must be one that was given out and is still kept."""
        journal, forgotten = self._state.journal, self._state.forgotten
        count = journal[-1][0] - self._after if journal else 0
        if self._after == forgotten:
            return list(journal)
        if not journal or not 0 <= count < len(journal):
            oldest = journal[0][0] if journal else 0
            raise Compacted(
                f"no journal goes on from revision {self._after}; the oldest is {oldest}: "
                "it was dropped since, or is of another store",
                hint="read a snapshot and watch on from its revision",
                after=self._after,
                oldest=oldest,
            )
        return [journal[index] for index in range(len(journal) - count, len(journal))]

    def fileno(self) -> int:
        return self.wakeup.fileno()

    def close(self) -> None:
        with self._state.mutex:
            self._state.watches.discard(self)
        self.wakeup.close()


class MemoryBell:
    """Rings when its key is put or deleted."""

    def __init__(self, state: _State, key: str) -> None:
        self._state = state
        self.key = key
        try:
            self.wakeup = Wakeup()
        except OSError as exc:
            raise from_os_error(exc, "open the bell of", key) from exc
        with state.mutex:
            state.bells.add(self)

    def fileno(self) -> int:
        return self.wakeup.fileno()

    def clear(self) -> None:
        """Forget the rings so far."""
        self.wakeup.clear()

    def close(self) -> None:
        with self._state.mutex:
            self._state.bells.discard(self)
        self.wakeup.close()
