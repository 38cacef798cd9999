"""Refresh transaction: of all who find one grant expired, one asks the issuer, and the others adopt what it got.

    result = await run_refresh_transaction("github", store, refresher, lock_path=path, seen=grant.face)
    grant = result.require()

Law 1. Read again before asking, under the lock; read again after every answer. What is decided is decided on that
(rules/credential.py), and written only if the store still says it.
Law 2. What the issuer gave is in the store before anything can interrupt: there is no await between the two. Whoever
is cancelled in the call (a time limit of the caller, Ctrl-C) ends it first, and writes what it gave; a second
cancellation does not wait.
Law 3. The call ends before the lock's ceiling does: a call that is cut off may have rotated the grant unseen.
Law 4. One line in the log for each transaction, without a token.

While another process refreshes, the store is read every 0.1 s: whoever waits goes on as soon as the new grant is
there, and needs the lock no more.

Protocol: protocol/credential.md, "Transaction".
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from latchboard.clock import SystemClock
from latchboard.credential.errors import RefreshFailed
from latchboard.credential.log import tell_failure, tell_result
from latchboard.credential.port import GrantRefused
from latchboard.credential.result import RefreshResult, no_usable_grant
from latchboard.errors import CoordinationError, UsageError
from latchboard.machine_lock import LockAcquireTimeout, MachineFileLock, MachineHold
from latchboard.rules import credential as rules

if TYPE_CHECKING:
    import os

    from latchboard.clock import Clock
    from latchboard.credential.grant import Grant, Issued
    from latchboard.credential.port import CredentialStore, Refresher
    from latchboard.rules.credential import Version

LOOK_S = 0.1
SPARE_S = 1.0  # between the end of a call and the ceiling of the lock: for writing what it gave
ROUNDS_MAX = 5
"""How often a transaction begins anew because others changed the store under it."""


class Limits:
    """Times of a transaction, seconds.

    Attributes:
        valid_s_min: A grant that ends sooner is expired.
        lock_wait_s_max: Longest wait for another process's refresh.
        call_s_max: Longest call to the issuer.
        hold_s_max: Ceiling of the machine lock.

    Raises:
        UsageError: The call could outlast the lock.
    """

    __slots__ = ("call_s_max", "hold_s_max", "lock_wait_s_max", "valid_s_min")

    def __init__(
        self,
        *,
        valid_s_min: float = 60.0,
        lock_wait_s_max: float = 10.0,
        call_s_max: float = 8.0,
        hold_s_max: float = 10.0,
    ) -> None:
        if call_s_max + SPARE_S > hold_s_max:
            raise UsageError(
                f"call_s_max ({call_s_max:g}) must be a second less than hold_s_max ({hold_s_max:g}), or less",
                hint="a call that is cut off by the lock's ceiling may lose the new grant",
            )
        self.valid_s_min = valid_s_min
        self.lock_wait_s_max = lock_wait_s_max
        self.call_s_max = call_s_max
        self.hold_s_max = hold_s_max


async def run_refresh_transaction(  # noqa: PLR0913 - all by keyword but the three that it is about
    credential: str,
    store: CredentialStore,
    refresher: Refresher,
    *,
    lock_path: str | os.PathLike[str],
    seen: Version | None = None,
    limits: Limits | None = None,
    login_command: str = "",
    clock: Clock | None = None,
) -> RefreshResult:
    """Refresh a credential, or adopt what another process got for it.

    Args:
        credential: Its name, for messages.
        store: Where it is kept.
        refresher: Asks the issuer.
        lock_path: The machine lock; the same for all who share the store.
        seen: The version that was found wanting (the issuer or a server refused it). None: a fresh one is adopted.
        limits: Times.
        login_command: What to do when the grant is ended; goes into the cleared record.
        clock: Tells when grants end; the system's otherwise.

    Returns:
        One of six outcomes; `result.require()` is the grant, or the error.

    Raises:
        NoUsableGrant: There is nothing to refresh with; has cause and command.
        RefreshFailed: The issuer could not be asked; the grant is kept. Retryable.
        RefreshRejected: The issuer refused the client or the request; the grant is kept.
        HoldLost: The lock's files were deleted meanwhile; what the issuer gave is written. Retryable: it is adopted.
        StoreError, ProtocolError: The store or the lock cannot be used, or holds no grant.
    """
    one = _Transaction(credential, store, refresher, limits or Limits(), clock or SystemClock())
    one.login_command = login_command
    one.lock_path = lock_path
    try:
        result = await one.run(seen)
    except CoordinationError as exc:
        tell_failure(credential, exc)
        raise
    tell_result(result)
    return result


class _Transaction:
    """One run."""

    def __init__(
        self, credential: str, store: CredentialStore, refresher: Refresher, limits: Limits, clock: Clock
    ) -> None:
        self.credential = credential
        self.store = store
        self.refresher = refresher
        self.limits = limits
        self.clock = clock
        self.login_command = ""
        self.lock_path: str | os.PathLike[str] = ""
        self.started_s = _elapsed_s()
        self.waited_s = 0.0
        self.call_s = 0.0
        self.is_cancelled = False

    async def run(self, seen: Version | None) -> RefreshResult:
        """Look, wait for the lock while looking, then do it."""
        grant, do, outcome = self._look("loaded", seen)
        while do == rules.CALL:
            # From here on the one that was found expired is the reference: whoever waits wants a newer one than that.
            seen, left_s = grant.face, self.limits.lock_wait_s_max - self._waited_s()
            lock = MachineFileLock(
                self.lock_path,
                max_hold_s=self.limits.hold_s_max,
                acquire_timeout_s=min(LOOK_S, max(left_s, 0.0)),
            )
            try:
                async with lock as hold:
                    self.waited_s = self._waited_s()
                    try:
                        return await self._refresh(seen, hold)
                    finally:
                        if self.is_cancelled:  # what came of the call is written
                            raise asyncio.CancelledError
            except LockAcquireTimeout:
                pass  # somebody is at it: look what came of it
            self.waited_s = self._waited_s()
            is_over = self.waited_s >= self.limits.lock_wait_s_max
            grant, do, outcome = self._look("locked_out" if is_over else "loaded", seen)
        return self._result(outcome, grant)

    async def _refresh(self, reference: Version, hold: MachineHold) -> RefreshResult:
        """Under the lock."""
        for _ in range(ROUNDS_MAX):
            grant, do, outcome = self._look("loaded", reference)
            if do != rules.CALL:
                return self._result(outcome, grant)
            used, called_s = grant, self.clock.now().wall_s
            if not self._is_ready(used):
                continue
            try:
                issued = await self._call(used, hold)
            except GrantRefused as refused:
                event, after = "rejected", used.ended(cause=refused.cause, command=self.login_command, now_s=called_s)
            else:
                event, after = "granted", used.renewed(issued, now_s=called_s)
            grant, do, outcome = self._settle(event, used, after)
            if do != rules.AGAIN:
                return self._result(outcome, grant)
            reference = grant.face
        raise RefreshFailed(
            f"the credential {self.credential} was changed by others {ROUNDS_MAX} times while it was refreshed",
            hint="other programs write to it without the lock: see protocol/credential.md",
            credential=self.credential,
            cause="changed by others",
        )

    def _is_ready(self, used: Grant) -> bool:
        """Meet what can fail before the token is shown, for what it is turned into must be written. False: look again.

        The write is the one that comes after the call, rehearsed with what is there: a full disk, a folder without
        permission or a locked keyring costs nothing yet.
        """
        if used.refresh_token is None:
            raise no_usable_grant(self.credential, used, command=self.login_command)
        self.refresher.prepare()
        return self.store.replace(used, expected=used.face)

    async def _call(self, used: Grant, hold: MachineHold) -> Issued:
        started_s = _elapsed_s()
        limit_s = min(self.limits.call_s_max, hold.remaining_s - SPARE_S)
        if limit_s > 0:  # else the token is not shown: the ceiling would cut off the answer
            call = asyncio.ensure_future(self.refresher.refresh(used))
            try:
                await self._finish(call, started_s + limit_s)
            finally:
                self.call_s += _elapsed_s() - started_s
            if not call.cancelled():
                return call.result()
        raise RefreshFailed(
            f"the issuer of {self.credential} gave no answer within {max(limit_s, 0.0):.3g} s",
            hint="try again; should it have answered later, the next refresh may be refused",
            credential=self.credential,
            cause="timeout",
        )

    async def _finish(self, call: asyncio.Future[Issued], deadline_s: float) -> None:
        """Wait for a call; end it when its time is over. One cancellation waits for it too, a second one ends it."""
        try:
            try:
                await asyncio.wait((call,), timeout=deadline_s - _elapsed_s())
            except asyncio.CancelledError:
                self.is_cancelled = True
                await asyncio.wait((call,), timeout=max(deadline_s - _elapsed_s(), 0.0))
        finally:
            call.cancel()  # does nothing to one that is done
        await asyncio.wait((call,))

    def _settle(self, event: str, used: Grant, after: Grant) -> tuple[Grant, str, str]:
        """Write what follows from an answer, unless the store has changed meanwhile: then decide again."""
        for _ in range(ROUNDS_MAX):
            grant, do, outcome = self._look(event, used.face)
            if do not in (rules.WRITE, rules.CLEAR):
                return grant, do, outcome
            after.generation = grant.generation + 1
            if self.store.replace(after, expected=grant.face):
                return after, do, outcome
        return used, rules.AGAIN, ""

    def _look(self, event: str, reference: Version | None) -> tuple[Grant, str, str]:
        """What the store says, and what that means. Raises NoUsableGrant when it has no grant."""
        grant = self.store.load()
        do, outcome = rules.decide(
            event,
            reference,
            grant.face if grant is not None else None,
            now_s=self.clock.now().wall_s,
            valid_s_min=self.limits.valid_s_min,
        )
        if grant is None or do == rules.STOP:
            raise no_usable_grant(self.credential, grant, command=self.login_command)
        return grant, do, outcome

    def _waited_s(self) -> float:
        return _elapsed_s() - self.started_s

    def _result(self, outcome: str, grant: Grant) -> RefreshResult:
        return RefreshResult(self.credential, outcome, grant, waited_s=self.waited_s, call_s=self.call_s)


def _elapsed_s() -> float:
    """The loop's own time, which its waits go by; the clock is for when grants end."""
    return asyncio.get_running_loop().time()
