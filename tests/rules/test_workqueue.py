"""Rules of the work queue that no vector shows: words, drafts, long errors, and lines of any length."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.errors import UsageError
from latchboard.rules import workqueue as rules
from latchboard.rules import workqueue_job as jobs
from latchboard.rules import workqueue_lease as leases
from latchboard.rules import workqueue_line as lines
from latchboard.rules import workqueue_size as sizes
from latchboard.testing import ManualClock

AT = "2026-11-21T06:00:00.000000Z"


def compose(**draft: Any) -> Any:
    return jobs.compose({"title": "t", "role": "builder", **draft}, job_id="a", number=1, by="p", at=AT)


def claim_of(job_id: str = "a") -> Any:
    return leases.new(job_id, role="builder", owner="b", token=7, ttl_s=60.0, now=ManualClock().now())


@pytest.mark.parametrize("role", ["builder", "a", "x" * 32, "code-reviewer", "a_1"])
def test_a_word_is_a_role(role: str) -> None:
    assert rules.check_role(role) == role


@pytest.mark.parametrize("role", ["", "A", "1a", "-a", "x" * 33, "a.b", "a b", "é", None, 7, ["builder"]])
def test_anything_else_is_none(role: Any) -> None:
    with pytest.raises(UsageError, match="a role is"):
        rules.check_role(role)


@pytest.mark.parametrize("job_id", ["a", "A-1", "1", "x" * 100, "TASK_7.b"])
def test_an_id_is_an_id(job_id: str) -> None:
    assert rules.check_id(job_id) == job_id


@pytest.mark.parametrize("job_id", ["", ".a", "-a", "_a", "x" * 101, "a/b", "a b", "ü", "a\n", None, 7])
def test_anything_else_is_no_id(job_id: Any) -> None:
    with pytest.raises(UsageError, match="a job's id is"):
        rules.check_id(job_id)


def test_every_status_is_reached_and_every_target_is_a_status() -> None:
    targets = {to for events in rules.NEXT.values() for tos in events.values() for to in tos}

    assert targets == set(rules.NEXT)
    assert set(rules.READY_STATUS.values()) == set(rules.WORK_STATUS)
    assert [status for status, events in rules.NEXT.items() if not events] == ["done"]
    assert set(rules.FINAL) <= set(rules.NEXT)


def test_nothing_but_a_claim_leads_into_work() -> None:
    for events in rules.NEXT.values():
        for event, targets in events.items():
            assert event in ("claim", "renew") or not {*targets} & {*rules.WORK_STATUS.values()}


def test_a_draft_gets_the_defaults() -> None:
    job = compose()

    assert (job["status"], job["priority"], job["attempts_max"], job["created_by"]) == ("ready", 50, 3, "p")
    assert jobs.check_job(job, "a") == ""


def test_a_record_that_lacks_what_every_job_says_is_no_job() -> None:
    """Whoever repairs the queue asks for each of them."""
    job = compose()

    for name in job:
        assert jobs.check_job({field: value for field, value in job.items() if field != name}, "a"), name


def test_a_draft_says_everything() -> None:
    job = compose(
        priority=0,
        dependencies=["b", "b"],
        parent="c",
        files=("x.py",),
        then=["tester", "painter"],
        attempts_max=1,
        payload={"n": [None]},
        ready_at="2026-11-21T08:00:00+02:00",
    )

    assert job["dependencies"] == ["b"]
    assert (job["parent"], job["files"], job["then"]) == ("c", ["x.py"], ["tester", "painter"])
    assert job["ready_at"] == AT


@pytest.mark.parametrize(
    "draft",
    [
        {"title": ""},
        {"title": " "},
        {"title": "x" * 501},
        {"title": None},
        {"role": "A"},
        {"colour": "red"},
        {"priority": -1},
        {"priority": True},
        {"priority": 1.5},
        {"priority": 1_000_001},
        {"dependencies": "b"},
        {"dependencies": ["-"]},
        {"dependencies": ["a"]},
        {"dependencies": [f"j{n}" for n in range(1001)]},
        {"parent": "/"},
        {"files": [""]},
        {"files": [7]},
        {"then": ["A"]},
        {"attempts_max": 0},
        {"payload": float("nan")},
        {"payload": {1, 2}},
        {"payload": "x" * 65536},
        {"ready_at": "tomorrow"},
        {"ready_at": 7},
        {"ready_at": "0000-01-01T00:00:00Z"},
    ],
    ids=lambda draft: f"{next(iter(draft))}={next(iter(draft.values()))!r:.20}",
)
def test_a_draft_that_cannot_be_a_job_is_refused(draft: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        compose(**draft)


def test_payload_at_its_limit() -> None:
    room = jobs.DATA_BYTES_MAX - len('{"":""}')

    assert compose(payload="x" * room)["payload"]
    with pytest.raises(UsageError, match="65537 bytes"):
        compose(payload="x" * (room + 1))


def test_the_end_of_a_long_error_is_kept() -> None:
    job = jobs.claimed(compose(), 7, AT)

    after = jobs.failed(job, claim_of(), "fail", at=AT, error="x" * 9000 + "END", ready_at=AT)

    error = after["attempts"][0]["error"]
    assert error.startswith("...x") and error.endswith("END") and len(error) == sizes.ERROR_CHARS_MAX


def test_the_newest_attempts_are_kept() -> None:
    job = jobs.claimed(compose(), 7, AT)
    for n in range(30):
        job = jobs.ended(job, {**claim_of(), "token": n}, "released", at=AT)

    assert [attempt["token"] for attempt in job["attempts"]] == list(range(10, 30))


def test_a_renewal_starts_the_lease_anew() -> None:
    clock = ManualClock()
    lease = leases.new("a", role="builder", owner="b", token=7, ttl_s=60.0, now=clock.now())
    clock.advance(50)

    assert leases.remaining_s(lease, clock.now()) == 10
    assert leases.remaining_s(leases.renewed(lease, clock.now()), clock.now()) == 60
    assert leases.check_active({"claims": {"a": lease}}) == ""


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400)), unique=True), st.randoms())
def test_sheets_keep_any_line_in_order(keys: list[tuple[int, int]], random: Any) -> None:
    places = [[a, b, f"j{b}"] for a, b in keys]
    sheets: list[list[Any]] = []
    for place in places:
        if not sheets:
            sheets = [[place]]
            continue
        at = lines.sheet_of([sheet[0] for sheet in sheets], place)
        sheet, second = lines.added(sheets[at], place)
        sheets[at : at + 1] = [sheet] if second is None else [sheet, second]

    assert [place for sheet in sheets for place in sheet] == sorted(places)
    assert all(0 < len(sheet) <= lines.SHEET_PLACES_MAX for sheet in sheets)
    random.shuffle(places)
    for place in places:
        at = lines.sheet_of([sheet[0] for sheet in sheets], place)
        left = lines.removed(sheets[at], place)
        assert left is not None
        sheets[at : at + 1] = [left] if left else []
    assert sheets == []


def test_what_is_done_is_not_waited_for_any_more() -> None:
    job = {**compose(), "waits_for": ["b", "c"]}

    assert jobs.without(job, "b")["waits_for"] == ["c"]
    assert job["waits_for"] == ["b", "c"]


def test_a_place_in_line_for_files_is_another_one_for_each_attempt() -> None:
    job = compose()
    after = jobs.ended({**job, "token": 7}, claim_of(), "released", at=AT)

    assert (rules.place_id(job), rules.place_id(after)) == ("job.a.0", "job.a.7")


@pytest.mark.parametrize(("place", "kind"), [([1, 1, "a"], str), (["1", 1, "a"], int)])
def test_a_line_has_places_of_its_own_kind(place: Any, kind: type) -> None:
    """Priorities in one line, times in the other: between the two there is no order."""
    index = {"sheets": [{"start": place, "sheet": 0}], "next": 1}

    assert (lines.check_sheet({"places": [place]}), lines.check_index(index)) == ("", "")
    assert "order" in lines.check_sheet({"places": [place]}, kind)
    assert "order" in lines.check_index(index, kind)
    assert [lines.kind_of(line) for line in ("later", "paused", "ready.builder")] == [str, str, int]


def test_a_role_is_spoken_of_with_its_article() -> None:
    assert [rules.with_article(role) for role in ("builder", "integrator")] == ["a builder", "an integrator"]
