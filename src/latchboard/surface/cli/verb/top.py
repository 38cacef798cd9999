"""top: the live board in the terminal; without --agent it changes nothing.

Protocol: protocol/cli.md, "top".
"""

from __future__ import annotations

from latchboard.errors import UsageError
from latchboard.surface.cli import telling
from latchboard.surface.cli.answer import Answer
from latchboard.surface.cli.grammar import Verb, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.surface.cli.call import Call


def run(call: Call, *, theme: str) -> Answer:
    """Hand over to the terminal board, which shows itself."""
    if call.as_json:
        raise UsageError(
            "`latchboard top` draws for people, and has no JSON",
            hint="`latchboard status --json` is the same board, `latchboard watch --json` each change",
        )
    board, agent = call.board, call.agent_if_any
    try:
        from latchboard.surface import tui

        return Answer(None, status=tui.run(board, tell=telling.brief, agent=agent, theme=theme))
    except ImportError as exc:
        raise UsageError("the terminal board needs the extra `tui`", hint="pip install 'latchboard[tui]'") from exc


VERBS = (
    Verb(
        "top",
        run,
        summary="Watch the board live in the terminal: agents, files, the line, conflicts, mail, history, jobs.",
        text="Keys: ? shows them; q ends it. It reads the store itself and needs no daemon. What it shows is what "
        "`latchboard status` prints, as it changes.\n\nWith --agent (or AGENT_ID) a lock can be broken, or one of "
        "the agent's own released; a question comes first.\n\nNeeds latchboard[tui].",
        parameters=(
            option(
                "--theme", "NAME", "Colours: auto, dark or light.", default="auto", choices=("auto", "dark", "light")
            ),
        ),
        examples=("latchboard top", "latchboard top --agent operator", "latchboard top --theme light"),
    ),
)
