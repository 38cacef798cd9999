"""Credentials: from a table of latchboard.toml to the service that keeps and refreshes what it names."""

from __future__ import annotations

import os

from latchboard.credential import building
from latchboard.credential.handle import Credential
from latchboard.credential.log import leave_trace
from latchboard.credential.profile import Profile
from latchboard.errors import UsageError
from latchboard.host.configuration import read_tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.compose import Latchboard


def build(board: Latchboard, name: str) -> Credential:
    """One credential of this user, as `[credential.NAME]` says.

    Raises:
        UsageError: There is no such table, or it cannot be right.
    """
    tables = read_tables(board.root, "credential")
    if name not in tables:
        known = ", ".join(tables) or "there is none"
        raise UsageError(f"no credential {name!r:.80} in latchboard.toml", hint=f"[credential.NAME]: {known}")
    profile = Profile(name, tables[name])
    path = file_of(profile, board.root)
    return Credential(
        profile,
        building.store_of(profile, path),
        building.refresher_of(profile, os.environ),
        lock_path=f"{path}.lock",
        clock=board.clock,
        trace=lambda facts: board.trace(lambda store: leave_trace(store, facts)),
    )


def file_of(profile: Profile, root: str) -> str:
    """The file of a profile's grant, unless that is kept in a keyring; beside it lies its machine lock."""
    if profile.path:
        return os.path.join(root, os.path.expanduser(profile.path))
    folder = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return f"{folder}/latchboard/credentials/{profile.name}.json"


def names(root: str) -> list[str]:
    """Every `[credential.NAME]` of the project's configuration."""
    return list(read_tables(root, "credential"))
