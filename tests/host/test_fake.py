"""The fake machine keeps the port's promises."""

from __future__ import annotations

import pytest

from latchboard.clock import SystemClock
from latchboard.testing import FakeHost, ManualClock


def is_readable(watch: object) -> bool:
    return SystemClock().wait([watch], 0)  # type: ignore[list-item]


def test_the_life_of_a_process() -> None:
    machine = FakeHost()
    one, other = machine.spawn(), machine.spawn()
    assert machine.verdict(one) == machine.verdict(other) == machine.verdict(machine.me()) == "live"

    machine.kill(one)

    assert machine.verdict(one) == "dead"
    assert machine.verdict(other) == "live"


def test_a_zombie_is_dead() -> None:
    machine = FakeHost()
    one = machine.spawn()

    machine.kill(one, reap=False)

    assert machine.verdict(one) == "dead"


def test_a_recycled_pid_is_seen__failure_3_5() -> None:
    machine = FakeHost()
    one = machine.spawn()

    successor = machine.recycle(one)

    assert successor["pid"] == one["pid"]
    assert machine.verdict(one) == "recycled"
    assert machine.verdict(successor) == "live"
    machine.kill(one)  # it is gone: its successor is not touched
    assert machine.verdict(successor) == "live"


def test_processes_elsewhere_are_judged_as_by_the_system() -> None:
    machine = FakeHost()

    assert machine.verdict(machine.other_boot()) == "dead"
    assert machine.verdict(machine.other_namespace()) == "unknowable"
    assert machine.verdict(machine.other_machine()) == "unknowable"
    assert machine.verdict(machine.spawn_nowhere()) == "dead"
    assert machine.verdict({"pid": 1}) == "unknowable"
    assert machine.verdict(None) == "unknowable"


def test_two_containers_cannot_judge_each_other__failure_3_6() -> None:
    machine = FakeHost()
    one = machine.as_process(machine.spawn(pid=1, pid_ns=50))
    other = machine.as_process(machine.spawn(pid=1, pid_ns=60))

    assert one.verdict(one.me()) == other.verdict(other.me()) == "live"
    assert one.verdict(other.me()) == other.verdict(one.me()) == "unknowable"


def test_views_share_the_machine() -> None:
    machine = FakeHost()
    one = machine.as_process(machine.spawn())
    other = machine.as_process(machine.spawn())

    one.kill(other.me())

    assert machine.verdict(other.me()) == one.verdict(other.me()) == "dead"
    assert one.me() != machine.me()


def test_reboot_ends_everybody() -> None:
    machine, clock = FakeHost(), ManualClock()
    before, one = machine.me(), machine.spawn()
    watch = machine.death_watch(one)

    machine.reboot()
    clock.reboot()

    assert machine.verdict(one) == machine.verdict(before) == "dead"
    assert machine.verdict(machine.me()) == "live"
    assert machine.me()["boot"] == clock.now().boot != before["boot"]
    assert is_readable(watch)


def test_fake_clock_and_fake_host_start_in_the_same_boot() -> None:
    assert FakeHost().me()["boot"] == ManualClock().now().boot


def test_death_watch_tells_of_the_end() -> None:
    machine = FakeHost()
    one = machine.spawn()
    watch, second = machine.death_watch(one), machine.death_watch(one)
    assert watch is not None
    assert not is_readable(watch)

    machine.kill(one)

    assert is_readable(watch)
    assert is_readable(second)
    watch.close()
    watch.close()


def test_death_watch_of_the_dead_is_readable_at_once() -> None:
    machine = FakeHost()
    recycled = machine.spawn()
    machine.recycle(recycled)

    assert is_readable(machine.death_watch(machine.spawn_nowhere()))
    assert is_readable(machine.death_watch(recycled))


def test_a_closed_death_watch_does_no_harm() -> None:
    machine = FakeHost()
    one = machine.spawn()
    watch = machine.death_watch(one)
    assert watch is not None
    watch.close()

    machine.kill(one)

    assert machine.verdict(one) == "dead"


def test_there_is_no_death_watch_on_the_unknowable() -> None:
    machine = FakeHost()

    assert machine.death_watch(machine.other_namespace()) is None
    assert machine.death_watch("nobody") is None


def test_a_pid_in_use_is_not_given_out_again() -> None:
    machine = FakeHost()
    one = machine.spawn()

    with pytest.raises(ValueError, match="is running"):
        machine.spawn(pid=one["pid"])


def test_an_answer_may_be_changed_by_its_receiver() -> None:
    machine = FakeHost()

    machine.me()["pid"] = 0

    assert machine.verdict(machine.me()) == "live"


def test_processes_are_described_as_they_are_dressed() -> None:
    machine = FakeHost()
    one, hidden = machine.spawn(), machine.spawn(pid_ns=9)
    machine.dress(one, argv=["vim", "latchboard"], exe="/usr/bin/vim", uid=7, parent=3)
    machine.dress(hidden, argv=["latchboard"])

    found = machine.look(one["pid"])

    assert found == {"identity": one, "parent": 3, "uid": 7, "argv": ["vim", "latchboard"], "exe": "/usr/bin/vim"}
    assert machine.look(hidden["pid"]) is None, "numbered in another namespace"
    assert [process["identity"] for process in machine.scan("latchboard")] == [one, hidden]
    machine.kill(one, reap=False)
    zombie = machine.look(one["pid"])
    assert zombie is not None
    assert zombie["argv"] == []
    machine.bury(one)
    assert machine.look(one["pid"]) is None


def test_a_signal_reaches_whom_the_grip_is_on_and_nobody_else__failure_3_5() -> None:
    machine = FakeHost()
    one = machine.spawn()
    grip = machine.grip(one)
    assert grip is not None
    successor = machine.recycle(one)

    assert grip.send("KILL") == "dead"

    assert machine.verdict(successor) == "live"
    assert machine.signals == []
    assert machine.grip(one) is None
    grip.close()


def test_surroundings_are_a_bare_host_until_told_otherwise() -> None:
    machine = FakeHost()
    assert not machine.surroundings("/srv")["has_dockerenv"]

    machine.surround(has_dockerenv=True)

    assert machine.surroundings("/srv")["has_dockerenv"]
    assert machine.surroundings("/srv")["root"] == "/srv"
