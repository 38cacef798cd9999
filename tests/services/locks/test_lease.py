"""How long a hold lasts: expiry, renewal, takeover, and what a former holder can still do (nothing)."""

from __future__ import annotations

from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import HoldLost, LeaseExpired, StaleToken, TakenOver, UsageError
from latchboard.store.wrap import DUPLICATE, FaultyStore
from tests.services.locks.scene import Process, Scene

HOUR_S = 3600.0


def test_hold_lasts_an_hour_from_the_last_renewal(scene: Scene) -> None:
    a, b = scene.process().agent("a"), scene.process().agent("b")
    hold = a.lock("src/a.py")
    scene.clock.advance(HOUR_S - 1)
    hold.renew()
    scene.clock.advance(HOUR_S - 1)

    assert hold.is_live()
    assert not b.try_lock("src/a.py")
    scene.clock.advance(1)
    assert not hold.is_live()
    assert b.try_lock("src/a.py")


def test_use_renews_everything_the_holder_has(scene: Scene) -> None:
    a = scene.process().agent("a")
    for bound in ("process", "agent"):
        hold = a.lock(f"src/{bound}.py", bound=bound)
        for _ in range(10):
            scene.clock.advance(HOUR_S / 2)
            a.lock("other.py", bound=bound).release()
        assert hold.is_live(), bound


@pytest.mark.parametrize("bound", ["process", "agent"])
def test_use_renews_whichever_object_of_the_process_is_used(scene: Scene, bound: Any) -> None:
    process = scene.process()
    first = process.agent("two-objects").lock("x.py", bound=bound)
    for number in range(3):
        scene.clock.advance(3000)
        Process(scene, process.host).agent("two-objects").lock(f"y{number}.py", bound=bound)

    scene.clock.advance(3000)

    assert first.is_live()


def test_use_renews_when_the_store_runs_its_function_again(scene: Scene) -> None:
    process = scene.process()
    first = process.agent("two-objects").lock("x.py")
    for number in range(3):
        scene.clock.advance(3000)
        other = Process(scene, process.host)
        other.locks.store = FaultyStore(other.locks.store, faults=repeat(DUPLICATE))
        other.agent("two-objects").lock(f"y{number}.py")

    scene.clock.advance(3000)

    assert first.is_live()


def test_use_of_short_leases_renews_long_ones_and_the_other_way_round(scene: Scene) -> None:
    a = scene.process().agent("a")
    short, long = a.lock("short.py", ttl_s=8), a.lock("long.py", ttl_s=HOUR_S)
    for number in range(40):
        scene.clock.advance(4)
        a.lock(f"{number}.py", ttl_s=8 if number % 2 else HOUR_S)

    assert short.is_live()
    assert long.is_live()


def test_use_within_a_minute_writes_no_second_renewal(scene: Scene) -> None:
    a = scene.process().agent("a")
    for _ in range(20):
        a.lock("src/a.py", bound="agent").release()
        scene.clock.advance(2)

    assert len(scene.commits("leases/a")) == 1


def test_lease_times_that_are_never_the_same_make_no_growing_record(scene: Scene) -> None:
    a = scene.process().agent("a")
    for number in range(300):
        a.lock("src/a.py", bound="agent", ttl_s=1000 - number / 7).release()
        scene.clock.advance(1)

    [lease] = [value for key, value in scene.scan("leases/") if key == "leases/a"]
    assert len(lease["chains"]) < 10


def test_guarded_write_is_use(scene: Scene) -> None:
    hold = scene.process().agent("a").lock("a.txt", ttl_s=100)
    for number in range(5):
        scene.clock.advance(60)
        hold.write("a.txt", str(number))

    assert hold.is_live()


def test_block_inside_an_agents_hold_renews_the_agents_lease(scene: Scene) -> None:
    a = scene.process().agent("a")
    kept = a.lock("src/a.py", bound="agent", ttl_s=100)
    for _ in range(5):
        scene.clock.advance(60)
        with a.lock("src/a.py", ttl_s=100) as block:
            block.renew()

    assert kept.is_live()


def test_agent_renews_what_it_holds_from_any_process(scene: Scene) -> None:
    first, then = scene.process(), scene.process()
    first.agent("a").lock("src/a.py", bound="agent", ttl_s=100)
    first.kill()
    for _ in range(3):
        scene.clock.advance(60)
        then.agent("a").renew()

    assert not scene.process().agent("b").try_lock("src/a.py")


