"""Each way in which a credential cannot be used, or its secret not kept, is told by its own name and remedy."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.clock import iso
from latchboard.credential.grant import Grant
from latchboard.credential.secret import Secret
from latchboard.doctor import tokens
from latchboard.errors import MalformedRecord, StoreError, StoreForbidden, UnsafeFolder, UnsupportedVersion
from latchboard.testing import ManualClock
from tests.services.doctor.room import ME, ROOT, Kept, Room

PATH = Kept.path
TOKEN = f"{ROOT}/data/.agent_pids/serve.token"
UPGRADE = "python3 -m pip install -U latchboard"


def grant(*, expires_at: str | None = None, can_refresh: bool = True, cleared: bool = False) -> Grant:
    return Grant(
        generation=1,
        token_endpoint="https://issuer.example/token",
        access_token=None if cleared else Secret("a"),
        refresh_token=Secret("r") if can_refresh and not cleared else None,
        expires_at=expires_at,
        cleared={"at": "", "cause": "invalid_grant"} if cleared else None,
    )


LONG_AGO = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("kept", "expect"),
    [
        (Kept(grant=grant()), []),
        (Kept(grant=grant(expires_at=LONG_AGO)), []),
        (Kept(grant=grant(expires_at=LONG_AGO, can_refresh=False)), [("F-001", "expired", "log in")]),
        (Kept(grant=grant(cleared=True)), [("F-001", "cleared", "log in")]),
        (Kept(), [("F-001", "missing", "log in")]),
        (
            Kept(grant=MalformedRecord("x")),
            [("F-001", "damaged", f"latchboard doctor --reset --root {ROOT}")],
        ),
        (Kept(grant=UnsupportedVersion("x")), [("F-001", "newer", UPGRADE)]),
        (Kept(grant=StoreForbidden("x")), [("F-121", "open", f"mv {PATH} {PATH}.aside")]),
        (Kept(grant=UnsafeFolder("x")), [("F-121", "open", f"mv {PATH} {PATH}.aside")]),
        (Kept(grant=StoreError("x")), [("F-100", "unread", f"ls -ld {PATH}")]),
        (
            Kept(grant=grant(), trouble="no word"),
            [("F-001", "misconfigured", f"latchboard credential status --root {ROOT}")],
        ),
        (Kept(grant=MalformedRecord("x"), path=""), []),
    ],
)
def test_how_a_credential_stands_decides_what_is_told(kept: Kept, expect: list[Any]) -> None:
    found = tokens.credentials(ROOT, [kept], ManualClock(), Room()).look(0.0).findings

    assert {one.section for one in found} <= {"tokens"}
    assert [(one.id, one.about["state"], one.remedy) for one in found] == expect


def test_every_credential_is_told_and_so_is_how_long_each_is_good() -> None:
    clock = ManualClock()
    soon = iso(clock.now().wall_s + 60)
    some = [
        Kept("a"),
        Kept("b", grant(expires_at=soon)),
        Kept("c", grant(expires_at=soon), valid_s_min=90.0),
        Kept("d"),
    ]

    seen = tokens.credentials(ROOT, some, clock, Room()).look(0.0)

    assert seen.text == "a missing, b fresh, c expiring, d missing"
    assert [(one["name"], one["can_refresh"]) for one in seen.facts["credentials"]] == [
        ("a", False),
        ("b", True),
        ("c", True),
        ("d", False),
    ]
    assert [one.about["credential"] for one in seen.findings] == ["a", "d"]


@pytest.mark.parametrize(
    ("mode", "remedy"),
    [
        ((0o604, ME, "file"), f"chmod 600 {PATH}"),
        ((0o640, ME, "file"), f"chmod 600 {PATH}"),
        ((0o600, ME, "file"), f"mv {PATH} {PATH}.aside"),
        ((0o644, ME + 1, "file"), f"mv {PATH} {PATH}.aside"),
        ((0o777, ME, "link"), f"mv {PATH} {PATH}.aside"),
    ],
)
def test_the_permissions_of_ones_own_file_are_closed_and_all_else_makes_room(
    mode: tuple[int, int, str], remedy: str
) -> None:
    place = Room(modes={PATH: mode})

    (found,) = tokens.credentials(ROOT, [Kept(grant=StoreForbidden("x"))], ManualClock(), place).look(0.0).findings

    assert found.remedy == remedy


def test_a_secret_in_a_folder_that_may_not_be_looked_into_is_told_with_how_it_stands() -> None:
    class Closed(Room):
        def mode(self, path: str) -> tuple[int, int, str] | None:
            raise PermissionError(13, "Permission denied")

    (found,) = tokens.credentials(ROOT, [Kept(grant=StoreForbidden("x"))], ManualClock(), Closed()).look(0.0).findings

    assert (found.id, found.remedy) == ("F-121", f"ls -ld {PATH}")


@pytest.mark.parametrize(
    ("mode", "text", "remedies"),
    [
        ((0o600, ME, "file"), "the daemon's token is this user's alone", []),
        ((0o600, ME + 1, "file"), f"the daemon's token is user {ME + 1}'s alone", []),
        ((0o640, ME, "file"), "", [f"rm {TOKEN}"]),
        ((0o600, ME, "link"), "", [f"rm {TOKEN}"]),
        ((0o700, ME, "folder"), "", [f"rm -r {TOKEN}"]),
    ],
)
def test_the_daemons_token_is_one_users_plain_file_alone(
    mode: tuple[int, int, str], text: str, remedies: list[str]
) -> None:
    seen = tokens.secret(ROOT, TOKEN, Room(modes={TOKEN: mode})).look(0.0)

    assert [(one.id, one.remedy) for one in seen.findings] == [("F-121", remedy) for remedy in remedies]
    assert seen.text.startswith(text)


def test_a_daemon_that_never_ran_has_no_token_to_mend() -> None:
    seen = tokens.secret(ROOT, TOKEN, Room()).look(0.0)

    assert (seen.findings, seen.facts) == ([], {"is_there": False})
