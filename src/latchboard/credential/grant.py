"""Grant: what an issuer gave: an access token, mostly a refresh token, and until when; or that it was ended, and why.

Law 1. Tokens are `Secret`: nothing that shows, compares by text or writes down a grant has them, but `encode`.
Law 2. The generation grows by one with each change that is written; with the fingerprint it says exactly which grant.
Law 3. A grant belongs to one token endpoint. Shown to another one it would be given away.

Protocol: protocol/credential.md, "Record".
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from latchboard import clock, codec
from latchboard.credential.secret import Secret
from latchboard.errors import MalformedRecord, UnsupportedVersion
from latchboard.rules import credential as rules

if TYPE_CHECKING:
    from latchboard.rules.credential import Face

SCHEMA_VERSION = 1
FINGERPRINT_LENGTH = 16
_KNOWN = (
    "schema_version",
    "generation",
    "token_endpoint",
    "access_token",
    "refresh_token",
    "token_type",
    "scope",
    "expires_at",
    "obtained_at",
    "cleared",
)


class Issued:
    """What an issuer's answer to a refresh says (RFC 6749, section 5.1).

    Attributes:
        access_token, refresh_token: The second is None where the old one stays good.
        lifetime_s: Of the access token; None: not said.
        token_type, scope: "" when not said.
    """

    __slots__ = ("access_token", "lifetime_s", "refresh_token", "scope", "token_type")

    def __init__(
        self,
        access_token: Secret,
        refresh_token: Secret | None = None,
        *,
        lifetime_s: float | None = None,
        token_type: str = "",
        scope: str = "",
    ) -> None:
        self.access_token = access_token
        self.refresh_token = refresh_token
        self.lifetime_s = lifetime_s
        self.token_type = token_type
        self.scope = scope


class Grant:
    """One state of a credential.

    Attributes:
        generation: From 1 on.
        token_endpoint: Whose grant it is.
        access_token, refresh_token: None where there is none.
        token_type, scope: As the issuer said; "" when it said nothing.
        expires_at: End of the access token, RFC 3339; None: not known.
        obtained_at: When it was got, RFC 3339; "" when not known.
        cleared: None; or `at`, `cause`, `command` and the `version` that was refused: no token is left.
        others: Fields that this version does not know; they are kept.
    """

    __slots__ = (
        "access_token",
        "cleared",
        "expires_at",
        "expires_s",
        "generation",
        "obtained_at",
        "others",
        "refresh_token",
        "scope",
        "token_endpoint",
        "token_type",
    )

    def __init__(  # noqa: PLR0913 - the fields of a record, all by keyword
        self,
        *,
        generation: int = 0,
        token_endpoint: str,
        access_token: Secret | None = None,
        refresh_token: Secret | None = None,
        token_type: str = "",
        scope: str = "",
        expires_at: str | None = None,
        obtained_at: str = "",
        cleared: dict[str, Any] | None = None,
        others: dict[str, Any] | None = None,
    ) -> None:
        self.generation = generation
        self.token_endpoint = token_endpoint
        self.access_token = access_token
        self.refresh_token = refresh_token
        self.token_type = token_type
        self.scope = scope
        self.expires_at = expires_at
        self.expires_s = None if expires_at is None else clock.parse_iso(expires_at)
        self.obtained_at = obtained_at
        self.cleared = cleared
        self.others = others or {}

    @property
    def face(self) -> Face:
        """What rules, logs and answers may see of it."""
        return {
            "generation": self.generation,
            "fingerprint": self._fingerprint(),
            "cleared": self.cleared is not None,
            "refused": self.cleared.get("version") if self.cleared is not None else None,
            "expires_s": self.expires_s,
        }

    @property
    def version(self) -> str:
        """Which grant this is: `7-0123456789abcdef`."""
        return rules.version_text(self.face)

    def _fingerprint(self) -> str:
        parts = [token.reveal().encode() if token else b"" for token in (self.access_token, self.refresh_token)]
        text = b"latchboard credential\0" + b"\0".join(parts)
        return hashlib.sha256(text).hexdigest()[:FINGERPRINT_LENGTH]

    def __repr__(self) -> str:
        return f"Grant(version={self.version!r}, expires_at={self.expires_at!r}, cleared={self.cleared!r})"

    # -- what comes after it

    def renewed(self, issued: Issued, *, now_s: float) -> Grant:
        """The grant that the issuer's answer makes of this one; an answer without a refresh token keeps the old one.

        Args:
            issued: The answer.
            now_s: Unix seconds at which the call began: so the end is early rather than late.
        """
        return Grant(
            generation=self.generation + 1,
            token_endpoint=self.token_endpoint,
            access_token=issued.access_token,
            refresh_token=issued.refresh_token or self.refresh_token,
            token_type=issued.token_type or self.token_type,
            scope=issued.scope or self.scope,
            expires_at=None if issued.lifetime_s is None else clock.iso(now_s + issued.lifetime_s),
            obtained_at=clock.iso(now_s),
            others=self.others,
        )

    def ended(self, *, cause: str, command: str, now_s: float) -> Grant:
        """The record of a grant that the issuer refused: no token is left in it."""
        return Grant(
            generation=self.generation + 1,
            token_endpoint=self.token_endpoint,
            scope=self.scope,
            cleared={"at": clock.iso(now_s), "cause": cause, "command": command, "version": self.version},
            others=self.others,
        )


def encode(grant: Grant) -> bytes:
    """The record; the one place that writes tokens. Its caller binds the bytes to no name: see `decode_if_any`."""
    return codec.encode(
        {
            "schema_version": SCHEMA_VERSION,
            "generation": grant.generation,
            "token_endpoint": grant.token_endpoint,
            "access_token": grant.access_token.reveal() if grant.access_token else None,
            "refresh_token": grant.refresh_token.reveal() if grant.refresh_token else None,
            "token_type": grant.token_type,
            "scope": grant.scope,
            "expires_at": grant.expires_at,
            "obtained_at": grant.obtained_at,
            "cleared": grant.cleared,
            **grant.others,
        }
    ).encode()


def decode_if_any(data: bytes | None, where: str) -> Grant | None:
    """The grant in a record; None for none.

    Raises:
        MalformedRecord: It is none. Nothing of what it says is repeated: it may be a token.
        UnsupportedVersion: Of a later schema.
    """
    if data is None:
        return None
    grant, reason, version = _read(data)
    del data  # a traceback that shows the locals of this frame must not show it
    if grant is not None:
        return grant
    if version:
        raise UnsupportedVersion(
            f"{where} has schema_version {version}; this version knows {SCHEMA_VERSION}",
            hint="use the latchboard that wrote it, or a newer one",
            found=version,
            known=SCHEMA_VERSION,
        )
    raise MalformedRecord(
        f"the credential in {where} cannot be read: {reason}",
        hint="nothing was changed: restore it, or remove it and log in again",
        key=where,
        reason=reason,
    )


def _read(data: bytes) -> tuple[Grant | None, str, int]:
    """The grant; else what is wrong, and the schema's version where that is it. Raises nothing."""
    try:
        record = codec.decode(data)
        codec.encode(record)  # what cannot be written again must not be taken in
    except (ValueError, TypeError):
        return None, "it is no JSON object", 0
    version = record.get("schema_version")
    if type(version) is int and version > SCHEMA_VERSION:
        return None, "", version
    wrong = _wrong_field(record)
    if wrong:
        return None, f"its field {wrong} is missing or wrong", 0
    access, refresh = record.get("access_token"), record.get("refresh_token")
    grant = Grant(
        generation=record["generation"],
        token_endpoint=record["token_endpoint"],
        access_token=Secret(access) if access else None,
        refresh_token=Secret(refresh) if refresh else None,
        token_type=record.get("token_type", ""),
        scope=record.get("scope", ""),
        expires_at=record.get("expires_at"),
        obtained_at=record.get("obtained_at", ""),
        cleared=record.get("cleared"),
        others={name: value for name, value in record.items() if name not in _KNOWN},
    )
    return grant, "", 0


