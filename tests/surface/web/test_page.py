"""The web board in a real browser: what it shows of a project, what it hears, what it survives."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from latchboard.compose import Latchboard
from tests.surface.web.browser import SEEN_MS_MAX, Window
from tests.surface.web.harness import TOKEN, Served
from tests.surface.web.story import Story

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.needs_tool("chromium"),
]

Windows = Callable[..., Window]
expect.set_options(timeout=SEEN_MS_MAX)

LOST = "net::ERR_"
"""What a browser itself writes to its console when nobody answers."""
NO_TOKEN = "401 (Unauthorized)"


def row(page: Page, name: str) -> Any:
    return page.locator(".files-list .row").filter(has=page.get_by_text(name, exact=True))


# -- what is shown ----------------------------------------------------------------------------------------------------


def test_agents_are_shown_with_what_they_do_now(told: Served, window: Windows) -> None:
    page = window().open(told)

    agents = page.locator(".agents-list .row")

    expect(agents).to_have_count(6)
    builder, writer = (agents.filter(has=page.get_by_text(name, exact=True)) for name in ("builder-2", "writer"))
    expect(builder).to_contain_text("a new layout: tree above, lanes below")
    expect(builder).to_contain_text("holds src/surface/web/page/")
    expect(writer).to_contain_text("waits for page/, behind builder-2")
    expect(page.locator("#counts")).to_have_text("6 agents10 held3 waiting")
    expect(page).to_have_title("(3) harbour: Latchboard")


def test_files_are_a_tree_with_holders_and_waiters(told: Served, window: Windows) -> None:
    page = window().open(told)

    levels = page.eval_on_selector_all(
        ".files-list .row", "rows => rows.map((r) => [r.ariaLevel, r.querySelector('.label').textContent])"
    )

    first = ["docs/", "src/", "tests/", "patterns"]
    second = ["board.md", "board.png", "rules/", "surface/web/page/", "defaults.py", "settings.py"]
    second += ["surface/web/", "test_settings.py", "packages/*.toml"]
    assert sorted(levels) == sorted([*(["1", name] for name in first), *(["2", name] for name in second)])
    expect(row(page, "settings.py")).to_contain_text("builder-1")
    expect(row(page, "settings.py")).to_contain_text("2 waiting")
    expect(row(page, "rules/")).to_contain_text("shared")


# All that is compared is measured at one instant: the page is drawn anew while the board moves.
A_WAIT_ENDS_AT_ITS_HOLDER = """async (path) => {
  const middle = (one) => { const box = one.getBoundingClientRect(); return box.y + box.height / 2; };
  const does = () => {
    const held = [...document.querySelectorAll(".bar.hold.open")].filter((one) => one.textContent.includes(path));
    const ends = [...document.querySelectorAll("circle.link-end.open")];
    return held.length === 1 && ends.some((end) => Math.abs(middle(end) - middle(held[0])) < 3);
  };
  const until = performance.now() + 60000;
  while (!does() && performance.now() < until) await new Promise(requestAnimationFrame);
  return does();
}"""


def test_timeline_has_a_lane_for_each_agent_and_draws_waits_to_the_holder(told: Served, window: Windows) -> None:
    page = window({"width": 1440, "height": 1400}).open(told)

    expect(page.locator(".lane-label")).to_have_count(6)
    waiting = page.locator(".bar.wait.open")
    expect(waiting).to_have_count(3)
    expect(page.locator("path.link.open")).to_have_count(3)
    assert page.evaluate(A_WAIT_ENDS_AT_ITS_HOLDER, "page/")


def test_timeline_says_in_words_what_the_arrow_keys_choose(told: Served, window: Windows) -> None:
    page = window().open(told)
    lanes = page.get_by_role("listbox", name=re.compile("^Timeline"))
    expect(page.locator(".bar.hold.open").first).to_be_visible()

    lanes.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")

    expect(page.locator(".lane-label.active")).to_contain_text("builder-2")
    expect(page.locator("#timeline .caption")).to_contain_text(re.compile("^builder-2 held? ?s? src|^builder-2 hold"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()


def test_conflicts_have_the_diff_that_was_kept(told: Served, window: Windows) -> None:
    page = window().open(told)

    kept = page.locator("#conflicts .row[data-kept]")
    expect(kept).to_contain_text(re.compile(r"tester changed src/defaults.py, held by \w*builder-1 \(diff kept\)"))
    kept.click()

    expect(page.locator(".diff-in").first).to_contain_text('+        if not line or line.startswith("#"):')
    expect(page.locator("#conflicts .row").filter(has_text="broke the hold")).to_contain_text("operator")


def test_conversations_are_shown_whole_with_what_became_of_each_message(told: Served, window: Windows) -> None:
    opened = window()
    page = opened.open(told)
    opened.view("conversations")

    page.locator(".threads .row").filter(has_text="Rename").click()

    letters = page.locator(".letters li")
    expect(letters).to_have_count(2)
    expect(letters.nth(0)).to_contain_text("Entry is called Record from now on")
    expect(letters.nth(1)).to_contain_text("read")


def test_filter_finds_paths_reasons_and_one_agent(told: Served, window: Windows) -> None:
    page = window().open(told)
    files = page.locator(".files-list .row[data-kind=file], .files-list .row[data-kind=glob]")

    page.keyboard.press("Control+K")
    page.keyboard.type("comments settings")
    expect(files).to_have_count(2)
    page.fill("#filter", "agent:writer")
    expect(files).to_have_count(2)
    expect(page.locator("#files .meta")).to_have_text("2 of 10 held")
    page.fill("#filter", "no such thing")
    expect(page.locator("#files .empty")).to_contain_text("matches the filter")
    page.keyboard.press("Escape")
    expect(files.first).to_be_visible()


def test_board_on_which_nothing_ever_happened_says_so(served: Served, window: Windows) -> None:
    page = window().open(served)

    expect(page.locator("#files .empty")).to_have_text("Nothing is held, and nobody waits.")
    expect(page.locator("#agents .empty")).to_contain_text("Nobody is here yet")
    expect(page.locator(".past-where")).to_have_text("The past begins here")


# -- what it hears ----------------------------------------------------------------------------------------------------


def test_changes_are_seen_without_loading_anew(served: Served, board: Latchboard, window: Windows) -> None:
    page = window().open(served)
    expect(page.locator("#line")).to_have_text("Live")

    with board.agent("planner").lock("src/a.py", reason="rename Foo"):
        expect(row(page, "a.py")).to_contain_text("planner")
        expect(row(page, "a.py")).to_contain_text("rename Foo")

    expect(page.locator("#files .empty")).to_be_visible()


def test_page_goes_on_when_the_daemon_is_back_and_has_missed_nothing(
    served: Served, board: Latchboard, window: Windows
) -> None:
    opened = window()
    opened.forgive(LOST)
    page = opened.open(served)
    expect(page.locator("#line")).to_have_text("Live")
    board.agent("planner").lock("kept.py", bound="agent")
    expect(row(page, "kept.py")).to_be_visible()

    served.close()
    expect(page.locator("#notice")).to_contain_text("No line to the daemon since")
    expect(row(page, "kept.py")).to_be_visible()
    board.agent("planner").lock("meanwhile.py", bound="agent")
    again = Served(board, port=served.port)
    try:
        expect(page.locator("#line")).to_have_text("Live")
        expect(row(page, "meanwhile.py")).to_be_visible()
        expect(page.locator("#notice")).to_be_hidden()
        opened.view("activity")
        expect(page.locator("#activity .row").first).to_contain_text("planner took meanwhile.py")
    finally:
        opened.page.close()
        again.close()


def test_page_that_missed_too_much_reads_the_board_anew(served: Served, board: Latchboard, window: Windows) -> None:
    opened = window()
    opened.forgive(LOST)
    page = opened.open(served)
    expect(page.locator("#line")).to_have_text("Live")
    served.close()
    me = board.agent("busy")
    for i in range(1100):  # more commits than a daemon tells one by one to a page that comes back
        me.lock(f"src/{i % 7}.py", bound="agent").release()
    me.lock("src/last.py", bound="agent")

    again = Served(board, port=served.port)
    try:
        expect(row(page, "last.py")).to_be_visible()
        expect(page.locator("#counts")).to_contain_text("1 held")
        losses = re.search(rb"page_losses\w* (\d+)", again.ask("GET", "/metrics").body)
        assert losses is not None
        assert int(losses[1]) >= 1, "nothing was skipped: this shows nothing"
    finally:
        page.close()
        again.close()


def test_page_of_a_store_that_was_made_anew_shows_the_new_one(tmp_path: Any, window: Windows) -> None:
    first = Latchboard(tmp_path)
    first.agent("planner").lock("old.py", bound="agent")
    served = Served(first)
    opened = window()
    opened.forgive(LOST)
    page = opened.open(served)
    expect(row(page, "old.py")).to_be_visible()
    served.close()
    first.close()
    shutil.rmtree(tmp_path / "data")
    second = Latchboard(tmp_path)
    second.agent("builder").lock("new.py", bound="agent")
    again = Served(second, port=served.port)

    try:
        expect(row(page, "new.py")).to_be_visible()
        expect(row(page, "old.py")).to_have_count(0)
    finally:
        page.close()
        again.close()
        second.close()


# -- who may look -----------------------------------------------------------------------------------------------------


def test_page_without_a_token_asks_for_it_and_shows_nothing(told: Served, window: Windows) -> None:
    opened = window()
    opened.forgive(NO_TOKEN)
    page = opened.open(told, token="")

    expect(page.locator("#notice")).to_contain_text("latchboard daemon open")
    expect(page.locator(".row")).to_have_count(0)
    page.fill("#notice input", "f" * 64)
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("does not know this token")
    page.fill("#notice input", TOKEN)
    page.keyboard.press("Enter")
    expect(row(page, "settings.py")).to_be_visible()


def test_token_leaves_the_address_at_once_and_stays_in_this_tab(told: Served, window: Windows) -> None:
    opened = window()
    opened.forgive(NO_TOKEN)
    page = opened.open(told)

    assert TOKEN not in page.url
    assert page.evaluate("Object.values(localStorage).join()").find(TOKEN) == -1
    page.reload()
    expect(row(page, "settings.py")).to_be_visible()
    other = opened.context.new_page()
    other.goto(page.url)
    expect(other.locator("#notice")).to_contain_text("daemon's token")


# -- the past ---------------------------------------------------------------------------------------------------------


def test_slider_shows_the_board_as_it_was_and_the_live_one_goes_on(told: Served, story: Story, window: Windows) -> None:
    page = window().open(told)
    slider = page.get_by_role("slider")
    expect(slider).to_be_enabled()
    marks = told.ask("GET", "/api/timeline?count=400").json["commits"]
    middle = len(marks) // 3

    page.evaluate(
        "([e, v]) => { e.value = v; e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change')) }",
        [slider.element_handle(), middle],
    )

    expect(page.locator("#notice")).to_contain_text("The board as it was")
    was = story.board.replay.at(marks[middle]["revision"])
    expect(page.locator("#files .meta")).to_have_text(f"{len(was['active_locks'])} held")
    story.board.agent("late").lock("late.py", bound="agent")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    before = story.board.replay.at(marks[middle - 1]["revision"])
    expect(page.locator("#notice")).to_contain_text(f"revision {before['revision']}")
    assert row(page, "late.py").count() == 0
    page.keyboard.press("Escape")
    expect(row(page, "late.py")).to_be_visible()
    expect(page.locator("#notice")).to_be_hidden()


def test_steps_go_from_commit_to_commit(told: Served, window: Windows) -> None:
    page = window().open(told)
    expect(page.get_by_role("slider")).to_be_enabled()
    commits = told.ask("GET", "/api/history?limit=1000").json["commits"]

    page.click("button[title='One commit back']")
    expect(page.locator("#notice")).to_contain_text(f"revision {commits[-2]['revision']}")
    page.click("button[title='One commit back']")
    expect(page.locator("#notice")).to_contain_text(f"revision {commits[-3]['revision']}")
    page.click("button[title='One commit on']")
    expect(page.locator("#notice")).to_contain_text(f"revision {commits[-2]['revision']}")
    page.click("button[title='One commit on']")
    expect(page.locator("#notice")).to_be_hidden()


def test_nothing_can_be_changed_in_the_past(told: Served, window: Windows) -> None:
    page = window().open(told)
    expect(page.get_by_role("slider")).to_be_enabled()
    page.click("button[title='One commit back']")
    expect(page.locator("#notice")).to_contain_text("The board as it was")

    row(page, "settings.py").click()

    expect(page.get_by_role("dialog")).to_contain_text("This is the past")
    expect(page.get_by_role("button", name="Break")).to_have_count(0)
