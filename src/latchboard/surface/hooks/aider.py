"""aider: what can be done for a client without hooks.

aider asks nobody before it edits. It runs its linter after an edit, once for each file, and shows the model what a
failing linter prints: `--lint-cmd "latchboard-hook aider"` claims each file then. One that another agent holds has been
written already; the model is told to take it back, and the change is on the board as a conflict with both sides kept.
What keeps an edit from happening is outside: `latchboard run FILE... -- aider FILE...` holds the files before aider
starts, and with `AIDER_GIT_COMMIT_VERIFY=true` the git guard refuses the commit (aider passes `--no-verify` otherwise).

There is no session id: without `AGENT_ID` nobody is made up.

Protocol: protocol/editing.md, "Clients". Read from aider's linter and repository modules (0.86) and aider.chat/docs.
"""

from __future__ import annotations

from latchboard.errors import UsageError
from latchboard.surface.hooks.event import Event, agent_of
from latchboard.surface.hooks.payload import sendable, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from latchboard.surface.hooks.event import Outcome


def payload(arguments: Sequence[str], cwd: str) -> dict[str, Any]:
    """What is read in place of standard input, which aider leaves to the terminal: the files it names."""
    return {"hook_event_name": "lint", "files": list(arguments), "cwd": cwd}


def read(payload: dict[str, Any], environ: Mapping[str, str]) -> Event:
    """The event of a lint run: the files were edited just now. UsageError for what cannot be right."""
    files = payload.get("files")
    if not isinstance(files, list) or not files or not all(isinstance(one, str) and one for one in files):
        raise UsageError('it names no file: aider --lint-cmd "latchboard-hook aider"')
    agent = agent_of("", "", environ)
    if not agent:
        raise UsageError("aider has no session id: start it with AGENT_ID set, e.g. `AGENT_ID=aider-1 aider`")
    cwd = text(payload, "cwd")
    return Event("aider", "edited", agent=agent, cwd=cwd, paths=tuple(files), name="lint", carries=False)


def write(event: Event, outcome: Outcome) -> tuple[str, str, int]:
    """A lint run that fails where a file is another's, with what aider shows the model on standard output."""
    if outcome.denial is None:
        note = sendable(outcome.note)
        return "", note and f"{note}\n", 0
    told = (
        f"{' '.join(event.paths)} has been written although another agent holds it. Take your own change back first, "
        "by an edit: git would take the other agent's work with it."
    )
    _, _, facts = outcome.denial.partition("\n")  # the first line says that nothing was written, which is not so here
    return sendable(told, facts or outcome.denial) + "\n", "", 1
