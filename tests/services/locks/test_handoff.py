"""Handoff: a holder is asked; it grants, declines, or time runs out."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.errors import Deadlock, HandoffDeclined, HoldLost, MalformedRecord, UsageError, WaitEnded
from latchboard.locks import Hold, Refusal, handoff
from tests.services.locks.scene import InLine, Process, Scene

ASKED = {"state": "asked"}


def ask(process: Process, agent: str, *paths: str, **options: Any) -> InLine:
    return process.line(agent, *paths, handoff=dict(ASKED), **options)


def bodies(scene: Scene, agent: str) -> list[str]:
    return [message["body"] for message in scene.mail(agent)]


def test_holder_is_asked_by_a_message_in_the_same_commit(scene: Scene) -> None:
    h = scene.process()
    h.agent("h").lock("src/a.py")

    asked = ask(scene.process(), "w", "src/a.py", reason="hotfix")

    [message] = scene.mail("h")
    assert (message["from"], message["urgency"], message["thread"]) == ("w", "high", asked.id)
    assert "w asks you for src/a.py (hotfix)." in message["body"]
    assert f"latchboard handoff grant {asked.id}" in message["body"]
    assert f"latchboard handoff decline {asked.id}" in message["body"]
    assert message["revision"] == scene.commits(f"waiters/{asked.id}")[0].revision
    [request] = handoff.requests(h.locks, "h")
    assert (request["agent"], request["request"]) == ("w", asked.id)
    assert handoff.requests(h.locks, "w") == []


def test_grant_moves_the_lock_in_one_commit_past_the_others_in_line(scene: Scene) -> None:
    h = scene.process()
    old = h.agent("h").lock("src/a.py")
    earlier = scene.process().line("earlier", "src/a.py")
    asked = ask(scene.process(), "w", "src/a.py")

    assert handoff.grant(h.locks, asked.id, by="h") is True

    assert asked.holds
    assert not earlier.holds
    [*_, lock] = scene.commits("locks/src/a.py")
    assert [held["agent"] for held in lock.value["holders"]] == ["w"]
    assert scene.commits(f"waiters/{asked.id}")[-1].revision == lock.revision
    assert bodies(scene, "w") == ["h handed over src/a.py."]
    assert not old.is_live()
    with pytest.raises(HoldLost):
        old.renew()
    asked.step().release()  # type: ignore[union-attr]
    assert earlier.holds  # the line goes on where it was


def test_grant_lets_go_of_blocks_inside_blocks_too(scene: Scene) -> None:
    h = scene.process()
    h.agent("h").lock("src/a.py")
    h.agent("h").lock("src/a.py")
    asked = ask(scene.process(), "w", "src/a.py")

    assert handoff.grant(h.locks, asked.id, by="h")

    assert scene.holders("src/a.py") == [("w", "exclusive")]


def listed(process: Process, agent: str) -> list[str]:
    return [request["request"] for request in handoff.requests(process.locks, agent)]


def test_request_is_listed_for_whoever_is_in_its_way_now(scene: Scene) -> None:
    first, second = scene.process(), scene.process()
    hold = first.agent("first").lock("src/a.py", shared=True)
    second.agent("second").lock("src/b.py")
    asked = ask(scene.process(), "w", "src/a.py", "src/b.py", wait_s_max=60.0)
    inside = second.agent("second").lock("src/b.py")  # it is inside already, and passes those who wait
    assert listed(first, "first") == listed(second, "second") == [asked.id]

    hold.release()
    assert listed(first, "first") == []
    late = scene.process()
    late.agent("late").lock("src/c.py")
    assert listed(late, "late") == []
    inside.release()

    assert listed(second, "second") == [asked.id]
    second.kill()
    assert listed(late, "second") == []


def test_holder_that_came_after_the_request_finds_it_and_may_grant(scene: Scene) -> None:
    h, late = scene.process(), scene.process()
    h.agent("h").lock("src/a.py")
    late.agent("late").lock("src/b.py", shared=True)
    asked = ask(scene.process(), "w", "src/")  # whom it found in its way is in its record
    late.agent("late").lock("src/b.py")
    scene.put(f"waiters/{asked.id}", {**dict(scene.scan("waiters/"))[f"waiters/{asked.id}"], "blocked_by": []})

    assert listed(late, "late") == listed(h, "h") == [asked.id]
    assert handoff.grant(late.locks, asked.id, by="late") is False
    assert listed(late, "late") == []
    assert handoff.grant(h.locks, asked.id, by="h") is True
    assert listed(h, "h") == []


def test_request_whose_time_is_up_is_listed_no_more(scene: Scene) -> None:
    h = scene.process()
    h.agent("h").lock("src/a.py")
    ask(scene.process(), "w", "src/a.py", wait_s_max=5.0)

    scene.clock.advance(6.0)

    assert listed(h, "h") == []


def test_request_that_meets_a_damaged_lock_is_listed_and_its_answer_names_it(scene: Scene) -> None:
    h = scene.process()
    h.agent("h").lock("src/a.py")
    asked = ask(scene.process(), "w", "src/a.py", "x.py")
    scene.put("locks/x.py", {"name": 5})

    assert listed(h, "h") == [asked.id]
    with pytest.raises(MalformedRecord, match=r"locks/x\.py"):
        handoff.grant(h.locks, asked.id, by="h")


def test_grant_by_one_of_two_holders_leaves_the_other_in_the_way(scene: Scene) -> None:
    h1, h2 = scene.process(), scene.process()
    h1.agent("h1").lock("x.py")
    h2.agent("h2").lock("y.py")
    asked = ask(scene.process(), "w", "x.py", "y.py")

    assert handoff.grant(h1.locks, asked.id, by="h1") is False
    assert not asked.holds
    assert handoff.grant(h2.locks, asked.id, by="h2") is True

    assert asked.holds
    assert bodies(scene, "w") == ["h1 let go of x.py, y.py; others still hold it.", "h2 handed over x.py, y.py."]


def test_part_that_is_let_go_of_stays_for_the_one_who_asked_before_the_others(scene: Scene) -> None:
    h1, h2 = scene.process(), scene.process()
    h1.agent("h1").lock("x.py")
    h2.agent("h2").lock("y.py")
    asked = ask(scene.process(), "w", "x.py", "y.py")
    first = scene.process().line("first", "x.py")

    handoff.grant(h1.locks, asked.id, by="h1")

    assert not first.holds  # it came after the one who asked
    assert scene.holders("x.py") == []


def test_only_a_holder_can_grant_and_only_whom_it_is_in_the_way_of(scene: Scene) -> None:
    h, stranger = scene.process(), scene.process()
    h.agent("h").lock("src/a.py")
    asked = ask(scene.process(), "w", "src/a.py")

    for by, process in (("stranger", stranger), ("h", stranger)):  # nor the same id in another process
        with pytest.raises(UsageError, match="holds nothing"):
            handoff.grant(process.locks, asked.id, by=by)
    with pytest.raises(UsageError, match="no open handoff request"):
        handoff.grant(h.locks, "nothing.1", by="h")
    plain = scene.process().line("plain", "src/a.py")
    with pytest.raises(UsageError, match="no open handoff request"):
        handoff.grant(h.locks, plain.id, by="h")
    assert scene.holders("src/a.py") == [("h", "exclusive")]


def test_agent_whose_process_is_gone_grants_from_the_next_one(scene: Scene) -> None:
    first, then = scene.process(), scene.process()
    first.agent("h").lock("src/a.py", bound="agent")
    first.kill()
    asked = ask(scene.process(), "w", "src/a.py")

    assert handoff.grant(then.locks, asked.id, by="h")
    assert asked.holds


def test_grant_to_somebody_who_is_gone_is_refused(scene: Scene) -> None:
    h, w = scene.process(), scene.process()
    hold = h.agent("h").lock("src/a.py")
    asked = ask(w, "w", "src/a.py")
    w.kill()

    with pytest.raises(UsageError, match="no open handoff request"):
        handoff.grant(h.locks, asked.id, by="h")
    assert hold.is_live()


def test_grant_that_would_make_everybody_wait_for_everybody_is_refused(scene: Scene) -> None:
    h, a, b = scene.process(), scene.process(), scene.process()
    h.agent("h").lock("x.py")
    b.agent("b").lock("y.py")
    b.line("b", "x.py")
    asked = ask(a, "a", "x.py", bound="agent", attended=False)
    a.line("a", "y.py", bound="agent")  # waits for b, who waits for x.py
    before = scene.everything()

    with pytest.raises(Deadlock, match="in hand, a would wait for itself"):
        handoff.grant(h.locks, asked.id, by="h")

    assert scene.everything() == before


@pytest.mark.parametrize("bound", ["process", "agent"])
def test_decline_reaches_the_one_who_waits(scene: Scene, bound: Any) -> None:
    h, w = scene.process(), scene.process()
    hold = h.agent("h").lock("src/a.py")
    asked = ask(w, "w", "src/a.py", bound=bound)

    handoff.decline(h.locks, asked.id, by="h", reason="almost done")

    with pytest.raises(HandoffDeclined, match="h declined to hand over: almost done") as caught:
        asked.step()
    assert caught.value.fields == {"by": "h", "reason": "almost done"}
    asked.give_up()
    assert bodies(scene, "w") == ["h keeps src/a.py: almost done."]
    assert scene.scan("waiters/") == []
    assert hold.release()
    assert scene.is_empty()


def test_decline_reaches_the_one_who_went_on_by_a_message(scene: Scene) -> None:
    h, w = scene.process(), scene.process()
    h.agent("h").lock("src/a.py")
    request = w.locks.request("w", ["src/a.py"], bound="agent")
    assert isinstance(handoff.ask_and_go(w.locks, request), Refusal)

    handoff.decline(h.locks, request.request, by="h")

    assert bodies(scene, "w") == ["h keeps src/a.py: no reason given."]
    assert scene.scan("waiters/") == []


def test_declined_waiter_is_out_of_line_at_once(scene: Scene) -> None:
    h = scene.process()
    hold = h.agent("h").lock("src/a.py")
    asked = ask(scene.process(), "w", "src/a.py")
    next_one = scene.process().line("next", "src/a.py")

    handoff.decline(h.locks, asked.id, by="h")
    hold.release()

    assert next_one.holds


def test_decline_of_what_one_does_not_hold_is_refused(scene: Scene) -> None:
    h, stranger = scene.process(), scene.process()
    h.agent("h").lock("src/a.py")
    asked = ask(scene.process(), "w", "src/a.py")

    with pytest.raises(UsageError, match="stranger holds nothing"):
        handoff.decline(stranger.locks, asked.id, by="stranger")

    assert asked.waits
    assert scene.mail("w") == []


def test_answer_to_an_answered_request_is_refused(scene: Scene) -> None:
    h = scene.process()
    h.agent("h").lock("src/a.py")
    asked = ask(scene.process(), "w", "src/a.py")
    handoff.decline(h.locks, asked.id, by="h")

    with pytest.raises(UsageError, match="no open handoff request"):
        handoff.decline(h.locks, asked.id, by="h")
    with pytest.raises(UsageError, match="no open handoff request"):
        handoff.grant(h.locks, asked.id, by="h")


def test_request_that_is_not_answered_ends_with_its_time(scene: Scene) -> None:
    scene.process().agent("h").lock("src/a.py")
    w = scene.process()
    started = scene.clock.now().mono_s

    with pytest.raises(WaitEnded):
        handoff.ask(w.locks, w.locks.request("w", ["src/a.py"]), wait_s_max=7)

    assert scene.clock.now().mono_s - started == 7.0
    assert scene.scan("waiters/") == []


def test_request_stands_for_as_long_as_the_settings_say(scene: Scene) -> None:
    scene.process().agent("h").lock("src/a.py")
    w = scene.process()
    started = scene.clock.now().mono_s

    with pytest.raises(WaitEnded):
        handoff.ask(w.locks, w.locks.request("w", ["src/a.py"]))

    assert scene.clock.now().mono_s - started == scene.settings.handoff_wait_s


def test_asking_for_what_is_free_gives_it_at_once(scene: Scene) -> None:
    w = scene.process()

    assert handoff.ask(w.locks, w.locks.request("w", ["src/a.py"])).release()
    gone_on = handoff.ask_and_go(w.locks, w.locks.request("w", ["src/a.py"], bound="agent"))

    assert isinstance(gone_on, Hold)


def test_lock_arrives_at_the_one_who_went_on_and_a_message_says_so(scene: Scene) -> None:
    h, w = scene.process(), scene.process()
    hold = h.agent("h").lock("src/a.py")
    request = w.locks.request("w", ["src/a.py"], bound="agent")
    handoff.ask_and_go(w.locks, request)
    w.kill()  # a command that has ended

    hold.release()

    assert scene.holders("src/a.py") == [("w", "exclusive")]
    assert bodies(scene, "w") == ["You hold src/a.py now, as you asked. Release it when you are done."]
    assert scene.process().agent("w").lock("src/a.py", bound="agent").release()


def test_one_who_went_on_gets_the_lock_of_a_holder_that_died_when_anybody_comes_by(scene: Scene) -> None:
    h, w = scene.process(), scene.process()
    h.agent("h").lock("src/a.py")
    handoff.ask_and_go(w.locks, w.locks.request("w", ["src/a.py"], bound="agent"))
    h.kill()

    scene.process().agent("x").try_lock("src/a.py")

    assert scene.holders("src/a.py") == [("w", "exclusive")]


def test_one_who_went_on_gets_nothing_after_its_time(scene: Scene) -> None:
    h, w = scene.process(), scene.process()
    hold = h.agent("h").lock("src/a.py")
    handoff.ask_and_go(w.locks, w.locks.request("w", ["src/a.py"], bound="agent"), wait_s_max=60)
    scene.clock.advance(61)

    hold.release()

    assert scene.is_empty()
    assert scene.mail("w") == []


def test_asking_and_going_on_must_be_bound_to_the_agent(scene: Scene) -> None:
    w = scene.process()

    with pytest.raises(UsageError, match="bound to the agent"):
        handoff.ask_and_go(w.locks, w.locks.request("w", ["src/a.py"]))


@pytest.mark.parametrize("wait_s_max", [-1, float("nan"), "5", 1e9])
def test_what_is_no_waiting_time_is_refused(scene: Scene, wait_s_max: Any) -> None:
    w = scene.process()
    for bound, call in (("process", handoff.ask), ("agent", handoff.ask_and_go)):
        with pytest.raises(UsageError, match="waiting time"):
            call(w.locks, w.locks.request("w", ["src/a.py"], bound=bound), wait_s_max=wait_s_max)  # type: ignore[operator]
    assert scene.is_empty()


def test_damaged_waiter_does_not_hide_the_other_requests(scene: Scene) -> None:
    h = scene.process()
    h.agent("h").lock("src/a.py")
    asked = ask(scene.process(), "w", "src/a.py")
    scene.put("waiters/x", {"request": 7})

    assert [request["request"] for request in handoff.requests(h.locks, "h")] == [asked.id]
