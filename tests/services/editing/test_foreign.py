"""Foreign changes: found, kept on both sides, told once, and nobody accused who may not have done it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from latchboard import Latchboard
from latchboard.testing import ManualClock

if TYPE_CHECKING:
    from pathlib import Path


class Scene:
    """One project; agents edit and run shell calls through the services that hooks call."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = ManualClock()
        self.board = Latchboard(root, clock=self.clock, publishes=False)

    def hold(self, agent: str, *names: str) -> None:
        """One edit of these files, from its begin to its end."""
        begun = self.board.editing.begin(agent, list(names))
        assert begun.refusal is None
        self.board.editing.done(agent, list(names))

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def before(self, agent: str) -> list[Any]:
        return self.board.foreign.before_call(agent)

    def after(self, agent: str) -> list[Any]:
        """What a hook does after a shell call."""
        found = self.board.foreign.after_call(agent)
        self.board.editing.done(agent)
        return found

    def bytes_of(self, image: Any) -> bytes | None:
        return self.board.images.kept.read(image["sha256"])

    def mail(self, agent: str) -> list[str]:
        return [message["body"] for message in self.board.mailbox.receive(agent)]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_shell_call_that_changes_a_held_file_is_told_to_both_with_both_sides_kept(scene: Scene) -> None:
    scene.write("src/a.py", "one\ntwo\n")
    scene.hold("A", "src/a.py")

    scene.before("B")
    scene.write("src/a.py", "one\n2\n")
    (found,) = scene.after("B")

    (file,) = found["files"]
    assert (found["holder"], found["by"], found["certain"], found["also"]) == ("A", "B", True, [])
    assert (scene.bytes_of(file["before"]), scene.bytes_of(file["after"])) == (b"one\ntwo\n", b"one\n2\n")
    diff = scene.root / "data/.agent_locks" / file["diff"]
    assert diff.read_text() == "--- a/src/a.py\n+++ b/src/a.py\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"
    (to_a,), (to_b,) = scene.mail("A"), scene.mail("B")
    assert f"latchboard conflict show {found['id']}" in to_a
    assert f"latchboard conflict restore {found['id']} --agent A" in to_a
    assert "src/a.py" in to_b
    assert f"latchboard conflict show {found['id']}" in to_b
    (conflict,) = scene.board.board.conflicts()
    assert (conflict["kind"], conflict["asked_by"], conflict["names"]) == ("foreign-change", "B", ["src/a.py"])
    assert conflict["held_by"][0]["agent"] == "A"


def test_it_is_told_once(scene: Scene) -> None:
    scene.write("a", "one")
    scene.hold("A", "a")
    scene.before("B")
    scene.write("a", "two")
    assert len(scene.after("B")) == 1

    again = [*scene.before("B"), *scene.after("B"), *scene.before("C"), *scene.after("C")]

    assert again == []
    assert len(scene.mail("A")) == 1


def test_what_was_there_before_the_call_is_told_to_the_holder_alone_as_by_somebody_unknown(scene: Scene) -> None:
    scene.write("a", "one")
    scene.hold("A", "a")
    scene.write("a", "two")

    (found,) = scene.before("B")

    assert (found["by"], found["certain"]) == (None, False)
    assert "somebody unknown" in scene.mail("A")[0]
    assert scene.mail("B") == []
    assert scene.after("B") == []


def test_a_change_of_the_agents_own_file_before_its_call_is_not_its_own(scene: Scene) -> None:
    scene.write("a", "one")
    scene.hold("A", "a")
    scene.write("a", "two")

    (found,) = scene.before("A")

    assert (found["holder"], found["by"]) == ("A", None)
    assert "somebody unknown" in scene.mail("A")[0]


def test_what_the_holder_does_in_its_own_shell_call_is_its_own(scene: Scene) -> None:
    scene.write("a", "one")
    scene.hold("A", "a")

    assert scene.before("A") == []
    scene.write("a", "two")
    assert scene.after("A") == []

    assert [*scene.before("B"), *scene.after("B")] == []
    assert scene.mail("A") == []


