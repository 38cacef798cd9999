"""Hooks: what a client runs before and after each call of its agent; one process per event.

A client's module translates (claude.py, codex.py, ...); what is done about an event is the same for all (handling.py,
between.py, shell.py), and so is what is said when that fails (failing.py).

Protocol: protocol/editing.md.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Handle one event and end the process: the command `latchboard-hook`."""
    import gc

    gc.disable()  # this process ends before there is anything to collect
    from latchboard.surface.hooks import finder

    finder.put_in_front()
    from latchboard.surface.hooks.entry import handle_and_exit

    handle_and_exit()
