"""Lines in the store: places on sheets, found through an index; what a change costs does not grow with the line.

Protocol: protocol/workqueue.md, "Lines".
"""

from __future__ import annotations

from latchboard.errors import MalformedRecord, UsageError
from latchboard.rules import workqueue_line as rules
from latchboard.rules import workqueue_size as sizes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from latchboard.rules.workqueue_line import Place
    from latchboard.store.port import View


class Line:
    """One line of one transaction."""

    __slots__ = ("_key", "_kind", "_view")

    def __init__(self, view: View, name: str) -> None:
        self._view = view
        self._key = f"queue/{name}"
        self._kind = rules.kind_of(name)

    def add(self, place: Place) -> None:
        """Put a place into the line, where its order says."""
        index = self._index()
        if index is None:
            self._view.put(self._key, {"sheets": [{"start": place, "sheet": 0}], "next": 1})
            self._put(0, [place])
            return
        at = rules.sheet_of([one["start"] for one in index["sheets"]], place)
        number = index["sheets"][at]["sheet"]
        before = self._sheet(number)
        sheet, second = rules.added(before["places"], place)
        if sheet is not before["places"]:
            self._put(number, sheet, before)
        if second is not None:
            new = {"start": second[0], "sheet": index["next"]}
            cut = {
                **index["sheets"][at],
                "start": min(index["sheets"][at]["start"], sheet[0]),
            }  # the first begins before
            sheets = [*index["sheets"][:at], cut, new, *index["sheets"][at + 1 :]]
            self._view.put(self._key, {**index, "sheets": sheets, "next": index["next"] + 1})
            self._put(new["sheet"], second)

    def check_growth(self) -> None:
        """Refuse a line that may take no new job: who is at work must find a place in it. Raises UsageError."""
        index = self._index()
        if index is not None and len(index["sheets"]) >= sizes.SHEETS_COUNT_MAX:
            raise UsageError(
                f"{self._key[len('queue/') :]} has {len(index['sheets'])} sheets of jobs: it takes no new ones",
                hint="submit them when some of those are done",
            )

    def remove(self, place: Place) -> None:
        """Take a place out of the line.

        Raises:
            MalformedRecord: It is not there; so the line and the job do not agree.
        """
        index = self._index()
        if index is None:
            raise malformed(self._key, f"{place[2]} is to be in it, and there is no line")
        at = rules.sheet_of([one["start"] for one in index["sheets"]], place)
        number = index["sheets"][at]["sheet"]
        before = self._sheet(number)
        sheet = rules.removed(before["places"], place)
        if sheet is None:
            raise malformed(f"{self._key}.{number}", f"{place[2]} is to be in it, and is not")
        if sheet:
            self._put(number, sheet, before)
            return
        self._view.delete(f"{self._key}.{number}")
        sheets = [*index["sheets"][:at], *index["sheets"][at + 1 :]]
        if sheets:
            self._view.put(self._key, {**index, "sheets": sheets})
        else:
            self._view.delete(self._key)

    def places(self) -> Iterator[Place]:
        """The places from the first on; a sheet is read when it is come to. The line must not be changed meanwhile."""
        index = self._index()
        for one in index["sheets"] if index else ():
            yield from self._sheet(one["sheet"])["places"]

    def backwards(self) -> Iterator[Place]:
        """The places from the last on, as `places`."""
        index = self._index()
        for one in reversed(index["sheets"]) if index else ():
            yield from reversed(self._sheet(one["sheet"])["places"])

    def _index(self) -> dict[str, Any] | None:
        value = self._view.get(self._key)
        if value is not None and (wrong := rules.check_index(value, self._kind)):
            raise malformed(self._key, wrong)
        return value

    def _sheet(self, number: int) -> dict[str, Any]:
        key = f"{self._key}.{number}"
        value = self._view.get(key)
        if value is None:
            raise malformed(key, "the line names it, and it is not there")
        if wrong := rules.check_sheet(value, self._kind):
            raise malformed(key, wrong)
        return value

    def _put(self, number: int, places: list[Place], before: dict[str, Any] | None = None) -> None:
        self._view.put(f"{self._key}.{number}", {**(before or {}), "places": places})


def malformed(key: str, wrong: str) -> MalformedRecord:
    """The error for a record of the queue that cannot be read."""
    return MalformedRecord(
        f"the record {key} cannot be read: {wrong}",
        hint="nothing was changed: `latchboard doctor --fix` makes the records of the queue what its jobs say",
        key=key,
        reason=wrong,
    )
