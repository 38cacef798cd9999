"""The queue in the terminal board: a list of jobs by status, live, filtered, with everything about each."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from latchboard.surface.tui import painting
from latchboard.surface.tui.app import Board
from latchboard.surface.tui.dialog import Details
from latchboard.surface.tui.text import width
from tests.surface.tui.harness import HOSTILE, Scene, said, until
from tests.surface.tui.test_app import pane, shown
from tests.surface.web import jobs

NOW_S = 1795229464.0


def card(**fields: Any) -> dict[str, Any]:
    found = {"id": "a", "title": "Build it", "role": "builder", "status": "ready", "priority": 5, "owner": None}
    found |= {"since": "2026-11-21T06:00:00.000000Z", "remaining_s": None, "waits_for": [], "ready_at": None}
    return {**found, "attempts_count": 0, "attempts_max": 3, "files_count": 0, "error": "", **fields}


def painted(cells: int, **fields: Any) -> str:
    return "".join(text for text, _ in painting.job(card(**fields), cells, NOW_S))


@pytest.mark.parametrize(
    ("fields", "piece"),
    [
        ({}, "ready"),
        ({"owner": "bo", "remaining_s": 30.0, "status": "in_progress"}, "bo"),
        ({"owner": "bo", "remaining_s": 0.0, "status": "in_progress"}, "bo, lease over"),
        ({"waits_for": ["b", "c"]}, "waits for b, c"),
        ({"ready_at": "2099-01-01T00:00:00Z", "attempts_count": 2}, "pauses after attempt 2"),
        ({"ready_at": "2099-01-01T00:00:00Z"}, "waits for its time"),
        ({"status": "dead", "error": "make\nno luck"}, "no luck"),
        ({"status": "done"}, "done"),
    ],
)
@pytest.mark.parametrize("cells", [30, 60, 118])
def test_a_job_says_what_matters_most_in_as_many_cells_as_there_are(
    fields: dict[str, Any], piece: str, cells: int
) -> None:
    text = painted(cells, **fields)

    assert width(text) == cells
    assert piece in text or cells < 100


@pytest.mark.parametrize("title", HOSTILE)
def test_a_hostile_job_stays_in_its_cells(title: str) -> None:
    text = painted(60, title=title, waits_for=[title], owner=None)

    assert width(text) == 60
    assert text.isprintable()


def test_where_there_are_jobs_they_are_shown_and_followed(scene: Scene) -> None:
    scene.busy()

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        assert 7 not in shown(app)
        await pilot.press("7")
        assert 7 in shown(app)
        assert "no jobs" in said(app)
        await pilot.press("1")
        jobs.fill(scene.board)
        await until(pilot, lambda: 7 in shown(app) and "Queue  12" in said(app))
        found = [one["status"] for one in pane(app, 7).rows.items]
        assert found[:3] == ["planning", "planning_complete", "ready"]
        scene.board.queue.complete("build-1", scene.board.queue.show("build-1")["lease"]["token"])
        await until(pilot, lambda: [one["status"] for one in pane(app, 7).rows.items].count("done") == 2)
        await pilot.press("7", "slash", *"clock", "enter")
        await until(pilot, lambda: "2 of 12" in said(app))
        await pilot.press("G", "enter")
        await until(pilot, lambda: isinstance(app.screen, Details) and "no hands" in said(app))
        await pilot.press("escape", "escape")

    scene.run(steps)


def test_a_damaged_queue_is_said_and_the_rest_goes_on(scene: Scene) -> None:
    scene.busy()
    scene.board.queue.submit([{"role": "builder", "title": "T"}], by="lead")
    scene.board.store.transact(lambda view: view.put("queue/active", {"claims": 3}), who="x")

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        await until(pilot, lambda: "queue/active" in said(app))
        assert "splitting the parser" in said(app)

    scene.run(steps)


def test_a_job_that_cannot_be_read_is_said_until_it_is_mended(scene: Scene) -> None:
    scene.board.queue.submit([{"role": "builder", "title": "T", "id": name} for name in ("a", "b")], by="lead")
    good = scene.board.store.read("jobs/b").get("jobs/b")
    scene.board.store.transact(lambda view: view.put("jobs/b", {"id": 5}), who="x")

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        await until(pilot, lambda: "jobs/b" in said(app))
        assert [one["id"] for one in app._news.jobs] == ["a"]
        scene.board.store.transact(lambda view: view.put("jobs/b", good), who="x")
        await until(pilot, lambda: "jobs/b" not in said(app))
        assert [one["id"] for one in app._news.jobs] == ["a", "b"]

    scene.run(steps)


def test_a_filter_finds_any_job(scene: Scene) -> None:
    drafts = [{"role": "builder", "title": f"Build part p{at}"} for at in range(300)]
    scene.board.queue.submit(drafts, by="lead", durable=False)

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        await pilot.press("7", "slash", *"p299", "enter")
        await until(pilot, lambda: "1 of 300" in said(app))
        assert "Build part p299" in said(app)

    scene.run(steps)


@pytest.mark.parametrize("size", [(120, 33), (60, 24), (40, 10)])
def test_the_queue_is_a_key_away_on_every_screen(scene: Scene, size: tuple[int, int]) -> None:
    scene.busy()
    jobs.fill(scene.board)

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        await pilot.press("7")
        await pilot.pause()
        assert 7 in shown(app)
        assert app.focused is pane(app, 7).rows
        await until(pilot, lambda: "plan" in said(app))

    scene.run(steps, size=size)
