"""Watch: what a commit means, in events that people read; pure.

Law 1. An event says what changed, never what somebody meant: it is the difference between what was known and what was
committed.
Law 2. Every value of a commit may be foreign or damaged: what cannot be read gives no event, and is remembered as
damaged.
Law 3. What was not seen is None. Who starts in the middle of the stream does not know who held what before.

The commit is the unit: a takeover is one event although it is a trace, a lock and a message in the journal.

Protocol: protocol/watch.md, "Events".
"""

from __future__ import annotations

from latchboard.clock import parse_iso
from latchboard.rules import mailbox
from latchboard.rules.holding import host_name_of
from latchboard.rules.known import pid_of
from latchboard.rules.lock import ABSENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeAlias

    from latchboard.rules.known import Change, Known
    from latchboard.rules.lock import Holding

    Event: TypeAlias = dict[str, Any]
    Fates: TypeAlias = dict[tuple[Any, Any], tuple[str, dict[str, Any]]]


EXCERPT_CHARS_MAX = 200
"""How much of a message's body an event and the board show."""

_TRACES = {
    "log/takeover": ("lock.taken_over", "taken"),
    "log/break": ("lock.broken", "broken"),
    "log/cleanup": ("lock.ended", "ended"),
}


def events(known: Known, commit: Sequence[Change]) -> list[Event]:
    """What one commit means, given what was known before it; `known` is brought up to date.

    The order within a commit is that of the keys, so that every backend tells the same story.
    """
    commit = sorted(commit, key=_key) if len(commit) > 1 else commit
    scene = _Scene(known, commit)
    for change in commit:
        scene.knew_before = known.is_seen(change.key)
        before, after = known.learn(change.key, change.value)
        teller = _TELLERS.get(change.key.partition("/")[0])
        if teller is not None:
            teller(scene, change, before, after)
    scene.close()
    return scene.found


# -- one commit -------------------------------------------------------------------------------------------------------


class _Scene:
    """One commit while it is told: what its traces and deletions say about its locks."""

    __slots__ = ("_first", "fates", "found", "granted", "knew_before", "left", "refusal")

    def __init__(self, known: Known, commit: Sequence[Change]) -> None:
        self._first = commit[0]
        self.found: list[Event] = []
        self.fates = _fates(commit)
        self.granted: set[str] = set()
        self.knew_before = True  # what the record at hand was
        self.refusal = _refusal(commit)
        # Waiters that leave in this commit: those whose request becomes a hold were granted, the others gave up.
        self.left = {
            request: waiter
            for change in commit
            if change.value is None and change.key.startswith("waiters/")
            if (waiter := known.waiters.get(request := change.key[8:])) is not None
        }

    def tell(self, event: str, **fields: Any) -> None:
        first = self._first
        self.found.append({"event": event, "revision": first.revision, "at": first.at, "who": first.who, **fields})

    def tell_fate(self, event: str, facts: dict[str, Any]) -> None:
        """How a hold ended that was not given back; and that its holder, which may go on working, has lost it."""
        self.tell(event, **facts)
        if event != "lock.broken" and facts["why"] == ABSENT:
            self.tell("hold.lost", **facts)

    def seconds_since(self, at: Any) -> float | None:
        """Wall seconds from `at` to the commit, for people; None when it cannot be told."""
        now = self._first.at
        try:
            if now[:11] == at[:11] and len(now) == len(at) == 27:  # the same day, as `clock.iso` writes it
                span_s = _second_of_day(now) - _second_of_day(at)
            else:
                span_s = parse_iso(now) - parse_iso(at)
        except (ValueError, TypeError):
            return None
        return round(max(0.0, span_s), 3)

    def close(self) -> None:
        """Tell what no record told: traces of holds that were never seen, and waiters that left without a grant."""
        for event, facts in self.fates.values():
            self.tell_fate(event, {"mode": None, "bound": None, "held_s": None, **facts})
        refusal = self.refusal
        for request, waiter in self.left.items():
            if request not in self.granted:
                ended = {
                    "agent": waiter["agent"],
                    "names": [want["name"] for want in waiter["wants"]],
                    "held_by": [],
                    "reason": waiter["reason"],
                }
                if refusal is not None and refusal["agent"] == waiter["agent"]:
                    ended, refusal = refusal, None
                self.tell("lock.wait_ended", **ended, waited_s=self.seconds_since(waiter["since"]["at"]))
        if refusal is not None:
            self.tell("lock.wait_ended", **refusal, waited_s=None)


