from __future__ import annotations

from typing import Any

import pytest

from latchboard.cleanup import BATCH_COUNT, Cleanup, Report
from latchboard.errors import MalformedRecord
from latchboard.locks import handoff
from latchboard.mailbox import Mailbox
from latchboard.settings import Settings
from tests.rules.test_watch import entry, holding, lock, moment, waiter
from tests.services.board.conftest import World
from tests.services.engine import needs_large_commits

TTL_S = 100.0


class Leftovers:
    def __init__(self) -> None:
        self.names = ["bells/x", "y.json.tmp"]

    def sweep(self, *, dry_run: bool) -> list[str]:
        found = self.names
        if not dry_run:
            self.names = []
        return found


@pytest.fixture
def world() -> World:
    return World(Settings(lease_ttl_s=TTL_S, agent_forget_s=1000.0, broadcast_ttl_s=50.0))


def cleanup(world: World, **options: Any) -> Cleanup:
    mailbox = Mailbox(world.store, world.clock, world.host, world.settings)
    return Cleanup(world.store, world.clock, world.host, world.settings, mailbox, **options)


def run(world: World, *, dry_run: bool = False) -> Report:
    return cleanup(world).run(dry_run=dry_run)


def contents(world: World) -> dict[str, Any]:
    """All that a cleanup may touch, whichever engine keeps it."""
    names = ("locks/", "waiters/", "leases/", "agents/", "messages/", "archive/", "broadcasts/", "cursors/")
    found = world.store.read(*names, "wide")
    return {"wide": found.get("wide")} | {key: value for name in names for key, value in found.scan(name)}


def test_nothing_to_do_changes_nothing(world: World) -> None:
    locks = world.locks()
    locks.acquire(locks.request("a", ["x"]))
    world.board().update("a", "thinking")
    before = contents(world)

    report = run(world)

    assert (report.removed_count, contents(world)) == (0, before)


def test_k42_it_returns_the_true_number_and_a_live_lock_stays(world: World) -> None:
    other = world.process()
    locks, theirs = world.locks(), world.locks(other)
    locks.acquire(locks.request("a", ["old"], bound="agent"))
    world.clock.advance(TTL_S + 1)
    live = locks.acquire(locks.request("a", ["live"]))
    theirs.acquire(theirs.request("b", ["dead1", "dead2"]))
    world.host.kill(other.me())

    first, second = run(world), run(world)

    assert sorted((h["name"], h["agent"], h["why"]) for h in first.locks) == [
        ("dead1", "b", "dead"),
        ("dead2", "b", "dead"),
        ("old", "a", "expired"),
    ]
    assert len(second.locks) == 0
    assert live.is_live()
    assert [key for key, _ in world.store.read("locks/").scan("locks/")] == ["locks/live"]


def test_a_holder_that_cannot_be_known_keeps_its_lock_until_its_time_is_up(world: World) -> None:
    stranger = world.host.other_namespace()
    world.put(locks__x=lock("x", holding("z", 1, process=stranger, acquired=_now(world), ttl_s=60.0)))

    assert run(world).locks == []
    world.clock.advance(61)
    assert [h["why"] for h in run(world).locks] == ["expired"]


def _now(world: World) -> Any:
    from latchboard.rules.lease import moment as at

    return at(world.clock.now())


def test_a_dry_run_says_the_same_and_changes_nothing(world: World) -> None:
    other = world.process()
    locks, theirs = world.locks(), world.locks(other)
    theirs.acquire(theirs.request("b", ["x", "src/"]))
    world.put(**{"waiters__c.1": _waiting(world, "c.1", "c", world.host.me(), ["x"], seq=7)})
    _stand_in_line(world, "x", "c.1", "c", 7)
    locks.acquire(locks.request("a", ["old"], bound="agent"))
    world.board().update("quiet", "gone")
    world.host.kill(other.me())
    world.clock.advance(1001)
    before = contents(world)

    planned = run(world, dry_run=True)
    same = contents(world)
    done = run(world)

    assert same == before
    assert {**planned.to_json(), "dry_run": False} == done.to_json()
    assert done.removed_count > 3
    assert [g["agent"] for g in done.granted] == ["c"]


def _waiting(world: World, request: str, agent: str, process: Any, names: list[str], seq: int) -> dict[str, Any]:
    wants = [{"name": name, "mode": "exclusive"} for name in names]
    more = {"wait_s_max": 5000.0, "since": _now(world), "ttl_s": TTL_S, "wants": wants, "seq": seq}
    return waiter(request, agent, process=process, **more)


def _stand_in_line(world: World, name: str, request: str, agent: str, seq: int) -> None:
    record = world.store.read(f"locks/{name}").get(f"locks/{name}") or lock(name)
    place = {"request": request, "agent": agent, "mode": "exclusive", "seq": seq}
    world.put_keys({f"locks/{name}": {**record, "waiters": [*record["waiters"], place]}})


