from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.clock import Now
from latchboard.errors import UsageError
from latchboard.rules import mailbox, message
from latchboard.rules.agent import check_agent

NOW = Now(1_795_225_200.0, 1000.0, "boot-1")
NAMES = {"sender": "a", "to": "b", "body": "hello"}


def at(s: float, *, boot: str = "boot-1", wall_jump_s: float = 0.0) -> Now:
    """`s` seconds after `NOW`; the monotonic clock starts anew in another boot."""
    return Now(NOW.wall_s + s + wall_jump_s, NOW.mono_s + s if boot == "boot-1" else 5.0, boot)


def made(number: int = 1, **changed: object) -> dict[str, object]:
    fields = {"now": NOW, "revision": number, **NAMES, **changed}
    return mailbox.compose(f"m{number}", **fields)  # type: ignore[arg-type]


def draft(**changed: object) -> dict[str, object]:
    empty = dict.fromkeys(("thread", "reply_to", "ack_by_s", "expires_s"))
    return {"body": "hello", "subject": "", "urgency": "normal", "ack": "none", **empty, **changed}


# -- records


def test_every_message_that_is_composed_can_be_read_where_it_belongs() -> None:
    sent = made(ack="required", ack_by_s=5, expires_s=10)
    taken = mailbox.step(made(), "take", NOW)
    assert taken is not None

    assert mailbox.read("messages/b/m1", sent) == (sent, "")
    assert mailbox.read("archive/b/m1", taken) == (taken, "")
    assert mailbox.read("broadcasts/m1", made(to=None)) == (made(to=None), "")


def test_what_was_left_out_is_filled_in_and_what_is_unknown_is_kept() -> None:
    least = {"id": "m1", "from": "a", "to": "b", "body": "x", "sent_at": "2026-11-21T01:40:00Z", "revision": 7}

    found, fault = mailbox.read("messages/b/m1", {**least, "colour": "red"})

    assert fault == ""
    assert (found["thread"], found["ack"], found["expires_at"], found["colour"]) == ("m1", "none", None, "red")


@pytest.mark.parametrize(
    ("place", "changed"),
    [
        ("messages/b/m1", {"body": 7}),
        ("messages/b/m1", {"id": ["m1"]}),
        ("messages/b/a/m1", {"id": "a/m1"}),
        ("messages/b/m1", {"to": "B"}),
        ("messages/b/m1", {"to": None}),
        ("messages/b/m1", {"to": 3}),
        ("messages/b/m2", {}),
        ("archive/b/m1", {}),
        ("messages/b/m1", {"archived_at": "2026-11-21T01:40:00Z"}),
        ("messages/b/m1", {"from": " "}),
        ("messages/b/m1", {"revision": "7"}),
        ("messages/b/m1", {"revision": True}),
        ("messages/b/m1", {"revision": -1}),
        ("messages/b/m1", {"thread": None}),
        ("messages/b/m1", {"expires_at": "tomorrow"}),
        ("messages/b/m1", {"ack_by_at": 12}),
        ("messages/b/m1", {"sent_at": "yesterday", "expires_at": "2026-11-21T01:40:00Z"}),
        ("archive/b/m1", {"archived_at": "long ago"}),
    ],
)
def test_what_is_no_message_says_why(place: str, changed: dict[str, object]) -> None:
    _, fault = mailbox.read(place, made() | changed)

    assert fault


def test_a_copy_of_a_broadcast_is_a_message_of_its_reader() -> None:
    copy = mailbox.for_reader({**made(to=None), "previous": {"id": "m0", "revision": 3}}, "b")

    assert copy["to"] == "b"
    assert copy["broadcast"] is True
    assert "previous" not in copy
    assert mailbox.read("messages/b/m1", copy)[1] == ""


def test_ids_sort_by_time_and_are_ids() -> None:
    early = mailbox.message_id(NOW, "0123456789ab", 99)
    late = mailbox.message_id(at(0.000_002), "0123456789ab", 1)

    assert early == "01795225200000000-0123456789ab-99"
    assert early < late
    assert message.is_id(early)
    assert mailbox.message_id(Now(-5.0, 1.0, "b"), "t", 1).startswith("0" * 17)


def test_people_see_no_clock_readings() -> None:
    seen = mailbox.shown({**made(), "previous": None}, redelivered=True)

    assert not {"sent_mono_s", "sent_boot", "previous"} & set(seen)
    assert seen["redelivered"] is True


# -- what may be sent


@pytest.mark.parametrize("body", ["", "x" * 100, "é" * 50, "\0\n\u2028🙂"])
def test_any_text_up_to_the_limit_may_be_sent(body: str) -> None:
    message.check_draft(draft(body=body), 100)


