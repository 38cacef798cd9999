"""The parts of the etcd store that need no etcd, and what it writes there."""

from __future__ import annotations

import json
from base64 import b64decode
from time import monotonic
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from latchboard.clock import SystemClock
from latchboard.errors import CommitTooLarge, MalformedRecord, StoreError, StoreFull, UsageError
from latchboard.locks.hold import Hold
from latchboard.locks.records import Records
from latchboard.rules.lock import Asker, Request, new_record
from latchboard.store.etcd.errors import AuthRefused, RevisionWentBack
from latchboard.store.etcd.facts import COMPARES_MAX, Asked, Facts, Known, Reader
from latchboard.store.etcd.gateway import Gateway, packed
from latchboard.store.etcd.layout import Layout, end_of, opened, sealed, value_of
from latchboard.store.etcd.standin import StandIn, settled
from latchboard.store.etcd.store import EtcdStore
from latchboard.store.etcd.trouble import Answer, answer, answer_in, typed
from latchboard.store.port import Change
from tests.store.etcd.server import Place
from tests.tidy.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

# -- stand-ins ------------------------------------------------------------------------------------------------------


def test_stand_in_is_above_every_revision_and_then_is_its_commits() -> None:
    one, two = StandIn(), StandIn()

    assert one != two
    assert one == one
    assert sorted([one, 5, 10**15]) == [5, 10**15, one]
    one.revision = 7
    assert (one == 7, one != 7, one < 8, one <= 7, one > 6, one >= 7) == (True, False, True, True, True, True)
    assert (f"{one:04d}", str(one), repr(one), int(one), hash(one)) == ("0007", "7", "7", 7, hash(7))


def test_what_has_stand_ins_in_it_gets_plain_numbers() -> None:
    one = StandIn()
    inner: dict[str, Any] = {"token": one, "list": [one, {"x": one}], "text": "x", "none": None}
    inner["again"] = inner
    one.revision = 7

    (found, number), kept = settled(((inner, one), {one}))

    assert found is inner
    assert [type(n) for n in (number, inner["token"], inner["list"][0], inner["list"][1]["x"], *kept)] == [int] * 5
    assert (
        json.dumps({**inner, "again": 0})
        == '{"token": 7, "list": [7, {"x": 7}], "text": "x", "none": null, "again": 0}'
    )


def test_what_stands_at_two_places_gets_plain_numbers_at_both() -> None:
    one = StandIn()
    both, kept = (one, "a"), [one]
    one.revision = 7

    found = settled({"first": [both, kept], "second": [both, kept]})

    assert json.dumps(found) == '{"first": [[7, "a"], [7]], "second": [[7, "a"], [7]]}'


def test_what_stands_in_an_object_itself_gets_a_plain_number() -> None:
    one = StandIn()
    change = Change(one, "", "a", "agents/a", {"of": (one,)})
    one.revision = 7

    assert settled(change) is change
    assert json.dumps([change.revision, change.value]) == '[7, {"of": [7]}]'


def test_services_behind_what_a_transaction_returns_are_left_alone() -> None:
    one, service = StandIn(), Known()
    service.note([("x", (one, "{}"))])  # which another thread may be doing meanwhile
    asker = Asker("a", "process", {}, "a#1")
    hold: Any = Hold(service, Request("r", asker, [], ttl_s=1.0), {"x": one}, 0.0)  # type: ignore[arg-type]
    one.revision = 7

    assert type(settled(hold).tokens["x"]) is int
    assert type(service.get("x")[0]) is StandIn, "nothing behind a service was looked through"  # type: ignore[index]


def test_what_a_transaction_put_and_what_it_returns_say_its_revision_to_whoever_keeps_them(etcd: Place) -> None:
    """JSON is written of the number itself, and would have the stand-in's digits."""
    store = EtcdStore(etcd.access(), clock=SystemClock())
    kept: dict[str, Any] = {}

    def put(view: Any) -> dict[str, Any]:
        kept.update(token=view.revision)
        view.put("agents/a", kept)
        return {"token": view.revision}

    done = store.transact(put, who="a")
    store.close()

    assert json.dumps([done.value, kept]) == json.dumps([{"token": done.revision}] * 2)


def test_stored_value_says_its_revision_wherever_the_stand_in_was() -> None:
    digits = StandIn().digits
    text = f'{{"token":{digits},"text":"token {digits}"}}'

    assert opened(sealed(text, digits), 7, lambda at: at + 100) == '{"token":107,"text":"token 107"}'
    assert sealed('{"n":1}', digits) == '{"n":1}'
    for plain in ('{"n":1}', "{}", '{"n":"\\n1234567890123456789"}', "{}\nxxxxxxxxxxxxxxxxxxx", "", "\n"):
        assert opened(plain, 7, int) == plain


