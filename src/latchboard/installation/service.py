"""Installation service: find the clients, say what would change, change it, and take it back.

What was there before is known from the shelf: for each file the bytes from before and a digest of those afterwards.
While a file has that digest, to take ours out is to put those bytes back; once somebody has changed it, exactly our
entries go.

Protocol: protocol/installation.md, "Setting up" and "Taking out".
"""

from __future__ import annotations

from hashlib import sha256

from latchboard.errors import CoordinationError
from latchboard.installation import wish as wishing
from latchboard.installation.change import Change, Found
from latchboard.rules import installation as rules
from latchboard.rules.client import CLIENTS, client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from typing import Any

    from latchboard.installation.change import Choice, Kind
    from latchboard.installation.port import Files, Machine, Shelf
    from latchboard.installation.wish import Commands, Wish
    from latchboard.rules.client import Client
    from latchboard.settings import Settings


class Installation:
    """The set-up of one project.

    Args:
        files: The project's files.
        shelf: Where old ones are kept.
        machine: What is installed here.
        settings: Whether hooks fail closed.
    """

    def __init__(self, files: Files, shelf: Shelf, machine: Machine, settings: Settings) -> None:
        self._files = files
        self._shelf = shelf
        self._machine = machine
        self._is_closed = settings.hooks_failure == "closed"

    # -- looking ------------------------------------------------------------------------------------------------------

    def find(self) -> list[Found]:
        """Every client, with the sign by which it was seen."""
        return [Found(one.name, self._sign(one.name)) for one in CLIENTS]

    def commands(self) -> Commands:
        """How this installation's programs are called."""
        hook, is_bare = self._machine.command(rules.PROGRAM, rules.MODULE)
        server: list[str] = []
        if self._machine.can_import("mcp"):
            server = [*self._machine.command(rules.SERVER, rules.SERVER)[0], "mcp"]
        return wishing.Commands(hook, server, is_bare=is_bare, is_closed=self._is_closed)

    def chosen(self, choice: Choice) -> list[str]:
        """The clients that are set up: those that are named, else those that are found."""
        return [one.client for one in self.find() if one.sign] if choice.clients is None else list(choice.clients)

    def plan(self, choice: Choice) -> list[Change]:
        """What `apply` would do; files that say everything already are not in it."""
        commands = self.commands()
        names = self.chosen(choice)
        wanted = list(wishing.wishes(choice, [client(name) for name in names], commands))
        local = [f"/{one.local_file}" for one in CLIENTS if one.name in names and one.local_file]
        if self._files.is_in_git():
            lines = [rules.IGNORED, *([] if commands.is_bare else local)]
            wanted.insert(0, wishing.ignored(lines))
        files = {wish.name for wish in wanted}
        wanted = [wish for wish in wanted if self._files.link_to(wish.name) not in files]  # CLAUDE.md -> AGENTS.md
        spared = {client(name).instructions for name in names if self._reads_agents_file(client(name))}
        wanted = [wish for wish in wanted if wish.name not in spared]
        return [change for name, group in _by_file(wanted) for change in self._merged(name, group)]

    def plan_ignored(self) -> list[Change]:
        """What `apply` would do about .gitignore alone: for the board's folder, where that is another one."""
        return self._merged(wishing.IGNORE_FILE, [wishing.ignored([rules.IGNORED])])

    @property
    def files(self) -> Files:
        """The project's files."""
        return self._files

    def plan_removal(self) -> list[Change]:
        """What `apply` would do to take everything out."""
        return [change for name, group in _by_file(wishing.everything()) for change in self._unmerged(name, group)]

    def doubled(self) -> list[str]:
        """Files that have hooks of ours beside those for this machine alone: each event would be told twice."""
        if self.commands().is_bare:
            return []
        found = []
        for one in CLIENTS:
            if one.local_file and wishing.has_ours(_text(self._read(one.hooks_file)[0]) or "", one):
                found.append(one.hooks_file)
        return found

    def turn(self) -> AbstractContextManager[None]:
        """While it is entered, nobody else installs here: what was planned is still so when it is done."""
        return self._shelf.turn()

    # -- doing --------------------------------------------------------------------------------------------------------

    def apply(self, changes: Iterable[Change]) -> list[Change]:
        """Make the changes, each file by itself.

        Returns:
            Those that could not be made, with the reason; the files are what they were.
        """
        failed = []
        for change in changes:
            if change.kind == "refused":
                continue
            try:
                with self._shelf.turn():
                    (self._take_out if change.takes_out else self._put_in)(change)
            except CoordinationError as exc:
                failed.append(_refused(change.name, change.what, exc.message, _text(change.after) or "", change.before))
        return failed

    def forget(self, *, but: Iterable[str]) -> None:
        """After everything was taken out: forget what was there before, and remove folders that ours alone needed.

        Args:
            but: Files from which it could not be taken out.
        """
        with self._shelf.turn():
            record = self._shelf.load()
            for name in [one for one in record if one not in set(but)]:
                self._files.prune(tuple(record[name]["folders"]))
                self._forget(name)

    def _put_in(self, change: Change) -> None:
        """Keep what is there, then replace it: in this order, so that a kill in between loses nothing."""
        assert change.after is not None
        record = self._shelf.load()
        entry = record.get(change.name)
        if entry is None or _digest(change.before) != entry["after"]:
            base = self._base(change, entry)
            made = {*self._files.missing_folders(change.name), *(one for e in record.values() for one in e["folders"])}
            folders = sorted(one for one in made if change.name.startswith(f"{one}/"))
            entry = {"before": None if base is None else self._shelf.keep(base), "folders": folders}
        self._shelf.save({**record, change.name: {**entry, "after": _digest(change.after)}})
        self._files.write(change.name, change.after, instead_of=change.before)

    def _take_out(self, change: Change) -> None:
        """Put the file back first, and forget about it then: a kill in between has it done again."""
        assert change.before is not None
        entry = self._shelf.load().get(change.name)
        if change.after is not None:
            self._files.write(change.name, change.after, instead_of=change.before)
        else:
            self._files.delete(change.name, instead_of=change.before)
            parent = change.name.rpartition("/")[0]
            self._files.prune(tuple(entry["folders"]) if entry else (parent,) if parent else ())
        self._forget(change.name)

    def _forget(self, name: str) -> None:
        record = self._shelf.load()
        if record.pop(name, None) is not None:
            self._shelf.save(record)
            self._shelf.forget_all_but({entry["before"] for entry in record.values() if entry["before"]})

    # -- one file -----------------------------------------------------------------------------------------------------

    def _merged(self, name: str, group: list[Wish]) -> list[Change]:
        """What becomes of a file, and what of it cannot be."""
        data, why = self._read(name)
        text = _text(data)
        what = ", ".join(wish.what for wish in group)
        if text is None and not why:
            why = "it is no UTF-8"
        if why or text is None:
            wanted = [wish for wish in group if wish.merge is not None]
            return [_refused(name, what, why, _fresh(wanted), data)] if wanted else []
        made, changes = text, []
        for wish in group:
            try:
                made = wish.merge(made) if wish.merge is not None else wish.unmerge(made, self._text_before(name))
            except ValueError as exc:
                changes.append(_refused(name, wish.what, str(exc), _fresh([wish]), data))
        takes_out = all(wish.merge is None for wish in group)
        return [*self._change(name, what, data, made, group, takes_out=takes_out), *changes]

    def _unmerged(self, name: str, group: list[Wish]) -> list[Change]:
        """What becomes of a file when ours goes."""
        what = ", ".join(wish.what for wish in group)
        data, why = self._read(name)
        entry = self._shelf.load().get(name)
        if data is None:
            return [_refused(name, what, why, "", None)] if why and entry else []
        if entry is not None and _digest(data) == entry.get("after"):
            before = self._shelf.fetch(entry["before"]) if entry["before"] else None
            if entry["before"] is None:
                return [Change(name, "delete", what=what, before=data, takes_out=True)]
            if before is not None:
                return [Change(name, "change", what=what, before=data, after=before, takes_out=True)]
        text = _text(data)
        if text is None:
            return [_refused(name, what, "it is no UTF-8", "", data)] if entry else []
        made = text
        refused: list[Change] = []
        for wish in group:
            try:
                made = wish.unmerge(made, self._text_before(name))
            except ValueError as exc:
                if (entry is not None or rules.PROGRAM in text) and str(exc) not in [one.why for one in refused]:
                    refused.append(_refused(name, wish.what, str(exc), "", data))
        return [*self._change(name, what, data, made, group, takes_out=not refused), *refused]

    def _change(
        self, name: str, what: str, data: bytes | None, made: str, group: list[Wish], *, takes_out: bool
    ) -> list[Change]:
        try:
            after = made.encode()
        except UnicodeEncodeError:
            return [_refused(name, what, "a path of this installation is no UTF-8", _fresh(group), data)]
        if after == (data or b""):
            return []
        if data is None:
            return [Change(name, "create", what=what, after=after)]
        entry = self._shelf.load().get(name)
        is_alone = entry is None or entry["before"] is None
        if takes_out and is_alone and all(wish.is_nothing(made) for wish in group):
            return [Change(name, "delete", what=what, before=data, takes_out=True)]
        return [Change(name, "change", what=what, before=data, after=after, takes_out=takes_out)]

    def _base(self, change: Change, entry: dict[str, Any] | None) -> bytes | None:
        """What the file would be without ours; None for no file."""
        text = _text(change.before)
        if change.before is None or text is None:
            return None
        before = self._text_before(change.name)
        group = [wish for wish in wishing.everything() if wish.name == change.name]
        for wish in group:
            try:
                text = wish.unmerge(text, before)
            except ValueError:
                continue  # a part that is refused has nothing of ours
        if entry is not None and entry["before"] is None and all(wish.is_nothing(text) for wish in group):
            return None
        return text.encode()

    def _text_before(self, name: str) -> str | None:
        """What a file said before ours came: "" for no file, None where that is not known."""
        entry = self._shelf.load().get(name)
        if entry is None:
            return None
        if entry["before"] is None:
            return ""
        data = self._shelf.fetch(entry["before"])
        return None if data is None else _text(data)

    def _read(self, name: str) -> tuple[bytes | None, str]:
        """A file's bytes, and why it must not be touched."""
        try:
            return self._files.read(name), ""
        except CoordinationError as exc:
            return None, exc.message

    def _reads_agents_file(self, one: Client) -> bool:
        """Whether somebody had a client read AGENTS.md, so that it needs no block in a file of its own."""
        return bool(one.hooks_file) and rules.reads_agents_file(_text(self._read(one.hooks_file)[0]) or "")

    def _sign(self, name: str) -> str:
        one = client(name)
        for sign in one.signs:
            if self._files.has(sign):
                return sign
        for sign in one.home_signs:
            if self._machine.at_home(sign):
                return f"~/{sign}"
        return next((path for program in one.programs if (path := self._machine.program(program))), "")


def _by_file(wanted: Iterable[Wish]) -> Iterable[tuple[str, list[Wish]]]:
    """The wishes of each file, in the order in which files are first named."""
    groups: dict[str, list[Wish]] = {}
    for wish in wanted:
        groups.setdefault(wish.name, []).append(wish)
    return groups.items()


def _fresh(group: list[Wish]) -> str:
    """What a file of its own would say."""
    text = ""
    for wish in group:
        text = wish.merge(text) if wish.merge is not None else text
    return text


def _refused(name: str, what: str, why: str, by_hand: str, before: bytes | None) -> Change:
    kind: Kind = "refused"
    return Change(name, kind, what=what, before=before, why=why, by_hand=by_hand)


def _text(data: bytes | None) -> str | None:
    """Bytes as text; "" for no file, None where they are none."""
    try:
        return "" if data is None else data.decode()
    except UnicodeDecodeError:
        return None


def _digest(data: bytes | None) -> str:
    return "" if data is None else sha256(data).hexdigest()