def _fates(commit: Sequence[Change]) -> Fates:
    """What traces say about holds that end in this commit: (name, token) to the event and its fields."""
    found: Fates = {}
    for change in commit:
        told = _TRACES.get(change.key)
        ended = change.value.get(told[1]) if told and change.value else None
        for one in ended if isinstance(ended, list) else ():
            if told and change.value and isinstance(one, dict) and isinstance(one.get("name"), str):
                facts = {
                    "name": one["name"],
                    "agent": _text(one.get("from", one.get("agent"))),
                    "token": one.get("token") if type(one.get("token")) is int else None,
                    "by": _text(one.get("by", change.value.get("by"))),
                    "why": _text(one.get("why", change.value.get("reason"))),
                }
                found[facts["name"], facts["token"]] = (told[0], facts)
    return found


def _refusal(commit: Sequence[Change]) -> dict[str, Any] | None:
    """The trace of a request that waited in vain: who had what it wanted."""
    for change in commit:
        if change.key == "log/conflict" and change.value and change.value.get("kind") == "wait-ended":
            return _both_sides(change.value)
    return None


def _both_sides(value: dict[str, Any]) -> dict[str, Any]:
    """Who asked for which names, and who had them."""
    names, held_by = value.get("names"), value.get("held_by")
    return {
        "agent": _text(value.get("asked_by")),
        "names": [n for n in names if isinstance(n, str)] if isinstance(names, list) else [],
        "held_by": [h for h in held_by if isinstance(h, dict)] if isinstance(held_by, list) else [],
        "reason": _text(value.get("reason")),
    }


