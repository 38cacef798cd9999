"""init: make a project's board, set up the agents' clients for it, and take that out again; says what it did.

A board at the top of a machine or of a home folder would be that of every folder below which has neither its own nor a
git repository: it is made only where --root names the place.

Protocol: protocol/cli.md, "init"; protocol/installation.md.
"""

from __future__ import annotations

import os
from contextlib import nullcontext

from latchboard.errors import CoordinationError, StoreUnavailable, UsageError
from latchboard.surface.cli import setting_up, wording
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb, flag, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.compose import Latchboard
    from latchboard.host.compiled import Compiled
    from latchboard.installation import Change, Choice, Installation
    from latchboard.surface.cli.call import Call

FOLDER = "data/.agent_locks"
IGNORE_FILE = ".gitignore"
FINDINGS = 3
"""Exit status when a file could not be changed."""
_CLIENTS = ("claude", "codex", "gemini", "cursor", "aider", "all", "none")


def run(
    call: Call,
    *,
    dry_run: bool,
    remove: bool,
    client: tuple[str, ...],
    no_git: bool,
    no_mcp: bool,
    no_instructions: bool,
) -> Answer:
    """Make what is missing, or take out what was made."""
    call.anywhere = True
    board = call.board
    if remove:
        if client or no_git or no_mcp or no_instructions:
            raise UsageError("--remove takes out everything", hint="latchboard init --remove")
        return _remove(call, dry_run=dry_run)
    choice = _choice(call, client, mcp=not no_mcp, instructions=not no_instructions)
    if call.named_root is None:
        _refuse_a_place_for_all(board.root)
    created = not os.path.exists(f"{board.root}/{FOLDER}/FORMAT")
    call.commits = not dry_run
    vacancy: list[str] = []
    if not dry_run:
        # A commit that changes nothing makes the store, and refuses a folder where locks do not exclude.
        board.store.transact(lambda view: None, who="init")
        if board.files is None:
            from latchboard.compose.engines import mark

            mark(board)
            vacancy = _vacancy(board)
    installation = _installation(call, call.own_root)
    commands, found, chosen = installation.commands(), installation.find(), installation.chosen(choice)
    ignore = _ignore(call, dry_run=dry_run)
    with nullcontext() if dry_run else installation.turn():
        changes = installation.plan(choice)
        done = setting_up.settled(changes, [] if dry_run else installation.apply(changes))
        git = [] if no_git else _git(installation, call, "install", dry_run=dry_run)
    report = setting_up.Report(done, git, clients=found, chosen=chosen, dry_run=dry_run)
    report.notes += vacancy
    report.notes += setting_up.notes(report, commands, installation.doubled(), mcp=choice.mcp)
    if report.chosen or git:
        report.notes += setting_up.compiled(_compiled(), dry_run=dry_run)
    facts = _facts(call, report, created=created, gitignore=_told(ignore, done, call))
    facts["command"] = {"hook": commands.line("CLIENT"), "is_bare": commands.is_bare}
    _refuse_what_git_would_take(call, [*ignore, *done], dry_run=dry_run)
    return Answer(facts, _lines(call, report, facts), status=FINDINGS if report.is_short and not dry_run else 0)


def _vacancy(board: Latchboard) -> list[str]:
    """That there is no store yet where the setting says, and is one nearby."""
    from latchboard.compose.store_looking import stores_beside_none
    from latchboard.surface.cli.verb.store import vacant

    nearby = stores_beside_none(board)
    return [] if nearby is None else ["\n  ".join([f"{board.settings.store}:", *vacant(nearby)])]


def _installation(call: Call, folder: str) -> Installation:
    from latchboard.compose.setting_up import installation

    return installation(call.board, folder)


def _compiled() -> Compiled:
    from latchboard.compose.setting_up import compiled

    return compiled()


def _choice(call: Call, named: tuple[str, ...], *, mcp: bool, instructions: bool) -> Choice:
    from latchboard.installation import Choice

    clients: tuple[str, ...] | None = None
    if "none" in named:
        if set(named) != {"none"}:
            raise UsageError("--client none stands alone", hint="latchboard init --help")
        clients = ()
    elif "all" in named:
        clients = tuple(name for name in _CLIENTS if name not in ("all", "none"))
    elif named:
        clients = tuple(dict.fromkeys(named))
    elif call.board.root in ("/", os.path.realpath(os.path.expanduser("~"))):
        clients = ()  # the files there are those of every project of this person
    return Choice(clients, mcp=mcp, instructions=instructions)


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


def _ignore(call: Call, *, dry_run: bool) -> list[Change]:
    """Have git ignore a board that lies in another folder than this work tree: the main one's."""
    root = call.board.root
    if call.own_root == root:
        return []
    main = _installation(call, root)
    changes = main.plan_ignored() if main.files.is_in_git() else []
    return setting_up.settled(changes, [] if dry_run else main.apply(changes))


def _told(ignore: list[Change], done: list[Change], call: Call) -> str:
    """What became of .gitignore: `added`, `there`, or `no-git` where no repository is."""
    if not _installation(call, call.board.root).files.is_in_git():
        return "no-git"
    changed = ignore if call.own_root != call.board.root else done
    lines = [line for one in changed if one.name == IGNORE_FILE for line in setting_up.added(one)]
    return "added" if setting_up.IGNORED in lines else "there"


def _refuse_what_git_would_take(call: Call, done: list[Change], *, dry_run: bool) -> None:
    """A board that git does not leave out ends in a commit: told as an error, when the rest has been done."""
    for one in done:
        if one.name == IGNORE_FILE and one.kind == "refused" and not dry_run:
            raise StoreUnavailable(
                f"cannot add {setting_up.IGNORED} to {call.own_root}/{IGNORE_FILE}: {one.why}",
                hint="add the line by hand; the rest was done",
                path=f"{call.own_root}/{IGNORE_FILE}",
                errno=None,
            )


