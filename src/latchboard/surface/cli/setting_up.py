"""Setting up: what an installation did, or would do, as people and programs read it."""

from __future__ import annotations

import shlex

from latchboard.surface.cli.answer import printable, printable_block
from latchboard.surface.cli.wording import listing, plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from latchboard.host.compiled import Compiled
    from latchboard.installation import Change, Found
    from latchboard.installation.wish import Commands

IGNORED = "/data/.agent_locks/"
"""The line of .gitignore that is told by itself."""
_DID = {"create": "made", "change": "changed", "delete": "removed"}


def settled(changes: Iterable[Change], failed: list[Change]) -> list[Change]:
    """What became of each change: itself, or the refusal that it met."""
    met = {one.name: one for one in failed}
    return [met.get(one.name, one) for one in changes]


def added(change: Change) -> list[str]:
    """The lines that a change adds."""
    if change.kind == "refused":
        return []
    before, after = (_text(data).splitlines() for data in (change.before, change.after))
    return [line for line in after if line not in before]


def diff(change: Change) -> str:
    """A change as `diff -u` shows it; "" for a refusal."""
    import difflib

    if change.kind == "refused":
        return ""
    old = "/dev/null" if change.before is None else f"a/{change.name}"
    new = "/dev/null" if change.after is None else f"b/{change.name}"
    lines = difflib.unified_diff(_ended(change.before), _ended(change.after), old, new)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


class Report:
    """What was done, or would be.

    Attributes:
        changes: Of files, refusals included.
        git: Of git's hooks: kind, path, text.
        notes: What a person should know besides.
        chosen: The clients that are set up.
        dry_run: Nothing was done.
    """

    def __init__(
        self,
        changes: list[Change],
        git: list[dict[str, Any]],
        *,
        clients: list[Found],
        chosen: list[str],
        dry_run: bool,
    ) -> None:
        self.changes = changes
        self.git = git
        self.notes: list[str] = []
        self._clients = clients
        self.chosen = chosen
        self.dry_run = dry_run

    @property
    def is_short(self) -> bool:
        """Whether something was not done that should have been."""
        return any(one.kind == "refused" for one in self.changes) or any(one["kind"] == "refused" for one in self.git)

    def facts(self) -> dict[str, Any]:
        """For programs."""
        return {
            "clients": [
                {"client": one.client, "sign": one.sign or None, "is_set_up": one.client in self.chosen}
                for one in self._clients
            ],
            "files": [one.to_json(diff=diff(one)) for one in self.changes],
            "git": self.git,
            "notes": self.notes,
        }

    def lines(self) -> list[str]:
        """For people."""
        lines = self._found()
        for one in self.changes:
            if one.kind == "refused" or (not self.dry_run and added(one) == [IGNORED]):
                continue
            if self.dry_run:
                lines += printable_block(diff(one).rstrip("\n"))
            else:
                lines.append(f"{_DID[one.kind]} {printable(one.name)}: {one.what}")
        lines += self._git_lines()
        if self.chosen and not self.changes and not self.git and not self.dry_run:
            lines.append("nothing to do: every file says it already")
        for one in self.changes:
            if one.kind == "refused":
                lines += self._refusal(one)
        return lines + [line for note in self.notes for line in printable_block(note)]

    def _found(self) -> list[str]:
        from latchboard.rules.client import client

        return [
            f"{client(one.client).title}: found by {printable(one.sign)}"
            if one.sign
            else f"{client(one.client).title}: named, though nothing here shows it"
            for one in self._clients
            if one.client in self.chosen
        ]

    def _git_lines(self) -> list[str]:
        lines = []
        for one in self.git:
            if one["kind"] in ("told", "refused"):
                lines += [f"git: {line}" for line in printable_block(one["text"])]
        groups: dict[tuple[str, str], list[str]] = {}
        for one in self.git:
            if one["kind"] not in ("told", "refused"):
                folder, _, name = one["path"].rpartition("/")
                groups.setdefault((one["kind"], folder), []).append(name)
        would = "would be " if self.dry_run else ""
        for (kind, folder), names in groups.items():
            lines.append(f"git: {would}{kind} in {printable(folder)}: {listing(names)}")
        return lines

    def _refusal(self, one: Change) -> list[str]:
        lines = [f"not changed: {printable(one.name)}, for {printable(one.why)}"]
        if one.by_hand:
            lines.append(f"  write there by hand ({one.what}):")
            lines += [f"    {line}" for line in printable_block(one.by_hand.rstrip("\n"))]
        return lines


def notes(report: Report, commands: Commands, doubled: list[str], *, mcp: bool) -> list[str]:
    """What a person should know about how it was set up."""
    from latchboard.rules.client import client

    if not report.chosen:
        return []
    found = []
    if not commands.is_bare:
        line = commands.line("CLIENT")
        chosen = [client(name) for name in report.chosen]
        own = [one.local_file for one in chosen if one.local_file]
        others = [one.hooks_file for one in chosen if one.hooks_file and not one.local_file]
        if mcp and "/" in "".join(commands.server[:1]):
            others += [one.mcp_file for one in chosen if one.mcp_file and one.mcp_file not in others]
        text = f"latchboard-hook is not on PATH as this installation, so that hooks call it by its path: {line}"
        if own:
            text += f"\n  that stands in {', '.join(own)}, which is this machine's alone"
        if others:
            text += f"\n  it stands in {', '.join(others)}, too: do not commit that, or put it on PATH and init again"
        found.append(text)
    if doubled:
        found.append(f"{', '.join(doubled)} has hooks of ours, too: each event is told twice while both are there")
    if mcp and not commands.server:
        found.append("no MCP server was entered: it needs latchboard[mcp]; install that, and init again")
    if not report.dry_run and any(one.kind in ("create", "change") for one in report.changes):
        found += [f"{client(name).title}: {client(name).next_step}" for name in report.chosen]
        found.append("to see whether it holds: latchboard doctor --hooks")
    return found


def compiled(files: Compiled, *, dry_run: bool) -> list[str]:
    """Compile what every hook would compile anew, or would; what became of it, in words."""
    if not files.lacks_hooks():
        return []
    missing = files.missing()
    what = f"{plural(len(missing), 'module')} of latchboard in {files.folder}"
    if dry_run and files.can_be_kept(missing):
        return [f"would compile {what}: else each hook does that anew"]
    if not dry_run:
        failed = files.compile(missing)
        if not failed:
            return [f"compiled {what}: else each hook does that anew"]
        missing = missing[: len(failed)]
    by_hand = shlex.join(files.command())
    count = plural(len(missing), "module")
    return [
        f"{count} of latchboard in {files.folder} cannot be compiled by us, so that each hook does that anew"
        f"\n  once, as who may write there: {by_hand}"
    ]


def _text(data: bytes | None) -> str:
    return "" if data is None else data.decode("utf-8", "replace")


def _ended(data: bytes | None) -> list[str]:
    return _text(data).splitlines(keepends=True)
