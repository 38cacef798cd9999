"""Ten thousand locks are as readable and as quick as ten, for only what is seen is drawn; and the first paint.

Figures with room for a loaded machine; `make bench` has the goals (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from benchmarks.page import FRAMES, crowd, drawn_ms
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

DRAWN_MS_MAX = 1500.0
FRAME_MS_MAX = 50.0
HITCH_MS_MAX = 400.0
PASSES_COUNT = 8
"""What the page can do is told by the best of so many: a machine that has no time for it only ever adds."""


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    board = Latchboard(tmp_path_factory.mktemp("crowded"), publishes=False)
    crowd(board, locks_count=10_000, agents_count=40)
    served = Served(board)
    yield served
    served.close()
    board.close()


def test_ten_thousand_locks_draw_no_more_rows_than_are_seen(crowded: Served, window: Windows) -> None:
    page = window().open(crowded)

    expect(page.locator("#counts")).to_contain_text("10\u202f000 held")
    page.get_by_role("button", name="Open all").click()
    page.locator(".files-list").focus()
    page.keyboard.press("End")
    expect(page.locator(".files-list .row.active")).to_contain_text("file")
    assert page.locator(".files-list").get_attribute("aria-activedescendant") == page.locator(
        ".files-list .row.active"
    ).get_attribute("id")
    assert page.locator(".row").count() < 150
    assert page.locator("*").count() < 2500


def test_ten_thousand_locks_are_closed_folders_at_first(crowded: Served, window: Windows) -> None:
    page = window().open(crowded)

    expect(page.locator(".files-list .row[aria-expanded=false]").first).to_contain_text(" held")
    assert page.locator(".files-list .row[aria-level='3']").count() == 0


@pytest.mark.parametrize("size", [{"width": 1440, "height": 900}, PHONE])
def test_scrolling_over_ten_thousand_locks_stays_smooth(crowded: Served, window: Windows, size: dict[str, int]) -> None:
    page = window(size).open(crowded)
    expect(page.locator("#counts")).to_contain_text("held")
    page.get_by_role("button", name="Open all").click()
    expect(page.locator(".files-list .row[aria-level='3']").first).to_be_visible()

    def is_smooth() -> bool:
        frames = page.evaluate(FRAMES)
        assert frames["end"] > 200_000, "it did not scroll"
        page.evaluate("document.querySelector('.files-list').scrollTop = 0")
        passes.append(frames)
        return bool(frames["p50"] < FRAME_MS_MAX and frames["p95"] < HITCH_MS_MAX)

    passes: list[dict[str, float]] = []
    assert any(is_smooth() for _ in range(PASSES_COUNT)), passes


def test_change_among_ten_thousand_locks_is_seen_at_once(crowded: Served, window: Windows) -> None:
    page = window().open(crowded)
    expect(page.locator("#line")).to_have_text("Live")
    page.fill("#filter", "needle")
    expect(page.locator("#files .empty")).to_be_visible()

    hold = crowded.board.agent("late").lock("hay/needle.py", bound="agent")
    expect(page.locator(".files-list .row").last).to_contain_text("needle.py")
    hold.release()
    expect(page.locator("#files .empty")).to_be_visible()


def test_thousand_locks_are_drawn_at_once_by_a_warm_daemon(tmp_path: Path, window: Windows) -> None:
    board = Latchboard(tmp_path, publishes=False)
    crowd(board, locks_count=1000, agents_count=10)
    served = Served(board)
    try:
        opened = window()
        opened.open(served)

        found: list[float] = []
        for _ in range(PASSES_COUNT):
            found = sorted([*found, *(drawn_ms(opened.page) for _ in range(3))])
            if found[0] < DRAWN_MS_MAX / 2 and found[2] < DRAWN_MS_MAX:
                break

        assert found[0] < DRAWN_MS_MAX / 2, found
        assert found[2] < DRAWN_MS_MAX, found
    finally:
        opened.page.close()
        served.close()
        board.close()
