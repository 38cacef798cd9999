"""Figures: `/metrics`, what happened in the project and what this daemon is busy with, as Prometheus reads it.

Protocol: protocol/http.md, "Metrics".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from latchboard.rules import metrics as rules
from latchboard.surface.web.query import Query
from latchboard.surface.web.shared import Shared

if TYPE_CHECKING:
    from starlette.requests import Request

    from latchboard.compose import Latchboard
    from latchboard.rules.metrics import Family
    from latchboard.surface.web.push import Hub

MEDIA_TYPE = "text/plain; version=0.0.4"


class Figures:
    """Counts answers, and shows all figures."""

    def __init__(self, board: Latchboard, hub: Hub) -> None:
        self._board = board
        self._hub = hub
        self._shared = Shared(self._text)  # whoever asks needs no token: asking often must keep nobody out
        self._answers: dict[str, int] = {}

    def count(self, status: int) -> None:
        """An answer has begun."""
        kind = f"{status // 100}xx"
        self._answers[kind] = self._answers.get(kind, 0) + 1

    async def get(self, request: Request) -> Response:
        """All of them."""
        Query(request, ())
        return Response(await self._shared.get(), media_type=MEDIA_TYPE)

    def _text(self) -> bytes:
        """In a thread."""
        families = [*self._board.metrics.collect(), *self._own()]
        return "".join(f"{line}\n" for line in rules.exposition(families)).encode()

    def _own(self) -> list[Family]:
        hub, answers = self._hub, [({"status": kind}, count) for kind, count in sorted(self._answers.copy().items())]
        return [
            rules.family("http_answers", "counter", "Answers of this daemon, by status.", answers),
            rules.family("pages_open", "gauge", "Pages that hear of every commit.", [({}, hub.pages_count)]),
            rules.family("page_events", "counter", "Events that pages were sent.", [({}, hub.sent_count)]),
            rules.family(
                "page_losses", "counter", "How often a page was told to read the board again.", [({}, hub.lost_count)]
            ),
        ]
