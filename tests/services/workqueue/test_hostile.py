"""Records that somebody else damaged on purpose, and files that cannot be named any more: told, and never a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import HoldLost, MalformedRecord, NothingReady, UsageError
from latchboard.workqueue import repairing
from tests.services.engine import needs_large_commits
from tests.services.workqueue.support import Bench

PLACE = ["2026-11-21T00:00:00.000000Z", 1, "a"]


def plant(bench: Bench, key: str, value: Any) -> None:
    bench.store.transact(lambda view: view.put(key, value) if value else view.delete(key), who="vandal")


def mend(bench: Bench) -> None:
    repairing.repair(bench.store, by="doctor")


@pytest.mark.parametrize(
    "value", [{"claims": []}, {"claims": {"a": 5}}, {"claims": {"a": {"token": 7}}}, {"claims": None}]
)
def test_claims_that_are_none_let_nobody_finish_by_them(bench: Bench, value: Any) -> None:
    bench.add("a")
    job, token = bench.claim()
    kept = bench.active()
    plant(bench, "queue/active", value)

    for call in (
        lambda: bench.queue.complete(job, token),
        lambda: bench.queue.fail(job, token, error="e"),
        lambda: bench.queue.release(job, token),
        lambda: bench.queue.renew(job, token),
    ):
        with pytest.raises(MalformedRecord):
            call()

    plant(bench, "queue/active", {"claims": kept})


def test_a_claim_of_a_job_that_is_gone_is_damage_and_the_doctor_ends_it(bench: Bench) -> None:
    """Nobody is told that *he* named a job that is not there."""
    bench.add("a", "b")
    bench.claim(ttl_s=10)
    plant(bench, "jobs/a", None)
    bench.clock.advance(11)

    with pytest.raises(MalformedRecord, match="queue/active"):
        bench.claim()

    mend(bench)
    assert bench.claim()[0] == "b"


def test_an_expired_claim_by_another_token_is_damage(bench: Bench) -> None:
    """Else the claim of nobody would end somebody's, or refuse all others for the status of a job."""
    bench.add("a", "b")
    job, token = bench.claim(ttl_s=10)
    lease = bench.active()[job]
    bench.queue.release(job, token)
    plant(bench, "queue/active", {"claims": {job: lease}})
    bench.clock.advance(11)

    with pytest.raises(MalformedRecord, match="queue/active"):
        bench.claim()

    mend(bench)
    assert bench.claim()[0] == "a"


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("ready.builder", [0, 0, "gone"]),
        ("ready.builder", [0, 0, "../a"]),
        ("ready.builder", [0, 0, "a\0b"]),
        ("ready.builder", [0, 0, "x" * 5000]),
        ("ready.builder", [0, 0, "tested"]),
        ("ready.builder", ["0", 0, "a"]),
        ("later", ["0", 0, "gone"]),
        ("later", ["0", 0, "a"]),
        ("later", [0, 0, "a"]),
        ("later", ["zzz", 0, "gone"]),
    ],
)
def test_a_line_with_what_must_not_be_in_it_is_damage(bench: Bench, line: str, place: list[Any]) -> None:
    bench.add("tested", role="tester")
    if line == "later":
        bench.add("a", ready_at="2099-01-01T00:00:00Z")
    else:
        bench.add("a")
    plant(bench, f"queue/{line}", {"sheets": [{"start": place, "sheet": 0}], "next": 1})
    plant(bench, f"queue/{line}.0", {"places": [place]})

    with pytest.raises(MalformedRecord, match="queue/"):
        bench.claim()

    mend(bench)
    if line == "later":
        with pytest.raises(NothingReady) as refused:
            bench.claim()
        assert refused.value.fields["ready_at"] == "2099-01-01T00:00:00.000000Z"
    else:
        assert bench.claim()[0] == "a"


