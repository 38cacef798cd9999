"""Profile: what latchboard.toml says about one credential. No secret stands in it.

    [credential.github]
    token_endpoint = "https://github.com/login/oauth/access_token"
    client_id = "Iv1.0123456789abcdef"
    client_secret_env = "GITHUB_CLIENT_SECRET"     # the name of a variable, for a client that has a secret
    login_command = "gh-login"

Protocol: protocol/credential.md, "Configuration".
"""

from __future__ import annotations

from typing import Any

from latchboard.credential.oauth import AUTH_METHODS, check_endpoint
from latchboard.credential.transaction import Limits
from latchboard.errors import UsageError
from latchboard.rules.credential import check_name

STORES = ("file", "keyring")
_TEXTS = ("token_endpoint", "client_id", "client_secret_env", "auth_method", "store", "path", "login_command")
_SECONDS = ("valid_s_min", "lock_wait_s_max", "call_s_max", "hold_s_max")


class Profile:
    """One `[credential.NAME]`.

    Attributes:
        name: Of the credential.
        token_endpoint, client_id: Of the issuer.
        client_secret_env: The environment variable with the client's secret; "": a public client.
        auth_method: One of `AUTH_METHODS`; "": chosen by whether there is a secret.
        store: `file` or `keyring`.
        path: Of the file; "": in the user's state folder.
        login_command: Gets a new grant; goes into messages.
        limits: Times.

    Raises:
        UsageError: A name or a value cannot be right.
    """

    __slots__ = (
        "auth_method",
        "client_id",
        "client_secret_env",
        "limits",
        "login_command",
        "name",
        "path",
        "store",
        "token_endpoint",
    )

    def __init__(self, name: str, table: dict[str, Any]) -> None:
        self.name = check_name(name)
        unknown = sorted(set(table) - {*_TEXTS, *_SECONDS})
        if unknown:
            raise _wrong(name, unknown[0], f"is not known; known are {', '.join((*_TEXTS, *_SECONDS))}")
        for key in _TEXTS:
            value = table.get(key, "")
            if not isinstance(value, str) or not value.isprintable():
                raise _wrong(name, key, "is no text on one line")
        for key in _SECONDS:
            value = table.get(key, 1)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
                raise _wrong(name, key, "is no number of seconds")
        for key in ("token_endpoint", "client_id"):
            if not table.get(key):
                raise _wrong(name, key, "is missing")
        self.token_endpoint = check_endpoint(table["token_endpoint"])
        self.client_id: str = table["client_id"]
        self.client_secret_env: str = table.get("client_secret_env", "")
        self.auth_method: str = table.get("auth_method", "")
        self.store: str = table.get("store", "file")
        self.path: str = table.get("path", "")
        self.login_command: str = table.get("login_command") or f"the program that got {name} for you"
        self.limits = Limits(**{key: float(table[key]) for key in _SECONDS if key in table})
        if self.auth_method not in ("", *AUTH_METHODS):
            raise _wrong(name, "auth_method", f"is one of {', '.join(AUTH_METHODS)}")
        if self.store not in STORES:
            raise _wrong(name, "store", f"is one of {', '.join(STORES)}")


def _wrong(name: str, key: str, what: str) -> UsageError:
    return UsageError(f"[credential.{name}] in latchboard.toml: {key} {what}", hint="mend it; nothing was changed")
