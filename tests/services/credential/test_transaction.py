from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path

import pytest

from latchboard.credential import Grant, GrantRefused, Issued, Limits, RefreshOutcome
from latchboard.credential.errors import NoUsableGrant, RefreshBusy, RefreshFailed
from latchboard.errors import HoldLost, StoreError, UsageError
from latchboard.machine_lock import MachineFileLock, read_lock_record
from tests.services.credential.conftest import ENDPOINT, Desk, issued


def test_expired_grant_is_refreshed_and_written(desk: Desk) -> None:
    old = desk.put(desk.grant(1, "old", lifetime_s=-5))
    desk.issuer.steps = [issued("new")]

    result = desk.run()

    assert result.outcome is RefreshOutcome.REFRESHED
    assert desk.issuer.shown == ["refresh-old-secret"]
    found = desk.store.load()
    assert found is not None
    assert (found.generation, found.version) == (old.generation + 1, result.require().version)
    assert found.access_token is not None
    assert found.access_token.reveal() == "access-new-secret"
    assert desk.path.stat().st_mode & 0o777 == 0o600
    assert desk.path.parent.stat().st_mode & 0o777 == 0o700
    assert read_lock_record(desk.lock_path) is None


def test_fresh_grant_is_adopted_without_lock_and_call(desk: Desk) -> None:
    desk.put(desk.grant(1, "good"))

    with MachineFileLock(desk.lock_path):
        result = desk.run()

    assert result.outcome is RefreshOutcome.ADOPTED_NEWER
    assert desk.issuer.shown == []


def test_one_that_was_refused_is_refreshed_though_the_clock_calls_it_fresh(desk: Desk) -> None:
    grant = desk.put(desk.grant(1, "revoked"))
    desk.issuer.steps = [issued("new")]

    assert desk.run(seen=grant.face).outcome is RefreshOutcome.REFRESHED
    assert desk.run(seen=grant.face).outcome is RefreshOutcome.ADOPTED_NEWER
    assert len(desk.issuer.shown) == 1


def test_rejection_of_the_current_grant_clears_it_and_names_cause_and_command(desk: Desk) -> None:
    desk.put(desk.grant(1, "dead", lifetime_s=-5))
    desk.issuer.steps = [GrantRefused("the issuer at issuer.example refused it: invalid_grant")]

    result = desk.run()

    assert result.outcome is RefreshOutcome.CURRENT_REJECTION_CLEARED
    for found in (result.grant, desk.store.load()):
        assert found is not None
        assert found.access_token is None
        assert found.refresh_token is None
        assert found.cleared is not None
        assert found.cleared["cause"].endswith("refused it: invalid_grant")
        assert found.cleared["command"] == "gh-login"
    for ask in (result.require, desk.run):
        with pytest.raises(NoUsableGrant) as told:
            ask()
        assert told.value.fields["cause"].endswith("invalid_grant")
        assert told.value.fields["command"] == "gh-login"
        assert "log in again: gh-login" in str(told.value)
    assert len(desk.issuer.shown) == 1


@pytest.mark.parametrize("lifetime_s", [3600.0, -5.0])
def test_stale_rejection_never_removes_what_came_during_the_call(desk: Desk, lifetime_s: float) -> None:
    desk.put(desk.grant(1, "old", lifetime_s=-5))
    newer = desk.grant(2, "theirs", lifetime_s=lifetime_s)

    def refuse() -> GrantRefused:
        desk.put(newer)
        return GrantRefused("invalid_grant")

    desk.issuer.steps = [refuse]
    result = desk.run()

    assert result.outcome is RefreshOutcome.STALE_REJECTION_PRESERVED
    assert result.require().version == newer.version
    assert version(desk) == newer.version


def test_other_tokens_of_the_same_generation_survive_a_rejection(desk: Desk) -> None:
    desk.put(desk.grant(1, "old", lifetime_s=-5))
    theirs = desk.grant(1, "uncounted")

    def refuse() -> GrantRefused:
        desk.put(theirs)
        return GrantRefused("invalid_grant")

    desk.issuer.steps = [refuse]

    assert desk.run().outcome is RefreshOutcome.STALE_REJECTION_PRESERVED
    assert version(desk) == theirs.version


