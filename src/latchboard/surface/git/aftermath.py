"""Aftermath: behind a commit, a checkout, a merge: what changed that somebody else holds?

Nothing here refuses: it has happened. It is written on the board, the holders are told by mail, and whoever runs git is
told how to undo it. Whatever goes wrong is a line on standard error, and the exit status is 0.

Protocol: protocol/git.md, "After".
"""

from __future__ import annotations

from latchboard.errors import CoordinationError
from latchboard.rules import git as rules
from latchboard.surface.git import repository
from latchboard.surface.git.held import projects
from latchboard.surface.git.scene import Made, Moved
from latchboard.surface.git.wording import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from latchboard.surface.git.held import Held, Project
    from latchboard.surface.git.scene import Scene
    from latchboard.surface.git.who import Who


def after_commit(who: Who, arguments: Sequence[str]) -> int:
    """post-commit, post-applypatch: a commit that no guard looked at, or that a person made."""

    def look() -> None:
        old, new = repository.last_move() or repository.parent_and_head()
        scene = Made(who, new, repository.between(old, new))
        _write_down(scene, kind="bypass", commit=new, undo=f"git reset --soft {old[:12]}" if old else "", as_one=True)

    return _quietly(look)


def after_checkout(who: Who, arguments: Sequence[str]) -> int:
    """post-checkout: what lies between the two branches. A new work tree, and single files, say nothing."""

    def look() -> None:
        old, new, flag = (*arguments, "", "", "")[:3]
        if flag == "1" and old != new and rules.is_commit(old) and rules.is_commit(new):
            scene = Moved(who, "checkout", old, repository.between(old, new))
            _write_down(scene, kind="overwritten", commit=new, undo="git switch -", as_one=False)

    return _quietly(look)


def after_merge(who: Who, arguments: Sequence[str]) -> int:
    """post-merge: what came with a fast-forward, or with a merge that no guard looked at."""

    def look() -> None:
        if arguments[:1] == ["1"]:  # squashed: HEAD is where it was
            scene = Moved(who, "merge", "", repository.staged())
            _write_down(scene, kind="overwritten", commit=repository.parent_and_head()[1], undo="", as_one=False)
        elif (move := repository.last_move() or repository.last_merge()) is not None:
            scene = Moved(who, "merge", move[0], repository.between(*move))
            undo = f"git reset --keep {move[0]}" if move[0] else ""
            _write_down(scene, kind="overwritten", commit=move[1], undo=undo, as_one=False)

    return _quietly(look)


def after_rewrite(who: Who, arguments: Sequence[str]) -> int:
    """post-rewrite: an amended or rebased bypass stays one."""

    def look() -> None:
        import sys

        boards = projects([b""])
        pairs = rules.rewritten(sys.stdin.buffer.read()) if boards else []
        for project in boards:
            from latchboard.surface.git.bypass import carry_over

            carry_over(project.board, who.agent, pairs)

    return _quietly(look)


def _write_down(scene: Scene, *, kind: str, commit: str, undo: str, as_one: bool) -> None:
    for project in projects(scene.changed, as_one=as_one):
        found = project.held(scene.changed, scene.who.agent)
        if kind == "overwritten":
            found = _untold(project, found, scene.who.agent)
        if found:
            from latchboard.surface.git import telling
            from latchboard.surface.git.bypass import write_down

            write_down(project.board, scene, found, kind=kind, commit=commit)
            say(telling.found_later(scene, found, undo=undo))


def _untold(project: Project, found: Sequence[Held], agent: str) -> list[Held]:
    """What nobody else tells: in a call of the agent's client, files with an image are found when the call is over."""
    from latchboard.editing import calls

    store = project.board.store
    if not found or not agent or not calls.is_any(store, agent):
        return list(found)
    keys = [f"images/{one.facts['name']}" for one in found]
    snapshot = store.read(*keys)
    return [one for one, key in zip(found, keys, strict=True) if snapshot.get(key) is None]


def _quietly(look: Callable[[], None]) -> int:
    try:
        look()
    except CoordinationError as exc:
        say([f"latchboard: it could not be looked whether this changed what others hold: {exc.message}"])
    except Exception as exc:  # noqa: BLE001 - it has happened; git must not fail for it
        say([f"latchboard: the guard failed afterwards: {type(exc).__name__}: {exc!s:.200}"])
    return 0
