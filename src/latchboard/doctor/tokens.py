"""Tokens: whether each credential that is configured can be used, and whether secrets are kept from others.

Law. No token is shown, whole or in part, nor anything that stands in a file that cannot be read.

Protocol: protocol/health.md, "Doctor"; protocol/credential.md.
"""

from __future__ import annotations

from latchboard.doctor.check import Check, Seen
from latchboard.errors import MalformedRecord, StoreError, StoreForbidden, UnsafeFolder, UnsupportedVersion
from latchboard.rules import credential as rules
from latchboard.rules.finding import Finding, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from latchboard.clock import Clock
    from latchboard.doctor.port import Kept, Place

UNUSABLE = ("missing", "cleared", "damaged", "newer", "expired")
"""Why a credential is a finding F-001."""


def credentials(root: str, kept: Sequence[Kept], clock: Clock, place: Place) -> Check:
    """Each `[credential.NAME]`."""

    def look(_: float) -> Seen:
        findings, facts = [], []
        for one in kept:
            state, can_refresh = standing(one, clock)
            facts.append({"name": one.name, "state": state, "where": one.where, "can_refresh": can_refresh})
            finding = _finding(root, one, state, can_refresh, place)
            findings += [finding] if finding is not None else []
        told = {"keyring": "in the keyring, which is not opened"}
        words = [f"{one['name']} {told.get(str(one['state']), one['state'])}" for one in facts]
        text = ", ".join(words) or "no credential is configured"
        return Seen(text, findings, credentials=facts)

    return Check("tokens", "credentials", look)


def standing(one: Kept, clock: Clock) -> tuple[str, bool]:
    """How a credential stands, in one word, and whether it can be refreshed.

    Returns:
        `fresh`, `expiring`, `expired`, `missing`, `cleared`; `damaged`: its record cannot be read; `newer`: a later
            version wrote it; `open`: others can read it; `unread`: nobody can; `misconfigured`;
            `keyring`: not looked at.
    """
    if one.trouble:
        return "misconfigured", False
    if not one.path:
        return "keyring", False
    try:
        grant = one.load()
    except MalformedRecord:
        return "damaged", False
    except UnsupportedVersion:
        return "newer", False
    except (StoreForbidden, UnsafeFolder):
        return "open", False
    except StoreError:
        return "unread", False
    face = None if grant is None else grant.face
    state = rules.state(face, now_s=clock.now().wall_s, valid_s_min=one.valid_s_min)
    return state, grant is not None and grant.refresh_token is not None


def _finding(root: str, one: Kept, state: str, can_refresh: bool, place: Place) -> Finding | None:
    about: dict[str, Any] = {"credential": one.name, "state": state}
    if state == "damaged":
        text = f"the credential {one.name} cannot be read, and no log-in can replace it: {one.where}"
        remedy = command("latchboard", "doctor", "--reset", "--root", root)
        return Finding("F-001", text, remedy, **about)
    if state == "newer":
        text = f"the credential {one.name} was written by a newer latchboard, which alone can use it"
        return Finding("F-001", text, command("python3", "-m", "pip", "install", "-U", "latchboard"), **about)
    if state == "open":
        text = f"the credential {one.name} is refused: it is no plain file of this user alone; others may know it"
        return Finding("F-121", text, _closing(one.path, place), **about)
    if state == "unread":
        text = f"the credential {one.name} could not be looked at"
        return Finding("F-100", text, command("ls", "-ld", one.path), section="tokens", check="credentials", **about)
    if state == "misconfigured":
        text = f"[credential.{one.name}] in the project's settings cannot be right: {one.trouble}"
        return Finding("F-001", text, command("latchboard", "credential", "status", "--root", root), **about)
    if state in ("missing", "cleared") or (state == "expired" and not can_refresh):
        words = {"missing": "has no grant", "cleared": "was ended by its issuer"}
        text = f"the credential {one.name} {words.get(state, 'has expired, and cannot be refreshed')}: log in"
        return Finding("F-001", text, one.login_command, **about)
    return None


def _closing(path: str, place: Place) -> str:
    """What keeps a secret from others: the permissions of one's own file; anything else makes room for a log-in."""
    try:
        found = place.mode(path)
    except OSError:  # not even its folder may be looked into
        return command("ls", "-ld", path)
    if found is not None and found[0] & 0o077 and found[1:] == (place.here()["uid"], "file"):
        return command("chmod", "600", path)
    return command("mv", path, f"{path}.aside")


def secret(root: str, path: str, place: Place) -> Check:
    """The daemon's token: that nobody else can read it. It is not read."""

    def look(_: float) -> Seen:
        found = place.mode(path)
        if found is None:
            return Seen("the daemon has no token yet", is_there=False)
        mode, uid, kind = found
        if kind == "file" and not mode & 0o077:
            whose = "this user's" if uid == place.here()["uid"] else f"user {uid}'s"
            return Seen(f"the daemon's token is {whose} alone", is_there=True)
        text = f"the daemon's token is no plain file of its user alone: {path}. A daemon refuses it"
        remedy = command("rm", *(["-r"] if kind == "folder" else []), path)
        return Seen(text, [Finding("F-121", text, remedy, path=path)], is_there=True)

    return Check("tokens", "daemon token", look)
