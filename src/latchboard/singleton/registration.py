"""Registration: a process's right to run as one agent type, and what stands behind it in that process.

Protocol: protocol/singleton.md.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Protocol

    from latchboard.host.desk import Seat
    from latchboard.host.port import Identity

    class Keeper(Protocol):
        """Who takes registrations back."""

        def give_back(self, held: Held) -> bool:
            """One registration less; False: this process does not hold it."""
            ...

        def is_held(self, held: Held) -> bool:
            """Whether it still counts."""
            ...


class Registration:
    """This process's right to run as one agent type; a context manager that gives it back.

    Attributes:
        agent_type: Which type.
        is_restricted: False for a type of which any number may run: nothing was made, nothing is to be given back.
        process: This process's identity; None for a type that is not restricted.
        broke: Who had it and was not waited for (`force`): `pid` and what else is known; None: nobody.
    """

    def __init__(self, service: Keeper, agent_type: str, held: Held | None) -> None:
        self._service = service
        self._held = held
        self._is_given_back = False
        self.agent_type = agent_type
        self.is_restricted = held is not None
        self.process = held.process if held else None
        self.broke = held.broke if held else None

    @property
    def pid(self) -> int | None:
        """This process; None for a type that is not restricted."""
        return self.process["pid"] if self.process else None

    @property
    def epoch(self) -> int | None:
        """Of its lock; None for a type that is not restricted."""
        return self._held.seat.epoch if self._held else None

    def is_held(self) -> bool:
        """Whether it still holds: not given back, nobody was forced in beside it, this process was not cut off."""
        held = self._held
        return held is None or (not self._is_given_back and self._service.is_held(held))

    def release(self) -> bool:
        """Give it back; the entry goes with the last registration of this process. False: it was given back before."""
        held = self._held
        if held is None or self._is_given_back:
            return False
        self._is_given_back = True
        return self._service.give_back(held)

    def __enter__(self) -> Registration:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.release()


class Held:
    """A lock that this process holds, for all its registrations of the type."""

    __slots__ = ("agent_type", "broke", "number", "path", "process", "seat", "tickets")

    def __init__(self, path: str, agent_type: str, seat: Seat, process: Identity, broke: dict[str, Any] | None) -> None:
        self.path = path
        self.agent_type = agent_type
        self.seat = seat
        self.process = process
        self.broke = broke
        self.tickets: list[None] = [None]
        self.number = 0


held: dict[tuple[str, str], Held] = {}
"""What this process holds, by registry and type: shared by every object that looks at one folder."""
