"""Cluster: what all parts of one store share: the way to it, its keys, what is known of it.

Protocol: protocol/etcd.md.
"""

from __future__ import annotations

import os
from _thread import RLock, get_ident
from time import monotonic

from latchboard.codec import decode, encode
from latchboard.errors import ProtocolError, UnsupportedVersion, UsageError
from latchboard.store.etcd.facts import Known, Reader, compare
from latchboard.store.etcd.fence import Fence
from latchboard.store.etcd.gate import GateLease, GateSeen
from latchboard.store.etcd.gateway import Gateway, packed, unpacked
from latchboard.store.etcd.layout import FORMAT, Layout
from latchboard.store.etcd.presence import Presence
from latchboard.store.etcd.version import check_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from latchboard.clock import Clock
    from latchboard.store.etcd.access import Access
    from latchboard.store.port import Properties, View


class Cluster:
    """One store's part of a cluster, as this process has it.

    Attributes:
        access: How it is reached, and the limits.
        clock: Times of commits.
        properties: Of the store.
        gateway: Sends.
        layout: Where everything is.
        reader: Makes facts of answers.
        known: Records that are remembered.
        fence: Rules out what was not answered.
        gate_lease: What an effect's gate hangs on.
        gate_seen: Somebody else's gate.
        presence: This process's.
        begun_at: etcd's revision from which on the store is what it is; 0: nobody has begun it, as far as is known.
        is_copied: It began with what was copied into it.
        store_id: Of the format, as soon as it was read.
    """

    def __init__(self, access: Access, clock: Clock, properties: Properties) -> None:
        self.access = access
        self.clock = clock
        self.properties = properties
        self.gateway = Gateway(access)
        self.layout = Layout(access.prefix)
        self.reader = Reader(self.layout, self.told)
        self.known = Known()
        self._base: int | None = None  # not known: there is no format yet
        self.begun_at = 0
        self.is_copied = False
        self.store_id = ""
        self._begin_alone()

    def _begin_alone(self) -> None:
        """What no other process may have the same of."""
        self._name = os.urandom(8).hex()
        self._count = 0
        self._lock = RLock()
        self._inside: set[int] = set()  # threads in which a transaction's function runs
        self._is_open = self._is_begun = False
        self.fence = Fence(self.gateway, self.layout, int(self._name, 16), self._name)
        self.gate_lease = GateLease()
        self.gate_seen = GateSeen()
        self.presence = Presence(self)

    def new_id(self) -> str:
        """One that no other attempt of anybody has."""
        with self._lock:
            self._count += 1
            return f"{self._name}-{self._count}"

    def deadline(self) -> float:
        """When a call that begins now must have ended, monotonic seconds."""
        return monotonic() + self.access.call_s_max

    def no_gate(self) -> dict[str, Any]:
        """The compare that nobody's effect runs."""
        return compare(self.layout.gate, 0)

    def run(self, fn: Callable[[View], Any], view: View) -> Any:
        """Run a transaction's function in this thread."""
        thread = get_ident()
        self._inside.add(thread)
        try:
            return fn(view)
        finally:
            self._inside.discard(thread)

    def refuse_nesting(self, what: str) -> None:
        """Raises UsageError inside a transaction's function."""
        if get_ident() in self._inside:
            raise UsageError(f"a {what} inside a transaction", hint="use the view; nothing was changed by this call")

    # -- whose keys they are ------------------------------------------------------------------------------------------

    def open(self, deadline: float) -> None:
        """Look once who answers, and, until somebody has begun the store, whether the prefix is ours.

        Raises:
            VersionRefused, ProtocolError, StoreError: It must not be used, or cannot be reached.
        """
        if self._is_begun:
            return
        if not self._is_open:
            version = self.gateway.version(deadline)
            check_version(version, self.access.endpoints, takes_any=self.access.takes_any_version)
        begin, end = self.layout.everything
        body = {
            "success": [
                {"request_range": {"key": packed(self.layout.format)}},
                {"request_range": {"key": packed(begin), "range_end": packed(end), "limit": "1", "keys_only": True}},
            ]
        }
        told = self.gateway.call("/v3/kv/txn", body, deadline)
        written, some = (answer["response_range"].get("kvs") or [] for answer in told["responses"])
        if written:
            self._take_format(written[0])
        elif some:
            raise ProtocolError(
                f"the keys below {self.access.prefix} are somebody else's: there is no {self.access.prefix}/format",
                hint="see whether the setting `store` names the right prefix; a new store needs one that nobody uses",
                prefix=self.access.prefix,
            )
        self._is_open = True

    def begin(self, deadline: float) -> None:
        """Before the first commit: see to it that the format is written."""
        if self._is_begun:
            return
        store_id = os.urandom(16).hex()
        told = encode({"format": FORMAT, "store_id": store_id, "base": 0})
        key = self.layout.format
        body = {
            "compare": [compare(key, 0)],
            "success": [{"request_put": {"key": packed(key), "value": packed(told)}}],
            "failure": [{"request_range": {"key": packed(key)}}],
        }
        answer = self.gateway.call("/v3/kv/txn", body, deadline)
        if answer.get("succeeded"):
            self.begun_at, self.store_id = int(answer["header"]["revision"]), store_id
            self._base, self._is_begun = 0, True
        else:
            self._take_format(answer["responses"][0]["response_range"]["kvs"][0])

    def _take_format(self, kv: dict[str, Any]) -> None:
        """Note what the store is."""
        data = unpacked(kv.get("value", ""))
        self._base, copied_from = self.read_format(data)
        self.is_copied = copied_from is not None
        self.store_id = str(decode(data).get("store_id", ""))
        self.begun_at = int(kv["mod_revision"])
        self._is_begun = True

    def read_format(self, data: bytes) -> tuple[int, str | None]:
        """The base, and from where the store was copied, if it was.

        Raises:
            UnsupportedVersion: Another format, or none.
            ProtocolError: A copy into it was not finished.
        """
        try:
            told = decode(data)
        except ValueError:
            told = {}
        found, base = told.get("format"), told.get("base", 0)
        if found != FORMAT or type(base) is not int or base < 0:
            raise UnsupportedVersion(
                f"{self.access.prefix} was written in format {found!r:.40}; this version knows {FORMAT}",
                hint="use the version of Latchboard that wrote it",
                found=found,
                known=FORMAT,
            )
        if told.get("copying"):
            raise ProtocolError(
                f"a copy into {self.access.prefix} was not finished: it is no store yet",
                hint="run `latchboard store copy` again",
                prefix=self.access.prefix,
            )
        return base, told.get("copied_from")

    def told(self, revision: int) -> int:
        """A revision of etcd as the store tells it: what was copied into it had revisions already; 0: there is none.

        Raises:
            StoreError, ProtocolError: It must be looked up, and cannot.
        """
        return revision + self._found_base() if revision else 0

    def place(self, told: int) -> int:
        """The revision of etcd that is told so; 0 or less: it was before what was copied."""
        return told - self._found_base()

    def _found_base(self) -> int:
        """Whoever met a commit can look: the format was there before it."""
        if self._base is None:
            body = {"key": packed(self.layout.format)}
            kvs = self.gateway.call("/v3/kv/range", body, self.deadline()).get("kvs")
            if not kvs:
                raise ProtocolError(
                    f"{self.access.prefix}/format is gone: its tokens cannot be told",
                    hint="restore etcd from a snapshot",
                    prefix=self.access.prefix,
                )
            self._take_format(kvs[0])
        assert self._base is not None
        return self._base

    # -- ending -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the presence, and close the connections; the next call opens new ones."""
        self.presence.end()
        self.gateway.close()

    def after_fork(self) -> None:
        """In a forked child: nothing of it is the parent's."""
        self.gateway.after_fork()
        self.known.after_fork()
        self._begin_alone()
