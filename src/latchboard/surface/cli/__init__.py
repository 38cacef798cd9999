"""The command line: parse, call a service, render. A file per verb in verb/; protocol/cli.md is its contract.

Law 1. No rule lives here: a verb asks a service and words the answer.
Law 2. A verb is imported when it is called, and nothing slow with it: a hook calls `latchboard check` on every edit.
Law 3. Errors become exit statuses in one file, failure.py.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit status.

    Args:
        argv: Without the program's name; that of the process when None.
    """
    try:
        from latchboard.surface.cli.dispatch import run

        return run(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:  # before or after anything was done
        return 130
