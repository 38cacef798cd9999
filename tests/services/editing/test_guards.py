"""What each condition of editing is there for: races between a look and its commit, damaged records, calls at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from latchboard.editing.conflicts import Conflicts
from latchboard.editing.foreign import Foreign
from latchboard.editing.images import Images
from latchboard.editing.service import Editing
from latchboard.errors import HoldLost, Refused
from tests.services.editing.test_conflicts import hurt
from tests.services.editing.test_foreign import Scene
from tests.services.locks.scene import Scene as Machine

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    for name in ("a", "b"):
        scene.write(name, "one")
    return scene


class Meddled(Images):
    """Images in whose looks somebody else gets between, once."""

    def __init__(self, images: Images, meddle: Callable[[], object]) -> None:
        super().__init__(images.tree, Kept(images.kept, self.meddle))
        self._meddle: Any = meddle

    def meddle(self) -> None:
        meddle, self._meddle = self._meddle, None
        if meddle is not None:
            meddle()

    def take(self, name: str) -> Any:
        found = super().take(name)
        self.meddle()
        return found

    def changed(self, *arguments: Any, **options: Any) -> Any:
        found = super().changed(*arguments, **options)
        self.meddle()
        return found


class Kept:
    """Kept bytes, after each reading of which somebody may get between."""

    def __init__(self, kept: Any, meddle: Callable[[], None]) -> None:
        self._kept = kept
        self._meddle = meddle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kept, name)

    def read(self, digest: str) -> Any:
        found = self._kept.read(digest)
        self._meddle()
        return found


def holder(scene: Scene, name: str) -> str | None:
    found = scene.board.locks.check([name])
    return str(found[0]["agent"]) if found else None


def put(scene: Scene, key: str, value: Any) -> None:
    scene.board.store.transact(lambda view: view.put(key, value), who="test")


def passing(scene: Scene, agent: str, *names: str) -> None:
    """What a hook does before git writes these."""
    assert scene.board.editing.begin(agent, names, opens=False).refusal is None
    scene.board.foreign.before_call(agent, passing=names)


# -- between a look and its commit -----------------------------------------------------------------------------------


def test_what_was_written_between_the_look_and_the_hold_is_in_its_image(scene: Scene) -> None:
    meddled = Meddled(scene.board.images, lambda: scene.write("a", "written meanwhile"))

    Editing(scene.board.locks, meddled).begin("A", ["a"])

    assert scene.bytes_of(scene.board.store.read("images/a").get("images/a")["file"]) == b"written meanwhile"


def test_what_somebody_else_has_told_meanwhile_is_not_told_again(scene: Scene) -> None:
    scene.hold("A", "a")
    scene.before("B")
    scene.write("a", "other")
    meddled = Meddled(scene.board.images, lambda: scene.board.foreign.after_call("C"))

    assert Foreign(scene.board.locks, meddled).after_call("B") == []
    assert len(scene.board.conflicts.every()) == 1


def test_of_a_holder_that_has_begun_a_call_meanwhile_nothing_is_told(scene: Scene) -> None:
    scene.hold("A", "a")
    scene.write("a", "other")
    meddled = Meddled(scene.board.images, lambda: scene.board.editing.begin("A", ["b"]))

    assert Foreign(scene.board.locks, meddled).before_call("B") == []
    assert scene.board.conflicts.every() == []


def test_bytes_are_not_put_back_over_what_was_written_meanwhile(scene: Scene) -> None:
    its_id = hurt(scene, "a")
    meddled = Meddled(scene.board.images, lambda: None)
    conflicts = Conflicts(scene.board.locks, meddled)
    meddled.take("a")
    meddled._meddle = None
    meddled.kept._meddle = lambda: scene.write("a", "newer")  # type: ignore[attr-defined]  # the reading just before

    with pytest.raises(Refused, match="has just been written"):
        conflicts.restore("A", its_id)

    assert (scene.root / "a").read_text() == "newer"


def test_bytes_are_not_put_back_by_one_whose_lock_ran_out_meanwhile(scene: Scene) -> None:
    its_id = hurt(scene, "a")
    meddled = Meddled(scene.board.images, lambda: None)
    meddled.kept._meddle = lambda: scene.clock.advance(100_000)  # type: ignore[attr-defined]  # the reading just before

    with pytest.raises(HoldLost):
        Conflicts(scene.board.locks, meddled).restore("A", its_id)

    assert (scene.root / "a").read_text() == "other's\n"


# -- calls at once ---------------------------------------------------------------------------------------------------


def test_what_git_may_write_stays_until_the_last_call_has_ended(scene: Scene) -> None:
    passing(scene, "A", "a")
    scene.board.editing.begin("A", ["b"])

    scene.board.editing.done("A", ["b"])
    assert holder(scene, "a") == "A"
    scene.board.editing.done("A")

    assert (holder(scene, "a"), holder(scene, "b")) == (None, "A")


def test_what_an_edit_takes_meanwhile_is_not_given_back_with_gits_call(scene: Scene) -> None:
    passing(scene, "A", "a")
    scene.hold("A", "a")

    scene.board.editing.done("A")

    assert holder(scene, "a") == "A"


def test_what_no_call_began_for_ends_none(scene: Scene) -> None:
    passing(scene, "A", "a")
    scene.write("a", "a tool of another server wrote it")

    scene.board.editing.done("A", ends=False)

    assert holder(scene, "a") == "A"
    assert scene.after("B") == []


def test_a_new_turn_gives_back_what_an_interrupted_call_held(scene: Scene) -> None:
    passing(scene, "A", "a")

    scene.board.editing.begin_turn("A")

    assert holder(scene, "a") is None


def test_the_end_of_a_session_ends_the_calls_of_its_subagents(scene: Scene) -> None:
    for agent, name in (("A", "a"), ("A:x", "b"), ("AB", "c")):
        scene.board.editing.begin(agent, [name])

    scene.board.editing.end("A", with_subagents=True)

    assert [key for key, _ in scene.board.store.read("calls/").scan("calls/")] == ["calls/AB"]


def test_what_an_agent_is_writing_itself_is_not_remembered_as_seen(scene: Scene) -> None:
    scene.board.editing.begin("A", ["a"])
    scene.write("a", "its own")

    scene.before("A")

    assert scene.board.store.read("calls/A").get("calls/A")["seen"] == {}


# -- whose a hold is, and how long -----------------------------------------------------------------------------------


def test_a_change_between_two_holds_is_nobodys_conflict(scene: Scene) -> None:
    scene.hold("A", "a")
    scene.board.locks.release_names("A")
    scene.write("a", "two")

    scene.board.editing.begin("A", ["a"])

    assert scene.board.conflicts.every() == []
    assert scene.bytes_of(scene.board.store.read("images/a").get("images/a")["file"]) == b"two"


def test_a_hold_that_is_over_is_not_given_back(scene: Scene) -> None:
    scene.hold("A", "a")
    scene.clock.advance(100_000)

    assert scene.board.editing.end("A") == []


def test_the_end_of_a_call_is_use(scene: Scene) -> None:
    scene.hold("A", "a")
    scene.clock.advance(1_000)

    scene.board.editing.done("A")
    scene.clock.advance(3_000)

    assert holder(scene, "a") == "A"


def test_a_hold_of_the_agents_other_process_is_in_its_way(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    locks = machine.process().locks
    locks.acquire(locks.request("A", ["a"], bound="process"))

    editing = machine.process().board.editing

    assert [one["agent"] for one in editing.blocked("A", ["a"])] == ["A"]
    assert editing.not_held("A", ["a", "b"]) == ["a", "b"]


# -- what cannot be read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holders", ["x", ["x"], [{"agent": 1}], [{"agent": "A"}], [{}]])
def test_a_lock_that_says_nothing_keeps_no_other_from_being_given_back(scene: Scene, holders: Any) -> None:
    scene.hold("A", "a")
    put(scene, "locks/b", {"name": "b", "holders": holders, "waiters": []})

    assert scene.board.editing.end("A") == ["a"]


def test_a_lease_that_says_nothing_is_not_renewed(scene: Scene) -> None:
    put(scene, "leases/A", {"agent": "A"})

    scene.board.editing.renew("A")

    assert scene.board.store.read("leases/A").get("leases/A") == {"agent": "A"}


def test_an_image_that_says_nothing_is_taken_anew(scene: Scene) -> None:
    scene.board.editing.begin("A", ["a"])
    put(scene, "images/a", {"name": "a", "agent": "A"})

    scene.board.editing.done("A", ["a"])

    assert scene.bytes_of(scene.board.store.read("images/a").get("images/a")["file"]) == b"one"


# -- mail ------------------------------------------------------------------------------------------------------------


def test_mail_that_waits_for_an_answer_does_not_stand_before_what_is_new(scene: Scene) -> None:
    told: list[str] = []

    def hand_over(messages: list[dict[str, Any]]) -> None:
        told.extend(message["body"] for message in messages)

    for number in range(10):
        scene.board.mailbox.send("B", "A", str(number), ack="required")
    assert scene.board.editing.news("A", hand_over) == 10
    scene.board.mailbox.send("B", "A", "new")

    assert scene.board.editing.news("A", hand_over) == 1
    assert told[-1] == "new"
