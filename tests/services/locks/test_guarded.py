"""Guarded writes: the file changes only while the writer's hold lasts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from latchboard.errors import HoldLost, StaleToken, StoreError, TakenOver, UsageError
from latchboard.locks import Hold
from latchboard.locks.guarded import write_with_token
from tests.services.locks.scene import Scene


def read(scene: Scene, name: str) -> str:
    return Path(scene.root, name).read_text()


def test_holder_writes_what_it_holds(scene: Scene) -> None:
    with scene.process().agent("a").lock("a.txt") as hold:
        hold.write("a.txt", "text")
        hold.write("./a.txt", b"bytes")

    assert read(scene, "a.txt") == "bytes"
    assert [t["name"] for t in scene.traces("write")] == ["a.txt", "a.txt"]
    assert os.listdir(scene.root) == ["a.txt"]


@pytest.mark.parametrize("held", ["src/", "glob:src/**/*.txt", "./"])
def test_holder_of_a_folder_or_glob_writes_what_is_in_it(scene: Scene, held: str) -> None:
    os.mkdir(f"{scene.root}/src")

    with scene.process().agent("a").lock(held) as hold:
        hold.write("src/a.txt", "x")
        if held != "./":
            with pytest.raises(UsageError, match=r"does not cover b\.txt"):
                hold.write("b.txt", "x")

    assert read(scene, "src/a.txt") == "x"
    assert not Path(scene.root, "b.txt").exists()


def test_reader_does_not_write(scene: Scene) -> None:
    with scene.process().agent("a").lock("a.txt", shared=True) as hold, pytest.raises(UsageError, match="shared"):
        hold.write("a.txt", "x")

    assert os.listdir(scene.root) == []


def test_reader_that_became_a_writer_writes_with_either_token(scene: Scene) -> None:
    a = scene.process().agent("a")
    with a.lock("a.txt", shared=True) as shared, a.lock("a.txt") as exclusive:
        exclusive.write("a.txt", "new token")
        shared.write("a.txt", "old token")

    assert read(scene, "a.txt") == "old token"


def test_reader_whose_fellow_is_gone_is_told_that_it_is_a_reader(scene: Scene) -> None:
    writer, gone = scene.process().agent("w").lock("a.txt"), scene.process()
    line = [gone.line("r1", "a.txt", shared=True), scene.process().line("r2", "a.txt", shared=True)]
    writer.release()  # one commit makes both of them holders, with one token
    first, second = (waiter.look() for waiter in line)
    assert isinstance(first, Hold) and isinstance(second, Hold) and first.token == second.token
    gone.kill()

    with pytest.raises(UsageError, match="shared"):
        second.write("a.txt", "x")


def test_token_alone_is_enough_from_any_process(scene: Scene) -> None:
    hold = scene.process().agent("a").lock("a.txt")
    other = scene.process().locks

    write_with_token(other, "a.txt", "x", hold.token)
    with pytest.raises(TakenOver):
        write_with_token(other, "a.txt", "y", hold.token - 1)
    hold.release()
    with pytest.raises(StaleToken, match=r"nobody holds a\.txt with token"):
        write_with_token(other, "a.txt", "z", hold.token)

    assert read(scene, "a.txt") == "x"


def test_hold_of_a_process_that_is_gone_protects_nothing(scene: Scene) -> None:
    holder = scene.process()
    hold = holder.agent("a").lock("a.txt")
    holder.kill()

    with pytest.raises(HoldLost, match=r"the process of a that held a\.txt is gone"):
        write_with_token(scene.process().locks, "a.txt", "x", hold.token)

    assert os.listdir(scene.root) == []


def test_hold_that_was_given_back_writes_nothing_although_the_outer_one_lasts(scene: Scene) -> None:
    a = scene.process().agent("a")
    with a.lock("a.txt"):
        inner = a.lock("a.txt")
        inner.release()
        with pytest.raises(HoldLost, match=r"given a\.txt back"):
            inner.write("a.txt", "x")

    assert os.listdir(scene.root) == []


def test_refused_write_leaves_nothing_beside_the_file(scene: Scene) -> None:
    hold = scene.process().agent("a").lock("a.txt", ttl_s=5)
    hold.write("a.txt", "kept")
    scene.clock.advance(5)

    with pytest.raises(HoldLost):
        hold.write("a.txt", "late")

    assert os.listdir(scene.root) == ["a.txt"]
    assert read(scene, "a.txt") == "kept"


def test_store_that_refuses_leaves_the_file_as_it_was(scene: Scene) -> None:
    process = scene.process()
    hold = process.agent("a").lock("a.txt")
    hold.write("a.txt", "kept")

    def refuse(*args: object, **options: object) -> object:
        raise StoreError("no")

    process.locks.store.transact = refuse  # type: ignore[method-assign]
    with pytest.raises(StoreError):
        hold.write("a.txt", "lost")

    assert read(scene, "a.txt") == "kept"
    assert os.listdir(scene.root) == ["a.txt"]


def test_link_that_leads_elsewhere_is_not_covered(scene: Scene) -> None:
    os.symlink("elsewhere.txt", f"{scene.root}/a.txt")
    Path(scene.root, "elsewhere.txt").write_text("kept")
    Path(scene.root, "b.txt").write_text("b")
    hold = scene.process().agent("a").lock("b.txt")

    with pytest.raises(UsageError, match=r"does not cover elsewhere\.txt"):
        hold.write("a.txt", "x")

    assert read(scene, "elsewhere.txt") == "kept"


def test_link_that_is_turned_after_the_lock_was_taken_leads_the_write_nowhere(scene: Scene) -> None:
    Path(scene.root, "one.txt").write_text("1")
    Path(scene.root, "two.txt").write_text("2")
    os.symlink("one.txt", f"{scene.root}/link")
    hold = scene.process().agent("a").lock("link")
    os.unlink(f"{scene.root}/link")
    os.symlink("two.txt", f"{scene.root}/link")

    with pytest.raises(UsageError, match="does not cover two"):
        hold.write("link", "x")

    assert (read(scene, "one.txt"), read(scene, "two.txt")) == ("1", "2")