# -- keys and values ------------------------------------------------------------------------------------------------


def test_keys_are_below_the_prefix_and_come_back() -> None:
    layout = Layout("/p")

    assert layout.record("locks/\u00e9") == b"/p/records/locks/\xc3\xa9"
    assert layout.key(layout.record("locks/\u00e9")) == "locks/\u00e9"
    assert layout.everything == (b"/p/", b"/p0")
    assert end_of("\u00e9".encode()) == b"\xc3\xaa"
    assert {layout.fence(n) for n in range(100)} == {b"/p/fence/%d" % n for n in range(16)}


@pytest.mark.parametrize("text", ["", "[]", "no UTF-8", '{"key":1}', '{"mod_revision":1}', '{"a":1} {}'])
def test_what_is_no_record_is_malformed_and_named(text: str) -> None:
    with pytest.raises(MalformedRecord) as caught:
        value_of("locks/a", text)

    assert caught.value.fields["key"] == "locks/a"


# -- compares -------------------------------------------------------------------------------------------------------


def asked(keys: list[str], prefixes: list[str]) -> Asked:
    made = Asked()
    made.keys.update(dict.fromkeys(keys))
    made.prefixes.update(dict.fromkeys(prefixes))
    return made


def test_many_records_are_read_as_their_collection() -> None:
    many = [f"locks/{n}" for n in range(COMPARES_MAX)]

    assert asked([*many[:-1], "wide"], []).spread() == ([*many[:-1], "wide"], [])
    assert asked([*many, "wide", "agents/a"], ["waiters/1."]).spread() == (
        ["wide", "agents/a"],
        ["waiters/1.", "locks/"],
    )
    assert asked(["locks/src/a", "wide"], ["locks/"]).spread() == (["wide"], ["locks/"])


def test_more_than_can_be_compared_is_refused() -> None:
    with pytest.raises(UsageError, match="outside of collections"):
        asked([f"single{n}" for n in range(COMPARES_MAX + 1)], []).spread()


def test_compares_say_what_was_read() -> None:
    reader = Reader(Layout("/p"), int)
    facts = Facts(at=9, last=8)
    facts.records = {"wide": (3, "{}"), "agents/a": (5, "{}")}
    facts.scans = {"agents/": ["agents/a"]}

    found = [
        (b64decode(c["key"]).decode(), c["target"], c["result"], c.get("mod_revision"), "range_end" in c)
        for c in reader.compares((["wide", "locks/x"], ["agents/", "waiters/"]), facts)
    ]

    assert found == [
        ("/p/records/wide", "MOD", "EQUAL", "3", False),
        ("/p/records/locks/x", "MOD", "EQUAL", "0", False),
        ("/p/records/agents/a", "MOD", "EQUAL", "5", False),
        ("/p/records/agents/", "MOD", "LESS", "10", True),
        ("/p/records/waiters/", "CREATE", "EQUAL", None, True),
    ]


def test_remembered_record_is_compared_beside_a_collection_that_is_guessed_to_be_empty() -> None:
    facts = Facts()
    facts.records = {"locks/b": (0, None), "agents/a": (6, "{}"), "locks/a": (5, "{}"), "locks/c": (5, "{}")}

    found = Reader(Layout("/p"), int).compares(([], ["locks/"]), facts)

    assert [(b64decode(c["key"]), c["target"]) for c in found] == [
        (b"/p/records/locks/a", "MOD"),
        (b"/p/records/locks/", "CREATE"),
    ]


def test_of_many_found_records_the_mark_of_deletions_is_compared() -> None:
    facts = Facts(at=9, last=8)
    facts.scans = {"locks/": [f"locks/{n}" for n in range(200)]}
    facts.records = dict.fromkeys(facts.scans["locks/"], (5, "{}"))

    found = Reader(Layout("/p"), int).compares(([], ["locks/"]), facts)

    assert [b64decode(c["key"]) for c in found] == [b"/p/records/locks/", b"/p/deleted/locks/"]


def test_scan_of_many_records_notices_a_deletion(etcd: Place) -> None:
    """The mark on a real etcd: one of many records goes while somebody counts them."""
    access = etcd.access()
    store, other = (EtcdStore(access, clock=SystemClock()) for _ in range(2))
    for part in range(0, 150, 50):
        store.transact(lambda view, part=part: [view.put(f"agents/{n}", {}) for n in range(part, part + 50)], who="a")
    counts: list[int] = []

    def count(view: Any) -> None:
        counts.append(len(view.scan("agents/")))
        if counts == [0, 150]:
            other.transact(lambda inner: inner.delete("agents/7"), who="b")
        view.put("wide", {"count": counts[-1]})

    store.transact(count, who="a")

    assert counts == [0, 150, 149]
    assert store.read("wide").get("wide") == {"count": 149}
    store.close()
    other.close()


