"""Questions change nothing, and what they answer is what a request would meet."""

from __future__ import annotations

from typing import Any

from latchboard.locks.looking import waiters
from tests.services.locks.scene import Scene


def test_check_says_who_would_be_in_the_way(scene: Scene) -> None:
    a, b = scene.process(), scene.process()
    hold = a.agent("a").lock("src/", reason="moving files", ttl_s=600)
    scene.clock.advance(10)

    [found] = b.locks.check(["src/a.py", "docs/x.md"])

    assert found == {
        "asked": "src/a.py",
        "name": "src/",
        "agent": "a",
        "mode": "exclusive",
        "bound": "process",
        "token": hold.token,
        "since": found["since"],
        "remaining_s": 590.0,
        "reason": "moving files",
        "pid": a.host.me()["pid"],
    }
    assert b.locks.check(["docs/x.md"]) == []


def test_check_knows_shared_from_exclusive_and_ones_own_from_others(scene: Scene) -> None:
    a, b = scene.process(), scene.process()
    a.agent("a").lock("src/a.py", shared=True)

    assert b.locks.check(["src/a.py"], shared=True) == []
    assert [f["agent"] for f in b.locks.check(["src/a.py"])] == ["a"]
    assert a.locks.check(["src/a.py"], agent="a") == []
    assert [f["agent"] for f in b.locks.check(["src/a.py"], agent="a")] == ["a"]  # another process of that id


def test_check_of_folders_and_globs_sees_everything_in_them(scene: Scene) -> None:
    a, b = scene.process(), scene.process()
    a.agent("a").lock("src/a.py", "docs/x.md", "glob:lib/*.py")

    assert {f["name"] for f in b.locks.check(["./"])} == {"src/a.py", "docs/x.md", "glob:lib/*.py"}
    assert [f["name"] for f in b.locks.check(["glob:docs/**"])] == ["docs/x.md"]
    assert [f["name"] for f in b.locks.check(["lib/b.py"])] == ["glob:lib/*.py"]


def test_check_does_not_show_what_is_over(scene: Scene) -> None:
    a, b = scene.process(), scene.process()
    a.agent("a").lock("x.py", ttl_s=5)
    a.agent("a").lock("y.py")
    scene.clock.advance(5)
    assert b.locks.check(["x.py"]) == []
    a.kill()

    assert b.locks.check(["y.py"]) == []


def test_questions_change_nothing(scene: Scene) -> None:
    a, b = scene.process(), scene.process()
    hold = a.agent("a").lock("src/", "x.py", ttl_s=5)
    b.line("b", "src/a.py")
    scene.clock.advance(6)
    before = scene.everything(), scene.store.read("wide").revision

    b.locks.check(["./", "x.py", "glob:**"])
    waiters(b.locks)
    assert not hold.is_live()

    assert (scene.everything(), scene.store.read("wide").revision) == before


def test_check_sees_one_state_although_the_index_grows_while_it_looks(scene: Scene) -> None:
    a, b = scene.process(), scene.process()
    a.agent("a").lock("src/")
    inner, looks = b.locks.store.read, []

    def read(*wanted: str) -> Any:
        found = inner(*wanted)
        looks.append(wanted)
        if len(looks) == 1:  # between two looks of the check, the index grows
            a.agent("a").lock("glob:src/*.py")
        return found

    b.locks.store.read = read  # type: ignore[method-assign]

    assert sorted(f["name"] for f in b.locks.check(["src/a.py"])) == ["glob:src/*.py", "src/"]


def test_waiters_are_shown_in_order(scene: Scene) -> None:
    scene.process().agent("h").lock("x.py", "y.py")
    for name, path in (("b", "y.py"), ("a", "x.py"), ("c", "y.py")):
        scene.process().line(name, path)

    assert [w["agent"] for w in waiters(scene.process().locks)] == ["b", "a", "c"]
