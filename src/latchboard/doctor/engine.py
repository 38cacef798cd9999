"""Engine: the store that is elsewhere: whether it answers, and how the members of its cluster stand.

Protocol: protocol/health.md, "Doctor"; protocol/etcd.md, "Looking at a store".
"""

from __future__ import annotations

from _thread import RLock

from latchboard.doctor.check import Check, Seen
from latchboard.errors import CoordinationError
from latchboard.rules.finding import Finding, command, counted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from latchboard.doctor.port import Engine


class Reach:
    """Whether the store can be used: asked once, for all checks that need it."""

    def __init__(self, root: str, engine: Engine) -> None:
        self._root = root
        self._engine = engine
        self._lock = RLock()
        self._seen: tuple[Seen, bool] | None = None

    def look(self) -> tuple[Seen, bool]:
        """What was seen of it; and whether it can be read."""
        with self._lock:
            if self._seen is None:
                self._seen = self._ask()
            return self._seen

    def _ask(self) -> tuple[Seen, bool]:
        where, root = self._engine.where, self._root
        status = command("latchboard", "store", "status", "--root", root)
        members = self._engine.members()
        findings = [
            Finding("F-127", f"{one.endpoint}: {one.trouble}", status, endpoint=one.endpoint)
            for one in members
            if one.trouble and not one.is_full
        ]
        if full := [one for one in members if one.is_full]:
            text = f"{', '.join(one.endpoint for one in full)}: {full[0].trouble}"
            findings.insert(0, Finding("F-129", text, status, where=where))
        trouble_count = sum(1 for one in members if one.trouble)
        facts = {"where": where, "member_count": len(members), "trouble_count": trouble_count}
        why, revision = "none of its members can serve", 0
        try:
            if any(one.can_serve for one in members):
                revision, why = self._engine.revision(), ""
        except CoordinationError as exc:
            why = f"{exc.message} ({exc.hint})" if exc.hint else exc.message
        if why:
            text = f"the store {where} cannot be used: {why}"
            return Seen(text, [Finding("F-126", text, status, where=where), *findings], is_there=False, **facts), False
        trouble = f", {trouble_count} in trouble" if trouble_count else ""
        text = f"{where}: {counted(len(members), 'member')}{trouble}, revision {revision}"
        return Seen(text, findings, is_there=True, revision=revision, **facts), True


def store(reach: Reach) -> Check:
    """Whether it can be used, and its members."""
    return Check("storage", "store", lambda _: reach.look()[0])


def folder(root: str, path: str, is_store: Callable[[], bool]) -> Check:
    """Whether the project's folder is a store besides, as one is from which somebody copied."""

    def look(_: float) -> Seen:
        if not is_store():
            return Seen("it is no store", is_store=False)
        text = f"{path} is a store, too: whoever has not the setting goes on in it, and no mirror is shown"
        put_by = command("mv", path, f"{root}.agent_locks.old")
        init = command("latchboard", "init", "--root", root)
        return Seen(text, [Finding("F-128", text, f"{put_by} && {init}", path=path)], is_store=True)

    return Check("storage", "folder", look)


def in_reach(check: Check, reach: Reach) -> Check:
    """A check of what is in the store; where that cannot be read, `store` tells it, and alone."""

    def look(stop_at_s: float) -> Seen:
        if not reach.look()[1]:
            return Seen("not looked at: the store cannot be used")
        return check.look(stop_at_s)

    return Check(check.section, check.name, look)