def test_who_asks_for_a_folder_notices_what_comes_and_goes_beneath_it_and_nothing_elsewhere(etcd: Place) -> None:
    """Between the look at a part of a collection and the commit, on a real etcd."""
    access = etcd.access()
    store, other = (EtcdStore(access, clock=SystemClock()) for _ in range(2))
    lock = {"holders": [], "waiters": [{"request": "r", "agent": "a", "seq": 1, "mode": "shared"}]}
    other.transact(lambda view: view.put("locks/src/a", {"name": "src/a", **lock}), who="b")
    met: list[list[str]] = []
    meanwhile: list[Callable[[Any], None]] = [
        lambda view: view.put("locks/src/b", {"name": "src/b", **lock}),
        lambda view: view.delete("locks/src/a"),
        lambda view: view.put("locks/lib/a", {"name": "lib/a", **lock}),
        lambda view: view.delete("locks/lib/a"),
    ]

    def look(view: Any) -> None:
        met.append([record["name"] for record in Records(view).met_by("src/")])
        if met[-1] and meanwhile:
            other.transact(meanwhile.pop(0), who="b")
        view.put("agents/a", {"met": met[-1]})

    store.transact(look, who="a")
    assert met == [[], ["src/a"], ["src/a", "src/b"], ["src/b"]]
    assert len(meanwhile) == 1, "what came elsewhere was let be"
    met.clear()
    store.transact(look, who="a")
    assert met == [[], ["src/b"]]
    assert not meanwhile, "what went elsewhere was let be"
    store.close()
    other.close()


def test_what_is_remembered_is_bounded() -> None:
    known = Known(count_max=3, bytes_max=10)

    known.note((str(n), (n, "x")) for n in range(1, 6))
    known.note([("4", (9, "x" * 11)), ("3", (10, None))])

    assert [known.get(str(n)) for n in range(1, 6)] == [None, None, (10, None), None, (5, "x")]


# -- what etcd says -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "told",
    [
        {"error": "etcdserver: no leader", "code": 14},
        {"error": "etcdserver: no leader", "code": 14, "message": "etcdserver: no leader"},
        {"code": 14, "message": "etcdserver: no leader"},
        {"error": {"grpc_code": 14, "http_code": 503, "message": "etcdserver: no leader"}},
        {"error": {"code": 14, "message": "etcdserver: no leader", "details": []}},
    ],
    ids=["3.4", "3.4 with a message", "3.5", "stream of 3.4", "stream of 3.5"],
)
def test_error_is_understood_in_each_shape(told: dict[str, Any]) -> None:
    said = answer_in(told)

    assert said is not None
    assert (said.grpc_code, said.text, said.is_transient, said.was_not_done) == (
        14,
        "etcdserver: no leader",
        True,
        True,
    )


def test_what_may_have_been_done_is_told_apart() -> None:
    for text in ("etcdserver: request timed out", "etcdserver: leader changed", "transport is closing"):
        assert (Answer(14, text).is_transient, Answer(14, text).was_not_done) == (True, False)
    assert answer_in({"result": {}}) is None
    assert answer(200, b"<html>") is None
    assert answer(404, b"{}") is not None


@pytest.mark.parametrize(
    ("code", "text", "error"),
    [
        (3, "etcdserver: authentication failed, invalid user ID or password", AuthRefused),
        (7, "etcdserver: permission denied", AuthRefused),
        (3, "etcdserver: user name is empty", AuthRefused),
        (8, "etcdserver: mvcc: database space exceeded", StoreFull),
        (3, "etcdserver: request is too large", CommitTooLarge),
        (8, "trying to send message larger than max (3000000 vs. 2097152)", CommitTooLarge),
        (3, "etcdserver: too many operations in txn request", CommitTooLarge),
        (12, "unknown service etcdserverpb.KV", StoreError),
        (2, "anything else", StoreError),
    ],
)
def test_refusal_has_an_error_of_ours(code: int, text: str, error: type[Exception]) -> None:
    assert type(typed(Answer(code, text), "http://h:1", "bob", "/p")) is error


def test_revision_that_goes_back_is_an_alarm(etcd: Place) -> None:
    store = EtcdStore(etcd.access(), clock=SystemClock())
    store.transact(lambda view: view.put("agents/a", {}), who="a")
    store._cluster.gateway.newest += 10**9

    with pytest.raises(RevisionWentBack):
        store.read("agents/a")
    store.close()