def test_a_holder_in_a_call_of_its_own_makes_it_uncertain(scene: Scene) -> None:
    scene.write("a", "one")
    scene.hold("A", "a")

    scene.before("A")
    scene.before("B")
    scene.write("a", "two")
    (found,) = scene.after("B")

    assert (found["by"], found["certain"], found["also"]) == ("B", False, ["A"])
    assert "not certain" in scene.mail("A")[0]
    assert "not certain" in scene.mail("B")[0]
    assert scene.bytes_of(found["files"][0]["before"]) == b"one"


def test_a_third_agent_in_a_call_makes_it_uncertain_and_is_named(scene: Scene) -> None:
    scene.write("a", "one")
    scene.hold("A", "a")

    scene.before("B")
    scene.before("C")
    scene.write("a", "two")
    (found,) = scene.after("B")

    assert (found["certain"], found["also"]) == (False, ["C"])
    assert "C" in scene.mail("A")[0]


def test_nobody_is_told_of_an_edit_that_the_holder_is_just_making(scene: Scene) -> None:
    scene.write("a", "one")
    scene.board.editing.begin("A", ["a"])
    scene.write("a", "two")

    assert [*scene.before("B"), *scene.after("B")] == []
    scene.board.editing.done("A", ["a"])

    assert [*scene.before("B"), *scene.after("B")] == []
    assert (scene.mail("A"), scene.mail("B")) == ([], [])


def test_what_was_seen_while_the_holder_was_busy_is_not_this_calls_doing_even_when_the_holder_never_ended(
    scene: Scene,
) -> None:
    scene.write("a", "one")
    scene.board.editing.begin("A", ["a"])
    scene.write("a", "two")
    scene.before("B")
    scene.clock.advance(scene.board.settings.call_s_max - 1)
    scene.board.store.transact(lambda view: view.delete("calls/A"), who="A")

    (found,) = scene.after("B")

    assert found["by"] is None
    assert scene.mail("B") == []


def test_a_call_that_lost_its_end_keeps_nothing_from_being_told_and_leaves_a_doubt(scene: Scene) -> None:
    scene.write("a", "one")
    scene.hold("A", "a")
    scene.before("A")
    scene.clock.advance(scene.board.settings.call_s_max + 1)

    scene.before("B")
    scene.write("a", "two")
    (found,) = scene.after("B")

    assert (found["by"], found["certain"], found["also"]) == ("B", False, [])


def test_a_change_of_the_agents_own_file_before_its_edit_is_not_its_own(scene: Scene) -> None:
    scene.write("a", "one\n")
    scene.hold("A", "a")
    scene.write("a", "two\n")

    scene.board.editing.begin("A", ["a"])

    (found,) = scene.board.conflicts.every()
    assert (found["holder"], found["by"]) == ("A", None)
    assert "somebody unknown" in scene.mail("A")[0]
    assert b"-one\n+two\n" in scene.board.conflicts.diff(found["files"][0])
    scene.write("a", "three\n")
    scene.board.editing.done("A", ["a"])
    assert len(scene.board.conflicts.every()) == 1


def test_an_edit_whose_end_nobody_saw_is_told_to_nobody_at_the_next_one(scene: Scene) -> None:
    scene.write("a", "one")
    scene.board.editing.begin("A", ["a"])
    scene.write("a", "two")
    scene.clock.advance(scene.board.settings.call_s_max + 1)

    scene.board.editing.begin("A", ["a"])
    scene.before("A")

    assert scene.board.conflicts.every() == []


def test_what_changed_in_the_holders_own_call_while_another_was_open_is_told_in_doubt(scene: Scene) -> None:
    scene.write("a", "one")
    scene.hold("A", "a")
    scene.before("B")
    scene.before("A")
    scene.write("a", "two")

    (found,) = scene.after("A")

    assert (found["by"], found["certain"], found["also"]) == ("A", False, ["B"])
    assert "not certain" in scene.mail("A")[0]
    assert scene.after("B") == []
    assert scene.mail("B") == []


def test_what_the_holders_own_command_names_is_its_own(scene: Scene) -> None:
    scene.write("src/a.py", "one")
    scene.hold("A", "src/a.py")
    scene.before("B")
    scene.before("A")
    scene.write("src/a.py", "two")

    assert scene.board.foreign.after_call("A", "ruff format src/a.py") == []


