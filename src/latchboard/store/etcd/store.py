"""EtcdStore: the store port over an etcd cluster.

Invariant: the records and the commit that made them are put by one txn, which compares everything that was read.

What few calls need (watches, bells, copies) is loaded by the first one that does: a hook makes one transaction in its
life.

Protocol: protocol/etcd.md.
"""

from __future__ import annotations

import os
from _weakref import ref

from latchboard.settings import Settings
from latchboard.store.checks import check_key
from latchboard.store.etcd.cluster import Cluster
from latchboard.store.etcd.transaction import Transaction
from latchboard.store.port import Properties

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from latchboard.clock import Clock
    from latchboard.errors import MalformedRecord
    from latchboard.store.copying import Whole
    from latchboard.store.etcd.access import Access
    from latchboard.store.etcd.bell import EtcdBell
    from latchboard.store.etcd.filling import Filling
    from latchboard.store.etcd.lately import Lately
    from latchboard.store.etcd.looking import Member
    from latchboard.store.etcd.relaying import Relaying
    from latchboard.store.etcd.watch import EtcdWatch
    from latchboard.store.port import Committed, Snapshot, View

    T = TypeVar("T")

TRANSACTION_KEYS_MAX = 100
"""etcd takes 128 operations in a txn: the commit's record, the gate and a mark for each collection are among them."""

_open_stores: set[ref[EtcdStore]] = set()  # a WeakSet would load modules that a hook has no time for


class EtcdStore:
    """A store below a prefix of an etcd cluster. Threads may share one; a forked child has connections of its own.

    Attributes:
        access: Which cluster and prefix.
    """

    def __init__(self, access: Access, *, clock: Clock, settings: Settings | None = None) -> None:
        """Nothing is connected yet.

        Args:
            access: Which cluster and prefix, as whom.
            clock: Times of commits.
            settings: Limits.
        """
        self.access = access
        self.properties = Properties(
            engine="etcd",
            spans_hosts=True,
            survives_restart=True,
            value_bytes_max=(settings or Settings()).value_bytes_max,
            transaction_keys_max=TRANSACTION_KEYS_MAX,
            runs_alone=False,
        )
        self._cluster = Cluster(access, clock, self.properties)
        _open_stores.add(ref(self, _open_stores.discard))

    def transact(
        self, fn: Callable[[View], T], *, who: str, durable: bool = False, effect: Callable[[], None] | None = None
    ) -> Committed[T]:
        # Whether or not it must be: etcd answers when most members have it on their disks.
        self._cluster.refuse_nesting("transaction")
        return Transaction(self._cluster, fn, who, effect).run()

    def read(self, *wanted: str, at: int | None = None) -> Snapshot:
        self._cluster.refuse_nesting("read")
        from latchboard.store.etcd.snapshot import read, read_past

        return read(self._cluster, wanted) if at is None else read_past(self._cluster, wanted, at)

    def watch(self, prefix: str, *, after: int) -> EtcdWatch:
        from latchboard.store.etcd.watch import EtcdWatch

        return EtcdWatch(self._cluster, prefix, after)

    def lately(self) -> Lately:
        """The end of the history, for who begins to look."""
        from latchboard.store.etcd.lately import Lately

        return Lately(self._cluster)

    def bell(self, key: str) -> EtcdBell:
        check_key(key)
        self._cluster.refuse_nesting("bell")
        from latchboard.store.etcd.bell import EtcdBell

        return EtcdBell(self._cluster, key)

    def present(self) -> str:
        """The id under which this process is known to be there; a record `processes/<id>` is, too.

        Raises:
            StoreError: Nobody can be sure of it.
        """
        return self._cluster.presence.id()

    def everything(self, damaged: list[MalformedRecord] | None = None) -> Whole:
        """All records, of one revision; those that cannot be read are added to `damaged`, where it is given."""
        from latchboard.store.etcd.filling import everything

        return everything(self._cluster, damaged)

    def members(self) -> list[Member]:
        """What each member of the cluster says of itself."""
        from latchboard.store.etcd.looking import members

        return members(self._cluster)

    def nearby(self) -> list[str]:
        """Prefixes near this one at which there seems to be a store, as far as we may look."""
        from latchboard.store.etcd.looking import nearby

        return nearby(self._cluster)

    def faults(self) -> dict[str, str]:
        """Keys below the prefix that are not what they should be, records left aside, and why."""
        from latchboard.store.etcd.looking import faults

        return faults(self._cluster)

    def store_id(self) -> str:
        """The store's; "": nobody has begun it. Raises StoreError, ProtocolError: it cannot be asked, or used."""
        self._cluster.open(self._cluster.deadline())
        return self._cluster.store_id

    def filling(self) -> Filling:
        """A copy into this prefix, which is no store yet."""
        from latchboard.store.etcd.filling import Filling

        return Filling(self._cluster)

    def relaying(self, path: str, on_activity: Callable[[], None]) -> Relaying:
        """What passes requests of this machine's processes on, at a socket; see `relaying`."""
        from latchboard.store.etcd.relaying import Relaying

        return Relaying(self._cluster.gateway, path, on_activity)

    def leave(self) -> None:
        """End this process's presence at once: it ends itself. At most a second, and never an error."""
        self._cluster.presence.end()

    def give_up(self) -> None:
        """This process ends: end every call that nobody answers, now and later, as if its time were up.

        From any thread; again and again until none is left.
        """
        self._cluster.gateway.give_up()

    def close(self) -> None:
        """End this process's presence, and close the connections. Watches and bells have their own."""
        self._cluster.close()

    def after_fork(self) -> None:
        """In a forked child: nothing of it is the parent's."""
        self._cluster.after_fork()


def _after_fork() -> None:
    for one in list(_open_stores):
        if (store := one()) is not None:
            store.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
