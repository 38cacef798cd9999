"""Doctor of hooks: fires a made-up event through every hook that is installed, and looks whether it held.

The real board is not touched: each command runs in a scratch project, where the agent `doctor` holds `probe.txt`.

Protocol: protocol/installation.md, "Probing".
"""

from __future__ import annotations

import json
import shlex

from latchboard.doctor.probed import Probed
from latchboard.rules import git_hook, json_text, marked, probe
from latchboard.rules import installation as rules
from latchboard.rules.client import CLIENTS, Hook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from latchboard.doctor.probed import Bench, Compiled, Ran, State
    from latchboard.installation import Installation
    from latchboard.rules.client import Client

    Hold = Callable[[str], None]
    Entry = tuple[str, str, str, dict[str, Any], tuple[int, int]]

_LATE_S = 30.0
_GIT = "git"
_GUARD = git_hook.COMMAND.encode()


class HookDoctor:
    """Looks at the hooks of one project.

    Args:
        installation: What is set up there.
        folder: The project's folder.
        bench: Where commands are tried.
        hold: Makes a board in a folder, in which the agent `doctor` holds `probe.txt`.
        compiled: The compiled files of this installation.
        codex: Codex's own folder of whoever asks.
    """

    def __init__(
        self, installation: Installation, folder: str, bench: Bench, hold: Hold, compiled: Compiled, *, codex: str
    ) -> None:
        self._installation = installation
        self._codex = codex
        self._folder = folder
        self._bench = bench
        self._hold = hold
        self._compiled = compiled

    def look(self) -> Iterator[Probed]:
        """Every finding, as soon as it is known."""
        is_run = False
        for one in self._every():
            is_run = is_run or one.took_ms is not None
            yield one
        if is_run and self._compiled.lacks_hooks():  # after they ran: the first run compiles, where it may
            yield self._uncompiled()

    def _every(self) -> Iterator[Probed]:
        found = {one.client for one in self._installation.find() if one.sign}
        with self._bench.scratch() as folder:
            self._hold(folder)
            for name in (probe.HELD, probe.FREE):
                self._bench.write(f"{folder}/{name}", b"a\n")
            for one in CLIENTS:
                if one.hooks:
                    yield from self._client(one, folder, is_used=one.name in found)
                elif one.name in found:
                    yield self._aider()
        if self._installation.files.has_repository():
            yield from self._git("latchboard init")
        elif self._installation.files.is_in_git():
            yield from self._git("latchboard-git-hook --install")

    def _uncompiled(self) -> Probed:
        missing = self._compiled.missing()
        mend = "latchboard init"
        if not self._compiled.can_be_kept(missing):
            mend = f"{shlex.join(self._compiled.command())}, as who may write there"
        what = f"{len(missing)} modules are not compiled: each hook compiles what it loads, 4 times its own work"
        return Probed("latchboard", "slow", what, file=self._compiled.folder, mend=mend)

    def look_only(self, can_run: Callable[[str], bool], git_hooks: str) -> Iterator[Probed]:
        """What can be seen without running anything: what is wrong, and `ok` for each client that has hooks of ours.

        Nothing for what nobody wished for.

        Args:
            can_run: Whether a word is a program here.
            git_hooks: The folder of git's hooks; "": none, or not to be told without git.
        """
        files = self._installation.files
        for one in CLIENTS:
            is_used = any(files.has(sign) for sign in one.signs)
            if not one.hooks:
                continue
            entries: list[Entry] = []
            yield from self._read(one, entries)
            if entries:
                yield Probed(one.name, "ok", "it is there", file=entries[0][0])
            for file, event, matcher, entry, _ in entries:
                program = _program(str(entry["command"]))
                if not can_run(program):
                    what, mend = f"{one.title} calls a program that is not here", f"latchboard init --client {one.name}"
                    yield Probed(one.name, "broken", what, file=file, event=event, matcher=matcher, mend=mend)
            if entries or is_used:
                yield from self._missing(one, entries)
        hooks = {name: self._bench.read(f"{git_hooks}/{name}") or b"" for name in git_hook.NAMES if git_hooks}
        there = [name for name, data in hooks.items() if _GUARD in data]
        if there:
            yield Probed(_GIT, "ok", "it is there", file=git_hooks)
        for name in hooks if there else ():
            if name not in there:
                what = f"git's {name} does not run our guard"
                yield Probed(_GIT, "missing", what, file=f"{git_hooks}/{name}", event=name, mend="latchboard init")

    def _missing(self, one: Client, entries: list[Entry]) -> Iterator[Probed]:
        mend = f"latchboard init --client {one.name}"
        if not entries:
            yield Probed(one.name, "missing", f"{one.title} is used here and has no hook of ours", mend=mend)
            return
        there = {(event, matcher) for _, event, matcher, _, _ in entries}
        for hook in one.hooks:
            if (hook.event, hook.matcher) not in there:
                what = f"{one.title} does not tell us of {hook.event}{f' ({hook.matcher})' if hook.matcher else ''}"
                file = entries[0][0]
                yield Probed(one.name, "missing", what, file=file, event=hook.event, matcher=hook.matcher, mend=mend)

    # -- a client -----------------------------------------------------------------------------------------------------

    def _client(self, one: Client, folder: str, *, is_used: bool) -> Iterator[Probed]:
        entries: list[Entry] = []
        yield from self._read(one, entries)
        mend = f"latchboard init --client {one.name}"
        if not entries:
            if is_used:
                yield Probed(one.name, "missing", f"{one.title} is used here and has no hook of ours", mend=mend)
            return
        wanted = {(hook.event, hook.matcher): hook for hook in one.hooks}
        for file, event, matcher, entry, place in entries:
            hook = wanted.pop((event, matcher), None) or _like(one, event, matcher)
            yield self._probed(one, hook, file, entry, place, folder)
        for hook in wanted.values():
            what = f"{one.title} does not tell us of {hook.event}{f' ({hook.matcher})' if hook.matcher else ''}"
            file = entries[0][0]
            yield Probed(one.name, "missing", what, file=file, event=hook.event, matcher=hook.matcher, mend=mend)

    def _read(self, one: Client, entries: list[Entry]) -> Iterator[Probed]:
        """Collect our entries of every file of a client; findings are files that cannot be read."""
        names = [name for name in (one.hooks_file, one.local_file, f"~/{one.hooks_file}") if name]
        for shown in {self._bench.resolved(self._path(name)): name for name in reversed(names)}.values():
            try:
                entries += [(shown, *found) for found in rules.placed_hooks_of(self._text(shown), one)]
                off = probe.switched_off(one.name, self._settings(one, shown))
            except ValueError as exc:
                what = f"it cannot be read by us, nor perhaps by {one.title}: {exc}"
                yield Probed(one.name, "broken", what, file=shown, mend=f"look at {shown}")
                continue
            if off:
                what = f"no hook of ours runs: {off}"
                yield Probed(one.name, "broken", what, file=shown, mend="take that setting out")

    def _settings(self, one: Client, file: str) -> dict[str, Any]:
        """What switches hooks on and off: the same file, but in Codex, which has it beside it."""
        if one.name != "codex":
            return json_text.parsed(self._text(file))
        beside = f"{self._codex}/config.toml" if file.startswith("~") else one.mcp_file
        return marked.toml(self._text(beside))

    def _path(self, file: str) -> str:
        return self._bench.resolved(file) if file[:1] in ("~", "/") else f"{self._folder}/{file}"

    def _text(self, file: str) -> str:
        """A file's text; "" for none. ValueError where it is no UTF-8."""
        return (self._bench.read(self._path(file)) or b"").decode()

    def _probed(
        self, one: Client, hook: Hook, file: str, entry: dict[str, Any], place: tuple[int, int], folder: str
    ) -> Probed:
        """One hook, tried."""
        command = str(entry["command"])
        timeout = entry.get("timeout")
        limit = timeout / one.timeout_unit if isinstance(timeout, int | float) and timeout > 0 else _LATE_S
        slowest = 0.0

        def finding(state: State, what: str, mend: str = "") -> Probed:
            about = {"file": file, "event": hook.event, "matcher": hook.matcher}
            return Probed(one.name, state, what, **about, mend=mend, took_s=slowest)

        for name in (probe.HELD, probe.FREE) if hook.says else (probe.FREE,):
            event = json.dumps(probe.event(one.name, hook, folder, name))
            ran = self._bench.run(command, folder, event, timeout_s=min(limit, _LATE_S))
            slowest = max(slowest, ran.took_s)
            why = _wrong(one, hook, ran, name)
            if why:
                mend = f"latchboard init --client {one.name}"
                return finding("broken", f"`{command}`: {why}", mend)
        if one.name == "codex" and not self._is_trusted(file, hook.event, place):
            return finding("untrusted", "it works, but Codex runs no hook before you trust it", "codex, then /hooks")
        return finding("ok", "what is held is denied, what is free is not" if hook.says else "it answers")

    def _is_trusted(self, file: str, event: str, place: tuple[int, int]) -> bool:
        try:
            config = marked.toml(self._text(f"{self._codex}/config.toml"))
        except ValueError:
            return False
        paths = {self._path(file), self._bench.resolved(self._path(file))}
        return probe.is_trusted(config, [probe.trust_key(one, event, *place) for one in paths])

    def _aider(self) -> Probed:
        file = ".aider.conf.yml"
        try:
            text = self._text(file)
            own = marked.merged_yaml(text, "git-commit-verify", "true")
            holds = own == text or marked.BEGIN not in own  # in our block, or said by itself
        except ValueError:
            holds = False
        if holds:
            return Probed("aider", "ok", "its commits run git's hooks", file=file)
        what = "its commits pass by git's hooks: git-commit-verify is not true"
        return Probed("aider", "missing", what, file=file, mend="latchboard init --client aider")

    # -- git ----------------------------------------------------------------------------------------------------------

    def _git(self, mend: str) -> Iterator[Probed]:
        folder = self._bench.hooks_folder(self._folder)
        if not folder:  # git knows no repository here
            return
        hooks = {name: self._bench.read(f"{folder}/{name}") or b"" for name in git_hook.NAMES}
        ours = {name: data for name, data in hooks.items() if _GUARD in data}
        for name in hooks:
            if name not in ours:
                what = f"git's {name} does not run our guard"
                yield Probed(_GIT, "missing", what, file=f"{folder}/{name}", event=name, mend=mend)
        for name in [name for name in ours if not self._bench.can_be_run(f"{folder}/{name}")]:
            what = f"git does not run {name}, for it is not executable"
            yield Probed(_GIT, "broken", what, file=f"{folder}/{name}", event=name, mend=mend)
            del ours[name]
        if "pre-commit" in ours:
            yield self._committed(folder, ours, mend)
        for name in ours:
            if name != "pre-commit":
                yield Probed(_GIT, "ok", "it is there", file=f"{folder}/{name}", event=name)

    def _committed(self, hooks_folder: str, ours: dict[str, bytes], mend: str) -> Probed:
        """The guard, tried by two commits in a scratch repository."""
        file = f"{hooks_folder}/pre-commit"
        with self._bench.scratch() as folder:
            bench = self._bench
            bench.git(folder, "init", "-q")
            self._hold(folder)
            for name, data in ours.items():
                bench.write(f"{folder}/.git/hooks/{name}", data, is_program=True)
            took = 0.0
            for name in (probe.FREE, probe.HELD):
                bench.write(f"{folder}/{name}", b"b\n")
                bench.git(folder, "add", name)
                ran = bench.git(folder, "commit", "-q", "-m", "probe", agent=probe.AGENT)
                took = max(took, ran.took_s)
                if (ran.status == 0) != (name == probe.FREE):
                    what = f"a commit of a file that another agent holds is let through: {_end(ran.err)}"
                    if name == probe.FREE:
                        what = f"a commit of a file that nobody holds is refused: {_end(ran.err)}"
                    return Probed(_GIT, "broken", what, file=file, event="pre-commit", mend=mend, took_s=took)
        what = "a commit of what is held is refused, of what is free is not"
        return Probed(_GIT, "ok", what, file=file, event="pre-commit", took_s=took)


