"""Page: how soon a browser shows a board of a thousand locks, and how smoothly ten thousand are scrolled over."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks.measure import goal, percentile
from benchmarks.web import running

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from latchboard import Latchboard

PAINT_MS_MAX = 300
FRAME_MS_MAX = 34
"""Two frames of a screen that shows sixty a second."""

FRAMES = """async () => {
  const list = document.querySelector(".files-list");
  const took = [];
  let last = await new Promise(requestAnimationFrame);
  for (let i = 0; i < 100; i++) {
    list.scrollTop += 300 + i * 55;
    const now = await new Promise(requestAnimationFrame);
    took.push(now - last);
    last = now;
  }
  took.sort((a, b) => a - b);
  return { p50: took[50], p95: took[95], max: took[99], end: list.scrollTop };
}"""
"""Scrolls the tree faster and faster, and tells the milliseconds between frames."""

_DRAWN = "() => performance.getEntriesByName('board-drawn')[0].startTime"
_PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"


def page(rounds: int) -> dict[str, Any]:
    """What somebody sees who opens the board, in Debian's chromium, against a daemon as users start it."""
    path = shutil.which("chromium")
    if path is None:
        print("... no chromium here: nothing is measured of the page", file=sys.stderr, flush=True)
        return {"name": "page", "figures": {}, "goals": []}
    from playwright.sync_api import sync_playwright

    arguments = ["--disable-dev-shm-usage", "--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=arguments)
        opened = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        painted, drawn = _first_paint(opened, rounds)
        frames = _scroll(opened)
        browser.close()
    return {
        "name": "page",
        "figures": {
            "first contentful paint": _milliseconds(painted),
            "1,000 locks drawn": _milliseconds(drawn),
            "frame, 10,000 locks": {f"{name}_ms": round(frames[name], 1) for name in ("p50", "p95", "max")},
        },
        "goals": [
            goal("first paint with 1,000 locks, p50, ms", percentile(painted, 0.5), PAINT_MS_MAX),
            goal("all of 1,000 locks drawn, p50, ms", percentile(drawn, 0.5), PAINT_MS_MAX),
            goal("frame while scrolling over 10,000 locks, p95, ms", frames["p95"], FRAME_MS_MAX),
        ],
    }


def crowd(board: Latchboard, *, locks_count: int, agents_count: int) -> None:
    """Agents that hold an equal share of files in forty packages."""
    share = locks_count // agents_count
    for a in range(agents_count):
        names = [f"package{i % 40:02}/part{i % 400:03}/file{i:05}.py" for i in range(a * share, (a + 1) * share)]
        board.board.update(f"agent-{a:02}", "a sweep over everything")
        board.agent(f"agent-{a:02}").lock(*names, bound="agent", reason="a sweep over everything")


def drawn_ms(opened: Page) -> float:
    """Load the page anew: milliseconds from the beginning of the navigation until the whole board is drawn."""
    opened.reload()
    opened.wait_for_selector(".files-list .row")
    return float(opened.evaluate(_DRAWN))


def _first_paint(opened: Page, rounds: int) -> tuple[list[float], list[float]]:
    with running() as daemon:
        crowd(daemon.board, locks_count=1000, agents_count=10)
        opened.goto(_address(daemon))
        opened.wait_for_selector(".files-list .row")
        painted, drawn = [], []
        for _ in range(rounds):
            drawn.append(drawn_ms(opened))
            painted.append(float(opened.evaluate(_PAINTED)))
            time.sleep(0.2)  # what follows the first drawing is not part of the next one
        opened.goto("about:blank")
    return painted, drawn


def _scroll(opened: Page) -> dict[str, float]:
    with running() as daemon:
        crowd(daemon.board, locks_count=10_000, agents_count=20)
        opened.goto(_address(daemon))
        opened.get_by_role("button", name="Open all").click()
        opened.wait_for_selector(".files-list .row[aria-level='3']")
        frames: dict[str, float] = opened.evaluate(FRAMES)
        opened.goto("about:blank")
    if frames["end"] < 200_000:
        raise AssertionError("it did not scroll")
    return frames


def _address(daemon: Any) -> str:
    token = daemon.headers["Authorization"].removeprefix("Bearer ")
    return f"http://127.0.0.1:{daemon.port}/#token={token}"


def _milliseconds(found: list[float]) -> dict[str, float]:
    return {"p50_ms": round(percentile(found, 0.5), 1), "p95_ms": round(percentile(found, 0.95), 1)}
