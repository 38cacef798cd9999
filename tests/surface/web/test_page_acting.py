"""What an operator does on the page: asked first, done once, and told truly when it was not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.surface.web.browser import SEEN_MS_MAX, Window
from tests.surface.web.harness import Served
from tests.surface.web.story import Story

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.needs_tool("chromium"),
]

Windows = Callable[..., Window]
expect.set_options(timeout=SEEN_MS_MAX)


@pytest.fixture
def page(told: Served, window: Windows) -> Page:
    opened = window()
    opened.forgive("409 (Conflict)", "401 (Unauthorized)", "net::ERR_")  # refusals are what some of this is about
    found = opened.open(told)
    expect(found.locator("#line")).to_have_text("Live")
    return found


def look_at(page: Page, name: str) -> Any:
    """The drawer of one name."""
    page.locator(".files-list .row").filter(has=page.get_by_text(name, exact=True)).click()
    drawer = page.get_by_role("dialog")
    expect(drawer).to_be_visible()
    return drawer


def holders(story: Story, name: str) -> list[str]:
    return [one["agent"] for one in story.board.board.read()["active_locks"] if one["name"] == name]


def test_release_is_confirmed_and_goes_to_the_next_in_line(page: Page, story: Story) -> None:
    drawer = look_at(page, "settings.py")

    drawer.get_by_role("button", name="Release", exact=True).click()
    expect(drawer).to_contain_text("builder-1 gives up src/settings.py")
    assert holders(story, "src/settings.py") == ["builder-1"]
    drawer.get_by_role("button", name="Release for builder-1").click()

    expect(page.locator("#said")).to_have_text("Released src/settings.py")
    expect(drawer.locator(".part").first).to_contain_text("reviewer")
    assert holders(story, "src/settings.py") == ["reviewer"]


def test_cancel_changes_nothing(page: Page, story: Story) -> None:
    drawer = look_at(page, "settings.py")
    revision = story.board.board.read()["revision"]

    for name in ("Release", "Break", "Ask for it", "Message builder-1"):
        drawer.get_by_role("button", name=name, exact=True).click()
        drawer.get_by_role("button", name="Cancel").click()
    page.keyboard.press("Escape")

    expect(drawer).to_be_hidden()
    assert story.board.board.read()["revision"] == revision


def test_break_needs_a_reason_and_tells_the_holder(page: Page, story: Story) -> None:
    drawer = look_at(page, "defaults.py")
    drawer.get_by_role("button", name="Break", exact=True).click()
    sure = drawer.get_by_role("button", name="Break the hold of builder-1")

    sure.click()  # without a reason: the browser asks for it
    assert holders(story, "src/defaults.py") == ["builder-1"]
    drawer.get_by_label("Your name on the board").fill("carla")
    drawer.get_by_label("Reason").fill("It has gone home")
    sure.click()

    expect(page.locator("#said")).to_have_text("Broke the hold of builder-1 on src/defaults.py")
    assert holders(story, "src/defaults.py") == []
    (conflict,) = [
        one for one in story.board.board.conflicts() if one["kind"] == "broken" and one["why"] == "It has gone home"
    ]
    assert conflict["asked_by"] == "carla"
    assert any("It has gone home" in message["body"] for message in story.board.mailbox.receive("builder-1").messages)
    expect(page.locator("#conflicts .row").first).to_contain_text("carla")


def test_hold_that_is_another_one_by_now_is_not_broken(page: Page, story: Story, told: Served) -> None:
    drawer = look_at(page, "defaults.py")
    drawer.get_by_role("button", name="Break", exact=True).click()
    drawer.get_by_label("Reason").fill("too long")
    story.board.locks.release_names("builder-1", ["src/defaults.py"])
    story.takes("writer", "src/defaults.py")

    drawer.get_by_role("button", name="Break the hold of builder-1").click()

    expect(drawer.get_by_role("alert")).not_to_be_empty()
    assert holders(story, "src/defaults.py") == ["writer"]


def test_request_is_granted_from_the_page(page: Page, story: Story) -> None:
    drawer = look_at(page, "surface/web/page/")

    drawer.get_by_role("button", name="Hand over").click()
    drawer.get_by_role("button", name="Hand over to writer").click()

    expect(page.locator("#said")).to_contain_text("went to writer")
    assert holders(story, "src/surface/web/page/") == ["writer"]


def test_request_is_declined_with_a_reason(page: Page, story: Story) -> None:
    drawer = look_at(page, "surface/web/page/")

    drawer.get_by_role("button", name="Decline").click()
    drawer.get_by_label("Reason").fill("in an hour")
    drawer.get_by_role("button", name="Decline").last.click()

    expect(page.locator("#said")).to_contain_text("Declined the request of writer")
    assert holders(story, "src/surface/web/page/") == ["builder-2"]
    assert any("in an hour" in message["body"] for message in story.board.mailbox.receive("writer").messages)


def test_operator_asks_for_a_file_and_is_seen_in_line(page: Page, story: Story) -> None:
    drawer = look_at(page, "test_settings.py")

    drawer.get_by_role("button", name="Ask for it").click()
    drawer.get_by_label("Reason").fill("one line")
    drawer.get_by_role("button", name="Ask", exact=True).click()

    expect(page.locator("#said")).to_have_text("Asked for tests/test_settings.py")
    expect(drawer.locator(".line-up li")).to_contain_text("operator")
    (waiter,) = [one for one in story.board.board.read()["waiters"] if one["agent"] == "operator"]
    assert (waiter["handoff"], waiter["reason"]) == ("asked", "one line")


def test_messages_go_to_one_agent_or_to_all(page: Page, story: Story) -> None:
    page.click("#compose")
    drawer = page.get_by_role("dialog")
    drawer.get_by_label("To", exact=True).select_option("tester")
    drawer.get_by_label("Message", exact=True).fill("Which browser?")
    drawer.get_by_label("Ask for an acknowledgement").check()
    drawer.get_by_role("button", name="Send").click()
    expect(page.locator("#said")).to_have_text("Sent to tester")
    (message,) = [one for one in story.board.mailbox.receive("tester").messages if one["from"] == "operator"]
    assert (message["body"], message["ack"]) == ("Which browser?", "required")

    page.keyboard.press("Escape")
    page.click("#compose")
    drawer.get_by_label("Message", exact=True).fill("Lunch")
    drawer.get_by_role("button", name="Send").click()

    expect(page.locator("#said p").last).to_have_text("Sent to everybody")
    assert "Lunch" in [one["body"] for one in story.board.mailbox.receive("writer").messages]


def test_answer_in_a_conversation_stays_in_it(page: Page, story: Story) -> None:
    page.click("#views button[data-view=conversations]")
    page.locator(".threads .row").filter(has_text="Review of gate.py").click()
    drawer = page.get_by_role("dialog")

    drawer.get_by_role("button", name="Write on").click()
    drawer.get_by_label("Message", exact=True).fill("It does now.")
    drawer.get_by_role("button", name="Send").click()

    expect(drawer.locator(".letters li").last).to_contain_text("It does now.")
    (thread,) = [one for one in story.board.mailbox.conversations()["threads"] if one["subject"] == "Review of gate.py"]
    assert thread["messages_count"] == 2


def test_nothing_is_done_without_the_token(page: Page, story: Story) -> None:
    drawer = look_at(page, "defaults.py")
    drawer.get_by_role("button", name="Release", exact=True).click()
    page.evaluate("sessionStorage.setItem('latchboard.token', 'f'.repeat(64))")

    drawer.get_by_role("button", name="Release for builder-1").click()

    expect(drawer.get_by_role("alert")).to_contain_text("token")
    assert holders(story, "src/defaults.py") == ["builder-1"]


def test_daemon_that_is_gone_is_told_and_the_form_stays(page: Page, story: Story, told: Served) -> None:
    drawer = look_at(page, "defaults.py")
    drawer.get_by_role("button", name="Break", exact=True).click()
    drawer.get_by_label("Reason").fill("typed with care")
    told.close()

    drawer.get_by_role("button", name="Break the hold of builder-1").click()

    expect(drawer.get_by_role("alert")).to_contain_text("does not answer")
    expect(drawer.get_by_label("Reason")).to_have_value("typed with care")