@pytest.mark.parametrize("bound", ["process", "agent"])
def test_expired_hold_is_lost_even_if_nobody_wants_it(scene: Scene, bound: Any) -> None:
    a = scene.process().agent("a")
    hold = a.lock("a.txt", bound=bound, ttl_s=60)
    scene.clock.advance(60)

    with pytest.raises(LeaseExpired, match="ran out 0 s ago"):
        hold.renew()
    with pytest.raises(LeaseExpired):
        hold.write("a.txt", "late")
    assert not Path(scene.root, "a.txt").exists()
    a.renew()
    a.lock("other.txt", bound=bound, ttl_s=60)
    assert not hold.is_live()  # use and renewals bring nothing back
    assert hold.release() is False


def test_expired_hold_is_taken_over_and_its_holder_is_told(scene: Scene) -> None:
    a, b = scene.process().agent("a"), scene.process().agent("b")
    old = a.lock("src/a.py", ttl_s=60)
    scene.clock.advance(60)

    new = b.lock("src/a.py")

    assert new.token > old.token
    [message] = scene.mail("a")
    assert (message["from"], message["urgency"]) == ("b", "high")
    assert "Your lease on src/a.py ran out; b has it now" in message["body"]
    [trace] = scene.traces("takeover")
    assert trace["by"] == "b"
    assert trace["taken"] == [{"name": "src/a.py", "from": "a", "token": old.token, "why": "expired", "by": "b"}]


def test_former_holder_changes_nothing_any_more__failure_3_4(scene: Scene) -> None:
    a, b = scene.process().agent("a"), scene.process().agent("b")
    old = a.lock("a.txt", ttl_s=60)
    scene.clock.advance(60)
    new = b.lock("a.txt")
    new.write("a.txt", "new")
    before = scene.everything()

    assert old.release() is False
    with pytest.raises(TakenOver) as caught:
        old.renew()
    assert (caught.value.fields["by"], caught.value.exit_status) == (["b"], 11)
    with pytest.raises(HoldLost):
        old.write("a.txt", "old")

    assert scene.everything() == before
    assert Path(scene.root, "a.txt").read_text() == "new"
    assert new.is_live()


def test_writer_that_slept_past_its_lease_is_fenced__failure_3_12(scene: Scene) -> None:
    a, b = scene.process().agent("a"), scene.process().agent("b")
    asleep = a.lock("a.txt", ttl_s=60)
    scene.clock.advance(61)
    with b.lock("a.txt") as hold:
        hold.write("a.txt", "theirs")

    with pytest.raises(StaleToken):  # nobody has it now, and still: not with that token
        asleep.write("a.txt", "mine")

    assert Path(scene.root, "a.txt").read_text() == "theirs"


def test_reader_whose_lock_was_broken_is_not_told_that_older_readers_took_it(scene: Scene) -> None:
    from latchboard.locks.handoff import break_lock

    a, b = scene.process(), scene.process()
    a.agent("a").lock("src/a.py", shared=True)
    hold = b.agent("b").lock("src/a.py", shared=True)
    break_lock(a.locks, "src/a.py", by="operator", reason="test", token=hold.token)

    with pytest.raises(StaleToken):
        hold.renew()


# -- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["kill", "recycle"])
def test_hold_of_a_process_that_is_gone_is_taken_over_at_once__failure_3_5(scene: Scene, how: str) -> None:
    holder, b = scene.process(), scene.process().agent("b")
    old = holder.agent("a").lock("src/a.py")

    getattr(holder, how)()

    assert b.lock("src/a.py").token > old.token
    [trace] = scene.traces("takeover")
    assert trace["taken"][0]["why"] == ("dead" if how == "kill" else "recycled")
    assert scene.mail("a") == []  # nobody is there to read it


def test_zombie_is_gone(scene: Scene) -> None:
    holder = scene.process()
    holder.agent("a").lock("src/a.py")
    scene.machine.kill(holder.host.me(), reap=False)

    assert scene.process().agent("b").try_lock("src/a.py")


def test_process_that_cannot_be_known_is_left_alone_until_its_lease_ends__failure_3_6(scene: Scene) -> None:
    b = scene.process().agent("b")
    scene.stranger().agent("a").lock("src/a.py", ttl_s=60)

    scene.clock.advance(59)
    assert not b.try_lock("src/a.py")
    scene.clock.advance(1)
    assert b.try_lock("src/a.py")


