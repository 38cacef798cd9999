"""Fence: a key that every txn compares, so that one that was sent and not answered can be ruled out.

Once the fence was put, a txn that compared the one before is either in the history already or will never be done. So
the history tells what became of it, and nothing is guessed.

Protocol: protocol/etcd.md, "When there is no answer".
"""

from __future__ import annotations

from time import monotonic, sleep

from latchboard.codec import decode, encode
from latchboard.errors import StoreError
from latchboard.store.etcd.errors import OutcomeUnknown
from latchboard.store.etcd.facts import compare
from latchboard.store.etcd.gateway import packed, unpacked
from latchboard.store.etcd.trouble import Answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.store.etcd.gateway import Gateway
    from latchboard.store.etcd.layout import Layout

_PAUSE_S = 0.02


class Fence:
    """One of a store's fences; some processes share it.

    Attributes:
        key: Where it is.
    """

    def __init__(self, gateway: Gateway, layout: Layout, number: int, name: str) -> None:
        self.key = layout.fence(number)
        self._gateway = gateway
        self._layout = layout
        self._name = name
        self._revision = 0

    def compare(self) -> dict[str, Any]:
        """It is as we know it."""
        return compare(self.key, self._revision)

    def note(self, revision: int) -> None:
        """What its mod_revision is; 0: it was never needed."""
        self._revision = revision

    def settle(self, key: bytes, id_: str, since: int, deadline: float, why: str) -> int | None:
        """What became of a txn that puts `id_` under `key` and was sent when `since` was the newest revision.

        Returns:
            The revision at which it was done; None: it was not, and will not be.

        Raises:
            OutcomeUnknown: Nobody can tell by the deadline.
        """
        while True:
            try:
                put = {"key": packed(self.key), "value": packed(encode({"id": self._name}))}
                told = self._gateway.call("/v3/kv/put", put, deadline)
                revision = int(told["header"]["revision"])
                self._revision = revision
                return self._find(key, id_, since, revision, deadline)
            except (StoreError, Answer) as exc:
                is_over = isinstance(exc, Answer) and exc.is_compacted
                if is_over or self._gateway.is_given_up or monotonic() >= deadline:
                    raise OutcomeUnknown(
                        f"etcd took a commit and did not say what became of it ({why})",
                        hint="look whether it stands before you do it again",
                    ) from exc
                sleep(_PAUSE_S)  # what is told at once is told again at once

    def _find(self, key: bytes, id_: str, since: int, until: int, deadline: float) -> int | None:
        first, end = self._layout.everything
        create = {"key": packed(first), "range_end": packed(end), "start_revision": str(since + 1)}
        stream = self._gateway.stream("/v3/watch", {"create_request": create}, deadline)
        found: int | None = None
        try:
            # What it waits for was committed before: of a member that is cut off meanwhile nothing comes any more.
            stream.hurry(min(self._gateway.access.request_s_max, deadline - monotonic()))
            for told in stream:
                if told.get("canceled"):
                    raise Answer(11, "required revision has been compacted")
                for event in told.get("events") or ():
                    kv = event["kv"]
                    at = int(kv["mod_revision"])
                    if unpacked(kv["key"]) == key and _id(kv) == id_:
                        found = at
                    if at >= until:
                        return found
        finally:
            stream.end()
        self._gateway.left(stream.endpoint)
        raise StoreError("the stream ended before the fence")


def _id(kv: dict[str, Any]) -> str:
    """The id that a commit or a gate says."""
    try:
        return str(decode(unpacked(kv.get("value", "")).partition(b"\n")[0]).get("id", ""))
    except ValueError:
        return ""
