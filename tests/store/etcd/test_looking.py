"""How a cluster stands, and whether what lies below a prefix is a store's, on a real etcd."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from latchboard.codec import encode
from latchboard.compose import Latchboard, store_looking
from latchboard.settings import Settings
from latchboard.store.etcd import looking
from latchboard.store.etcd.access import Access
from latchboard.store.etcd.gateway import Gateway, packed
from latchboard.store.etcd.looking import Member
from latchboard.store.etcd.store import EtcdStore
from latchboard.testing import ManualClock
from tests.awake import Awake
from tests.process.nursery import until
from tests.store.etcd.server import Place
from tests.store.etcd.test_access import let_in
from tests.store.etcd.test_faults import Cluster
from tests.store.etcd.test_suite import compact
from tests.surface.cli.harness import validate


@pytest.fixture
def board(etcd: Place, tmp_path: Path) -> Iterator[Latchboard]:
    clock = ManualClock()
    store = EtcdStore(etcd.access(), clock=clock)
    made = Latchboard(tmp_path, settings=Settings(), clock=clock, store=store, publishes=False)
    made.board.update("a", "at work", [])
    yield made
    made.close()
    store.close()


def put(board: Latchboard, key: str | bytes, text: str) -> None:
    store: Any = board.store
    gateway = Gateway(store.access)
    at = f"{store.access.prefix}/".encode() + (key.encode() if isinstance(key, str) else key)
    gateway.call("/v3/kv/put", {"key": packed(at), "value": packed(text)}, monotonic() + 10)
    gateway.close()


def keys(board: Latchboard) -> dict[str, str]:
    found = store_looking.check(board)
    validate("store-check", {"format": 1, **found})
    return {one["key"]: one["severity"] for one in found["findings"]}


def at(etcd: Place, folder: Path, prefix: str) -> Latchboard:
    clock = ManualClock()
    store = EtcdStore(etcd.access(prefix), clock=clock)
    return Latchboard(folder, settings=Settings(), clock=clock, store=store, publishes=False)


def test_a_prefix_with_nothing_at_it_is_told_with_the_stores_nearby(etcd: Place, tmp_path: Path) -> None:
    team = uuid.uuid4().hex
    for name in ("project", "other"):
        board = at(etcd, tmp_path, f"{team}/{name}")
        board.agent("a").lock("src/format", bound="agent")  # has a record whose key ends so, too
        assert (store_looking.status(board)["is_vacant"], store_looking.status(board)["nearby"]) == (False, [])

    for mistyped in ("projct", "project/records/x"):
        found = store_looking.status(at(etcd, tmp_path, f"{team}/{mistyped}"))
        validate("store-status", {"format": 1, **found})
        assert found["is_healthy"] and found["is_vacant"]
        expected = ["other", "project"] if mistyped == "projct" else []
        assert found["nearby"] == [f"/tests/{team}/{name}" for name in expected]

    inside = store_looking.status(at(etcd, tmp_path, f"{team}/project/x"))
    assert inside["nearby"] == [f"/tests/{team}/project"]


def test_stores_nearby_are_looked_for_among_so_many_keys_and_not_more(
    etcd: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = uuid.uuid4().hex
    for name in ("one", "two"):
        at(etcd, tmp_path, f"{team}/{name}").agent("a").lock("x", bound="agent")
    monkeypatch.setattr(looking, "_NEARBY_KEYS_MAX", 3)

    assert store_looking.status(at(etcd, tmp_path, f"{team}/three"))["nearby"] == [f"/tests/{team}/one"]


def test_whoever_may_not_look_around_is_told_that_there_is_nothing_and_no_more(
    cluster: Cluster, tmp_path: Path
) -> None:
    place = cluster()
    at(place, tmp_path, "team/other").agent("a").lock("x", bound="agent")
    access = place.access("team/mine")
    let_in(access)
    store = EtcdStore(access, clock=ManualClock())

    found = store_looking.status(Latchboard(tmp_path, settings=Settings(), store=store, publishes=False))

    assert (found["trouble"], found["is_vacant"], found["nearby"]) == ([], True, [])


def test_member_that_leads(board: Latchboard) -> None:
    found = store_looking.status(board)

    validate("store-status", {"format": 1, **found})
    assert found["is_healthy"], found["trouble"]
    assert (found["engine"], found["revision"] > 0, bool(found["store_id"])) == ("etcd", True, True)
    (member,) = found["members"]
    assert member["is_leader"]
    assert member["version"].startswith("3.")
    assert member["db_bytes"] > 0
    assert keys(board) == {}


def test_what_no_commit_has_put_is_critical(board: Latchboard) -> None:
    put(board, "records/theirs/b", "{}")
    put(board, "records/agents/c", "no JSON")
    put(board, "stranger", "{}")
    put(board, "another", "{}")
    put(board, "records0", "{}")
    put(board, b"strange\xff", "{}")

    assert keys(board) == {
        "agents/c": "critical",
        "records/theirs/b": "critical",
        "records/agents/c": "critical",
        "stranger": "critical",
        "another": "critical",
        "records0": "critical",
        "strange\\xff": "critical",
    }
    assert not store_looking.status(board)["is_healthy"]


def test_folder_whose_lock_cannot_be_read_is_still_one(board: Latchboard) -> None:
    board.agent("a").lock("src/")
    put(board, "records/locks/src/", "{")

    assert keys(board) == {"locks/src/": "critical", "records/locks/src/": "critical"}


def test_what_a_store_has_besides_its_records_is_no_stranger(board: Latchboard) -> None:
    board.store.transact(lambda view: view.delete("agents/a"), who="a")
    put(board, "fence/3", "{}")
    put(board, "gate", "{}")

    assert keys(board) == {}


def test_member_that_knows_no_leader_can_not_be_used() -> None:
    told = {"version": "3.5.30", "header": {"member_id": "7"}}

    alone, follower, leader = (Member("http://h:1", {**told, "leader": one}) for one in ("0", "8", "7"))

    assert (alone.trouble, alone.can_serve, alone.is_leader) == ("it knows no leader", False, False)
    assert (follower.trouble, follower.can_serve, follower.is_leader) == ("", True, False)
    assert (leader.trouble, leader.can_serve, leader.is_leader) == ("", True, True)
    assert Member("http://h:1", {"errors": ["a", "b"]}).trouble == "a; b"


def test_store_without_a_commit_has_no_fault(etcd: Place) -> None:
    store = EtcdStore(etcd.access(), clock=ManualClock())

    assert store.faults() == {}
    assert store.everything().records == {}
    store.close()


def test_commits_are_counted_and_not_what_is_in_them(board: Latchboard) -> None:
    before = store_looking.check(board)["commit_count"]
    board.store.transact(lambda view: [view.put(f"theirs/{name}", {}) for name in "ab"], who="a")

    assert store_looking.check(board)["commit_count"] == before + 1


def test_commit_that_says_no_time_is_no_fault_of_a_clock(board: Latchboard) -> None:
    told = {"id": "1", "at": "yesterday", "who": "a", "keys": ["log/x"], "traces": {"log/x": {}}}
    put(board, "commit", encode(told))

    assert keys(board) == {}


def test_member_that_is_gone_keeps_nobody_from_looking(board: Latchboard) -> None:
    store: Any = board.store
    store.access.endpoints = (*store.access.endpoints, "http://127.0.0.1:1")

    found = store_looking.status(board)

    assert found["record_count"] > 0
    assert [bool(one["trouble"]) for one in found["members"]] == [False, True]
    assert not found["is_healthy"]
    assert keys(board) == {"http://127.0.0.1:1": "warn"}


def test_commit_that_is_none(board: Latchboard) -> None:
    put(board, "commit", '{"id":"1"}')
    assert keys(board)["commit"] == "critical"
    put(board, "commit", "no JSON")
    assert keys(board)["commit"] == "critical"


def test_commit_is_looked_at_though_etcd_forgets_meanwhile(board: Latchboard, monkeypatch: pytest.MonkeyPatch) -> None:
    store: Any = board.store

    def forgets(*arguments: Any) -> Any:
        found = uncompacted(*arguments)
        for _ in range(2):
            revision = store.transact(lambda view: view.put("agents/a", {}), who="a").revision
        compact(store.access, revision)
        return found

    uncompacted = looking.uncompacted
    monkeypatch.setattr(looking, "uncompacted", forgets)

    assert store.faults() == {}


def test_presence_is_no_record_of_a_commit(board: Latchboard) -> None:
    store: Any = board.store
    store.present()

    assert keys(board) == {}
    assert store_looking.status(board)["present_count"] == 1
    store.close()


def test_clock_that_is_ahead_is_told_by_a_machine_whose_clock_is_not(board: Latchboard, etcd: Place) -> None:
    store: Any = board.store
    ahead = ManualClock()
    ahead.jump_wall(30.0)
    other = etcd.store(store.access, ahead)
    other.transact(lambda view: view.put("theirs/a", {}), who="builder")
    other.close()

    (told,) = store_looking.check(board)["findings"]

    assert (told["severity"], told["key"]) == ("warn", "clocks")
    assert told["text"].startswith("the clock of builder is ahead of this machine's")


def test_clock_of_the_only_machine_is_not_judged(tmp_path: Path) -> None:
    """Whoever put it right has commits of the future behind him."""
    ahead = ManualClock()
    ahead.jump_wall(30.0)
    Latchboard(tmp_path, clock=ahead, publishes=False).board.update("a", "at work", [])

    assert keys(Latchboard(tmp_path, clock=ManualClock(), publishes=False)) == {}


@pytest.mark.slow
def test_lost_quorum_is_told_and_not_waited_for(cluster: Cluster, tmp_path: Path) -> None:
    place = cluster(3)
    store = EtcdStore(place.access(call_s_max=40.0), clock=ManualClock())
    board = Latchboard(tmp_path, settings=Settings(), clock=ManualClock(), store=store, publishes=False)
    board.board.update("a", "at work", [])

    def is_whole() -> bool:
        found = store_looking.status(board)["members"]
        return [one["trouble"] for one in found] == ["", "", ""] and sum(one["is_leader"] for one in found) == 1

    until(is_whole, "all are there, and one of them leads", 60)

    store.access.call_s_max = 4.0
    place.members[0].kill()
    place.members[1].kill()
    found = store_looking.status(board)

    assert not found["is_healthy"]
    assert len(found["members"]) == 3
    assert all("does not answer" in one["trouble"] for one in found["members"][:2])
    store.close()


def test_cluster_that_nobody_answers_for_is_told_by_its_members_alone(tmp_path: Path) -> None:
    silent = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    hosts = [f"127.0.0.1:{one.getsockname()[1]}" for one in silent]
    access = Access(f"etcd://{','.join(hosts)}/p")
    access.call_s_max = 6.0
    store = EtcdStore(access, clock=ManualClock())
    board = Latchboard(tmp_path, settings=Settings(), clock=ManualClock(), store=store, publishes=False)

    with Awake() as took:
        found = store_looking.status(board)

        assert took.s < 2 * access.request_s_max  # side by side, and nobody is waited for twice
    assert [one["trouble"] for one in found["members"]] == ["it does not answer: no answer in time"] * 3
    assert not found["is_healthy"]
    store.close()
    for one in silent:
        one.close()