@pytest.mark.parametrize(
    "changed",
    [
        {"body": "x" * 101},
        {"body": "é" * 50 + "x"},
        {"body": "\ud800"},
        {"body": "fine\udfff"},
        {"body": b"bytes"},
        {"body": None},
        {"subject": "x" * 201},
        {"subject": "\ud800"},
        {"subject": 1},
        {"thread": ""},
        {"thread": "a/b"},
        {"thread": 1},
        {"reply_to": "a/b"},
        {"reply_to": "x" * 201},
        {"reply_to": "a\nb"},
        {"urgency": "Urgent"},
        {"urgency": ["low"]},
        {"ack": "yes"},
        {"ack": True},
        {"ack_by_s": 5},
        {"ack": "required", "ack_by_s": 0},
        {"ack": "required", "ack_by_s": float("nan")},
        {"ack": "required", "ack_by_s": "5"},
        {"expires_s": -1},
        {"expires_s": True},
        {"expires_s": float("inf")},
        {"expires_s": 1e9 + 1},
    ],
)
def test_what_cannot_be_sent_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        message.check_draft(draft(**changed), 100)


def test_refusal_names_size_and_limit() -> None:
    with pytest.raises(UsageError, match="101 bytes; the most is 100") as caught:
        message.check_draft(draft(body="x" * 101), 100)

    assert caught.value.fields == {"body_bytes": 101, "body_bytes_max": 100}


@pytest.mark.parametrize("agent", ["a", "A", "a_b", "a/b", "..", "é", "*", "x" * 200])
def test_an_agent_id_may_be_any_printable_text(agent: str) -> None:
    assert check_agent(agent) == agent


@pytest.mark.parametrize("agent", ["", " a", "a ", "a\n", "\ud800", "x" * 201, None, 7, b"a"])
def test_other_agent_ids_are_refused(agent: object) -> None:
    with pytest.raises(UsageError):
        check_agent(agent)


# -- states


def in_state(state: str) -> dict[str, object]:
    start = made(ack="required")
    events = {"waiting": (), "delivered": ("deliver",), "taken": ("take",), "acked": ("ack",), "dead": ("expire",)}
    for event in events[state]:
        after = mailbox.step(start, event, NOW)
        assert after is not None
        start = after
    return start


@pytest.mark.parametrize("state", list(mailbox.NEXT))
@pytest.mark.parametrize("event", ["take", "deliver", "ack", "expire", "sing"])
def test_every_event_in_every_state_does_what_the_table_says(state: str, event: str) -> None:
    before = in_state(state)
    copy = dict(before)

    after = mailbox.step(before, event, at(9))

    expected = mailbox.NEXT[state].get(event)
    assert before == copy, "an event changes no record, it makes a new one"
    if expected is None:
        assert after is None
    else:
        assert after is not None
        assert mailbox.state(after) == expected
        place = mailbox.key(after) if expected in ("waiting", "delivered") else mailbox.archive_key(after)
        assert mailbox.read(place, after) == (after, "")
        assert (after is before) == (expected == state)


def test_the_first_delivery_is_remembered_and_no_later_one() -> None:
    first = mailbox.step(made(ack="required"), "deliver", at(1))
    assert first is not None

    assert first["delivered_at"] == "2026-11-21T01:40:01.000000Z"
    assert mailbox.step(first, "deliver", at(2)) is first


def test_an_unknown_demand_is_one_that_must_be_met() -> None:
    assert mailbox.reception(made()) == "take"
    assert mailbox.reception(made(ack="required")) == "deliver"
    assert mailbox.reception(made(ack="in_triplicate")) == "deliver"


# -- deliveries


def test_deliveries_are_in_the_order_of_revisions() -> None:
    waiting = [made(3), made(1), made(2, to="b")]

    deliver, dead = mailbox.deliveries(waiting, NOW, None)

    assert [m["id"] for m in deliver] == ["m1", "m2", "m3"]
    assert dead == []


def test_messages_of_one_commit_are_in_the_order_of_their_ids() -> None:
    waiting = [made(2, revision=5), made(1, revision=5)]

    assert [m["id"] for m in mailbox.deliveries(waiting, NOW, None)[0]] == ["m1", "m2"]


def test_what_has_expired_is_not_delivered() -> None:
    waiting = [made(1, expires_s=10), made(2, expires_s=20), made(3)]

    deliver, dead = mailbox.deliveries(waiting, at(10), None)

    assert [m["id"] for m in deliver] == ["m2", "m3"]
    assert [m["id"] for m in dead] == ["m1"]


def test_under_a_limit_new_messages_go_before_redelivered_ones() -> None:
    old = [mailbox.step(made(n, ack="required"), "deliver", NOW) for n in (1, 2, 3)]
    waiting = [*[m for m in old if m], made(4), made(5)]

    assert [m["id"] for m in mailbox.deliveries(waiting, NOW, 1)[0]] == ["m4"]
    assert [m["id"] for m in mailbox.deliveries(waiting, NOW, 2)[0]] == ["m4", "m5"]
    assert [m["id"] for m in mailbox.deliveries(waiting, NOW, 3)[0]] == ["m1", "m4", "m5"]
    assert len(mailbox.deliveries(waiting, NOW, 5)[0]) == len(mailbox.deliveries(waiting, NOW, 6)[0]) == 5


