"""init: make a project's board, and keep it out of version control; says what it did, and does it once.

A board at the top of a machine or of a home folder would be that of every folder below which has neither its own nor a
git repository: it is made only where --root names the place.

Protocol: protocol/cli.md, "init".
"""

from __future__ import annotations

import os

from latchboard.errors import UsageError, from_os_error
from latchboard.surface.cli import wording
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
    from latchboard.host.root import board_above

    call.anywhere = True
    board = call.board
    if call.named_root is None:
        _refuse_a_place_for_all(board.root)
    folder = f"{board.root}/{FOLDER}"
    was_there = os.path.exists(f"{folder}/FORMAT")
    # A commit that changes nothing makes the store, and refuses a folder where locks do not exclude.
    board.store.transact(lambda view: None, who="init")
    ignore = _ignore(board.root)
    above = board_above(board.root)
    facts = {"root": board.root, "folder": folder, "created": not was_there, "gitignore": ignore}
    facts["above"] = above or None
    made = "is there already" if was_there else "is ready"
    lines = [f"the board of {printable(board.root)} {made}: {FOLDER}/"]
    lines += [
        {
            "added": f"  added {IGNORED} to .gitignore",
            "there": "  .gitignore leaves it out already",
            "no-git": "  no git repository here, so no .gitignore was written",
        }[ignore]
    ]
    if above:
        other = wording.command("--root", above)
        lines.append(f"  {printable(above)} has another board, which is not used from here: to use it, add {other}")
    lines.append("  next: export AGENT_ID=<who you are>; latchboard acquire <path>")
    return Answer(facts, lines)


def _refuse_a_place_for_all(root: str) -> None:
    """Refuse the top of the file system, and the home folder."""
    if root == "/":
        what = "the top of the file system"
    elif root == os.path.realpath(os.path.expanduser("~")):
        what = "your home folder"
    else:
        return
    raise UsageError(
        f"{root} is {what}: a board there is that of every folder below without a board or a git repository",
        hint=f"name the project: `latchboard init --root <folder>`; or this one: {wording.command('--root', root)}",
    )


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
        "current folder; / and the home folder must be named. In a git repository, .gitignore gets a line for it.",
        examples=("latchboard init", "latchboard init --root /srv/project --json"),
        changes=True,
    ),
)
