"""demo: eight agents edit the same files, without Latchboard and with it.

Protocol: none; the demo is not part of it.
"""

from __future__ import annotations

from latchboard.surface.cli import kind
from latchboard.surface.cli.answer import Answer
from latchboard.surface.cli.grammar import Verb, flag, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.surface.cli.call import Call


def run(call: Call, *, seconds: float | None, agents: int, plain: bool) -> Answer:
    """Hand over to the demo, which shows itself."""
    from latchboard.surface import demo

    options: dict[str, Any] = {} if seconds is None else {"seconds": seconds}
    status = demo.run(agents=agents, root=call.named_root, json=call.as_json, plain=plain, **options)
    return Answer(None, status=status)


VERBS = (
    Verb(
        "demo",
        run,
        summary="See what it is for: agents edit the same files, without and with it.",
        text="Works on a copy in a temporary folder, ends by itself in under a minute, and leaves nothing behind. "
        "--root: copy the files of that folder instead of Latchboard's own.",
        parameters=(
            option("--seconds", "SECONDS", "Length of each of the two phases.", kind=kind.seconds_above_0),
            option("--agents", "NUMBER", "How many agents.", kind=kind.count, default=8),
            flag("--plain", "Lines of text, no live board."),
        ),
        examples=("latchboard demo", "latchboard demo --seconds 3 --agents 4 --json"),
    ),
)
