from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from latchboard.compose import Latchboard
from tests.surface.web.harness import Served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.surface.web.browser import Window
    from tests.surface.web.story import Story


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Latchboard]:
    made = Latchboard(tmp_path)
    yield made
    made.close()


@pytest.fixture
def served(board: Latchboard) -> Iterator[Served]:
    running = Served(board)
    yield running
    running.leave()


@pytest.fixture(scope="module")  # its loop runs in this thread: other modules have loops of their own
def browser(require_tool: Callable[[str], str]) -> Iterator[Browser]:
    from tests.surface.web.browser import chromium

    with chromium(require_tool("chromium")) as found:
        yield found


@pytest.fixture
def window(browser: Browser) -> Iterator[Callable[..., Window]]:
    """`window(DESKTOP, color_scheme="light")`: a page that must complain of nothing until it is closed."""
    from tests.surface.web.browser import DESKTOP, Window

    opened: list[Window] = []

    def make(size: dict[str, int] = DESKTOP, **options: Any) -> Window:
        opened.append(Window(browser, size, **options))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture(scope="module")
def window_of_parts(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, str]]:
    from tests.surface.web.browser import BARE, DESKTOP, SHARED, Window

    board = Latchboard(tmp_path_factory.mktemp("parts"))
    served, opened = Served(board), Window(browser, DESKTOP)
    address = f"http://127.0.0.1:{served.port}/bare"
    opened.page.route(address, lambda route: route.fulfill(content_type="text/html", body=BARE))
    opened.page.add_init_script(SHARED)
    opened.forgive("Failed to load resource")
    yield opened.page, address
    opened.close()
    served.close()
    board.close()


@pytest.fixture
def bare(window_of_parts: tuple[Page, str]) -> Page:
    """A page on which nothing runs, from where the modules come."""
    page, address = window_of_parts
    page.goto(address)
    return page


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    """The board of an hour's work (story.py)."""
    from tests.surface.web.story import tell

    root = tmp_path / "harbour"
    root.mkdir()
    told = tell(root)
    yield told
    told.close()


@pytest.fixture
def told(story: Story) -> Iterator[Served]:
    """The same, served."""
    running = Served(story.board)
    yield running
    running.leave()
