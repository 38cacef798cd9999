"""Call: one run of a verb: in which project, as whom, with which paths.

Protocol: protocol/cli.md, "Common options".
"""

from __future__ import annotations

import os

from latchboard.errors import CoordinationError, UnsupportedVersion, UsageError
from latchboard.surface.cli import answer, wording
from latchboard.surface.cli.kind import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from latchboard.clock import Now
    from latchboard.compose import Latchboard
    from latchboard.surface.cli.grammar import Verb

    Compose = Callable[[str], Latchboard]

TOKEN_VARIABLE = "LATCHBOARD_TOKEN"
_SIGNS = ("data/.agent_locks", ".git")
"""One of them is in every project."""
NO_AGENT_HINT = "say who you are: export AGENT_ID=<id>, or add --agent <id>"


class Call:
    """What a verb's function works with.

    Attributes:
        verb: Which verb.
        words: What was typed after the verb, as the user typed it.
        as_json: Whether the answer is for a program.
        commits: Something may have been committed, so that the published board is to be brought up to date.
        compose: Makes the services for a root.
        check_signals: Raises when a signal came meanwhile.
        anywhere: Any folder will do, also one in which nobody ever made a project.
        follows: The file of the setting `queue_file` is to be brought up to date at the end.
    """

    __slots__ = (
        "_agent",
        "_board",
        "_root",
        "_said",
        "anywhere",
        "as_json",
        "check_signals",
        "commits",
        "compose",
        "follows",
        "verb",
        "words",
    )

    compose: Compose

    def __init__(self, verb: Verb, words: Sequence[str], values: dict[str, Any]) -> None:
        """Take the common options out of `values`."""
        self.verb = verb
        self.words = list(words)
        self.anywhere = False
        self.commits = verb.changes
        self.follows = verb.name.startswith("queue ")
        self._said = ""
        self.as_json: bool = values.pop("as_json")
        self._agent: str | None = values.pop("agent")
        self._root: str | None = values.pop("root")
        self.check_signals: Callable[[], None] = _nothing
        self._board: Latchboard | None = None

    # -- where --------------------------------------------------------------------------------------------------------

    @property
    def board(self) -> Latchboard:
        """The project's services.

        Raises:
            UsageError: There is no such folder, or no project here.
        """
        if self._board is None:
            self._board = self.compose(self._find_root())
        return self._board

    def do_without_settings(self) -> None:
        """Go by the default settings where those of the project cannot be read, and tell it: for who ends something.

        Raises:
            UsageError: There is no such folder, or no project here; or it is a linked work tree, whose settings would
                have said whether the project is this one.
        """
        try:
            self.board  # noqa: B018 - whether it can be made
        except CoordinationError as exc:
            root = self._root if self._root is not None else _project_around()
            if not root or not os.path.isdir(root):
                raise
            from latchboard.compose import doctoring

            board, is_without = doctoring.patient(root)
            if not is_without:
                raise
            self._board = board
            answer.warn(f"latchboard: {answer.printable(exc.message)}\n  the default settings count instead")

    def close(self) -> None:
        """Free descriptors; holds stay as they are."""
        if self._board is not None:
            self._board.close()

    def _find_root(self) -> str:
        """The project's folder.

        A place in which nobody ever made a project is refused: two agents in two such places would each be told that
        everything is free.
        """
        if self._root is not None:
            if not os.path.isdir(self._root):
                raise UsageError(f"--root {self._root!r} is no folder", hint="name an existing folder")
            return self._root
        from latchboard.compose.finding import find_root

        cwd = current_folder()
        root = find_root(cwd)
        if not self.anywhere and not any(os.path.exists(f"{root}/{sign}") for sign in _SIGNS):
            raise UsageError(
                f"no project here: neither data/.agent_locks nor .git in {cwd} or above it",
                hint="make one with `latchboard init`, or name one with --root",
            )
        return root

    @property
    def named_root(self) -> str | None:
        """What --root says."""
        return self._root

    def paths(self, given: Iterable[str], *, is_glob: bool = False) -> list[str]:
        """What the user typed, as the services want it: absolute, or relative to the project.

        A relative path is relative to the current folder where that is inside the project, else to the project. In a
        linked work tree that shares the project's board (setting `worktrees_shared`) a path stands for the same place
        in the project. A pattern is relative to the project.
        """
        root, cwd = self.board.root, current_folder()
        own = self._own_root(cwd)
        found = []
        for path in given:
            if path.startswith(("glob:", "hardlink:")) or not path:
                found.append(path)
            elif is_glob:
                found.append(f"glob:{path}")
            else:
                full = path if path.startswith("/") else f"{cwd if _is_inside(cwd, own) else own}/{path}"
                found.append(full if own == root else _moved(full, own, root))
        return found

    @staticmethod
    def again(given: Iterable[str], *, is_glob: bool) -> list[str]:
        """What the user typed, for a command that is to be pasted: it stands for the same without --glob."""
        return [path if path.startswith("glob:") or not is_glob else f"glob:{path}" for path in given]

    def typed(self, name: str) -> str:
        """A canonical name as it must be typed in the current folder."""
        cwd = current_folder()
        own = self._own_root(cwd)
        if name.startswith(("glob:", "hardlink:", "/")) or not _is_inside(cwd, own):
            return name
        below = cwd[len(own) :].strip("/")
        if not below:
            return wording.no_option(name)
        if name.startswith(f"{below}/"):
            return wording.no_option(name[len(below) + 1 :] or "./")
        return "../" * (below.count("/") + 1) + name.removeprefix("./")

    @property
    def own_root(self) -> str:
        """The folder of the project that the current folder is in, which may be a work tree that shares the board."""
        return self._own_root(current_folder())

    def _own_root(self, cwd: str) -> str:
        """The folder that stands for the project here: its own, or a linked work tree that shares its board."""
        root = self.board.root
        if self._root is not None or _is_inside(cwd, root):
            return root
        from latchboard.host.root import root_of

        return root_of(cwd)

    # -- who ----------------------------------------------------------------------------------------------------------

    @property
    def agent(self) -> str:
        """Who asks.

        Raises:
            UsageError: Neither --agent nor AGENT_ID says so.
        """
        agent = self.agent_if_any
        if agent is None:
            raise UsageError(f"`latchboard {self.verb.name}` must know who asks", hint=NO_AGENT_HINT)
        return agent

    @property
    def named_agent(self) -> str | None:
        """What --agent says: for verbs that show one agent alone.

        Raises:
            UsageError: It can be nobody's id.
        """
        return None if self._agent is None else self.agent_if_any

    @property
    def agent_if_any(self) -> str | None:
        """Who asks; None when nobody says so.

        Raises:
            UsageError: What they say can be nobody's id.
        """
        from latchboard.rules.agent import check_agent

        if self._agent is not None:
            return check_agent(self._agent)
        agent = os.environ.get("AGENT_ID")
        return check_agent(agent) if agent else None

    @staticmethod
    def token_if_any(given: int | None) -> int | None:
        """The token that is shown: the one given, else that of the environment.

        Raises:
            UsageError: What the environment says is no token.
        """
        text = os.environ.get(TOKEN_VARIABLE)
        if given is not None or not text:
            return given
        try:
            return number(text)
        except ValueError as exc:
            raise UsageError(f"{TOKEN_VARIABLE}: {exc}", hint=f"unset {TOKEN_VARIABLE}") from exc

    def publish(self, *, now: bool = False) -> None:
        """Bring status_board.json up to date: a large one now and then, or `now`.

        Where that fails, what was asked for is done all the same.
        """
        if self._board is None:
            return
        try:
            board = self._board.board
            board.publish() if now else board.publish_if_due()
        except UnsupportedVersion:
            return  # no store of ours, or none: nothing was done in it either, and whoever asked was told why
        except CoordinationError as exc:
            answer.warn(f"latchboard: status_board.json could not be written: {answer.printable(exc.message)}")
        if self.follows:
            self._follow(lambda found: found.live_file().publish_if_due(found.settings.board_age_s_max))

    def pick_up_edits(self) -> None:
        """Bring into the queue what a person has edited in the file that the setting `queue_file` names, if any."""
        self._follow(lambda found: found.pick_up_edits())

    def _follow(self, do: Callable[[Latchboard], dict[str, Any] | None]) -> None:
        """Do it with the queue file, if there is one; trouble with it is told, and keeps nobody from the queue."""
        if not self.board.settings.queue_file:
            return
        name = answer.printable(self.board.settings.queue_file)
        try:
            report = do(self.board)
        except CoordinationError as exc:
            self._say_once(f"latchboard: {name} was left alone: {answer.printable(exc.message)}")
            return
        if report is not None and report["conflicts"]:
            told = "`latchboard queue sync` tells which"
            self._say_once(f"latchboard: {name} and the queue say different things; {told}")

    def _say_once(self, text: str) -> None:
        """What is so before a claim is so behind it."""
        if text != self._said:
            self._said = text
            answer.warn(text)

    # -- when, and what to do next ------------------------------------------------------------------------------------

    @property
    def now(self) -> Now:
        """The clock's time."""
        return self.board.clock.now()

    def command(self, verb: str, *words: str, as_agent: bool = True) -> str:
        """A command line for the same project and (unless told otherwise) agent, ready to be pasted."""
        common: list[str] = []
        if self._root is not None:
            common += ["--root", self._root]
        if as_agent and self._agent is not None:
            common += ["--agent", self._agent]
        return f"latchboard {verb} {wording.command(*words, *common)}".rstrip()


def _nothing() -> None:
    """No signal is waited for."""


def _is_inside(folder: str, root: str) -> bool:
    return folder == root or folder.startswith(root.rstrip("/") + "/")


def _moved(path: str, own: str, root: str) -> str:
    """The place in the project that stands for one in another work tree."""
    return f"{root}{path[len(own) :]}" if _is_inside(path, own) else path


def _project_around() -> str:
    """The project that the current folder is in, whatever its settings say; "" where that hangs on them."""
    from latchboard.host.root import root_of, shared_root

    root = root_of(current_folder())
    is_one = any(os.path.exists(f"{root}/{sign}") for sign in _SIGNS)
    return root if is_one and shared_root(root) == root else ""


def current_folder() -> str:
    """The current folder, absolute.

    Raises:
        UsageError: It was removed.
    """
    try:
        return os.getcwd()
    except OSError as exc:
        raise UsageError(f"the current folder is gone: {exc.strerror}", hint="go to a folder that exists") from exc
