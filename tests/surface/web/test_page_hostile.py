"""What others write is only ever text: names, statuses and messages that would be markup, code or a wall of signs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from latchboard.compose import Latchboard
from latchboard.errors import CoordinationError
from tests.surface.web.browser import PHONE, SEEN_MS_MAX, Window
from tests.surface.web.harness import Served

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.needs_tool("chromium"),
]

Windows = Callable[..., Window]
expect.set_options(timeout=SEEN_MS_MAX)

MARKUP = '<img src=x onerror="document.title=1"><script>document.title=1</script>'
TEXTS = [
    MARKUP,
    "</title></svg><b>bold</b>",
    "\u202egnp.exe",
    "line one\nline two\r\n\ttabbed",
    "word" * 900,
    "x y " * 900,
    "Z̸̧͙a̶̢l̵̨g̷͖o̸" * 20,
    "javascript:alert(1)",
    "{{7*7}} ${7*7} %s %n",
    "\u0000\u001b[31mred",
]


def test_texts_of_others_are_text_and_nothing_else(served: Served, board: Latchboard, window: Windows) -> None:
    for i, text in enumerate(TEXTS):
        agent = f"a{i}{MARKUP}"[:200]
        try:
            board.agent(agent).lock(f"src/{i}/{MARKUP.replace('/', '|')}", bound="agent", reason=text[:9000])
            board.board.update(agent, text, [text[:4000]])
        except CoordinationError:  # what the board itself refuses is not the page's business
            board.board.update(agent, "refused", [])
        board.mailbox.send(agent, "reader", text, subject=text[:100].replace("\n", " "))
    opened = window()
    page = opened.open(served)

    expect(page.locator(".agents-list .row").first).to_contain_text("<img src=x onerror=")
    for view in ("conflicts", "conversations", "activity"):
        opened.view(view)
        expect(page.locator(f"#{view} .row, #{view} .empty").first).to_be_visible()
    page.locator(".agents-list .row").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("onerror")

    assert page.locator("img, b, main script").count() == 0
    assert page.title().endswith("Latchboard")
    assert page.evaluate("document.scripts.length") == 2


@pytest.mark.parametrize(
    "agent", ["__proto__", "constructor", "hasOwnProperty", "agent:x", "ü" * 100, "a b  c", "-", "漢字"]
)
def test_agents_with_odd_names_are_shown_like_any_other(
    served: Served, board: Latchboard, window: Windows, agent: str
) -> None:
    board.board.update(agent, "works")
    board.agent(agent).lock("src/a.py", bound="agent", reason="r")
    page = window().open(served)

    found = page.locator(".agents-list .row")
    expect(found).to_have_count(1)
    expect(found).to_contain_text(agent)
    expect(page.locator(".files-list .row").last).to_contain_text(agent)
    found.click()
    page.get_by_role("button", name="Show only this agent").click()
    expect(page.locator("#files .meta")).to_have_text("1 held")


def test_longest_path_there_is_stays_in_its_place(served: Served, board: Latchboard, window: Windows) -> None:
    long = "/".join(["d" * 60] * 60) + "/" + "f" * 200
    board.agent("planner").lock(long, bound="agent")
    opened = window(PHONE)
    page = opened.open(served)

    page.locator(".files-list .row").last.click()
    expect(page.get_by_role("dialog")).to_contain_text("f" * 200)

    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_damaged_records_are_counted_in_the_head(served: Served, board: Latchboard, window: Windows) -> None:
    board.agent("planner").lock("src/a.py", bound="agent")
    board.store.transact(lambda view: view.put("locks/src/b.py", {"entries": "nonsense"}), who="planner")

    page = window().open(served)

    expect(page.locator("#counts")).to_contain_text("damaged")
