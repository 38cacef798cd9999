"""Setup: `latchboard-git-hook --install` and `--remove`, for a repository without `latchboard init`.

Protocol: protocol/git.md, "Scripts".
"""

from __future__ import annotations

from latchboard.errors import CoordinationError
from latchboard.surface.git.wording import say, shown


def run(what: str, *, is_dry: bool) -> int:
    """`install` or `remove` the hooks of the current folder's repository; returns the exit status."""
    from latchboard.compose.setting_up import git_hooks

    try:
        hooks = git_hooks(".")
        changes = hooks.install(dry_run=is_dry) if what == "install" else hooks.remove(dry_run=is_dry)
    except CoordinationError as exc:
        say([f"latchboard-git-hook: {exc}"])
        return exc.exit_status
    for one in changes:
        done = f"would be {one.kind}" if is_dry and one.kind != "told" else one.kind
        print(f"{done}: {shown(one.path)}: {one.text}" if one.kind != "told" else one.text)
    if not changes:
        print("nothing to do")
    return 0
