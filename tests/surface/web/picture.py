"""Picture: the page with an hour's story on it, photographed: `python -m tests.surface.web.picture docs/board.png`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.surface.web.browser import Window, chromium
from tests.surface.web.harness import Served
from tests.surface.web.story import tell

SIZE = {"width": 1440, "height": 900}


def take(file: Path, scheme: str = "dark") -> None:
    """Tell the story, open the page on it, and keep what it looks like."""
    path = shutil.which("chromium")
    if path is None:
        raise SystemExit("chromium is not installed")
    with tempfile.TemporaryDirectory() as folder, chromium(path) as browser:
        root = Path(folder) / "harbour"
        root.mkdir()
        told = tell(root)
        served = Served(told.board)
        window = Window(browser, SIZE, color_scheme=scheme, reduced_motion="reduce")
        page = window.open(served)
        page.wait_for_selector("#slider:enabled")
        page.wait_for_selector("#conflicts .row[data-kept]")
        page.mouse.move(0, 0)
        page.screenshot(path=str(file), animations="disabled")
        window.close()
        served.close()
        told.close()
    if pngquant := shutil.which("pngquant"):  # a third of the size, and nobody sees the difference
        subprocess.run([pngquant, "--force", "--strip", "--quality", "80-98", "--output", file, file], check=True)


if __name__ == "__main__":
    take(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/board.png"), *sys.argv[2:3])
