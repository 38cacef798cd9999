"""What is over, overdue or not dealt with is told, each by itself; what only one of two looks saw is not."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.doctor import coordination
from latchboard.doctor.check import Seen
from latchboard.errors import MalformedRecord
from latchboard.mailbox import Mailbox
from latchboard.rules.lease import moment
from tests.rules.test_watch import holding, lock, waiter
from tests.services.board.conftest import World
from tests.services.doctor.room import ROOT


class Glance:
    """A store that is only looked at."""

    def __init__(self, world: World, *, is_settled: bool = True) -> None:
        self._world = world
        self.is_settled = is_settled
        self.properties = world.store.properties

    def read(self, *wanted: str) -> Any:
        return self._world.store.read(*wanted)


@pytest.fixture
def world() -> World:
    return World()


def over(world: World, *glances: Any) -> Seen:
    some = iter(glances or [Glance(world)])
    parts = (world.clock, world.host, world.settings)
    return coordination.over(ROOT, lambda: next(some), *parts, file_of=lambda key: f"/{key}").look(0.0)


def mail(world: World) -> Seen:
    parts: Any = (world.clock, world.host, world.settings)
    return coordination.mail(ROOT, lambda: Glance(world), *parts).look(0.0)


# -- what is over -----------------------------------------------------------------------------------------------------


def dead(world: World) -> Any:
    process = world.process()
    world.host.kill(process.me())
    return process.me()


def test_a_hold_a_waiter_and_a_lease_are_over_each_by_itself(world: World) -> None:
    def counts() -> list[int]:
        seen = over(world)
        assert [one.id for one in seen.findings] == (["F-117"] if any(seen.facts.values()) else [])
        return [seen.facts[f"{kind}_count"] for kind in ("hold", "waiter", "lease")]

    assert counts() == [0, 0, 0]

    since = moment(world.clock.now())
    waits = waiter("c.1", "c", process=dead(world), since=since)
    world.put_keys({"waiters/c.1": waits, "locks/x": lock("x")})
    assert counts() == [0, 1, 0]
    world.put_keys({"waiters/c.1": None, "locks/x": lock("x", holding("z", 1, process=dead(world), acquired=since))})
    assert counts() == [1, 0, 0]

    world.put_keys({"locks/x": None})
    locks = world.locks()
    locks.acquire(locks.request("a", ["y"], bound="agent"))
    world.put_keys({"locks/y": None})
    world.clock.advance(1e6)
    assert counts() == [0, 0, 1]


def test_of_many_holds_that_are_over_three_are_named(world: World) -> None:
    locks = world.locks()

    def named() -> tuple[str, list[str]]:
        (found,) = over(world).findings
        assert found.remedy == f"latchboard cleanup --root {ROOT}"
        return found.text.partition(")")[0], found.about["names"]

    for count in (3, 4):
        locks.acquire(locks.request("a", [f"x{number}" for number in range(count)], bound="agent"))
        world.clock.advance(1e6)
        more = ", ..." if count > 3 else ""
        text, names = named()
        assert (text.endswith(f" over (x0, x1, x2{more}"), names) == (True, ["x0", "x1", "x2"]), text


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        ("agents/a", f"latchboard update here --agent a --root {ROOT}"),
        ("leases/a", "cat /leases/a"),
        ("locks/a", f"latchboard break {ROOT}/a --reason damaged --agent operator --root {ROOT}"),
    ],
)
def test_a_record_of_no_kind_is_told_with_what_its_kind_needs(world: World, key: str, remedy: str) -> None:
    world.put_keys({key: {"of": "no kind"}})

    assert [(one.id, one.remedy) for one in over(world).findings] == [("F-105", remedy)]


def test_a_project_that_is_the_whole_machine_has_names_of_one_slash(world: World) -> None:
    world.put_keys({"locks/a": {"of": "no kind"}})
    parts = (world.clock, world.host, world.settings)

    (found,) = coordination.over("/", lambda: Glance(world), *parts, file_of=str).look(0.0).findings

    assert found.remedy == "latchboard break /a --reason damaged --agent operator --root /"


def test_of_many_records_of_no_kind_the_others_are_listed(world: World) -> None:
    world.put_keys({f"locks/{number}": {"of": "no kind"} for number in range(13)})

    *first, last = over(world).findings

    assert (len(first), last.about["count"]) == (10, 3)
    assert last.remedy == f"latchboard cleanup --dry-run --root {ROOT}"


@pytest.mark.parametrize("name", ["package.json", "poetry.lock"])
def test_a_lock_of_no_kind_is_told_whatever_the_files_name_ends_in(world: World, name: str) -> None:
    world.put_keys({f"locks/{name}": {"name": name}})

    (found,) = over(world).findings

    assert (found.id, found.about["key"]) == ("F-105", f"locks/{name}")
    assert found.remedy.startswith(f"latchboard break {ROOT}/{name} ")


@pytest.mark.parametrize("name", ["/etc/x", "glob:src/*.py", "hardlink:1-2"])
def test_a_name_that_is_whole_is_broken_as_it_is(world: World, name: str) -> None:
    world.put_keys({f"locks/{name}": {"name": name}})

    (found,) = over(world).findings

    assert f" {name} " in found.remedy.replace("'", "")


# -- mail -------------------------------------------------------------------------------------------------------------


def send(world: World, to: str, *, ack_by_s: float) -> str:
    mailbox = Mailbox(world.store, world.clock, world.host, world.settings)
    return mailbox.send("planner", to, "answer", ack="required", ack_by_s=ack_by_s)["id"]


def test_each_agent_is_told_what_it_owes_and_how_late_the_first_is(world: World) -> None:
    sent = [send(world, "b", ack_by_s=float(number)) for number in (4, 1, 2, 3)]
    send(world, "c", ack_by_s=5.0)
    world.clock.advance(60.0)

    found = mail(world).findings

    assert [(one.about["agent"], one.about["count"]) for one in found] == [("b", 4), ("c", 1)]
    assert found[0].text == "b has not acknowledged 4 messages in time, the first 59 s late"
    assert found[0].remedy == f"latchboard inbox --peek --agent b --root {ROOT}", "a look takes no message"
    assert found[0].about["ids"] == [sent[1], sent[2], sent[3]]


def test_ten_are_told_one_by_one_and_no_more_is_said(world: World) -> None:
    def counts() -> list[int]:
        return [one.about["count"] for one in mail(world).findings]

    for number in range(10):
        send(world, f"a{number:02}", ack_by_s=1.0)
    world.clock.advance(60.0)
    assert counts() == [1] * 10

    for number in range(10, 13):
        send(world, f"a{number:02}", ack_by_s=1.0)
    world.clock.advance(60.0)
    assert counts() == [*[1] * 10, 3]


# -- conflicts --------------------------------------------------------------------------------------------------------


def conflict(world: World, *restored: str) -> dict[str, Any]:
    plain = {"token": 1, "diff": "", "before": None, "after": None}
    files = [{"name": name, "path": f"{ROOT}/{name}", **plain} for name in ("a", "b")]
    known = {"kind": "changed", "holder": "h", "by": None, "also": [], "certain": True}
    back = [{"name": name, "over": None} for name in restored]
    return {"id": "c1", **known, "found": moment(world.clock.now()), "files": files, "restored": back}


@pytest.mark.parametrize(("restored", "count"), [((), 1), (("a",), 1), (("a", "b"), 0), (("a", "b", "c"), 0)])
def test_a_conflict_is_open_until_each_of_its_files_was_restored(
    world: World, restored: tuple[str, ...], count: int
) -> None:
    world.put_keys({"conflicts/c1": conflict(world, *restored)})

    seen = coordination.conflicts(ROOT, lambda: Glance(world)).look(0.0)  # type: ignore[arg-type, return-value]

    assert seen.facts["count"] == count
    assert [(one.id, one.about["names"]) for one in seen.findings] == [("F-116", ["a", "b"])] * count


def test_what_was_restored_without_a_name_restores_no_file_and_hides_nothing(world: World) -> None:
    broken = {**conflict(world), "restored": [{"over": None}]}
    world.put_keys({"conflicts/c1": broken})

    seen = coordination.conflicts(ROOT, lambda: Glance(world)).look(0.0)  # type: ignore[arg-type, return-value]

    assert [one.remedy for one in seen.findings] == [f"latchboard conflict show c1 --root {ROOT}"]


def test_of_many_conflicts_the_others_are_counted(world: World) -> None:
    world.put_keys({f"conflicts/c{number:02}": {**conflict(world), "id": f"c{number:02}"} for number in range(12)})
    seen = coordination.conflicts(ROOT, lambda: Glance(world)).look(0.0)  # type: ignore[arg-type, return-value]

    assert (len(seen.findings), seen.findings[-1].about["count"]) == (11, 2)
    assert seen.findings[-1].remedy == f"latchboard conflict list --root {ROOT}"


def test_of_many_records_of_the_queue_the_others_are_left_to_the_same_repair(world: World) -> None:
    for number in range(12):
        world.put_keys({f"queue/ready.role{number}.0": {"places": [[50, 3, "job-3"]]}})

    glance: Any = Glance(world)
    found = coordination.queue(ROOT, lambda: glance, world.clock, file_of=str).look(0.0).findings

    assert ({one.id for one in found}, len(found), found[-1].about["count"]) == ({"F-125"}, 11, 2)
    assert {one.remedy for one in found} == {f"latchboard doctor --fix --root {ROOT}"}


# -- where somebody commits all the time ------------------------------------------------------------------------------


def world_of(*names: str) -> World:
    """A world with locks of no kind."""
    made = World()
    made.put_keys({f"locks/{name}": {"name": name} for name in names})
    return made


def test_what_only_one_of_two_looks_saw_is_nothing(world: World) -> None:
    one, two, none = world_of("a"), world_of("a", "b"), world_of()

    def told(first: World, again: World | None = None) -> list[str]:
        glances = [Glance(first, is_settled=again is None), *([Glance(again)] if again is not None else [])]
        return [found.about["key"] for found in over(world, *glances).findings]

    assert told(two) == ["locks/a", "locks/b"]
    assert told(two, two) == ["locks/a", "locks/b"]
    assert told(two, one) == ["locks/a"]
    assert told(one, two) == ["locks/a"]
    assert told(one, none) == []


def test_what_cannot_be_read_is_the_stores_matter_and_no_mistake() -> None:
    class Broken(Glance):
        def read(self, *wanted: str) -> Any:
            raise MalformedRecord("S3cr3t")

    broken = World()
    make: Any = lambda: Broken(broken)  # noqa: E731
    parts: Any = (broken.clock, broken.host, broken.settings)
    checks = [
        coordination.over(ROOT, make, *parts, file_of=str),
        coordination.mail(ROOT, make, *parts),
        coordination.conflicts(ROOT, make),
        coordination.queue(ROOT, make, broken.clock, file_of=str),
    ]

    seen = [one.look(0.0) for one in checks]

    assert {(one.text, len(one.findings)) for one in seen} == {
        ("not looked at: what is stored cannot be read (see the store)", 0)
    }
