"""Listing: what stands in each list, in which order, and what a filter leaves of it; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Entry = dict[str, Any]


class Filter:
    """Words, all of which must be in what is shown; upper and lower case are the same.

    Attributes:
        text: As it was typed.
    """

    def __init__(self, text: str = "") -> None:
        self.text = text.strip()
        self._words = self.text.casefold().split()

    def __bool__(self) -> bool:
        return bool(self._words)

    def lets(self, *texts: str | None) -> bool:
        """Whether an entry that says this is shown."""
        if not self._words:
            return True
        said = "\n".join(text for text in texts if text).casefold()
        return all(word in said for word in self._words)


def agents(entries: dict[str, Entry], wanted: Filter) -> list[tuple[str, Entry]]:
    """By name, those that are quiet behind the others."""
    found = [
        (name, entry)
        for name, entry in entries.items()
        if not wanted or wanted.lets(name, entry["status"], *entry["files"], *entry["waits_for"], *entry["holds"])
    ]
    return sorted(found, key=lambda item: (item[1]["quiet"], item[0]))


def holds(entries: Iterable[Entry], wanted: Filter) -> Iterable[Entry]:
    """Locks, in the order of the board."""
    return [one for one in entries if wanted.lets(one["name"], one["agent"], one["reason"])] if wanted else entries


def waiters(entries: list[Entry], wanted: Filter) -> list[Entry]:
    """In the order of the line."""
    return [
        one
        for one in entries
        if not wanted or wanted.lets(one["agent"], one["reason"], *one["names"], *one["blocked_by"])
    ]


def conflicts(entries: list[Entry], wanted: Filter) -> list[Entry]:
    """The newest first."""
    return [
        one
        for one in reversed(entries)
        if not wanted
        or wanted.lets(
            one["kind"], one["asked_by"], one["why"], *one["names"], *(h.get("agent") for h in one["held_by"])
        )
    ]


def threads(entries: Iterable[Entry], wanted: Filter) -> list[Entry]:
    """The one with the newest message first."""
    return [
        one for one in entries if not wanted or wanted.lets(one["subject"], one["newest"]["excerpt"], *one["agents"])
    ]


def jobs(entries: Iterable[Entry], wanted: Filter) -> list[Entry]:
    """By status, in each of them first what is claimed first."""
    return [
        one
        for one in entries
        if not wanted or wanted.lets(one["id"], one["title"], one["role"], one["status"], one["owner"])
    ]


def events(entries: Iterable[tuple[Entry, str]], wanted: Filter) -> list[tuple[Entry, str]]:
    """The newest first."""
    return [one for one in entries if not wanted or wanted.lets(one[1], one[0]["event"], one[0]["who"])]