def test_what_is_freed_goes_to_whoever_waits_in_the_same_commit(world: World) -> None:
    other = world.process()
    theirs = world.locks(other)
    theirs.acquire(theirs.request("b", ["x"]))
    world.put(**{"waiters__c.1": _waiting(world, "c.1", "c", world.host.me(), ["x"], seq=7)})
    _stand_in_line(world, "x", "c.1", "c", 7)
    world.host.kill(other.me())

    report = run(world)

    record = world.store.read("locks/x").get("locks/x")
    assert report.granted == [{"agent": "c", "names": ["x"]}]
    assert record is not None
    assert ([h["agent"] for h in record["holders"]], record["waiters"]) == (["c"], [])
    events = [
        (e["event"], e["agent"]) for e in world.board().history() if e["event"] in ("lock.ended", "lock.acquired")
    ]
    assert events[-2:] == [("lock.ended", "b"), ("lock.acquired", "c")]


def test_a_waiter_whose_process_is_gone_leaves_the_line_and_a_live_one_stays(world: World) -> None:
    locks, other = world.locks(), world.process()
    locks.acquire(locks.request("a", ["x"]))
    for number, (agent, host) in enumerate([("dead", other), ("live", world.host)], 7):
        request = f"{agent}.1"
        world.put_keys({f"waiters/{request}": _waiting(world, request, agent, host.me(), ["x"], seq=number)})
        _stand_in_line(world, "x", request, agent, number)
    world.host.kill(other.me())

    report = run(world)

    record = world.store.read("locks/x").get("locks/x")
    assert [(w["agent"], w["why"]) for w in report.waiters] == [("dead", "dead")]
    assert record is not None
    assert [place["agent"] for place in record["waiters"]] == ["live"]


def test_a_request_that_nobody_attends_leaves_when_its_time_is_up(world: World) -> None:
    locks = world.locks()
    locks.acquire(locks.request("a", ["x"]))
    unattended = {**_waiting(world, "b.1", "b", world.host.me(), ["x"], seq=7), "bound": "agent", "attended": False}
    world.put(**{"waiters__b.1": {**unattended, "wait_s_max": 10.0}})
    _stand_in_line(world, "x", "b.1", "b", 7)

    assert run(world).waiters == []
    world.clock.advance(11)
    assert [w["why"] for w in run(world).waiters] == ["out of time"]


def test_who_lost_its_lease_is_told_once_for_all_its_locks(world: World) -> None:
    locks = world.locks()
    locks.acquire(locks.request("a", [f"f{n}" for n in range(30)], bound="agent"))
    world.clock.advance(TTL_S + 1)

    run(world)

    inbox = Mailbox(world.store, world.clock, world.host, world.settings).receive("a")
    assert len(inbox) == 1
    assert "f0" in inbox[0]["body"] and "and 10 more" in inbox[0]["body"]


def test_leases_that_cover_nothing_go(world: World) -> None:
    other = world.process()
    for _ in range(2):
        world.board(other).update("b", "two commands")
    world.board().update("a", "one")
    world.host.kill(other.me())

    dead = run(world)
    world.clock.advance(TTL_S + 1)
    over = run(world)

    assert [one["why"] for one in dead.leases] == ["dead"]
    assert sorted(one["lease"] for one in over.leases) == ["a", "b"]


def test_a_renewal_for_a_short_hold_lasts_for_a_long_one_too() -> None:
    world = World(Settings(lease_ttl_s=600.0))
    locks = world.locks()
    long = locks.acquire(locks.request("a", ["long"], ttl_s=600.0))
    short = locks.acquire(locks.request("a", ["short"], ttl_s=60.0))
    world.clock.advance(59)
    short.renew()
    world.clock.advance(60)

    report = run(world)

    assert [h["name"] for h in report.locks] == ["short"]
    world.clock.advance(600 - 60 - 1)
    assert (run(world).locks, long.is_live()) == ([], True)
    world.clock.advance(2)
    last = run(world)
    assert [h["name"] for h in last.locks] == ["long"]
    assert [one["why"] for one in last.leases] == ["over"]


def test_the_lease_of_a_request_that_was_left_in_line_stays_as_long_as_that(world: World) -> None:
    other = world.process()
    theirs = world.locks(other)
    theirs.acquire(theirs.request("b", ["x"], ttl_s=5000.0))
    locks = world.locks()
    handoff.ask_and_go(locks, locks.request("a", ["x"], bound="agent", ttl_s=50.0), wait_s_max=1000.0)
    world.clock.advance(999)

    assert run(world).leases == []
    world.clock.advance(2)
    assert [one["lease"] for one in run(world).leases] == ["a"]


@pytest.mark.parametrize("damaged", ["locks__y", "waiters__w"])
def test_while_a_hold_or_a_request_cannot_be_read_leases_stay(world: World, damaged: str) -> None:
    world.board().update("a", "x")
    world.put(**{damaged: {"name": 5}})
    world.clock.advance(TTL_S + 1)

    assert run(world).leases == []
    world.put(**{damaged: None})
    assert [one["lease"] for one in run(world).leases] == ["a"]


