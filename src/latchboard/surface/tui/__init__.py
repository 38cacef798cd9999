"""The terminal board: the live picture of who does what, fed by the board and the stream of changes; no daemon needed.

Law 1. Nothing here holds a rule: it reads what the services say, and draws it.
Law 2. A slow store never stops the keys: a thread reads, the loop draws.
Law 3. What others wrote never reaches the terminal as it is: `text.shown` is between.
Law 4. Drawn is what is seen: a line that is scrolled out of sight costs nothing.

Needs the extra `latchboard[tui]`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from latchboard.compose import Latchboard


def run(board: Latchboard, *, tell: Callable[[Any], str], agent: str | None = None, theme: str = "auto") -> int:
    """Show the board until somebody ends it.

    Args:
        board: The project's services.
        tell: Says what an event means, in a sentence.
        agent: Who breaks or releases something; None: it only looks.
        theme: auto, dark or light.

    Returns:
        The exit status: 0, or 128 and the number of the signal that ended it.

    Raises:
        UsageError: This is no terminal.
        ImportError: The extra is not installed.
    """
    from latchboard.errors import UsageError
    from latchboard.surface.tui.app import Board
    from latchboard.surface.tui.driver import Terminal, why_not

    if said := why_not():
        raise UsageError(
            f"the terminal board cannot be drawn: {said}",
            hint="`latchboard status` prints the board once, `latchboard watch` each change",
        )
    app = Board(board, tell=tell, agent=agent, theme=theme, driver_class=Terminal, on_read=settle)
    status = app.run()
    return app.return_code or 0 if status is None else status


def settle() -> None:
    """What was read first stays for long: looking through it for garbage stops the keys for 0.2 s of 10,000 locks."""
    import gc

    gc.collect()
    gc.freeze()
