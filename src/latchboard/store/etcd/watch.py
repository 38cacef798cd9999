"""Watch: a place in the history of a prefix, and a thread that follows it.

Law 1. A commit is given out whole, once and in order, when the record of the commit has come, which is its last event.
Law 2. What was committed before a poll is given out by that poll or said to be missing: it asks for the newest commit
       and reads the stream up to it.
Law 3. Whoever does not poll takes no memory for it: the stream is left, and taken up from its place.

Protocol: protocol/etcd.md, "Watching".
"""

from __future__ import annotations

from time import monotonic

from latchboard.codec import decode
from latchboard.errors import Compacted, CoordinationError, MalformedRecord, StoreError, StoreUnavailable
from latchboard.store.etcd.facts import text_of
from latchboard.store.etcd.feed import Feed
from latchboard.store.etcd.gateway import packed, unpacked
from latchboard.store.etcd.layout import value_of
from latchboard.store.etcd.snapshot import last_commit, oldest_kept
from latchboard.store.etcd.trouble import Answer
from latchboard.store.port import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.store.etcd.cluster import Cluster


class EtcdWatch(Feed):
    """Changes of keys that start with `prefix`, later than revision `after`."""

    mode = "notify"

    def __init__(self, cluster: Cluster, prefix: str, after: int) -> None:
        """Raises StoreError: no file handle is left."""
        super().__init__(cluster, prefix or "everything")
        self._prefix = prefix
        self._after = after
        self._place = 0  # the last commit that was read, by etcd's revision
        self._is_from_start = not after
        self._start = 0  # where the next stream begins; 0: not found yet
        self._ready: list[list[Change]] = []
        self._half: tuple[int, dict[bytes, dict[str, Any]]] = (0, {})  # a commit of which not all has come
        self._lost: CoordinationError | None = None
        self._is_told_of_trouble = False
        self.start()

    def poll(self) -> list[Change]:
        """The next changes, whole commits only. Asks for the newest commit, and waits until it was read.

        Raises:
            Compacted: The next change is no longer kept, now and in every later call.
            StoreUnavailable: etcd does not answer. The place is kept: poll again.
        """
        if self.is_closed:
            raise StoreError("the watch is closed")
        self.wakeup.clear()
        self.start()
        deadline = self.cluster.deadline()
        self.cluster.open(deadline)
        newest = last_commit(self.cluster, 0, deadline)
        with self.condition:
            while not self._has_read(newest):
                left_s = deadline - monotonic()
                if self._has_ended() or (left_s <= 0 and not self._ready):
                    place = self.cluster.told(self._place) or self._after
                    raise StoreUnavailable(
                        f"etcd does not tell what was committed after revision {place}",
                        hint="poll again; nothing is left out",
                    )
                if left_s <= 0:
                    break
                if not self.condition.wait(min(left_s, self.cluster.access.request_s_max)):
                    self.take_up_again()
            ready, self._ready = self._ready, []
            if self._lost is not None and not ready:
                raise self._lost
            if ready and (self._lost is not None or self._place < newest):
                self.wakeup.ring()  # what was read is given out first
            self.condition.notify_all()
        return [change for commit in ready for change in commit]

    def _has_read(self, newest: int) -> bool:
        return self._lost is not None or self._is_full() or (self._start > 0 and self._place >= newest)

    def _has_ended(self) -> bool:
        return self.is_closed

    def _is_full(self) -> bool:
        return len(self._ready) >= self.cluster.access.behind_count_max

    # -- in the thread ------------------------------------------------------------------------------------------------

    def create(self) -> dict[str, Any] | None:
        with self.condition:
            if self._lost is not None or self._is_full():
                return None
        if not self._start and not self._seek():
            return None
        self._half = (0, {})
        begin, end = self.cluster.layout.everything
        return {
            "key": packed(begin),
            "range_end": packed(end),
            "start_revision": str(self._start),
            "progress_notify": True,
        }

    def _seek(self) -> bool:
        """Whether the place is one that was given out; then it is known where the stream goes on behind it."""
        cluster = self.cluster
        deadline = cluster.deadline()
        cluster.open(deadline)
        if self._is_from_start:
            self._go_on(cluster.begun_at if cluster.is_copied else 0, cluster.begun_at + 1)
            return True
        newest = last_commit(cluster, 0, deadline)
        place = cluster.place(self._after) if newest else 0
        if place <= 0:
            self._lose(newest)
            return False
        self._place = place
        try:
            if last_commit(cluster, place, deadline) == place:
                self._go_on(place, place + 1)
            else:
                self._lose(last_commit(cluster, 0, deadline))
        except Answer as said:
            if said.is_compacted:
                self._compacted(oldest_kept(cluster, deadline))
            elif said.is_future:
                self._lose(last_commit(cluster, 0, deadline))
            else:
                raise
        return self._start > 0

    def take(self, told: dict[str, Any]) -> bool:
        if told.get("canceled"):
            if compact := int(told.get("compact_revision", 0)):
                self._compacted(compact)
                return False
            raise Answer(14, str(told.get("cancel_reason", "the watch was cancelled"))[:200])
        self._is_told_of_trouble = False
        events = told.get("events") or ()
        return all(self._take_event(event["kv"], event.get("type") == "DELETE") for event in events)

    def _take_event(self, kv: dict[str, Any], is_delete: bool) -> bool:
        """One event; False: enough is waiting to be read."""
        revision, key = int(kv["mod_revision"]), unpacked(kv["key"])
        if revision <= self._place:
            return True  # etcd repeats itself where it was interrupted
        if self._half[0] != revision:
            self._half = (revision, {})
        if key != self.cluster.layout.commit:
            self._half[1][key] = {} if is_delete else kv
            return True
        try:
            commit = decode(text_of(kv, revision, self.cluster.told))
            if commit.get("copied"):
                self._lose(revision)  # it replaced everything; whoever watched an empty store begins anew
                return False
            changes = self._changes(revision, commit, self._half[1])
        except (ValueError, KeyError, TypeError, MalformedRecord):
            self._lose(revision)  # what it said is in the records alone
            return False
        with self.condition:
            self._go_on(revision, revision + 1)
            if changes:
                self._ready.append(changes)
                self.wakeup.ring()
            self.condition.notify_all()
            return not self._is_full()

    def _changes(self, revision: int, commit: Any, puts: dict[bytes, dict[str, Any]]) -> list[Change]:
        told = self.cluster.told
        at, who, traces = commit["at"], commit["who"], commit["traces"]
        found = []
        for key in commit["keys"]:
            if key.startswith(self._prefix):
                value = traces.get(key)
                if value is None and (kv := puts.get(self.cluster.layout.record(key))):
                    value = value_of(key, text_of(kv, revision, told))
                found.append(Change(told(revision), at, who, key, value))
        return found

    def _go_on(self, place: int, start: int) -> None:
        with self.condition:
            self._place, self._start = place, start
            self.condition.notify_all()

    def _compacted(self, compact: int) -> None:
        """What is older than `compact` is gone; if nothing of it was ours, nothing is missing."""
        gone = last_commit(self.cluster, compact, self.cluster.deadline())
        if self._is_from_start and self._start <= self.cluster.begun_at + 1:
            self._go_on(gone, compact + 1)  # from the beginning means: from what is kept
        elif gone == self._place or (self._start and gone < self._place):
            self._go_on(self._place, compact + 1)
        else:
            self._lose(gone)

    def _lose(self, oldest: int) -> None:
        after, oldest = (self.cluster.told(self._place) if self._place else self._after), self.cluster.told(oldest)
        with self.condition:
            self._lost = Compacted(
                f"etcd has nothing that goes on from revision {after}; it has what came after {oldest}: "
                "it was compacted since, or is of another store",
                hint="read a snapshot and watch on from its revision",
                after=after,
                oldest=oldest,
            )
            self.wakeup.ring()
            self.condition.notify_all()

    def failed(self, why: CoordinationError | Answer | None) -> None:
        """Whoever waits is woken once: its poll says what is wrong, if it still is."""
        if why is not None and not self._is_told_of_trouble:
            self._is_told_of_trouble = True
            self.wakeup.ring()
