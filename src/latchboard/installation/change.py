"""Change: what becomes of one file; Choice: what somebody wants set up; Found: which client was seen, and by what."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    Kind = Literal["create", "change", "delete", "refused"]


class Change:
    """One file, before and after; or why it stays as it is.

    Attributes:
        name: The file, relative to the project.
        kind: `create`, `change`, `delete`; `refused`: it is not changed, or a part of what it should say is missing.
        what: What it is for: `hooks of Claude Code`.
        before: Its bytes; None for no file.
        after: The same, afterwards.
        why: Of a refusal: the reason.
        by_hand: Of a refusal: the text to write by hand.
        takes_out: Nothing of ours is in it afterwards.
    """

    __slots__ = ("after", "before", "by_hand", "kind", "name", "takes_out", "what", "why")

    def __init__(  # noqa: PLR0913 - a record: each field is an argument by its name
        self,
        name: str,
        kind: Kind,
        *,
        what: str = "",
        before: bytes | None = None,
        after: bytes | None = None,
        why: str = "",
        by_hand: str = "",
        takes_out: bool = False,
    ) -> None:
        self.name = name
        self.kind = kind
        self.what = what
        self.before = before
        self.after = after
        self.why = why
        self.by_hand = by_hand
        self.takes_out = takes_out

    def __repr__(self) -> str:
        return f"Change({self.name!r}, {self.kind!r}{f', why={self.why!r}' if self.why else ''})"

    def to_json(self, *, diff: str) -> dict[str, Any]:
        """As `protocol/schema/init.json` has it."""
        return {
            "path": self.name,
            "action": self.kind,
            "what": self.what,
            "diff": diff,
            "why": self.why,
            "by_hand": self.by_hand,
        }


class Choice:
    """What to set up.

    Attributes:
        clients: Names; None: those that are found.
        mcp: The MCP server, too.
        instructions: The agents' instruction files, too.
    """

    __slots__ = ("clients", "instructions", "mcp")

    def __init__(self, clients: tuple[str, ...] | None = None, *, mcp: bool = True, instructions: bool = True) -> None:
        self.clients = clients
        self.mcp = mcp
        self.instructions = instructions


class Found:
    """One client, and by which sign it was seen; no sign: it was not."""

    __slots__ = ("client", "sign")

    def __init__(self, client: str, sign: str) -> None:
        self.client = client
        self.sign = sign
