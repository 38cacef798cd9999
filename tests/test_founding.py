"""The founding protocol's functions do what their users know them for."""

from __future__ import annotations

import select
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

import latchboard
from latchboard import Latchboard, founding
from latchboard.errors import ProtocolError, UsageError


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_lock_is_taken_seen_and_given_back() -> None:
    assert latchboard.acquire_lock("src/a.py", "planner")
    assert latchboard.acquire_lock("src/a.py", "planner"), "taking it again is harmless"

    found = latchboard.check_conflicts(["src/a.py", "src/b.py"], "builder")
    assert [(one["file_path"], one["locked_by"], one["status"]) for one in found] == [("src/a.py", "planner", "locked")]
    assert found[0]["lock_timestamp"].endswith("Z")
    assert latchboard.check_conflicts(["src/a.py"], "planner") == []

    assert not latchboard.release_lock("src/a.py", "builder")
    assert latchboard.release_lock("src/a.py", "planner")
    assert not latchboard.release_lock("src/a.py", "planner")


def test_the_timeout_is_really_waited() -> None:
    assert latchboard.acquire_lock("src/a.py", "planner")

    started = time.monotonic()
    assert not latchboard.acquire_lock("src/a.py", "builder", timeout=0.3)

    assert 0.3 <= time.monotonic() - started < 20


def test_the_timeout_ends_with_the_release() -> None:
    assert latchboard.acquire_lock("src/a.py", "planner")
    release = threading.Timer(0.05, latchboard.release_lock, ("src/a.py", "planner"))
    release.start()

    assert latchboard.acquire_lock("src/a.py", "builder", timeout=20)
    release.join()
    assert latchboard.release_lock("src/a.py", "builder")


def test_waiting_that_would_be_a_deadlock_is_no() -> None:
    assert latchboard.acquire_lock("a.py", "planner")
    assert latchboard.acquire_lock("b.py", "builder")
    store = founding._board().store
    with closing(store.watch("waiters/", after=store.read().revision)) as line:
        waiting = threading.Thread(target=latchboard.acquire_lock, args=("b.py", "planner", 20))
        waiting.start()
        while not line.poll():  # it may be readable without news
            assert select.select([line], [], [], 20)[0]

    started = time.monotonic()
    assert not latchboard.acquire_lock("a.py", "builder", timeout=20)

    assert time.monotonic() - started < 10
    assert latchboard.release_lock("b.py", "builder")
    waiting.join(20)


def test_every_spelling_is_one_lock_and_folders_count(project: Path) -> None:
    assert latchboard.acquire_lock("src/../src/a.py", "planner")

    assert not latchboard.acquire_lock(str(project / "src" / "a.py"), "builder", timeout=0)
    assert not latchboard.acquire_lock("src/", "builder", timeout=0)
    assert latchboard.release_lock("./src/a.py", "planner")
    assert latchboard.acquire_lock("src/", "builder", timeout=0)


def test_project_is_the_one_around_the_current_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert latchboard.acquire_lock("src/a.py", "planner")
    monkeypatch.chdir(project / "src")

    (found,) = latchboard.check_conflicts(["src/a.py"], "builder")

    assert found["locked_by"] == "planner"
    assert founding._board() is founding._board()


def test_what_cannot_be_right_is_refused_and_what_cannot_be_read_is_held(project: Path) -> None:
    for path, agent, timeout in (("", "a", 0), ("x.py", " ", 0), ("x.py", "a", -1), ("x.py", "a", float("nan"))):
        with pytest.raises(UsageError):
            latchboard.acquire_lock(path, agent, timeout)
    latchboard.acquire_lock("x.py", "planner")
    (record,) = (project / "data" / ".agent_locks").glob("*.lock")
    record.write_text("{}")
    Latchboard(project, publishes=False).agent("other").lock("y.py").release()  # this process must look again

    with pytest.raises(ProtocolError):
        latchboard.acquire_lock("x.py", "builder", timeout=0)


def test_status_renews_the_agents_locks(project: Path) -> None:
    assert latchboard.acquire_lock("a.py", "planner")

    latchboard.update_status_board("planner", "still at it", ["a.py"])

    lease = founding._board().store.read("leases/planner").get("leases/planner")
    assert lease is not None and lease["renewed"]["mono_s"] > lease["chains"][0]["since"]["mono_s"]


def test_releasing_one_path_never_frees_another() -> None:
    assert latchboard.acquire_lock("src/x.py", "planner")
    assert latchboard.acquire_lock("x.py", "planner")

    assert latchboard.release_lock("x.py", "planner")

    assert len(latchboard.check_conflicts(["src/x.py"], "builder")) == 1


def test_the_agent_comes_from_the_environment_else_it_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    latchboard.acquire_lock("a.py")
    monkeypatch.setenv("AGENT_ID", "planner")
    latchboard.acquire_lock("b.py")

    holders = [one["locked_by"] for one in latchboard.check_conflicts(["a.py", "b.py"], "builder")]

    assert holders == ["unknown_agent", "planner"]


def test_messages_reach_the_exact_recipient_once() -> None:
    latchboard.send_message("a_b", "for a_b", "planner")
    latchboard.send_message("a", "for a", "planner")

    taken = latchboard.read_messages("a")

    assert [(m["from"], m["to"], m["message"]) for m in taken] == [("planner", "a", "for a")]
    assert taken[0]["timestamp"].endswith("Z")
    assert latchboard.read_messages("a") == []
    assert [m["message"] for m in latchboard.read_messages("a_b")] == ["for a_b"]


def test_the_board_says_what_an_agent_does(project: Path) -> None:
    latchboard.update_status_board("planner", "thinking", ["src/a.py"])

    (seen,) = Latchboard(project, publishes=False).board.agents()

    assert (seen["agent"], seen["status"], seen["files"]) == ("planner", "thinking", ["src/a.py"])


def test_cleanup_counts_what_it_removed(project: Path) -> None:
    Latchboard(project, publishes=False).agent("late").lock("a.py", "b.py", bound="agent", ttl_s=0.001)
    latchboard.acquire_lock("c.py", "planner")
    while Latchboard(project, publishes=False).locks.check(["a.py"]):
        continue  # a millisecond of lease

    assert latchboard.cleanup_stale_locks() == 2
    assert latchboard.cleanup_stale_locks() == 0
    assert len(latchboard.check_conflicts(["c.py"], "builder")) == 1
