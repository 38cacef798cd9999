"""Transaction: run a function on what is known, commit it if that is true, else learn and run it again.

Law 1. What the function said counts only when one txn has found everything that it read to be so, at one revision.
Law 2. Each attempt has an id of its own. Nothing is sent twice before it is known what became of the first (`settle`).
Law 3. While an effect runs nobody commits, for the gate is there, and it is the effect's own until its lease ends.

Protocol: protocol/etcd.md, "Transaction".
"""

from __future__ import annotations

from _random import Random  # `random` loads a package of digests
from time import monotonic, sleep

from latchboard.clock import iso
from latchboard.codec import encode
from latchboard.errors import StoreBusy
from latchboard.store.checks import check_commit, check_value, check_who
from latchboard.store.etcd.facts import ABSENT, Asked, Facts
from latchboard.store.etcd.gateway import packed
from latchboard.store.etcd.layout import collection_of, opened, sealed
from latchboard.store.etcd.standin import settled
from latchboard.store.etcd.trouble import Answer, Lost
from latchboard.store.etcd.view import Enough, EtcdView
from latchboard.store.port import TRACE_PREFIX, Committed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from latchboard.store.etcd.cluster import Cluster
    from latchboard.store.etcd.facts import Fact
    from latchboard.store.port import View

_random = Random().random  # the module's own belongs to whoever seeded it
_PATIENT_COUNT = 3
_PAUSE_S, _PAUSE_S_MAX = 0.002, 0.05
_GATE_PAUSE_S, _GATE_PAUSE_S_MAX = 0.01, 0.2
"""Longer: whoever asks all the time keeps the effect from its end, which needs two round trips."""
_TRY_S_MIN = 0.1
"""With less time left nothing is sent any more: it would be said that etcd does not answer, or that nobody knows."""


class Plan:
    """What one run wants to commit.

    Attributes:
        id: Of this attempt.
        operations: Of a txn, the commit's record last.
        facts: What the records are once it is committed, but for the revision.
    """

    def __init__(self, cluster: Cluster, view: EtcdView, who: str) -> None:
        """Raises UsageError: it cannot be kept."""
        changes, properties = view.changes, cluster.properties
        check_commit(changes, properties.transaction_keys_max)
        texts = {k: None if v is None else check_value(k, v, properties.value_bytes_max) for k, v in changes.items()}
        check_who(who)
        self.id = cluster.new_id()
        self._stand_in = view.stand_in.digits if view.stand_in is not None else ""
        self._told = cluster.told
        layout = cluster.layout
        self.operations: list[dict[str, Any]] = []
        self.facts: dict[str, str | None] = {}
        traces = {}
        for key, text in texts.items():
            if key.startswith(TRACE_PREFIX):
                traces[key] = changes[key]
                continue
            self.facts[key] = text
            if text is None:
                self.operations.append({"request_delete_range": {"key": packed(layout.record(key))}})
            else:
                self.operations.append(_put(layout.record(key), sealed(text, self._stand_in)))
        for collection in sorted({collection_of(key) for key, text in self.facts.items() if text is None}):
            self.operations.append(_put(layout.deleted(collection), "{}"))
        told = {"id": self.id, "at": iso(view.now.wall_s), "who": who, "keys": list(changes), "traces": traces}
        self.operations.append(_put(layout.commit, sealed(encode(told), self._stand_in)))

    def known(self, revision: int) -> list[tuple[str, Fact]]:
        """The records as this commit left them."""
        found: list[tuple[str, Fact]] = []
        for key, text in self.facts.items():
            fact = ABSENT if text is None else (revision, opened(sealed(text, self._stand_in), revision, self._told))
            found.append((key, fact))
        return found


