"""The store port: a transaction, a snapshot, a watch, a bell.

Promises every backend keeps (`latchboard.testing.StoreSuite` holds it to them):

1. A commit is all or nothing, over any crash; commits have one order.
2. Revisions only grow; none is given twice, whatever restarts.
3. A snapshot is of one revision. Readers never write.
4. A watch is ordered and gapless from the revision asked for, or says `Compacted`; so is what was at a revision exact.
5. A damaged record is `MalformedRecord`, never absent.

Not promised: that a bell rings once, or only when something changed. It is a hint to look again.

Protocol: protocol/store.md. The shape is that of etcd's `concurrency.STM`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeAlias, TypeVar

    from latchboard.clock import Now
    from latchboard.errors import MalformedRecord

    T = TypeVar("T")
    Value: TypeAlias = dict[str, Any]
    Entries: TypeAlias = list[tuple[str, Value]]

    class View(Protocol):
        """The state inside a transaction: what is committed, with this transaction's own changes on top."""

        @property
        def now(self) -> Now:
            """The instant of this commit: what its line will say, and what records should say."""
            ...

        @property
        def revision(self) -> int:
            """Stands for the revision of this commit. Put it into values; do not compute with it."""
            ...

        @property
        def room(self) -> int:
            """How many more keys this commit can put and delete: who has much to do does the rest in another one."""
            ...

        def get(self, key: str) -> Value | None: ...
        def scan(self, prefix: str, *, damaged: list[MalformedRecord] | None = None) -> Entries:
            """Every record whose key starts with `prefix`, in the order of keys.

            A prefix is a collection (`locks/`, `messages/a1/`) or a part of one (`waiters/0123.`).

            A record that cannot be read is raised as `MalformedRecord`, or added to `damaged` where a list is given.
            """
            ...

        def put(self, key: str, value: Value) -> None: ...
        def delete(self, key: str) -> None: ...

    class Snapshot(Protocol):
        """What was read, all of one revision."""

        revision: int

        def get(self, key: str) -> Value | None: ...
        def scan(self, prefix: str, *, damaged: list[MalformedRecord] | None = None) -> Entries: ...

    class Watch(Protocol):
        """A place in the stream of changes."""

        mode: str
        """`notify`: `fileno()` becomes readable soon after a commit. `poll`: look every `watch_poll_s`."""

        def poll(self) -> list[Change]:
            """The next changes since the last call, whole commits only; never blocks.

            Returns:
                Some of them, in order; none: there are no more. While there may be more, `fileno()` is readable.

            Raises:
                Compacted: The next change is no longer kept. Read a snapshot, watch on from its revision.
            """
            ...

        def fileno(self) -> int: ...
        def close(self) -> None: ...

    class Bell(Protocol):
        """A hint about one key: readable after somebody put or deleted it."""

        def fileno(self) -> int: ...
        def clear(self) -> None: ...
        def close(self) -> None: ...

    class Store(Protocol):
        """Shared state that commits atomically and can be watched."""

        properties: Properties

        def transact(
            self, fn: Callable[[View], T], *, who: str, durable: bool = False, effect: Callable[[], None] | None = None
        ) -> Committed[T]:
            """Run `fn` on the state and commit what it put and deleted, all or nothing.

            Args:
                fn: Pure; a backend may run it again. An exception from it commits nothing.
                who: The agent on whose behalf, for the history.
                durable: Return only when the commit is on the disk.
                effect: Runs once after `fn` decided, before anybody else can commit; if it raises, nothing is
                    committed.

            Raises:
                StoreError: Nothing was committed, unless the message says that the outcome is unknown.
                MalformedRecord: `fn` read a record that cannot be read.
            """
            ...

        def read(self, *wanted: str, at: int | None = None) -> Snapshot:
            """Keys, and collections that end in `/`, all of one revision.

            The snapshot answers for these alone and refuses others (UsageError). What ends in `/` may be a key too: a
            lock's name may be a folder (`locks/src/`).

            Args:
                wanted: What to read.
                at: Read it as it was when this was the newest revision (`REPLAYED` collections alone); 0: as it was
                    before the oldest commit that can be read on from. The snapshot has the revision of the last commit
                    in it.

            Raises:
                Compacted: What was then is not known any more; `oldest` is the revision from which on it is.
                UsageError: There is no such revision yet.
            """
            ...

        def watch(self, prefix: str, *, after: int) -> Watch:
            """Changes of keys that start with `prefix`, later than revision `after`; 0 is the oldest kept."""
            ...

        def bell(self, key: str) -> Bell: ...
        def close(self) -> None: ...


