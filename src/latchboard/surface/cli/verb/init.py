"""init: make a project's board, and keep it out of version control; says what it did, and does it once.

Protocol: protocol/cli.md, "init".
"""

from __future__ import annotations

import os

from latchboard.errors import from_os_error
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.surface.cli.call import Call

FOLDER = "data/.agent_locks"
IGNORED = f"/{FOLDER}/"
_IGNORING = {
    form
    for folder in (FOLDER, "data", ".agent_locks")
    for form in (folder, f"/{folder}", f"{folder}/", f"/{folder}/", f"**/{folder}/", f"{folder}/*", f"{folder}/**")
}


def run(call: Call) -> Answer:
    """Make what is missing."""
    call.anywhere = True
    board = call.board
    folder = f"{board.root}/{FOLDER}"
    was_there = os.path.exists(f"{folder}/FORMAT")
    # A commit that changes nothing makes the store, and refuses a folder where locks do not exclude.
    board.store.transact(lambda view: None, who="init")
    ignore = _ignore(board.root)
    facts = {"root": board.root, "folder": folder, "created": not was_there, "gitignore": ignore}
    made = "is there already" if was_there else "is ready"
    lines = [f"the board of {printable(board.root)} {made}: {FOLDER}/"]
    lines += [
        {
            "added": f"  added {IGNORED} to .gitignore",
            "there": "  .gitignore leaves it out already",
            "no-git": "  no git repository here, so no .gitignore was written",
        }[ignore]
    ]
    lines.append("  next: export AGENT_ID=<who you are>; latchboard acquire <path>")
    return Answer(facts, lines)


def _ignore(root: str) -> str:
    """Have git ignore the folder: `added`, `there`, or `no-git` where no repository is."""
    if not _in_git(root):
        return "no-git"
    path = f"{root}/.gitignore"
    try:
        text = _read(path)
        if any(line.strip() in _IGNORING for line in text.splitlines()):
            return "there"
        with open(path, "a", encoding="utf-8") as file:
            file.write(("" if not text or text.endswith("\n") else "\n") + f"{IGNORED}\n")
    except OSError as exc:
        raise from_os_error(exc, f"add {IGNORED} to", path) from exc
    return "added"


def _in_git(folder: str) -> bool:
    while not os.path.exists(f"{folder}/.git"):
        above = os.path.dirname(folder)
        if above == folder:
            return False
        folder = above
    return True


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


VERBS = (
    Verb(
        "init",
        run,
        summary="Make the board of a project, in data/.agent_locks; harmless when it is there.",
        text="The project is --root, else the nearest folder upwards that has a board or a git repository, else the "
        "current folder. In a git repository, .gitignore gets a line for it.",
        examples=("latchboard init", "latchboard init --root /srv/project --json"),
        changes=True,
    ),
)
