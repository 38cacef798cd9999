"""Singletons and metrics on real files, a manual clock and a fake host: told, counted, logged and traced (K8)."""

from __future__ import annotations

import json
import logging
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest

from latchboard import founding
from latchboard.compose import Latchboard
from latchboard.errors import AlreadyRunning, StoreError, UsageError
from latchboard.host import ending
from latchboard.host.registry import Registry
from latchboard.rules.singleton import EVENTS
from latchboard.settings import Settings
from latchboard.singleton import Singletons
from latchboard.store.memory import MemoryStore
from latchboard.testing import FakeHost, ManualClock
from tests.interrupt import is_interrupted_at
from tests.services.engine import looks_inside

TYPE = "code_developer"


class World:
    """Several processes of one machine that look at one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = ManualClock()
        self.machine = FakeHost()
        self.store = MemoryStore(clock=self.clock)
        self.mounts: list[str] = []

    def singletons(self, settings: Settings | None = None) -> Singletons:
        settings = settings or Settings(guard_wait_s_max=30.0)
        registry = Registry(str(self.root), wait_s_max=30.0, look_at_mount=self.mounts.append)
        host = self.machine.as_process(self.machine.spawn())
        return Singletons(
            registry, self.store, self.clock, host, settings, ending=ending, started_s=lambda one: float(one["start"])
        )

    def leave(self, **changed: Any) -> None:
        """An entry of a process that is gone."""
        mine = self.singletons()
        mine.enforce(TYPE)
        folder = self.root / "data/.agent_pids"
        kept = {name: (folder / f"{TYPE}.{name}").read_bytes() for name in ("pid", "json")}
        mine.cleanup(TYPE)
        for name, data in kept.items():
            (folder / f"{TYPE}.{name}").write_bytes(changed.get(name, data))

    def traces(self) -> list[dict[str, Any]]:
        watch = self.store.watch("log/", after=0)
        return [event for change in watch.poll() if change.value for event in change.value["events"]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_an_entry_says_who_since_when(world: World) -> None:
    mine = world.singletons()

    with mine.enforce(TYPE) as registration:
        (status,) = mine.status([TYPE])
        record = json.loads((world.root / f"data/.agent_pids/{TYPE}.json").read_text())

    assert registration.pid == status["pid"] == record["process"]["pid"]
    assert (status["state"], status["verdict"], status["epoch"]) == ("running", "live", 0)
    assert status["registered_at"] == record["registered"]["at"]
    assert status["started_at"].endswith("Z")
    assert mine.status([TYPE])[0]["state"] == "free"


def test_again_in_one_process_is_given_back_as_often(world: World) -> None:
    mine, same = world.singletons(), world.singletons()

    with mine.enforce(TYPE) as outer:
        with same.enforce(TYPE) as inner:
            assert inner.is_held()
        assert not inner.is_held()
        assert outer.is_held()
        assert inner.release() is False
        assert outer.is_held()
    assert not outer.is_held()

    assert [one["event"] for one in world.traces()] == ["enforced", "cleaned"]


def test_cleanup_gives_all_back_at_once(world: World) -> None:
    mine = world.singletons()
    first, second = mine.enforce(TYPE), mine.enforce(TYPE)

    assert mine.cleanup(TYPE) is True

    assert not first.is_held()
    assert not second.is_held()
    assert mine.cleanup(TYPE) is False
    assert second.release() is False


def test_threads_of_one_process_are_one(world: World) -> None:
    mine = world.singletons()
    gate = threading.Barrier(8)
    wrong: list[BaseException] = []

    def work() -> None:
        gate.wait()
        try:
            for _ in range(10):
                with mine.enforce(TYPE) as registration:
                    assert registration.is_held()
        except BaseException as exc:  # noqa: BLE001 - shown below
            wrong.append(exc)

    crowd = [threading.Thread(target=work) for _ in range(8)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()

    assert wrong == []
    assert mine.status([TYPE])[0]["state"] == "free"


def test_a_stale_entry_is_cleaned_and_said(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.leave()
    mine = world.singletons()

    with caplog.at_level(logging.INFO, "latchboard"):
        mine.enforce(TYPE).release()

    assert [one["event"] for one in world.traces()][-3:] == ["stale_cleaned", "enforced", "cleaned"]
    lines = [record.message.split()[0] for record in caplog.records]
    assert lines == [f"agent.singleton.{event}" for event in ("stale_cleaned", "enforced", "cleaned")]
    assert mine.counts()[TYPE] == {"enforced": 2, "blocked": 0, "stale_cleaned": 1, "cleaned": 2}


def test_an_operator_removes_a_stale_entry(world: World) -> None:
    world.leave(json=b"{", pid=b"x")
    mine = world.singletons()

    before = mine.release(TYPE)

    assert (before["state"], before["released"], before["pid"]) == ("stale", True, None)
    assert "could not be read" in before["why"]
    assert mine.release(TYPE)["released"] is False


def test_nothing_is_made_by_looking(world: World) -> None:
    mine = world.singletons()

    assert {one["state"] for one in mine.status()} == {"free"}
    assert mine.release(TYPE)["released"] is False
    assert mine.cleanup(TYPE) is False
    assert set(mine.counts()[TYPE].values()) == {0}
    assert list(world.root.iterdir()) == []


def test_types_are_a_setting(world: World) -> None:
    mine = world.singletons(Settings(singleton_types=["reviewer"]))

    assert mine.enforce("reviewer").is_restricted
    assert not mine.enforce(TYPE).is_restricted
    assert [one["agent_type"] for one in mine.status()] == ["reviewer"]
    mine.cleanup("reviewer")
    other = world.singletons()
    assert "reviewer" in [one["agent_type"] for one in other.status()], "what left something is shown"


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "a\0", "", "x" * 1000])
def test_hostile_types_are_refused_by_every_way_in(world: World, name: str) -> None:
    mine = world.singletons()

    for call in (mine.enforce, mine.cleanup, mine.release, lambda one: mine.status([one])):
        with pytest.raises(UsageError):
            call(name)
    assert list(world.root.iterdir()) == []


def test_a_free_type_needs_no_giving_back(world: World) -> None:
    with world.singletons().enforce("assistant") as registration:
        assert (registration.is_restricted, registration.is_held(), registration.pid) == (False, True, None)

    assert registration.release() is False


def test_counts_that_cannot_be_read_begin_again(world: World) -> None:
    mine = world.singletons()
    mine.enforce(TYPE).release()
    (world.root / "data/.agent_pids/.counts").write_bytes(b"\0{")

    mine.enforce(TYPE).release()

    assert mine.counts()[TYPE]["enforced"] == 1


def test_text_that_cannot_be_written_again_is_in_nobodys_way(world: World) -> None:
    world.leave()
    folder = world.root / "data/.agent_pids"
    record = json.loads((folder / f"{TYPE}.json").read_text())
    (folder / f"{TYPE}.json").write_text(json.dumps({**record, "version": "\ud800"}))
    (folder / ".counts").write_text(json.dumps({"format": 1, "counts": {"\ud800": {"enforced": 1}}}))
    mine = world.singletons()

    status = mine.status([TYPE])[0]
    mine.enforce(TYPE).release()

    assert (status["state"], status["version"], status["pid"]) == ("stale", None, record["process"]["pid"])
    assert mine.counts()[TYPE]["enforced"] == 1


def test_a_store_that_cannot_be_used_keeps_nobody_out(world: World, caplog: pytest.LogCaptureFixture) -> None:
    mine = world.singletons()
    (world.root / "data").mkdir()
    board = Latchboard(world.root, publishes=False)
    (world.root / "data/.agent_locks").write_text("no folder")

    with board.singletons.enforce(TYPE) as registration:
        assert registration.is_held()

    assert "no trace of code_developer in the store" in caplog.text
    assert mine.counts()[TYPE]["enforced"] == 1


def test_the_mount_is_looked_at_once(world: World) -> None:
    mine = world.singletons()
    mine.enforce(TYPE).release()
    mine.enforce(TYPE).release()

    assert world.mounts == [mine.registry.path]


def test_a_network_file_system_is_warned_about(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from latchboard.store.files import mount

    table = world.root / "mountinfo"
    table.write_text(f"1 2 0:1 / / rw - ext4 a rw\n3 4 0:2 / {world.root} rw - nfs4 server:/x rw\n")
    monkeypatch.setattr(mount, "_TABLE", str(table))
    board = Latchboard(world.root, publishes=False, store=world.store)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        board.singletons.enforce(TYPE).release()

    assert any("network file system nfs4" in str(one.message) for one in caught)


def test_what_was_counted_is_told_while_the_store_of_other_machines_is_away(tmp_path: Path) -> None:
    board = Latchboard(tmp_path, settings=Settings(store="etcd://127.0.0.1:1/p"), publishes=False)
    board.store.access.call_s_max = 0.1  # type: ignore[attr-defined]
    with board.singletons.enforce("daemon"):
        found = board.metrics.text()
    board.close()

    assert 'latchboard_singleton_enforced_total{agent_type="daemon"} 1' in found
    assert "latchboard_singleton_running" not in found


def test_metrics_are_text_for_prometheus(world: World) -> None:
    board = Latchboard(world.root, publishes=False, store=world.store)

    with board.singletons.enforce(TYPE):
        lines = board.metrics.text().splitlines()

    assert f'latchboard_singleton_enforced_total{{agent_type="{TYPE}"}} 1' in lines
    assert f'latchboard_singleton_running{{agent_type="{TYPE}"}} 1' in lines
    for event in EVENTS:
        assert f"# TYPE latchboard_singleton_{event}_total counter" in lines
        assert any(line.startswith(f"# HELP latchboard_singleton_{event}_total ") for line in lines)


def test_the_founding_names_are_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import latchboard

    (world.root / ".git").mkdir()
    monkeypatch.chdir(world.root)

    words = "code_developer project_manager architect generator reflector curator"
    assert " ".join(latchboard.SINGLETON_AGENTS) == words
    assert latchboard.AgentAlreadyRunningError is AlreadyRunning
    with latchboard.enforce_singleton(TYPE):
        assert latchboard.cleanup_singleton(TYPE) is True
    assert founding.cleanup_singleton(TYPE, root=world.root) is False


def test_a_folder_that_cannot_be_written_takes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = world.singletons()
    mine.enforce(TYPE).release()
    folder = world.root / "data/.agent_pids"
    (folder / f"{TYPE}.pid").mkdir()  # an entry cannot take the place of a folder

    with pytest.raises(StoreError):
        mine.enforce(TYPE)

    (folder / f"{TYPE}.pid").rmdir()
    with mine.enforce(TYPE) as registration:
        assert registration.is_held()


def test_who_registered_without_a_start_time_is_told_by_when_it_registered() -> None:
    exc = AlreadyRunning("x", hint="y", agent_type=TYPE, pid=1, started_at=None, registered_at="then", process={})

    assert (exc.started_at, exc.exit_status, exc.retryable) == ("then", 10, True)


@looks_inside
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # some places are in __del__
def test_whoever_is_interrupted_at_any_place_is_not_registered__failure_3_16(world: World) -> None:
    mine, another = world.singletons(), world.singletons()
    mine.enforce(TYPE).release()

    for number in range(5_000):
        is_interrupted = is_interrupted_at(number, lambda: mine.enforce(TYPE))
        is_left = another.status([TYPE])[0]["state"] != "running"
        assert is_left == is_interrupted, number
        assert mine.cleanup(TYPE) != is_interrupted, number
        if not is_interrupted:
            break

    assert 100 < number < 4_999


@looks_inside
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_who_was_interrupted_while_giving_back_can_do_it_again__failure_3_16(world: World) -> None:
    mine, another = world.singletons(), world.singletons()
    mine.enforce(TYPE).release()

    for number in range(5_000):
        mine.enforce(TYPE)
        is_interrupted = is_interrupted_at(number, lambda: mine.cleanup(TYPE))
        mine.cleanup(TYPE)
        assert another.status([TYPE])[0]["state"] != "running", number
        if not is_interrupted:
            break

    assert 50 < number < 4_999
