"""The keyring store on a keyring of its own: a backend as any other, in memory."""

from __future__ import annotations

from typing import Any

import pytest
from keyring.backend import KeyringBackend

from latchboard.credential import GrantRefused
from latchboard.credential.keychain import KeyringCredentialStore
from latchboard.errors import MalformedRecord, StoreUnavailable
from tests.services.credential.conftest import Desk, issued


class Memory(KeyringBackend):
    """Keeps passwords in a dict."""

    priority: Any = 0

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.is_locked:
            raise PermissionError("locked: access-old-secret")
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def keyring() -> Memory:
    return Memory()


@pytest.fixture
def kept(desk: Desk, keyring: Memory) -> Desk:
    """The desk, with its credential in the keyring."""
    desk.store = KeyringCredentialStore("github", backend=keyring)  # type: ignore[assignment]  # a store like any other
    return desk


def test_transactions_on_a_keyring(kept: Desk, keyring: Memory) -> None:
    kept.put(kept.grant(1, "old", lifetime_s=-5))
    kept.issuer.steps = [issued("new"), GrantRefused("invalid_grant")]

    first = kept.run()
    second = kept.run(seen=first.grant.face)

    assert (first.outcome, second.outcome) == ("refreshed", "current_rejection_cleared")
    assert list(keyring.kept) == [("latchboard", "github")]
    assert "secret" not in keyring.kept["latchboard", "github"]


def test_nothing_unexpected_is_overwritten(kept: Desk) -> None:
    old, newer = kept.grant(1, "old"), kept.grant(2, "new")
    assert kept.store.replace(newer, expected=None)

    assert not kept.store.replace(old, expected=old.face)
    assert not kept.store.replace(old, expected=None)
    found = kept.store.load()
    assert found is not None
    assert found.version == newer.version


def test_trouble_is_typed_and_says_nothing_secret(kept: Desk, keyring: Memory) -> None:
    keyring.kept["latchboard", "github"] = "access-old-secret"
    with pytest.raises(MalformedRecord) as malformed:
        kept.store.load()
    keyring.is_locked = True
    with pytest.raises(StoreUnavailable, match="the keyring says PermissionError") as locked:
        kept.store.load()

    for told in (malformed, locked):
        assert "access-old-secret" not in f"{told.value!r} {told.value} {told.value.__context__!r}"


def test_session_without_a_keyring_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    import keyring.core

    monkeypatch.setattr(keyring.core, "_keyring_backend", None)

    with pytest.raises(StoreUnavailable, match="no keyring"):
        KeyringCredentialStore("github")