def _wrong_field(record: dict[str, Any]) -> str:
    """The name of the first field that cannot be right; "" when all can."""
    cleared = record.get("cleared")
    kinds: dict[str, Any] = {
        "schema_version": record.get("schema_version") == SCHEMA_VERSION,
        "generation": type(record.get("generation")) is int and 0 <= record["generation"] < 10**15,
        "token_endpoint": isinstance(record.get("token_endpoint"), str) and bool(record["token_endpoint"]),
        "access_token": isinstance(record.get("access_token"), str | None),
        "refresh_token": isinstance(record.get("refresh_token"), str | None),
        "token_type": isinstance(record.get("token_type", ""), str),
        "scope": isinstance(record.get("scope", ""), str),
        "expires_at": _is_time(record.get("expires_at")),
        "obtained_at": isinstance(record.get("obtained_at", ""), str),
        "cleared": cleared is None or (isinstance(cleared, dict) and isinstance(cleared.get("cause"), str)),
    }
    if cleared is None and not record.get("access_token") and not record.get("refresh_token"):
        kinds["access_token"] = False
    return next((name for name, is_right in kinds.items() if not is_right), "")


def _is_time(value: object) -> bool:
    if value is None:
        return True
    try:
        clock.parse_iso(value)  # type: ignore[arg-type]  # it refuses whatever is no text
    except ValueError:
        return False
    return True