def test_change_between_reading_again_and_clearing_is_seen_by_the_store(desk: Desk) -> None:
    desk.put(desk.grant(1, "old", lifetime_s=-5))
    newer = desk.grant(2, "theirs")
    replace, loads = desk.store.replace, []

    class Late:
        """The store of the desk; somebody writes to it after the last look, before the write."""

        where = desk.store.where

        def load(self) -> Grant | None:
            return desk.store.load()

        def replace(self, grant: Grant, *, expected: object) -> bool:
            loads.append(1)
            if len(loads) == 2:  # the first is the rehearsal
                desk.put(newer)
            return replace(grant, expected=expected)  # type: ignore[arg-type]  # as it came

    desk.issuer.steps = [GrantRefused("invalid_grant")]
    late = Desk(desk.path.parents[1])
    late.issuer, late.store = desk.issuer, Late()  # type: ignore[assignment]  # a store like any other

    assert late.run().outcome is RefreshOutcome.STALE_REJECTION_PRESERVED
    assert version(desk) == newer.version


def test_newer_fresh_grant_wins_over_the_one_that_was_just_issued(desk: Desk) -> None:
    desk.put(desk.grant(1, "old", lifetime_s=-5))
    newer = desk.grant(5, "login")

    def grant() -> Issued:
        desk.put(newer)
        return issued("late")

    desk.issuer.steps = [grant]
    result = desk.run()

    assert result.outcome is RefreshOutcome.ADOPTED_NEWER
    assert version(desk) == newer.version


def test_newer_expired_grant_is_refreshed_in_its_turn(desk: Desk) -> None:
    desk.put(desk.grant(1, "old", lifetime_s=-5))

    def grant() -> Issued:
        desk.put(desk.grant(5, "login", lifetime_s=-1))
        return issued("late")

    desk.issuer.steps = [grant, issued("newest")]
    result = desk.run()

    assert result.outcome is RefreshOutcome.REFRESHED
    assert result.grant.generation == 6
    assert desk.issuer.shown == ["refresh-old-secret", "refresh-login-secret"]


def test_logged_out_during_the_call_stays_logged_out(desk: Desk) -> None:
    desk.put(desk.grant(1, "old", lifetime_s=-5))

    def grant() -> Issued:
        desk.path.unlink()
        return issued("late")

    desk.issuer.steps = [grant]

    with pytest.raises(NoUsableGrant, match="there is none"):
        desk.run()
    assert not desk.path.exists()


def test_lock_timeout_without_anything_newer_is_an_error(desk: Desk) -> None:
    old = desk.put(desk.grant(1, "old", lifetime_s=-5))

    with MachineFileLock(desk.lock_path):
        result = desk.run()

    assert result.outcome is RefreshOutcome.LOCK_TIMEOUT_ERROR
    assert not result.is_usable
    assert version(desk) == old.version
    with pytest.raises(RefreshBusy) as told:
        result.require()
    assert (told.value.exit_status, told.value.retryable) == (10, True)