def test_live_holder_is_not_judged_by_being_quiet__failure_3_32(scene: Scene) -> None:
    scene.process().agent("a").lock("src/a.py")
    scene.clock.advance(HOUR_S - 1)

    assert not scene.process().agent("b").try_lock("src/a.py")


def test_nothing_depends_on_a_farewell__failure_3_28(scene: Scene) -> None:
    holder = scene.process()
    holder.agent("a").lock("src/a.py", "docs/", "glob:*.md")
    holder.kill()  # no exit handler has run

    assert scene.process().agent("b").lock("src/a.py", "docs/", "glob:*.md").release()
    assert scene.is_empty()


# -- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
@pytest.mark.parametrize("bound", ["process", "agent"])
def test_wall_clock_that_jumps_a_day_changes_nothing__failure_3_10(scene: Scene, jump_s: float, bound: Any) -> None:
    a, b = scene.process().agent("a"), scene.process().agent("b")
    hold = a.lock("src/a.py", bound=bound, ttl_s=100)
    scene.clock.advance(50)

    scene.clock.jump_wall(jump_s)

    assert hold.is_live()
    assert not b.try_lock("src/a.py")
    hold.renew()
    scene.clock.advance(99)
    assert hold.is_live()
    scene.clock.advance(1)
    assert b.try_lock("src/a.py")


def test_machine_that_sleeps_expires_nobody__failure_3_11(scene: Scene) -> None:
    hold = scene.process().agent("a").lock("src/a.py", ttl_s=100)
    scene.clock.advance(50)

    scene.clock.suspend(8 * HOUR_S)

    assert hold.is_live()
    assert not scene.process().agent("b").try_lock("src/a.py")


def test_reboot_ends_the_holds_of_processes(scene: Scene) -> None:
    old = scene.process().agent("a").lock("src/a.py")

    scene.reboot()

    assert scene.process().agent("b").lock("src/a.py").token > old.token


def test_after_a_reboot_an_agents_hold_is_judged_by_the_wall_clock(scene: Scene) -> None:
    scene.process().agent("a").lock("src/a.py", bound="agent", ttl_s=600)

    scene.machine.reboot()
    scene.clock.reboot(off_s=599)

    b = scene.process().agent("b")
    assert not b.try_lock("src/a.py")
    scene.clock.advance(1)
    assert b.try_lock("src/a.py")


def test_after_a_reboot_with_a_clock_that_went_back_nothing_is_younger_than_zero(scene: Scene) -> None:
    scene.process().agent("a").lock("src/a.py", bound="agent", ttl_s=600)

    scene.machine.reboot()
    scene.clock.reboot(off_s=0)
    scene.clock.jump_wall(-86_400)

    again = scene.process().agent("a").lock("src/a.py", bound="agent")  # its own, by the same id
    assert again.is_live()
    [fact] = scene.process().agent("b").try_lock("src/a.py").facts()
    assert fact["remaining_s"] <= HOUR_S


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_tokens_of_a_name_only_grow__failure_3_13(scene: Scene) -> None:
    tokens = []
    for number in range(30):
        process = scene.process()
        hold = process.agent(f"a{number % 3}").lock("src/a.py", shared=number % 4 == 0, ttl_s=60)
        tokens.append(hold.token)
        if number % 5 == 0:
            process.kill()
        elif number % 5 == 1:
            scene.clock.advance(60)
        elif number % 5 == 2:
            scene.reboot()
        else:
            hold.release()
        scene.clock.jump_wall(-3600)

    assert tokens == sorted(set(tokens))


def test_lease_times_at_their_limits(scene: Scene) -> None:
    a = scene.process().agent("a")

    for ttl_s in (0, -1, float("nan"), float("inf"), 1e12, "60", True, None.__class__):
        with pytest.raises(UsageError, match="lease time"):
            a.lock("src/a.py", ttl_s=ttl_s)
    with pytest.raises(UsageError):
        a.board.locks.renew_agent("a", ttl_s=0)
    assert a.lock("src/a.py", ttl_s=1e-3).tokens


def test_status_update_extends_what_its_agent_holds(scene: Scene) -> None:
    process = scene.process()
    hold = process.agent("a").lock("src/a.py", bound="agent")
    for _ in range(4):
        scene.clock.advance(HOUR_S / 2)
        process.board.board.update("a", "editing", ["src/a.py"])

    assert hold.is_live()
