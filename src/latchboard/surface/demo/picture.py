"""Picture: docs/board.svg, one frame of a real run with Latchboard, some time after the kill.

python -m latchboard.surface.demo.picture docs/board.svg
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from latchboard.surface.demo import SECONDS
from latchboard.surface.demo.board import svg
from latchboard.surface.demo.interruption import interruptible
from latchboard.surface.demo.project import find_source
from latchboard.surface.demo.show import perform, temporary_folder

if TYPE_CHECKING:
    from latchboard.surface.demo.phase import Phase
    from latchboard.surface.demo.show import Report

_TAKEN_AT = 0.8  # of the second phase


class Camera:
    """A screen that keeps one frame.

    Attributes:
        picture: The frame as SVG; empty until it was taken.
    """

    def __init__(self) -> None:
        self.picture = ""
        self._first: Phase | None = None

    def begin(self, report: Report) -> None:
        """Nothing to see yet."""

    def frame(self, phase: Phase) -> None:
        """Take it at the right moment."""
        if not phase.plan.coordinated:
            self._first = phase
        elif not self.picture and phase.stage == "works" and phase.elapsed_s >= phase.plan.seconds * _TAKEN_AT:
            self.picture = svg(phase, self._first.tally if self._first is not None else None)

    def end(self, report: Report) -> None:
        """A picture of a run that proves nothing is no picture."""
        if report.problems:
            self.picture = ""


def main() -> int:
    """Run the demo unseen and write the picture."""
    camera = Camera()
    with interruptible(), temporary_folder() as folder:
        report = perform(find_source(), folder, camera, seconds=SECONDS, agents=8)
    if not camera.picture:
        print(*(report.problems or ["the run was too short for a picture"]), sep="\n", file=sys.stderr)
        return 1
    Path(sys.argv[1]).write_text(camera.picture, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
