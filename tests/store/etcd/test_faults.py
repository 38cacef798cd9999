"""What happens to a cluster: killed, stopped, without most members, compacted. Nothing hangs, nothing is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from latchboard.clock import SystemClock
from latchboard.errors import Compacted, StoreError, StoreUnavailable
from latchboard.store.etcd import gate, gateway
from latchboard.store.etcd.access import Access
from latchboard.store.etcd.errors import OutcomeUnknown
from latchboard.store.etcd.gateway import Gateway, packed
from latchboard.store.etcd.store import EtcdStore
from latchboard.store.etcd.trouble import Answer
from tests.awake import Awake
from tests.process.nursery import until
from tests.store.etcd.lossy import DONE, Lossy
from tests.store.etcd.mute import Mute
from tests.store.etcd.server import Place
from tests.store.etcd.test_suite import compact

if TYPE_CHECKING:
    from latchboard.store.port import Change, View, Watch

pytestmark = [pytest.mark.process, pytest.mark.slow]

Cluster = Callable[..., Place]
LATE_S = 2.0
"""How much later than its limit a call may end on a busy machine, while the process runs."""


def add(view: View) -> int:
    n = int((view.get("agents/count") or {"n": 0})["n"]) + 1
    view.put("agents/count", {"n": n, "token": view.revision})
    return n


def count(store: EtcdStore) -> int:
    return int((store.read("agents/count").get("agents/count") or {"n": 0})["n"])


class Writer:
    """A thread that counts in the store until it is told to end, and knows what it was told."""

    def __init__(self, store: EtcdStore, pause_s: float = 0.0) -> None:
        """`pause_s`: between two calls."""
        self.store = store
        self._pause_s = pause_s
        self.done: list[tuple[int, int]] = []  # what it counted, and the revision
        self.failed: list[StoreError] = []
        self.slowest_s = self.gap_s = 0.0  # of one call; between two that went well
        self._awake = Awake()
        self._counted = threading.Condition()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        last = monotonic()
        while not self._over.wait(self._pause_s):
            since = self._awake.s
            try:
                done = self.store.transact(add, who="writer")
            except StoreError as exc:
                self.failed.append(exc)
            else:
                self.gap_s, last = max(self.gap_s, monotonic() - last), monotonic()
                with self._counted:
                    self.done.append((done.value, done.revision))
                    self._counted.notify_all()
            self.slowest_s = max(self.slowest_s, self._awake.s - since)

    def wait_for(self, more: int) -> None:
        with self._counted:
            target = len(self.done) + more
            assert self._counted.wait_for(lambda: len(self.done) >= target, 60)

    def end(self) -> None:
        self._over.set()
        self._thread.join()
        self._awake.close()


def look(store: EtcdStore) -> list[Change]:
    watch = store.watch("", after=0)
    try:
        return watch.poll()
    finally:
        watch.close()


def seen(watch: Watch, until: int) -> list[Change]:
    found: list[Change] = []
    while not found or found[-1].revision < until:
        found += watch.poll()
    return found


def test_killed_and_restarted_server_loses_nothing_and_repeats_nothing(cluster: Cluster) -> None:
    place = cluster()
    access = place.access(call_s_max=60.0)
    store, other = (EtcdStore(access, clock=SystemClock()) for _ in range(2))
    watch = other.watch("agents/", after=0)
    writer = Writer(store)

    for _ in range(3):
        writer.wait_for(100)
        place.members[0].kill()
        place.restart(place.members[0])
    writer.wait_for(100)
    writer.end()

    changes = seen(watch, writer.done[-1][1])
    unknown = [error for error in writer.failed if isinstance(error, OutcomeUnknown)]
    numbers = [(change.value or {})["n"] for change in changes]
    assert writer.failed == unknown  # a restart takes less than a call's limit
    assert numbers == list(range(1, len(numbers) + 1))
    assert {(n, revision) for n, revision in writer.done} <= {((c.value or {})["n"], c.revision) for c in changes}
    assert len(numbers) <= len(writer.done) + len(unknown)
    assert [(c.value or {})["token"] for c in changes] == [c.revision for c in changes]
    watch.close()
    store.close()
    other.close()


def test_gate_whose_lease_begins_anew_all_the_time_keeps_nobody_for_longer_than_its_owner_may_count_on_it(
    etcd: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "GATE_TTL_S", 1.0)
    access = etcd.access()
    first, second = (EtcdStore(access, clock=SystemClock()) for _ in range(2))
    first.transact(add, who="a")
    lives = second._cluster.gateway.call("/v3/lease/grant", {"TTL": "600", "ID": "0"}, monotonic() + 10)["ID"]
    key = packed(second._cluster.layout.gate)
    put = {"key": key, "value": packed("{}"), "lease": lives}
    second._cluster.gateway.call("/v3/kv/put", put, monotonic() + 10)
    since = monotonic()

    with Awake() as took:
        done = first.transact(add, who="a")

        assert took.s < 1.0 + LATE_S
    assert done.value == 2
    assert monotonic() - since >= 1.0
    first.close()
    second.close()


def test_gate_that_was_opened_over_its_owner_is_not_left_by_it(etcd: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    access = etcd.access()
    owner, other = (EtcdStore(access, clock=SystemClock()) for _ in range(2))
    owner.transact(add, who="a")

    def effect() -> None:
        monkeypatch.setattr(gate, "GATE_TTL_S", 0.1)
        other.transact(lambda view: view.put("agents/b", {}), who="b")

    with pytest.raises(StoreError, match="was not recorded"):
        owner.transact(add, who="a", effect=effect)

    assert count(owner) == 1
    owner.close()
    other.close()


@pytest.mark.soak  # of `make test` is test_quorum.py, which makes more kinds of calls
def test_without_most_members_calls_end_in_time_and_say_so(cluster: Cluster) -> None:
    place = cluster(3)
    access = place.access(call_s_max=4.0)
    store = EtcdStore(access, clock=SystemClock())
    store.transact(add, who="a")
    watch, bell = store.watch("", after=0), store.bell("agents/count")
    assert len(watch.poll()) == 1

    for member in place.members[1:]:
        member.kill()

    calls: list[Callable[[], Any]] = [
        lambda: store.transact(add, who="a"),
        lambda: store.transact(add, who="a", effect=lambda: None),
        lambda: store.read("agents/count"),
        lambda: store.transact(lambda view: view.get("agents/count"), who="a"),
        lambda: look(store),
        lambda: store.bell("agents/other"),
        watch.poll,
    ]
    for call in calls:
        with Awake() as took:
            with pytest.raises(StoreUnavailable) as caught:
                call()
            assert took.s < access.call_s_max + LATE_S
        assert caught.value.exit_status == 13
    for member in place.members[1:]:
        place.restart(member)
    assert count(store) in (1, 2, 3)  # those that were not answered
    before = count(store)
    assert store.transact(add, who="a").value == before + 1
    assert watch.poll()[-1].value == store.read("agents/count").get("agents/count")
    watch.close()
    bell.close()
    store.close()


def test_killed_leader_and_stopped_member_are_left_for_another(cluster: Cluster) -> None:
    place = cluster(3)
    access = place.access()
    store, other = (EtcdStore(access, clock=SystemClock()) for _ in range(2))
    watch = other.watch("agents/", after=0)
    writer = Writer(store)
    writer.wait_for(20)

    for number, harm in enumerate([signal.SIGSTOP, signal.SIGKILL, signal.SIGSTOP]):
        member = place.members[number]
        if harm == signal.SIGKILL:
            member.kill()
        else:
            member.signal(harm)
        writer.wait_for(20)
        if harm == signal.SIGKILL:
            place.restart(member)
        else:
            member.signal(signal.SIGCONT)
        writer.wait_for(20)
    writer.end()

    changes = seen(watch, writer.done[-1][1])
    assert [(c.value or {})["n"] for c in changes] == list(range(1, len(changes) + 1))
    assert len(writer.done) <= len(changes) <= len(writer.done) + len(writer.failed)
    assert writer.slowest_s < access.call_s_max + LATE_S
    assert all(isinstance(error, StoreUnavailable) for error in writer.failed)
    watch.close()
    store.close()
    other.close()


class Hurried(Access):
    """One whose requests have a limit of their own, and no less time to be made again."""

    __slots__ = ("_request_s_max",)

    def __init__(self, address: str, request_s_max: float) -> None:
        super().__init__(address)
        self._request_s_max = request_s_max
        self.call_s_max = 30.0

    @property
    def request_s_max(self) -> float:
        return self._request_s_max


@pytest.mark.parametrize("has_another", [False, True])
def test_member_that_says_no_more_while_it_is_asked_what_became_of_a_commit_keeps_nobody(
    has_another: bool, etcd: Place
) -> None:
    with Mute(etcd.members[0].client) as mute, Awake() as awake:
        access = Hurried(etcd.access().address, request_s_max=0.5)
        access.takes_any_version = True
        EtcdStore(access, clock=SystemClock()).transact(add, who="a")
        access.endpoints = (f"http://{mute.address}", *(access.endpoints if has_another else ()))
        store = EtcdStore(access, clock=SystemClock())
        lossy = Lossy(store)
        done = 1
        while not mute.watch_count:  # where nobody came to ask in time, nobody was kept
            store.read("wide")
            lossy.lose(DONE)
            access.call_s_max = 30.0 if has_another else 2.0
            since_s = awake.s
            if has_another:
                assert store.transact(add, who="a").value == done + 1
            else:
                with pytest.raises(OutcomeUnknown):
                    store.transact(add, who="a")
            took_s = awake.s - since_s
            access.call_s_max = 30.0
            done = count(store)

        assert took_s < 2.0 + LATE_S
        store.close()


def test_past_is_not_asked_for_ever_of_a_member_that_says_no_more(cluster: Cluster) -> None:
    place = cluster()
    access = place.access()
    honest = EtcdStore(access, clock=SystemClock())
    first, second = (honest.transact(add, who="a").revision for _ in range(2))
    compact(access, second)
    honest.close()
    with Mute(place.members[0].client) as mute:
        access.endpoints = (f"http://{mute.address}",)
        store = EtcdStore(access, clock=SystemClock())
        store.read("wide")
        access.call_s_max = 1.0
        with Awake() as took:
            # It may say how far it has forgotten in the one piece that comes through.
            with pytest.raises((StoreUnavailable, Compacted)):
                store.read("agents/", at=first)

            assert took.s < access.call_s_max + LATE_S
        store.close()


def test_server_that_is_not_there_is_named_within_the_limit(cluster: Cluster) -> None:
    place = cluster()
    access = place.access(call_s_max=1.0)
    place.members[0].kill()
    store = EtcdStore(access, clock=SystemClock())

    for call in (lambda: store.transact(add, who="a"), lambda: store.read("wide")):
        with Awake() as took:
            with pytest.raises(StoreUnavailable, match=access.endpoints[0]):
                call()
            assert took.s < access.call_s_max + LATE_S
    store.close()


def test_compaction_under_a_watcher_that_has_read_everything_is_nothing_to_it(cluster: Cluster) -> None:
    place = cluster()
    access = place.access()
    store = EtcdStore(access, clock=SystemClock())
    watch = store.watch("agents/", after=0)
    revision = 0
    for _ in range(20):
        revision = store.transact(add, who="a").revision
    assert len(watch.poll()) == 20

    compact(access, revision)
    store.transact(add, who="a")

    assert [(c.value or {})["n"] for c in watch.poll()] == [21]
    late = store.watch("agents/", after=revision - 5)
    with pytest.raises(Compacted):
        late.poll()
    place.members[0].kill()
    place.restart(place.members[0])
    store.transact(add, who="a")
    assert [(c.value or {})["n"] for c in watch.poll()] == [22]
    watch.close()
    late.close()
    store.close()


@pytest.mark.parametrize("stopped_s", [pytest.param(12.0, marks=pytest.mark.soak), 3.0])
def test_server_that_is_stopped_under_load_keeps_nobody_beyond_the_limit_and_loses_nothing(
    stopped_s: float, cluster: Cluster
) -> None:
    place = cluster()
    access = place.access(call_s_max=stopped_s / 1.2)
    stores = [EtcdStore(access, clock=SystemClock()) for _ in range(3)]
    writers = [Writer(store, pause_s=0.005) for store in stores]
    for writer in writers:
        writer.wait_for(10)

    place.members[0].signal(signal.SIGSTOP)
    try:
        over = threading.Event()
        over.wait(stopped_s)  # it is the time that is tested
    finally:
        place.members[0].signal(signal.SIGCONT)
    for writer in writers:
        writer.wait_for(10)
        writer.end()

    limit_s, access.call_s_max = access.call_s_max, 60.0
    done = [one for writer in writers for one in writer.done]
    watch = stores[0].watch("agents/", after=0)
    changes = seen(watch, max(revision for _, revision in done))
    failed = [error for writer in writers for error in writer.failed]
    unknown = [error for error in failed if isinstance(error, OutcomeUnknown)]
    numbers = [(change.value or {})["n"] for change in changes]
    assert numbers == list(range(1, len(numbers) + 1))
    assert {(n, revision) for n, revision in done} <= {((c.value or {})["n"], c.revision) for c in changes}
    assert len(done) <= len(changes) <= len(done) + len(unknown)
    assert failed
    assert all(isinstance(error, StoreUnavailable) for error in failed)
    assert all(writer.slowest_s < limit_s + LATE_S for writer in writers)
    watch.close()
    for store in stores:
        store.close()


def test_bell_rings_over_a_restart(cluster: Cluster) -> None:
    place = cluster()
    store = EtcdStore(place.access(), clock=SystemClock())
    store.transact(add, who="a")
    bell = store.bell("agents/count")

    place.members[0].kill()
    place.restart(place.members[0])

    assert SystemClock().wait([bell], 30.0)
    bell.clear()
    store.transact(add, who="a")
    assert SystemClock().wait([bell], 30.0)
    bell.close()
    store.close()


def test_process_that_dies_in_an_effect_keeps_others_for_the_length_of_a_lease(cluster: Cluster) -> None:
    place = cluster()
    access = place.access(call_s_max=20.0)
    dying, other = (EtcdStore(access, clock=SystemClock()) for _ in range(2))
    shut = threading.Event()
    go_on = threading.Event()

    def effect() -> None:
        shut.set()
        go_on.wait()

    stopped = threading.Thread(target=lambda: _fails(lambda: dying.transact(add, who="a", effect=effect)))
    stopped.start()
    shut.wait()

    assert other.transact(add, who="b").value == 1  # behind the end of the lease
    go_on.set()
    stopped.join()

    assert count(other) == 1
    other.close()
    dying.close()


def _fails(call: Callable[[], object]) -> None:
    with pytest.raises(StoreError, match="done and was not recorded"):
        call()


def _reads(one: Gateway) -> bool:
    """Whether a call is answered."""
    try:
        one.call("/v3/kv/range", {"key": packed("/tests")}, monotonic() + one.access.call_s_max)
    except StoreUnavailable:
        return False
    return True


def _is_refused(one: Gateway) -> bool:
    """Whether a call is answered, with no."""
    try:
        one.call("/v3/lease/revoke", {"ID": "1"}, monotonic() + one.access.call_s_max)
    except StoreUnavailable:
        return False
    except Answer as said:
        return said.is_lease_gone
    return False


@pytest.mark.parametrize("is_answered", [_reads, _is_refused])
def test_calls_behind_one_that_nobody_answered_are_short_until_one_is_answered(
    is_answered: Callable[[Gateway], bool], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "_GIVEN_UP_S", 600.0)
    place = cluster()
    one = Gateway(place.access(call_s_max=1.0))
    waited: list[float] = []

    def is_unanswered() -> bool:
        with pytest.raises(StoreUnavailable) as caught:
            one.call("/v3/kv/range", {"key": packed("/tests")}, monotonic() + 1.0)
        waited.append(caught.value.fields["waited_s"])
        return True

    place.members[0].signal(signal.SIGSTOP)
    assert is_unanswered()
    assert is_unanswered()
    place.members[0].signal(signal.SIGCONT)
    until(lambda: is_answered(one), "it answers again")
    place.members[0].signal(signal.SIGSTOP)
    assert is_unanswered()
    one.close()

    first, behind, again = waited
    assert first >= 1.0
    assert behind < 1.0
    assert again >= 1.0
