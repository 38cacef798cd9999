from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from latchboard.errors import CoordinationError, MalformedRecord, UsageError
from latchboard.host.identity import tag
from latchboard.settings import Settings
from latchboard.testing import FakeHost
from tests.rules.test_watch import entry, holding, lock
from tests.services.board.conftest import World

SCHEMAS = Path(__file__).parents[3] / "protocol" / "schema"
REGISTRY = referencing.Registry().with_resources(
    (path.name, referencing.Resource.from_contents(json.loads(path.read_text(encoding="utf-8"))))
    for path in SCHEMAS.glob("*.json")
)


def check(name: str, value: Any) -> None:
    """That a value is what protocol/schema/ says; `agent#/$defs/view` is a part of a schema."""
    name, _, part = name.partition("#")
    jsonschema.Draft202012Validator({"$ref": f"{name}.json#{part}"}, registry=REGISTRY).validate(value)


# -- what an agent says


def test_a_status_is_a_heartbeat_and_a_renewal_in_one_commit(world: World) -> None:
    before = world.store.read("wide").revision
    world.board().update("a", "thinking", ["x", "y"])

    snapshot = world.store.read("agents/", "leases/")
    found = snapshot.get("agents/a")
    lease = snapshot.get("leases/a")

    assert found is not None and lease is not None
    assert (found["status"], found["files"], found["process"]) == ("thinking", ["x", "y"], world.host.me())
    assert found["heartbeat"] == found["started"] == lease["renewed"]
    assert len({c.revision for c in world.store.watch("", after=0).poll()}) == 1
    assert snapshot.revision > before
    check("agent", found)


def test_a_heartbeat_leaves_the_status_and_a_new_process_starts_anew(world: World) -> None:
    world.board().update("a", "thinking", ["x"])
    started = world.store.read("agents/a").get("agents/a")["started"]  # type: ignore[index]
    world.clock.advance(10)

    world.board().heartbeat("a")
    same = world.store.read("agents/a").get("agents/a")
    world.board(world.process()).heartbeat("a")
    other = world.store.read("agents/a").get("agents/a")

    assert same is not None and other is not None
    assert (same["status"], same["files"], same["started"]) == ("thinking", ["x"], started)
    assert same["heartbeat"]["mono_s"] == started["mono_s"] + 10
    assert (other["status"], other["started"]) == ("thinking", other["heartbeat"])


def test_fields_of_others_are_kept_and_what_is_damaged_is_replaced(world: World) -> None:
    world.board().update("a", "one")
    old = world.store.read("agents/a").get("agents/a") or {}
    world.put(agents__a={**old, "colour": "red"}, agents__b={"agent": "b", "status": 7})

    world.board().update("a", "two")
    world.board().update("b", "three")

    snapshot = world.store.read("agents/")
    assert snapshot.get("agents/a")["colour"] == "red"  # type: ignore[index]
    assert snapshot.get("agents/b")["status"] == "three"  # type: ignore[index]


@pytest.mark.parametrize(
    ("agent", "status", "files"),
    [("", "x", []), (" a", "x", []), ("a", 7, []), ("a", "x" * 10_001, []), ("a", "x", [7]), ("a", "x", ["f"] * 1001)],
)
def test_what_cannot_be_said_changes_nothing(world: World, agent: Any, status: Any, files: Any) -> None:
    with pytest.raises(UsageError):
        world.board().update(agent, status, files)

    assert world.store.read("agents/").scan("agents/") == []


def test_k38_an_agent_that_says_what_it_does_keeps_what_it_holds() -> None:
    world = World(Settings(lease_ttl_s=100.0))
    locks, board = world.locks(), world.board()
    agent_bound = locks.acquire(locks.request("a", ["x"], bound="agent"))
    process_bound = locks.acquire(locks.request("a", ["y"]))

    for _ in range(10):
        world.clock.advance(45)
        board.update("a", "working")
    kept = (agent_bound.is_live(), process_bound.is_live())
    world.clock.advance(101)

    assert kept == (True, True)
    assert (agent_bound.is_live(), process_bound.is_live()) == (False, False)
    board.update("a", "back again")
    assert (agent_bound.is_live(), process_bound.is_live()) == (False, False)


def test_a_process_that_speaks_once_leaves_no_lease_of_its_own(world: World) -> None:
    for _ in range(3):
        world.board(world.process()).update("a", "one command")

    assert [key for key, _ in world.store.read("leases/").scan("leases/")] == ["leases/a"]
    world.board().update("a", "one")
    world.board().update("a", "two")
    keys = [key for key, _ in world.store.read("leases/").scan("leases/")]
    assert keys == ["leases/a", f"leases/a#{tag(world.host.me())}"]


def test_a_damaged_lease_is_not_renewed_over(world: World) -> None:
    world.put(leases__a={"renewed": "never"})

    with pytest.raises(MalformedRecord):
        world.board().update("a", "x")


# -- who does what


