"""The page and a daemon as users start it: opened by its address, killed under it, and there again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from latchboard.compose import Latchboard
from tests.ports import Port
from tests.surface.web.browser import SEEN_MS_MAX, Window

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.needs_tool("chromium"),
]

expect.set_options(timeout=SEEN_MS_MAX)


@contextmanager
def daemon(root: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon in the foreground, ready; it does not outlive this."""
    told, tell = os.pipe()
    command = [sys.executable, "-m", "latchboard", "serve", "--root", str(root), "--port", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*command, "--ready-fd", str(tell)], pass_fds=[tell], **quiet) as process:  # type: ignore[call-overload]
        try:
            os.close(tell)
            with open(told, encoding="utf-8") as pipe:
                assert "ready" in json.loads(pipe.readline())
            yield process
        finally:
            process.kill()


@pytest.fixture
def port() -> Iterator[int]:
    """One that stays ours while no daemon listens there."""
    kept = Port()
    yield kept.number
    kept.give_back()


def test_page_misses_nothing_when_the_daemon_is_killed_and_started_again(
    board: Latchboard, port: int, window: Callable[..., Window]
) -> None:
    root = Path(board.root)
    opened = window()
    opened.forgive("net::ERR_")
    page = opened.page
    board.agent("planner").lock("first.py", bound="agent")
    names = page.locator(".files-list .label")

    with daemon(root, port) as process:
        token = (root / "data/.agent_pids/serve.token").read_text().strip()
        page.goto(f"http://127.0.0.1:{port}/#token={token}")
        expect(page.locator("#line")).to_have_text("Live")
        process.send_signal(signal.SIGKILL)
        process.wait()
        expect(page.locator("#line")).to_have_text("Reconnecting")
        board.locks.release_names("planner")
        board.agent("builder").lock("second.py", bound="agent")
        expect(names).to_have_text(["first.py"])

    with daemon(root, port):
        expect(page.locator("#line")).to_have_text("Live")
        expect(names).to_have_text(["second.py"])
        opened.view("activity")
        said = page.locator("#activity .sentence")
        expect(said.nth(0)).to_contain_text("builder took second.py")
        expect(said.nth(1)).to_contain_text("planner released first.py")
        page.close()
