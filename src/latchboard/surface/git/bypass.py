"""Bypass: commits that took along what somebody else held: written down, told to the holder, kept until settled.

One commit of the store has all of it: the trace on the board, the message to each holder, the record
`bypasses/<commit>` that a push is stopped by. Doing it twice does it once.

Protocol: protocol/git.md, "Bypasses".
"""

from __future__ import annotations

from latchboard.errors import CoordinationError
from latchboard.rules import git as rules
from latchboard.rules import lease as leases
from latchboard.rules import mailbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from latchboard.compose import Latchboard
    from latchboard.locks.table import Table
    from latchboard.rules.git import Bypass, Passed
    from latchboard.surface.git.held import Held
    from latchboard.surface.git.scene import Scene

_SENDER = "latchboard"
_SIDES_COUNT_MAX = 200
"""A trace is a note: of more holds than that it names the first."""


def write_down(board: Latchboard, scene: Scene, found: Sequence[Held], *, kind: str, commit: str) -> None:
    """The trace `log/conflict`, the letters, and for a `bypass` the record.

    Args:
        board: Where the holds are.
        scene: What happened.
        found: The holds, all of this board.
        kind: `bypass`, or `overwritten`. That of a person has no record: it is told, and is theirs to push.
        commit: Where HEAD is since.

    Raises:
        CoordinationError: The store cannot be written; nothing of it is there.
    """
    from latchboard.surface.git.telling import letter

    names = list(dict.fromkeys(_named(one, path) for one in found for path in one.paths))[
        : board.settings.names_count_max
    ]
    passed: list[Passed] = [_passed(one) for one in found]
    letters = {agent: letter(scene, [one for one in found if one.agent == agent]) for agent in {o.agent for o in found}}

    def decide(table: Table) -> None:
        at = leases.moment(table.now)["at"]
        if kind == "bypass" and scene.who.is_agent:
            key = rules.BYPASSES + commit
            if table.view.get(key) is not None:
                return  # this commit is known
            table.view.put(key, {"commit": commit, "by": scene.who.agent, "at": at, "passed": passed})
        held_by = [one.facts for one in found[:_SIDES_COUNT_MAX]]
        trace = {"kind": kind, "names": names, "asked_by": scene.who.agent, "held_by": held_by}
        table.view.put("log/conflict", {**trace, "reason": scene.what, "at": at})
        for number, (agent, body) in enumerate(sorted(letters.items())):
            _send(table, f"{kind}-{commit[:16]}-{number}", scene.who.agent, agent, body)

    board.locks.transact(scene.who.agent or _SENDER, decide)
    try:
        board.board.publish_if_due()
    except CoordinationError:
        return  # status_board.json is derived: the next command writes it


def _send(table: Table, message_id: str, sender: str, to: str, body: str) -> None:
    revision = table.view.revision
    message = mailbox.compose(
        f"{message_id}-{int(table.now.wall_s)}",
        sender=sender or _SENDER,
        to=to,
        body=body,
        now=table.now,
        revision=revision,
        urgency="high",
    )
    table.view.put(mailbox.key(message), message)


def _passed(one: Held) -> Passed:
    return {"name": str(one.facts["name"]), "agent": one.agent, "token": int(one.facts["token"])}


def _named(one: Held, path: bytes) -> str:
    """A changed path as text: what is no Unicode stands under the name of the hold."""
    try:
        return path.decode()
    except UnicodeDecodeError:
        return str(one.facts["name"])


def known(board: Latchboard) -> list[tuple[Bypass, list[Passed]]]:
    """Every bypass on a board, with the holds that it passed by and that still last.

    Raises:
        CoordinationError: A record cannot be read.
    """
    snapshot = board.store.read(rules.BYPASSES)
    records: list[Any] = []
    for key, value in snapshot.scan(rules.BYPASSES):
        if wrong := rules.check_bypass(value):
            from latchboard.locks.records import malformed

            raise malformed(key, wrong)
        records.append(value)
    if not records:
        return []
    names = sorted({one["name"] for record in records for one in record["passed"]})
    table = board.locks.look(*[f"locks/{name}" for name in names])
    live = [
        (name, token)
        for name in names
        for held in (table.record(name) or {"holders": []})["holders"]
        if not table.why_over(held)
        for token in (held["token"], held.get("first_token", held["token"]))
    ]
    return [(record, list(rules.unsettled(record, live))) for record in records]


def forget(board: Latchboard, agent: str, commits: Sequence[str]) -> None:
    """Remove the records of commits that are settled; where that fails, the next one does it."""

    def decide(table: Table) -> None:
        for commit in commits:
            table.view.delete(rules.BYPASSES + commit)

    try:
        if commits:
            board.locks.transact(agent or _SENDER, decide)
    except CoordinationError:
        return


def carry_over(board: Latchboard, agent: str, pairs: Sequence[tuple[str, str]]) -> None:
    """A commit that was rewritten is the same bypass under its new id, as long as it has the old one's record."""
    have = {key[len(rules.BYPASSES) :] for key, _ in board.store.read(rules.BYPASSES).scan(rules.BYPASSES, damaged=[])}
    wanted = [(old, new) for old, new in pairs if old in have and new not in have]

    def decide(table: Table) -> None:
        for old, new in wanted:
            value = table.view.get(rules.BYPASSES + old)
            if value is not None:
                table.view.put(rules.BYPASSES + new, {**value, "commit": new})

    if wanted:
        board.locks.transact(agent or _SENDER, decide)
