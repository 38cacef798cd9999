"""protocol/vectors/mailbox/, schema/message.json and the table of protocol/mailbox.md against rules and service."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from latchboard.clock import Now
from latchboard.errors import UsageError
from latchboard.mailbox import Mailbox
from latchboard.rules import mailbox as rules
from latchboard.rules.message import check_draft
from latchboard.settings import Settings
from latchboard.store.memory import MemoryStore
from latchboard.testing import FakeHost, ManualClock

PROTOCOL = Path(__file__).parents[2] / "protocol"
VECTORS = PROTOCOL / "vectors" / "mailbox"
COLLECTIONS = ("messages/", "archive/", "broadcasts/", "cursors/")
SINGLES = ("newest_broadcast",)
SCHEMA = json.loads((PROTOCOL / "schema" / "message.json").read_text(encoding="utf-8"))


def cases(name: str) -> list[Any]:
    vector = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case["given"], case["expect"], id=case["description"]) for case in vector["cases"]]


def made(given: dict[str, Any]) -> tuple[Mailbox, MemoryStore]:
    """A mailbox on a store that has the given records."""
    now = given.get("now", {"wall_s": 1_795_229_464.0, "mono_s": 1000.0, "boot": "boot-1"})
    clock = ManualClock(**now)
    store = MemoryStore(clock=clock)

    def fill(view: Any) -> None:
        for key, value in given["records"].items():
            view.put(key, value)

    store.transact(fill, who="vectors")
    return Mailbox(store, clock, FakeHost(), Settings()), store


def records(store: MemoryStore) -> dict[str, Any]:
    snapshot = store.read(*COLLECTIONS, *SINGLES)
    found = {key: value for name in COLLECTIONS for key, value in snapshot.scan(name)}
    return found | {key: value for key in SINGLES if (value := snapshot.get(key)) is not None}


@pytest.mark.parametrize(("given", "expect"), cases("records"))
def test_a_stored_value_is_a_message_or_malformed(given: dict[str, Any], expect: dict[str, Any] | None) -> None:
    message, fault = rules.read(given["key"], given["value"])

    assert (None if fault else message) == expect


@pytest.mark.parametrize(("given", "expect"), cases("states"))
def test_an_event_makes_of_a_message(given: dict[str, Any], expect: dict[str, Any] | None) -> None:
    after = rules.step(given["message"], given["event"], Now(**given["now"]))

    if expect is None:
        assert after is None
    else:
        assert after == expect["message"]
        assert rules.state(after) == expect["state"]
        assert rules.read(expect["key"], after)[1] == ""


@pytest.mark.parametrize(("given", "expect"), cases("drafts"))
def test_a_draft_may_be_sent_or_not(given: dict[str, Any], expect: bool) -> None:
    empty = {"thread": None, "reply_to": None, "ack_by_s": None, "expires_s": None}
    draft = {"subject": "", "urgency": "normal", "ack": "none", **empty, **given["draft"]}
    if "body_repeated" in draft:
        text, count = draft.pop("body_repeated")
        draft["body"] = text * count

    if expect:
        check_draft(draft, Settings().body_bytes_max)
    else:
        with pytest.raises(UsageError):
            check_draft(draft, Settings().body_bytes_max)


@pytest.mark.parametrize(("given", "expect"), cases("times"))
def test_a_message_is_judged_by_the_clock_rule(given: dict[str, Any], expect: dict[str, Any]) -> None:
    now = Now(**given["now"])

    assert {
        "expired": rules.is_expired(given["message"], now),
        "overdue_s": rules.overdue_s(given["message"], now),
    } == expect


@pytest.mark.parametrize(("given", "expect"), cases("deliveries"))
def test_deliveries_are_these_in_this_order(given: dict[str, Any], expect: dict[str, Any]) -> None:
    deliver, dead = rules.deliveries(given["waiting"], Now(**given["now"]), given["limit"])

    assert {"deliver": [m["id"] for m in deliver], "dead": [m["id"] for m in dead]} == expect


@pytest.mark.parametrize(("given", "expect"), cases("ids"))
def test_an_id_is_made_of(given: dict[str, Any], expect: str) -> None:
    assert rules.message_id(Now(**given["now"]), given["tag"], given["number"]) == expect


@pytest.mark.parametrize(("given", "expect"), cases("receive"))
def test_a_receive_delivers_and_leaves(given: dict[str, Any], expect: dict[str, Any]) -> None:
    mail, store = made(given)

    peeked = mail.peek(given["agent"], limit=given["limit"])
    inbox = mail.receive(given["agent"], limit=given["limit"])

    for found in (peeked, inbox):
        assert [[m["id"], m["redelivered"]] for m in found] == expect["delivered"]
        assert [error.fields["key"] for error in found.damaged] == expect["damaged"]
    assert records(store) == expect["records"]


@pytest.mark.parametrize(("given", "expect"), cases("acks"))
def test_an_acknowledgement_answers_and_leaves(given: dict[str, Any], expect: dict[str, Any]) -> None:
    mail, store = made(given)

    if expect["acked"] is None:
        with pytest.raises(UsageError):
            mail.ack(given["agent"], given["id"])
    else:
        assert mail.ack(given["agent"], given["id"]) is expect["acked"]
    assert records(store) == expect["records"]


@pytest.mark.parametrize(("given", "expect"), cases("replies"))
def test_a_reply_is_in_the_thread(given: dict[str, Any], expect: str | None) -> None:
    mail, _ = made(given)
    options = {"reply_to": given["reply_to"], "thread": given["thread"]}

    def reply() -> dict[str, Any]:
        if given["to"] is None:
            return mail.broadcast(given["from"], "x", **options)
        return mail.send(given["from"], given["to"], "x", **options)

    if expect is None:
        with pytest.raises(UsageError):
            reply()
    else:
        assert reply()["thread"] == expect


def test_every_vector_has_its_test_and_its_section() -> None:
    chapter = (PROTOCOL / "mailbox.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^## (.+)$", chapter, re.MULTILINE))
    for file in VECTORS.glob("*.json"):
        vector = json.loads(file.read_text(encoding="utf-8"))
        assert vector["section"].removeprefix("protocol/mailbox.md, ") in sections, file.name
        assert f"vectors/mailbox/{file.name}" in chapter
        assert f'cases("{file.stem}")' in Path(__file__).read_text(encoding="utf-8")


def test_the_table_of_the_chapter_is_the_table_of_the_rules() -> None:
    chapter = (PROTOCOL / "mailbox.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in chapter.split("## States")[1].split("## ")[0].splitlines()
        if line.startswith("|")
    ]
    (_, *events), _, *lines = rows

    written = {
        state: {event: after for event, after in zip(events, cells, strict=True) if after != "-"}
        for state, *cells in lines
    }

    assert written == rules.NEXT


# -- the schema


def check(value: Any, part: str = "") -> None:
    schema = {"$schema": SCHEMA["$schema"], "$defs": SCHEMA["$defs"], "$ref": f"#/$defs/{part}"} if part else SCHEMA
    jsonschema.validate(value, schema, cls=jsonschema.Draft202012Validator)


def test_every_record_that_is_written_fits_the_schema() -> None:
    mail, store = made({"records": {}})
    asked = mail.send("a", "b", "x", ack="required", ack_by_s=5, expires_s=10, subject="s")
    mail.send("b", "a", "y", reply_to=asked["id"])
    mail.broadcast("c", "1")
    mail.broadcast("c", "2", ack="required")
    written = [records(store)]
    mail.receive("b")
    written.append(records(store))
    mail.ack("b", asked["id"])
    mail.receive("a")
    mail.sweep(Now(2e9, 1e9, "boot-1"))
    written.append(records(store))

    for everything in written:
        for key, value in everything.items():
            part = {"cursors": "cursor", "newest_broadcast": "link"}.get(key.partition("/")[0], "")
            check(value, part)


@pytest.mark.parametrize(("given", "expect"), cases("records"))
def test_whatever_the_rules_read_fits_the_schema(given: dict[str, Any], expect: dict[str, Any] | None) -> None:
    if expect is not None:
        check(given["value"])


@pytest.mark.parametrize(
    "wrong", [{"id": "a/b"}, {"body": 1}, {"revision": -1}, {"to": 1}, {"sent_at": "now"}, {"from": ""}]
)
def test_the_schema_refuses_what_the_rules_refuse(wrong: dict[str, Any]) -> None:
    good = rules.compose("m1", sender="a", to="b", body="x", now=Now(1.0, 1.0, "boot"), revision=1)
    check(good)

    with pytest.raises(jsonschema.ValidationError):
        check({**good, **wrong})
