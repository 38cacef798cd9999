"""OAuth refresher: shows a refresh token to a token endpoint (RFC 6749, section 6), with Authlib on httpx2.

The one module that imports them, when the issuer is asked and not before (0.3 s); extra `latchboard[oauth]`.

Law 1. A refresh token goes to the endpoint that its grant names, over https (plain http to this machine alone), once:
no retry, no redirect.
Law 2. Nothing that the issuer wrote is repeated but an error's code of the known shape; no exception of a library
leaves, for it has the request, and the token, with it.
Law 3. Only `invalid_grant` (and GitHub's word for it) ends a grant. Everything else may be the client's mistake, or
the network's.

Protocol: protocol/credential.md, "Refresher".
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from latchboard import codec
from latchboard.credential.errors import RefreshFailed, RefreshRejected
from latchboard.credential.grant import Issued
from latchboard.credential.port import GrantRefused
from latchboard.credential.secret import Secret
from latchboard.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from latchboard.credential.grant import Grant

AUTH_METHODS = ("none", "client_secret_basic", "client_secret_post")
ENDS_THE_GRANT = ("invalid_grant", "bad_refresh_token")
LIFETIME_S_MAX = 10 * 366 * 86400.0
TOKEN_LENGTH_MAX = 100_000
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class OAuthRefresher:
    """A `Refresher` for one client at one token endpoint.

    Args:
        credential: Its name, for messages.
        token_endpoint: Its address.
        client_id: As the issuer knows this client.
        client_secret: Gives it when the issuer is asked; None for a public client.
        auth_method: How the client says who it is: one of `AUTH_METHODS`. "": basic with a secret, none without.
        timeout_s: Of each step on the network, seconds.

    Raises:
        UsageError: The address or the method cannot be right.
    """

    def __init__(
        self,
        *,
        credential: str,
        token_endpoint: str,
        client_id: str,
        client_secret: Callable[[], Secret] | None = None,
        auth_method: str = "",
        timeout_s: float = 8.0,
    ) -> None:
        self.credential = credential
        self.token_endpoint = check_endpoint(token_endpoint)
        self._client_id = client_id
        self._client_secret = client_secret
        self._auth_method = auth_method or ("client_secret_basic" if client_secret else "none")
        self._timeout_s = timeout_s
        if self._auth_method not in AUTH_METHODS or (self._auth_method != "none") != (client_secret is not None):
            raise UsageError(
                f"auth_method of {credential} cannot be {self._auth_method!r} "
                f"{'with' if client_secret else 'without'} a client secret",
                hint=f"one of {', '.join(AUTH_METHODS)}; the first without a secret, the others with one",
            )

    async def refresh(self, grant: Grant) -> Issued:
        """As the port says."""
        if grant.token_endpoint != self.token_endpoint:
            raise RefreshRejected(
                f"the grant of {self.credential} belongs to {grant.token_endpoint}, not to {self.token_endpoint}; "
                "it was shown to nobody",
                hint="mend token_endpoint in latchboard.toml, or log in again",
                credential=self.credential,
                cause="another token endpoint",
            )
        if self._client_secret is not None and not self._client_secret().reveal():
            raise UsageError(
                f"the client secret of {self.credential} is empty",
                hint="export the variable that client_secret_env names",
            )
        status, answer, trouble = await self._ask(self._load(), grant)
        if trouble:
            raise self._failed(trouble)
        return self._read(status, answer)

    def prepare(self) -> None:
        """As the port says: Authlib and httpx2."""
        self._load()

    def _load(self) -> Any:
        try:
            from authlib.integrations.httpx_client import AsyncOAuth2Client
        except ImportError as exc:
            raise UsageError("refreshing needs the extra `oauth`", hint="pip install 'latchboard[oauth]'") from exc
        return AsyncOAuth2Client

    async def _ask(self, make_client: Any, grant: Grant) -> tuple[int, Secret, str]:
        """Status and body of the answer, or what went wrong. Its body is handed on wrapped: it has tokens in it."""
        token = grant.refresh_token
        if token is None:
            return 0, Secret(""), "there is no refresh token"
        kept: list[Any] = []
        try:
            async with make_client(
                client_id=self._client_id,
                client_secret=self._client_secret().reveal() if self._client_secret else None,
                token_endpoint_auth_method=self._auth_method,
                timeout=self._timeout_s,
                follow_redirects=False,
                trust_env=urlsplit(self.token_endpoint).hostname not in _LOOPBACK,
            ) as client:
                client.register_compliance_hook("refresh_token_response", _Keep(kept))
                await client.refresh_token(self.token_endpoint, refresh_token=token.reveal())
        except _Kept:
            trouble = ""
        except asyncio.CancelledError:
            if not kept:
                raise
            trouble = ""  # it came while the connection was closed; what is in hand may be the only good grant
        except Exception as exc:  # noqa: BLE001 - whatever it is, it has the request with it, and goes no further
            trouble = type(exc).__name__
        else:
            trouble = "no answer"
        return (kept[0].status_code, Secret(kept[0].text), "") if kept else (0, Secret(""), trouble)

    def _read(self, status: int, body: Secret) -> Issued:
        """What an answer gives, or the error that it is."""
        issued, code = _understood(body)
        if code:
            if code in ENDS_THE_GRANT and status < 500:
                raise GrantRefused(f"the issuer at {urlsplit(self.token_endpoint).netloc} refused it: {code}")
            if 400 <= status < 500 and status not in (408, 425, 429):
                raise RefreshRejected(
                    f"the issuer of {self.credential} refused: {code} (status {status}); the grant is kept",
                    hint="check client_id, the client's secret and auth_method in latchboard.toml",
                    credential=self.credential,
                    cause=code,
                )
            raise self._failed(f"{code} (status {status})")
        if status != 200:
            raise self._failed(f"status {status}")
        if issued is None:
            raise self._failed("an answer that is no token response")
        return issued

    def _failed(self, cause: str) -> RefreshFailed:
        return RefreshFailed(
            f"the issuer of {self.credential} could not be asked: {cause}; the grant is kept",
            hint=f"try again; is {self.token_endpoint} reachable from here?",
            credential=self.credential,
            cause=cause,
        )


class _Kept(Exception):
    """The answer is kept: what Authlib would make of it is not wanted, for its errors repeat what the issuer wrote."""


class _Keep:
    """Takes the answer out of Authlib's hands."""

    def __init__(self, kept: list[Any]) -> None:
        self._kept = kept

    def __call__(self, response: Any) -> Any:
        self._kept.append(response)
        raise _Kept


