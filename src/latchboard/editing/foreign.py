"""Foreign changes: held files that somebody else changed, found around shell calls, with both sides kept.

Files are looked at, read, kept and compared outside of the transaction; in it everything is looked at again, and then
the conflict, its trace, the messages and the new image are one commit: told whole or not at all, and told once.

Guarantees that the holder's last known content, and the content found, can be read again for `conflict_ttl_s` seconds,
as far as they are not larger than `image_bytes_max`. Does not see what a client's own tools change without a hook.

Protocol: protocol/editing.md, "Foreign changes".
"""

from __future__ import annotations

from latchboard.editing import calls, telling
from latchboard.errors import MalformedRecord
from latchboard.rules import foreign as rules
from latchboard.rules import holding as holdings
from latchboard.store.parts import count_of, in_parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from latchboard.editing.images import Changed, Images
    from latchboard.locks import Locks
    from latchboard.locks.table import Table
    from latchboard.rules.foreign import Conflict
    from latchboard.rules.image import ImageRecord
    from latchboard.store.port import Snapshot, View

BATCH_COUNT = 200
"""Files in one conflict: with their images below 250 records and 200 KB."""


class Foreign:
    """Finds foreign changes. It remembers nothing between calls: a hook is a process of its own."""

    __slots__ = ("_images", "_locks")

    def __init__(self, locks: Locks, images: Images) -> None:
        self._locks = locks
        self._images = images

    def before_call(self, agent: str, passing: Iterable[str] = ()) -> list[Conflict]:
        """Before a shell call: tell what was changed so far, which is not this call's doing; the call begins.

        Of the agent's own files too, if no other call of it is on record: then a change of them is somebody else's.

        Args:
            agent: Whose call.
            passing: Names that the agent has taken for this call alone.

        Returns:
            The conflicts that were logged.

        Raises:
            StoreError: The call has not begun. What was not logged is found again by the next one.
        """
        snapshot = self._locks.store.read("images/", "calls/")
        if not self._images.has_any(snapshot):
            return []  # nobody holds anything that could be changed
        told: list[Conflict] = []
        seen: dict[str, str] = {}
        for (holder, _), changed in self._by_holder(snapshot, {}).items():
            if rules.judge(agent, holder, calls=self._calls(snapshot), is_after=False).told:
                told += self._log(agent, holder, changed, is_after=False)
            elif holder != agent:
                seen.update((one.name, rules.fingerprint(one.now)) for one in changed)
        self._locks.transact(agent, lambda table: calls.begin(table.view, agent, seen, passing))
        return told

    def after_call(self, agent: str, command: str = "") -> list[Conflict]:
        """After a shell call: tell what was changed meanwhile. Whoever takes images anew ends the call.

        The agent's own files are its own doing. Where another agent was in a call too, they are told, in doubt, but for
        those that the command line names.

        Args:
            agent: Whose call.
            command: Its text.

        Returns:
            The conflicts that were logged.

        Raises:
            StoreError: What was not logged is found again by the next call.
        """
        snapshot = self._locks.store.read("images/", "calls/")
        if not self._images.has_any(snapshot):
            return []
        mine = calls.known(snapshot).get(agent)
        told: list[Conflict] = []
        for (holder, was_seen), changed in self._by_holder(snapshot, mine["seen"] if mine else {}).items():
            if holder == agent:
                changed = [one for one in changed if one.name.rpartition("/")[2] not in command]  # noqa: PLW2901
            if rules.judge(agent, holder, calls=self._calls(snapshot), is_after=True, was_seen=was_seen).told:
                told += self._log(agent, holder, changed, is_after=True, was_seen=was_seen)
        return told

    def _by_holder(self, snapshot: Snapshot, seen: dict[str, str]) -> dict[tuple[str, bool], list[Changed]]:
        """What was changed, by its holder and by whether it was seen before the call."""
        found: dict[tuple[str, bool], list[Changed]] = {}
        for one in self._images.changed(snapshot):
            was_seen = seen.get(one.name) == rules.fingerprint(one.now)
            found.setdefault((one.record["agent"], was_seen), []).append(one)
        return found

    def _log(
        self, agent: str, holder: str, changed: list[Changed], *, is_after: bool, was_seen: bool = False
    ) -> list[Conflict]:
        """One commit for at most `BATCH_COUNT` files: all that is told of them, or nothing."""
        told: list[Conflict] = []

        def commit(part: Sequence[Changed]) -> None:
            batch = [*part]
            diffs = self._diffs(batch)

            def decide(table: Table) -> Conflict | None:
                still = self._still(table, batch)
                verdict = rules.judge(
                    agent, holder, calls=self._calls(table.view), is_after=is_after, was_seen=was_seen
                )
                return _tell(table, self._images, holder, still, verdict, diffs) if still and verdict.told else None

            conflict = self._locks.transact(agent, decide)
            told.extend([conflict] if conflict is not None else [])

        in_parts(changed, count_of(self._locks.store, BATCH_COUNT, keys_each=2), commit)
        return told

    def _calls(self, source: View | Snapshot) -> dict[str, bool]:
        """Agents with calls on record, and whether one may still go on."""
        now, longest_s = self._locks.clock.now(), self._locks.settings.call_s_max
        return {agent: rules.is_open(call, now, longest_s) for agent, call in calls.known(source).items()}

    def _diffs(self, changed: list[Changed]) -> dict[str, str]:
        """Name to the path of its diff, kept below the store's folder; none where one cannot be made."""
        found = {}
        for one in changed:
            old, new = one.record["file"], one.now
            if old is None or new is None or not (old["kept"] and new["kept"]):
                continue  # it came, went, or is too large: the sides that there are say it all
            from latchboard.editing.diff import unified

            data = unified(one.name, self._images.kept.read(old["sha256"]), self._images.kept.read(new["sha256"]))
            if data:
                name = f"{old['sha256'][:16]}-{new['sha256'][:16]}.diff"
                found[one.name] = self._images.kept.keep_named(name, data)
        return found

    def _still(self, table: Table, changed: list[Changed]) -> list[Changed]:
        """Those whose image is still that one, and whose hold is still there."""
        found = []
        for one in changed:
            try:
                if self._images.get(table.view, one.name) == one.record and is_held(table, one.record):
                    found.append(one)
            except MalformedRecord:
                continue  # nobody can say whose it is
        return found


def tell_unknown(table: Table, images: Images, holder: str, changed: list[Changed]) -> None:
    """Files of a holder that begins to edit them were changed since its last call, and not by it."""
    _tell(table, images, holder, changed, rules.judge(holder, holder, calls={}, is_after=False), {})


def _tell(
    table: Table,
    images: Images,
    holder: str,
    changed: list[Changed],
    verdict: rules.Verdict,
    diffs: dict[str, str],
) -> Conflict:
    """Log a conflict, tell both sides, and take the images anew."""
    conflict = telling.compose(table, holder, changed, verdict, diffs)
    telling.log(table, conflict)
    for one in changed:
        images.put_again(table.view, one.record, one.now)
    return conflict


def is_held(table: Table, record: ImageRecord) -> bool:
    """Whether the hold that an image speaks for is still there."""
    lock = table.record(record["name"])
    return lock is not None and any(
        held["agent"] == record["agent"] and holdings.shows_token(held, record["token"]) and not table.why_over(held)
        for held in lock["holders"]
    )
