"""Editing, the service: what happens around the calls of an agent, whoever tells of them: a hook, the MCP server, git.

Law 1. `begin` takes all of it or nothing, and the images with it, in one commit.
Law 2. What lies outside of the project, in a repository's own folder or in the board's, is nobody's: no lock, no
denial.
Law 3. A message is handed over once, however many calls of one agent ask at the same time; what was not handed over is
still unread.

Protocol: protocol/editing.md.
"""

from __future__ import annotations

from latchboard.editing import calls
from latchboard.editing.images import Changed
from latchboard.editing.own import Own
from latchboard.errors import MalformedRecord, UsageError
from latchboard.locks.hold import Hold
from latchboard.locks.records import ROOM_COUNT
from latchboard.rules import image as images
from latchboard.rules import lease as leases
from latchboard.rules.agent import check_agent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from latchboard.clock import Now
    from latchboard.editing.images import Images
    from latchboard.locks.hold import Refusal
    from latchboard.locks.service import Locks
    from latchboard.locks.table import Table
    from latchboard.rules.image import Image, ImageRecord
    from latchboard.rules.lease import Lease
    from latchboard.store.port import View

_NOBODYS = ("/.git/", "/data/.agent_locks/")
_RENEWED_PART = 4
"""A lease is renewed by use when this part of it has passed."""


class Begun:
    """What `begin` did.

    Attributes:
        tokens: What the agent holds now of what it asked for, name to token.
        refusal: Who is in the way; then nothing was taken. None: nobody.
        unnamed: What cannot be the path of a file, each with the reason; nothing was asked for it.
    """

    __slots__ = ("refusal", "tokens", "unnamed")

    def __init__(self, unnamed: list[UsageError]) -> None:
        self.tokens: dict[str, int] = {}
        self.refusal: Refusal | None = None
        self.unnamed = unnamed


