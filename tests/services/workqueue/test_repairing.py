"""Damage of the queue's records: told with the record's name, and repaired from the jobs; nothing else changes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from latchboard.clock import iso
from latchboard.errors import MalformedRecord, NothingReady, StaleToken
from latchboard.store.files.store import FileStore
from latchboard.testing import ManualClock
from latchboard.workqueue import repairing
from tests.services.workqueue.support import SETTINGS, Bench

KEYS = [
    "queue/active",
    "queue/limits",
    "queue/numbers",
    "queue/ready.builder",
    "queue/ready.builder.0",
    "queue/ready.builder.1",
    "queue/later",
    "queue/later.0",
]


def fill(bench: Bench) -> tuple[str, int]:
    """Two sheets of builder's jobs, one that waits for its time, one for another, one at work."""
    bench.queue.set_limits(by="s", roles={"builder": 2})
    bench.add(*[f"j{n}" for n in range(70)])
    bench.add("late", ready_at=iso(bench.clock.now().wall_s + 1000))
    bench.add("after", dependencies=["j5"])
    bench.add("part", parent="j6")
    return bench.claim()


def records(bench: Bench) -> dict[str, Any]:
    return dict(bench.store.read("queue/").scan("queue/"))


def put(bench: Bench, key: str, value: Any) -> None:
    def change(view: Any) -> None:
        if value is None:
            view.delete(key)
        else:
            view.put(key, value)

    bench.store.transact(change, who="vandal")


def look(bench: Bench) -> Any:
    return repairing.look(bench.store, iso(bench.clock.now().wall_s))


def test_of_a_queue_that_is_right_nothing_is_said_and_nothing_changes(bench: Bench) -> None:
    assert look(bench).faults == {}
    fill(bench)
    before = bench.store.read("queue/active").revision

    assert look(bench).faults == {}
    assert repairing.repair(bench.store, by="doctor").faults == {}

    assert bench.store.read("queue/active").revision == before


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("damage", [None, {"nonsense": 1}, {"claims": 5, "places": [[1, 2, 3]]}])
def test_a_damaged_record_is_told_by_its_name_and_made_anew(bench: Bench, key: str, damage: Any) -> None:
    job, token = fill(bench)
    before = records(bench)
    if damage is None and key == "queue/limits":
        return  # the defaults: no damage
    put(bench, key, damage)

    told = look(bench).faults

    assert key in told
    if key == "queue/active":
        assert set(told) == {"queue/active", "jobs/j0"}
    assert repairing.repair(bench.store, by="doctor").faults == told
    assert look(bench).faults == {}
    assert bench.problems() == []
    if key == "queue/active":
        with pytest.raises(StaleToken):
            bench.queue.complete(job, token)
        assert bench.job(job)["attempts"][-1]["outcome"] == "expired"
        assert (bench.job(job)["attempts_count"], bench.claim()[0]) == (0, "j0")
    elif key != "queue/limits":
        after = records(bench)
        assert {name for name in after if name.startswith("queue/active")} == {"queue/active"}
        assert after["queue/active"] == before["queue/active"]
        assert bench.lines()["ready.builder"][0] == "j1"


def test_a_claim_that_can_be_read_is_kept_beside_one_that_cannot(bench: Bench) -> None:
    fill(bench)
    other, token = bench.claim()
    claims = bench.active()
    put(bench, "queue/active", {"claims": {**claims, "j0": {"task_id": "j0"}, "ghost": claims["j0"]}})

    assert set(repairing.repair(bench.store, by="doctor").faults) == {"queue/active", "jobs/j0"}

    assert list(bench.active()) == [other]
    assert bench.queue.complete(other, token)["status"] == "done"


def test_a_claim_of_a_job_that_has_another_token_has_ended(bench: Bench) -> None:
    job, token = fill(bench)
    put(bench, "queue/active", {"claims": {job: {**bench.active()[job], "token": token + 1}}})

    repairing.repair(bench.store, by="doctor")

    assert bench.active() == {}
    assert bench.claim()[0] == job


