"""Port: what a refresh needs from the place that keeps a credential, and from whoever talks to the issuer.

Protocol: protocol/credential.md, "Stores" and "Refresher".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from latchboard.credential.grant import Grant, Issued
    from latchboard.rules.credential import Version


class CredentialStore(Protocol):
    """One credential's place. Its methods are called from any thread, and block for milliseconds."""

    where: str
    """For people: a path, or a keyring's entry."""

    def load(self) -> Grant | None:
        """The grant as it is now; None when there is none.

        Raises:
            StoreError: It cannot be read.
            ProtocolError: What is there is no grant.
        """
        ...

    def replace(self, grant: Grant, *, expected: Version | None) -> bool:
        """Write `grant` if the store still has the version `expected` (None: has none); atomic, and durable.

        Returns:
            False: it has another one; nothing was changed.

        Raises:
            StoreError: Nothing was changed, unless the message says otherwise.
        """
        ...


class Refresher(Protocol):
    """Asks the issuer. It is cancelled when the time for it is over."""

    def prepare(self) -> None:
        """Load what is slow to load. Called under the lock, by the one that will ask, before the call's time begins.

        Raises:
            UsageError: What is needed is not installed.
        """
        ...

    async def refresh(self, grant: Grant) -> Issued:
        """Show the refresh token, once, and return what the issuer gave for it.

        Raises:
            GrantRefused: The issuer refused this very grant (`invalid_grant`).
            RefreshRejected: It refused for another reason; the grant may be good.
            RefreshFailed: It was not reached, or made no sense.
        """
        ...


class GrantRefused(Exception):
    """The issuer does not honour the grant that it was shown. Says the error's code and nothing the issuer wrote."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause
