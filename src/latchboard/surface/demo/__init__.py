"""Demo: eight real agent processes edit the same files, first without Latchboard and then with it.

Works on a copy in a temporary folder, and leaves nothing behind: no process, no folder, also when it is interrupted.
"""

from __future__ import annotations

SECONDS = 8.0
"""Length of each of the two phases: long enough to watch, short enough that both end in about 20 seconds."""


def run(
    seconds: float = SECONDS,
    *,
    agents: int = 8,
    root: str | None = None,
    json: bool = False,
    plain: bool = False,
) -> int:
    """Run the demo and show it on standard output.

    Args:
        seconds: Length of each of the two phases, 0.5 to 20.
        agents: How many agents, 2 to 32.
        root: A folder whose files are copied and edited; Latchboard's own sources when None.
        json: Print one JSON object at the end and nothing else.
        plain: Lines of text even on a terminal.

    Returns:
        0: without coordination edits were lost, with Latchboard none, and no message. 1: anything else, said in
        plain words. 130, 143, 129: ended by SIGINT, SIGTERM or SIGHUP; nothing is left behind.

    Raises:
        UsageError: A number is out of range, or there is nothing to edit.
        StoreError: The folder for temporary files cannot be used.
    """
    # Imported late: the agents' processes import this package, too.
    from latchboard.surface.demo.show import run as show

    return show(seconds=seconds, agents=agents, root=root, as_json=json, plain=plain)