def _like(one: Client, event: str, matcher: str) -> Hook:
    """A hook for an entry whose matcher somebody changed: for edits if it has one of their words, else for shells."""
    for hook in one.hooks:
        if hook.event == event and (not hook.says or any(word in hook.matcher for word in matcher.split("|"))):
            return Hook(event, matcher, says=hook.says)
    return Hook(event, matcher)


def _wrong(one: Client, hook: Hook, ran: Ran, name: str) -> str:
    """What is wrong with an answer; "" for nothing."""
    if ran.status == -1:
        return f"no answer within {ran.took_s:.0f} s"
    found, why = probe.verdict(one.name, hook, ran.status, ran.out, ran.err)
    if found == "failed":
        return why
    if hook.says and name == probe.HELD:
        return "" if found == "denied" else f"a {hook.says} call that writes what another agent holds is let through"
    if found == "denied":
        return f"a {hook.says} call that writes what nobody holds is denied"
    if hook.says and not probe.is_silent(one.name, ran.out):
        return "it says something about a call that nothing is in the way of"
    return ""


def _program(command: str) -> str:
    """The program of a command line; the whole of it where that is none that a shell could read."""
    try:
        return next(iter(shlex.split(command)), "")
    except ValueError:
        return command


def _end(err: str) -> str:
    return " ".join(err.split())[-300:] or "it says nothing"
