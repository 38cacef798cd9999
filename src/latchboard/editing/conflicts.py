"""Conflicts, the service: what foreign changes left, and the holder's bytes put back.

Law 1. Who puts bytes back holds the file while it does, by the same rules as for any other write.
Law 2. Newer work is never written over silently: what is there must be what was found then, or what is put back; else
it is refused, or kept beside the conflict first, where the caller said so.

Protocol: protocol/editing.md, "Conflicts".
"""

from __future__ import annotations

from latchboard.editing.own import Own
from latchboard.errors import MalformedRecord, Refused, UsageError
from latchboard.locks.hold import Hold
from latchboard.rules import foreign as rules
from latchboard.rules import image as images
from latchboard.rules import lease as leases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from latchboard.editing.images import Images
    from latchboard.host.staged import Staged
    from latchboard.locks import Locks
    from latchboard.locks.table import Table
    from latchboard.rules.foreign import Conflict, ForeignFile
    from latchboard.rules.image import Image
    from latchboard.store.port import Snapshot, View


class Conflicts:
    """The conflicts that are kept. Threads may share one; it remembers nothing."""

    __slots__ = ("_images", "_locks")

    def __init__(self, locks: Locks, images: Images) -> None:
        self._locks = locks
        self._images = images

    def every(self) -> list[Conflict]:
        """Every conflict that can be read, the oldest first."""
        return readable(self._locks.store.read(rules.CONFLICTS))

    def get(self, conflict_id: str) -> Conflict:
        """One conflict.

        Raises:
            UsageError: There is none of that id.
            MalformedRecord: It cannot be read.
        """
        key = rules.CONFLICTS + conflict_id
        return _found(conflict_id, self._locks.store.read(key).get(key))

    def diff(self, file: ForeignFile) -> bytes:
        """The diff that was made then, or is made now; empty: there can be none."""
        kept = self._images.kept
        made = kept.read_named(file["diff"].rpartition("/")[2]) if file["diff"] else None
        before, after = file["before"], file["after"]
        if made is not None or before is None or after is None or not (before["kept"] and after["kept"]):
            return made or b""
        from latchboard.editing.diff import unified

        return unified(file["name"], kept.read(before["sha256"]), kept.read(after["sha256"]))

    def restore(
        self, agent: str, conflict_id: str, paths: Collection[str] = (), *, over: bool = False
    ) -> dict[str, Any]:
        """Put back what the holder had, for one agent that holds the files, or may take them.

        Args:
            agent: Who writes.
            conflict_id: Which conflict.
            paths: Of its files; none: all of which bytes were kept.
            over: Write over newer work, too; it is kept with the conflict.

        Returns:
            `{"restored": [name], "unchanged": [name]}`: written, and what was there already.

        Raises:
            UsageError: No such conflict, not one of its files, or no bytes of it were kept.
            Refused: There is newer work. LockHeld: somebody else holds one of the files. Nothing was written.
            StoreError: The disk refused; what was restored before is.
        """
        conflict = self.get(conflict_id)
        files = self._chosen(conflict, paths)
        now = {file["name"]: self._images.take(file["name"]) for file in files}
        wanted = [file for file in files if not images.is_same_content(file["before"], now[file["name"]])]
        newer = [f["name"] for f in wanted if not images.is_same_content(f["after"], now[f["name"]])]
        if newer and not over:
            raise Refused(
                f"{', '.join(newer)} has been changed again since that conflict was found",
                hint="look at it first; --over puts the older bytes in its place and keeps the newer ones",
                names=newer,
            )
        if wanted:
            names = [file["name"] for file in wanted]
            reason = f"conflict {conflict_id}"
            request = self._locks.request(agent, names, reason=reason)
            outcome = self._locks.attempt(request, trace=True, table=Own)
            if not isinstance(outcome, Hold):
                raise self._locks.held(outcome)
            with outcome:
                for file in wanted:
                    self._restore(outcome, conflict_id, file, now[file["name"]])
        restored = [file["name"] for file in wanted]
        return {"restored": restored, "unchanged": [f["name"] for f in files if f["name"] not in restored]}

    @staticmethod
    def _chosen(conflict: Conflict, names: Collection[str]) -> list[ForeignFile]:
        known = {file["name"]: file for file in conflict["files"]}
        for name in names:
            if name not in known:
                hint = f"its files: {', '.join(known)}"
                raise UsageError(f"{name} is not of that conflict", hint=hint)
        files = [known[name] for name in names] if names else conflict["files"]
        kept = [file for file in files if file["before"] is not None and file["before"]["kept"]]
        if not kept or (names and len(kept) < len(files)):
            lost = next(file for file in files if file not in kept)
            why = "there was no file" if lost["before"] is None else "it was too large, or no file"
            raise UsageError(
                f"no bytes of {lost['name']} were kept: {why}", hint="`latchboard conflict show` tells more"
            )
        return kept

    def _restore(self, hold: Hold, conflict_id: str, file: ForeignFile, now: Image | None) -> None:
        name, before = file["name"], file["before"]
        assert before is not None
        data = self._images.kept.read(before["sha256"])
        if data is None:
            raise UsageError(f"the bytes of {name} are gone, or are not what they were", hint="they were kept a week")
        with self._locks.tree.stage(name, data) as staged:
            if staged.name != name:
                raise UsageError(f"{name} leads to {staged.name} now", hint="a symbolic link stands in its way")
            self._publish(hold, conflict_id, file, now, staged)

    def _publish(self, hold: Hold, conflict_id: str, file: ForeignFile, now: Image | None, staged: Staged) -> None:
        """Check once more, rename, and note it, in one commit."""
        name, key = file["name"], rules.CONFLICTS + conflict_id

        def decide(table: Table) -> None:
            self._check(table, hold, name, now)
            record = table.view.get(key)
            if record is not None:
                note = {"name": name, "by": hold.agent, "at": leases.moment(table.now)["at"], "over": now}
                table.view.put(key, {**record, "restored": [*record.get("restored", []), note]})
            table.view.put("log/write", {"name": name, "agent": hold.agent, "token": hold.tokens[name]})
            self._put_image(table.view, hold.agent, file)

        def publish() -> None:
            staged.publish()
            if now is None and file["before"] is not None:
                self._images.kept.set_mode(file["path"], file["before"]["mode"])

        self._locks.transact(hold.agent, decide, effect=publish, table=Own)

    def _check(self, table: Table, hold: Hold, name: str, now: Image | None) -> None:
        """Nobody else may have got the lock, or written the file, since it was looked at."""
        from latchboard.locks.leaving import lost
        from latchboard.rules import holding as holdings

        token = hold.tokens[name]
        record = table.record(name)
        shown = [held for held in record["holders"] if holdings.shows_token(held, token)] if record else []
        if not any(held["agent"] == hold.agent and not table.why_over(held) for held in shown):
            raise lost(table, name, token, shown[0] if shown else None)
        if not self._images.shows(name, now):
            raise Refused(f"{name} has just been written", hint="look at it, then try again", names=[name])

    def _put_image(self, view: View, agent: str, file: ForeignFile) -> None:
        """The image of the holder's own hold, if there is one, is of what it gets back: nobody is told of it."""
        try:
            record = self._images.get(view, file["name"])
        except MalformedRecord:
            return
        if record is not None and record["agent"] == agent and file["before"] is not None:
            # Its stamp is not known before the rename: the next look reads the file, and finds the content it expects.
            self._images.put_again(view, record, {**file["before"], "settled": False})


def readable(snapshot: View | Snapshot) -> list[Conflict]:
    """Every conflict that can be read, the oldest first."""
    found: list[Conflict] = []
    for key, value in snapshot.scan(rules.CONFLICTS, damaged=[]):
        try:
            found.append(_found(key[len(rules.CONFLICTS) :], value))
        except MalformedRecord:
            continue
    return found


def _found(conflict_id: str, value: Any) -> Conflict:
    if value is None:
        raise UsageError(f"there is no conflict {conflict_id!r:.200}", hint="`latchboard conflict list` shows them")
    if wrong := rules.check_conflict(value) or ("" if value["id"] == conflict_id else "it has another id inside"):
        raise MalformedRecord(
            f"the conflict {conflict_id} cannot be read: {wrong}",
            hint="its bytes are among those in data/.agent_locks/kept",
            key=rules.CONFLICTS + conflict_id,
            reason=wrong,
        )
    conflict: Conflict = value
    return conflict
