"""Guard: before a commit, a merge's commit and a rebase: does it touch what somebody else holds?

Law 1. What nobody coordinates is not stopped: without a board, everything goes on.
Law 2. A person is told, and goes on.
Law 3. What cannot be read is not free: an agent is refused then, unless the setting `hooks_failure` is `open`. What
goes wrong in the guard itself refuses only what has a lock record of its own.

Protocol: protocol/git.md, "Before".
"""

from __future__ import annotations

from latchboard.errors import CoordinationError
from latchboard.surface.git import repository
from latchboard.surface.git.held import projects
from latchboard.surface.git.scene import Commit, Merge, Patch, Rebase
from latchboard.surface.git.wording import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from latchboard.surface.git.held import Held, Project
    from latchboard.surface.git.scene import Scene
    from latchboard.surface.git.who import Who

REFUSED = 10


def before_commit(who: Who, arguments: Sequence[str]) -> int:
    """pre-commit: what is staged; it may be the end of a merge with conflicts."""
    make = Merge if repository.is_merging() else Commit
    return _judge(who, lambda: make(who, repository.staged()), notes=True)


def before_merge_commit(who: Who, arguments: Sequence[str]) -> int:
    """pre-merge-commit: what the merge brings."""
    return _judge(who, lambda: Merge(who, repository.staged()), notes=True)


def before_patch(who: Who, arguments: Sequence[str]) -> int:
    """pre-applypatch: what a mailed patch has put into the index (`git am`)."""
    return _judge(who, lambda: Patch(who, repository.staged()), notes=True)


def before_rebase(who: Who, arguments: Sequence[str]) -> int:
    """pre-rebase: what lies between the branch and what it is put upon; git does not tell of --onto."""
    upstream, branch = (*arguments, "", "")[:2]
    if upstream in ("", "--root"):
        return 0  # there is no other side to compare with

    def scene() -> Scene:
        changed = repository.between(upstream, branch or "HEAD")
        if branch:
            changed = list(dict.fromkeys(changed + repository.between("HEAD", branch)))
        return Rebase(who, changed)

    return _judge(who, scene, notes=False)


def _judge(who: Who, make: Callable[[], Scene], *, notes: bool) -> int:
    found: list[Held] = []
    names: list[tuple[Project, list[str]]] = []
    try:
        scene = make()
        for project in projects(scene.changed):
            names.append((project, []))
            names[-1][1].extend(project.names(scene.changed))
            found += project.held(scene.changed, who.agent)
    except CoordinationError as exc:
        return trouble(who, exc.message, exc.hint)
    except Exception as exc:  # noqa: BLE001 - a fault of ours must not stop what has nothing to do with it
        if any(_has_record(project, some) for project, some in names):
            return trouble(who, f"{type(exc).__name__}: {exc}", "this is a fault of the guard: please report it")
        say([f"latchboard: the guard failed ({type(exc).__name__}: {exc:.200}); no file in this has a lock"])
        return 0
    if not found:
        if notes:
            repository.note_checked()
        return 0
    from latchboard.surface.git import telling

    if who.is_agent:
        say(telling.refusal(scene, found))
        return REFUSED
    say(telling.note(scene, found))
    return 0


def trouble(who: Who, message: str, hint: str) -> int:
    """The answer when it cannot be told who holds what."""
    from latchboard.surface.git import telling

    is_refused = who.is_agent and not _fails_open()
    say(telling.trouble(message, hint, refused=is_refused))
    return REFUSED if is_refused else 0


def _fails_open() -> bool:
    """Whether the project says so; where its settings cannot be read, it does not."""
    from latchboard.compose.finding import find_root
    from latchboard.host.configuration import read_settings

    try:
        return read_settings(find_root()).hooks_failure == "open"
    except CoordinationError:
        return False


def _has_record(project: Project, names: Sequence[str]) -> bool:
    """Whether one of the names has a lock record, or may have one."""
    try:
        for name in names:
            if project.board.store.read(f"locks/{name}").get(f"locks/{name}") is not None:
                return True
    except Exception:  # noqa: BLE001 - what cannot be asked may be there
        return True
    return False
