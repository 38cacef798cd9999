"""supervise: be the project's supervisor, in the foreground: keep the workers running that are wanted.

Protocol: protocol/cli.md, "supervise"; protocol/supervision.md, "Supervisor".
"""

from __future__ import annotations

import os

from latchboard.surface.cli import kind
from latchboard.surface.cli.answer import Answer
from latchboard.surface.cli.grammar import Verb, argument, option
from latchboard.surface.cli.verb.serve import become, log_to_stderr, occupy_standard_descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.surface.cli.call import Call


def run(call: Call, *, role: tuple[str, ...], ready_fd: int | None) -> Answer:
    """Keep them until a signal, or until none is wanted."""
    from latchboard.rules.supervision import SUPERVISOR

    occupy_standard_descriptors()
    become(call, SUPERVISOR)
    from latchboard.compose import Latchboard, supervising

    board = Latchboard(call.board.root, publishes=False)
    log_to_stderr("latchboard.supervision", is_foreground=False)
    if ready_fd is not None:
        os.chdir("/")  # it keeps no folder from being removed or unmounted
    try:
        if ready_fd is None:  # nobody has said what is wanted before he started it
            board.agents.want(role)
        why = supervising.supervise(board, ready_fd=ready_fd)
    finally:
        board.close()
    return Answer({"root": board.root, "why": why}, [] if ready_fd is not None else [f"the supervisor ended: {why}"])


VERBS = (
    Verb(
        "supervise",
        run,
        summary="Keep the workers running that are wanted, in the foreground.",
        text="Those of the named roles; when none is named, those that were wanted last, else of each role in "
        "latchboard.toml. One per project; a second one is refused (status 10). `latchboard agents start` starts it in "
        "the background; it ends with the last worker. SIGTERM, SIGINT and SIGHUP drain all "
        "workers and end it: status 0. When it dies its workers go on, and the next one takes them over.",
        parameters=(
            argument("role", "[ROLE]...", count="any"),
            option("--ready-fd", "NUMBER", "For programs: the pipe to say in that it is ready.", kind=kind.number),
        ),
        examples=("latchboard supervise", "latchboard supervise builder tester"),
    ),
)