def test_an_agent_is_forgotten_when_it_is_gone_for_long_and_holds_nothing(world: World) -> None:
    locks = world.locks()
    for agent in ("gone", "holds", "here"):
        world.board().update(agent, "x")
    locks.acquire(locks.request("holds", ["x"], ttl_s=5000.0))
    world.clock.advance(1001)
    world.board().heartbeat("here")

    assert [one["agent"] for one in run(world).agents] == ["gone"]
    assert run(world).agents == []


@needs_large_commits
def test_more_than_one_transaction_may_hold_goes_in_batches(world: World) -> None:
    other = world.process()
    theirs = world.locks(other)
    names = [f"f{n}" for n in range(2 * BATCH_COUNT + 50)]
    theirs.acquire(theirs.request("b", names))
    world.host.kill(other.me())
    watch = world.store.watch("", after=world.store.read("wide").revision)

    report = run(world)

    sizes: dict[int, int] = {}
    for change in watch.poll():
        sizes[change.revision] = sizes.get(change.revision, 0) + 1
    assert len(report.locks) == len(names)
    assert max(sizes.values()) <= 500
    assert len(sizes) == 3


def test_a_record_that_cannot_be_read_is_reported_and_left(world: World) -> None:
    other = world.process()
    theirs = world.locks(other)
    theirs.acquire(theirs.request("b", ["x"]))
    world.host.kill(other.me())
    bad = {
        "locks__y": {"name": "y"},
        "waiters__w": {"request": "w"},
        "leases__l": {"renewed": 1},
        "agents__a": {"agent": "a"},
    }
    world.put(**bad)

    report = run(world)

    assert sorted(one["key"] for one in report.damaged) == ["agents/a", "leases/l", "locks/y", "waiters/w"]
    assert [h["name"] for h in report.locks] == ["x"]
    for key in ("locks/y", "waiters/w", "leases/l", "agents/a"):
        assert world.store.read(key).get(key) is not None


def test_a_hold_whose_lease_cannot_be_read_stays_and_does_not_keep_others(world: World) -> None:
    old = holding("z", 1, acquired=moment(-500), lease="broken")
    world.put(locks__x=lock("x", old), locks__y=lock("y", {**old, "lease": "none"}), leases__broken={"renewed": 1})

    report = run(world)

    assert [h["name"] for h in report.locks] == ["y"]
    assert [one["key"] for one in report.damaged] == ["leases/broken"]
    assert world.store.read("locks/x").get("locks/x") is not None


def test_a_folder_that_meets_a_damaged_record_is_no_reason_to_stop(world: World) -> None:
    other = world.process()
    theirs = world.locks(other)
    theirs.acquire(theirs.request("b", ["src/", "free"]))
    world.put(**{"locks__src/x": {"name": "src/x"}})
    world.host.kill(other.me())

    report = run(world)

    assert "free" in [h["name"] for h in report.locks]
    assert "locks/src/x" in [one["key"] for one in report.damaged]


def test_two_cleanups_at_once_count_a_thing_once(world: World) -> None:
    other = world.process()
    theirs = world.locks(other)
    theirs.acquire(theirs.request("b", ["x"]))
    world.host.kill(other.me())
    second = cleanup(world)
    transact = world.store.transact
    inner: list[Report] = []

    def racing(fn: Any, **options: Any) -> Any:
        if not inner:
            inner.append(Report(dry_run=False))
            inner[0] = second.run()
        return transact(fn, **options)

    world.store.transact = racing  # type: ignore[method-assign]
    first = run(world)

    assert (len(inner[0].locks), len(first.locks)) == (1, 0)


def test_mail_and_leftovers_are_swept(world: World) -> None:
    mailbox = Mailbox(world.store, world.clock, world.host, world.settings)
    mailbox.broadcast("a", "news")
    world.clock.advance(51)
    leftovers = Leftovers()

    planned = cleanup(world, leftovers=leftovers).run(dry_run=True)
    done = cleanup(world, leftovers=leftovers).run()

    assert planned.leftovers == done.leftovers == ["bells/x", "y.json.tmp"]
    assert planned.mail["broadcasts"] == done.mail["broadcasts"] == 1
    assert done.removed_count == 3
    assert cleanup(world, leftovers=leftovers).run().removed_count == 0


def test_a_damaged_index_keeps_nobody_else(world: World) -> None:
    world.put(wide={"names": "no list"}, agents__old=entry("old", s=-2000))
    world.put(locks__x=lock("x", holding("z", 1, acquired=moment(-500))))

    report = run(world)

    assert [a["agent"] for a in report.agents] == ["old"]
    assert isinstance(report.damaged, list)
    with pytest.raises(MalformedRecord):
        world.locks().look("wide").wide_names()
