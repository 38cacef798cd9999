"""Failure: what went wrong, as a status of HTTP and the structured error of every surface (protocol/schema/error.json).

Protocol: protocol/http.md, "Errors".
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from latchboard import errors
from latchboard.errors import CoordinationError
from latchboard.surface.web.answer import answer

if TYPE_CHECKING:
    from starlette.responses import Response

TRACEBACK_VARIABLE = "LATCHBOARD_TRACEBACK"
RETRY_S = 1

_log = logging.getLogger("latchboard.web")

_TEXT_CHARS_MAX = 5000  # longer than any path

# The first that fits: from the particular to the general.
_STATUSES: tuple[tuple[type[CoordinationError], int], ...] = (
    (errors.UsageError, 400),
    (errors.Refused, 409),
    (errors.HoldLost, 409),
    (errors.Compacted, 410),
    (errors.StoreFull, 507),
    (errors.StoreUnavailable, 503),
    (errors.Cancelled, 503),
)


class HttpError(CoordinationError):
    """What only a request can do wrong. Nothing was changed.

    Attributes:
        status: Of HTTP.
        headers: Of the response.
    """

    def __init__(
        self, status: int, code: str, message: str, *, hint: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.headers = headers or {}
        self.retryable = status in (408, 503)


def status_of(exc: CoordinationError) -> int:
    """The status of HTTP for an error."""
    if isinstance(exc, HttpError):
        return exc.status
    return next((status for kind, status in _STATUSES if isinstance(exc, kind)), 500)


def refusal(exc: CoordinationError) -> Response:
    """The response that says what went wrong."""
    status = status_of(exc)
    headers = dict(exc.headers) if isinstance(exc, HttpError) else {}
    if status == 503:
        headers.setdefault("retry-after", str(RETRY_S))
    return answer({name: _cut(value) for name, value in exc.to_json().items()}, status, headers)


def internal(exc: BaseException) -> Response:
    """The response to a mistake of our own: its kind, and nothing of its inside, which the log may have."""
    show = _log.exception if os.environ.get(TRACEBACK_VARIABLE) else _log.error
    show("a request failed: %s", type(exc).__name__)
    return answer(internal_facts(exc), 500)


def internal_facts(exc: BaseException) -> dict[str, Any]:
    """The same as facts."""
    return {
        "code": "internal",
        "message": f"a mistake in latchboard itself: {type(exc).__name__}",
        "hint": f"please report it, with what {TRACEBACK_VARIABLE}=1 makes the daemon write to its log",
        "retryable": False,
    }


def _cut(value: Any) -> Any:
    """What was given may come back in an error; a novel need not come back whole."""
    return f"{value[:_TEXT_CHARS_MAX]}..." if isinstance(value, str) and len(value) > _TEXT_CHARS_MAX else value
