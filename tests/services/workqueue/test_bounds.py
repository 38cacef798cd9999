"""However much is submitted, who works can go on and finish: what cannot be recorded is refused before it is begun."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from latchboard.clock import iso
from latchboard.errors import NothingReady, UsageError
from latchboard.rules import workqueue_size as sizes
from latchboard.settings import Settings
from latchboard.workqueue import repairing
from tests.services.engine import looks_inside, needs_large_commits
from tests.services.queue_file.support import Desk, task
from tests.services.workqueue.support import Bench, bench_on
from tests.services.workqueue.test_graph import Counted
from tests.services.workqueue.test_standing import hold, nothing, places

CROWDED = "needed would have|jobs would wait for needed"
"""What its record has room for, or what one commit takes."""

SMALL = Settings(value_bytes_max=32 * 1024, queue_backoff_s=10, queue_backoff_s_max=60)
LIMITS = {"builder": 1000}


@pytest.fixture(params=["memory", "files"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Records of 32 KiB at most: what needs thousands of names else needs dozens here."""
    with bench_on(request.param, str(tmp_path), SMALL) as made:
        made.queue.set_limits(by="s", roles=LIMITS)
        yield made


def names(job: str) -> list[str]:
    """Files of 5 KB of names."""
    return [f"{'d' * 100}/{'e' * 100}/{'f' * 100}/{job}-{n}" for n in range(15)]


def fill(bench: Bench) -> list[tuple[str, int]]:
    """Claim jobs with long names until no more of them can be recorded."""
    bench.add("small")
    for n in range(9):
        bench.add(f"big-{n}", files=names(str(n)), priority=0)
    claims = []
    for _ in range(9):
        claims.append(bench.claim())
        if claims[-1][0] == "small":
            return claims[:-1]
    raise AssertionError("the record of claims never filled")


FINISH: dict[str, Callable[[Bench, str, int], Any]] = {
    "complete": lambda bench, job, token: bench.queue.complete(job, token, result="r" * 1000),
    "fail": lambda bench, job, token: bench.queue.fail(job, token, error="e" * 5000),
    "release": lambda bench, job, token: bench.queue.release(job, token),
    "cancel": lambda bench, job, token: bench.queue.cancel(job, by="lead", reason="r" * 5000),
    "renew": lambda bench, job, token: bench.queue.renew(job, token),
}


def test_a_claim_that_cannot_be_recorded_is_refused_by_name_and_the_next_job_is_claimed(small: Bench) -> None:
    """Else one long list of files behind another kept every role from every job."""
    claims = fill(small)

    refused = f"big-{len(claims)}"
    for named in ({}, {"job": refused}):
        with pytest.raises(NothingReady, match=rf"the record of claims is too full for {refused}\b") as found:
            small.claim(**named)
        assert found.value.fields["no_room"][0] == refused
    assert "small" in small.active()


@pytest.mark.parametrize("how", FINISH)
def test_where_the_record_of_claims_is_full_every_claim_can_go_on_and_end(small: Bench, how: str) -> None:
    claims = fill(small)
    small.clock.advance(100.123456)  # numbers of heartbeats grow

    for job, token in claims:
        FINISH[how](small, job, token)


def test_where_the_record_of_claims_is_full_what_expires_comes_back_and_makes_room(small: Bench) -> None:
    claims = fill(small)
    small.clock.advance(5401)

    again = small.claim()

    assert again[0] == f"big-{len(claims)}"
    assert [*small.active()] == [again[0]]


def test_claims_that_name_no_file_fill_the_record_and_can_end(small: Bench) -> None:
    small.add(*[f"j{n}" for n in range(200)])
    claims = []
    with pytest.raises(NothingReady, match="the record of claims is too full for j") as refused:
        for _ in range(200):
            claims.append(small.claim(owner="w" * 200))
    assert refused.value.fields["no_room"] == [f"j{len(claims)}"]  # and no other is looked at

    for job, token in claims:
        small.queue.renew(job, token)
    small.queue.complete(*claims[0])
    assert small.claim()[0] == f"j{len(claims)}"


def test_names_of_one_job_fit_into_the_record_of_claims_beside_those_of_others(bench: Bench) -> None:
    most = [f"{'/'.join(['d' * 200] * 19)}/{n:02}" for n in range(18)]
    fits = most[:-1]
    assert sizes.size(fits) <= sizes.NAMES_BYTES_MAX < sizes.size(most)

    with pytest.raises(UsageError, match="bytes; at most 65536"):
        bench.add("a", files=most)
    bench.add("b", files=fits)

    assert len(bench.job("b")["files"]) == len(fits)


@needs_large_commits
def test_names_that_links_make_longer_stop_their_job_and_no_other(bench: Bench, tmp_path: Path) -> None:
    bench.add("a", files=[f"out/{n}" for n in range(100)])
    bench.add("b")
    deep = tmp_path
    for _ in range(15):
        deep = deep / ("d" * 60)
        deep.mkdir()
    (tmp_path / "out").symlink_to(deep)

    assert bench.claim()[0] == "b"
    with pytest.raises(NothingReady) as refused:
        bench.claim()
    assert refused.value.fields["held"] == ["a"]


def test_a_line_that_is_very_long_takes_no_new_job_and_every_one_that_comes_back(bench: Bench) -> None:
    bench.add("a")
    claim = bench.claim()
    sheets = [{"start": [0, n, "x"], "sheet": n} for n in range(sizes.SHEETS_COUNT_MAX)]

    def plant(view: Any) -> None:
        view.put("queue/ready.builder", {"sheets": sheets, "next": len(sheets)})
        view.put(f"queue/ready.builder.{len(sheets) - 1}", {"places": [sheets[-1]["start"]]})

    bench.store.transact(plant, who="vandal")
    with pytest.raises(UsageError, match=r"ready\.builder has 3000 sheets"):
        bench.add("b")

    assert bench.queue.release(*claim)["status"] == "ready"
    repairing.repair(bench.store, by="doctor")
    bench.add("b")


