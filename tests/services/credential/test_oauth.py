from __future__ import annotations

import asyncio
import errno
import logging
import os
import sys
import traceback

import pytest

from latchboard.credential import Grant, GrantRefused, Issued, Limits, Secret
from latchboard.credential.errors import RefreshFailed, RefreshRejected
from latchboard.credential.oauth import OAuthRefresher, check_endpoint
from latchboard.credential.transaction import run_refresh_transaction
from latchboard.errors import CoordinationError, StoreFull, UsageError
from latchboard.machine_lock import MachineFileLock
from tests.issuer import PATIENCE_S, Gate, Issuer
from tests.services.credential.conftest import Desk

# An issuer listens on a real port, and the libraries of the extra take a second to load: not the fast lane.
pytestmark = pytest.mark.process

CLIENT_SECRET = "client-secret-0000"
JSON = {"Content-Type": "application/json"}


def refresher(issuer: Issuer, **how: object) -> OAuthRefresher:
    given = {"credential": "github", "token_endpoint": issuer.url, "client_id": "me", **how}
    return OAuthRefresher(**given)  # type: ignore[arg-type]  # as a test likes


def grant(issuer: Issuer) -> Grant:
    access, refresh = Secret("first-access-token-0000"), Secret(issuer.good)
    return Grant(generation=1, token_endpoint=issuer.url, access_token=access, refresh_token=refresh)


def ask(issuer: Issuer, **how: object) -> Issued:
    return asyncio.run(refresher(issuer, **how).refresh(grant(issuer)))


def test_good_token_is_exchanged_once(issuer: Issuer) -> None:
    issued = ask(issuer)

    assert issued.access_token.reveal().startswith("access-token-0-")
    assert issued.refresh_token is not None
    assert issued.refresh_token.reveal() == issuer.good
    assert (issued.lifetime_s, issued.token_type) == (3600, "Bearer")
    (form,) = issuer.requests
    sent = {"grant_type": "refresh_token", "refresh_token": "first-refresh-token-0000", "client_id": "me"}
    assert form == sent


@pytest.mark.parametrize("method", ["", "client_secret_basic", "client_secret_post"])
def test_client_says_who_it_is(issuer: Issuer, method: str) -> None:
    ask(issuer, client_secret=lambda: Secret(CLIENT_SECRET), auth_method=method)

    (form,) = issuer.requests
    if method == "client_secret_post":
        assert (form["client_id"], form["client_secret"]) == ("me", CLIENT_SECRET)
    else:
        assert form["basic"] == f"me:{CLIENT_SECRET}"
        assert CLIENT_SECRET not in (form.get("client_secret"), form.get("client_id"))


def test_token_that_was_used_before_is_a_refused_grant(issuer: Issuer) -> None:
    old = grant(issuer)
    asyncio.run(refresher(issuer).refresh(old))

    with pytest.raises(GrantRefused, match=r"refused it: invalid_grant$"):
        asyncio.run(refresher(issuer).refresh(old))


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (401, b'{"error":"invalid_client"}', RefreshRejected, "invalid_client"),
        (400, b'{"error":"unauthorized_client"}', RefreshRejected, "unauthorized_client"),
        (400, b'{"error":"Look: first-refresh-token-0000"}', RefreshRejected, "without a proper code"),
        (400, b'{"error":7}', RefreshRejected, "without a proper code"),
        (200, b'{"error":"bad_refresh_token"}', GrantRefused, "bad_refresh_token"),
        (503, b'{"error":"invalid_grant"}', RefreshFailed, "status 503"),
        (429, b'{"error":"slow_down"}', RefreshFailed, "slow_down"),
        (400, b"<html>first-refresh-token-0000", RefreshFailed, "status 400"),
        (500, b"", RefreshFailed, "status 500"),
        (302, b"", RefreshFailed, "status 302"),
        (200, b"", RefreshFailed, "no token response"),
        (200, b"[1]", RefreshFailed, "no token response"),
        (200, b'{"access_token":5}', RefreshFailed, "no token response"),
        (200, b'{"access_token":"a\\nb"}', RefreshFailed, "no token response"),
        (200, b'{"access_token":"a","refresh_token":["b"]}', RefreshFailed, "no token response"),
        (200, b'{"access_token":"a","expires_in":-1}', RefreshFailed, "no token response"),
        (200, b'{"access_token":"a","expires_in":1e300}', RefreshFailed, "no token response"),
        (200, b'{"access_token":"a","expires_in":true}', RefreshFailed, "no token response"),
    ],
)
def test_other_answers(issuer: Issuer, status: int, body: bytes, kind: type[Exception], words: str) -> None:
    issuer.answers[0] = (status, {**JSON, "Location": "/elsewhere"}, body)

    with pytest.raises(kind) as told:
        ask(issuer)

    assert words in str(told.value)
    assert "first-refresh-token-0000" not in leaks(told.value)
    assert len(issuer.requests) == 1
    if isinstance(told.value, CoordinationError):
        assert told.value.retryable == (kind is RefreshFailed)


