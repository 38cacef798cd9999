"""Installation: the files of a project by which its agents are held to the board, put in and taken out again.

Law 1. A file of a person is replaced whole, by a rename, after its bytes were kept; never without both.
Law 2. Killed at any moment, each file is the old or the new one, and doing it again completes it.
Law 3. One file that cannot be changed is told, with what to write by hand; the others are done all the same.

Protocol: protocol/installation.md.
"""

from __future__ import annotations

from latchboard.installation.change import Change, Choice, Found
from latchboard.installation.git_hooks import GitHooks, HookChange
from latchboard.installation.service import Installation

__all__ = ["Change", "Choice", "Found", "GitHooks", "HookChange", "Installation"]
