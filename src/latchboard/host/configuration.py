"""Configuration: settings from `latchboard.toml` in the project's root, and from the environment, which wins.

    # latchboard.toml
    lease_ttl_s = 7200
    shared = true
    singleton_types = ["code_developer", "reviewer"]

The same may stand in `pyproject.toml` under `[tool.latchboard]`; where both name a setting, `latchboard.toml` wins.
In the environment a setting is called `LATCHBOARD_` and its name in capitals: `LATCHBOARD_LEASE_TTL_S=7200`; a list is
written with commas.

Law 1. A value that cannot be right, and in the file a name that is no setting, is an error and not ignored: a limit
that silently is another than was written is worse than none. So is a setting that stands below a `[table]`, where it is
the table's: a line that was added at the end of the file.
Law 2. A name in the environment that is no setting is somebody else's: commands find `LATCHBOARD_TOKEN` or
`LATCHBOARD_EVENT` there, and programs of other versions and other people their own. It stops nobody.

Protocol: protocol/cli.md, "Settings".
"""

from __future__ import annotations

import os
from stat import S_ISREG

from latchboard.errors import UsageError, from_os_error
from latchboard.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

FILE = "latchboard.toml"
PROJECT_FILE = "pyproject.toml"
TABLE = b"[tool.latchboard"
PREFIX = "LATCHBOARD_"
TABLES = ("credential", "roles")
"""Tables of latchboard.toml that are no settings: `[credential.NAME]`, `[roles.NAME]`; who owns one checks it."""
_TABLES_OWN = {"credential": ("call_s_max", "store"), "roles": ("lease_ttl_s",)}
"""Names of settings that mean something else in such a table."""
_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def read_settings(root: str, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of the project at `root`.

    Args:
        root: The folder that may have a `latchboard.toml` or a `pyproject.toml`.
        environment: Instead of this process's own.

    Raises:
        UsageError: The file is no TOML, a name in it is wrong, or a value in it or in the environment; says where.
        StoreError: The file is there but cannot be read.
    """
    found = settings_in_files(root)
    known = Settings.reasons()
    environment = os.environ if environment is None else environment
    for name in known:
        text = environment.get(PREFIX + name.upper())
        if text is not None:
            found[name] = _value(name, text)
    return Settings(**found) if found else Settings()


def read_tables(root: str, kind: str) -> dict[str, dict[str, Any]]:
    """The tables `[KIND.NAME]` of the project at `root`, by name; latchboard.toml goes before pyproject.toml.

    Raises:
        UsageError, StoreError: As `read_settings`.
    """
    assert kind in TABLES
    found: dict[str, dict[str, Any]] = {}
    for file, is_project in ((PROJECT_FILE, True), (FILE, False)):
        tables = _parsed(f"{root}/{file}", is_project=is_project).get(kind, {})
        if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
            raise UsageError(f"{root}/{file}: {kind} is made of tables [{kind}.NAME]", hint="mend the file")
        found.update(tables)
    return found


def settings_in_files(root: str) -> dict[str, Any]:
    """What the project's own files say, by setting; the environment is left out.

    Raises:
        UsageError, StoreError: As `read_settings`.
    """
    return {**_from_file(f"{root}/{PROJECT_FILE}", is_project=True), **_from_file(f"{root}/{FILE}")}


def _from_file(path: str, *, is_project: bool = False) -> dict[str, Any]:
    found = _parsed(path, is_project=is_project)
    return {name: value for name, value in found.items() if name not in TABLES}


def _parsed(path: str, *, is_project: bool) -> dict[str, Any]:
    try:
        with open(path, "rb", opener=_opened_at_once) as file:
            if not S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"{path} is no file", hint="mend it; nothing was changed")
            data = file.read()
    except FileNotFoundError:
        return {}
    except NotADirectoryError as exc:
        raise UsageError(f"{os.path.dirname(path)} is no folder", hint="name the project's folder") from exc
    except OSError as exc:
        raise from_os_error(exc, "read", path) from exc
    if is_project and TABLE not in data:  # most have no such table, and need not be read as TOML for it
        return {}
    from latchboard.host import plain_toml

    try:
        found = plain_toml.read(data.decode()) if not is_project else None
        if found is None:
            import tomllib  # ten milliseconds that plain settings need not pay

            found = tomllib.loads(data.decode())
            if is_project:
                found = found.get("tool", {}).get("latchboard", {})
        Settings(**{name: value for name, value in found.items() if name not in TABLES})
        for kind in TABLES:
            _refuse_settings_in(found.get(kind, {}), kind, kind)
    except (ValueError, TypeError, AttributeError) as exc:
        raise UsageError(f"{path} is no TOML: {exc}", hint="mend the file; nothing was changed") from exc
    except UsageError as exc:
        raise UsageError(f"{path}: {exc.message}", hint=exc.hint) from exc
    return found


def _refuse_settings_in(table: object, name: str, kind: str) -> None:
    """Of a table in a table, as `[roles.builder.env]`, only the store's address is looked for: its names are free."""
    for key, value in table.items() if isinstance(table, dict) else ():
        is_address = key == "store" and str(value).startswith(("etcd://", "etcds://"))
        is_setting = name.count(".") == 1 and key in Settings.reasons() and key not in _TABLES_OWN[kind]
        if is_address or is_setting:
            raise UsageError(f"{key} stands in [{name}], where it is no setting", hint="put it above the first [table]")
        _refuse_settings_in(value, f"{name}.{key}", kind)


def _opened_at_once(path: str, flags: int) -> int:
    """A pipe in the place of a file must not keep a hook, and the git behind it, waiting for a writer."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _value(name: str, text: str) -> bool | float | str | tuple[str, ...]:
    """What a text from the environment means for this setting."""
    if isinstance(getattr(Settings(), name), tuple):
        return tuple(word for one in text.split(",") if (word := one.strip()))
    if isinstance(getattr(Settings(), name), str):
        return text.strip()
    if isinstance(getattr(Settings(), name), bool):
        if text.strip().lower() not in _WORDS:
            raise UsageError(f"{PREFIX}{name.upper()} is true or false, not {text!r}")
        return _WORDS[text.strip().lower()]
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{PREFIX}{name.upper()} is a number, not {text!r}") from None
