"""Body: what a request brings, read within limits.

Protocol: protocol/http.md, "Requests".
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from latchboard.codec import decode_strictly
from latchboard.errors import UsageError
from latchboard.surface.web.failure import HttpError

if TYPE_CHECKING:
    from typing import Any

    from starlette.requests import Request

BODY_S = 10.0
"""How long a client may take to say the whole of it."""


async def read(request: Request) -> dict[str, Any]:
    """The JSON object that a request brings.

    Raises:
        HttpError: It is said to be something else, it does not come, or it is too large.
        UsageError: It is no JSON object.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HttpError(415, "unsupported-media-type", "a body is JSON here: `Content-Type: application/json`")
    try:
        async with asyncio.timeout(BODY_S):
            data = await request.body()
    except TimeoutError:
        headers = {"connection": "close"}
        raise HttpError(408, "timeout", f"the body did not come within {BODY_S:g} s", headers=headers) from None
    try:
        return decode_strictly(data)
    except ValueError as exc:
        raise UsageError(f"the body is no JSON object: {exc}", hint='for example {"agent": "operator"}') from exc
