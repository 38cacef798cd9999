"""Picture: the board at one revision as the terminal shows it, read from the text of the board.

The text has each entry on a line of its own, and the same entry is the same line again. So of a board of 10,000 locks
only the lines that are new are decoded, and an entry that has not changed stays the same object.

Protocol: protocol/board.md, "The file".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    Entry = dict[str, Any]

_LISTS = ("active_locks", "ended_locks", "waiters", "conflicts", "damaged")


class Picture:
    """What there was at one revision.

    Attributes:
        revision: Of the last commit in it; 0: nothing was ever committed.
        at: Time of that commit; empty when there is none.
        agents: By id.
        locks, ended, waiters, conflicts, damaged: As status_board.json has them.
    """

    __slots__ = ("agents", "at", "conflicts", "damaged", "ended", "locks", "revision", "waiters")

    def __init__(self, facts: dict[str, Any]) -> None:
        self.revision: int = facts["revision"]
        self.at: str = facts["last_updated"]
        self.agents: dict[str, Entry] = facts["agents"]
        self.locks: list[Entry] = facts["active_locks"]
        self.ended: list[Entry] = facts["ended_locks"]
        self.waiters: list[Entry] = facts["waiters"]
        self.conflicts: list[Entry] = facts["conflicts"]
        self.damaged: list[Entry] = facts["damaged"]


EMPTY = Picture({"revision": 0, "last_updated": "", "agents": {}, **{name: [] for name in _LISTS}})


class Decoder:
    """Makes pictures of texts, one after the other."""

    def __init__(self) -> None:
        self._known: dict[bytes, Any] = {}

    def picture(self, text: bytes) -> Picture:
        """The picture of a text as `Board.text` gives it, or of any JSON that says the same."""
        try:
            return Picture(self._facts(text))
        except (KeyError, TypeError, IndexError, ValueError):
            return Picture(json.loads(text))  # laid out in another way

    def _facts(self, text: bytes) -> dict[str, Any]:
        lines = text.rstrip().split(b"\n")
        facts: dict[str, Any] = json.loads(lines[0].rstrip(b",") + b"}")
        known = self._known
        seen: dict[bytes, Any] = {}
        at = 1
        while at < len(lines) - 1:
            line = lines[at]
            at += 1
            field, _, rest = line.partition(b":")
            name = json.loads(field)
            if rest[1:2] != b"":  # `[]` or `{}`: there is nothing in it
                facts[name] = json.loads(rest.rstrip(b","))
                continue
            end = b"]" if rest == b"[" else b"}"
            begin = at
            while not lines[at].startswith(end):
                at += 1
            body = lines[begin:at]
            body[-1] += b","  # so that a line is the same wherever it stands
            at += 1
            if name == "agents":
                facts[name] = self._object(body, known, seen)
            elif name in _LISTS:
                facts[name] = self._list(body, known, seen)
        self._known = seen
        return facts

    @staticmethod
    def _list(lines: list[bytes], known: dict[bytes, Any], seen: dict[bytes, Any]) -> list[Any]:
        found = []
        for line in lines:
            entry = known.get(line)
            if entry is None:
                entry = json.loads(line[:-1])
            seen[line] = entry
            found.append(entry)
        return found

    @staticmethod
    def _object(lines: list[bytes], known: dict[bytes, Any], seen: dict[bytes, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for line in lines:
            entry = known.get(line)
            if entry is None:
                entry = json.loads(b"{" + line[:-1] + b"}")
            seen[line] = entry
            found.update(entry)
        return found
