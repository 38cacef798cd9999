"""Everybody can use the page: nothing that axe-core finds; the keyboard alone, a phone, large letters, no movement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.surface.web.browser import DESKTOP, PHONE, SEEN_MS_MAX, Window
from tests.surface.web.harness import Served
from tests.surface.web.story import Story

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.needs_tool("chromium"),
]

Windows = Callable[..., Window]
expect.set_options(timeout=SEEN_MS_MAX)

VIEWS = ("agents", "files", "timeline", "conflicts", "conversations", "activity")
CORNERS = [
    pytest.param(DESKTOP, "dark", id="desktop-dark"),
    pytest.param(PHONE, "light", id="phone-light"),
]
"""Both sizes and both schemes, once each: what is where depends on the size, what contrasts on the scheme."""
LOOKS = [
    *CORNERS,
    pytest.param(DESKTOP, "light", id="desktop-light", marks=pytest.mark.soak),
    pytest.param(PHONE, "dark", id="phone-dark", marks=pytest.mark.soak),
]
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong, with what it is wrong with."""
    found = Axe().run(page, options=RULES).response["violations"]
    return [
        f"{one['id']}: {one['help']}: {node['html'][:160]}: {node.get('failureSummary', '')[:300]}"
        for one in found
        for node in one["nodes"][:3]
    ]


def settled(page: Page) -> Page:
    expect(page.locator("#line")).to_have_text("Live")
    expect(page.get_by_role("slider")).to_be_enabled()
    return page


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_every_view_is_accessible(told: Served, window: Windows, size: dict[str, int], scheme: str) -> None:
    opened = window(size, color_scheme=scheme)
    page = settled(opened.open(told))

    for view in VIEWS if size == PHONE else VIEWS[3:]:
        opened.view(view)
        expect(page.locator(f"#{view} [role]").first).to_be_visible()
        assert violations(page) == [], view


@pytest.mark.parametrize(("size", "scheme"), CORNERS)
def test_what_opens_is_accessible(told: Served, window: Windows, size: dict[str, int], scheme: str) -> None:
    page = settled(window(size, color_scheme=scheme, reduced_motion="reduce").open(told))

    page.locator(".files-list .row").filter(has_text="settings.py").first.click()
    drawer = page.get_by_role("dialog")
    expect(drawer).to_be_visible()
    assert violations(page) == [], "a name"
    drawer.get_by_role("button", name="Break", exact=True).click()
    assert violations(page) == [], "a form"
    page.keyboard.press("Escape")
    page.click("#compose")
    assert violations(page) == [], "a message"
    page.keyboard.press("Escape")
    page.click("#views button[data-view=conflicts]")
    page.locator("#conflicts .row[data-kept]").click()
    expect(page.locator(".diff")).to_be_visible()
    assert violations(page) == [], "a diff"
    page.keyboard.press("Escape")
    page.click("button[title='One commit back']")
    expect(page.locator("#notice")).to_be_visible()
    assert violations(page) == [], "the past"


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_states_without_a_board_are_accessible(served: Served, window: Windows, scheme: str) -> None:
    opened = window(PHONE, color_scheme=scheme)
    opened.forgive("401 (Unauthorized)", "net::ERR_")

    page = opened.open(served, token="")
    assert violations(page) == [], "no token"
    page = settled_empty(opened, served)
    assert violations(page) == [], "nothing there"
    served.close()
    expect(page.locator("#notice")).to_contain_text("No line to the daemon")
    assert violations(page) == [], "no daemon"


def settled_empty(opened: Window, served: Served) -> Page:
    page = opened.open(served)
    page.reload()
    expect(page.locator("#line")).to_have_text("Live")
    return page


def focus_of(page: Page) -> Any:
    """Where the keyboard is: the element's role or tag, and its name."""
    return page.evaluate(
        "() => { const e = document.activeElement; return `${e.getAttribute('role') ?? e.tagName.toLowerCase()}"
        " ${e.ariaLabel ?? e.textContent.trim().slice(0, 30)}` }"
    )


def test_keyboard_alone_reaches_every_part_in_the_order_of_the_page(told: Served, window: Windows) -> None:
    page = settled(window().open(told))

    found = []
    for _ in range(30):
        page.keyboard.press("Tab")
        found.append(focus_of(page))
        if "slider" in found[-1] or "The board as it was" in found[-1]:
            break

    text = "\n".join(found)
    places = ["Skip to the files", "input", "Message", "Colours", "Conflicts", "Conversations", "Activity"]
    places += [
        "listbox Agents",
        "Open all",
        "tree Locks by folder",
        "listbox Timeline",
        "listbox Conflicts",
        "The board as it was",
    ]
    at = [text.find(place) for place in places]
    assert -1 not in at, text
    assert at == sorted(at), text


