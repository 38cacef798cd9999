"""store status: what is said of the members of a cluster; that they say it: tests/store/etcd/test_looking.py."""

from __future__ import annotations

from latchboard.surface.cli.verb.store import members


def test_what_a_member_does_not_tell_is_not_told_as_no_and_nothing() -> None:
    """Where etcd asks for passwords it tells of itself to root alone, and one that is away tells nothing."""
    known = {"version": "3.5.30", "is_leader": False, "db_bytes": 0}
    away = {"version": "", "is_leader": False, "db_bytes": 0}
    leads = {"version": "3.5.30", "is_leader": True, "db_bytes": 400_000}

    told = members([{"endpoint": "http://one", **known}, {"endpoint": "http://two", **away}])
    open_told = members([{"endpoint": "http://one", **leads}, {"endpoint": "http://two", **leads, "is_leader": False}])

    rows = [line.split() for line in told]
    assert ["http://one", "3.5.30", "?", "?"] in rows and ["http://two"] in rows
    assert "root alone" in told[-1]
    rows = [line.split() for line in open_told]
    assert ["http://one", "3.5.30", "yes", "0.4", "MB"] in rows and rows[-1] == [
        "http://two",
        "3.5.30",
        "no",
        "0.4",
        "MB",
    ]