def test_a_guarded_write_of_the_holder_is_its_own_and_its_bytes_are_kept(scene: Scene) -> None:
    scene.write("a", "one")
    scene.hold("A", "a")
    me = scene.board.agent("A")

    with me.lock("a") as hold:
        hold.write("a", "two")

    assert [*scene.before("B"), *scene.after("B")] == []
    scene.before("B")
    scene.write("a", "three")
    (found,) = scene.after("B")
    assert scene.bytes_of(found["files"][0]["before"]) == b"two"


def test_deleted_made_and_replaced_files_are_found(scene: Scene) -> None:
    for name in ("gone", "folder", "link"):
        scene.write(name, "one")
    scene.hold("A", "gone", "folder", "link", "new")

    scene.before("B")
    for name in ("gone", "folder", "link"):
        (scene.root / name).unlink()
    (scene.root / "folder").mkdir()
    (scene.root / "link").symlink_to("gone")
    scene.write("new", "two")
    (found,) = scene.after("B")

    sides = {one["name"]: (one["before"], one["after"]) for one in found["files"]}
    assert set(sides) == {"gone", "folder", "link", "new"}
    assert sides["gone"][1] is None
    assert sides["new"][0] is None
    assert all(scene.bytes_of(sides[name][0]) == b"one" for name in ("gone", "folder", "link"))
    assert scene.bytes_of(sides["new"][1]) == b"two"
    assert [*scene.before("B"), *scene.after("B")] == []


def test_a_folder_that_went_takes_its_files_along(scene: Scene) -> None:
    scene.write("src/a", "one")
    scene.write("src/b", "two")
    scene.hold("A", "src/a", "src/b")

    scene.before("B")
    shutil.rmtree(scene.root / "src")
    (found,) = scene.after("B")

    assert [one["name"] for one in found["files"]] == ["src/a", "src/b"]


def test_files_of_two_holders_are_two_conflicts(scene: Scene) -> None:
    scene.write("a", "one")
    scene.write("b", "one")
    scene.hold("A", "a")
    scene.hold("C", "b")

    scene.before("B")
    scene.write("a", "two")
    scene.write("b", "two")
    found = scene.after("B")

    assert sorted(one["holder"] for one in found) == ["A", "C"]
    assert len(scene.board.board.conflicts()) == 2


def test_a_file_that_is_not_held_any_more_is_nobodys(scene: Scene) -> None:
    scene.write("a", "one")
    scene.hold("A", "a")
    scene.board.locks.release_names("A")

    scene.before("B")
    scene.write("a", "two")

    assert scene.after("B") == []


def test_the_image_of_an_earlier_hold_says_nothing(scene: Scene) -> None:
    scene.write("a", "one")
    scene.hold("A", "a")
    scene.board.locks.release_names("A")
    scene.board.agent("A").lock("a", wait_s_max=0)
    scene.before("B")
    scene.write("a", "two")

    assert scene.after("B") == []


def test_a_large_file_is_told_without_its_bytes(tmp_path: Path) -> None:
    from latchboard.settings import Settings

    scene = Scene(tmp_path)
    scene.board = Latchboard(tmp_path, settings=Settings(image_bytes_max=10), clock=scene.clock, publishes=False)
    scene.write("a", "x" * 11)
    scene.hold("A", "a")

    scene.before("B")
    scene.write("a", "y" * 11)
    (found,) = scene.after("B")

    assert not found["files"][0]["before"]["kept"]
    (told,) = scene.mail("A")
    assert "not kept" in told
    assert "conflict restore" not in told


def test_where_nobody_holds_anything_a_shell_call_writes_nothing(scene: Scene) -> None:
    assert [*scene.before("B"), *scene.after("B")] == []

    assert not (scene.root / "data").exists()


def test_many_files_are_told_in_few_messages(scene: Scene) -> None:
    names = [f"f{n:03d}" for n in range(250)]
    for name in names:
        scene.write(name, "one")
    scene.hold("A", *names)

    scene.before("B")
    for name in names:
        scene.write(name, "two")
    found = scene.after("B")

    assert [len(one["files"]) for one in found] == [200, 50]
    assert len(scene.mail("A")) == 2
