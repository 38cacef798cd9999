"""A worker on a memory store, with commands that only say how they ended: trouble, refusals, what is told of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from latchboard.clock import SystemClock
from latchboard.errors import CommandNotFound, MalformedRecord, StoreFull, StoreUnavailable, WrongStatus
from latchboard.store.wrap import FAIL_AFTER, FAIL_BEFORE
from tests.services.worker.support import NAME, Command, Running, Site


@pytest.fixture
def site(tmp_path: Any) -> Site:
    return Site(str(tmp_path))


def fails(site: Site, *faults: str) -> Callable[[], None]:
    """What the next transactions of the store are to meet."""
    return lambda: site.faults.extend(faults)


def test_a_pass_claims_runs_and_reports(site: Site) -> None:
    site.add("a")
    site.commands = [Command(0)]
    worker = site.worker()

    worker.run(once=True)

    assert (worker.state, worker.last, worker.counts) == (
        "ended",
        {"job": "a", "outcome": "completed"},
        {"completed": 1},
    )
    assert site.status("a") == "done"
    assert site.log.events == ["claimed", "completed"]
    assert site.shown == ["idle", "working on a", "idle"]
    assert (site.manager.told[0], site.manager.told[-1]) == ("READY=1", "STOPPING=1")


@pytest.mark.parametrize("fault", [FAIL_BEFORE, FAIL_AFTER])
def test_a_report_that_meets_trouble_is_made_until_it_is_heard(site: Site, fault: str) -> None:
    """Also where it had been heard, and the answer was lost: it counts once."""
    site.add("a")
    site.commands = [Command(0, fails(site, fault, FAIL_BEFORE))]
    worker = site.worker()

    worker.run(once=True)

    assert worker.counts == {"completed": 1}
    assert site.outcomes("a") == ["completed"]
    assert site.log.events == ["claimed", "troubled", "well", "completed"]


def test_a_claim_that_meets_trouble_is_told_once_and_tried_again(site: Site) -> None:
    site.add("a")
    site.faults += [FAIL_BEFORE] * 3
    site.commands = [Command(0, site.stop.ask)]

    site.worker().run()

    assert site.status("a") == "done"
    assert [event for event in site.log.events if event in ("troubled", "well")] == ["troubled", "well"]


@pytest.mark.slow  # the worker gives the store four seconds
def test_an_end_that_cannot_be_told_is_left_to_the_lease(site: Site) -> None:
    """The store is gone for good, and the worker has to end: it ends."""
    site.add("a")

    def go() -> None:
        site.stop.ask()
        site.faults.extend([FAIL_BEFORE] * 1000)

    site.commands = [Command(0, go)]
    worker = site.worker()

    worker.run()

    assert worker.counts == {"unknown": 1}
    assert worker.state == "ended"


def test_a_status_that_it_cannot_get_makes_a_dead_job_with_the_reason(site: Site) -> None:
    site.add("a")
    site.commands = [Command(1)]

    site.worker(exit_codes={"1": "planning_complete"}).run(once=True)

    attempt = site.queue.show("a")["job"]["attempts"][0]
    assert site.status("a") == "dead"
    assert "planning_complete" in attempt["error"]
    assert "said" in attempt["error"]


def test_a_job_with_an_open_sub_task_is_given_back(site: Site) -> None:
    site.add("a")
    site.commands = [Command(0, lambda: site.add("part", parent="a", priority=0))]

    site.worker().run(once=True)

    assert (site.status("a"), site.outcomes("a")) == ("ready", ["released"])


@pytest.mark.parametrize("outcome", ["completed", "failed", "released"])
def test_a_command_that_reported_is_not_reported_again(site: Site, outcome: str) -> None:
    site.add("a")

    def report() -> None:
        token = site.queue.show("a")["job"]["token"]
        if outcome == "completed":
            site.queue.complete("a", token, to="needs_adapt")
        elif outcome == "failed":
            site.queue.fail("a", token, error="by itself")
        else:
            site.queue.release("a", token)

    site.commands = [Command(0, report)]
    worker = site.worker()

    worker.run(once=True)

    assert worker.counts == {"settled": 1}
    assert site.outcomes("a") == [outcome]


def test_a_job_that_is_cancelled_ends_its_command(site: Site) -> None:
    site.add("a")
    command = Running(0)
    command._meanwhile = lambda: site.status("a") == "cancelled" or site.queue.cancel("a", by="lead")
    site.commands = [command]
    worker = site.worker()

    worker.run(once=True)

    assert command.was_told == ["end"]
    assert worker.counts == {"lost": 1}
    assert [event for event in site.log.events if event != "claimed"] == ["lost"]


def test_a_claim_that_cannot_be_renewed_for_its_lease_time_is_lost(site: Site) -> None:
    site.add("a")
    command = Running(0)
    command._meanwhile = lambda: site.faults.extend([FAIL_BEFORE] * 100)
    site.commands = [command]
    worker = site.worker(lease_ttl_s=0.1)

    worker.run(once=True)

    assert command.was_told == ["end"]
    assert worker.counts == {"lost": 1}
    assert "could not be renewed for 0.1 s" in str(site.log.lines[-1][1]["why"])


def test_a_command_that_takes_too_long_is_ended_and_has_failed(site: Site) -> None:
    site.add("a")
    site.commands = [Running(0)]
    worker = site.worker(timeout_s=0.02)

    worker.run(once=True)

    assert site.started[0].was_told == ["end"]
    assert site.outcomes("a") == ["failed"]
    assert "too long" in site.queue.show("a")["job"]["attempts"][0]["error"]


def test_a_command_that_has_reported_by_itself_and_does_not_end_is_ended_after_its_grace(site: Site) -> None:
    """It has an hour left by its timeout, and nothing more to do: the worker has other jobs."""
    site.add("a")
    command = Running(0)

    def settle() -> None:
        if site.status("a") == "in_progress":
            site.queue.complete("a", site.queue.show("a")["job"]["token"])

    command._meanwhile = settle
    site.commands = [command]
    worker = site.worker(grace_s=0.02)

    worker.run(once=True)

    assert command.was_told == ["end"]
    assert (worker.counts, site.outcomes("a")) == ({"settled": 1}, ["completed"])
    assert "ending" not in site.log.events, "its job is done"


def test_a_command_that_nobody_would_look_after_any_more_is_killed(site: Site) -> None:
    site.add("a")

    class Broken(Running):
        def look(self) -> bool:
            raise RuntimeError("a mistake of ours")

    command = Broken(0)
    site.commands = [command]

    with pytest.raises(RuntimeError):
        site.worker().run(once=True)

    assert command.was_told == ["kill"]


def test_a_second_word_kills(site: Site) -> None:
    site.add("a")

    class Deaf(Running):
        def look(self) -> bool:
            self._meanwhile()
            return "kill" in self.was_told

    site.commands = [Deaf(0, site.stop.ask)]

    site.worker().run()

    assert site.started[0].was_told[:2] == ["end", "kill"]
    assert (site.status("a"), site.outcomes("a")) == ("ready", ["released"])


@pytest.mark.parametrize("error", [CommandNotFound("gone"), StoreFull("no room", path="x", errno=28)])
def test_a_command_that_does_not_start_gives_the_job_back(site: Site, error: Any) -> None:
    site.add("a")
    site.commands = [error]
    worker = site.worker()

    if isinstance(error, CommandNotFound):
        with pytest.raises(CommandNotFound):
            worker.run(once=True)
    else:
        worker.run(once=True)

    assert (site.status("a"), site.outcomes("a")) == ("ready", ["released"])
    assert site.queue.show("a")["job"]["attempts_count"] == 0


def test_what_the_one_before_left_is_failed_and_what_others_have_is_not(site: Site) -> None:
    site.add("a", "b")
    site.queue.claim("builder", NAME, job="a")
    site.queue.claim("builder", "worker.builder.2", job="b")
    site.queue.set_limits(by="test", roles={"builder": 1})

    site.worker().run(once=True)

    assert site.outcomes("a") == ["failed"]
    assert (site.status("b"), site.outcomes("b")) == ("in_progress", [])
    assert site.log.events[0] == "recovered"


def test_a_released_job_is_not_claimed_again_at_once(site: Site) -> None:
    """Ten thousand claims a minute of a job that cannot be done now would be a load, and no work."""
    site.add("a")
    site.commands = [Command(75), Command(0, site.stop.ask)]
    worker = site.worker(interval_s=0.2, exit_codes={"75": "release"})
    started_s = site.clock.now().mono_s

    worker.run()

    assert site.clock.now().mono_s - started_s >= 0.2
    assert site.outcomes("a") == ["released", "completed"]


def test_trouble_with_the_queue_file_keeps_nobody_from_the_queue(site: Site) -> None:
    site.add("a", "b")
    site.commands = [Command(0), Command(0, site.stop.ask)]

    def broken() -> None:
        raise MalformedRecord("no JSON", key="SPRINT_QUEUE.json", reason="no JSON")

    site.before_claim = broken

    site.worker().run()

    assert (site.status("a"), site.status("b")) == ("done", "done")
    assert site.log.events.count("troubled") == 1


def test_a_board_that_cannot_be_written_keeps_nobody_from_work(site: Site) -> None:
    site.add("a")
    site.commands = [Command(0)]
    worker = site.worker()

    def broken(text: str, files: Any) -> None:
        raise StoreUnavailable("gone")

    worker._ports.show = broken

    worker.run(once=True)

    assert site.status("a") == "done"


def test_who_has_lost_its_name_claims_nothing(site: Site) -> None:
    """Somebody else may have it, and take what this one claims for what was left behind."""
    site.add("a", "b")
    answers = [True, False]
    site.is_seated = lambda: answers.pop(0)
    site.commands = [Command(0)]

    site.worker().run()

    assert (site.status("a"), site.status("b")) == ("done", "ready")
    assert site.log.lines[-1] == ("stopping", {"why": "displaced"})


def test_who_is_to_end_before_it_began_touches_nothing(site: Site) -> None:
    """It did not wait for the command of the one before."""
    site.add("a")
    site.queue.claim("builder", NAME)
    site.stop.ask()

    site.worker().run()

    assert (site.status("a"), site.outcomes("a")) == ("in_progress", [])


def test_a_registry_that_cannot_be_read_ends_nobody(site: Site) -> None:
    site.add("a")
    site.commands = [Command(0)]

    def broken() -> bool:
        raise StoreUnavailable("busy")

    site.is_seated = broken

    site.worker().run(once=True)

    assert site.status("a") == "done"


class Counting(SystemClock):
    """Counts who waits."""

    __slots__ = ("waits_count",)

    def __init__(self) -> None:
        self.waits_count = 0

    def wait(self, readables: Any, timeout_s: float | None) -> bool:
        self.waits_count += 1
        return super().wait(readables, timeout_s)


class Slow(Command):
    """Takes its time to end, whatever it is told; meanwhile the store goes on."""

    def __init__(self, site: Site, first: Callable[[], object]) -> None:
        super().__init__(0)
        self._site = site
        self._first: Callable[[], object] | None = first
        self._end_s = site.clock.now().mono_s + 0.8

    def look(self) -> bool:
        if self._first is not None:
            self._first()
            self._first = None
        return self._site.clock.now().mono_s >= self._end_s


@pytest.mark.slow  # it looks for a while
@pytest.mark.parametrize("how", ["cancelled", "completed"])
def test_who_waits_for_the_end_of_a_command_whose_claim_has_ended_does_not_spin(site: Site, how: str) -> None:
    """What told it so stays readable, and nobody reads it any more: it took a whole core, for as long as the grace."""
    site.add("a", "b")
    clock = site.clock = Counting()

    def end_claim() -> None:
        if how == "cancelled":
            site.queue.cancel("a", by="lead")
        else:
            site.queue.complete("a", site.queue.show("a")["job"]["token"])

    site.commands = [Slow(site, end_claim)]
    worker = site.worker(lease_ttl_s=1.0)

    worker.run(once=True)

    assert worker.counts == {"lost": 1} if how == "cancelled" else {"settled": 1}
    assert clock.waits_count < 60


@pytest.mark.slow  # it looks for a while
def test_who_waits_for_the_end_of_a_command_that_took_too_long_does_not_spin(site: Site) -> None:
    site.add("a")
    clock = site.clock = Counting()
    command = Slow(site, lambda: None)
    site.commands = [command]

    site.worker(timeout_s=0.02).run(once=True)

    assert (command.was_told, site.outcomes("a")) == (["end"], ["failed"])
    assert clock.waits_count < 60


def test_what_the_one_before_left_is_failed_as_soon_as_the_store_can_be_used(site: Site) -> None:
    """The next start may be far away, and the lease has an hour and a half to go."""
    site.add("a", "b")
    site.queue.claim("builder", NAME, job="a")
    site.faults += [FAIL_BEFORE] * 3
    site.commands = [Command(0), Command(0, site.stop.ask)]

    site.worker().run()

    assert site.outcomes("a")[0] == "failed"
    assert (site.status("a"), site.status("b")) == ("done", "done")
    assert site.log.events.count("recovered") == 1


def test_one_claim_that_cannot_be_given_up_keeps_nobody_from_the_others(site: Site) -> None:
    site.add("a", "b", attempts_max=1)  # what has failed comes back in no time, else, and would be claimed
    site.queue.claim("builder", NAME, job="a")
    site.queue.claim("builder", NAME, job="b")
    site.store.inner.transact(lambda view: view.put("jobs/a", {"id": "a"}), who="somebody")

    site.worker().run(once=True)

    assert site.outcomes("b") == ["failed"]
    assert site.log.events[:2] == ["recovered", "troubled"]


def test_a_job_whose_record_was_damaged_meanwhile_ends_nobody(site: Site) -> None:
    """What became of the claim cannot be seen: the command goes on, and its report says what is wrong."""
    site.add("a")
    whole: list[Any] = []

    def damage() -> None:
        if not whole:
            whole.append(site.store.read("jobs/a").get("jobs/a"))
            site.store.inner.transact(lambda view: view.put("jobs/a", {"id": "a"}), who="somebody")

    def mend() -> None:
        site.store.inner.transact(lambda view: view.put("jobs/a", whole[0]), who="doctor")

    command = Running(0, damage)
    command.was_told = []
    site.commands = [command]
    looks: list[int] = []

    def look() -> bool:
        looks.append(1)
        damage()
        if len(looks) == 4:
            mend()
        return len(looks) > 4

    command.look = look  # type: ignore[method-assign]

    site.worker().run(once=True)

    assert command.was_told == []
    assert site.status("a") == "done"


def test_a_claim_of_the_one_before_that_is_ended_meanwhile_is_no_trouble(site: Site) -> None:
    site.add("a")
    site.queue.claim("builder", NAME)
    look, looks = site.store.read, []

    def read(*wanted: str, at: int | None = None) -> Any:
        found = look(*wanted, at=at)
        if wanted == ("queue/active",) and not looks:
            looks.append(1)
            site.queue.cancel("a", by="lead")
        return found

    site.store.read = read  # type: ignore[method-assign]

    site.worker().run(once=True)

    assert looks and site.log.events == []


@pytest.mark.slow  # it looks for a while
def test_a_job_whose_claim_was_lost_is_not_claimed_again_at_once(site: Site) -> None:
    """Somebody does something about it: it would be started and ended, over and over."""
    site.add("a")
    first = Running(0)

    def meddle() -> None:
        if first.was_told:
            site.queue.unblock("a", by="lead")
        elif site.status("a") != "blocked":
            site.queue.block("a", by="lead")

    first._meanwhile = meddle
    site.commands = [first, Command(0, site.stop.ask)]
    worker = site.worker(interval_s=0.3)
    started_s = site.clock.now().mono_s

    worker.run()

    assert site.clock.now().mono_s - started_s >= 0.3
    assert worker.counts == {"lost": 1, "completed": 1}


def test_a_report_that_cannot_be_made_at_all_is_given_up(site: Site) -> None:
    """Neither as configured, nor as a failure: nobody would ever take it."""
    site.add("a")
    site.commands = [Command(0)]

    def refuse(*_: Any, **__: Any) -> Any:
        raise WrongStatus("not from there", job="a", status="ready", event="x")

    site.queue.complete = site.queue.fail = refuse  # type: ignore[method-assign]
    worker = site.worker()

    worker.run(once=True)

    assert worker.counts == {"lost": 1} and site.log.events[-1] == "lost"


def test_a_report_about_a_job_that_was_taken_away_is_no_settlement(site: Site) -> None:
    site.add("a")
    site.commands = [Command(0, lambda: site.queue.cancel("a", by="lead"))]
    worker = site.worker()

    worker.run(once=True)

    assert worker.counts == {"lost": 1} and "settled" not in site.log.events