def check_endpoint(address: str) -> str:
    """The address, if a token may be sent there. Raises UsageError."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        good = parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
        good = good and bool(host) and not parts.username and not parts.fragment and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or not address.isascii() or not address.isprintable() or " " in address:
        raise UsageError(
            f"{address[:200]!r} cannot be a token endpoint", hint="an https address; http for 127.0.0.1, ::1, localhost"
        )
    return address


def _understood(body: Secret) -> tuple[Issued | None, str]:
    """What was given, or the error's code; neither: it makes no sense. Raises nothing: no frame keeps the body."""
    try:
        answer = codec.decode(body.reveal())
    except ValueError:
        return None, ""
    error = answer.get("error")
    if error is not None:
        return None, error if _is_code(error) else "an error without a proper code"
    return _issued(answer), ""


def _issued(answer: dict[str, Any]) -> Issued | None:
    access, refresh, lifetime = (answer.get(name) for name in ("access_token", "refresh_token", "expires_in"))
    if isinstance(lifetime, str) and lifetime.isascii() and lifetime.isdecimal() and len(lifetime) < 12:
        lifetime = int(lifetime)  # some issuers quote it
    bad_lifetime = type(lifetime) not in (int, float, type(None)) or not 0 <= (lifetime or 0) <= LIFETIME_S_MAX
    if not isinstance(access, str) or not _is_token(access) or bad_lifetime:
        return None
    if not (refresh is None or _is_token(refresh)):
        return None
    return Issued(
        Secret(access),
        Secret(refresh) if refresh else None,
        lifetime_s=lifetime,
        token_type=_plain(answer.get("token_type")),
        scope=_plain(answer.get("scope")),
    )


def _is_token(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= TOKEN_LENGTH_MAX and value.isascii() and value.isprintable()


def _is_code(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 40 and not set(value) - set("abcdefghijklmnopqrstuvwxyz_")


def _plain(value: object) -> str:
    return value if isinstance(value, str) and value.isascii() and value.isprintable() and len(value) < 4000 else ""