@pytest.mark.parametrize(
    "change",
    [
        {"ready_at": "zzz"},
        {"ready_at": ""},
        {"then": ["no role"]},
        {"attempts": [{"token": 1, "outcome": "failed", "error": 5}]},
        {"attempts": [{"token": 1, "outcome": "failed", "owner": {}}]},
        {"attempts": [{"token": 1, "outcome": "failed", "ended_at": None}]},
        {"files": [""]},
        {"files": ["a\0b"]},
    ],
)
def test_a_job_that_nobody_could_show_or_claim_is_in_nobodys_way_to_look(bench: Bench, change: Any) -> None:
    bench.add("a", "b")
    kept = bench.job("a")
    plant(bench, "jobs/a", {**kept, **change})

    look = bench.queue.look()
    look.stats(bench.clock.now())
    if "files" in change:  # no shape that is wrong, but no path: it is passed
        assert bench.claim()[0] == "b"
        with pytest.raises(NothingReady) as refused:
            bench.claim()
        assert refused.value.fields["held"] == ["a"]
    else:
        assert [exc.fields["key"] for exc in look.damaged] == ["jobs/a"]
        with pytest.raises(MalformedRecord, match="jobs/a"):
            bench.claim()

    plant(bench, "jobs/a", kept)


@pytest.mark.parametrize("how", ["a file where a folder was", "a circle of links", "more names than a request has"])
def test_a_file_that_cannot_be_named_any_more_stops_its_job_and_no_other(
    bench: Bench, tmp_path: Path, how: str
) -> None:
    """It could when the job was added. Else nobody of that role could ever claim anything again."""
    bench.add("a", files=["out/"] if how == "a file where a folder was" else ["out/x", "out/y"])
    bench.add("b")
    if how == "a file where a folder was":
        (tmp_path / "out").write_text("")
    elif how == "a circle of links":
        (tmp_path / "out").symlink_to(tmp_path / "out")
    else:
        job = bench.job("a")
        plant(bench, "jobs/a", {**job, "files": [f"f{n}" for n in range(1001)]})

    assert bench.claim()[0] == "b"
    with pytest.raises(NothingReady) as refused:
        bench.claim()
    assert refused.value.fields["held"] == ["a"]
    bench.queue.cancel("a", by="lead")


@pytest.mark.parametrize("said", [{"title": "\ud800"}, {"payload": "\udcff"}, {"title": "t", "files": ["\udcff"]}])
def test_text_that_is_no_unicode_is_refused_and_nothing_is_written(bench: Bench, said: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        bench.queue.submit([{"id": "a", "title": "a", "role": "builder", **said}], by="s")

    assert bench.job("a") is None


def test_reasons_and_errors_that_are_no_unicode_do_not_lose_the_job(bench: Bench) -> None:
    """Output of a program may be anything; whoever reports it must not find its report refused for good."""
    bench.add("a", "b")
    job, token = bench.claim()

    assert bench.queue.fail(job, token, error="\udcff?")["attempts"][0]["error"] == "\\udcff?"
    with pytest.raises(UsageError):
        bench.queue.cancel("b", by="lead", reason="\udcff")


@needs_large_commits
def test_payload_and_result_of_the_greatest_size_and_every_error(bench: Bench) -> None:
    """What may be said fits into the record until the job is over."""
    data = "x" * (64 * 1024 - 10)
    bench.add("a", payload=data, attempts_max=1000)
    for _ in range(25):
        bench.queue.fail(*bench.claim(), error="\u2500" * 5000, durable=False)
        bench.clock.advance(61)
    files = [f"{'d' * 50}/{n}" for n in range(1000)]  # not before: each of these claims would take a thousand locks
    plant(bench, "jobs/a", {**bench.job("a"), "files": files})

    done = bench.queue.complete(*bench.claim(), result=data)

    assert (done["status"], len(done["attempts"]), len(done["result"])) == ("done", 20, len(data))
    with pytest.raises(HoldLost):
        bench.queue.complete("a", done["attempts"][-1]["token"], result="another")