# -- what is written ------------------------------------------------------------------------------------------------


def test_commit_is_written_as_its_schema_says(etcd: Place) -> None:
    access = etcd.access()
    store = EtcdStore(access, clock=SystemClock())

    def fn(view: Any) -> None:
        view.put("locks/a", {**new_record("a"), "seq": view.revision})
        view.put("log/write", {"token": view.revision})
        view.delete("locks/b")

    revision = store.transact(fn, who="planner").revision

    gateway = Gateway(access)
    told = gateway.call("/v3/kv/range", {"key": packed(f"{access.prefix}/commit")}, monotonic() + 10)
    gateway.close()
    (kv,) = told["kvs"]
    commit = json.loads(opened(b64decode(kv["value"]).decode(), int(kv["mod_revision"]), int))
    jsonschema.validate(commit, json.loads((ROOT / "protocol/schema/etcd_commit.json").read_text()))
    assert int(kv["mod_revision"]) == revision
    assert commit["keys"] == ["locks/a", "log/write", "locks/b"]
    assert commit["traces"] == {"log/write": {"token": revision}}
    store.close()


def test_free_lock_is_one_request_and_a_held_one_two(etcd: Place) -> None:
    access = etcd.access()
    store, other = (EtcdStore(access, clock=SystemClock()) for _ in range(2))
    store.transact(lambda view: view.put("wide", {}), who="a")
    other.read("wide")
    gateway: Any = other._cluster.gateway
    paths: list[str] = []
    real = gateway._call

    def noted(path: str, body: Any, deadline: float, *, once: bool) -> Any:
        paths.append(path)
        return real(path, body, deadline, once=once)

    def take(view: Any) -> bool:
        is_free = view.get("locks/a") is None and not view.scan("waiters/")
        if is_free:
            view.put("locks/a", {"token": view.revision})
        return is_free

    gateway._call = noted
    assert other.transact(take, who="b").value
    assert paths == ["/v3/kv/txn"]
    del gateway._call
    assert not store.transact(take, who="a").value
    store.close()
    other.close()


def test_what_is_remembered_needs_no_round_trip_of_its_own_in_a_later_run(etcd: Place) -> None:
    """Who is refused looks whether the holder is there: known once, it is not asked for with every lock."""
    access = etcd.access()
    store, other = (EtcdStore(access, clock=SystemClock()) for _ in range(2))
    store.transact(lambda view: [view.put(key, {"by": "x"}) for key in ("locks/a", "agents/x")], who="a")  # type: ignore[misc]
    assert other.transact(lambda view: view.get("agents/x"), who="b").value
    gateway: Any = other._cluster.gateway
    paths: list[str] = []
    real = gateway._call

    def noted(path: str, body: Any, deadline: float, *, once: bool) -> Any:
        paths.append(path)
        return real(path, body, deadline, once=once)

    def refuse(view: Any) -> bool:
        is_held = view.get("locks/a") is not None and view.get("agents/x") is not None
        view.put("log/conflict", {"is_held": is_held})
        return is_held

    gateway._call = noted
    assert other.transact(refuse, who="b").value
    del gateway._call
    assert len(paths) == 2
    store.close()
    other.close()


def test_who_looks_for_somebody_in_a_long_line_does_not_read_all_of_it(etcd: Place) -> None:
    """A guess says that nobody is there, for each that is asked for: such a run ends before it has asked for all."""
    access = etcd.access()
    store, other = (EtcdStore(access, clock=SystemClock()) for _ in range(2))
    for begin in range(0, 400, 80):
        store.transact(lambda view, at=begin: [view.put(f"waiters/{n}", {}) for n in range(at, at + 80)], who="a")  # type: ignore[misc]
    store.transact(lambda view: view.put("locks/a", {"line": 400}), who="a")
    gateway: Any = other._cluster.gateway
    asked: list[str] = []
    real = gateway._call

    def noted(path: str, body: Any, deadline: float, *, once: bool) -> Any:
        asked.extend(one["request_range"]["key"] for one in body.get("failure") or body["success"])
        return real(path, body, deadline, once=once)

    def last(view: Any) -> str:
        line = (view.get("locks/a") or {"line": 0})["line"]
        found = next((f"waiters/{n}" for n in reversed(range(line)) if view.get(f"waiters/{n}") is not None), "nobody")
        view.put("agents/found", {"it": found})
        return found

    gateway._call = noted
    assert other.transact(last, who="b").value == "waiters/399"
    del gateway._call
    assert len(asked) < 120
    store.close()
    other.close()
