"""Git hooks: write the hooks of a repository, and take out exactly what was written.

Law 1. A hook that was there before is kept beside ours and run by it; to remove ours puts it back, byte for byte, with
its mode.
Law 2. Killed at any moment, the repository has the old hook or the new one, and doing it again completes it.
Law 3. What is somebody else's to write is not touched: a hook manager's, a folder that several repositories share.

Protocol: protocol/git.md, "Scripts".
"""

from __future__ import annotations

from itertools import count

from latchboard.rules import git_hook as rules
from latchboard.rules import hook_manager
from latchboard.rules.git_hook import KEPT, NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from latchboard.installation.port import Hooks

    Kind = Literal["made", "updated", "kept", "removed", "restored", "told"]


class HookChange:
    """One thing that was done, would be done, or is left to the reader.

    Attributes:
        kind: `made`, `updated`, `kept` (a hook that was there runs before ours), `removed`, `restored`; `told`: nothing
            was done, and `text` says what to do.
        path: The file.
        text: For people.
    """

    __slots__ = ("kind", "path", "text")

    def __init__(self, kind: Kind, path: str, text: str) -> None:
        self.kind = kind
        self.path = path
        self.text = text

    def __repr__(self) -> str:
        return f"HookChange({self.kind!r}, {self.path!r})"


class GitHooks:
    """The hooks of one repository.

    Args:
        hooks: The folder that git runs them from.
        program: The guard's own file, for a git that does not have it on its PATH; "" for none.
    """

    def __init__(self, hooks: Hooks, program: str = "") -> None:
        self._hooks = hooks
        self._program = program if hooks.is_private else ""

    def install(self, *, dry_run: bool = False) -> list[HookChange]:
        """Write our hooks. Doing it twice does it once.

        Args:
            dry_run: Say what would be done.

        Returns:
            What changed, empty when all of it was there; and what is left to do by hand.

        Raises:
            StoreError: A file cannot be written.
        """
        hooks = self._hooks
        if told := self._not_ours():
            return [told]
        changes: list[HookChange] = []
        made_folder = not hooks.exists()
        if made_folder:
            changes.append(HookChange("made", hooks.path, "the folder of the hooks"))
            if not dry_run:
                hooks.make()
        else:
            made_folder = any(rules.has_made_folder(hooks.read(name)) for name in NAMES)
        managed: dict[str, list[str]] = {}
        for name in NAMES:
            wanted = rules.text(name, fallback=self._program, made_folder=made_folder).encode()
            now = hooks.read(name)
            manager = hook_manager.of_hook(now) if not rules.is_ours(now) and hooks.has(name) else ""
            if manager:
                managed.setdefault(manager, []).append(name)
            elif rules.is_half(now):
                changes.append(self._half(name))
            else:
                changes += self._install(name, now, wanted, dry_run=dry_run)
        advice = [hook_manager.advice(manager, names) for manager, names in managed.items()]
        return changes + [HookChange("told", hooks.path, text) for text in advice]

    def remove(self, *, dry_run: bool = False) -> list[HookChange]:
        """Take out what `install` wrote, and put back what was there before; what others wrote into our files stays.

        Raises:
            StoreError: A file cannot be written.
        """
        hooks = self._hooks
        own = hooks.own()
        changes = GitHooks(own).remove(dry_run=dry_run) if own is not None else []
        if self._not_ours():
            return changes
        made_folder = False
        for name in NAMES:
            made_folder = made_folder or rules.has_made_folder(hooks.read(name))
            if not dry_run:
                hooks.sweep(name)
            changes += self._remove(name, hooks.read(name), dry_run=dry_run)
        if made_folder and (dry_run or hooks.is_empty()):
            changes.append(HookChange("removed", hooks.path, "the folder of the hooks"))
            if not dry_run:
                hooks.remove()
        return changes

    def _not_ours(self) -> HookChange | None:
        """What is told instead of writing in a folder that is somebody else's to write."""
        path = self._hooks.path
        if manager := hook_manager.of_folder(path):
            return HookChange("told", path, hook_manager.advice(manager, list(NAMES)))
        if self._hooks.is_shared:
            text = f"{path} is shared with other repositories (core.hooksPath). Add to its hooks:"
            lines = [f'  {name}:  {rules.COMMAND} {name} "$@"' for name in NAMES]
            return HookChange("told", path, "\n".join([text, *lines]))
        return None

    def _install(self, name: str, now: bytes, wanted: bytes, *, dry_run: bool) -> list[HookChange]:
        hooks, path, kept = self._hooks, f"{self._hooks.path}/{name}", name + KEPT
        if rules.is_ours(now):
            new = rules.renewed(now, wanted)
            if now == new and hooks.can_be_run(name):
                return []
            change = HookChange("updated", path, "our part is of this version now")
        elif not hooks.has(name):
            new = wanted
            change = HookChange("made", path, f"git {name}")
        elif hooks.has(kept) and not hooks.is_same(kept, name):
            text = f"{path}{KEPT} is there already, of an earlier time: move it away, and do this again"
            return [HookChange("told", path, text)]
        else:
            new = wanted
            change = HookChange("kept", path + KEPT, f"the {name} that was here; ours runs it first")
            if not dry_run:
                hooks.keep(name, kept)
        if not dry_run:
            hooks.write(name, new)
        return [change]

    def _remove(self, name: str, now: bytes, *, dry_run: bool) -> list[HookChange]:
        hooks, path, kept = self._hooks, f"{self._hooks.path}/{name}", name + KEPT
        if not rules.is_ours(now):
            return self._settle(name, dry_run=dry_run) if hooks.has(kept) else []
        if rules.is_half(now):
            return [self._half(name)]
        rest = rules.rest_of(now)
        changes = []
        if rest and not hooks.has(kept):
            if not dry_run:
                hooks.write(name, rest)
            return [HookChange("removed", path, "our part of it; what others wrote there stays")]
        if rest:
            names = (f"{name}.added-to-latchboard{f'-{number}' if number else ''}" for number in count())
            added = next(one for one in names if not hooks.has(one) or hooks.read(one) == rest)  # a removal was killed
            if not dry_run:
                hooks.write(added, rest)
            changes.append(HookChange("made", f"{hooks.path}/{added}", "what others wrote into our hook"))
        if hooks.has(kept):
            if not dry_run:
                hooks.rename(kept, name)
            return [*changes, HookChange("restored", path, "as it was before")]
        if not dry_run:
            hooks.delete(name)
        return [HookChange("removed", path, f"git {name}")]

    def _half(self, name: str) -> HookChange:
        text = (
            f"{self._hooks.path}/{name} has half of our part: take its rest out by hand, and do this again. It begins"
        )
        return HookChange(
            "told", f"{self._hooks.path}/{name}", f"{text} with\n  {rules.BEGIN}\nand ends with\n  {rules.END}"
        )

    def _settle(self, name: str, *, dry_run: bool) -> list[HookChange]:
        """Where a kept hook is and none of ours: a removal, or an installation, was killed halfway."""
        hooks, path, kept = self._hooks, f"{self._hooks.path}/{name}", name + KEPT
        if not hooks.has(name):
            if not dry_run:
                hooks.rename(kept, name)
        elif not hooks.is_same(kept, name):
            return [
                HookChange("told", path + KEPT, f"{path} was written anew meanwhile: see which of the two is wanted")
            ]
        elif not dry_run:
            hooks.delete(kept)
        return [HookChange("restored", path, "as it was before")]
