"""How the page looks where there is little room, much to say, or less of the past than there was."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from latchboard import Settings
from latchboard.compose import Latchboard
from tests.surface.web.browser import PHONE, SEEN_MS_MAX, Window
from tests.surface.web.harness import Served

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.needs_tool("chromium"),
]

Windows = Callable[..., Window]
expect.set_options(timeout=SEEN_MS_MAX)


def boxes(found: Locator) -> list[dict[str, float]]:
    """Where the things are, all of them."""
    made: list[dict[str, float]] = found.evaluate_all("all => all.map((one) => one.getBoundingClientRect().toJSON())")
    return made


def test_no_mark_of_the_axis_is_under_the_time_that_it_ends_with(
    served: Served, board: Latchboard, window: Windows
) -> None:
    board.agent("planner").lock("src/a.py", bound="agent")
    page = window({"width": 700, "height": 600}).open(served)
    page.click("#views button[data-view=timeline]")
    expect(page.locator(".axis-now")).to_be_visible()

    for width in (360, 440, 520, 600, 680, 760, 840):
        page.set_viewport_size({"width": width, "height": 600})
        for span in ("5 min", "15 min", "1 h", "6 h"):
            page.get_by_label(span, exact=True).check()
            *marks, now = boxes(page.locator(".axis text"))
            assert [mark for mark in marks if mark["right"] + 2 > now["left"]] == []


def test_how_many_more_hold_something_in_a_folder_is_never_cut_off(
    served: Served, board: Latchboard, window: Windows
) -> None:
    for n in range(40):
        board.agent(f"agent-{n:03}").lock(f"src/{n}.py", bound="agent")
    page = window({"width": 1100, "height": 700}).open(served)
    page.get_by_role("button", name="Close all").click()

    more = page.locator(".files-list .holders .more")

    expect(more).to_have_text("+37")
    (number,), (room,) = boxes(more), boxes(page.locator(".files-list .holders"))
    assert number["right"] <= room["right"] + 0.5


def test_the_past_of_a_few_commits_fills_the_slider(served: Served, board: Latchboard, window: Windows) -> None:
    for n in range(5):
        board.board.update("planner", f"{n}")
    page = window().open(served)

    bars = page.locator(".density rect")

    expect(bars).to_have_count(4)
    found, (room,) = boxes(bars), boxes(page.locator(".density"))
    assert found[-1]["right"] > room["right"] - room["width"] / 8


@pytest.mark.parametrize("agent", ['a "quoted" one', '"x"', "back\\slash", "back\\ slash\\"])
def test_an_agent_whatever_it_is_called_is_shown_alone(
    served: Served, board: Latchboard, window: Windows, agent: str
) -> None:
    for n, one in enumerate((agent, "x", "a")):
        board.agent(one).lock(f"src/{n}.py", bound="agent")
    page = window().open(served)

    page.locator(".agents-list .row").filter(has_text=agent).click()
    page.get_by_role("button", name="Show only this agent").click()

    expect(page.locator("#files .meta")).to_have_text("1 of 3 held")
    expect(page.locator(".files-list .row").last).to_contain_text(agent)
    assert page.locator(".files-list .row").count() == 2


def test_with_forced_colours_the_chosen_view_is_not_like_the_others(
    served: Served, board: Latchboard, window: Windows
) -> None:
    page = window(PHONE, forced_colors="active").open(served)

    edges: list[str] = page.locator("#views button").evaluate_all(
        "all => all.map((one) => getComputedStyle(one).borderTopColor)"
    )

    assert len(edges) - len(set(edges)) == len(edges) - 2


@pytest.fixture
def short(tmp_path: Path) -> Iterator[Served]:
    """A project whose past is soon cut away."""
    board = Latchboard(tmp_path, settings=Settings(journal_bytes_max=4000, journals_kept_count=2), publishes=False)
    running = Served(board)
    yield running
    running.close()
    board.close()


def test_a_past_that_was_cut_away_meanwhile_is_said_and_the_slider_has_what_is_left(
    short: Served, window: Windows
) -> None:
    def work(numbers: range) -> None:
        for n in numbers:
            short.board.board.update("planner", f"{n} {'x' * 200}")

    work(range(6))
    opened = window()
    opened.forgive("410 (Gone)")
    page: Page = opened.open(short)
    slider: Any = page.locator("#slider")
    expect(slider).to_be_enabled()
    for first in range(10, 70, 4):  # no more at once than is kept: behind a gap the page reads the past again
        work(range(first, first + 4))
        expect(page.locator(".agent-status")).to_contain_text(f"{first + 3} ")

    with page.expect_response(re.compile("/timeline")):
        slider.press("Home")
    expect(page.locator("#said")).to_contain_text("The board of then is not known")
    expect(page.locator("body[data-past]")).to_have_count(0)
    expect(slider).to_have_attribute("max", re.compile(r"^[1-5]?[0-9]$"))
    expect(slider).not_to_have_value("0")  # drawn anew
    slider.press("Home")

    expect(page.locator("body[data-past]")).to_have_count(1)
    expect(page.locator("#notice")).to_contain_text("The board as it was")
