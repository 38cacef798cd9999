"""Expansion: which files a pattern of a shell finds, and whether something is a folder; for commands not yet run.

Protocol: protocol/editing.md, "Shell calls".
"""

from __future__ import annotations

import os

FILES_COUNT_MAX = 5000
"""So many files are named at most."""


def is_folder(path: str) -> bool:
    """Whether there is a folder."""
    return os.path.isdir(path)


def expand(pattern: str) -> list[str]:
    """The files that a pattern finds; folders are left out, and names that begin with a dot, as a shell does."""
    from glob import iglob
    from itertools import islice

    return [path for path in islice(iglob(pattern), FILES_COUNT_MAX) if not os.path.isdir(path)]
