"""What every record must be: shapes, tokens below the revision, and what follows from other records."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.rules.record import faults

AT = "2026-11-21T02:00:00.000000Z"


def wrong(records: dict[str, Any], revision: int = 100, **more: Any) -> dict[str, str]:
    return faults(records, revision, at=AT, **more)


def lock(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "holders": [], "waiters": [], **more}


def moment() -> dict[str, Any]:
    return {"at": AT, "mono_s": 1.0, "boot": "b"}


def status(agent: str, **more: Any) -> dict[str, Any]:
    said = {"agent": agent, "status": "", "files": [], "heartbeat": moment(), "started": moment(), "process": {}}
    return {**said, **more}


def everywhere(agent_type: str) -> dict[str, Any]:
    process = {"host": "h", "boot": "b", "pid_ns": 1, "pid": 7, "start": 1, "presence": "p"}
    return {"format": 1, "agent_type": agent_type, "host_name": "h", "process": process}


def call(agent: str) -> dict[str, Any]:
    return {"agent": agent, "count": 1, "since": moment(), "seen": {}}


def image(name: str, token: int) -> dict[str, Any]:
    return {"name": name, "agent": "a", "token": token, "file": None}


def place(seq: int) -> dict[str, Any]:
    return {"request": "r1", "agent": "a", "mode": "exclusive", "seq": seq}


def test_sound_records_have_no_fault() -> None:
    assert wrong({}) == {}
    assert (
        wrong({"locks/a": lock("a", waiters=[place(100)]), "agents/a": status("a"), "theirs/a": {"any": "thing"}}) == {}
    )
    assert wrong({"singletons/s": everywhere("s"), "calls/a": call("a"), "images/a": image("a", 100)}) == {}
    assert wrong({"cursors/a": {"broadcasts": 100}, "newest_broadcast": {"id": "1", "revision": 100}}) == {}
    assert wrong({"locks/src/": lock("src/"), "wide": {"names": ["src/"]}}) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("locks/a", {"name": "a"}),
        ("locks/a", lock("b")),
        ("waiters/r1", {"request": "r1"}),
        ("leases/l1", {}),
        ("jobs/j1", {"id": "j1"}),
        ("messages/a/1", {"id": "1"}),
        ("archive/a/1", {"id": "1"}),
        ("broadcasts/1", {"id": "1"}),
        ("agents/a", {"any": "thing"}),
        ("agents/a", status("b")),
        ("cursors/a", {}),
        ("newest_broadcast", {"id": "1"}),
        ("newest_broadcast", {"revision": 1}),
        ("images/a", {"name": "a"}),
        ("images/a", image("b", 1)),
        ("calls/a", {"agent": "a"}),
        ("conflicts/c", {"id": "c"}),
        ("bypasses/c", {"commit": "c"}),
        ("singletons/s", {"format": 1, "agent_type": "s"}),
        ("singletons/s", everywhere("other")),
    ],
)
def test_record_without_its_shape(key: str, value: dict[str, Any]) -> None:
    assert key in wrong({key: value})


def test_token_above_the_revision_says_that_revisions_came_back() -> None:
    records = {"locks/a": lock("a", waiters=[place(101)])}

    assert "101 is greater than the store's revision 100" in wrong(records)["locks/a"]
    assert wrong(records, 101) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cursors/a", {"broadcasts": 101}),
        ("newest_broadcast", {"id": "1", "revision": 101}),
        ("images/a", image("a", 101)),
    ],
)
def test_whatever_else_says_a_revision_above_the_stores_says_it_too(key: str, value: dict[str, Any]) -> None:
    assert "101 is greater" in wrong({key: value})[key]
    assert wrong({key: value}, 101) == {}


def test_what_others_write_into_a_record_is_no_token() -> None:
    assert wrong({"agents/a": status("a", token=10**18)}) == {}
    assert wrong({"locks/a": lock("a", extra={"token": 10**18})}) == {}
    assert wrong({"locks/a": lock("a", more=[{"token": 10**18}])})


def test_index_names_the_wide_records() -> None:
    for index in ({}, {"names": []}, {"names": ["src/", "lib/"]}, {"names": "src/"}):
        assert "wide" in wrong({"locks/src/": lock("src/"), "wide": index}), index
    assert "wide" in wrong({"locks/src/": lock("src/")})
    assert "wide" not in wrong({"locks/src/": lock("src/")}, damaged=["wide"])
    assert wrong({"wide": {"names": ["src/"]}}, damaged=["locks/src/"]) == {}


def test_queue_is_what_its_jobs_say() -> None:
    found = wrong({"queue/numbers": {"submitted": 3}, "queue/limits": {"of": "nobody"}})

    assert list(found) == ["queue/limits"]
    assert "queue/active" in wrong({}, damaged=["queue/active"])
