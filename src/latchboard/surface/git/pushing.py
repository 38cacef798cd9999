"""Pushing: a commit that passed by somebody's hold stays at home while that hold lasts.

A push writes no file, so that what is held is not asked about: it is the commits found as bypasses (bypass.py) that
are not sent, until their holder has let go and so has had its say. The holder itself may send them.

Protocol: protocol/git.md, "Pushing".
"""

from __future__ import annotations

from latchboard.errors import CoordinationError
from latchboard.rules import git as rules
from latchboard.surface.git import repository
from latchboard.surface.git.guard import REFUSED, trouble
from latchboard.surface.git.held import projects
from latchboard.surface.git.wording import named, quoted, say, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from latchboard.rules.git import Bypass, Passed
    from latchboard.surface.git.who import Who


def before_push(who: Who, arguments: Sequence[str]) -> int:
    """pre-push: the commits that go out."""
    try:
        boards = projects([b""])
        pushes = _pushes() if boards else []
        found: list[tuple[Bypass, list[Passed]]] = []
        for project in boards:
            from latchboard.surface.git import bypass

            known = bypass.known(project.board)
            found += [(one, passed) for one, passed in known if passed]
            bypass.forget(project.board, who.agent, [one["commit"] for one, passed in known if not passed])
        found = [(one, others) for one, passed in found if (others := _of_others(passed, who.agent))]
        if found and pushes:
            sent = repository.unpushed(pushes, arguments[0] if arguments else "")
            found = [(one, passed) for one, passed in found if one["commit"] in sent]
    except CoordinationError as exc:
        return trouble(who, exc.message, exc.hint)
    if not found or not pushes:
        return 0
    say(_refusal(who, found) if who.is_agent else _note(found))
    return REFUSED if who.is_agent else 0


def _of_others(passed: Sequence[Passed], agent: str) -> list[Passed]:
    return [one for one in passed if not rules.is_own(one["agent"], agent)]


def _pushes() -> list[tuple[str, str]]:
    """What is pushed: lines on standard input, or what the pre-commit framework says of one ref."""
    import os
    import sys

    to = os.environ.get("PRE_COMMIT_TO_REF", "")
    if os.environ.get("PRE_COMMIT") == "1" and rules.is_commit(to):
        there = os.environ.get("PRE_COMMIT_FROM_REF", "")
        return [(to, there if rules.is_commit(there) else "")]
    return rules.pushed(sys.stdin.buffer.read())


def _lines(found: Sequence[tuple[Bypass, list[Passed]]]) -> list[str]:
    return [
        f"  commit {one['commit'][:12]}, made {one['at'][:19]}Z by {shown(one['by']) or 'somebody'}: "
        + ", ".join(f"{shown(hold['name'])} is held by {shown(hold['agent'])}" for hold in passed)
        for one, passed in found[:10]
    ]


def _refusal(who: Who, found: Sequence[tuple[Bypass, list[Passed]]]) -> list[str]:
    names = " ".join(named(name) for name in dict.fromkeys(hold["name"] for _, passed in found for hold in passed))
    agent = f" --agent {quoted(who.agent)}" if who.agent else ""
    return [
        "latchboard: refused: this push sends what was committed past somebody's lock:",
        *_lines(found),
        "",
        "Nothing was pushed. It can be pushed as soon as these locks are over. What you can do now:",
        "  push what is before it:  git push <remote> <an earlier commit>:<branch>",
        f"  wait for them:           latchboard acquire {names} --wait-s-max 60{agent}",
        f"  ask for them:            latchboard handoff request {names}{agent} --reason '<what for>'",
    ]


def _note(found: Sequence[tuple[Bypass, list[Passed]]]) -> list[str]:
    return [
        "latchboard: note: this push sends what was committed past somebody's lock:",
        *_lines(found),
        "  There is no agent id (AGENT_ID), so you are taken for a person and this goes on.",
    ]
