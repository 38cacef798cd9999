"""Waiting in line: order, grants in the commit of whoever lets go, and nothing left of those who gave up."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.errors import LockHeld, UsageError, WaitEnded
from latchboard.locks import Hold, Refusal
from tests.services.engine import looks_inside
from tests.services.locks.scene import InLine, Process, Scene

HOUR_S = 3600.0


def test_line_is_first_in_first_out(scene: Scene) -> None:
    holder = scene.process().agent("h").lock("src/a.py")
    line = [scene.process().line(f"w{n}", "src/a.py") for n in range(5)]

    holder.release()
    for first, *rest in (line[n:] for n in range(5)):
        assert first.holds
        assert not any(w.holds for w in rest)
        hold = first.step()
        assert isinstance(hold, Hold)
        hold.release()

    assert scene.is_empty()


def test_grant_is_in_the_commit_of_the_release(scene: Scene) -> None:
    holder = scene.process().agent("h").lock("src/a.py")
    waiter = scene.process().line("w", "src/a.py", reason="mine next")

    holder.release()

    [*_, lock] = scene.commits("locks/src/a.py")
    [*_, gone] = scene.commits(f"waiters/{waiter.id}")
    assert (gone.value, gone.revision) == (None, lock.revision)
    [held] = lock.value["holders"]
    assert (held["agent"], held["request"], held["token"], held["reason"]) == (
        "w",
        waiter.id,
        lock.revision,
        "mine next",
    )
    assert lock.value["waiters"] == []
    assert lock.who == "h"  # there was no gap in which it was free


def test_readers_are_granted_together_up_to_the_next_writer(scene: Scene) -> None:
    holder = scene.process().agent("h").lock("src/a.py")
    r1, r2 = (scene.process().line(n, "src/a.py", shared=True) for n in ("r1", "r2"))
    writer = scene.process().line("w", "src/a.py")
    r3 = scene.process().line("r3", "src/a.py", shared=True)

    holder.release()

    assert (r1.holds, r2.holds, writer.holds, r3.holds) == (True, True, False, False)
    for reader in (r1, r2):
        reader.step().release()  # type: ignore[union-attr]
    assert (writer.holds, r3.holds) == (True, False)
    writer.step().release()  # type: ignore[union-attr]
    assert r3.holds


def test_writer_is_not_starved_by_readers_that_keep_coming__failure_3_24(scene: Scene) -> None:
    first = scene.process().agent("r0").lock("src/a.py", shared=True)
    writer = scene.process().line("w", "src/a.py")

    assert not scene.process().agent("r1").try_lock("src/a.py", shared=True)
    late = scene.process().line("r2", "src/a.py", shared=True)
    first.release()

    assert writer.holds
    assert not late.holds


def test_request_for_many_names_is_not_starved_by_requests_for_one(scene: Scene) -> None:
    x, y = scene.process().agent("x").lock("x.py"), scene.process().agent("y").lock("y.py")
    both = scene.process().line("both", "x.py", "y.py")
    later = scene.process().line("later", "x.py")

    x.release()
    assert not later.holds  # x.py is free, but not for those who came after
    assert not scene.process().agent("new").try_lock("x.py")
    y.release()

    assert both.holds
    assert not later.holds


def test_line_of_a_folder_and_of_its_files_is_one_line(scene: Scene) -> None:
    holder = scene.process().agent("h").lock("src/a.py")
    folder = scene.process().line("folder", "src/")
    other_file = scene.process().line("file", "src/b.py")
    glob = scene.process().line("glob", "glob:src/*.md")

    assert not scene.process().agent("new").try_lock("src/c.py")
    holder.release()
    assert (folder.holds, other_file.holds, glob.holds) == (True, False, False)
    folder.step().release()  # type: ignore[union-attr]
    assert (other_file.holds, glob.holds) == (True, True)


@pytest.mark.parametrize("how", ["kill", "recycle"])
def test_dead_waiters_are_skipped(scene: Scene, how: str) -> None:
    holder = scene.process().agent("h").lock("src/a.py")
    doomed = scene.process()
    gone = [doomed.line("dead", "src/a.py"), doomed.line("dead", "src/a.py", bound="agent")]
    alive = scene.process().line("alive", "src/a.py")
    getattr(doomed, how)()

    holder.release()

    assert alive.holds
    assert not any(g.waits for g in gone)
    assert scene.holders("src/a.py") == [("alive", "exclusive")]


def test_dead_waiter_holds_up_nobody_on_its_other_names(scene: Scene) -> None:
    holder = scene.process().agent("h").lock("x.py")
    doomed = scene.process()
    doomed.line("dead", "x.py", "y.py")
    behind = scene.process().line("behind", "y.py")
    doomed.kill()

    holder.release()  # of x.py; y.py was free, but for the dead one in line

    assert behind.holds


def test_waiter_whose_time_is_over_is_not_granted_any_more(scene: Scene) -> None:
    holder = scene.process().agent("h").lock("src/a.py")
    late = scene.process().line("late", "src/a.py", wait_s_max=5.0)
    scene.clock.advance(5.001)

    holder.release()

    assert not late.holds
    assert scene.is_empty()


def test_waiter_takes_over_from_a_holder_that_died(scene: Scene) -> None:
    doomed = scene.process()
    doomed.agent("h").lock("src/a.py")
    first, second = (scene.process().line(n, "src/a.py") for n in ("w1", "w2"))
    doomed.kill()

    assert isinstance(second.step(), Refusal)  # not its turn; but it sees to it that the first one gets it
    assert first.holds
    assert not second.holds


def test_waiter_takes_over_when_the_lease_in_front_runs_out(scene: Scene) -> None:
    scene.process().agent("h").lock("src/a.py", ttl_s=60)
    waiter = scene.process().line("w", "src/a.py")
    assert isinstance(waiter.step(), Refusal)
    scene.clock.advance(60)

    assert isinstance(waiter.step(), Hold)

    assert [m["from"] for m in scene.mail("h")] == ["w"]


def test_takeover_in_the_commit_of_somebody_elses_release_is_told(scene: Scene) -> None:
    scene.process().agent("late").lock("src/a.py", shared=True, ttl_s=60)
    other = scene.process().agent("other").lock("src/a.py", shared=True)
    waiter = scene.process().line("w", "src/a.py")
    scene.clock.advance(60)

    other.release()

    assert waiter.holds
    assert [m["from"] for m in scene.mail("late")] == ["w"]
    assert [(t["by"], [x["from"] for x in t["taken"]]) for t in scene.traces("takeover")] == [("w", ["late"])]


def test_whoever_is_refused_gives_a_dead_holders_lock_to_the_first_in_line(scene: Scene) -> None:
    doomed = scene.process()
    doomed.agent("h").lock("src/a.py")
    asleep = scene.process().line("asleep", "src/a.py")  # stopped: it does not act by itself
    doomed.kill()

    assert not scene.process().agent("new").try_lock("src/a.py")

    assert asleep.holds  # its lease runs from now on: it cannot stand in the way for ever


def test_waiters_never_touch_the_lease_of_the_holder__failure_3_19(scene: Scene) -> None:
    b = scene.process()
    hold = scene.process().agent("a").lock("src/a.py", bound="agent", ttl_s=100)
    before = list(scene.record("src/a.py")["holders"]), scene.scan("leases/")
    waiter = b.line("b", "src/a.py")
    for _ in range(9):
        scene.clock.advance(10)
        waiter.step()
        b.agent("b").try_lock("src/a.py")

    assert (list(scene.record("src/a.py")["holders"]), scene.scan("leases/")) == before
    scene.clock.advance(10)
    assert not hold.is_live()
    assert isinstance(waiter.step(), Hold)


class Counting:
    """A store that counts the bells that ring."""

    def __init__(self, scene: Scene) -> None:
        self.bells: dict[str, Any] = {}
        self.scene = scene

    def listen(self, waiter: InLine) -> None:
        self.bells[waiter.id] = self.scene.store.bell(f"waiters/{waiter.id}")

    def rung(self) -> list[str]:
        import select

        found = []
        for request, bell in self.bells.items():
            if select.select([bell], [], [], 0)[0]:
                bell.clear()
                found.append(request)
        return found

    def close(self) -> None:
        for bell in self.bells.values():
            bell.close()


@looks_inside
def test_release_rings_one_bell_among_200_waiters__failure_3_21(scene: Scene) -> None:
    holder = scene.process().agent("h").lock("src/a.py")
    line = [scene.process().line(f"w{n}", "src/a.py") for n in range(200)]
    bells = Counting(scene)
    for waiter in line:
        bells.listen(waiter)
    try:
        hold: Any = holder
        for waiter in line[:20]:
            hold.release()
            assert bells.rung() == [waiter.id]
            hold = waiter.step()
    finally:
        bells.close()


@looks_inside
def test_joining_and_leaving_a_long_line_reads_little_of_it(scene: Scene) -> None:
    holder = scene.process().agent("h").lock("src/a.py")
    for n in range(200):
        scene.process().line(f"w{n}", "src/a.py")
    one = scene.process()
    reads: list[str] = []
    process = Process(scene, one.host)
    inner = process.locks.store.transact

    def counting(fn: Any, **options: Any) -> Any:
        def run(view: Any) -> Any:
            get = view.get
            view.get = lambda key: (reads.append(key), get(key))[1]
            return fn(view)

        return inner(run, **options)

    process.locks.store.transact = counting  # type: ignore[method-assign]
    waiter = process.line("somebody-new", "src/a.py")
    waiter.step()
    waiter.leave()

    assert len([key for key in reads if key.startswith("waiters/")]) < 20
    holder.release()


def test_holder_whose_lease_ran_out_does_not_pass_those_who_wait_for_it(scene: Scene) -> None:
    late = scene.process().agent("late")
    late.lock("src/a.py", bound="agent", ttl_s=60)
    waiter = scene.process().line("w", "src/a.py", bound="agent", attended=False)
    scene.clock.advance(60)

    assert not late.try_lock("src/a.py", bound="agent")
    assert waiter.holds


# -- giving up --------------------------------------------------------------------------------------------------------


def test_waiter_that_leaves_leaves_nothing(scene: Scene) -> None:
    holder = scene.process().agent("h").lock("src/a.py")
    before = scene.everything()
    waiter = scene.process().line("w", "src/a.py", "docs/", reason="want it")

    assert waiter.leave() is None

    assert scene.everything() == before
    [trace] = scene.traces("conflict")
    assert (trace["kind"], trace["asked_by"], [h["agent"] for h in trace["held_by"]]) == ("wait-ended", "w", ["h"])
    holder.release()


def test_waiter_that_leaves_lets_those_behind_it_pass(scene: Scene) -> None:
    scene.process().agent("r").lock("src/a.py", shared=True)
    writer = scene.process().line("w", "src/a.py")
    reader = scene.process().line("r2", "src/a.py", shared=True)

    writer.leave()

    assert reader.holds


def test_time_that_ends_with_the_grant_is_a_grant(scene: Scene) -> None:
    holder = scene.process().agent("h").lock("src/a.py")
    waiter = scene.process().line("w", "src/a.py", wait_s_max=5.0)
    holder.release()
    scene.clock.advance(60)

    assert isinstance(waiter.leave(), Hold)


def test_what_was_granted_to_one_who_gave_up_is_given_on(scene: Scene) -> None:
    holder = scene.process().agent("h").lock("src/a.py")
    first, second = (scene.process().line(n, "src/a.py") for n in ("w1", "w2"))
    holder.release()
    assert first.holds

    first.give_up()

    assert second.holds


def test_shared_hold_that_waits_to_become_exclusive_is_not_taken_for_it(scene: Scene) -> None:
    process = scene.process()
    for bound in ("process", "agent"):
        shared = process.agent("a").lock("src/a.py", shared=True, bound=bound)
        nested = process.agent("a").lock("src/a.py", shared=True, bound=bound)
        other = scene.process().agent("b").lock("src/a.py", shared=True)
        upgrade = process.line("a", "src/a.py", bound=bound, wait_s_max=5.0)
        scene.clock.advance(6)
        scene.process().locks.transact("x", lambda table: table.dequeue(table.waiter(upgrade.id)))  # noqa: B023

        assert upgrade.look() is None
        assert upgrade.leave() is None

        assert scene.holders("src/a.py") == [("a", "shared"), ("b", "shared")]
        for hold in (other, nested, shared):
            hold.release()
    assert scene.is_empty()


def test_shared_hold_becomes_exclusive_in_its_turn(scene: Scene) -> None:
    process = scene.process()
    shared = process.agent("a").lock("src/a.py", shared=True)
    other = scene.process().agent("b").lock("src/a.py", shared=True)
    upgrade = process.line("a", "src/a.py")

    other.release()

    assert upgrade.holds
    hold = upgrade.step()
    assert isinstance(hold, Hold) and hold.token > shared.token
    assert hold.release() and shared.release()
    assert scene.is_empty()


# -- the whole call, with a clock that runs when nobody acts ----------------------------------------------------------


def test_wait_that_ends_in_vain_took_as_long_as_it_was_given(scene: Scene) -> None:
    scene.process().agent("a").lock("src/a.py")
    started = scene.clock.now().mono_s

    with pytest.raises(WaitEnded, match=r"a holds it since .*; b waited 5\.0 s") as caught:
        scene.process().agent("b").lock("src/a.py", "docs/", wait_s_max=5)

    assert caught.value.fields["waited_s"] == 5.0
    assert scene.clock.now().mono_s - started == 5.0
    assert isinstance(caught.value, LockHeld)
    assert [key for key, _ in scene.scan("waiters/")] == []
    assert [key for key, _ in scene.scan("locks/")] == ["locks/src/a.py"]


def test_wait_ends_with_the_lease_in_front(scene: Scene) -> None:
    scene.process().agent("a").lock("src/a.py", ttl_s=60)

    hold = scene.process().agent("b").lock("src/a.py", wait_s_max=None)

    assert 60 <= hold.waited_s < 61.1


def test_wait_of_zero_asks_once(scene: Scene) -> None:
    scene.process().agent("a").lock("src/a.py")
    started = scene.clock.now()

    with pytest.raises(LockHeld):
        scene.process().agent("b").lock("src/a.py", wait_s_max=0)

    assert scene.clock.now() == started


@pytest.mark.parametrize("wait_s_max", [-1, -0.001, 1e9, float("nan"), float("inf"), "5", True, []])
def test_what_is_no_waiting_time_is_refused(scene: Scene, wait_s_max: Any) -> None:
    with pytest.raises(UsageError, match="waiting time"):
        scene.process().agent("a").lock("src/a.py", wait_s_max=wait_s_max)

    assert scene.is_empty()


def test_place_that_was_cleared_away_is_taken_anew(scene: Scene) -> None:
    holder = scene.process().agent("h").lock("src/a.py")
    waiter = scene.process().line("w", "src/a.py", wait_s_max=600.0)
    scene.put(f"waiters/{waiter.id}", None)

    assert isinstance(waiter.step(), Refusal)

    assert waiter.waits
    [(_, value)] = scene.scan("waiters/")
    assert value["wait_s_max"] == 600.0
    holder.release()
    assert waiter.holds


def test_dead_waiter_in_front_does_not_keep_the_next_one_busy(scene: Scene) -> None:
    scene.process().agent("h").lock("src/a.py", ttl_s=HOUR_S)
    doomed = scene.process()
    doomed.line("dead", "src/a.py")
    doomed.kill()
    process = scene.process()
    steps = []
    inner = process.locks.store.transact
    process.locks.store.transact = lambda *args, **options: (steps.append(1), inner(*args, **options))[1]

    with pytest.raises(WaitEnded):
        process.agent("w").lock("src/a.py", wait_s_max=20)

    assert len(steps) < 40  # about one look a second; each death is news once
