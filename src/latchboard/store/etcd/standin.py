"""StandIn: a number that stands for the revision of a commit until there is one.

Law 1. It is greater than every revision there is, and the same all through one run of a transaction's function.
Law 2. Once the commit is made it compares, prints and counts as the commit's revision; what a transaction returns and
       what it put has the plain number instead.

Protocol: protocol/etcd.md, "Keys".
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FIRST, _END = 4 * 10**18, 9 * 10**18
_DEPTH_MAX = 8


class StandIn(int):
    """The revision of a commit that is being made."""

    revision: int | None

    def __new__(cls) -> StandIn:
        """One that nobody else has."""
        made = super().__new__(cls, _FIRST + int.from_bytes(os.urandom(16), "big") % (_END - _FIRST))
        made.revision = None
        return made

    @property
    def digits(self) -> str:
        """As it stands in JSON."""
        return int.__repr__(self)

    def _now(self) -> int:
        return int.__index__(self) if self.revision is None else self.revision

    def __int__(self) -> int:
        return self._now()

    def __index__(self) -> int:
        return self._now()

    def __repr__(self) -> str:
        return repr(self._now())

    __str__ = __repr__

    def __format__(self, how: str) -> str:
        return format(self._now(), how)

    def __hash__(self) -> int:
        return hash(self._now())

    def __eq__(self, other: object) -> bool:
        return self._now() == (other._now() if isinstance(other, StandIn) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: int) -> bool:
        return self._now() < _plain(other)

    def __le__(self, other: int) -> bool:
        return self._now() <= _plain(other)

    def __gt__(self, other: int) -> bool:
        return self._now() > _plain(other)

    def __ge__(self, other: int) -> bool:
        return self._now() >= _plain(other)


def _plain(number: int) -> int:
    return number._now() if isinstance(number, StandIn) else number


def settled(value: Any, depth: int = 0, seen: set[int] | None = None) -> Any:
    """`value` with plain numbers where stand-ins were: lists, dicts and objects in place, tuples and sets anew.

    Of objects, those with slots alone: what has a `__dict__` is a service, with the store and other threads behind it.
    """
    if type(value) is StandIn:
        return value._now()
    if value is None or isinstance(value, str | bytes | int | float) or depth > _DEPTH_MAX:
        return value
    seen = set() if seen is None else seen
    if id(value) in seen:
        return value
    if type(value) in (tuple, set, frozenset):
        return type(value)(settled(one, depth + 1, seen) for one in value)  # anew at each place where it stands
    seen.add(id(value))
    if isinstance(value, dict):
        for key, one in value.items():
            value[key] = settled(one, depth + 1, seen)
    elif isinstance(value, list):
        value[:] = [settled(one, depth + 1, seen) for one in value]
    elif type(value).__module__.startswith("latchboard.") and not hasattr(value, "__dict__"):
        for name in _attributes(value):
            one = getattr(value, name, None)
            after = settled(one, depth + 1, seen)
            if after is not one:
                object.__setattr__(value, name, after)
    return value


def _attributes(value: Any) -> list[str]:
    return [name for kind in type(value).__mro__ for name in _listed(getattr(kind, "__slots__", ()))]


def _listed(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)