@looks_inside
def test_a_claim_that_finds_nothing_commits_nothing_and_reads_no_more_of_a_longer_line(bench: Bench) -> None:
    hold(bench, "person", "d/")
    counted: Any = Counted(bench.store)
    read = []
    for count in (130, 60):
        drafts = [{"title": "t", "role": "builder", "files": [f"d/{n}"]} for n in range(count)]
        bench.submit(drafts)
        nothing(bench)  # places are taken, once
        before = bench.store.read("queue/active").revision
        bench.queue.store, counted.jobs_count = counted, 0
        nothing(bench)
        bench.queue.store = bench.store
        assert bench.store.read("queue/active").revision == before
        read.append(counted.jobs_count)

    assert read == [128, 128]


# -- the record of a job ----------------------------------------------------------------------------------------------


def test_a_job_that_is_waited_for_by_too_many_is_refused_to_them_and_can_be_done(small: Bench) -> None:
    """Its record names all of them. Else it could be claimed, and neither expire nor be completed."""
    small.add("needed")
    waiting = 0
    with pytest.raises(UsageError, match=CROWDED):
        for waiting in range(300):
            small.add(f"{'w' * 90}-{waiting}", dependencies=["needed"])
    assert small.claim(ttl_s=10)[0] == "needed"
    small.clock.advance(11)
    with pytest.raises(NothingReady):
        small.claim()  # it expires

    small.clock.advance(11)
    done = small.queue.complete(*small.claim(), result="r" * 8000)

    assert (done["status"], len(done["dependents"]), small.job(done["dependents"][0])["waits_for"]) == (
        "done",
        waiting,
        [],
    )


def test_a_parent_gets_no_more_sub_tasks_than_its_record_can_name(small: Bench) -> None:
    small.add("parent", role="painter")
    claimed = small.claim("painter")
    with pytest.raises(UsageError, match=r"parent would have .* that it waits for"):
        for n in range(300):
            small.add(f"{'s' * 90}-{n}", parent="parent")

    assert small.queue.release(*claimed)["status"] == "ready"


def crowd(bench: Bench) -> None:
    """As many wait for `needed` as may."""
    bench.add("needed")
    with pytest.raises(UsageError):
        for n in range(300):
            bench.add(f"{'w' * 90}-{n}", dependencies=["needed"])


def test_what_a_file_says_leaves_the_same_room(small: Bench, tmp_path: Path) -> None:
    desk = Desk(small, tmp_path)
    crowd(small)
    late, new = "l" * 100, "n" * 100
    small.add(late)

    with pytest.raises(UsageError, match=CROWDED):
        desk.bring(task(new, dependencies=["needed"]))
    desk.live.sync()
    desk.edit(late, dependencies=["needed"])
    report = desk.live.sync()

    assert [(one["task"], bool(re.search(CROWDED, one["why"]))) for one in report["conflicts"]] == [(late, True)]
    assert (small.job(new), small.job(late)["dependencies"]) == (None, [])


def test_a_file_brings_no_job_that_too_many_of_it_wait_for(small: Bench, tmp_path: Path) -> None:
    waiting = [task(f"{'w' * 90}-{n}", dependencies=["needed"]) for n in range(200)]

    with pytest.raises(UsageError, match=CROWDED):
        Desk(small, tmp_path).bring(task("needed"), *waiting)

    assert small.job("needed") is None


@needs_large_commits
def test_a_file_brings_no_more_claims_than_can_be_recorded(small: Bench, tmp_path: Path) -> None:
    at = iso(small.clock.now().wall_s)
    lease = {
        "role": "builder",
        "owner": "w" * 200,
        "started_at": at,
        "heartbeat_at": at,
        "ttl_seconds": 5400,
        "token": 3,
    }
    tasks = [task(f"t{n}", status="in_progress", lease={**lease, "task_id": f"t{n}"}) for n in range(100)]

    with pytest.raises(UsageError, match=r"t\d+ is being worked on, and the record of claims has no room for it"):
        Desk(small, tmp_path).bring(*tasks)

    assert small.active() == {}


@needs_large_commits
def test_a_file_gives_a_parent_no_more_sub_tasks_than_its_record_can_name(small: Bench, tmp_path: Path) -> None:
    desk = Desk(small, tmp_path)
    small.add("parent", role="painter")

    with pytest.raises(UsageError, match="parent would have"):
        desk.bring(*[task(f"{'s' * 90}-{n}", parent="parent") for n in range(200)])

    assert small.job("parent")["waits_for"] == []


def test_a_place_names_some_of_those_who_are_in_its_way(bench: Bench) -> None:
    """All of them would not fit into a record, where a job has a thousand files."""
    bench.add("a", files=[f"f{n}" for n in range(30)])
    for n in range(30):
        hold(bench, f"p{n}", f"f{n}")

    assert nothing(bench).fields["held"] == ["a"]

    assert len(places(bench)["a"]["blocked_by"]) == 20


def test_of_the_errors_of_old_attempts_the_end_is_kept(bench: Bench) -> None:
    bench.add("a", attempts_max=100)
    for n in range(7):
        bench.queue.fail(*bench.claim(), error=f"{n}" * 5000)
        bench.clock.advance(61)

    kept = [attempt["error"] for attempt in bench.job("a")["attempts"]]

    assert [len(error) for error in kept] == [500, 500, 4000, 4000, 4000, 4000, 4000]
    assert kept[0] == "..." + "0" * 497
