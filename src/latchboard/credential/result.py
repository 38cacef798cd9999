"""Result: how a refresh ended, in one of six outcomes, and the grant to go on with.

Protocol: protocol/credential.md, "Outcomes".
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from latchboard.credential.errors import NoUsableGrant, RefreshBusy
from latchboard.rules import credential as rules

if TYPE_CHECKING:
    from latchboard.credential.grant import Grant


class RefreshOutcome(StrEnum):
    """The six ways in which a refresh ends."""

    ADOPTED_NEWER = rules.ADOPTED_NEWER
    REFRESHED = rules.REFRESHED
    STALE_REJECTION_PRESERVED = rules.STALE_REJECTION_PRESERVED
    CURRENT_REJECTION_CLEARED = rules.CURRENT_REJECTION_CLEARED
    LOCK_TIMEOUT_ADOPTED = rules.LOCK_TIMEOUT_ADOPTED
    LOCK_TIMEOUT_ERROR = rules.LOCK_TIMEOUT_ERROR


class RefreshResult:
    """What one transaction came to.

    Attributes:
        credential: Its name.
        outcome: One of six.
        grant: What the store says now: to go on with, or, cleared, with its cause and command.
        waited_s: Until the lock was had, or was needed no more.
        call_s: How long the issuer took; 0.0: it was not asked.
    """

    __slots__ = ("call_s", "credential", "grant", "outcome", "waited_s")

    def __init__(
        self, credential: str, outcome: str, grant: Grant, *, waited_s: float = 0.0, call_s: float = 0.0
    ) -> None:
        self.credential = credential
        self.outcome = RefreshOutcome(outcome)
        self.grant = grant
        self.waited_s = waited_s
        self.call_s = call_s

    @property
    def is_usable(self) -> bool:
        """Whether there is a grant to go on with."""
        return self.outcome not in (RefreshOutcome.CURRENT_REJECTION_CLEARED, RefreshOutcome.LOCK_TIMEOUT_ERROR)

    def require(self) -> Grant:
        """The grant to go on with.

        Raises:
            NoUsableGrant: The issuer refused it, and it was cleared; has cause and command.
            RefreshBusy: Another process was at it for longer than this one waited. Retryable.
        """
        if self.outcome is RefreshOutcome.CURRENT_REJECTION_CLEARED:
            raise no_usable_grant(self.credential, self.grant, command="")
        if self.outcome is RefreshOutcome.LOCK_TIMEOUT_ERROR:
            raise RefreshBusy(
                f"another process refreshes {self.credential}, and had no result after {self.waited_s:.1f} s",
                hint="try again; `latchboard credential status` shows who has the lock",
                credential=self.credential,
                waited_s=round(self.waited_s, 3),
            )
        return self.grant

    def facts(self) -> dict[str, Any]:
        """For answers and logs: no token in it."""
        face = self.grant.face
        return {
            "credential": self.credential,
            "outcome": str(self.outcome),
            "version": self.grant.version,
            "generation": face["generation"],
            "expires_at": self.grant.expires_at,
            "waited_s": round(self.waited_s, 3),
            "call_s": round(self.call_s, 3),
        }

    def __repr__(self) -> str:
        return f"RefreshResult({', '.join(f'{key}={value!r}' for key, value in self.facts().items())})"


def no_usable_grant(credential: str, grant: Grant | None, *, command: str) -> NoUsableGrant:
    """The error for a credential that has to be got anew: its cause, and the command for it."""
    cleared = grant.cleared if grant is not None else None
    if cleared is not None:
        cause, command = str(cleared["cause"]), str(cleared.get("command") or command)
        message = f"the credential {credential} was cleared: {cause}"
    else:
        cause = "there is none" if grant is None else "it has no refresh token"
        message = f"the credential {credential} cannot be refreshed: {cause}"
    return NoUsableGrant(message, hint=f"log in again: {command}", credential=credential, cause=cause, command=command)
