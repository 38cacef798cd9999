"""When a live file is looked at, and when it is left to a later one."""

from __future__ import annotations

import os
from typing import Any

import pytest

from latchboard.queue_file import syncing
from tests.services.queue_file.support import Desk


def aged(desk: Desk, age_s: float) -> None:
    """Say that the file was written so long ago; it was looked at since."""
    at = desk.bench.clock.now().wall_s - age_s
    os.utime(desk.path, (at, at))
    desk.live.sync()


@pytest.mark.parametrize(("age_s", "is_left"), [(5.0, True), (0.0, True), (10.0, False), (-1.0, False)])
def test_a_large_file_that_is_young_is_left_to_a_later_command(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, age_s: float, is_left: bool
) -> None:
    monkeypatch.setattr(syncing, "_SMALL_BYTES", 10)
    desk.live.sync()
    aged(desk, age_s)
    desk.bench.add("a")

    report = desk.live.publish_if_due(10.0)

    assert (report is None) is is_left
    assert len(desk.read()["tasks"]) == (0 if is_left else 1)


def test_a_large_file_that_somebody_edited_is_looked_at_however_young(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syncing, "_SMALL_BYTES", 10)
    desk.bench.add("a")
    desk.live.sync()
    aged(desk, 0.0)
    desk.edit("a", title="Better")
    at = desk.bench.clock.now().wall_s
    os.utime(desk.path, (at, at))

    assert (desk.live.publish_if_due(10.0) or {})["changed"] == ["a"]


def test_a_small_file_is_written_at_once(desk: Desk) -> None:
    desk.live.sync()
    aged(desk, 0.0)
    desk.bench.add("a")

    assert (desk.live.publish_if_due(10.0) or {})["is_written"]


def test_a_file_that_was_read_and_needs_no_word_is_not_read_again(desk: Desk) -> None:
    desk.bench.add("a")
    desk.live.sync()
    desk.edit("a", title="Better")

    assert not desk.live.sync()["is_written"]

    assert desk.live.sync_if_edited() is None


def test_an_edit_is_picked_up_also_where_nothing_was_committed(desk: Desk) -> None:
    desk.bench.add("a")
    desk.live.sync()
    revision = desk.bench.store.read("jobs/").revision
    desk.edit("a", title="Better")

    assert desk.live.publish_if_older(revision)

    assert desk.bench.job("a")["title"] == "Better"


def test_a_file_that_is_deleted_is_made_again_and_cancels_nothing(desk: Desk) -> None:
    desk.bench.add("a")
    desk.live.sync()
    desk.path.unlink()

    report = desk.live.sync()

    assert (report["is_written"], report["cancelled"]) == (True, [])
    assert desk.task("a")["status"] == "ready"


def test_what_the_queue_takes_and_does_not_become_is_a_conflict(desk: Desk) -> None:
    desk.bench.add("a")
    desk.bench.queue.complete(*desk.bench.claim())
    desk.live.sync()
    desk.edit("a", ready_at="2099-01-01T00:00:00Z")

    (conflict,) = desk.live.sync()["conflicts"]

    assert (conflict["task"], conflict["field"], conflict["why"]) == ("a", "ready_at", "the queue cannot take it over")


def test_what_was_left_alone_once_is_tried_again(desk: Desk) -> None:
    desk.bench.add("a")
    desk.live.sync()
    desk.edit("a", status="blocked")
    store = desk.bench.store
    transact = store.transact

    def meanwhile(*args: Any, **options: Any) -> Any:
        store.transact = transact
        _, token = desk.bench.claim()
        found = transact(*args, **options)
        desk.bench.queue.release("a", token)
        return found

    store.transact = meanwhile
    report = desk.live.sync()

    assert (report["conflicts"], report["changed"]) == ([], ["a"])
    assert desk.bench.job("a")["status"] == "blocked"
