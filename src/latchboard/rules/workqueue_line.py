"""Line: an ordered list of any length, on sheets of some dozen places: a change costs the same at any length.

The index says at which place each sheet begins; it changes only when a sheet is made or removed. A place goes onto the
sheet that its order says. Pure: sheets are lists, given and returned.

Protocol: protocol/workqueue.md, "Lines". A B+ tree of two levels.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Place: TypeAlias = list[Any]  # [order, number, id]
    Sheet: TypeAlias = list[Place]

SHEET_PLACES_MAX = 64
"""A sheet of 64 places is 3 KB: read, changed and written in some tens of microseconds."""


def sheet_of(starts: list[Place], place: Place) -> int:
    """Which sheet a place belongs onto, by the places at which the sheets begin: an index into `starts`.

    The first sheet also takes what is before its beginning.
    """
    return max(0, bisect_right(starts, place) - 1)


def added(sheet: Sheet, place: Place) -> tuple[Sheet, Sheet | None]:
    """The sheet with one place more, and the second one that its end went onto, if it was full.

    A place behind all others begins a sheet of its own, so that a line that only grows at its end has full sheets.
    """
    at = bisect_left(sheet, place)
    if at < len(sheet) and sheet[at] == place:
        return sheet, None
    if len(sheet) < SHEET_PLACES_MAX:
        return [*sheet[:at], place, *sheet[at:]], None
    if at == len(sheet):
        return sheet, [place]
    whole = [*sheet[:at], place, *sheet[at:]]
    return whole[: len(whole) // 2], whole[len(whole) // 2 :]


def removed(sheet: Sheet, place: Place) -> Sheet | None:
    """The sheet without a place; None: it was not there."""
    at = bisect_left(sheet, place)
    if at == len(sheet) or sheet[at] != place:
        return None
    return [*sheet[:at], *sheet[at + 1 :]]


def check_index(value: dict[str, Any], kind: type | None = None) -> str:
    """What is wrong with an index; empty: nothing. `kind`: of the first part of each place; None: any."""
    sheets, following = value.get("sheets"), value.get("next")
    if type(following) is not int or not isinstance(sheets, list) or not sheets:
        return "it has no sheets, or no number for the next one"
    for one in sheets:
        is_sheet = isinstance(one, dict) and type(one.get("sheet")) is int and _is_place(one.get("start"))
        if not is_sheet or not 0 <= one["sheet"] < following:
            return "a sheet of it cannot be read"
    starts = [one["start"] for one in sheets]
    return "" if _is_in_order(starts, kind) else "its sheets are not in order"


def check_sheet(value: dict[str, Any], kind: type | None = None) -> str:
    """What is wrong with a sheet; empty: nothing. `kind` as for an index."""
    places = value.get("places")
    if not isinstance(places, list) or not places or not all(_is_place(place) for place in places):
        return "it has no places, or one that cannot be read"
    return "" if _is_in_order(places, kind) else "its places are not in order"


def kind_of(line: str) -> type:
    """What the first part of each place of a line is: a time of those that wait for one, else a priority."""
    return str if line in ("later", "paused") else int


def _is_place(place: object) -> bool:
    if not isinstance(place, list) or len(place) != 3:
        return False
    return type(place[0]) in (int, str) and type(place[1]) is int and type(place[2]) is str


def _is_in_order(places: list[Place], kind: type | None) -> bool:
    """Whether each is greater than the one before; places of two kinds have no order."""
    if not {type(place[0]) for place in places} <= {kind or type(places[0][0])}:
        return False
    return all(places[n] < places[n + 1] for n in range(len(places) - 1))