# -- times


def test_a_message_expires_when_its_time_is_over_and_not_before() -> None:
    sent = made(expires_s=10)

    assert not mailbox.is_expired(sent, at(9.999))
    assert mailbox.is_expired(sent, at(10))
    assert not mailbox.is_expired(made(), at(1e9))


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
def test_a_jump_of_the_wall_clock_expires_nothing(jump_s: float) -> None:  # failures 3.10
    sent = made(expires_s=10, ack="required", ack_by_s=5)

    assert not mailbox.is_expired(sent, at(1, wall_jump_s=jump_s))
    assert mailbox.is_expired(sent, at(11, wall_jump_s=jump_s))
    assert mailbox.overdue_s(sent, at(1, wall_jump_s=jump_s)) is None
    assert mailbox.overdue_s(sent, at(7, wall_jump_s=jump_s)) == pytest.approx(2)


def test_across_a_reboot_the_wall_clock_decides_and_ages_are_never_below_zero() -> None:
    sent = made(expires_s=10)

    assert mailbox.is_expired(sent, at(11, boot="boot-2"))
    assert not mailbox.is_expired(sent, at(9, boot="boot-2"))
    assert not mailbox.is_expired(sent, at(-100, boot="boot-2"))


def test_a_record_without_clock_readings_is_judged_by_the_wall_clock() -> None:
    sent = {k: v for k, v in made(expires_s=10).items() if k not in ("sent_mono_s", "sent_boot")}

    assert mailbox.is_expired(sent, at(11, boot="boot-2"))
    assert not mailbox.is_expired(sent, at(9))


def test_only_a_demanded_acknowledgement_with_a_deadline_is_overdue() -> None:
    assert mailbox.overdue_s(made(), at(100)) is None
    assert mailbox.overdue_s(made(ack="required"), at(100)) is None
    assert mailbox.overdue_s(made(ack="required", ack_by_s=60), at(60)) is None
    assert mailbox.overdue_s(made(ack="required", ack_by_s=60), at(100)) == pytest.approx(40)


def test_an_archived_message_goes_after_its_time_and_a_copy_not_before_its_broadcast() -> None:
    taken = mailbox.step(made(), "take", NOW)
    copied = mailbox.step(made(expires_s=200), "take", NOW)
    assert taken is not None
    assert copied is not None

    assert not mailbox.is_forgettable(taken, at(100), 100)
    assert mailbox.is_forgettable(taken, at(101), 100)
    assert not mailbox.is_forgettable(copied, at(150), 100)
    assert mailbox.is_forgettable(copied, at(201), 100)
    assert not mailbox.is_forgettable(made(), at(1e9), 100)
    assert not mailbox.is_forgettable(taken, at(50, wall_jump_s=1e6), 100)


# -- anything may stand in a file

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    *made(),
    "archived_at",
    "archived_mono_s",
    "archived_boot",
    "delivered_at",
    "acked_at",
    "dead_letter",
    "broadcast",
]


@given(value=st.dictionaries(st.sampled_from(FIELDS) | st.text(), JSON), place=st.sampled_from(["messages/b/m1", ""]))
def test_no_value_at_all_breaks_the_reader(value: dict[str, Any], place: str) -> None:
    found, fault = mailbox.read(place, value)

    assert fault
    assert {name: found[name] for name in value} == value


@given(changes=st.dictionaries(st.sampled_from(FIELDS), JSON | st.sampled_from(["2026-11-21T01:40:00Z"]), max_size=3))
def test_whatever_is_read_as_a_message_can_be_delivered_and_judged(changes: dict[str, Any]) -> None:
    for place in ("messages/b/m1", "archive/b/m1", "broadcasts/m1"):
        found, fault = mailbox.read(place, {**made(), **changes})
        if fault:
            continue
        mailbox.deliveries([found], NOW, 1)
        mailbox.overdue_s(found, NOW)
        mailbox.is_forgettable(found, NOW, 1.0)
        for event in ("take", "deliver", "ack", "expire"):
            after = mailbox.step(found, event, NOW)
            assert (after is None) == (event not in mailbox.NEXT[mailbox.state(found)])


@given(st.dictionaries(st.sampled_from([*draft()]), JSON))
def test_no_draft_at_all_breaks_the_check(changes: dict[str, Any]) -> None:
    try:
        message.check_draft(draft(**changes), 100)
    except UsageError:
        return
    sent = mailbox.compose("m1", sender="a", to="b", now=NOW, revision=1, **{**draft(), **changes})
    assert mailbox.read("messages/b/m1", sent)[1] == ""
