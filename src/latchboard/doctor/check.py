"""Check: one thing that the doctor looks at, and what was seen of it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Literal

    from latchboard.rules.finding import Finding, Section

    State = Literal["done", "unfinished", "failed"]


class Seen:
    """What one look gave.

    Attributes:
        text: One line for people: how it stands. No secret is in it.
        facts: The same for programs.
        findings: What is wrong.
    """

    __slots__ = ("facts", "findings", "text")

    def __init__(self, text: str, findings: Iterable[Finding] = (), **facts: Any) -> None:
        self.text = text
        self.findings = list(findings)
        self.facts = facts


class Check:
    """One thing to look at.

    Attributes:
        name: Within its section.
        section: Where it stands in the report.
        look: Looks, until the moment that it is given (on the monotonic clock) at the latest; other checks run beside
            it, in other threads.
    """

    __slots__ = ("look", "name", "section")

    def __init__(self, section: Section, name: str, look: Callable[[float], Seen]) -> None:
        self.section: Section = section
        self.name = name
        self.look = look


class Standing:
    """A check in a report.

    Attributes:
        name, section: Of the check.
        state: `done`; `unfinished`: not in time, or the system refused it; `failed`: a mistake of the doctor itself.
        text: How it stands, or why it is not known.
        facts: For programs; empty unless it is done.
        took_ms: Milliseconds; None: it is still at it.
    """

    __slots__ = ("facts", "name", "section", "state", "text", "took_ms")

    def __init__(
        self,
        check: Check,
        state: State,
        text: str,
        facts: dict[str, Any] | None = None,
        *,
        took_s: float | None = None,
    ) -> None:
        self.name = check.name
        self.section: str = check.section
        self.state: State = state
        self.text = text
        self.facts = facts or {}
        self.took_ms = None if took_s is None else round(took_s * 1000, 1)

    def to_json(self) -> dict[str, Any]:
        """As `protocol/schema/doctor.json` has it."""
        return {name: getattr(self, name) for name in ("name", "state", "text", "facts", "took_ms")}