if TYPE_CHECKING:
    from typing import Generic

    class Committed(Generic[T]):
        """What a transaction gave: `fn`'s result and the commit's revision (the last one's if nothing was put)."""

        value: T
        revision: int

        def __init__(self, value: T, revision: int) -> None: ...

else:

    class Committed:
        """What a transaction gave (described above)."""

        __slots__ = ("revision", "value")

        def __init__(self, value, revision):
            self.value = value
            self.revision = revision


class Change:
    """One key's change in one commit.

    Attributes:
        revision: The commit's; several changes of one commit share it.
        at: When, ISO 8601 UTC.
        who: The agent on whose behalf.
        key: Which record.
        value: What it is now; None: deleted.
    """

    __slots__ = ("at", "key", "revision", "value", "who")

    def __init__(self, revision: int, at: str, who: str, key: str, value: dict[str, Any] | None) -> None:
        self.revision = revision
        self.at = at
        self.who = who
        self.key = key
        self.value = value

    def __repr__(self) -> str:
        return f"Change({self.revision}, {self.key!r}, {'deleted' if self.value is None else 'put'})"


class Properties:
    """What a backend can do.

    Attributes:
        engine: `memory`, `files`, ...
        spans_hosts: Holders on other machines see it.
        survives_restart: What was committed is there after every process ended.
        value_bytes_max: Largest value, encoded.
        transaction_keys_max: Most keys one commit may put and delete.
        runs_alone: No two functions run at once, so that each runs once and on what is. Otherwise they run side by
            side, and what one said on a state that was not, is not told.
    """

    __slots__ = (
        "engine",
        "runs_alone",
        "spans_hosts",
        "survives_restart",
        "transaction_keys_max",
        "value_bytes_max",
    )

    def __init__(
        self,
        *,
        engine: str,
        spans_hosts: bool,
        survives_restart: bool,
        value_bytes_max: int,
        transaction_keys_max: int,
        runs_alone: bool = True,
    ) -> None:
        self.engine = engine
        self.runs_alone = runs_alone
        self.spans_hosts = spans_hosts
        self.survives_restart = survives_restart
        self.value_bytes_max = value_bytes_max
        self.transaction_keys_max = transaction_keys_max


TRACE_PREFIX = "log/"
"""Keys below it are traces: put only, seen by watchers and in the history, never kept as a record."""

PRESENCES = "processes/"
"""Records that are there while a process is (`present` of its identity), where a store keeps such."""

REPLAYED = ("agents/", "leases/", "locks/", "waiters/")
"""Collections that can be read as they were at an earlier revision."""

FOLDERS_PER_OWNER = ("messages/", "archive/")
"""Collections of collections: `messages/<owner>/<name>`, where an owner may have slashes in it and a name has none."""


def belongs(key: str, prefix: str) -> bool:
    """Whether a scan of `prefix` finds `key`: it starts with it, and where an owner is named it is that owner's alone.

    So `messages/a/` has nothing of the owner `a/b`.
    """
    if not key.startswith(prefix):
        return False
    per_owner = prefix.startswith(FOLDERS_PER_OWNER) and prefix.count("/") > 1
    return not per_owner or "/" not in key[len(prefix) :]