def test_a_place_that_is_missing_or_too_much_is_found(bench: Bench) -> None:
    fill(bench)
    sheet = bench.store.read("queue/ready.builder.0").get("queue/ready.builder.0")["places"]
    for places in (sheet[1:], [*sheet[:-1]], [[0, 999, "ghost"], *sheet], [*sheet, [10**6, 1, "ghost"]]):
        put(bench, "queue/ready.builder.0", {"places": places})
        assert look(bench).faults
        repairing.repair(bench.store, by="doctor")
        assert bench.problems() == []


def test_a_sheet_that_the_line_does_not_name_goes(bench: Bench) -> None:
    fill(bench)
    put(bench, "queue/ready.builder.9", {"places": [[1, 1, "ghost"]]})
    put(bench, "queue/ready.painter", {"nonsense": 1})

    assert set(repairing.repair(bench.store, by="doctor").faults) == {"queue/ready.builder.9", "queue/ready.painter"}

    assert not {"queue/ready.builder.9", "queue/ready.painter"} & set(records(bench))


def test_who_waits_for_whom_is_mended_on_both_sides(bench: Bench) -> None:
    fill(bench)
    put(bench, "jobs/j5", {**bench.job("j5"), "dependents": []})
    put(bench, "jobs/after", {**bench.job("after"), "waits_for": []})
    put(bench, "jobs/j6", {**bench.job("j6"), "waits_for": ["j7"]})

    assert {"jobs/j5", "jobs/after", "jobs/j6"} <= set(look(bench).faults)
    repairing.repair(bench.store, by="doctor")

    assert bench.job("after")["waits_for"] == ["j5"]
    assert "after" in bench.job("j5")["dependents"]
    assert bench.job("j6")["waits_for"] == ["j7", "part"]
    assert look(bench).faults == {}


def test_a_job_that_is_gone_is_not_invented(bench: Bench) -> None:
    fill(bench)
    put(bench, "jobs/j5", None)

    repairing.repair(bench.store, by="doctor")

    assert bench.job("j5") is None
    assert [one["status"] for one in bench.queue.look().stuck()] == ["gone"]
    bench.queue.cancel("after", by="lead")
    put(bench, "jobs/after", None)  # so that what the fixture checks can be told


def test_ten_thousand_faults_are_mended_in_several_commits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repairing, "RECORDS_COUNT_MAX", 3)
    fill(bench)
    for n in range(10, 20):
        put(bench, f"jobs/j{n}", {**bench.job(f"j{n}"), "priority": 1})
    put(bench, "queue/numbers", None)
    told = look(bench).faults
    watch = bench.store.watch("", after=bench.store.read("jobs/").revision)

    assert told.items() <= repairing.repair(bench.store, by="doctor").faults.items()

    commits = Counter(change.revision for change in watch.poll())
    watch.close()
    assert len(commits) > 1 and max(commits.values()) <= 3
    assert look(bench).faults == {}
    assert bench.problems() == []


def test_nobody_claims_by_a_damaged_line_before_it_is_mended(bench: Bench) -> None:
    fill(bench)
    put(bench, "queue/ready.builder", {"nonsense": 1})
    with pytest.raises(MalformedRecord) as refused:
        bench.claim()
    assert "doctor --fix" in refused.value.hint

    repairing.repair(bench.store, by="doctor")

    assert bench.claim()[0] == "j1"
    with pytest.raises(NothingReady):
        bench.claim("tester")


@pytest.mark.parametrize(
    ("key", "zeros_count"), [(key, n % 2 * 50) for n, key in enumerate([*KEYS, "queue/file", "queue/ready.painter"])]
)
def test_a_file_that_a_power_cut_left_without_its_content_is_told_and_made_anew(
    key: str, zeros_count: int, tmp_path: Path
) -> None:
    """Also where nothing stands in it: whoever claims would meet it for ever."""
    clock = ManualClock()
    bench = Bench(FileStore(str(tmp_path), clock=clock, settings=SETTINGS), clock, str(tmp_path))
    fill(bench)
    Path(bench.store.path, f"{key}.json").write_bytes(b"\0" * zeros_count)

    with pytest.raises(MalformedRecord, match="`latchboard doctor` tells what mends it"):
        bench.store.read(key).get(key)
    assert key in look(bench).faults
    repairing.repair(bench.store, by="doctor")

    assert look(bench).faults == {}
    assert bench.problems() == []
    assert bench.claim()[0] in ("j0", "j1")
    bench.store.close()