@pytest.mark.parametrize(("said", "lifetime_s"), [("3600", 3600), (60.5, 60.5), (None, None)])
def test_lifetimes_as_issuers_say_them(issuer: Issuer, said: object, lifetime_s: float | None) -> None:
    issuer.lifetime_s = said

    assert ask(issuer).lifetime_s == lifetime_s


def test_nobody_listens(issuer: Issuer) -> None:
    issuer.url = "http://127.0.0.1:9/token"

    with pytest.raises(RefreshFailed, match="ConnectError") as told:
        ask(issuer)
    assert "first-refresh-token-0000" not in leaks(told.value)


def test_answer_that_does_not_come_is_given_up(issuer: Issuer) -> None:
    issuer.gates[0] = Gate()

    with pytest.raises(RefreshFailed, match="ReadTimeout"):
        ask(issuer, timeout_s=1.0)


def test_grant_is_shown_to_no_other_endpoint(issuer: Issuer) -> None:
    theirs = grant(issuer)
    theirs.token_endpoint = "https://issuer.example/token"

    with pytest.raises(RefreshRejected, match="shown to nobody"):
        asyncio.run(refresher(issuer).refresh(theirs))
    assert issuer.requests == []


@pytest.mark.parametrize(
    "address",
    ["", "issuer.example", "http://issuer.example/token", "https://", "ftp://x/", "https://me:pw@x/", "https://x/#y",
     "http://127.0.0.1.evil.example/", "https://x:0x1/", "https://x/\n", "http://localhost@evil.example/"],
)  # fmt: skip
def test_addresses_that_no_token_is_sent_to(address: str) -> None:
    with pytest.raises(UsageError, match="token endpoint"):
        check_endpoint(address)


def test_extra_that_is_not_installed_is_told_before_the_token_is_shown(
    desk: Desk, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "authlib.integrations.httpx_client", None)
    desk.issuer = refresher(issuer)  # type: ignore[assignment]  # a refresher like any other
    old = desk.put(grant(issuer))

    with pytest.raises(UsageError, match="extra `oauth`") as told:
        desk.run(seen=old.face)
    assert "latchboard[oauth]" in told.value.hint
    assert issuer.requests == []


def test_secret_and_method_must_fit(issuer: Issuer) -> None:
    for how in ({"auth_method": "client_secret_basic"}, {"auth_method": "none", "client_secret": lambda: Secret("x")}):
        with pytest.raises(UsageError, match="auth_method"):
            refresher(issuer, **how)
    with pytest.raises(UsageError, match="is empty"):
        ask(issuer, client_secret=lambda: Secret(""))


def test_no_token_in_any_log_error_repr_or_traceback_with_its_locals(
    desk: Desk, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)  # httpx2 and httpcore2 tell much there
    shown: list[str] = []
    secret = {"client_secret": lambda: Secret(CLIENT_SECRET), "auth_method": "client_secret_post"}
    desk.issuer = refresher(issuer, **secret)  # type: ignore[assignment]  # a refresher like any other
    old = grant(issuer)
    old.expires_s = 0.0
    desk.put(old)
    issuer.answers = {
        1: (400, JSON, b'{"error":"invalid_client","error_description":"first-refresh-token-0000"}'),
        2: (500, JSON, b"first-refresh-token-0000"),
    }  # fmt: skip

    shown.append(repr(desk.run(seen=old.face)))
    for _ in range(2):
        seen = desk.store.load()
        assert seen is not None
        shown += [repr(seen), str(seen.face), repr(seen.access_token), f"{seen.refresh_token}"]
        with pytest.raises(CoordinationError) as told:
            desk.run(seen=seen.face)
        shown.append(leaks(told.value))
    issuer.good = "revoked"
    shown += [repr(desk.run(seen=seen.face)), str(desk.path.read_bytes())]
    desk.path.write_bytes(b'{"schema_version":1,"access_token":"first-access-token-0000"')
    with pytest.raises(CoordinationError) as told:
        desk.run()
    shown.append(leaks(told.value))

    everything = "\n".join([*shown, caplog.text, *(str(record.__dict__) for record in caplog.records)])
    assert "current_rejection_cleared" in everything
    assert "httpcore2" in everything
    for token in [*issuer.issued, CLIENT_SECRET]:
        assert token not in everything, token
        assert token[:12] + token[-4:] not in everything


