"""Who gets a lock at once: modes, overlap, all or nothing, and what the holder itself may do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from latchboard.errors import HoldLost, LockHeld, UsageError
from latchboard.locks import Hold, Refusal
from tests.services.locks.scene import Scene


def test_exclusive_keeps_everybody_else_out(scene: Scene) -> None:
    a, b = scene.process().agent("a"), scene.process().agent("b")

    a.lock("src/a.py")

    assert not b.try_lock("src/a.py")
    assert not b.try_lock("src/a.py", shared=True)
    assert b.try_lock("src/b.py")


def test_shared_lets_other_shared_in_and_nobody_else(scene: Scene) -> None:
    a, b, c = (scene.process().agent(name) for name in "abc")

    a.lock("src/a.py", shared=True)

    assert b.try_lock("src/a.py", shared=True)
    assert not c.try_lock("src/a.py")
    assert scene.holders("src/a.py") == [("a", "shared"), ("b", "shared")]


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        ("src/a.py", "src/"),
        ("src/deep/a.py", "src/"),
        ("src/a.py", "glob:src/*.py"),
        ("src/", "glob:src/**/*.py"),
        ("src/", "src/deep/"),
        ("glob:*.py", "glob:src/**"),
        ("./", "src/a.py"),
        ("./", "glob:*.md"),
    ],
)
def test_overlap_is_seen_from_both_sides(scene: Scene, held: str, asked: str) -> None:
    a, b = scene.process().agent("a"), scene.process().agent("b")
    os.makedirs(f"{scene.root}/src/deep")
    for first, second in ((held, asked), (asked, held)):
        with a.lock(first):
            assert not b.try_lock(second), f"{second} while {first} is held"
        with a.lock(first, shared=True):
            assert b.try_lock(second, shared=True).release()
            assert not b.try_lock(second)
        with b.lock(second):
            pass
    assert scene.is_empty()


def test_names_that_do_not_overlap_do_not_meet(scene: Scene) -> None:
    a, b = scene.process().agent("a"), scene.process().agent("b")

    a.lock("x.py", "a/b_c", "src/", "glob:docs/*.md")

    for free in ("src2/x.py", "a_b/c", "docs/x.rst", "docs/deep/x.md", "glob:lib/**"):
        assert b.try_lock(free), free


def test_refused_request_for_many_names_leaves_nothing(scene: Scene) -> None:
    a, b = scene.process().agent("a"), scene.process().agent("b")
    a.lock("src/c.py")
    before = scene.everything()

    assert not b.try_lock("src/a.py", "src/b.py", "src/c.py", "docs/")

    assert scene.everything() == before


def test_many_names_are_granted_and_released_together(scene: Scene) -> None:
    a = scene.process().agent("a")

    hold = a.lock("src/a.py", "docs/", "glob:*.md")

    assert hold.names == ["src/a.py", "docs/", "glob:*.md"]
    assert len(set(hold.tokens.values())) == 1  # one commit
    assert hold.release() is True
    assert scene.is_empty()


def test_every_spelling_of_a_path_is_one_lock__failure_3_25(scene: Scene) -> None:
    os.makedirs(f"{scene.root}/src")
    Path(scene.root, "src/a.py").write_text("x")
    os.symlink("src/a.py", f"{scene.root}/link.py")
    a, b = scene.process().agent("a"), scene.process().agent("b")

    a.lock("src/a.py")

    for spelling in ("./src/a.py", "src/../src/a.py", f"{scene.root}/src/a.py", "link.py", Path("src/a.py")):
        assert not b.try_lock(spelling), spelling


def test_hard_links_of_one_file_are_one_lock__failure_3_25(scene: Scene) -> None:
    Path(scene.root, "a.py").write_text("x")
    os.link(f"{scene.root}/a.py", f"{scene.root}/b.py")
    a, b = scene.process().agent("a"), scene.process().agent("b")

    hold = a.lock("a.py")

    assert not b.try_lock("b.py")
    assert hold.release()
    assert scene.is_empty()


def test_hard_link_that_was_replaced_is_given_back_by_its_path(scene: Scene) -> None:
    path = Path(scene.root, "a.py")
    path.write_text("x")
    os.link(path, f"{scene.root}/b.py")
    process = scene.process()
    hold = process.agent("a").lock("a.py", bound="agent")
    hold.write("a.py", "y")  # a new inode: the path has no second link any more
    assert path.stat().st_nlink == 1

    released = process.locks.release_names("a", ["a.py"])

    assert [name.partition(":")[0] for name in released] == ["a.py", "hardlink"]
    assert scene.is_empty()


def test_refusal_says_who_holds_it_since_when_and_for_how_long(scene: Scene) -> None:
    a, b = scene.process().agent("a"), scene.process().agent("b")
    hold = a.lock("src/a.py", reason="refactoring", ttl_s=600)
    scene.clock.advance(60)

    refusal = b.try_lock("src/a.py")

    assert isinstance(refusal, Refusal)
    assert not refusal
    [fact] = refusal.facts()
    assert (fact["agent"], fact["token"], fact["remaining_s"], fact["reason"]) == (
        "a",
        hold.token,
        540.0,
        "refactoring",
    )
    assert refusal.names == ["src/a.py"]
    assert "a holds it since" in refusal.sentence() and "for up to 9 min 0 s more (refactoring)" in refusal.sentence()
    with pytest.raises(LockHeld) as caught:
        b.lock("src/a.py")
    assert caught.value.retryable and caught.value.exit_status == 10
    assert caught.value.fields["holders"] == [fact]


def test_refusal_names_the_hold_that_is_in_the_way(scene: Scene) -> None:
    scene.process().agent("a").lock("src/", "x.py")

    refusal = scene.process().agent("b").try_lock("y.py", "src/a.py", "x.py")

    assert isinstance(refusal, Refusal)
    assert [fact["name"] for fact in refusal.facts()] == ["src/", "x.py"]


def test_refusal_of_a_try_is_in_the_history_with_both_sides(scene: Scene) -> None:
    a, b = scene.process().agent("a"), scene.process().agent("b")
    a.lock("src/a.py")

    b.try_lock("src/a.py", reason="typo")

    [trace] = scene.traces("conflict")
    assert (trace["kind"], trace["asked_by"], trace["names"], trace["reason"]) == (
        "refused",
        "b",
        ["src/a.py"],
        "typo",
    )
    assert [held["agent"] for held in trace["held_by"]] == ["a"]


# -- the holder itself ------------------------------------------------------------------------------------------------


def test_block_inside_a_block_is_counted__failure_3_23(scene: Scene) -> None:
    a, b = scene.process().agent("a"), scene.process().agent("b")

    with a.lock("src/a.py") as outer:
        with a.lock("./src/a.py") as inner:
            assert inner.token == outer.token
        assert outer.is_live()
        assert not b.try_lock("src/a.py")
    assert b.try_lock("src/a.py")


def test_inner_hold_that_is_released_twice_leaves_the_outer_one_alone(scene: Scene) -> None:
    process = scene.process()
    a, again = process.agent("a"), process.agent("a")

    with a.lock("src/a.py") as outer:
        inner = again.lock("src/a.py")
        assert inner.release() is True
        assert inner.release() is False
        assert process.locks.release(inner._request, inner.tokens) is False  # not even past the handle
        assert not inner.is_live()
        assert outer.is_live()


def test_block_whose_hold_was_released_inside_ends_quietly(scene: Scene) -> None:
    with scene.process().agent("a").lock("src/a.py") as hold:
        assert hold.release() is True

    assert scene.is_empty()


def test_block_whose_hold_was_lost_says_so_at_its_end(scene: Scene) -> None:
    a = scene.process().agent("a")

    with pytest.raises(HoldLost, match="before the end of the block"), a.lock("src/a.py", ttl_s=60):
        scene.clock.advance(60)


def test_block_that_fails_keeps_its_own_error_when_the_hold_was_lost(scene: Scene) -> None:
    a = scene.process().agent("a")

    with pytest.raises(ZeroDivisionError), a.lock("src/a.py", ttl_s=60):
        scene.clock.advance(60)
        _ = 1 / 0


def test_holder_of_a_folder_may_lock_what_is_in_it(scene: Scene) -> None:
    a, b = scene.process().agent("a"), scene.process().agent("b")
    a.lock("src/")

    with a.lock("src/a.py"):
        assert scene.holders("src/a.py") == [("a", "exclusive")]
    assert not b.try_lock("src/a.py")


def test_agent_bound_hold_is_idempotent(scene: Scene) -> None:
    a = scene.process().agent("a")
    first = a.lock("src/a.py", bound="agent")
    [before] = scene.record("src/a.py")["holders"]

    again = a.lock("src/a.py", bound="agent")

    assert again.token == first.token
    [held] = scene.record("src/a.py")["holders"]
    assert held == {**before, "claims": [first.request, again.request]}
    assert again.release() is True
    assert first.release() is False
    assert scene.is_empty()


def test_same_id_from_another_living_process_is_refused(scene: Scene) -> None:
    one, other = scene.process().agent("a"), scene.process().agent("a")
    for bound in ("process", "agent"):
        with one.lock("src/a.py", bound=bound):
            for asked in ("process", "agent"):
                assert not other.try_lock("src/a.py", bound=asked), (bound, asked)


def test_agent_goes_on_after_its_process_is_gone(scene: Scene) -> None:
    first, then, stranger = scene.process(), scene.process(), scene.process()
    hold = first.agent("a").lock("src/a.py", bound="agent")
    first.kill()

    assert not stranger.agent("b").try_lock("src/a.py")
    again = then.agent("a").lock("src/a.py", bound="agent")
    assert again.token == hold.token  # it was never lost
    assert not hold.is_live()  # the handle of the process that is gone speaks for nobody
    assert again.release() is True
    assert scene.is_empty()


def test_agent_that_goes_on_in_another_process_owes_nothing_to_blocks_of_the_first(scene: Scene) -> None:
    first, then = scene.process(), scene.process()
    first.agent("a").lock("src/a.py", bound="agent")
    first.agent("a").lock("src/a.py")  # counted, and never released: the process dies
    first.kill()

    assert then.agent("a").lock("src/a.py", bound="agent").release() is True

    assert scene.is_empty()


def test_block_inside_the_hold_of_its_agent_leaves_the_agent_its_hold(scene: Scene) -> None:
    process, other = scene.process(), scene.process()
    kept = process.agent("a").lock("src/a.py", bound="agent")

    with process.agent("a").lock("src/a.py"):
        pass

    assert kept.is_live()
    process.kill()
    assert not other.agent("b").try_lock("src/a.py")  # agent-bound again: it does not end with the process


def test_agent_bound_hold_that_is_released_inside_a_block_leaves_the_block_its_hold(scene: Scene) -> None:
    process, other = scene.process(), scene.process()
    with process.agent("a").lock("src/a.py") as outer:
        assert process.agent("a").lock("src/a.py", bound="agent").release() is True
        assert outer.is_live()
        assert not other.agent("b").try_lock("src/a.py")
    assert scene.is_empty()


def test_agent_bound_request_inside_an_old_block_has_its_whole_lease_time(scene: Scene) -> None:
    process = scene.process()
    block = process.agent("a").lock("src/a.py", ttl_s=100)
    for _ in range(5):
        scene.clock.advance(60)
        block.renew()

    kept = process.agent("a").lock("src/a.py", bound="agent", ttl_s=100)
    scene.clock.advance(99)

    assert kept.is_live()


def test_shared_becomes_exclusive_when_alone(scene: Scene) -> None:
    a, b = scene.process().agent("a"), scene.process().agent("b")
    shared = a.lock("src/a.py", shared=True)

    exclusive = a.lock("src/a.py")

    assert exclusive.token > shared.token
    assert not b.try_lock("src/a.py", shared=True)
    assert shared.is_live()  # its token stays good: nobody else can have held it in between
    assert exclusive.release() and shared.release()
    assert scene.is_empty()


def test_shared_does_not_become_exclusive_beside_another_reader(scene: Scene) -> None:
    a, b = scene.process().agent("a"), scene.process().agent("b")
    a.lock("src/a.py", shared=True)
    b.lock("src/a.py", shared=True)

    assert not a.try_lock("src/a.py")
    assert scene.holders("src/a.py") == [("a", "shared"), ("b", "shared")]


def test_two_holds_of_one_agent_become_one_when_it_asks_for_all_of_it(scene: Scene) -> None:
    first, then = scene.process(), scene.process()
    first.agent("a").lock("src/a.py", shared=True, bound="agent")
    block = then.agent("a").lock("src/a.py", shared=True)  # beside its own, whose process lives
    first.kill()

    exclusive = then.agent("a").lock("src/a.py")

    assert scene.holders("src/a.py") == [("a", "exclusive")]
    assert block.is_live()
    assert exclusive.release() and block.release()
    assert then.locks.release_names("a", ["src/a.py"]) == ["src/a.py"]  # the claim of the first process
    assert scene.is_empty()


def test_readers_that_died_do_not_pile_up(scene: Scene) -> None:
    for number in range(40):
        reader = scene.process()
        reader.agent(f"a{number}").lock("src/a.py", shared=True)
        reader.kill()

    assert len(scene.holders("src/a.py")) < 12


# -- by name ----------------------------------------------------------------------------------------------------------


def test_names_are_released_whole_by_agent(scene: Scene) -> None:
    process, other = scene.process(), scene.process()
    process.agent("a").lock("src/a.py", "docs/")
    process.agent("a").lock("src/a.py")
    other.agent("b").lock("x.py")

    assert other.locks.release_names("a", ["src/a.py"]) == []  # another process does not speak for it
    assert process.locks.release_names("a") == ["docs/", "src/a.py"]
    assert scene.holders("x.py") == [("b", "exclusive")]


def test_token_speaks_for_a_hold_from_any_process(scene: Scene) -> None:
    process, other = scene.process(), scene.process()
    hold = process.agent("a").lock("src/a.py")

    assert other.locks.release_names("a", ["src/a.py"], token=hold.token - 1) == []
    assert other.locks.release_names("b", ["src/a.py"], token=hold.token) == []
    assert other.locks.release_names("a", ["src/a.py"], token=hold.token) == ["src/a.py"]


def test_expired_hold_is_not_released_by_name(scene: Scene) -> None:
    process = scene.process()
    process.agent("a").lock("src/a.py", ttl_s=5)
    scene.clock.advance(5)

    assert process.locks.release_names("a", ["src/a.py"]) == []


# -- requests ---------------------------------------------------------------------------------------------------------


def test_request_ids_are_never_used_twice(scene: Scene) -> None:
    one = scene.process()
    host = one.host
    ids = set()
    for _ in range(50):
        from tests.services.locks.scene import Process

        again = Process(scene, host)  # another service of the same process
        ids |= {again.locks.request("a", ["x"], bound=bound).request for bound in ("process", "agent")}

    assert len(ids) == 100


def test_path_that_is_named_twice_is_one_name(scene: Scene) -> None:
    assert scene.process().agent("a").lock("x.py", "./x.py", "x.py").names == ["x.py"]


def test_single_text_is_one_path(scene: Scene) -> None:
    assert scene.process().locks.names("x.py") == ["x.py"]


def test_request_at_the_limit_and_one_past_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path, names_count_max=3)
    a = scene.process().agent("a")

    assert isinstance(a.lock("1", "2", "3"), Hold)
    with pytest.raises(UsageError, match="4 paths in one request; at most 3"):
        a.lock("1", "2", "3", "4")
    with pytest.raises(UsageError, match="no path"):
        a.lock()


def test_folder_above_the_root_holds_everything_in_it(scene: Scene) -> None:
    a, b = scene.process().agent("a"), scene.process().agent("b")

    a.lock(os.path.dirname(scene.root) + "/")

    assert not b.try_lock("x.py")
    assert not b.try_lock("glob:**")
