"""Home: a project's folder, told from another one that stands in its place later.

Protocol: protocol/health.md, "Retirement"; protocol/supervision.md, "Supervisor".
"""

from __future__ import annotations

import os


class Home:
    """A project's folder, as it is now: the same path may lead to another one later.

    Args:
        root: The folder, absolute.
    """

    __slots__ = ("_folder", "_root")

    def __init__(self, root: str) -> None:
        self._root = root
        self._folder = self._look()

    def is_gone(self) -> bool:
        """Whether it is gone, or another one stands there; a disk that does not answer proves neither."""
        try:
            return self._look() != self._folder
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False

    def _look(self) -> tuple[int, int]:
        status = os.stat(self._root)
        return status.st_dev, status.st_ino