def test_the_joined_view_of_agents(world: World) -> None:
    other = world.process()
    locks, theirs = world.locks(), world.locks(other)
    board = world.board()
    board.update("a", "refactoring", ["x"])
    hold = locks.acquire(locks.request("a", ["x"]))
    world.board(other).update("b", "testing")
    theirs.acquire(theirs.request("b", ["y"]))
    world.put(**{"waiters__b.9": {**waiter_of("b", other), "wants": [{"name": "x", "mode": "exclusive"}]}})
    world.clock.advance(301)
    board.heartbeat("a")
    world.host.kill(other.me())

    found = board.agents()

    for one in found:
        check("agent#/$defs/view", one)
    assert [
        (v["agent"], v["status"], v["holds"], v["waits_for"], v["process"], v["quiet"], v["heartbeat_age_s"])
        for v in found
    ] == [
        ("a", "refactoring", ["x"], [], "live", False, 0.0),
        ("b", "testing", [], ["x"], "dead", True, 301.0),
    ]
    assert board.read()["agents"]["b"]["holds"] == ["y"]
    hold.release()
    assert board.agents()[0]["holds"] == []


def waiter_of(agent: str, host: FakeHost) -> dict[str, Any]:
    from tests.rules.test_watch import waiter

    return waiter(f"{agent}.9", agent, process=host.me())


def test_an_agent_that_only_holds_is_there_as_well(world: World) -> None:
    world.put(locks__x=lock("x", holding("z", 1)))

    (found,) = world.board().agents()

    check("agent#/$defs/view", found)
    assert (found["agent"], found["status"], found["heartbeat_age_s"], found["process"]) == ("z", "", None, None)


# -- history


def test_history_by_path_and_by_agent(world: World) -> None:
    locks, board = world.locks(), world.board()
    locks.acquire(locks.request("a", ["src/x"])).release()
    locks.acquire(locks.request("b", ["src/y"])).release()
    locks.acquire(locks.request("b", ["src/"])).release()
    held = locks.acquire(locks.request("a", ["src/y"]))
    locks.try_acquire(locks.request("b", ["src/y"]))
    board.update("a", "thinking")

    everything = board.history()

    for event in everything:
        check("event", event)
    assert [e["event"] for e in everything] == [
        *["lock.acquired", "lock.released"] * 3,
        "lock.acquired",
        "lock.refused",
    ]
    assert [e["agent"] for e in board.history("src/x")] == ["a", "a", "b", "b"]
    assert {e["agent"] for e in board.history(agent="b")} == {"b"}
    assert [e["event"] for e in board.history(limit=1)] == ["lock.refused"]
    assert held.is_live()
    for limit in (0, -1):
        with pytest.raises(UsageError):
            board.history(limit=limit)


def test_lately_is_of_every_kind_and_the_newest(world: World) -> None:
    board = world.board()
    assert board.lately(10) == []
    for number in range(3):
        board.update("a", f"step {number}")

    assert [event["status"] for event in board.lately(2)] == ["step 1", "step 2"]
    with pytest.raises(UsageError):
        board.lately(0)


def test_conflicts_name_both_sides(world: World) -> None:
    locks, theirs = world.locks(), world.locks(world.process())
    locks.acquire(locks.request("a", ["x"], bound="agent", ttl_s=10))
    theirs.try_acquire(theirs.request("b", ["x"], reason="now"))
    world.clock.advance(11)
    theirs.acquire(theirs.request("b", ["x"]))

    found = world.board().conflicts()

    for one in found:
        check("conflict", one)
    assert [(c["kind"], c["names"], c["asked_by"], c["held_by"][0]["agent"]) for c in found] == [
        ("refused", ["x"], "b", "a"),
        ("taken_over", ["x"], "b", "a"),
    ]
    assert found == world.board().read()["conflicts"]


# -- the file


def test_the_published_board_is_the_board(world: World) -> None:
    locks, board = world.locks(), world.board()
    board.update("a", "thinking", ["x"])
    locks.acquire(locks.request("a", ["x"])).release()
    locks.acquire(locks.request("a", ["y"]))
    locks.try_acquire(locks.request("b", ["y"]))

    assert board.publish() is True

    assert json.loads(world.page.data) == board.read()
    assert board.text() == world.page.data
    check("status_board", board.read())


def test_publishing_again_without_a_change_writes_nothing(world: World) -> None:
    world.board().update("a", "thinking")
    board = world.board()

    assert (board.publish(), board.publish(), world.board().publish()) == (True, True, True)

    assert world.page.writes_count == 1


