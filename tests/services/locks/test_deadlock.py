"""Cycles are refused by whoever would close them, and named; everything else may wait."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from latchboard.errors import Deadlock
from latchboard.locks import Hold
from latchboard.locks.deadlock import find_cycle
from tests.services.engine import looks_inside
from tests.services.locks.scene import Scene


def cycle_of(caught: pytest.ExceptionInfo[Deadlock]) -> list[str]:
    cycle: list[str] = caught.value.fields["cycle"]
    return cycle


def test_two_that_want_what_the_other_has__failure_3_22(scene: Scene) -> None:
    a, b = scene.process(), scene.process()
    a.agent("a").lock("x.py")
    b.agent("b").lock("y.py")
    a.line("a", "y.py")
    before = scene.everything()

    with pytest.raises(Deadlock, match="never end: b waits for a, a waits for b") as caught:
        b.line("b", "x.py")

    assert cycle_of(caught) == ["b", "a", "b"]
    assert (caught.value.exit_status, caught.value.retryable) == (10, True)
    assert caught.value.message.startswith("x.py is not free: a holds it since ")
    assert "everything in one request" in caught.value.hint
    assert scene.everything() == before


def test_three_in_a_ring__failure_3_22(scene: Scene) -> None:
    processes = {name: scene.process() for name in "abc"}
    for name, path in zip("abc", "xyz", strict=True):
        processes[name].agent(name).lock(path)
    processes["a"].line("a", "y")
    processes["b"].line("b", "z")

    with pytest.raises(Deadlock) as caught:
        processes["c"].line("c", "x")

    assert cycle_of(caught) == ["c", "a", "b", "c"]


def test_two_readers_that_both_want_to_write__failure_3_22(scene: Scene) -> None:
    a, b = scene.process(), scene.process()
    a.agent("a").lock("x.py", shared=True)
    b.agent("b").lock("x.py", shared=True)
    a.line("a", "x.py")

    with pytest.raises(Deadlock) as caught:
        b.line("b", "x.py")

    assert cycle_of(caught) == ["b", "a", "b"]


def test_waiter_behind_a_waiter_is_part_of_the_cycle(scene: Scene) -> None:
    a, b, c, d = (scene.process() for _ in range(4))
    a.agent("a").lock("x.py")
    d.agent("d").lock("z.py")
    b.line("b", "x.py", "y.py")  # y.py is free, but b waits for x.py and stands first in its line
    c.line("c", "y.py")

    with pytest.raises(Deadlock) as caught:
        a.line("a", "y.py", "z.py")  # behind c, who waits behind b, who waits for a

    assert cycle_of(caught)[0] == cycle_of(caught)[-1] == "a"


def test_waiter_that_waits_for_the_requester_is_passed(scene: Scene) -> None:
    a, b = scene.process(), scene.process()
    a.agent("a").lock("x.py")
    waiting = b.line("b", "x.py", "y.py")

    hold = a.agent("a").lock("y.py")  # b cannot have it before a lets go of x.py anyway

    assert isinstance(hold, Hold)
    assert waiting.waits


def test_cycle_through_folders_and_globs(scene: Scene) -> None:
    a, b = scene.process(), scene.process()
    a.agent("a").lock("src/deep/")
    b.agent("b").lock("glob:docs/*.md")
    a.line("a", "docs/x.md")

    with pytest.raises(Deadlock):
        b.line("b", "src/")


def test_cycle_of_agents_whose_processes_come_and_go(scene: Scene) -> None:
    a, then, b = scene.process(), scene.process(), scene.process()
    a.agent("a").lock("x.py", bound="agent")
    a.kill()
    b.agent("b").lock("y.py", bound="agent")
    b.line("b", "x.py", bound="agent")

    with pytest.raises(Deadlock):
        then.line("a", "y.py", bound="agent")


def test_request_that_is_left_in_line_closes_a_cycle_too(scene: Scene) -> None:
    h, a, b = scene.process(), scene.process(), scene.process()
    h.agent("h").lock("x.py")
    b.agent("b").lock("y.py")
    a.line("a", "x.py", bound="agent", attended=False)  # asked and gone on: it will hold x.py some time
    b.line("b", "x.py")  # behind it

    with pytest.raises(Deadlock):
        a.line("a", "y.py")


def test_agent_that_asked_and_went_on_may_come_back_and_wait(scene: Scene) -> None:
    h, a, b = scene.process(), scene.process(), scene.process()
    hold = h.agent("h").lock("x.py")
    a.line("a", "x.py", bound="agent", attended=False)
    b.line("b", "x.py")

    back = a.line("a", "x.py", bound="agent")  # what it left in line is for the same name: no cycle
    hold.release()

    assert back.holds


def test_two_threads_of_one_agent_in_one_line_are_no_cycle(scene: Scene) -> None:
    h, a, b = scene.process(), scene.process(), scene.process()
    hold = h.agent("h").lock("x.py")
    first = a.line("a", "x.py")
    between = b.line("b", "x.py")

    second = a.line("a", "x.py")  # its first thread goes on by itself

    hold.release()
    assert first.holds
    assert second.holds  # one holder: it enters, as a block inside a block would
    assert not between.holds


@looks_inside
def test_who_has_nothing_in_hand_waits_without_a_search(scene: Scene) -> None:
    scene.process().agent("h").lock("x.py")
    process = scene.process()
    scans: list[str] = []
    inner = process.locks.store.transact

    def counting(fn: Any, **options: Any) -> Any:
        def run(view: Any) -> Any:
            scan = view.scan
            view.scan = lambda prefix, **more: (scans.append(prefix), scan(prefix, **more))[1]
            return fn(view)

        return inner(run, **options)

    process.locks.store.transact = counting  # type: ignore[method-assign]
    process.line("nobody-yet", "x.py")

    assert scans == []


def test_dead_waiters_and_those_out_of_time_close_no_cycle(scene: Scene) -> None:
    a, b, doomed = scene.process(), scene.process(), scene.process()
    a.agent("a").lock("x.py")
    doomed.agent("d").lock("y.py", bound="agent")
    doomed.line("d", "x.py", bound="agent")
    b.agent("b").lock("z.py")
    b.line("b", "x.py", wait_s_max=1.0)
    doomed.kill()
    scene.clock.advance(2)

    assert a.line("a", "y.py").waits
    assert a.line("a", "z.py").waits


def test_damaged_waiter_of_a_stranger_stops_no_search(scene: Scene) -> None:
    a, b = scene.process(), scene.process()
    a.agent("a").lock("x.py")
    b.agent("b").lock("y.py")
    scene.put("waiters/stranger", {"request": 5})

    a.line("a", "y.py")
    with pytest.raises(Deadlock):
        b.line("b", "x.py")


def test_search_in_a_long_line_reads_each_waiter_once(scene: Scene) -> None:
    holder = scene.process()
    holder.agent("h").lock("x.py")
    for n in range(150):
        process = scene.process()
        process.agent(f"w{n}").lock(f"own{n}")
        process.line(f"w{n}", "x.py")
    last = scene.process()
    last.agent("last").lock("last.py")
    scene.process().line("other", "last.py")  # somebody waits for it: the line must be searched
    checked: list[int] = []

    def search(table: Any) -> list[str]:
        in_line = table.waits_for
        table.waits_for = lambda waiter, asked: (checked.append(1), in_line(waiter, asked))[1]
        request = last.locks.request("last", ["x.py"])
        return find_cycle(table, request)

    assert last.locks.transact("last", search) == []
    assert len(checked) < 150 * 3


def test_deadlock_is_raised_at_once_by_the_whole_call_and_is_in_the_history(scene: Scene) -> None:
    a, b = scene.process(), scene.process()
    a.agent("a").lock("x.py")
    b.agent("b").lock("y.py")
    a.line("a", "y.py")
    started = scene.clock.now()

    with pytest.raises(Deadlock):
        b.agent("b").lock("x.py", wait_s_max=600)

    assert scene.clock.now() == started
    [trace] = scene.traces("conflict")
    assert (trace["kind"], trace["asked_by"], [h["agent"] for h in trace["held_by"]]) == ("deadlock", "b", ["a"])


def test_many_that_wait_for_each_other_at_once_never_stand_still(tmp_path: Any) -> None:
    """Eight threads take two of four names in any order: whatever happens, everybody gets on."""
    scene = Scene(tmp_path, is_real_time=True)
    done, refused = [], []

    def work(number: int) -> None:
        me = scene.process().agent(f"a{number}")
        for turn in range(12):
            first, second = f"n{(number + turn) % 4}", f"n{(number * 3 + turn * 7 + 1) % 4}"
            try:
                with me.lock(first, wait_s_max=30), me.lock(second, wait_s_max=30):
                    done.append(number)
            except Deadlock:
                refused.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert not any(thread.is_alive() for thread in threads)
    assert len(done) + len(refused) == 8 * 12
    assert scene.is_empty()
