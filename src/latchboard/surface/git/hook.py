"""Hook: from what git tells a hook to what is done about it.

Before something happens, a hook looks and may refuse (guard.py, pushing.py); after it has happened, it writes down what
should not have (aftermath.py), and is never a reason to fail.

Protocol: protocol/git.md, "Hooks".
"""

from __future__ import annotations

import os

from latchboard.rules.git_hook import NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from latchboard.surface.git.who import Who

    Hook = Callable[[Who, Sequence[str]], int]

USAGE = 2
_HELP = (
    f"usage: latchboard-git-hook {'|'.join(NAMES)} [what git tells that hook]",
    "       latchboard-git-hook --install|--remove [--dry-run]",
)


def run(words: Sequence[str]) -> int:
    """One call; the exit status, see the package."""
    from latchboard.surface.git.wording import say

    name, arguments = (words[0], words[1:]) if words else ("", ())
    if name in ("--install", "--remove") and set(arguments) <= {"--dry-run"}:
        from latchboard.surface.git.setup import run as set_up

        return set_up(name[2:], is_dry=bool(arguments))
    if name in ("--help", "-h"):
        os.write(1, "".join(f"{line}\n" for line in _HELP).encode())
        return 0
    if name not in NAMES:
        say([f"latchboard-git-hook: {name!r:.80} is no hook of ours", *_HELP])
        return USAGE
    try:
        return _hook(name)(_who(), _told(name, arguments))
    except KeyboardInterrupt:
        return 130


def _hook(name: str) -> Hook:
    from latchboard.surface.git import aftermath, guard, pushing

    found: dict[str, Hook] = {
        "pre-commit": guard.before_commit,
        "pre-merge-commit": guard.before_merge_commit,
        "pre-applypatch": guard.before_patch,
        "pre-rebase": guard.before_rebase,
        "pre-push": pushing.before_push,
        "post-commit": aftermath.after_commit,
        "post-applypatch": aftermath.after_commit,
        "post-checkout": aftermath.after_checkout,
        "post-merge": aftermath.after_merge,
        "post-rewrite": aftermath.after_rewrite,
    }
    return found[name]


def _who() -> Who:
    from latchboard.surface.git.who import Who

    return Who(os.environ)


def _told(name: str, arguments: Sequence[str]) -> Sequence[str]:
    """The arguments as git gives them; the pre-commit framework keeps them to itself and sets variables instead."""
    if os.environ.get("PRE_COMMIT") != "1" or arguments:
        return arguments
    get = os.environ.get
    told = {
        "pre-push": (get("PRE_COMMIT_REMOTE_NAME"), get("PRE_COMMIT_REMOTE_URL")),
        "pre-rebase": (get("PRE_COMMIT_PRE_REBASE_UPSTREAM"), get("PRE_COMMIT_PRE_REBASE_BRANCH")),
        "post-checkout": (get("PRE_COMMIT_FROM_REF"), get("PRE_COMMIT_TO_REF"), get("PRE_COMMIT_CHECKOUT_TYPE")),
        "post-merge": (get("PRE_COMMIT_IS_SQUASH_MERGE"),),
    }
    return [value for value in told.get(name, ()) if value is not None]
