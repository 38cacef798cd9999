"""A credential in a file, and an issuer that does what a test tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from latchboard.clock import iso
from latchboard.credential import FileCredentialStore, Grant, Issued, Limits, RefreshResult, Secret
from latchboard.credential.transaction import run_refresh_transaction
from latchboard.host.secret_file import SecretFile
from latchboard.testing import ManualClock
from tests import issuer as issuers

ENDPOINT = "https://issuer.example/token"


class Scripted:
    """A `Refresher` that does the next thing on its list: gives what it is, raises it, or calls it for either."""

    def __init__(self) -> None:
        self.steps: list[Any] = []
        self.shown: list[str] = []

    def prepare(self) -> None:
        """Nothing is slow here."""

    async def refresh(self, grant: Grant) -> Issued:
        assert grant.refresh_token is not None
        self.shown.append(grant.refresh_token.reveal())
        step = self.steps.pop(0)
        if callable(step):
            step = step()
        if asyncio.iscoroutine(step):
            step = await step
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, Issued)
        return step


class Desk:
    """One credential, and what to do with it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "own" / "github.json"
        self.lock_path = folder / "own" / "github.lock"
        self.store = FileCredentialStore(SecretFile(str(self.path)))
        self.clock = ManualClock()
        self.issuer = Scripted()
        self.limits = Limits(lock_wait_s_max=0.05)

    def grant(self, generation: int, word: str, *, lifetime_s: float | None = 3600.0) -> Grant:
        end = None if lifetime_s is None else iso(self.clock.now().wall_s + lifetime_s)
        return Grant(
            generation=generation,
            token_endpoint=ENDPOINT,
            access_token=Secret(f"access-{word}-secret"),
            refresh_token=Secret(f"refresh-{word}-secret"),
            expires_at=end,
        )

    def put(self, grant: Grant) -> Grant:
        """Write it, whatever is there: as a log-in does."""
        found = self.store.load()
        assert self.store.replace(grant, expected=found.face if found else None)
        return grant

    def run(self, **how: Any) -> RefreshResult:
        given = {"lock_path": self.lock_path, "clock": self.clock, "limits": self.limits, **how}
        work = run_refresh_transaction("github", self.store, self.issuer, login_command="gh-login", **given)
        return asyncio.run(work)


def issued(word: str) -> Issued:
    return Issued(Secret(f"access-{word}-secret"), Secret(f"refresh-{word}-secret"), lifetime_s=3600)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def issuer() -> Iterator[issuers.Issuer]:
    with issuers.running() as running:
        yield running