class Editing:
    """The edits and shell calls of agents. Threads may share one; it remembers nothing between calls."""

    __slots__ = ("images", "locks")

    def __init__(self, locks: Locks, images: Images) -> None:
        self.locks = locks
        self.images = images

    # -- around a call ------------------------------------------------------------------------------------------------

    def begin(
        self, agent: str, paths: Iterable[str], *, reason: str = "", token: int | None = None, opens: bool = True
    ) -> Begun:
        """An edit is about to write these files: take them all for the agent, or say who is in the way.

        Args:
            agent: Who edits.
            paths: Absolute, or relative to the root.
            reason: What for; others read it.
            token: Of a hold of the agent that is bound to a process: what that covers need not be taken.
            opens: A call begins with it; False where that is noted by itself, as before a shell call.

        Raises:
            UsageError: A bad agent id, or too many paths.
            MalformedRecord: A record cannot be read: it counts as held.
            StoreError: Nothing was taken.

        Protocol: protocol/editing.md, "Begin".
        """
        names, unnamed = self._names(paths)
        names = [name for name in names if name[-1] != "/"]  # what is written is a file
        begun = Begun(unnamed)
        if token is not None and names:
            from latchboard.locks.looking import shown

            lent = shown(self.locks, names, agent=agent, token=token)
            names = [name for name in names if name not in lent]
        if not names:
            return begun
        request = self.locks.request(agent, names, bound="agent", reason=reason)
        taken = {name: self.images.take(name) for name in names}
        outcome = self.locks.attempt(
            request,
            trace=True,
            table=Own,
            besides=lambda table, tokens: self._put_images(table, agent, tokens, taken, opens=opens),
        )
        if isinstance(outcome, Hold):
            begun.tokens = outcome.tokens
        else:
            begun.refusal = outcome
        return begun

    def _put_images(
        self, table: Table, agent: str, tokens: dict[str, int], taken: dict[str, Image | None], *, opens: bool
    ) -> None:
        """Beside the grant, what the files are now, and that a call has begun; an image of this very hold stays.

        Where the file is not that image, and the agent in no call, somebody else has changed it: it is told.
        """
        changed: list[Changed] = []
        for name, token in tokens.items():
            if name not in taken:
                continue
            image, record = taken[name], self._image(table.view, name, agent, token)
            if record is None:
                if not self.images.shows(name, image):
                    image = self.images.take(name)  # it was written since: by whoever has just given it back
                self.images.put(table.view, name, agent, token, image)
            elif not images.is_same_content(record["file"], image):
                changed.append(Changed(record, image))
        if changed and not calls.is_known(table.view, agent):
            from latchboard.editing.foreign import tell_unknown

            tell_unknown(table, self.images, agent, changed)
        if opens:
            calls.keep(table.view, agent, tokens)
            calls.begin(table.view, agent)

    def _image(self, view: View, name: str, agent: str, token: int) -> ImageRecord | None:
        """The image of this very hold, if it can be read."""
        try:
            image = self.images.get(view, name)
        except MalformedRecord:
            return None
        return image if image is not None and image["agent"] == agent and image["token"] == token else None

    def done(self, agent: str, paths: Iterable[str] = (), *, ends: bool = True) -> None:
        """A call of the agent is over: take the images of what it wrote anew, and renew its lease if that is due.

        Args:
            agent: Whose call.
            paths: What it wrote; none: whatever it holds and is not its image.
            ends: A call ends with it; False where none had begun. An edit of nothing but nobody's files ends none.

        Raises:
            StoreError: Nothing was changed.

        Protocol: protocol/editing.md, "Done".
        """
        check_agent(agent)
        names = [name for name in self._names(paths)[0] if images.is_imaged(name)] if paths else None
        fresh = self._fresh(agent, names)
        ends = ends and names != [] and calls.is_any(self.locks.store, agent)
        if fresh or ends or self._lives_by_a_lease_that_is_due(agent):
            self.locks.transact(agent, lambda table: self._note_done(table, agent, fresh, ends=ends), table=Own)

    def _fresh(self, agent: str, names: list[str] | None) -> dict[str, Image | None]:
        """New images of those of the agent's files that are not their images."""
        wanted = ["images/"] if names is None else [images.key(name) for name in names]
        if not wanted:
            return {}
        source: Any = self.locks.store.read(*wanted)
        try:
            changed = self.images.changed(source, names, of=agent)
        except MalformedRecord:
            return {name: self.images.take(name) for name in names or ()}
        return {one.name: one.now for one in changed}

    def renew(self, agent: str) -> None:
        """The agent is at work: renew its lease, if that is due. Raises StoreError."""
        check_agent(agent)
        if self._lives_by_a_lease_that_is_due(agent):
            self.locks.transact(agent, lambda table: self._renew(table, agent), table=Own)

    def begin_turn(self, agent: str) -> None:
        """A new turn: calls of an interrupted one are over; the lease is renewed, if that is due. Raises StoreError."""
        check_agent(agent)
        if calls.is_any(self.locks.store, agent):
            self.locks.transact(agent, lambda table: self._end_calls(table, agent), table=Own)
        self.renew(agent)

    def _end_calls(self, table: Table, agent: str) -> None:
        passing = calls.passing(table.view, agent)
        calls.end_all(table.view, agent)
        self._give_back(table, passing, lambda holder: holder == agent)

    def _lives_by_a_lease_that_is_due(self, agent: str) -> bool:
        """Whether a part of the agent's lease has passed; without a lease it holds nothing that lives by one."""
        key = f"leases/{agent}"
        lease: Any = self.locks.store.read(key).get(key)
        if lease is None or leases.check_lease(lease):
            return False
        return _is_due(lease, self.locks.clock.now())

    def _note_done(self, table: Table, agent: str, fresh: dict[str, Image | None], *, ends: bool) -> None:
        passing = calls.end(table.view, agent) if ends else []
        for name, image in fresh.items():
            try:
                record = table.record(name)
            except MalformedRecord:
                continue
            for held in record["holders"] if record else []:
                if held["agent"] == agent and not table.why_over(held):
                    self.images.put(table.view, name, agent, held["token"], image)
        self._give_back(table, passing, lambda holder: holder == agent)
        self._renew(table, agent)

    @staticmethod
    def _renew(table: Table, agent: str) -> None:
        lease = table.lease(agent)
        if lease is not None and _is_due(lease, table.now):
            from latchboard.locks.renewing import renew

            renew(table, agent, lease["ttl_s"], agent, "agent", table.me)

    def blocked(self, agent: str, paths: Iterable[str], *, token: int | None = None) -> list[dict[str, Any]]:
        """Who holds these against the agent; empty: nobody. Changes nothing.

        Args:
            agent: Who is about to write.
            paths: Files, folders, patterns, as for `begin`, however many.
            token: As for `begin`.

        Returns:
            As `Locks.check`.
        """
        names, _ = self._names(paths)
        most = self.locks.settings.names_count_max
        for start in range(0, len(names), most):
            found = self.locks.check(names[start : start + most], agent=agent, token=token)
            others = [one for one in found if one["agent"] != agent or one["bound"] != "agent"]
            if others:
                return others
        return []

    # -- between and after calls --------------------------------------------------------------------------------------

    def news(self, agent: str, hand_over: Callable[[list[dict[str, Any]]], None]) -> int:
        """Hand over mail that the agent has not had, at most ten messages; how many. See news.py."""
        from latchboard.editing.news import hand_over_news

        return hand_over_news(self.locks.store, self.locks.clock, agent, hand_over)

    def end(self, agent: str, *, with_subagents: bool = False) -> list[str]:
        """The turn or the life of the agent is over: give back what it holds agent-bound, in any process.

        Args:
            agent: Who.
            with_subagents: And what every `agent:*` holds.

        Returns:
            The names that were given back.
        """
        check_agent(agent)

        def its(holder: str) -> bool:
            return holder == agent or (with_subagents and holder.startswith(f"{agent}:"))

        def decide(table: Table) -> tuple[list[str], bool]:
            locks = table.view.scan("locks/", damaged=[])  # nothing else says what an agent holds
            calls.end_all(table.view, agent, with_subagents=with_subagents)
            released = self._give_back(table, [key[6:] for key, value in locks if _may_be_held_by(value, its)], its)
            return released, table.view.room < ROOM_COUNT

        released, has_more = self.locks.transact(agent, decide, table=Own)
        while has_more:
            more, has_more = self.locks.transact(agent, decide, table=Own)
            released += more
        return released

    def _give_back(self, table: Table, names: Iterable[str], its: Callable[[str], bool]) -> list[str]:
        """Give back those that are held agent-bound by agents of which `its` says yes, in any process.

        As many as the commit takes.
        """
        from latchboard.locks.claimed import Claimed
        from latchboard.locks.linked import give_back

        released: dict[str, None] = {}
        claimed = Claimed(table.view)
        for name in names:
            try:
                record = table.record(name)
            except MalformedRecord:
                continue  # nobody can say whose it is
            for held in list(record["holders"]) if record else []:
                is_its = its(held["agent"]) and held["bound"] == "agent" and not claimed.has(name, held)
                if is_its and not table.why_over(held):
                    gone = give_back(table, name, held)
                    self.images.forget(table.view, gone)
                    released.update(dict.fromkeys(gone))
            if table.view.room < ROOM_COUNT:
                break
        table.advance(released)
        return list(released)

    def not_held(self, agent: str, paths: Iterable[str]) -> list[str]:
        """Those of these files that the agent does not hold by itself yet, by their canonical names."""
        names = self._names(paths)[0]
        table = self.locks.look(*(f"locks/{name}" for name in names))
        return [name for name in names if not self._holds(table, agent, name)]

    @staticmethod
    def _holds(table: Table, agent: str, name: str) -> bool:
        try:
            record = table.record(name)
        except MalformedRecord:
            return False
        holders = record["holders"] if record else []
        return any(held["agent"] == agent and held["bound"] == "agent" for held in holders)

    # -- names --------------------------------------------------------------------------------------------------------

    def _names(self, paths: Iterable[str]) -> tuple[list[str], list[UsageError]]:
        """Canonical names of what is the project's, each once, and what cannot be named."""
        names: dict[str, None] = {}
        unnamed: list[UsageError] = []
        for path in paths:
            if path.startswith("glob:"):
                names[path] = None
                continue
            try:
                name = self.locks.tree.canonical(path)
            except UsageError as exc:
                unnamed.append(exc)
                continue
            if name[0] != "/" and not any(part in f"/{name}/" for part in _NOBODYS):
                names[name] = None
        return list(names), unnamed


def _may_be_held_by(record: Any, its: Callable[[str], bool]) -> bool:
    """Whether a stored lock may be one of theirs: of many held by others, none need be looked at more closely."""
    holders = record.get("holders")
    if not isinstance(holders, list) or not all(isinstance(held, dict) for held in holders):
        return True
    return any(type(agent := held.get("agent")) is not str or its(agent) for held in holders)


def _is_due(lease: Lease, now: Now) -> bool:
    return leases.age_s(lease["renewed"], now) >= lease["ttl_s"] / _RENEWED_PART
