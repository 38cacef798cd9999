"""Handle: one configured credential: refresh it, tell how it stands, take in what a log-in got.

    result = board.credential("github").refresh()
    headers = {"Authorization": f"Bearer {result.require().access_token.reveal()}"}

Protocol: protocol/credential.md.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from latchboard.credential.grant import Grant
from latchboard.credential.transaction import Limits, run_refresh_transaction
from latchboard.errors import CoordinationError, StoreBusy
from latchboard.machine_lock import read_lock_record
from latchboard.rules import credential as rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from latchboard.clock import Clock
    from latchboard.credential.grant import Issued
    from latchboard.credential.port import CredentialStore, Refresher
    from latchboard.credential.profile import Profile
    from latchboard.credential.result import RefreshResult
    from latchboard.rules.credential import Version


class Credential:
    """One credential of this user, as a project configures it.

    Attributes:
        profile: Its configuration.
        store: Where it is kept.
        lock_path: Its machine lock.
    """

    __slots__ = ("_clock", "_refresher", "_trace", "lock_path", "profile", "store")

    def __init__(
        self,
        profile: Profile,
        store: CredentialStore,
        refresher: Refresher,
        *,
        lock_path: str,
        clock: Clock,
        trace: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """Open nothing; `trace` is told how each transaction ended."""
        self.profile = profile
        self.store = store
        self.lock_path = lock_path
        self._refresher = refresher
        self._clock = clock
        self._trace = trace or _nowhere

    async def refresh_async(self, *, seen: Version | None = None, limits: Limits | None = None) -> RefreshResult:
        """As `run_refresh_transaction`."""
        try:
            result = await run_refresh_transaction(
                self.profile.name,
                self.store,
                self._refresher,
                lock_path=self.lock_path,
                seen=seen,
                limits=limits or self.profile.limits,
                login_command=self.profile.login_command,
                clock=self._clock,
            )
        except CoordinationError as exc:
            cause = exc.fields.get("cause")
            self._trace({"credential": self.profile.name, "outcome": None, "code": exc.code, "cause": cause})
            raise
        cleared = result.grant.cleared or {}
        self._trace({**result.facts(), "cause": cleared.get("cause"), "command": cleared.get("command")})
        return result

    def refresh(self, *, seen: Version | None = None, limits: Limits | None = None) -> RefreshResult:
        """As `refresh_async`, for a thread without a loop."""
        return asyncio.run(self.refresh_async(seen=seen, limits=limits))

    def accept(self, issued: Issued) -> Grant:
        """Write what a log-in got: a newer grant than any before, whatever stands there.

        Raises:
            StoreBusy: It was changed by others ten times while this was written.
        """
        for _ in range(10):
            found = self.store.load()
            before = Grant(token_endpoint=self.profile.token_endpoint) if found is None else found
            grant = before.renewed(issued, now_s=self._clock.now().wall_s)
            grant.token_endpoint = self.profile.token_endpoint
            grant.refresh_token = issued.refresh_token  # never that of whoever was logged in before
            if self.store.replace(grant, expected=found.face if found is not None else None):
                return grant
        raise StoreBusy(f"{self.store.where} was changed by others all the time", hint="try again")

    def facts(self) -> dict[str, Any]:
        """How it stands: no token in it. What cannot be read is told, not raised."""
        now_s, grant, trouble = self._clock.now().wall_s, None, ""
        try:
            grant = self.store.load()
        except CoordinationError as exc:
            trouble = exc.message
        face = grant.face if grant is not None else None
        ends = grant is not None and grant.expires_s is not None
        valid_s_min = self.profile.limits.valid_s_min
        return {
            "name": self.profile.name,
            "state": "unreadable" if trouble else rules.state(face, now_s=now_s, valid_s_min=valid_s_min),
            "version": grant.version if grant is not None else None,
            "generation": grant.generation if grant is not None else None,
            "expires_at": grant.expires_at if grant is not None else None,
            "remaining_s": round(grant.expires_s - now_s, 3) if ends and grant and grant.expires_s else None,
            "can_refresh": grant is not None and grant.refresh_token is not None,
            "cleared": grant.cleared if grant is not None else None,
            "trouble": trouble or None,
            "where": self.store.where,
            "token_endpoint": self.profile.token_endpoint,
            "login_command": self.profile.login_command,
            "lock_path": self.lock_path,
            "lock": self._lock_facts(),
        }

    def _lock_facts(self) -> dict[str, Any] | None:
        try:
            record = read_lock_record(self.lock_path)
        except CoordinationError:
            return None  # the state is what was asked for; a lock that cannot be read is met by the next refresh
        return None if record is None else {"pid": record.pid, "started_at": record.started_at, "host": record.host}


def _nowhere(facts: dict[str, Any]) -> None:
    """Nobody wants to know."""