def test_a_scribbled_board_is_rebuilt_with_its_history(world: World) -> None:
    locks = world.locks()
    locks.acquire(locks.request("a", ["x"])).release()
    world.board().publish()
    whole = world.page.data

    for scribbled in (
        b"",
        whole[: len(whole) // 2],
        b"{}",
        whole.replace(b"lock.released", b"lock.scribble"),
        b"\xff" * 50,
    ):
        world.page.data = scribbled
        world.board().publish()
        assert world.page.data == whole


@pytest.mark.parametrize(
    ("small_bytes", "age_s", "is_left"),
    [(10, 0.0, True), (10, 9.9, True), (10, 10.0, False), (10, -1.0, False), (1_000_000, 0.0, False)],
    ids=["just written", "younger", "old enough", "in the future", "small"],
)
def test_a_command_leaves_a_large_board_alone_that_is_young(
    world: World, monkeypatch: pytest.MonkeyPatch, small_bytes: int, age_s: float, is_left: bool
) -> None:
    monkeypatch.setattr("latchboard.board.service._SMALL_BYTES", small_bytes)
    world.board().update("a", "thinking")
    world.board().publish_if_due()
    before, world.page.written_at_s = world.page.data, world.clock.now().wall_s - age_s

    world.board().update("a", "testing")
    written = world.board().publish_if_due()

    assert (written, world.page.data == before) == (not is_left, is_left)
    assert world.board().publish() is True
    assert b"testing" in world.page.data


@pytest.mark.parametrize("data", [b"scribbled over by somebody", b'{"version":1,"revision":%d,\n' % 10**18])
def test_a_large_board_that_is_none_is_written_however_young(
    world: World, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr("latchboard.board.service._SMALL_BYTES", 10)
    world.board().update("a", "thinking")
    world.page.data, world.page.written_at_s = data, world.clock.now().wall_s

    assert world.board().publish_if_due() is True
    assert b"thinking" in world.page.data


def test_without_a_file_nothing_is_published(world: World) -> None:
    board = world.board(published=None)
    board.update("a", "x")

    assert (board.publish(), board.publish_if_due()) == (False, False)
    assert board.read()["agents"]["a"]["status"] == "x"


def test_a_closed_board_starts_again(world: World) -> None:
    board = world.board()
    board.update("a", "x")
    board.read()

    board.close()
    board.after_fork()

    assert board.read()["agents"]["a"]["status"] == "x"


# -- truth


class BoardMachine(RuleBasedStateMachine):
    """Agents in three processes lock, die and speak; a board that was there from the start says what records say."""

    agents = st.sampled_from(["a", "b", "c"])
    names = st.sampled_from(["x", "src/y", "src/"])

    def __init__(self) -> None:
        super().__init__()
        self.world = World(Settings(lease_ttl_s=30.0, board_history_count=10))
        self.hosts = [self.world.host, self.world.process(), self.world.process()]
        self.locks = [self.world.locks(host) for host in self.hosts]
        self.holds: list[Any] = []
        self.board = self.world.board()

    @rule(
        agent=agents,
        name=names,
        number=st.integers(0, 2),
        shared=st.booleans(),
        bound=st.sampled_from(["process", "agent"]),
    )
    def acquire(self, agent: str, name: str, number: int, shared: bool, bound: Any) -> None:
        locks = self.locks[number]
        hold = locks.try_acquire(locks.request(agent, [name], shared=shared, bound=bound))
        if hold:
            self.holds.append(hold)

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if self.holds:
            hold = self.holds.pop(data.draw(st.integers(0, len(self.holds) - 1)))
            try:
                hold.release()
            except CoordinationError:
                return

    @rule(agent=agents, number=st.integers(0, 2), status=st.sampled_from(["thinking", "testing"]))
    def say(self, agent: str, number: int, status: str) -> None:
        self.world.board(self.hosts[number]).update(agent, status)

    @rule(s=st.integers(1, 40))
    def wait(self, s: int) -> None:
        self.world.clock.advance(s)

    @rule(number=st.integers(1, 2))
    def die(self, number: int) -> None:
        self.world.host.kill(self.hosts[number].me())
        self.hosts[number] = self.world.process()
        self.locks[number] = self.world.locks(self.hosts[number])

    @rule()
    def publish(self) -> None:
        self.board.publish()
        assert json.loads(self.world.page.data) == self.board.read()

    @rule()
    def scribble(self) -> None:
        self.world.page.data = self.world.page.data[:-7] + b"?"

    def teardown(self) -> None:
        for event in self.world.board().history(limit=10_000):
            check("event", event)
        for one in self.board.conflicts():
            check("conflict", one)
        check("status_board", self.board.read())

    @invariant()
    def the_board_says_what_the_records_say(self) -> None:
        table = self.locks[0].look("locks/", "agents/", "waiters/")
        truth = set()
        for key, _ in table.view.scan("locks/"):
            record = table.record(key[6:])
            assert record is not None
            truth |= {(record["name"], h["agent"], h["token"]) for h in record["holders"] if not table.why_over(h)}
        found = self.board.read()

        assert {(e["name"], e["agent"], e["token"]) for e in found["active_locks"]} == truth
        said = {key[7:]: value["status"] for key, value in table.view.scan("agents/")}
        assert {a: e["status"] for a, e in found["agents"].items() if e["heartbeat_at"]} == said
        assert found["damaged"] == []


TestBoardMachine = BoardMachine.TestCase
TestBoardMachine.settings = __import__("hypothesis").settings(max_examples=25, stateful_step_count=25)


def test_entries_of_the_founding_board_have_their_names(world: World) -> None:
    world.put(agents__a=entry(files=("x",)), locks__x=lock("x", holding()))

    found = world.board().read()

    assert {
        "version",
        "last_updated",
        "revision",
        "active_locks",
        "agent_assignments",
        "file_modification_history",
    } <= set(found)
    assert {"conflicts", "messages"} <= set(found)
