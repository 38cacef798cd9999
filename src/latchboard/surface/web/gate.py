"""Gate: who may ask for what, looked at before anything else is done with a request.

Law 1. A request whose Host is no name of ours is refused: a page of somebody else's name must not reach the daemon by
       letting that name mean this machine (DNS rebinding).
Law 2. A request that a page of another origin makes is refused, whatever it asks for; it may only lead here (a link).
Law 3. Everything but the page itself, the health and the metrics needs the token, in a header: no cookie, which a
       browser would send along for others.
Law 4. Every response forbids to be kept, guessed at, framed or read by others.

Protocol: protocol/http.md, "Who may ask".
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from latchboard.surface.web.failure import HttpError, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES_MAX = 256 * 1024
BODY_BYTES_MAX_OF = {"/mcp": 4 * 1024 * 1024}
"""As the MCP server has it (protocol/mcp.md, "Transport")."""

HEAD_BYTES_MAX = 32 * 1024

LOOPBACK = frozenset(("127.0.0.1", "localhost", "[::1]"))
_QUIET = frozenset(("/api/health", "/metrics"))
"""Asked by programs that look after daemons: that is no sign that anybody uses this one."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_RAW_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_OURS = frozenset(name for name, _ in _RAW_HEADERS)
"""Said by the gate alone: what another package thinks of being kept is not ours."""


class Gate:
    """The gate before an application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str,
        public: Collection[str],
        allowed_hosts: Iterable[str] = (),
        on_activity: Callable[[], None],
        on_answer: Callable[[int], None],
    ) -> None:
        """Stand before `app`.

        Args:
            app: What is guarded.
            token: The daemon's.
            public: Paths that need no token.
            allowed_hosts: Further names by which the daemon may be reached: `NAME` at any port, or `NAME:PORT`.
            on_activity: Called for each request that somebody made who uses the daemon.
            on_answer: Called with the status of each answer.
        """
        self._app = app
        self._token = token.encode()
        self._public = frozenset(public) | _QUIET
        self._names = frozenset(name.lower() for name in allowed_hosts)
        self._on_activity = on_activity
        self._on_answer = on_answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what may be served."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, self._with_headers(send))
        else:  # a WebSocket: there are none here
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(scope)
            body = _Body(scope, receive)
        except HttpError as exc:
            await refusal(exc)(scope, receive, send)
            return
        if scope["path"] not in _QUIET:
            self._on_activity()
        watched = _Started(send)
        try:
            await self._app(scope, body.receive, watched.send)
        except BodyTooLarge as exc:
            if watched.has_started:
                raise
            await refusal(exc)(scope, receive, send)

    def _with_headers(self, send: Send) -> Send:
        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._on_answer(message["status"])
                headers = message.get("headers", [])
                others = [one for one in headers if one[0].lower() not in _OURS]
                message = {**message, "headers": [*others, *_RAW_HEADERS]}
            await send(message)

        return wrapped

    def _check(self, scope: Scope) -> None:
        host = self._host(scope)
        origins = _values(scope, b"origin")
        if origins and [origin.partition("://")[2] for origin in origins] != [host]:
            raise HttpError(403, "cross-site", "this request was made by a page of another origin")
        if not _is_own_fetch(scope, self._public):
            raise HttpError(403, "cross-site", "this request was made by a page of another site")
        if scope["path"] not in self._public and not self._has_token(scope):
            raise HttpError(
                401,
                "unauthorized",
                "this needs the daemon's token, as `Authorization: Bearer TOKEN`",
                hint="`latchboard daemon open` opens the board with it",
                headers={"www-authenticate": 'Bearer realm="latchboard"'},
            )

    def _host(self, scope: Scope) -> str:
        """The host that was asked for, if it is one of ours."""
        hosts = _values(scope, b"host")
        host = hosts[0] if len(hosts) == 1 else ""
        name, port = _split(host)
        server = scope.get("server") or ("", None)
        is_loopback = name in LOOPBACK and port == str(server[1] or 80)
        if not is_loopback and name not in self._names and host not in self._names:
            raise HttpError(
                421,
                "wrong-host",
                f"{host[:200]!a} is no name by which this daemon may be reached",
                hint="use http://127.0.0.1:PORT, or have it started with that name as an allowed host",
            )
        return host

    def _has_token(self, scope: Scope) -> bool:
        shown = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(shown) != 1:
            return False
        scheme, _, token = shown[0].partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)


class BodyTooLarge(HttpError):
    """More than is kept: the rest is thrown away as it comes, for so long (door.py), that the answer may be read."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(413, "too-large", f"a request has at most {bytes_max} bytes here")


class _Body:
    """The body of a request, as far as it is read. Raises HttpError where what is said of it is too much already."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        target_bytes = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if target_bytes + sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD_BYTES_MAX:
            raise HttpError(431, "too-large", f"the head of a request has at most {HEAD_BYTES_MAX} bytes here")
        lengths = _values(scope, b"content-length")
        brings_some = any(length.strip("0") for length in lengths) or _values(scope, b"transfer-encoding")
        if brings_some and scope["method"] in ("GET", "HEAD"):
            raise HttpError(400, "usage", "a question brings no body", headers={"connection": "close"})
        self._receive = receive
        self._bytes_max = BODY_BYTES_MAX_OF.get(scope["path"], BODY_BYTES_MAX)
        self._bytes = 0
        for length in lengths:
            # A length of more digits than that is refused as well, before anybody makes a number of it.
            if len(length) > 15 or (length.isascii() and length.isdecimal() and int(length) > self._bytes_max):
                raise BodyTooLarge(self._bytes_max)

    async def receive(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._bytes_max:
            raise BodyTooLarge(self._bytes_max)
        return message


class _Started:
    """Whether a response has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_started = False

    async def send(self, message: Message) -> None:
        self.has_started = True
        await self._send(message)


def _values(scope: Scope, wanted: bytes) -> list[str]:
    return [value.decode("latin-1").strip().lower() for name, value in scope["headers"] if name == wanted]


def _split(host: str) -> tuple[str, str]:
    """Name and port; the port of HTTP where none is said."""
    if host.startswith("["):
        name, bracket, rest = host.partition("]")
        return name + bracket, rest.removeprefix(":") if rest.startswith(":") else "80" if not rest else "?"
    name, colon, port = host.partition(":")
    return name, port if colon else "80"


def _is_own_fetch(scope: Scope, public: Collection[str]) -> bool:
    """Whether a browser, if it says so, made the request for a page of ours, or for a person who came here."""
    sites = _values(scope, b"sec-fetch-site")
    if all(site in ("same-origin", "none") for site in sites):
        return True
    is_visit = _values(scope, b"sec-fetch-mode") == ["navigate"] and _values(scope, b"sec-fetch-dest") == ["document"]
    return is_visit and scope["method"] in ("GET", "HEAD") and scope["path"] in public
