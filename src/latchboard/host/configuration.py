"""Configuration: settings from `latchboard.toml` in the project's root, and from the environment, which wins.

    # latchboard.toml
    lease_ttl_s = 7200
    shared = true

In the environment a setting is called `LATCHBOARD_` and its name in capitals: `LATCHBOARD_LEASE_TTL_S=7200`.

Law 1. A value that cannot be right, and in the file a name that is no setting, is an error and not ignored: a limit
that silently is another than was written is worse than none.
Law 2. A name in the environment that is no setting is somebody else's: commands find `LATCHBOARD_TOKEN` or
`LATCHBOARD_EVENT` there, and programs of other versions and other people their own. It stops nobody.

Protocol: protocol/cli.md, "Settings".
"""

from __future__ import annotations

import os

from latchboard.errors import UsageError, from_os_error
from latchboard.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

FILE = "latchboard.toml"
PREFIX = "LATCHBOARD_"
_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def read_settings(root: str, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of the project at `root`.

    Args:
        root: The folder that may have a `latchboard.toml`.
        environment: Instead of this process's own.

    Raises:
        UsageError: The file is no TOML, a name in it is wrong, or a value in it or in the environment; says where.
        StoreError: The file is there but cannot be read.
    """
    found = _from_file(f"{root}/{FILE}")
    known = Settings.reasons()
    environment = os.environ if environment is None else environment
    for name in known:
        text = environment.get(PREFIX + name.upper())
        if text is not None:
            found[name] = _value(name, text)
    return Settings(**found) if found else Settings()


def _from_file(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise from_os_error(exc, "read", path) from exc
    import tomllib  # some milliseconds that a project without the file does not pay

    try:
        found = tomllib.loads(data.decode())
        Settings(**found)
    except (ValueError, TypeError) as exc:
        raise UsageError(f"{path} is no TOML: {exc}", hint="mend the file; nothing was changed") from exc
    except UsageError as exc:
        raise UsageError(f"{path}: {exc.message}", hint=exc.hint) from exc
    return found


def _value(name: str, text: str) -> bool | float:
    """What a text from the environment means for this setting."""
    if isinstance(getattr(Settings(), name), bool):
        if text.strip().lower() not in _WORDS:
            raise UsageError(f"{PREFIX}{name.upper()} is true or false, not {text!r}")
        return _WORDS[text.strip().lower()]
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{PREFIX}{name.upper()} is a number, not {text!r}") from None
