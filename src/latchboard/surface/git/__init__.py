"""Git: the hooks of a repository, so that no commit takes along what another agent holds.

    latchboard-git-hook NAME [ARGUMENT...]     what git tells the hook NAME, as git tells it
    latchboard-git-hook --install|--remove     write the hooks of this repository, or take them out again

Exit status: 0: go on. 10: refused, with the reason on standard error. 2: wrong usage. Whatever else it is, the guard
did not come to an answer, and the scripts that call it let git go on with a warning (script.py).

Protocol: protocol/git.md.
"""

from __future__ import annotations


def main() -> None:
    """The script `latchboard-git-hook`; does not return."""
    import os
    import sys

    from latchboard.surface.git.hook import run

    status = run(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # taking everything down in good order would take a tenth of the whole
