"""Sizes of the queue's records, at their limits and one past them."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.errors import UsageError
from latchboard.rules import queue_file_merge as merging
from latchboard.rules import workqueue as rules
from latchboard.rules import workqueue_job as jobs
from latchboard.rules import workqueue_size as sizes
from latchboard.settings import Settings
from tests.rules.test_workqueue import AT, claim_of, compose

BYTES_MAX = Settings().value_bytes_max
LATER = "2026-11-21T07:00:00.000000Z"


def names_of(bytes_count: int) -> list[str]:
    """One name, and the list of it is so many bytes."""
    return ["x" * (bytes_count - sizes.size([""]))]


def test_names_of_the_greatest_size_are_kept_and_one_byte_more_is_refused() -> None:
    assert len(compose(files=names_of(sizes.NAMES_BYTES_MAX))["files"]) == 1
    with pytest.raises(UsageError, match="files of one job have 65537 bytes; at most 65536"):
        compose(files=names_of(sizes.NAMES_BYTES_MAX + 1))


def test_a_job_may_have_half_of_its_record_without_attempts_and_result() -> None:
    job = compose()
    job["extra"] = {"": ""}
    own = {name: value for name, value in job.items() if name not in ("attempts", "result")}
    job["extra"] = {"": "x" * (BYTES_MAX // 2 - sizes.size(own))}

    sizes.check_own({**job, "result": "r" * 60_000}, BYTES_MAX)
    with pytest.raises(UsageError, match="put a job between them"):
        sizes.check_own({**job, "title": job["title"] + "x"}, BYTES_MAX)


def test_what_is_no_json_has_no_size() -> None:
    with pytest.raises(UsageError, match="cannot be written as JSON"):
        sizes.size("\ud800")


def test_a_claim_may_fill_the_record_of_claims_to_its_room() -> None:
    lease = claim_of()
    full = int(BYTES_MAX * sizes.ROOM) - sizes.size({lease["task_id"]: lease})

    assert sizes.has_room(full, lease, BYTES_MAX)
    assert not sizes.has_room(full + 1, lease, BYTES_MAX)


def test_of_the_errors_of_old_attempts_the_end_is_kept() -> None:
    lengths = [9, 501, 4000, 0, 500, 501, *[4000] * 13, 500, 501, 4000, 0, 4000]
    attempts: Any = [{"token": n, "error": f"{n % 10}" * length} for n, length in enumerate(lengths)]
    attempts[5].pop("error")

    kept = sizes.kept(attempts)

    assert [one["token"] for one in kept] == [*range(4, 24)]
    assert [len(one.get("error", "")) for one in kept] == [500, 0, *[500] * 13, 500, 501, 4000, 0, 4000]
    assert kept[2]["error"] == "..." + "6" * 497


def test_the_greatest_job_has_room_for_all_that_attempts_can_add() -> None:
    """What the rules keep fits into what they leave."""
    job = compose(title="t" * 500, payload="p" * 65_000, then=["r" * 32] * 1000)
    job["dependents"] = [f"{'x' * 90}{n:06}" for n in range(4000)]
    sizes.check_own(job, BYTES_MAX)
    lease: Any = {**claim_of(), "owner": "\U0001f600" * 200, "token": 1 << 52}

    for _ in range(30):
        job = jobs.failed({**job, "status": "in_progress"}, lease, "fail", at=AT, error="\1" * 5000, ready_at=AT)
    job = jobs.completed({**job, "status": "in_progress"}, lease, at=AT, result="r" * 65_000, to=None)
    job = jobs.set_aside({**job, "status": "ready"}, None, "block", at=AT, reason="\1" * 100_000)

    assert BYTES_MAX * 0.6 < sizes.size(job) < BYTES_MAX * 0.9


def test_a_person_who_says_when_ends_a_pause_and_one_who_says_another_thing_does_not() -> None:
    job = {**compose(), "ready_at": AT, "is_paused": True}

    said = merging.amended(job, {"ready_at": LATER}, at=AT)  # type: ignore[arg-type]
    other = merging.amended(job, {"priority": 1}, at=AT)  # type: ignore[arg-type]
    done = merging.amended(job, {"status": "done"}, at=AT)  # type: ignore[arg-type]

    assert [(rules.place(one) or [None])[0] for one in (said, other, done)] == ["later", "paused", None]
    assert [one.get("is_paused") for one in (said, other, done)] == [None, True, None]