class Transaction:
    """One call of `transact`."""

    def __init__(
        self, cluster: Cluster, fn: Callable[[View], Any], who: str, effect: Callable[[], None] | None
    ) -> None:
        self._cluster = cluster
        self._fn = fn
        self._who = who
        self._effect = effect
        self._asked = Asked()
        self._facts = Facts()
        self._since = monotonic()
        self._deadline = self._since + cluster.access.call_s_max
        self._failed_count = 0
        self._is_gate_shut = False

    def run(self) -> Committed[Any]:
        """Until it is committed, the function's own exception counts, or the time is up."""
        self._cluster.open(self._deadline)
        while True:
            keys_max = self._cluster.properties.transaction_keys_max
            view = EtcdView(self._facts, self._cluster.known, self._asked, self._cluster.clock.now(), keys_max=keys_max)
            plan: Plan | None = None
            failure: Exception | None = None
            value: Any = None
            try:
                value = self._cluster.run(self._fn, view)
                if view.changes:
                    plan = Plan(self._cluster, view, self._who)
                else:
                    check_who(self._who)
            except Enough:
                self._look()
                self._wait()
                continue
            except Exception as exc:  # noqa: BLE001 - told when what it was told of is known to be true
                failure = exc
            if failure is not None or (plan is None and self._effect is None):
                revision = self._confirm(view)
                if revision is not None:
                    if failure is not None:
                        raise failure
                    return Committed(value, self._cluster.told(revision))
            else:
                revision = self._commit(plan) if self._effect is None else self._with_effect(plan, self._effect)
                if revision is not None:
                    return self._done(value, view, plan, revision)
            self._wait()

    def _done(self, value: Any, view: EtcdView, plan: Plan | None, revision: int) -> Committed[Any]:
        if plan is not None:
            self._cluster.known.note(plan.known(revision))
        told = self._cluster.told(revision)
        if view.stand_in is not None:
            view.stand_in.revision = told
            settled(view.changes)
            value = settled(value)
        return Committed(value, told)

    # -- the three ways to end a run ----------------------------------------------------------------------------------

    def _confirm(self, view: EtcdView) -> int | None:
        """The revision at which everything that was read is so; None: it is not, and now it is known."""
        if self._facts.at is not None and not view.has_guessed:
            return self._facts.last
        cluster = self._cluster
        asked = self._asked.spread()
        wanted = [{"request_range": {"key": packed(cluster.layout.commit), "keys_only": True}}]
        body = {"compare": cluster.reader.compares(asked, self._facts), "success": wanted, "failure": self._all(asked)}
        told = cluster.gateway.call("/v3/kv/txn", body, self._deadline)
        if told.get("succeeded"):
            return _revision(told["responses"][0])
        self._learn(told, asked)
        return None

    def _commit(self, plan: Plan | None) -> int | None:
        """The commit's revision; None: something was not so, and now it is known."""
        assert plan is not None
        return self._try(plan.id, self._cluster.layout.commit, plan.operations)

    def _with_effect(self, plan: Plan | None, effect: Callable[[], None]) -> int | None:
        """As `_commit`, with the effect in between."""
        from latchboard.store.etcd.gate import Gate
        from latchboard.store.etcd.snapshot import last_commit

        cluster = self._cluster
        gate = Gate(cluster, self._who, self._deadline)
        try:
            revision = self._try(gate.id, cluster.layout.gate, [gate.operation()])
        except Answer as said:
            if not said.is_lease_gone:
                raise
            cluster.gate_lease.forget()  # this process was stopped between asking for it and using it
            return None
        if revision is None:
            return None
        gate.run(effect, revision)
        committed = gate.leave([] if plan is None else plan.operations, "" if plan is None else plan.id, revision)
        return last_commit(cluster, 0, self._deadline) if plan is None else committed

    def _try(self, id_: str, key: bytes, operations: list[dict[str, Any]]) -> int | None:
        """One txn under every compare; `key` is what says `id_` when it was done."""
        cluster = self._cluster
        cluster.begin(self._deadline)
        asked = self._asked.spread()
        body = {
            "compare": [*cluster.reader.compares(asked, self._facts), cluster.no_gate(), cluster.fence.compare()],
            "success": operations,
            "failure": self._all(asked),
        }
        since = cluster.gateway.newest
        try:
            told = cluster.gateway.call_once("/v3/kv/txn", body, self._deadline)
        except Lost as exc:
            revision = cluster.fence.settle(key, id_, since, self._deadline, str(exc))
            if revision is None:
                self._facts = Facts()
            return revision
        if told.get("succeeded"):
            return int(told["header"]["revision"])
        self._learn(told, asked)
        return None

    def _look(self) -> None:
        """Read what was asked for so far, and commit nothing."""
        asked = self._asked.spread()
        self._learn(self._cluster.gateway.call("/v3/kv/txn", {"success": self._all(asked)}, self._deadline), asked)

    # -- learning -----------------------------------------------------------------------------------------------------

    def _all(self, asked: tuple[list[str], list[str]]) -> list[dict[str, Any]]:
        """What is to be read where a compare fails: everything asked for, and what every txn depends on."""
        layout = self._cluster.layout
        always = [{"request_range": {"key": packed(key)}} for key in (layout.gate, self._cluster.fence.key)]
        commit = {"request_range": {"key": packed(layout.commit), "keys_only": True}}
        return [*always, commit, *self._cluster.reader.ranges(*asked)]

    def _learn(self, told: dict[str, Any], asked: tuple[list[str], list[str]]) -> None:
        gate, fence, commit, *rest = told["responses"]
        shut_at = _revision(gate)
        self._is_gate_shut = shut_at > 0
        if self._cluster.gate_seen.is_over(shut_at):
            from latchboard.store.etcd.gate import open_gate

            open_gate(self._cluster, shut_at, self._deadline)
        self._cluster.fence.note(_revision(fence))
        facts = Facts(int(told["header"]["revision"]), _revision(commit))
        self._facts = self._cluster.reader.facts(rest, *asked, into=facts)
        self._cluster.known.note(self._facts.records.items())

    def _wait(self) -> None:
        """Before another run: not at all at first, which is how a function is told what it asked for."""
        self._failed_count += 1
        waited_s = monotonic() - self._since
        pause_s = self._pause_s()
        if monotonic() + pause_s + _TRY_S_MIN >= self._deadline:
            raise StoreBusy(
                "somebody's effect did not end" if self._is_gate_shut else
                f"others changed what this commit needs, {self._failed_count} times",
                hint="nothing was changed; try again",
                waited_s=round(waited_s, 3),
            )  # fmt: skip
        if pause_s:
            sleep(pause_s)

    def _pause_s(self) -> float:
        if self._is_gate_shut:
            return _random() * min(_GATE_PAUSE_S_MAX, _GATE_PAUSE_S * self._failed_count)
        if self._failed_count >= _PATIENT_COUNT:
            return _random() * min(_PAUSE_S_MAX, _PAUSE_S * self._failed_count)
        return 0.0


def _put(key: bytes, text: str) -> dict[str, Any]:
    return {"request_put": {"key": packed(key), "value": packed(text)}}


def _revision(answer: dict[str, Any]) -> int:
    """Of the one key that was ranged; 0: it is not there."""
    kvs = answer["response_range"].get("kvs")
    return int(kvs[0]["mod_revision"]) if kvs else 0
