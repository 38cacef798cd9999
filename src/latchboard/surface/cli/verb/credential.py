"""credential: one refresh at a time for everybody on this machine, and how a credential stands. No token is shown.

Protocol: protocol/cli.md, "credential refresh"; protocol/credential.md.
"""

from __future__ import annotations

import logging

from latchboard.surface.cli import kind, wording
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.failure import Terminated
from latchboard.surface.cli.grammar import Verb, argument, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.credential.handle import Credential
    from latchboard.credential.result import RefreshResult
    from latchboard.credential.transaction import Limits
    from latchboard.rules.credential import Version
    from latchboard.surface.cli.call import Call

FINDINGS = 3
# What is logged is told in the verb's own words; without a handler Python would print it a second time.
logging.getLogger("latchboard").addHandler(logging.NullHandler())
_SAYS = {
    "adopted_newer": "is fresh; nobody had to be asked",
    "refreshed": "was refreshed",
    "stale_rejection_preserved": "was renewed by somebody else meanwhile; theirs is kept",
    "lock_timeout_adopted": "was renewed by somebody else meanwhile; theirs is kept",
}


def refresh(call: Call, *, name: str, seen: str | None, wait_s_max: float | None, valid_s_min: float | None) -> Answer:
    """Refresh it, or adopt what another process got."""
    from latchboard.credential.transaction import Limits
    from latchboard.rules.credential import parse_version

    one = call.board.credential(name)
    usual = one.profile.limits
    limits = Limits(
        valid_s_min=usual.valid_s_min if valid_s_min is None else valid_s_min,
        lock_wait_s_max=usual.lock_wait_s_max if wait_s_max is None else wait_s_max,
        call_s_max=usual.call_s_max,
        hold_s_max=usual.hold_s_max,
    )
    result = _to_its_end(one, seen=parse_version(seen) if seen is not None else None, limits=limits)
    grant = result.require()
    facts = {**result.facts(), "where": one.store.where}
    ends = "" if grant.expires_at is None else f", until {wording.moment(grant.expires_at, call.now)}"
    lines = [
        f"{printable(name)} {_SAYS[str(result.outcome)]}: version {grant.version}{ends}",
        f"  it is in {printable(one.store.where)}",
    ]
    return Answer(facts, lines)


def _to_its_end(one: Credential, *, seen: Version | None, limits: Limits) -> RefreshResult:
    """Refresh it; SIGTERM and SIGHUP end it as SIGINT does: not before what the issuer gave is written.

    Raises:
        Terminated: A signal came.
    """
    import asyncio
    import signal

    came: list[int] = []

    async def refresh() -> RefreshResult | None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def end(number: int) -> None:
            came.append(number)
            if task is not None:
                task.cancel()

        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                loop.add_signal_handler(number, end, int(number))
        try:
            return await one.refresh_async(seen=seen, limits=limits)
        except asyncio.CancelledError:
            if not came:
                raise
            return None

    result = asyncio.run(refresh())
    if result is None:
        raise Terminated(came[0])
    return result


def status(call: Call, *, names: tuple[str, ...]) -> Answer:
    """How each stands; 3 when one cannot be used and not be refreshed."""
    found = [call.board.credential(name).facts() for name in names or call.board.credential_names()]
    lines: list[str] = []
    for one in found:
        lines += _lines(call, one)
    bad = any(one["state"] in ("missing", "cleared", "unreadable") for one in found)
    if not found:
        lines = ["no credential is configured: latchboard.toml has no [credential.NAME]"]
    return Answer({"credentials": found}, lines, status=FINDINGS if bad else 0)


def _lines(call: Call, one: dict[str, Any]) -> list[str]:
    lines = [f"{printable(one['name'])}: {one['state']}"]
    if one["version"]:
        lines[0] += f", version {one['version']}"
    if one["expires_at"]:
        lines[0] += f", until {wording.moment(one['expires_at'], call.now)}"
    lines.append(f"  where: {printable(one['where'])}")
    if one["trouble"]:
        lines.append(f"  trouble: {printable(one['trouble'])}")
    if one["cleared"]:
        when = wording.ago(str(one["cleared"].get("at")), call.now)
        lines.append(f"  cleared: {printable(str(one['cleared'].get('cause')))}, {when}")
    if one["lock"]:
        lock = one["lock"]
        lines.append(f"  process {lock['pid']} refreshes it since {wording.ago(lock['started_at'], call.now)}")
    if one["state"] in ("missing", "cleared", "unreadable"):
        command = (one["cleared"] or {}).get("command") or one["login_command"]
        lines.append(f"  log in again: {printable(str(command))}")
    elif one["state"] != "fresh":
        lines.append(f"  refresh it: {call.command('credential refresh', one['name'], as_agent=False)}")
    return lines


VERBS = (
    Verb(
        "credential refresh",
        refresh,
        summary="Refresh a credential once, however many ask for it.",
        text="NAME is a [credential.NAME] of latchboard.toml. One that is fresh is left alone; where many find it "
        "expired, one asks the issuer, and the others adopt what it got. --seen VERSION says that this very version "
        "was refused: it is refreshed unless there is a newer one. The token stays in its store. Exit status 0: there "
        "is one to go on with; 1: the issuer ended it, log in again; 10: another process is at it for longer than "
        "this one waited; 13: the issuer could not be asked.",
        parameters=(
            argument("name", "NAME"),
            option("--seen", "VERSION", "The version that was refused; `credential status` shows it."),
            option("--wait-s-max", "SECONDS", "Longest wait for another process's refresh.", kind=kind.seconds),
            option("--valid-s-min", "SECONDS", "One that ends sooner is expired. Default: 60.", kind=kind.seconds),
        ),
        examples=(
            "latchboard credential refresh github",
            "latchboard credential refresh github --seen 7-0123456789abcdef --json",
        ),
    ),
    Verb(
        "credential status",
        status,
        summary="Tell how credentials stand, without showing one.",
        text="All that are configured, or those that are named. Exit status 0: each can be used or refreshed; 3: one "
        "is missing, was ended by its issuer, or cannot be read; what to do stands beside it.",
        parameters=(argument("names", "NAME", count="any"),),
        examples=("latchboard credential status", "latchboard credential status github --json"),
    ),
)