def _lock(scene: _Scene, change: Change, before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
    had: dict[str, Holding] = {h["request"]: h for h in before["holders"]} if before else {}
    has: dict[str, Holding] = {h["request"]: h for h in after["holders"]} if after else {}
    name = change.key[6:]
    if change.value is not None and after is None:
        return  # it cannot be read: who holds it is not known, so nobody lost it
    if not scene.knew_before:
        _first_seen(scene, change, name, has)
        return
    # Whoever takes a name anew without having waited takes the place of its own hold, which was over.
    newcomers = {h["agent"] for request, h in has.items() if request not in had and request not in scene.left}
    for request, held in had.items():
        if request not in has:
            _ended(scene, change, name, held, replaced=held["agent"] in newcomers)
        elif held["mode"] != has[request]["mode"]:
            scene.tell("lock.upgraded", **_facts(name, has[request]))
    for request, held in has.items():
        if request not in had:
            _acquired(scene, change, name, held)
        if scene.left:
            scene.granted.update(one for one in _requests_of(held) if one in scene.left)


def _first_seen(scene: _Scene, change: Change, name: str, has: dict[str, Holding]) -> None:
    """A lock whose holders before are not known: a token is the revision of the commit that gave it."""
    for held in has.values():
        if held["token"] == change.revision:
            if "first_token" in held:
                scene.tell("lock.upgraded", **_facts(name, held))
            else:
                _acquired(scene, change, name, held)
    if change.value is None and all(told != name for told, _ in scene.fates):
        nothing = {"mode": None, "bound": None, "token": None, "held_s": None}
        scene.tell("lock.released", name=name, agent=change.who, **nothing)


def _requests_of(held: Holding) -> list[str]:
    """Every request that this hold answers."""
    more = [one for field in ("entries", "claims") if isinstance(ids := held.get(field), list) for one in ids]
    return [one for one in (held["request"], held.get("claim"), *more) if isinstance(one, str)]


def _acquired(scene: _Scene, change: Change, name: str, held: Holding) -> None:
    waiter = scene.left.get(held["request"])
    scene.tell(
        "lock.acquired",
        **_facts(name, held),
        reason=held["reason"],
        pid=pid_of(held["process"]),
        **host_name_of(held["process"]),
        waited_s=None if waiter is None else scene.seconds_since(waiter["since"]["at"]),
        granted_by=None if change.who == held["agent"] else change.who,
    )


def _ended(scene: _Scene, change: Change, name: str, held: Holding, *, replaced: bool) -> None:
    """A hold that is not there any more: taken over, broken, cleaned up, released."""
    facts = {**_facts(name, held), "held_s": scene.seconds_since(held["acquired"]["at"])}
    for token in (held["token"], held.get("first_token")):
        fate = scene.fates.pop((name, token), None)
        if fate is not None:
            scene.tell_fate(fate[0], {**facts, "by": fate[1]["by"], "why": fate[1]["why"]})
            return
    if change.who == held["agent"] and not replaced:
        scene.tell("lock.released", **facts)
    else:
        scene.tell("lock.ended", **facts, by=change.who, why="over")


def _facts(name: str, held: Holding) -> dict[str, Any]:
    return {
        "name": name,
        "agent": held["agent"],
        "mode": held["mode"],
        "bound": held["bound"],
        "token": held["token"],
    }


def _waiter(scene: _Scene, change: Change, before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
    if after is None:
        return  # `close` tells who left without a grant
    facts = {
        "agent": after["agent"],
        "names": [want["name"] for want in after["wants"]],
        "request": after["request"],
        "reason": after["reason"],
    }
    blocked_by = [one for one in after["blocked_by"] if isinstance(one, dict)]
    handoff = after["handoff"] or {}
    if before is None and (scene.knew_before or after["seq"] == change.revision):
        scene.tell("lock.waiting", **facts, blocked_by=blocked_by)
    if handoff.get("state") != ((before or {}).get("handoff") or {}).get("state"):
        if handoff.get("state") == "asked":
            scene.tell("handoff.asked", **facts, of=[one.get("agent") for one in blocked_by])
        elif handoff.get("state") == "declined":
            scene.tell("handoff.declined", **facts, by=_text(handoff.get("by")), why=_text(handoff.get("reason")))


def _agent(scene: _Scene, change: Change, before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
    if after is None:
        if change.value is None:
            scene.tell("agent.left", agent=change.key[7:])
    elif before is None:
        if scene.knew_before or after["heartbeat"] == after["started"]:
            scene.tell("agent.status", agent=after["agent"], status=after["status"], files=after["files"])
    elif before["status"] != after["status"] or before["files"] != after["files"]:
        scene.tell("agent.status", agent=after["agent"], status=after["status"], files=after["files"])


def _message(scene: _Scene, change: Change, _before: object, _after: object) -> None:
    value = change.value
    if value is None or value.get("revision") != change.revision:
        return  # moved, or marked as seen: not news
    body = value.get("body")
    to = value.get("to")
    scene.tell(
        "message.sent",
        **{"from": _text(value.get("from")), "to": to if isinstance(to, str) else None},
        id=_text(value.get("id")),
        subject=_text(value.get("subject")),
        excerpt=body[:EXCERPT_CHARS_MAX] if isinstance(body, str) else "",
        urgency=_text(value.get("urgency")),
        thread=_text(value.get("thread")),
    )


def _job(scene: _Scene, change: Change, _before: object, _after: object) -> None:
    from latchboard.rules.watch_job import tell

    for event, fields in tell(change):
        scene.tell(event, **fields)


def _archived(scene: _Scene, change: Change, _before: object, _after: object) -> None:
    """A message came to its end: `message.taken`, `message.acked`, `message.dead`."""
    value = change.value
    if value is not None:
        fields = {"from": _text(value.get("from")), "to": change.key[8:].rpartition("/")[0]}
        scene.tell(f"message.{mailbox.state(value)}", **fields, id=_text(value.get("id")))


def _trace(scene: _Scene, change: Change, _before: object, _after: object) -> None:
    value = change.value or {}
    if change.key == "log/conflict":
        kind = value.get("kind")
        if isinstance(kind, str) and kind and kind not in _LOCK_CONFLICTS:
            scene.tell("file.conflict", kind=kind, **_both_sides(value))
        elif kind != "wait-ended":  # that one is told when the waiter leaves
            scene.tell("lock.deadlock" if kind == "deadlock" else "lock.refused", **_both_sides(value))
    elif change.key == "log/write":
        token = value.get("token")
        scene.tell(
            "file.written",
            name=_text(value.get("name")),
            agent=_text(value.get("agent")),
            token=token if type(token) is int else None,
        )


_LOCK_CONFLICTS = ("refused", "wait-ended", "deadlock")
"""Kinds of `log/conflict` that a request for a lock leaves; every other one is about a file that was changed."""

_TELLERS: dict[str, Callable[[_Scene, Change, Any, Any], None]] = {
    "agents": _agent,
    "archive": _archived,
    "broadcasts": _message,
    "jobs": _job,
    "locks": _lock,
    "log": _trace,
    "messages": _message,
    "waiters": _waiter,
}


def _second_of_day(at: str) -> float:
    return int(at[11:13]) * 3600 + int(at[14:16]) * 60 + float(at[17:26])


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _key(change: Change) -> str:
    return change.key
