"""The queue on the page: jobs by status, limits, what is stuck; live, filtered, on a phone, and for everybody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from latchboard.compose import Latchboard
from tests.surface.web import jobs
from tests.surface.web.browser import DESKTOP, PHONE, SEEN_MS_MAX, Window
from tests.surface.web.harness import Served
from tests.surface.web.test_page_access import LOOKS, settled, violations

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.needs_tool("chromium"),
]

Windows = Callable[..., Window]
expect.set_options(timeout=SEEN_MS_MAX)


def opened(served: Served, window: Windows, size: dict[str, int] = DESKTOP, **options: Any) -> Page:
    one = window(size, **options)
    page = one.open(served)
    expect(page.locator("#line")).to_have_text("Live")
    one.view("queue")
    expect(page.locator("#queue .kanban > *").first).to_be_visible()
    return page


def column(page: Page, status: str) -> Any:
    return page.locator(f"#queue .column[data-status={status}]")


def test_every_job_stands_in_the_column_of_its_status(board: Latchboard, served: Served, window: Windows) -> None:
    jobs.fill(board)

    page = opened(served, window)

    expect(page.locator("#queue .meta")).to_have_text("12 jobs")
    waiting = ["Planning1", "Planned1", "Ready3", "In progress1", "Awaits a test1", "To integrate1"]
    over = ["Blocked1", "Done1", "Cancelled1", "Dead1"]
    expect(page.locator("#queue .column h3")).to_have_text([*waiting, *over])
    expect(column(page, "in_progress").locator(".card")).to_contain_text("bo")
    expect(column(page, "ready").locator(".card").nth(0)).to_contain_text("build-2")
    expect(column(page, "ready").locator(".card").nth(0)).to_contain_text("attempt 1 of 3: make: *** [all] Error 1")
    expect(column(page, "ready").locator(".card").nth(1)).to_contain_text("waits for build-2")
    expect(column(page, "dead").locator(".card")).to_contain_text("attempt 1 of 1: AssertionError")
    expect(page.locator(".queue-notes li")).to_have_text(["build-6 is stuck: build-4 is dead"])
    expect(page.locator(".wip li").filter(has_text="builder")).to_contain_text("1 of 2")
    expect(page.locator(".wip li[data-full=yes]").filter(has_text="planner")).to_contain_text("1 of 1, full")


def test_what_changes_is_seen_without_asking(board: Latchboard, served: Served, window: Windows) -> None:
    page = opened(served, window)
    expect(page.locator("#queue .empty")).to_contain_text("The queue is empty")

    board.queue.submit([{"id": "a", "role": "builder", "title": "Build it"}], by="lead", durable=False)
    expect(column(page, "ready").locator(".card")).to_contain_text("Build it")
    token = board.queue.claim("builder", "bo", durable=False)["lease"]["token"]
    expect(column(page, "in_progress").locator(".card")).to_contain_text("bo")
    board.queue.complete("a", token, durable=False)

    expect(column(page, "done").locator(".card")).to_contain_text("Build it")
    expect(page.locator("#queue .column")).to_have_count(1)


def test_the_filter_leaves_what_it_names(board: Latchboard, served: Served, window: Windows) -> None:
    jobs.fill(board)
    page = opened(served, window)

    page.fill("#filter", "agent:bo")
    expect(page.locator("#queue .card")).to_have_count(1)
    page.fill("#filter", "clock")
    expect(page.locator("#queue .card .card-id")).to_have_text(["build-6", "build-4"])
    page.fill("#filter", "nothing of this name")

    expect(page.locator("#queue .empty")).to_have_text("No job matches the filter.")


def test_a_long_column_says_how_many_there_are(board: Latchboard, served: Served, window: Windows) -> None:
    drafts = [{"role": "builder", "title": f"Build part {at}"} for at in range(120)]
    board.queue.submit(drafts, by="lead", durable=False)

    page = opened(served, window)

    expect(column(page, "ready").locator(".card")).to_have_count(50)
    expect(column(page, "ready")).to_contain_text("and 70 more")
    assert len(served.get("/api/queue?limit=120").held_to("http-queue")["columns"][0]["jobs"]) == 120


def test_a_filter_searches_more_than_is_shown_and_says_what_it_does_not(
    board: Latchboard, served: Served, window: Windows
) -> None:
    drafts = [{"id": f"j{at}", "role": "builder", "title": f"Build part {at}"} for at in range(1005)]
    for batch in (drafts[:900], drafts[900:]):
        board.queue.submit(batch, by="lead", durable=False)
    page = opened(served, window)

    page.fill("#filter", "part 777")
    expect(column(page, "ready").locator(".card-title")).to_have_text(["Build part 777"])
    expect(column(page, "ready").locator(".column-left")).to_have_text("5 more, not searched")
    page.fill("#filter", "part 1004")

    expect(column(page, "ready").locator(".card")).to_have_count(0)
    expect(column(page, "ready").locator(".column-left")).to_have_text("5 more, not searched")


def test_what_others_wrote_is_text(board: Latchboard, served: Served, window: Windows) -> None:
    hostile = "<img src=x onerror=alert(1)>\u202e${7*7}"
    drafts = [{"id": "a", "role": "builder", "title": hostile}]
    board.queue.submit(drafts, by="lead", durable=False)
    board.queue.fail("a", board.queue.claim("builder", "<b>bo</b>", durable=False)["lease"]["token"], error=hostile)

    page = opened(served, window)

    expect(column(page, "ready").locator(".card-title")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("#queue img, #queue b").count() == 0


def test_on_a_wide_page_it_takes_the_place_of_the_files_and_gives_it_back(told: Served, window: Windows) -> None:
    page = opened(told, window)

    expect(page.locator("#files")).to_be_hidden()
    expect(page.locator("#conflicts")).to_be_visible()
    page.click("#views button[data-view=activity]")
    expect(page.locator("#queue")).to_be_visible()
    page.locator("#queue").get_by_role("button", name="Files").click()
    expect(page.locator("#files")).to_be_visible()
    expect(page.locator("#queue")).to_be_hidden()
    page.keyboard.press("Alt+7")

    expect(page.locator("#queue")).to_be_visible()


def test_trouble_with_the_queue_is_told_in_its_place(board: Latchboard, served: Served, window: Windows) -> None:
    board.store.transact(lambda view: view.put("queue/active", {"claims": 3}), who="x")
    one = window()
    one.forgive("500 (Internal Server Error)")
    page = one.open(served)
    one.view("queue")

    expect(page.locator("#queue .empty")).to_contain_text("The queue cannot be read")
    expect(page.locator("#line")).to_have_text("Live")


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_the_queue_is_accessible(
    board: Latchboard, served: Served, window: Windows, size: dict[str, int], scheme: str
) -> None:
    jobs.fill(board)
    board.board.update("bo", "builds", [])
    page = settled(opened(served, window, size, color_scheme=scheme))

    expect(page.locator(".queue-notes li")).to_have_count(1)
    assert violations(page) == []
    if size == PHONE:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_an_id_is_shown_whole_beside_a_long_role(board: Latchboard, served: Served, window: Windows) -> None:
    jobs.fill(board)  # so many columns that each is as narrow as it may be
    board.queue.submit([{"id": "job-1234", "role": "integrator", "title": "Merge", "priority": 50}], by="lead")
    page = opened(served, window)
    card = column(page, "ready_for_integrator").locator(".card", has_text="job-1234")

    assert card.locator(".card-id").evaluate("one => one.scrollWidth <= one.clientWidth")
    expect(card.locator(".card-role")).to_have_text("priority 50, integrator")


def test_on_a_phone_many_roles_leave_room_for_jobs(board: Latchboard, served: Served, window: Windows) -> None:
    drafts = [{"id": f"j{at}", "role": f"role-{at}", "title": f"Part {at}"} for at in range(40)]
    board.queue.submit(drafts, by="lead", durable=False)
    page = opened(served, window, PHONE)

    page.locator(".card").last.scroll_into_view_if_needed()

    expect(page.locator(".card").last).to_be_in_viewport()
    assert page.evaluate("document.elementFromPoint(innerWidth / 2, innerHeight / 2).closest('.kanban') !== null")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