def test_lock_timeout_adopts_what_came_meanwhile(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put(desk.grant(1, "old", lifetime_s=-5))
    newer = desk.grant(2, "theirs")
    load, looks = desk.store.load, []

    def seen() -> Grant | None:
        looks.append(1)
        if len(looks) == 2:  # the first look is before the wait, the second after its end
            desk.put(newer)
        return load()

    class Watching:
        where = desk.store.where
        load = staticmethod(seen)
        replace = staticmethod(desk.store.replace)

    late = Desk(desk.path.parents[1])
    late.store = Watching()  # type: ignore[assignment]  # a store like any other

    with MachineFileLock(desk.lock_path):
        result = late.run(limits=Limits(lock_wait_s_max=0))

    assert result.outcome is RefreshOutcome.LOCK_TIMEOUT_ADOPTED
    assert result.require().version == newer.version


def test_waiter_goes_on_with_the_new_grant_while_the_lock_is_still_held(desk: Desk) -> None:
    desk.put(desk.grant(1, "old", lifetime_s=-5))

    async def both() -> object:
        waiting = asyncio.create_task(asyncio.to_thread(desk.run, limits=Limits(lock_wait_s_max=20)))
        await asyncio.sleep(0)
        desk.put(desk.grant(2, "theirs"))
        return (await waiting).outcome

    with MachineFileLock(desk.lock_path, max_hold_s=30):
        assert asyncio.run(both()) is RefreshOutcome.ADOPTED_NEWER


def test_call_that_takes_too_long_is_cut_off_and_keeps_the_grant(desk: Desk) -> None:
    old = desk.put(desk.grant(1, "old", lifetime_s=-5))

    async def never() -> Issued:
        await asyncio.Event().wait()
        raise AssertionError

    desk.issuer.steps = [never]

    with pytest.raises(RefreshFailed, match="no answer within") as told:
        desk.run(limits=Limits(call_s_max=0.05))
    assert told.value.retryable
    assert version(desk) == old.version
    assert read_lock_record(desk.lock_path) is None


def test_lock_that_is_lost_in_the_call_is_told_and_what_was_got_is_kept(desk: Desk) -> None:
    desk.put(desk.grant(1, "old", lifetime_s=-5))

    def lose() -> Issued:
        desk.lock_path.unlink()
        desk.lock_path.with_name(f".{desk.lock_path.name}.anchor").unlink()
        return issued("new")

    desk.issuer.steps = [lose]

    with pytest.raises(HoldLost) as told:
        desk.run()
    assert told.value.retryable
    result = desk.run()
    assert (result.outcome, result.grant.generation) == (RefreshOutcome.ADOPTED_NEWER, 2)


def test_call_is_not_begun_when_the_lock_has_too_little_time_left(desk: Desk) -> None:
    desk.put(desk.grant(1, "old", lifetime_s=-5))
    desk.issuer.prepare = lambda: threading.Event().wait(0.3)  # type: ignore[assignment, method-assign]  # slow to load

    with pytest.raises(RefreshFailed, match="no answer within 0 s"):
        desk.run(limits=Limits(call_s_max=0.1, hold_s_max=1.2))
    assert desk.issuer.shown == []


def test_call_must_end_before_the_ceiling_of_the_lock() -> None:
    with pytest.raises(UsageError, match="a second less"):
        Limits(call_s_max=9.5, hold_s_max=10)


def test_nothing_to_refresh_with_says_what_to_do(desk: Desk) -> None:
    with pytest.raises(NoUsableGrant, match="there is none") as told:
        desk.run()
    assert told.value.fields["command"] == "gh-login"

    desk.put(Grant(generation=1, token_endpoint=ENDPOINT, access_token=issued("a").access_token, expires_at=None))
    seen = desk.store.load()
    assert seen is not None
    with pytest.raises(NoUsableGrant, match="no refresh token"):
        desk.run(seen=seen.face)


def test_answer_without_a_refresh_token_keeps_the_old_one(desk: Desk) -> None:
    desk.put(desk.grant(1, "old", lifetime_s=-5))
    desk.issuer.steps = [Issued(issued("new").access_token)]

    grant = desk.run().require()

    assert grant.refresh_token is not None
    assert grant.refresh_token.reveal() == "refresh-old-secret"
    assert grant.expires_at is None


def test_store_that_cannot_be_written_is_met_before_the_token_is_shown_and_leaves_the_old_grant_and_no_lock(
    desk: Desk,
) -> None:
    old = desk.put(desk.grant(1, "old", lifetime_s=-5))
    (Path(f"{desk.path}.tmp") / "in the way").mkdir(parents=True)

    with pytest.raises(StoreError):
        desk.run()
    assert desk.issuer.shown == []  # a token that is shown is turned, and what it is turned into could not be kept
    assert version(desk) == old.version
    assert read_lock_record(desk.lock_path) is None


def test_each_transaction_is_one_line_in_the_log(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "latchboard.credential")
    desk.put(desk.grant(1, "old", lifetime_s=-5))
    desk.issuer.steps = [issued("new"), RefreshFailed("it broke", cause="timeout"), GrantRefused("invalid_grant")]
    desk.run()
    desk.run()
    seen = desk.store.load()
    assert seen is not None
    with pytest.raises(RefreshFailed):
        desk.run(seen=seen.face)
    desk.run(seen=seen.face)
    with pytest.raises(NoUsableGrant):
        desk.run()

    lines = [record.getMessage() for record in caplog.records if record.name == "latchboard.credential"]

    assert [line.split()[1] for line in lines] == [
        "outcome=refreshed",
        "outcome=adopted_newer",
        "outcome=none",
        "outcome=current_rejection_cleared",
        "outcome=none",
    ]
    assert all("credential=github" in line for line in lines)
    assert "cause='invalid_grant' command='gh-login'" in lines[3]


def version(desk: Desk) -> str:
    found = desk.store.load()
    assert found is not None
    return found.version
