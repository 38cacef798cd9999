"""Setting up: what puts a project's hooks in, takes them out, and looks whether they hold."""

from __future__ import annotations

import os

from latchboard.compose import Latchboard
from latchboard.host.compiled import Compiled
from latchboard.host.hook_folder import HookFolder
from latchboard.host.installed import Installed
from latchboard.host.project_file import KeptFiles, ProjectFiles
from latchboard.installation import GitHooks, Installation
from latchboard.rules import git_hook, probe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from latchboard.doctor import HookDoctor, Probed


def installation(board: Latchboard, folder: str) -> Installation:
    """What sets up the clients of the project in `folder`, an absolute path: the board's, or a work tree of it."""
    shelf = KeptFiles(
        f"{board.root}/data/.agent_locks", os.path.relpath(folder, board.root), is_shared=board.settings.shared
    )
    return Installation(ProjectFiles(os.path.realpath(folder)), shelf, Installed(), board.settings)


def git_hooks(folder: str) -> GitHooks:
    """The git hooks of the repository that `folder` is in; needs no board.

    Raises:
        GitFailed: It is in none.
        UsageError: The repository has no work tree.
    """
    return GitHooks(HookFolder(folder), Installed().script(git_hook.COMMAND))


def compiled() -> Compiled:
    """The compiled files of this installation."""
    return Compiled()


def hook_doctor(board: Latchboard, folder: str) -> HookDoctor:
    """Who looks whether the hooks of the project in `folder` hold; the board is not touched."""
    from latchboard.doctor import HookDoctor
    from latchboard.host.bench import ScratchBench

    codex = os.environ.get("CODEX_HOME") or "~/.codex"
    return HookDoctor(installation(board, folder), folder, ScratchBench(), _hold_for_a_probe, Compiled(), codex=codex)


def _hold_for_a_probe(folder: str) -> None:
    """A board in a scratch folder, in which the agent `doctor` holds what is probed."""
    from latchboard.settings import Settings

    board = Latchboard(folder, settings=Settings(), publishes=False)
    try:
        board.agent(probe.HOLDER).lock(probe.HELD, bound="agent", reason="a probe")
    finally:
        board.close()


def hooks_in_place(board: Latchboard, folder: str) -> Iterator[Probed]:
    """What is wrong with the hooks of the project in `folder`, as far as that is seen without running anything."""
    from latchboard.host.root import git_hooks_folder

    installed = Installed()

    def can_run(word: str) -> bool:
        return os.access(word, os.X_OK) if "/" in word else bool(installed.program(word))

    yield from hook_doctor(board, folder).look_only(can_run, git_hooks_folder(folder))
