"""release: give locks back; whoever waits gets them in the same commit.

Protocol: protocol/cli.md, "release".
"""

from __future__ import annotations

from latchboard.errors import UsageError
from latchboard.surface.cli import option
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb, flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.surface.cli.call import Call

NOT_HELD = 11
"""Exit status when something named was not this agent's to give back."""


def run(call: Call, *, paths: tuple[str, ...], glob: bool, all: bool, token: int | None) -> Answer:
    """Give back, and say what was not there to be given."""
    if all == bool(paths):
        raise UsageError("release takes paths or --all, one of them", hint="for example: latchboard release --all")
    agent, locks = call.agent, call.board.locks
    asked = None if all else call.paths(paths, is_glob=glob)
    released = locks.release_names(agent, asked, token=token)
    names = released if asked is None else locks.names(asked)
    # A link that was not typed stays as long as another path of its file needs it.
    missing = [n for n in names if n not in released and (not n.startswith("hardlink:") or n in (asked or ()))]
    shown = call.token_if_any(token)
    kept: list[str] = []
    if missing and shown is not None:
        from latchboard.locks.looking import shown as shown_with

        kept = list(shown_with(locks, missing, agent=agent, token=shown, shared=True))
        missing = [name for name in missing if name not in kept]
    facts = {"agent": agent, "released": released, "not_held": missing, **({"kept": kept} if kept else {})}
    lines = [f"{printable(agent)} released {printable(name)}" for name in released]
    lines += [f"{printable(agent)} does not hold {printable(name)}; nothing was changed there" for name in missing]
    lines += [f"{printable(agent)} keeps {printable(name)}, held for the whole of this command" for name in kept]
    if missing:
        lines.append(f"  see who does: {call.command('check', *call.again(paths, is_glob=glob))}")
    if not lines:
        lines = [f"{printable(agent)} holds nothing here"]
    return Answer(facts, lines, status=NOT_HELD if missing else 0)


VERBS = (
    Verb(
        "release",
        run,
        summary="Give locks back.",
        text="Exit status 0: all of them were given back. 11: at least one was not held (any more) by this agent; "
        "somebody else may have changed the file meanwhile.\n\nWhat another living process took under the same id "
        f"is given back only to whoever shows its --token.\n\n{option.PATHS_TEXT}",
        parameters=(
            option.PATHS_IF_ANY,
            flag("--all", "Everything this agent holds here."),
            option.GLOB,
            option.TOKEN,
        ),
        examples=("latchboard release src/a.py --agent planner", "latchboard release --all --agent planner"),
        changes=True,
    ),
)
