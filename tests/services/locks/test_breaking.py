"""An operator ends a lock that has not expired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import HoldLost, MalformedRecord, Refused, UsageError
from latchboard.locks.breaking import break_lock
from tests.services.locks.scene import Scene


def test_broken_lock_is_free_recorded_and_its_holder_is_told(scene: Scene) -> None:
    operator = scene.process()
    hold = scene.process().agent("a").lock("src/a.py")

    broken = break_lock(operator.locks, "src/a.py", by="operator", reason="hangs since noon")

    assert [(b["name"], b["agent"], b["token"]) for b in broken] == [("src/a.py", "a", hold.token)]
    assert scene.is_empty()
    assert not hold.is_live()
    assert hold.release() is False
    with pytest.raises(HoldLost):
        hold.renew()
    [message] = scene.mail("a")
    assert (message["from"], message["urgency"]) == ("operator", "urgent")
    assert "operator broke your lock on src/a.py: hangs since noon." in message["body"]
    assert scene.traces("break") == [{"by": "operator", "reason": "hangs since noon", "broken": broken}]


def test_break_gives_the_lock_to_the_first_in_line(scene: Scene) -> None:
    scene.process().agent("a").lock("src/a.py")
    waiter = scene.process().line("w", "src/a.py")

    break_lock(scene.process().locks, "src/a.py", by="operator", reason="test")

    assert waiter.holds


def test_old_token_does_not_break_a_newer_lock__failure_3_33(scene: Scene) -> None:
    operator = scene.process()
    old = scene.process().agent("a").lock("src/a.py")
    old.release()
    new = scene.process().agent("b").lock("src/a.py")

    with pytest.raises(Refused, match=f"held with token {new.token}, not {old.token}"):
        break_lock(operator.locks, "src/a.py", by="operator", reason="test", token=old.token)
    assert new.is_live()

    assert break_lock(operator.locks, "src/a.py", by="operator", reason="test", token=new.token)
    assert not new.is_live()


def test_token_chooses_one_of_several_readers(scene: Scene) -> None:
    first, second, third = (scene.process().agent(n).lock("src/a.py", shared=True) for n in "abc")

    break_lock(scene.process().locks, "src/a.py", by="operator", reason="test", token=second.token)

    assert (first.is_live(), second.is_live(), third.is_live()) == (True, False, True)


def test_breaking_two_names_of_one_request_tells_of_both(scene: Scene) -> None:
    scene.process().agent("a").lock("x.py", "y.py")
    operator = scene.process()
    for name in ("x.py", "y.py"):
        break_lock(operator.locks, name, by="operator", reason="test")

    assert [("x.py" in m["body"], "y.py" in m["body"]) for m in scene.mail("a")] == [(True, False), (False, True)]


def test_breaking_what_nobody_holds_changes_nothing(scene: Scene) -> None:
    before = scene.store.read("wide").revision

    assert break_lock(scene.process().locks, "src/a.py", by="operator", reason="test") == []

    assert scene.store.read("wide").revision == before


@pytest.mark.parametrize("reason", ["", "   ", None, 5])
def test_break_needs_a_reason(scene: Scene, reason: Any) -> None:
    with pytest.raises(UsageError, match="needs a reason"):
        break_lock(scene.process().locks, "src/a.py", by="operator", reason=reason)


@pytest.mark.parametrize("damage", [{"name": "src/a.py"}, {"name": "x", "holders": [], "waiters": []}, {}])
def test_record_that_cannot_be_read_is_the_operators_to_remove(scene: Scene, damage: Any) -> None:
    a = scene.process()
    scene.put("locks/src/a.py", damage)
    with pytest.raises(MalformedRecord, match="latchboard break"):
        a.agent("a").try_lock("src/a.py")
    with pytest.raises(Refused):  # whose token that is, nobody can say
        break_lock(a.locks, "src/a.py", by="operator", reason="test", token=5)

    assert break_lock(a.locks, "src/a.py", by="operator", reason="damaged disk") == []

    [trace] = scene.traces("break")
    assert (trace["reason"], trace["broken"][0]["name"]) == ("damaged disk", "src/a.py")
    assert "cannot be read" in trace["broken"][0]["malformed"]
    assert a.agent("a").try_lock("src/a.py")


def test_waiter_that_cannot_be_read_is_the_operators_to_remove(scene: Scene) -> None:
    hold = scene.process().agent("a").lock("src/a.py")
    damaged = scene.process().line("w", "src/a.py")
    behind = scene.process().line("behind", "src/a.py")
    scene.put(f"waiters/{damaged.id}", {"request": 5})

    assert hold.release()  # whoever gives something back is not kept from it
    assert not behind.holds  # but nobody passes what cannot be read
    with pytest.raises(MalformedRecord):
        scene.process().agent("x").try_lock("src/a.py")
    break_lock(scene.process().locks, "src/a.py", by="operator", reason="test")

    assert behind.holds


def test_index_that_cannot_be_read_is_made_anew_by_a_break(scene: Scene) -> None:
    a = scene.process()
    a.agent("a").lock("src/", "glob:docs/*")
    scene.put("wide", {"names": 5})
    with pytest.raises(MalformedRecord):
        a.agent("a").try_lock("x.py")

    break_lock(a.locks, "lib/x.py", by="operator", reason="index")

    b = scene.process().agent("b")
    assert not b.try_lock("src/x.py")
    assert not b.try_lock("docs/x")
    assert b.try_lock("x.py")


def test_index_without_anything_wide_is_removed_by_a_break(scene: Scene) -> None:
    scene.put("wide", {"names": [""]})

    break_lock(scene.process().locks, "x.py", by="operator", reason="index")

    assert scene.is_empty()


@pytest.mark.parametrize("order", [["x.py", "src/"], ["src/", "x.py"]])
def test_break_works_although_the_index_and_another_record_are_damaged(tmp_path: Path, order: list[str]) -> None:
    scene = Scene(tmp_path, is_memory=False)
    scene.process().agent("a").lock("x.py", "src/", "lib/")
    folder = tmp_path / "data" / ".agent_locks"
    damaged = next(folder.glob("x.py-*.lock"))
    damaged.write_text("{", encoding="utf-8")
    (folder / "wide.json").write_text("{", encoding="utf-8")
    operator = scene.process().locks

    for name in order:
        if damaged.exists():
            with pytest.raises(MalformedRecord):
                scene.process().agent("b").try_lock("y.py")  # it may be a folder's
        break_lock(operator, name, by="operator", reason="damaged disk")

    b = scene.process().agent("b")
    assert b.try_lock("x.py", "src/")
    assert not b.try_lock("lib/x.py")
