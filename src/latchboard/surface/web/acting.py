"""Acting: what an operator may do: release, break, send, hand off, and stop the daemon.

Each takes the options of the command of the same name as the fields of an object, and answers as that command does with
`--json`. Nothing waits here: what has to be waited for comes as an event or a message.

Protocol: protocol/http.md, "Acting".
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.background import BackgroundTask

from latchboard.aio import in_thread
from latchboard.errors import MalformedRecord, UsageError
from latchboard.locks import Hold, handoff
from latchboard.rules.given import check
from latchboard.surface.web import body, openapi
from latchboard.surface.web.answer import answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from starlette.requests import Request
    from starlette.responses import Response

    from latchboard.compose import Latchboard

    Facts = dict[str, Any]

_ACTS_COUNT = 8
"""At once: more threads would only stand in front of the store's guard."""


class Acting:
    """What changes something."""

    def __init__(self, board: Latchboard, on_stop: Callable[[], None]) -> None:
        self._board = board
        self._on_stop = on_stop
        self._acts = asyncio.Semaphore(_ACTS_COUNT)

    def endpoints(self) -> dict[str, Callable[[Request], Awaitable[Response]]]:
        """What answers, by the last word of its address."""
        return {
            "release": lambda request: self._act(request, "release", self._release),
            "break": lambda request: self._act(request, "break", self._break),
            "send": lambda request: self._act(request, "send", self._send),
            "handoff": lambda request: self._act(request, "handoff", self._handoff),
            "stop": self._stop,
        }

    async def _act(self, request: Request, name: str, act: Callable[..., Facts]) -> Response:
        given = check("the body", openapi.schema(f"post-{name}"), await body.read(request))
        async with self._acts:
            return answer(await in_thread(lambda: act(**given)))

    async def _stop(self, request: Request) -> Response:
        check("the body", openapi.schema("post-stop"), await body.read(request))
        response = answer({"stopping": True}, 202)
        response.background = BackgroundTask(self._say_stop)  # when the answer is on its way
        return response

    async def _say_stop(self) -> None:
        self._on_stop()

    # -- each in a thread ---------------------------------------------------------------------------------------------

    def _release(
        self, *, agent: str, paths: list[str] | None = None, all: bool = False, token: int | None = None
    ) -> Facts:
        """Give back, and say what was not there to be given."""
        if all == bool(paths):
            raise UsageError("release takes paths, or all: true; one of them")
        locks = self._board.locks
        released = locks.release_names(agent, paths or None, token=token)
        names = locks.names(paths) if paths else released
        # A link that was not named stays as long as another path of its file needs it.
        missing = [n for n in names if n not in released and (not n.startswith("hardlink:") or n in (paths or ()))]
        return {"agent": agent, "released": released, "not_held": missing}

    def _break(self, *, agent: str, path: str, reason: str, token: int | None = None) -> Facts:
        """End somebody's hold, and say whose it was."""
        locks = self._board.locks
        damaged = ""
        try:
            locks.check([path])
        except MalformedRecord as exc:
            damaged = exc.message
        broken = handoff.break_lock(locks, path, by=agent, reason=reason, token=token)
        return {"by": agent, "reason": reason, "broken": broken, "damaged": damaged}

    def _send(
        self, *, agent: str, body: str, to: str | None = None, all: bool = False, ack: bool = False, **options: Any
    ) -> Facts:
        """Send, and say under which id."""
        if all == (to is not None):
            raise UsageError("send takes to, or all: true; one of them")
        mailbox = self._board.mailbox
        options["ack"] = "required" if ack or "ack_by_s" in options else "none"
        if to is None:
            return {"message": mailbox.broadcast(agent, body, **options)}
        return {"message": mailbox.send(agent, to, body, **options)}

    def _handoff(self, *, action: str, **given: Any) -> Facts:
        acts: dict[str, Callable[..., Facts]] = {"request": self._ask, "grant": self._grant, "decline": self._decline}
        return acts[action](**given)

    def _ask(
        self,
        *,
        agent: str,
        paths: list[str],
        shared: bool = False,
        wait_s_max: float | None = None,
        ttl_s: float | None = None,
        reason: str = "",
    ) -> Facts:
        """Ask the holders, and do not wait: the answer comes as a message."""
        locks = self._board.locks
        request = locks.request(agent, paths, shared=shared, bound="agent", ttl_s=ttl_s, reason=reason)
        outcome = handoff.ask_and_go(locks, request, wait_s_max=wait_s_max)
        if not isinstance(outcome, Hold):
            return {"agent": agent, "granted": False, "request": request.request, "asked": outcome.facts()}
        return {
            "granted": True,
            "request": request.request,
            "agent": agent,
            "mode": request.wants[0]["mode"],
            "locks": [{"name": name, "token": token} for name, token in outcome.tokens.items()],
            "token": outcome.token,
            "ttl_s": request.ttl_s,
            "waited_s": round(outcome.waited_s, 3),
        }

    def _grant(self, *, agent: str, request: str) -> Facts:
        moved = handoff.grant(self._board.locks, request, by=agent)
        return {"agent": agent, "request": request, "moved": moved}

    def _decline(self, *, agent: str, request: str, reason: str = "") -> Facts:
        handoff.decline(self._board.locks, request, by=agent, reason=reason)
        return {"agent": agent, "request": request, "reason": reason}
