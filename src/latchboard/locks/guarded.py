"""Guarded writes: a file is replaced only while the writer's hold lasts.

The check and the rename happen with nobody in between.

The new content is written beside the file first, so that inside the transaction there is one rename and nothing that
can take long.

Protocol: protocol/lock.md, "Guarded write". Kleppmann 2016: the fencing token is checked where the write happens.
"""

from __future__ import annotations

from latchboard.errors import UsageError
from latchboard.rules import lock as rules
from latchboard.rules import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.locks.hold import Hold
    from latchboard.locks.service import Locks
    from latchboard.locks.table import Table


def write(locks: Locks, path: str, data: bytes | str, hold: Hold) -> None:
    """Replace a file that `hold` covers (see `Hold.write`)."""
    name = locks.names([path])[0]
    covering = [n for n in hold.tokens if n == name or (pattern.is_wide(n) and pattern.overlap(n, name))]
    if not covering:
        raise UsageError(
            f"the hold of {hold.agent} does not cover {name}",
            hint=f"it covers {', '.join(hold.names)}; lock the file as well",
        )
    write_with_token(locks, path, data, hold.tokens[covering[0]], covered_by=covering[0])


def write_with_token(locks: Locks, path: str, data: bytes | str, token: int, *, covered_by: str | None = None) -> None:
    """Replace a file while `token` is that of a live exclusive hold.

    Args:
        locks: The service.
        path: The file, relative to the root or absolute.
        data: Its whole new content; text is written as UTF-8.
        token: Of the hold that covers the file.
        covered_by: The name that is held; the file itself when None.

    Raises:
        HoldLost: The hold ended, or somebody else has it; the file was not touched.
        UsageError: The hold is shared.
        StoreError: The disk refused; the file is what it was.
    """
    written = locks.names([path])[0]
    name = covered_by or written
    staged = locks.tree.stage(path, data.encode() if isinstance(data, str) else data)

    def decide(table: Table) -> None:
        record = table.record(name)
        held = next((h for h in record["holders"] if rules.shows_token(h, token)), None) if record else None
        if held is None or table.why_over(held):
            raise locks.lost(table, name, token, held)
        if held["mode"] != "exclusive":
            raise UsageError(f"the hold of {name} is shared", hint="take it exclusively before writing")
        table.view.put("log/write", {"name": written, "agent": held["agent"], "token": token})

    try:
        locks.transact(f"token {token}", decide, effect=staged.publish)
    except BaseException:
        staged.discard()
        raise