def _git(installation: Installation, call: Call, what: str, *, dry_run: bool) -> list[dict[str, Any]]:
    """Write git's hooks, or take them out; what happened."""
    if not installation.files.has_repository():
        return _git_around(call) if what == "install" and installation.files.is_in_git() else []
    from latchboard.compose.setting_up import git_hooks

    try:
        hooks = git_hooks(call.own_root)
        changes = hooks.install(dry_run=dry_run) if what == "install" else hooks.remove(dry_run=dry_run)
    except CoordinationError as exc:
        return [{"kind": "refused", "path": call.own_root, "text": exc.message}]
    return [{"kind": one.kind, "path": one.path, "text": one.text} for one in changes]


def _git_around(call: Call) -> list[dict[str, Any]]:
    """Tell of the hooks of a repository that is larger than the project, if they do not guard it yet."""
    from latchboard.compose.setting_up import git_hooks

    try:
        changes = git_hooks(call.own_root).install(dry_run=True)
    except CoordinationError:  # git knows no repository here
        return []
    if not any(one.kind != "told" for one in changes):
        return []
    text = "this folder is a part of a larger repository, whose hooks are left alone. To have them guard it:"
    return [{"kind": "told", "path": call.own_root, "text": f"{text}\n  latchboard-git-hook --install"}]


def _remove(call: Call, *, dry_run: bool) -> Answer:
    """Take out what was put in; the board, with its locks and its mail, stays."""
    call.commits = False
    installation = _installation(call, call.own_root)
    with nullcontext() if dry_run else installation.turn():
        changes = installation.plan_removal()
        done = setting_up.settled(changes, [] if dry_run else installation.apply(changes))
        if not dry_run:
            installation.forget(but=[one.name for one in done if one.kind == "refused"])
        git = _git(installation, call, "remove", dry_run=dry_run)
    report = setting_up.Report(done, git, clients=installation.find(), chosen=[], dry_run=dry_run)
    is_in_git = installation.files.is_in_git()
    removed = any(one.name == IGNORE_FILE and one.kind != "refused" for one in done)
    gitignore = ("removed" if removed else "there") if is_in_git else "no-git"
    facts = _facts(call, report, created=False, gitignore=gitignore)
    lines = report.lines()
    if not done and not git:
        lines.append("nothing to do: nothing of ours is set up here")
    folder = f"{call.board.root}/{FOLDER}"
    if os.path.isdir(folder):
        lines.append(f"the board stays, with its locks and its mail; when nobody works: {_command('rm -r', folder)}")
    return Answer(facts, lines, status=FINDINGS if report.is_short and not dry_run else 0)


def _command(program: str, *words: str) -> str:
    return f"{program} {wording.command(*words)}"


def _facts(call: Call, report: setting_up.Report, *, created: bool, gitignore: str) -> dict[str, Any]:
    from latchboard.host.root import board_above

    root = call.board.root
    return {
        "root": root,
        "folder": f"{root}/{FOLDER}",
        "created": created,
        "gitignore": gitignore,
        "above": board_above(root) or None,
        "dry_run": report.dry_run,
        **report.facts(),
    }


def _lines(call: Call, report: setting_up.Report, facts: dict[str, Any]) -> list[str]:
    if report.dry_run:
        return report.lines() or ["nothing to do"]
    made = "is ready" if facts["created"] else "is there already"
    place = f"{FOLDER}/" if call.board.files is not None else printable(call.board.settings.store)
    lines = [f"the board of {printable(facts['root'])} {made}: {place}"]
    lines += [
        {
            "added": f"  added {setting_up.IGNORED} to .gitignore",
            "there": "  .gitignore leaves it out already",
            "no-git": "  no git repository here, so no .gitignore was written",
        }[facts["gitignore"]]
    ]
    if facts["above"]:
        above = facts["above"]
        other = wording.command("--root", above)
        lines.append(f"  {printable(above)} has another board, which is not used from here: to use it, add {other}")
    lines += [f"  {line}" for line in report.lines()]
    lines.append("  next: export AGENT_ID=<who you are>; latchboard acquire <path>")
    return lines


VERBS = (
    Verb(
        "init",
        run,
        summary="Make the board of a project and set up the agents' clients for it; harmless when it is done.",
        text="The project is --root, else the nearest folder upwards that has a board or a git repository, else the "
        "current folder; / and the home folder must be named. Claude Code, Codex CLI, Gemini CLI, Cursor and aider are "
        "set up where they are found, and so are git's hooks: docs/setup.md says what is written where. What was in "
        "those files stays, and --remove takes out exactly what was put in. Exit status 3: a file could not be "
        "changed; what to write there by hand is said, and the rest is done.",
        parameters=(
            options("--client", "NAME", "Set up this client, found or not; may be given again.", choices=_CLIENTS),
            flag("--no-git", "Write no git hooks."),
            flag("--no-mcp", "Enter no MCP server."),
            flag("--no-instructions", "Write no instructions for agents."),
            flag("--dry-run", "Show what would change, as a diff of each file, and change nothing."),
            flag("--remove", "Take out what was put in. The board stays."),
        ),
        examples=(
            "latchboard init",
            "latchboard init --dry-run",
            "latchboard init --client claude --client codex --no-mcp",
            "latchboard init --remove",
            "latchboard init --root /srv/project --json",
        ),
        changes=True,
    ),
)
