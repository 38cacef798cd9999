"""Browser: Debian's chromium, and the page in it as somebody would use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.surface.web.harness import TOKEN, Served

DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
SEEN_MS_MAX = 60_000
"""How long something may take to be seen on a loaded machine; what is timed is timed elsewhere."""


BARE = """<!doctype html><style>.list, .lane-list { height: 9em; overflow: auto } .lane-labels { width: 100px }</style>
<section id="place"><header></header><p class="meta"></p><div class="body"></div></section><dialog></dialog>"""

SHARED = """
window.turn = ((later) => () => new Promise((done) => later(done, 1)))(setTimeout);
window.until = async (holds) => { for (let turns = 0; turns < 3000 && !holds(); turns++) await turn(); };
window.answer = (revision, more = {}) => ({
  revision, now: new Date().toISOString(), last_updated: "2026-01-01T10:00:00Z", agents: {}, waiters: [],
  active_locks: [], ended_locks: [], ...more,
});
"""


@contextmanager
def chromium(path: str) -> Iterator[Browser]:
    """A browser. Not headless for longer than it must: its loop is this thread's, and ends with it."""
    # Without its sandbox it runs as root too; /dev/shm is small in containers.
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Window:
    """One open page, with everything that it complained of.

    Attributes:
        page: Playwright's.
        complaints: What it wrote to its console, and the exceptions nobody caught.
    """

    def __init__(self, browser: Browser, size: dict[str, int], **options: Any) -> None:
        options = {"color_scheme": "dark", **options}
        if size == PHONE:
            options |= {"has_touch": True, "is_mobile": True}
        self.context = browser.new_context(viewport=size, **options)  # type: ignore[arg-type]
        self.context.set_default_timeout(SEEN_MS_MAX)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.forgiven: list[str] = []
        self.page.on("console", lambda one: self._complain(one.type, one.text))
        self.page.on("pageerror", lambda error: self.complaints.append(f"{error}\n{error.stack}"))

    def _complain(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def open(self, served: Served, token: str = TOKEN) -> Page:
        """Go to the board; it has been drawn, or says why not."""
        self.page.goto(f"http://127.0.0.1:{served.port}/" + (f"#token={token}" if token else ""))
        self.page.wait_for_selector("body:not([data-state=loading])")
        return self.page

    def view(self, name: str) -> None:
        """Choose a view by its button."""
        self.page.click(f"#views button[data-view={name}]")

    def forgive(self, *causes: str) -> None:
        """Whatever the browser itself wrote to its console of something that the test brought about."""
        self.forgiven += causes

    def close(self) -> None:
        """Close it; it has complained of nothing else."""
        self.context.close()
        assert [one for one in self.complaints if not any(cause in one for cause in self.forgiven)] == []