@pytest.mark.parametrize("call", ["unlink", "open", "fchmod", "fsync", "rename"])
def test_write_that_fails_shows_no_token_in_its_frames(
    desk: Desk, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    desk.issuer = refresher(issuer)  # type: ignore[assignment]  # a refresher like any other
    old = desk.put(grant(issuer))
    usual = getattr(os, call)

    def full(path: object, *arguments: object, **options: object) -> object:
        if issuer.requests and (isinstance(path, int) or str(path).endswith(".tmp")):  # not in the rehearsal
            raise OSError(errno.ENOSPC, "no space left")
        return usual(path, *arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(StoreFull) as told:
        patch.setattr(os, call, full)
        desk.run(seen=old.face)

    text = leaks(told.value)
    assert "_write" in text
    assert not [token for token in issuer.issued if token in text]
    found = desk.store.load()
    assert found is not None
    assert found.version == old.version


def test_task_that_is_cancelled_in_its_call_leaves_lock_and_grant(desk: Desk, issuer: Issuer) -> None:
    gate = issuer.gates[0] = Gate()
    old = desk.put(grant(issuer))
    limits = Limits(call_s_max=2.0)
    how = {"lock_path": desk.lock_path, "seen": old.face, "clock": desk.clock, "limits": limits}

    async def cancelled() -> None:
        work = run_refresh_transaction("github", desk.store, refresher(issuer), **how)  # type: ignore[arg-type]
        task = asyncio.create_task(work)
        await asyncio.to_thread(gate.arrived.wait, PATIENCE_S)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())

    found = desk.store.load()
    assert found is not None
    assert found.version == old.version
    with MachineFileLock(desk.lock_path, acquire_timeout_s=0):
        pass


@pytest.mark.parametrize("times", [1, 2])
def test_task_that_is_cancelled_in_its_call_writes_what_the_issuer_gave_unless_it_is_told_twice(
    desk: Desk, issuer: Issuer, times: int
) -> None:
    gate = issuer.gates[0] = Gate(is_behind=True)  # the tokens are turned: the old one is worth nothing
    old = desk.put(grant(issuer))
    how = {"lock_path": desk.lock_path, "seen": old.face, "clock": desk.clock}

    async def cancelled() -> None:
        work = run_refresh_transaction("github", desk.store, refresher(issuer), **how)  # type: ignore[arg-type]
        task = asyncio.create_task(work)
        await asyncio.to_thread(gate.arrived.wait, PATIENCE_S)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0.05)
        if times == 2:
            await asyncio.wait([task], timeout=PATIENCE_S)
        assert task.done() is (times == 2)
        gate.release.set()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())

    found = desk.store.load()
    assert found is not None
    assert (found.refresh_token == Secret(issuer.good)) is (times == 1)
    with MachineFileLock(desk.lock_path, acquire_timeout_s=0):
        pass


@pytest.mark.parametrize("trouble", [asyncio.CancelledError, OSError])
def test_answer_in_hand_is_kept_whatever_comes_while_the_connection_is_closed(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, trouble: type[BaseException]
) -> None:
    from authlib.integrations.httpx_client import AsyncOAuth2Client

    async def close(*arguments: object) -> None:
        raise trouble

    monkeypatch.setattr(AsyncOAuth2Client, "__aexit__", close)

    assert ask(issuer).refresh_token == Secret(issuer.good)


def leaks(exc: BaseException) -> str:
    """Everything that a very talkative reporter could print: causes, contexts and the locals of every frame of ours."""
    told = [str(exc), repr(exc), repr(exc.__dict__)]
    seen: BaseException | None = exc
    while seen is not None:
        lines = traceback.TracebackException.from_exception(seen, capture_locals=True)
        for frame in lines.stack:
            if "/tests/" not in frame.filename:
                told.append(f"{frame.name} {frame.locals}")
        told += list(lines.format_exception_only())
        seen = seen.__cause__ or seen.__context__
    return "\n".join(told)
