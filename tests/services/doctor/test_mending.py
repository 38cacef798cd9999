"""A repair does what it says and no more: what others hold stays, a plan writes nothing, what failed is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from latchboard.doctor import mending
from latchboard.errors import MalformedRecord, StoreError, StoreForbidden, StoreFull, UnsafeFolder, UnsupportedVersion
from latchboard.store.files.damage import Health
from latchboard.store.files.repair import Step
from latchboard.testing import ManualClock
from tests.services.doctor.room import Kept, Room

LOCK = Kept().lock_path
THRESHOLD_S = 60.0


class Releaser:
    """Force release, as it ends."""

    def __init__(self, end: bool | Exception = True) -> None:
        self.end = end
        self.calls: list[tuple[str, float]] = []

    def __call__(self, path: str, age_s: float) -> bool:
        self.calls.append((path, age_s))
        if isinstance(self.end, Exception):
            raise self.end
        return self.end


def left(clock: ManualClock, age_s: float = THRESHOLD_S) -> dict[str, bytes]:
    """The record of a machine lock that was begun so long ago."""
    now = clock.now()
    record = {"schema_version": 1, "pid": 4242, "started_at": "2026-01-01T00:00:00Z"}
    return {LOCK: json.dumps({**record, "boot": now.boot, "mono_s": now.mono_s - age_s}).encode()}


def unstick(place: Room, release: Releaser, clock: ManualClock, *kept: Kept, dry_run: bool = False) -> list[Any]:
    deeds = mending.unstick(kept or [Kept()], clock, place, release, threshold_s=THRESHOLD_S, dry_run=dry_run)
    return [(one.is_done, one.why_not) for one in deeds]


def test_a_record_that_is_just_as_old_as_the_threshold_is_cleared_by_that_age_and_once() -> None:
    clock, release = ManualClock(), Releaser()

    deeds = unstick(Room(files=left(clock)), release, clock, Kept("a"), Kept("b"))

    assert (deeds, release.calls) == ([(True, "")], [(LOCK, THRESHOLD_S)])


def test_a_plan_clears_no_machine_lock() -> None:
    clock, release = ManualClock(), Releaser()

    deeds = unstick(Room(files=left(clock)), release, clock, dry_run=True)

    assert (deeds, release.calls) == ([(False, "")], [])


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("data", [b"", b"{", b"{}"])
def test_where_no_record_stands_there_is_none_to_clear(data: bytes, dry_run: bool) -> None:
    release = Releaser()

    assert unstick(Room(files={LOCK: data}), release, ManualClock(), dry_run=dry_run) == []
    assert release.calls == []


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_machine_lock_that_somebody_holds_is_not_even_tried(dry_run: bool) -> None:
    clock, release = ManualClock(), Releaser()

    deeds = unstick(Room(files=left(clock), locked={LOCK: [77]}), release, clock, dry_run=dry_run)

    assert (deeds, release.calls) == ([(False, "process 77 holds it: end that, or wait for it")], [])


@pytest.mark.parametrize(
    ("end", "why_not"),
    [(False, "somebody holds it by now, or it is gone"), (StoreForbidden("not yours"), "not yours")],
)
def test_a_machine_lock_that_could_not_be_cleared_is_told_with_the_reason(end: bool | Exception, why_not: str) -> None:
    clock = ManualClock()

    assert unstick(Room(files=left(clock), locked={LOCK: None}), Releaser(end), clock) == [(False, why_not)]


@pytest.mark.parametrize(
    "why",
    [UnsupportedVersion("newer"), StoreForbidden("others"), UnsafeFolder("others"), StoreError("not seen"), None],
    ids=lambda one: type(one).__name__,
)
def test_only_a_credential_that_cannot_be_read_is_set_aside(why: Exception | None) -> None:
    kept = [Kept("other", why), Kept("c", MalformedRecord("damaged"))]

    deeds = mending.reset(kept, ManualClock(), lambda one: one.set_aside("now"), dry_run=False)

    assert [(one.what, one.is_done, one.kept) for one in deeds] == [
        ("the record of the credential c is set aside: /srv/me/c.json", True, "/srv/me/c.json.damaged-now")
    ]


def test_a_plan_sets_no_credential_aside() -> None:
    asked: list[Any] = []

    (deed,) = mending.reset([Kept("c", MalformedRecord("x"))], ManualClock(), asked.append, dry_run=True)

    assert (deed.is_done, deed.why_not, asked) == (False, "", [])


def test_a_credential_that_was_not_set_aside_is_told_with_the_reason() -> None:
    def refuse(_: Any) -> str:
        raise StoreFull("no room")

    def ended(set_aside: Any) -> list[tuple[bool, str]]:
        kept = [Kept("c", MalformedRecord("damaged"))]
        return [(one.is_done, one.why_not) for one in mending.reset(kept, ManualClock(), set_aside, dry_run=False)]

    assert ended(refuse) == [(False, "no room")]
    assert ended(lambda _: "") == [(False, "it can be read by now")]


class Shop:
    """A store with two records that are wrong."""

    def __init__(self, *, looked: Exception | None = None, applied: Exception | None = None) -> None:
        self.looked, self.applied = looked, applied
        self.names: list[str] = []

    def look(self) -> Health:
        if self.looked is not None:
            raise self.looked
        return Health()

    def plan(self, found: list[Any]) -> list[Any]:
        return [Step("restore", "a.lock", "locks/a"), Step("aside", "b.json", "agents/b")]

    def apply(self, steps: list[Any], name: str) -> tuple[str, list[Any]]:
        self.names.append(name)
        if self.applied is not None:
            raise self.applied
        return f"/kept/{name}", steps[:1]

    def keep(self, keys: list[str], name: str) -> str:
        raise AssertionError("the repair itself keeps what it changes")


def fix(shop: Shop, *, dry_run: bool = False) -> list[tuple[bool, str, str]]:
    return [(one.is_done, one.why_not, one.kept) for one in mending.fix(shop, "now", dry_run=dry_run)]


def test_each_step_of_a_repair_is_told_as_it_ended() -> None:
    assert fix(Shop()) == [(True, "", "/kept/now"), (False, "it was right by then", "/kept/now")]
    assert fix(Shop(applied=StoreFull("no room"))) == [(False, "no room", "")] * 2
    assert fix(Shop(looked=OSError(5, "broken"))) == [(False, "broken", "")]


def test_a_plan_for_the_store_applies_nothing() -> None:
    shop = Shop()

    assert (fix(shop, dry_run=True), shop.names) == ([(False, "", "")] * 2, [])


class Queue:
    """A work queue with two records that are wrong, and a shop that copies them; what was done in which order."""

    def __init__(self, *, looked: Exception | None = None, kept: Exception | None = None) -> None:
        self.looked, self.kept = looked, kept
        self.done: list[Any] = []

    def look(self) -> Any:
        if self.looked is not None:
            raise self.looked
        return ["queue/a", "queue/b"]

    def keep(self, keys: list[str], name: str) -> str:
        if self.kept is not None:
            raise self.kept
        self.done.append(("keep", keys))
        return f"/kept/{name}"

    def repair(self) -> list[str]:
        self.done.append("repair")
        return ["queue/a"]


def fix_queue(both: Any, *, dry_run: bool = False) -> list[tuple[bool, str, str]]:
    deeds = mending.fix_queue(both.keep, both, "now", dry_run=dry_run)
    return [(one.is_done, one.why_not, one.kept) for one in deeds]


def test_every_record_of_the_queue_is_copied_before_one_is_changed() -> None:
    queue = Queue()

    deeds = fix_queue(queue)

    assert queue.done == [("keep", ["queue/a", "queue/b"]), "repair"]
    assert deeds == [(True, "", "/kept/now"), (False, "it was right by then", "/kept/now")]


def test_without_a_copy_the_queue_is_left_as_it_is() -> None:
    queue = Queue(kept=StoreFull("no room"))

    assert (fix_queue(queue), queue.done) == ([(False, "no room", "")] * 2, [])


def test_a_plan_for_the_queue_copies_and_changes_nothing() -> None:
    queue = Queue()

    assert (fix_queue(queue, dry_run=True), queue.done) == ([(False, "", "")] * 2, [])


def test_a_queue_that_cannot_be_looked_at_is_told_unless_the_store_is_to_be_mended_first() -> None:
    assert fix_queue(Queue(looked=StoreForbidden("not yours"))) == [(False, "not yours", "")]
    assert fix_queue(Queue(looked=MalformedRecord("damaged"))) == []
