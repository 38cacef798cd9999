"""What stands in the queue's own records, by another writer, when a file is imported, exported or kept the same."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.errors import MalformedRecord, UsageError
from latchboard.workqueue import repairing
from tests.services.queue_file.support import Desk, task

LEASE = {
    "owner": "b1",
    "started_at": "2026-11-21T06:00:00Z",
    "ttl_seconds": 1e6,
    "heartbeat_at": "2999-01-01T00:00:00Z",
}


def test_a_record_of_limits_without_a_total_is_one(desk: Desk) -> None:
    desk.bench.store.transact(lambda view: view.put("queue/limits", {"roles": {"builder": 4}}), who="x")

    desk.live.sync()
    said = desk.read()
    said["wip_limits"]["builder"] = 5
    desk.write(said)
    desk.live.sync()
    desk.bring(task("a"), wip_limits={"tester": 3})

    assert desk.export()["wip_limits"] == {"planner": 1, "builder": 5, "tester": 3, "refiner": 1, "integrator": 1}


def test_limits_that_no_file_speaks_of_stay_as_they_are(desk: Desk) -> None:
    store = desk.bench.store
    store.transact(lambda view: view.put("queue/limits", {"roles": {"builder": 4}}), who="x")

    desk.bring(sprint=3)

    assert desk.export()["sprint"] == 3
    assert store.read("queue/limits").get("queue/limits") == {"roles": {"builder": 4}}


def test_what_a_file_says_beside_is_told_where_it_cannot_be_read_and_comes_back_from_the_file(desk: Desk) -> None:
    desk.write({"sprint": 3, "tasks": []})
    desk.live.sync()
    store = desk.bench.store
    store.transact(lambda view: view.put("queue/file", {"extra": 5}), who="x")

    for do in (desk.live.sync, desk.files.export):
        with pytest.raises(MalformedRecord, match="queue/file cannot be read"):
            do()
    assert repairing.repair(store, by="doctor").faults == {"queue/file": "it cannot be read"}
    desk.live.sync()

    assert desk.export()["sprint"] == desk.read()["sprint"] == 3


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "ready"},
        {"status": "blocked"},
        {"lease": {"owner": "b1"}},
        {"lease": {**LEASE, "ttl_seconds": "long"}},
        {"lease": {**LEASE, "owner": 5}},
    ],
)
def test_what_is_no_lease_of_a_job_at_work_claims_nothing(desk: Desk, fields: dict[str, Any]) -> None:
    desk.bring(task("a", **{"status": "in_progress", "lease": LEASE, **fields}))

    assert desk.bench.active() == {}
    assert desk.bench.job("a")["status"] == fields.get("status", "ready")


def test_what_the_queue_refuses_of_a_preferred_file_is_told(desk: Desk) -> None:
    desk.bring(task("a"), task("b", dependencies=["a"]))

    with pytest.raises(UsageError, match="a was left as it is: they would wait for each other for ever: a -> b -> a"):
        desk.bring(task("a", dependencies=["b"]), task("b", dependencies=["a"]), prefer="file")

    assert desk.bench.job("a")["dependencies"] == []
