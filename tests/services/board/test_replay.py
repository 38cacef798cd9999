"""The replay, service: whose board it is, at which time, and what is said where there is none."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from latchboard import Latchboard
from latchboard.board import Replay
from latchboard.board.fold import SPAN_BYTES, Fold
from latchboard.clock import Now
from latchboard.errors import Compacted, UsageError
from latchboard.rules import board as rules
from latchboard.rules.replay import time_of
from latchboard.settings import Settings
from latchboard.store.files.follow import Tail
from latchboard.store.port import Change
from latchboard.testing import FakeHost, ManualClock
from tests.rules.test_watch import entry, holding, lock
from tests.services.board.conftest import World
from tests.services.engine import looks_inside


def replay(world: World) -> Replay:
    return Replay(world.store, world.clock, world.settings)


def test_nothing_was_ever_committed(world: World) -> None:
    told = replay(world)

    assert told.span() == (0, 0)
    assert told.at(0) == world.board().read()
    assert (told.commits(), told.timeline()) == ([], [])


def test_a_board_of_the_past_has_what_was_there_then_and_nothing_since(world: World) -> None:
    world.put(agents__a=entry(status="thinking"))
    then = world.put(locks__x=lock("x", holding("a", 2)))
    world.put(locks__x=None, agents__a=entry(status="done"))

    board = replay(world).at(then)

    assert [one["name"] for one in board["active_locks"]] == ["x"]
    assert board["agents"]["a"]["status"] == "thinking"
    assert (board["revision"], board["file_modification_history"]) == (then, [])
    assert replay(world).at(then + 1)["file_modification_history"][-1]["event"] == "lock.released"


def test_expiry_is_by_the_time_of_then(world: World) -> None:
    locks = world.locks()
    locks.acquire(locks.request("a", ["x"], ttl_s=60))
    taken = world.store.read("wide").revision
    world.clock.advance(61)
    over = world.put(agents__b=entry("b"))
    world.clock.advance(1000)

    assert [one["name"] for one in replay(world).at(taken)["active_locks"]] == ["x"]
    later = replay(world).at(over)
    assert (later["active_locks"], [one["why"] for one in later["ended_locks"]]) == ([], ["expired"])


def test_a_machine_that_slept_expired_nobody_in_a_replay_either(world: World) -> None:
    locks = world.locks()
    hold = locks.acquire(locks.request("a", ["x"], ttl_s=60))
    world.clock.suspend(10_000)
    world.board().update("b", "awake")
    awake = world.store.read("wide").revision
    hold.release()

    assert [one["name"] for one in replay(world).at(awake)["active_locks"]] == ["x"]


def test_verdicts_are_not_kept_and_nobody_is_dead(world: World) -> None:
    process = world.process()
    locks = world.locks(process)
    locks.acquire(locks.request("a", ["x"]))
    taken = world.store.read("wide").revision
    world.host.kill(process.me())
    assert world.board().read()["ended_locks"][0]["why"] == "dead"

    assert [one["name"] for one in replay(world).at(taken)["active_locks"]] == ["x"]


@looks_inside
def test_a_commit_that_says_no_time_is_shown_by_the_clock(world: World) -> None:
    revision = world.put(agents__a=entry())
    world.store._state.journal[-1] = (revision, "noon", "a", world.store._state.journal[-1][3])

    assert replay(world).at(revision)["last_updated"] == "noon"


@pytest.mark.parametrize("wrong", [-1, "", None, "1", 1.5, True, 2**70])
def test_what_is_no_revision_is_refused(world: World, wrong: Any) -> None:
    world.put(agents__a=entry())

    with pytest.raises(UsageError):
        replay(world).at(wrong)
    with pytest.raises(UsageError):
        replay(world).commits(wrong)


@pytest.mark.parametrize("wrong", [0, -1, None, "1", 1.5, True, 100_001])
def test_a_number_of_commits_is_a_number(world: World, wrong: Any) -> None:
    with pytest.raises(UsageError):
        replay(world).timeline(wrong)
    with pytest.raises(UsageError):
        replay(world).commits(0, wrong)


@looks_inside
def test_what_is_not_kept_is_said_with_what_is() -> None:
    world = World(commits_kept_count=10)
    revisions = [world.put(agents__a=entry(status=f"{n}")) for n in range(30)]
    told = replay(world)

    assert told.span() == (revisions[20], revisions[-1])
    assert told.at(0)["revision"] == told.at(revisions[20])["revision"] == revisions[20]
    for revision in revisions[:20]:
        with pytest.raises(Compacted) as caught:
            told.at(revision)
        assert caught.value.fields["oldest"] in (revisions[19], revisions[20])
    with pytest.raises(Compacted):
        told.commits(revisions[5])
    assert [one["revision"] for one in told.commits()] == revisions[20:]
    assert [one["revision"] for one in told.commits(revisions[19], 3)] == revisions[20:23]
    assert [one["revision"] for one in told.timeline(3)] == [revisions[20], revisions[24], revisions[-1]]
    assert [one["revision"] for one in told.timeline(1)] == [revisions[-1]]


def test_commits_know_what_was_there_before_them(world: World) -> None:
    world.put(locks__x=lock("x", holding("a", 1)))
    after = world.store.read("wide").revision
    world.clock.advance(5)
    released = world.put(locks__x=None)

    (told,) = replay(world).commits(after)

    assert (told["revision"], told["who"]) == (released, "a")
    (event,) = told["events"]
    assert (event["event"], event["mode"], event["token"]) == ("lock.released", "exclusive", 1)
    assert event["held_s"] is not None


class Scene:
    """A project with a file store, in which agents do something."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.clock, self.host = ManualClock(), FakeHost()
        self.project = Latchboard(
            root, settings=Settings(**settings), clock=self.clock, host=self.host, publishes=False
        )
        self.random = random.Random(7)

    def work(self, count: int, reason_length: int = 200) -> int:
        for _ in range(count):
            agent = self.project.agent(f"agent-{self.random.randrange(20)}")
            hold = agent.lock(f"src/{self.random.randrange(100)}.py", reason="x" * reason_length)
            self.clock.advance(0.5)
            if self.random.random() < 0.2:
                self.project.board.update(agent.id, f"status {self.random.random()}")
            hold.release()
        return self.project.store.read("wide").revision

    def board(self) -> dict[str, Any]:
        """As a program that starts now shows it, and asks for no verdict."""
        settings = self.project.settings
        fold = Fold(
            self.project.store,
            self.clock,
            history_count=settings.board_history_count,
            journal=Tail(f"{self.project.root}/data/.agent_locks"),
        )
        state = fold.advance()
        board = rules.render(state, self.clock.now(), judge=lambda _: "unknowable", quiet_s=settings.agent_quiet_s)
        fold.close()
        return board


