"""The page behind a gap: what it did not hear it reads, the board and the past."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from latchboard.compose import Latchboard
from latchboard.surface.web import log
from tests.surface.web.browser import SEEN_MS_MAX, Window
from tests.surface.web.harness import Served

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.needs_tool("chromium"),
]

Windows = Callable[..., Window]
expect.set_options(timeout=SEEN_MS_MAX)


def test_behind_a_gap_what_is_read_counts_though_it_is_older(bare: Page) -> None:
    found = bare.evaluate("""async () => {
      const { Board } = await import("/board.js");
      const { model } = await import("/fold.js");
      const asked = [];
      window.fetch = async (address) => { asked.push(address); return Response.json({ ...answer(3), commits: [] }); };
      const board = new Board();
      board.live = model(answer(9));
      board.recent = [{ revision: 9, events: [] }];
      board.stream.take('event: compacted\\ndata: {"revision": 3}');
      await until(() => board.lastPastRead && board.lastRead);
      return [asked, board.live.revision, board.stream.revision, board.state];
    }""")
    assert found == [["/api/board", "/api/timeline?count=400"], 3, 3, "live"]


PAST = """
      const at = "2026-01-01T10:00:00Z";
      const taken = { event: "lock.acquired", at, agent: "A", name: "a.py", waited_s: null };
      const commit = (revision) => ({ revision, at, events: [{ ...taken, revision }] });
      const asked = { board: 0, timeline: 0, history: 0 };
      const past = [commit(5)];
      let give = null;
      window.fetch = async (address) => {
        const what = address.split("/")[2].split("?")[0];
        asked[what]++;
        if (what === "timeline" && give) await new Promise((done) => { give = done; });
        return Response.json({ ...answer(past.at(-1).revision), commits: past });
      };
      const board = new Board();
      board.live = model(answer(5));
      board.marks = [{ revision: 5, at: 0 }];
      const gap = (revision) => {
        past.push(commit(revision));
        board.stream.take(`event: skipped\\ndata: {"revision": ${revision}}`);
      };
      const marks = () => board.marks.map((mark) => mark.revision);
"""


def test_the_past_is_read_behind_gaps_once_for_many_and_with_what_is_heard_meanwhile(bare: Page) -> None:
    found = bare.evaluate(
        """async () => {
      const { Board } = await import("/board.js");
      const { model } = await import("/fold.js");"""
        + PAST
        + """
      give = true;
      gap(7);
      await until(() => asked.timeline);
      for (let revision = 8; revision < 20; revision++) gap(revision);
      past.push(commit(20));
      board.hear(commit(20));
      const before = asked.timeline;
      const told = give;
      give = null;
      past.pop(); // the answer is older than what was heard
      told();
      await until(() => board.lastPastRead);
      const read = marks();
      past.push(commit(20));
      await until(() => asked.timeline > 1 && !board.isReadingPast);
      return [before, read.slice(-2), asked.timeline, marks().at(-1), board.log.length];
    }"""
    )
    assert found == [1, [19, 20], 2, 20, 15]


def test_a_past_that_could_not_be_read_behind_a_gap_is_read_when_the_line_is_back(bare: Page) -> None:
    found = bare.evaluate(
        """async () => {
      const { Board } = await import("/board.js");
      const { model } = await import("/fold.js");"""
        + PAST
        + """
      const works = window.fetch;
      window.fetch = async () => { throw new TypeError("nobody there"); };
      gap(7);
      await until(() => board.lastPastRead);
      const before = marks();
      window.fetch = works;
      board.tell("lost", "away");
      board.tell("live", "");
      await until(() => board.marks.length > 1);
      return [before, marks()];
    }"""
    )
    assert found == [[5], [5, 7]]


def test_the_slider_and_the_events_have_the_commits_that_a_page_has_missed(
    board: Latchboard, window: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "COUNT_MAX", 5)
    for number in range(3):
        board.board.update("planner", f"before {number}")
    opened = window()
    opened.forgive("net::ERR_")
    served = Served(board)
    page = opened.open(served)
    slider = page.get_by_role("slider")
    expect(slider).to_be_enabled()

    served.close()
    expect(page.locator("#line")).to_have_text("Reconnecting")
    board.agent("builder").lock("missed.py", bound="agent")
    for number in range(19):
        board.board.update("planner", f"missed {number}")
    again = Served(board, port=served.port)
    expect(page.locator("#line")).to_have_text("Live")

    commits = again.get("/api/timeline?count=400").json["commits"]
    expect(slider).to_have_attribute("max", str(len(commits) - 1))
    slider.focus()
    page.keyboard.press("End")
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#notice")).to_contain_text(f"revision {commits[-11]['revision']}")
    expect(page.locator(".agent-status", has_text="missed 8")).to_be_visible()
    opened.view("activity")
    expect(page.locator("#activity .sentence", has_text="builder took missed.py")).to_be_visible()
    page.close()
    again.close()
