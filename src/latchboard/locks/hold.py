"""Hold: what an agent has in its hand after a grant, and what it can do with it."""

from __future__ import annotations

from binascii import crc32

from latchboard.errors import HoldLost
from latchboard.host.identity import is_identity, tag
from latchboard.locks.engaged import disengage, engage
from latchboard.rules.holding import host_name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from latchboard.locks.service import Locks
    from latchboard.rules.lock import Holding, Request, Waiter


def holder_tag(agent: str, bound: str, process: Any) -> str:
    """The first part of a request id: the process for a process-bound request, the agent for an agent-bound one."""
    if bound == "process":
        return tag(process) if is_identity(process) else "p"
    return f"a{crc32(agent.encode('utf-8', 'surrogatepass')):08x}"


def describe(held: Holding, remaining_s: float) -> dict[str, Any]:
    """A hold for people and programs (protocol/schema/hold.json)."""
    return {
        "agent": held["agent"],
        "mode": held["mode"],
        "bound": held["bound"],
        "token": held["token"],
        "since": held["acquired"]["at"],
        "remaining_s": round(remaining_s, 3),
        "reason": held["reason"],
        "pid": held["process"].get("pid"),
        **host_name_of(held["process"]),
    }


class Hold:
    """Locks that are held; a context manager that releases them.

    Attributes:
        tokens: Name to fencing token; a token is greater than that of every earlier hold of its name.
        waited_s: How long the grant took, seconds.
    """

    __slots__ = ("_is_given_back", "_locks", "_request", "tokens", "waited_s")

    def __init__(self, locks: Locks, request: Request, tokens: dict[str, int], waited_s: float) -> None:
        self._locks = locks
        self._request = request
        self._is_given_back = False
        self.tokens = tokens
        engage(request.agent)
        self.waited_s = waited_s

    @property
    def agent(self) -> str:
        """The holder."""
        return self._request.agent

    @property
    def request(self) -> str:
        """Id of the request that was granted."""
        return self._request.request

    @property
    def names(self) -> list[str]:
        """What is held, as canonical names."""
        return list(self.tokens)

    @property
    def token(self) -> int:
        """The greatest of the tokens; the only one, when one name is held."""
        return max(self.tokens.values())

    def is_live(self) -> bool:
        """Whether all of it is still held; asks the store, changes nothing."""
        return self._locks.is_live(self._request, self.tokens)

    def renew(self) -> None:
        """Start the lease anew, for every lock of this holder.

        Raises:
            HoldLost: It ran out, or somebody else has it; nothing was changed.
        """
        self._locks.renew(self._request, self.tokens)

    def write(self, path: str, data: bytes | str) -> None:
        """Replace a file, only while this hold lasts.

        Args:
            path: A file that this hold covers, relative to the root or absolute.
            data: Its whole new content; text is written as UTF-8.

        Raises:
            HoldLost: Not held any more; the file was not touched.
            UsageError: The hold does not cover the file, or is shared.
            StoreError: The disk refused; the file is what it was.
        """
        if self._is_given_back:
            raise HoldLost(f"{self.agent} has given {', '.join(self.names)} back", hint="acquire it anew")
        from latchboard.locks.guarded import write

        write(self._locks, path, data, self)

    def release(self) -> bool:
        """Give it back, as far as it is still held, and grant it to whoever waits.

        Returns:
            Whether all of it was still held. A second call changes nothing and is False.

        Raises:
            StoreError: It is still held; try again.
        """
        if self._is_given_back:
            return False
        released = self._locks.release(self._request, self.tokens)
        self._is_given_back = True
        disengage(self.agent)
        return released

    def undo(self) -> None:
        """Take back what this request did, and nothing else: what its agent held before stays held.

        For a grant that nobody will use. If the store refuses, it is done with the next transaction.
        """
        if not self._is_given_back:
            self._is_given_back = True
            disengage(self.agent)
            self._locks.undo(self._request)

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_given_back and not self.release() and kind is None:
            raise HoldLost(
                f"{self.agent} lost {', '.join(self.names)} before the end of the block",
                hint="somebody else may have changed the files meanwhile: read them again before you go on",
                names=self.names,
            )

    def __repr__(self) -> str:
        return f"Hold({self.agent!r}, {self.tokens!r})"


class Refusal:
    """Why a request was not granted at once; false, so that `if hold := try_lock(...)` reads well.

    Attributes:
        request: What was asked for.
        holders: Holds in the way: the name held, the hold, the seconds it still lasts.
        waiters: Requests in the way that came earlier.
    """

    __slots__ = ("holders", "request", "waiters")

    def __init__(self, request: Request, holders: list[tuple[str, Holding, float]], waiters: list[Waiter]) -> None:
        self.request = request
        self.holders = holders
        self.waiters = waiters

    def __bool__(self) -> bool:
        return False

    @property
    def names(self) -> list[str]:
        """What was asked for, as canonical names."""
        return [want["name"] for want in self.request.wants]

    def facts(self) -> list[dict[str, Any]]:
        """Who is in the way, JSON-ready: holders with since when and for how long, then earlier waiters."""
        held = [{"name": name, **describe(holding, left)} for name, holding, left in self.holders]
        waiting = [{"agent": w["agent"], "since": w["since"]["at"], "waits": True} for w in self.waiters]
        return [*held, *waiting]

    def sentence(self) -> str:
        """Who has it, since when, until when and what for."""
        parts = [
            f"{h['agent']} holds it since {h['acquired']['at']} for up to {_span(left)} more"
            + (f" ({h['reason']})" if h["reason"] else "")
            for _, h, left in self.holders
        ]
        parts += [f"{w['agent']} waits for it since {w['since']['at']}" for w in self.waiters]
        return f"{', '.join(self.names)} is not free: {'; '.join(parts)}"


def _span(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"