@pytest.mark.parametrize("rotating", [False, True])
def test_its_lists_go_back_as_far_as_those_of_a_program_that_starts(tmp_path: Path, rotating: bool) -> None:
    sizes: dict[str, Any] = {"journal_bytes_max": 200_000, "journals_kept_count": 100} if rotating else {}
    scene = Scene(tmp_path, board_history_count=5000, **sizes)
    taken = {}
    for _ in range(12):
        revision = scene.work(12, reason_length=6000)
        taken[revision] = scene.board()
    assert len(taken[revision]["file_modification_history"]) < 140, "more than the span was committed"

    for revision, board in taken.items():
        assert scene.project.replay.at(revision) == board
    assert scene.project.replay.timeline(2)[-1] == {"revision": revision, "at": board["last_updated"]}


def test_one_commit_longer_than_the_span_is_told_all_the_same(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.work(3)
    store = scene.project.store
    long = store.transact(lambda view: view.put("agents/x", {"n": "x" * SPAN_BYTES}), who="a").revision
    scene.work(3)

    assert scene.project.replay.at(long)["damaged"] == [{"key": "agents/x", "reason": "agent or status is no text"}]


def test_behind_a_damaged_line_there_is_the_newest_alone(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    before, damaged, behind, newest = (scene.work(1) for _ in range(4))
    (path,) = (tmp_path / "data/.agent_locks/journal").glob("*.jsonl")
    line = damaged - int(path.stem)
    data = bytearray(path.read_bytes())
    data[line + 20] ^= 1
    path.write_bytes(data)
    told = scene.project.replay

    assert told.at(before)["revision"] == before
    for revision in (damaged, behind):
        with pytest.raises(Compacted):
            told.at(revision)
    assert told.at(newest)["revision"] == newest
    assert told.commits(before) == [one for one in told.commits(0) if one["revision"] > before]
    assert told.timeline()[-1]["revision"] <= damaged
    assert told.span()[1] == newest


def test_the_replay_of_a_store_of_an_older_version_is_its_newest_revision(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    older, newest = scene.work(1), scene.work(1)
    (path,) = (tmp_path / "data/.agent_locks/journal").glob("*.records")
    path.unlink()
    told = scene.project.replay

    assert told.span() == (newest, newest)
    assert told.at(0) == told.at(newest) == scene.board()
    assert told.timeline() == []
    with pytest.raises(Compacted) as caught:
        told.at(older)
    assert caught.value.fields["oldest"] == newest


def test_a_foreign_value_however_deep_keeps_nobody_from_telling_the_time() -> None:
    value: dict[str, Any] = {"at": "2026-11-21T01:40:00.000000Z", "mono_s": 7.0, "boot": "b"}
    for _ in range(100_000):
        value = {"n": value}

    now = time_of([Change(1, "2026-11-21T01:40:00.000000Z", "a", "agents/x", value)])

    assert now == Now(1795225200.0, 0.0, "")
