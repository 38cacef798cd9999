"""Guarded writes: a file is replaced only while the writer's hold lasts.

The check and the rename happen with nobody in between.

The new content is written beside the file first, so that inside the transaction there is one rename and nothing that
can take long.

Protocol: protocol/lock.md, "Guarded write". Kleppmann 2016: the fencing token is checked where the write happens.
"""

from __future__ import annotations

from latchboard.errors import MalformedRecord, UsageError
from latchboard.locks.leaving import lost
from latchboard.rules import holding as holdings
from latchboard.rules import image as images
from latchboard.rules import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.host.staged import Staged
    from latchboard.locks.hold import Hold
    from latchboard.locks.service import Locks
    from latchboard.locks.table import Table
    from latchboard.rules.image import Image


def write(locks: Locks, path: str, data: bytes | str, hold: Hold) -> None:
    """Replace a file that `hold` covers (see `Hold.write`)."""
    with _staged(locks, path, data) as staged:
        covering = [n for n in hold.tokens if _covers(n, staged.name)]
        if not covering:
            raise UsageError(
                f"the hold of {hold.agent} does not cover {staged.name}",
                hint=f"it covers {', '.join(hold.names)}; lock the file as well",
            )
        image = _image(locks, staged.name, data)
        _publish(locks, staged, covering[0], hold.tokens[covering[0]], image, who=hold.agent)


def write_with_token(locks: Locks, path: str, data: bytes | str, token: int) -> None:
    """Replace a file while `token` is that of a live exclusive hold of it.

    Args:
        locks: The service.
        path: The file, relative to the root or absolute.
        data: Its whole new content; text is written as UTF-8.
        token: Of the hold of the file itself.

    Raises:
        HoldLost: The hold ended, or somebody else has it; the file was not touched.
        UsageError: The hold is shared.
        StoreError: The disk refused; the file is what it was.
    """
    with _staged(locks, path, data) as staged:
        _publish(locks, staged, staged.name, token, _image(locks, staged.name, data), who=f"token {token}")


def _staged(locks: Locks, path: str, data: bytes | str) -> Staged:
    return locks.tree.stage(path, _bytes(data))


def _bytes(data: bytes | str) -> bytes:
    return data.encode() if isinstance(data, str) else data


def _image(locks: Locks, name: str, data: bytes | str) -> Image | None:
    """The image that the file will have, if it has one: who writes here is not to be told of it as somebody else's."""
    key = images.key(name)
    try:
        if locks.keep is None or locks.store.read(key).get(key) is None:
            return None
    except MalformedRecord:
        return None
    digest, is_kept = locks.keep(_bytes(data))
    return images.of_bytes(_bytes(data), digest, kept=is_kept)


def _covers(held: str, written: str) -> bool:
    return held == written or (pattern.is_wide(held) and pattern.overlap(held, written))


def _publish(locks: Locks, staged: Staged, held_name: str, token: int, image: Image | None = None, *, who: str) -> None:
    """Check the hold and rename, in one transaction; a link that turns after staging changes nothing."""

    def decide(table: Table) -> None:
        record = table.record(held_name)
        # Readers that were granted in one commit have one token; of these, one that is over speaks for nobody else.
        shown = [h for h in record["holders"] if holdings.shows_token(h, token)] if record else []
        held = next((h for h in shown if not table.why_over(h)), None)
        if held is None:
            raise lost(table, held_name, token, shown[0] if shown else None)
        if held["mode"] != "exclusive":
            raise UsageError(f"the hold of {held_name} is shared", hint="take it exclusively before writing")
        locks.renewals.use_hold(table, held)
        table.view.put("log/write", {"name": staged.name, "agent": held["agent"], "token": token})
        if image is not None:
            _put_image(table, staged.name, held["agent"], image)

    locks.transact(who, decide, effect=staged.publish)


def _put_image(table: Table, name: str, agent: str, image: Image) -> None:
    """In the place of the holder's own image; one that cannot be read is left, and says nothing."""
    try:
        record = table.view.get(images.key(name))
    except MalformedRecord:
        return
    if record is not None and not images.check_record(record) and record["agent"] == agent:
        table.view.put(images.key(name), {**record, "file": image})