def test_keyboard_alone_breaks_a_hold(told: Served, story: Story, window: Windows) -> None:
    page = settled(window().open(told))

    page.keyboard.press("Alt+2")
    page.keyboard.press("Home")
    by_index = "rows => rows.sort((a, b) => a.index - b.index).map((r) => r.querySelector('.label').textContent)"
    place = page.locator(".files-list .row").evaluate_all(by_index).index("defaults.py")
    for _ in range(place):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("src/defaults.py")
    press_until(page, "Break")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("by keyboard")
    press_until(page, "Break the hold of builder-1")
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("Broke the hold")
    page.keyboard.press("Escape")

    expect(page.get_by_role("dialog")).to_be_hidden()
    assert focus_of(page).startswith("tree")
    assert [one["why"] for one in story.board.board.conflicts() if one["kind"] == "broken"][-1] == "by keyboard"


def press_until(page: Page, name: str) -> None:
    """Tab on to the button of that name."""
    for _ in range(20):
        page.keyboard.press("Tab")
        if focus_of(page) == f"button {name}":
            return
    raise AssertionError(f"no way to {name}")


def test_keyboard_stays_where_it_is_while_the_board_changes(told: Served, story: Story, window: Windows) -> None:
    page = settled(window().open(told))
    page.locator(".files-list .row").filter(has_text="defaults.py").click()
    press_until(page, "Break")

    story.says("builder-1", "something else")
    story.asks("writer", "src/defaults.py", "a default")  # this changes what the drawer shows

    expect(page.get_by_role("dialog")).to_contain_text("a default")
    assert focus_of(page) == "button Break"


def test_tree_opens_and_closes_by_arrows(told: Served, window: Windows) -> None:
    page = settled(window().open(told))
    page.keyboard.press("Alt+2")
    rows = page.locator(".files-list .row")
    count = rows.count()

    page.keyboard.press("ArrowLeft")
    expect(rows).to_have_count(count - 2)
    page.keyboard.press("ArrowRight")
    expect(rows).to_have_count(count)
    page.keyboard.press("ArrowRight")
    active = page.locator(".files-list").get_attribute("aria-activedescendant")
    expect(page.locator(f"#{active}")).to_contain_text("board.md")
    page.keyboard.press("ArrowLeft")
    active = page.locator(".files-list").get_attribute("aria-activedescendant")
    expect(page.locator(f"#{active}")).to_contain_text("docs/")


@pytest.mark.parametrize(
    "size", [PHONE, {"width": 320, "height": 640}, {"width": 720, "height": 450}, {"width": 1100, "height": 700}]
)
def test_nothing_is_cut_off_at_the_side(told: Served, window: Windows, size: dict[str, int]) -> None:
    """320 pixels are a phone's, or a desktop's at 400 %."""
    opened = window(size)
    page = settled(opened.open(told))

    for view in VIEWS[3:] if size["width"] >= 1100 else VIEWS:
        opened.view(view)
        wide = page.evaluate(
            "() => [document.body.scrollWidth - innerWidth, document.documentElement.scrollHeight - innerHeight]"
        )
        assert max(wide) <= 0, (view, wide)
        section = page.locator(f"#{view}").bounding_box()
        assert section is not None
        assert section["height"] > 150, (view, section)
    for button in page.get_by_role("button").all():
        box = button.bounding_box()
        if box and button.is_visible():
            assert box["x"] >= -1 and box["x"] + box["width"] <= size["width"] + 1, button.text_content()


def test_who_wants_no_movement_gets_none(told: Served, window: Windows) -> None:
    page = settled(window(reduced_motion="reduce").open(told))

    page.locator(".files-list .row").filter(has_text="settings.py").first.click()

    moving = page.evaluate("() => document.getAnimations().length")
    spinning = page.evaluate(
        """() => [...document.querySelectorAll("*")].map((one) => getComputedStyle(one))
          .filter((style) => style.animationName !== "none" || parseFloat(style.transitionDuration) > 0).length"""
    )
    assert (moving, spinning) == (0, 0)


def test_colours_are_chosen_and_kept(told: Served, window: Windows) -> None:
    page = settled(window(color_scheme="dark").open(told))
    ground = "() => getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(ground)

    page.click("#theme")
    light = page.evaluate(ground)
    page.reload()

    assert dark != light
    assert page.evaluate(ground) == light
    expect(page.locator("#theme")).to_have_accessible_name("Colours: light")
