"""Hard links: the file is held as long as one of its paths is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from latchboard.locks.breaking import break_lock
from tests.services.locks.scene import Scene


@pytest.fixture(autouse=True)
def link(scene: Scene) -> str:
    """Two paths of one file; the name of their link."""
    path = Path(scene.root, "a.py")
    path.write_text("x")
    os.link(path, f"{scene.root}/b.py")
    status = path.stat()
    return f"hardlink:{status.st_dev}-{status.st_ino}"


@pytest.mark.parametrize("bound", ["process", "agent"])
def test_file_is_held_until_the_last_of_its_paths_is_given_back(scene: Scene, bound: Any) -> None:
    a, b = scene.process().agent("a"), scene.process().agent("b")
    first, second = a.lock("a.py", bound=bound), a.lock("b.py", bound=bound)

    assert second.release()

    assert first.is_live()
    assert not b.try_lock("b.py")
    assert first.release()
    assert scene.is_empty()


@pytest.mark.parametrize("kept", [0, 1])
@pytest.mark.parametrize("bound", ["process", "agent"])
@pytest.mark.parametrize("is_one_request", [True, False])
def test_path_that_is_released_by_name_leaves_the_link_to_the_other(
    scene: Scene, link: str, is_one_request: bool, bound: Any, kept: int
) -> None:
    process, other = scene.process(), scene.process().agent("b")
    for paths in [("a.py", "b.py")] if is_one_request else [("a.py",), ("b.py",)]:
        process.agent("a").lock(*paths, bound=bound)
    stays, goes = ("a.py", "b.py") if kept == 0 else ("b.py", "a.py")

    assert process.locks.release_names("a", [goes]) == [goes]

    assert not other.try_lock(goes)
    assert process.locks.release_names("a", [link]) == []
    assert process.locks.release_names("a", [stays]) == [stays, link]
    assert scene.is_empty()


@pytest.mark.parametrize("bound", ["process", "agent"])
def test_everything_that_is_released_at_once_leaves_no_link(scene: Scene, bound: Any) -> None:
    process = scene.process()
    for path in ("b.py", "a.py"):
        process.agent("a").lock(path, bound=bound)

    process.locks.release_names("a")

    assert scene.is_empty()


def test_request_that_is_undone_leaves_the_link_to_the_one_that_came_later(scene: Scene) -> None:
    process, other = scene.process(), scene.process().agent("b")
    first = process.agent("a").lock("a.py", bound="agent")
    second = process.agent("a").lock("b.py", bound="agent")

    first.undo()

    assert second.is_live()
    assert not other.try_lock("a.py")
    assert second.release()
    assert scene.is_empty()


def test_block_of_one_path_keeps_the_link_when_the_claim_of_the_other_goes(scene: Scene) -> None:
    process, other = scene.process(), scene.process().agent("b")
    block = process.agent("a").lock("b.py")
    process.agent("a").lock("a.py", bound="agent").release()

    assert block.is_live()
    assert not other.try_lock("a.py")
    assert block.release()
    assert scene.is_empty()


def test_link_does_not_end_before_the_path_that_came_later(scene: Scene) -> None:
    process = scene.process()
    process.agent("a").lock("a.py", ttl_s=100)
    scene.clock.advance(20)  # within what use need not renew
    second = process.agent("a").lock("b.py", ttl_s=100)

    scene.clock.advance(90)

    assert second.is_live()


def test_readers_of_two_processes_give_back_their_own_link_each(scene: Scene, link: str) -> None:
    here, there = scene.process(), scene.process()
    here.agent("a").lock("a.py", shared=True)
    kept = there.agent("a").lock("b.py", shared=True)

    here.locks.release_names("a", ["a.py"])

    assert kept.is_live()
    assert len(scene.record(link)["holders"]) == 1


def test_record_that_cannot_be_read_may_need_the_link(scene: Scene, link: str) -> None:
    process = scene.process()
    process.agent("a").lock("a.py", bound="agent")
    process.agent("a").lock("b.py", bound="agent")
    scene.put("locks/b.py", {"name": "b.py"})

    process.locks.release_names("a", ["a.py"])

    assert scene.record("a.py") is None
    assert scene.holders(link) == [("a", "exclusive")]
    break_lock(process.locks, "b.py", by="operator", reason="damage")
    assert scene.is_empty()


def test_handoff_of_one_path_waits_for_the_other(scene: Scene) -> None:
    from latchboard.locks import handoff

    holder = scene.process()
    holder.agent("a").lock("a.py", bound="agent")
    holder.agent("a").lock("b.py", bound="agent")
    asker = scene.process().line("b", "a.py", handoff={"state": "asked"})

    assert handoff.grant(holder.locks, asker.id, by="a") is False

    assert not asker.holds
    holder.locks.release_names("a", ["b.py"])
    assert asker.holds


def test_break_of_one_path_leaves_the_other_its_link(scene: Scene, link: str) -> None:
    process, operator = scene.process(), scene.process().locks
    process.agent("a").lock("a.py", bound="agent")
    kept = process.agent("a").lock("b.py", bound="agent")

    broken = break_lock(operator, "a.py", by="operator", reason="test")

    assert [one["name"] for one in broken] == ["a.py"]
    assert kept.is_live()


@pytest.mark.parametrize("is_damaged", [True, False])
def test_break_of_the_link_breaks_its_paths(scene: Scene, link: str, is_damaged: bool) -> None:
    process, operator = scene.process(), scene.process().locks
    process.agent("a").lock("a.py", bound="agent")
    process.agent("a").lock("b.py", bound="agent")
    if is_damaged:
        scene.put(f"locks/{link}", {"name": link})

    broken = break_lock(operator, "a.py" if is_damaged else link, by="operator", reason="test")

    assert {"a.py", "b.py"} <= {one["name"] for one in broken}
    assert scene.is_empty()
