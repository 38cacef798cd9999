"""Keyring store: a credential in the system's keyring (Secret Service, KWallet, Keychain, Credential Locker).

The one module that imports `keyring`; extra `latchboard[keyring]`.

A keyring has no compare-and-set: the comparison and the write are two steps, under the machine lock of the transaction
and nothing else. A program that writes the entry between the two is overwritten.

Protocol: protocol/credential.md, "Keyring".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from latchboard.credential.grant import decode_if_any, encode
from latchboard.errors import StoreUnavailable, UsageError
from latchboard.rules import credential as rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from latchboard.credential.grant import Grant
    from latchboard.rules.credential import Version

SERVICE = "latchboard"
T = TypeVar("T")


class KeyringCredentialStore:
    """A `CredentialStore` in a keyring.

    Args:
        name: Its entry is `latchboard` / name.
        backend: A keyring backend; the system's own otherwise.

    Raises:
        UsageError: The extra is not installed.
        StoreError: There is no keyring that keeps secrets safe.
    """

    __slots__ = ("_backend", "_name", "where")

    def __init__(self, name: str, *, backend: Any = None) -> None:
        self._backend = _system_backend() if backend is None else backend
        self._name = name
        self.where = f"keyring entry {SERVICE}/{name}"

    def load(self) -> Grant | None:
        """As the port says."""
        return decode_if_any(self._do("read", self._get), self.where)

    def replace(self, grant: Grant, *, expected: Version | None) -> bool:
        """As the port says, but for the gap between comparing and writing."""
        found = self.load()
        if found is None or expected is None:
            is_expected = found is None and expected is None
        else:
            is_expected = rules.is_same(expected, found.face)
        if is_expected:
            self._do("write", lambda: self._backend.set_password(SERVICE, self._name, encode(grant).decode()))
        return is_expected

    def _get(self) -> bytes | None:
        text = self._backend.get_password(SERVICE, self._name)
        return None if text is None else text.encode("utf-8", "replace")

    def _do(self, what: str, action: Callable[[], T]) -> T:
        """Call the backend. Its own words are not repeated: they may have the secret in them."""
        try:
            return action()
        except Exception as exc:  # noqa: BLE001 - each backend has its own errors
            kind = type(exc).__name__
        raise StoreUnavailable(
            f"cannot {what} {self.where}: the keyring says {kind}",
            hint='unlock the keyring and try again, or set store = "file"',
        )


def _system_backend() -> Any:
    try:
        import keyring
        from keyring.backends import fail, null
    except ImportError as exc:
        raise UsageError("keyrings need the extra `keyring`", hint="pip install 'latchboard[keyring]'") from exc
    backend = keyring.get_keyring()
    if isinstance(backend, fail.Keyring | null.Keyring):
        raise StoreUnavailable(
            "this session has no keyring that could keep a credential", hint='start one, or set store = "file"'
        )
    return backend
