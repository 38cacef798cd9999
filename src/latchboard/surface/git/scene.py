"""Scene: what git is about to do or has done, in the words that the hooks use for it."""

from __future__ import annotations

import os

from latchboard.surface.git.wording import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from latchboard.surface.git.held import Held
    from latchboard.surface.git.who import Who

_NAMED_COUNT_MAX = 20


class Scene:
    """One hook's work.

    Attributes:
        who: Who runs git.
        what: The thing that git makes: `this commit`.
        changes: What it does to files.
        changed: The paths from the top of the work tree.
        nothing_done: What is as it was, when it is refused.
        advice: What a holder should do about it, when it has happened.
    """

    __slots__ = ("advice", "changed", "changes", "nothing_done", "what", "who")

    def __init__(self, who: Who, what: str, changes: str, changed: Sequence[bytes]) -> None:
        self.who = who
        self.what = what
        self.changes = changes
        self.changed = changed
        self.nothing_done: list[str] = []
        self.advice = ""

    def ways_out(self, found: Sequence[Held]) -> list[str]:
        """What can be done without what is held: lines with commands."""
        return []

    @staticmethod
    def here(path: bytes, *, is_full: bool = False) -> str:
        """A path of the repository as it must be typed where git was called: git tells that in GIT_PREFIX."""
        text = path.decode("utf-8", "surrogateescape")
        if is_full or os.environ.get("GIT_PREFIX"):
            return os.path.join(os.getcwd(), text)
        return f"./{text}" if text.startswith(("-", "glob:", "hardlink:")) else text


class Commit(Scene):
    """A commit in the making."""

    __slots__ = ()

    def __init__(self, who: Who, changed: Sequence[bytes]) -> None:
        super().__init__(who, "this commit", "has", changed)
        self.nothing_done = ["Nothing was committed; files and index are as they were."]

    def ways_out(self, found: Sequence[Held]) -> list[str]:
        """How to commit the rest."""
        from latchboard.surface.git import telling

        blocked = telling.paths(found)
        rest = [path for path in self.changed if path not in set(blocked)]
        if not rest:
            return []
        named_files = os.environ.get("GIT_INDEX_FILE", "").endswith(".lock")  # git commit -a, -i, or with files
        if named_files and len(rest) <= _NAMED_COUNT_MAX:
            return [f"commit the rest:  git commit -- {_specs(rest)}"]
        if named_files:
            return ["commit the rest:  git commit without -a, naming your own files"]
        if len(blocked) > _NAMED_COUNT_MAX:
            return ["commit the rest:  git restore --staged -- <each of these files>, and then git commit"]
        if _is_unborn():
            return [f"commit the rest:  git rm --cached -- {_specs(blocked)}   and then git commit"]
        return [f"commit the rest:  git restore --staged -- {_specs(blocked)}   and then git commit"]


class Merge(Scene):
    """A merge that is not committed yet; the work tree has it already."""

    __slots__ = ()

    def __init__(self, who: Who, changed: Sequence[bytes]) -> None:
        super().__init__(who, "this merge", "changes", changed)
        self.nothing_done = ["The merge is not committed, but it is in the work tree: take it back first."]

    def ways_out(self, found: Sequence[Held]) -> list[str]:
        """How to take it back."""
        return ["take it back:     git merge --abort"]


class Patch(Scene):
    """A patch of a mailbox that is applied and not committed yet."""

    __slots__ = ()

    def __init__(self, who: Who, changed: Sequence[bytes]) -> None:
        super().__init__(who, "this patch", "changes", changed)
        self.nothing_done = ["The patch is not committed, but it is in the work tree: take it back first."]

    def ways_out(self, found: Sequence[Held]) -> list[str]:
        """How to take it back."""
        return ["take it back:     git am --abort"]


class Rebase(Scene):
    """A rebase that has not begun."""

    __slots__ = ()

    def __init__(self, who: Who, changed: Sequence[bytes]) -> None:
        super().__init__(who, "this rebase", "rewrites", changed)
        self.nothing_done = ["Nothing was rebased."]


class Made(Scene):
    """A commit that is there already."""

    __slots__ = ()

    def __init__(self, who: Who, commit: str, changed: Sequence[bytes]) -> None:
        super().__init__(who, f"commit {commit[:12]}", "has", changed)
        self.advice = (
            f"Look at it before you go on: git show {commit[:12]}. It is not pushed by others while your lock lasts."
        )


class Moved(Scene):
    """A checkout, merge or pull that is done."""

    __slots__ = ()

    def __init__(self, who: Who, what: str, old: str, changed: Sequence[bytes]) -> None:
        super().__init__(who, f"a {what}", "changed", changed)
        before = f" What git had before is in commit {old[:12]}." if old else ""
        self.advice = f"Read them again before you go on.{before}"


def _specs(paths: Sequence[bytes]) -> str:
    """Paths as git takes them wherever one is, each for itself alone."""
    is_below = bool(os.environ.get("GIT_PREFIX"))
    return " ".join(quoted(_spec(path.decode("utf-8", "surrogateescape"), is_below=is_below)) for path in paths)


def _spec(text: str, *, is_below: bool) -> str:
    if set(text) & set("*?[\\") or text[0] == ":":
        return f":(top,literal){text}"
    return f":/{text}" if is_below else text


def _is_unborn() -> bool:
    """Whether there is no commit yet: nothing to restore the index from."""
    from latchboard.host.git import GitFailed, ask

    try:
        ask("rev-parse", "--quiet", "--verify", "HEAD")
    except GitFailed:
        return True
    return False
