"""A model of locks that is as simple as it can be: lists, and loops over them.

It knows nothing of records, chains or indexes. A hold's life is told renewal by renewal; who is in the way is found by
looking at everybody.
"""

from __future__ import annotations

from typing import Any

from latchboard.clock import Now

WIDE_PAIRS = [
    {"src/", "src/a"},
    {"src/", "src/b"},
    {"src/", "glob:src/a*"},
    {"glob:src/a*", "src/a"},
]
NAMES = ["x", "y", "src/a", "src/b", "src/", "glob:src/a*"]


def overlap(a: str, b: str) -> bool:
    return a == b or {a, b} in WIDE_PAIRS


def conflict(a: str, b: str) -> bool:
    return "exclusive" in (a, b)


def age_s(then: Now, now: Now) -> float:
    return max(0.0, now.mono_s - then.mono_s if then.boot == now.boot else now.wall_s - then.wall_s)


class Asked:
    """A request: who wants which names, in which mode, for how long."""

    def __init__(self, request: str, agent: str, process: Any, bound: str, names: list[str], mode: str, ttl_s: float):
        self.request, self.agent, self.process, self.bound = request, agent, process, bound
        self.names, self.mode, self.ttl_s = names, mode, ttl_s

    @property
    def lease(self) -> tuple[Any, ...]:
        return (self.agent,) if self.bound == "agent" else (self.agent, self.process)


class Held:
    """What one holder has of one name."""

    def __init__(self, name: str, asked: Asked, token: int, moment: int, now: Now):
        self.name, self.agent, self.process, self.mode = name, asked.agent, asked.process, asked.mode
        self.tokens = [token]
        self.claim = asked.bound == "agent"
        self.entries = set() if self.claim else {asked.request}
        self.ttl_s, self.lease, self.entry_lease = asked.ttl_s, asked.lease, asked.lease
        self.begin(moment, now)

    def begin(self, moment: int, now: Now) -> None:
        self.moment, self.last, self.has_expired = moment, now, False

    def __repr__(self) -> str:
        return f"{self.agent} has {self.name} {self.mode} {self.tokens} {self.entries} claim={self.claim}"


class Waiting:
    """A place in line."""

    def __init__(self, asked: Asked, since: Now, wait_s_max: float | None, attended: bool, handoff: bool):
        self.asked, self.since, self.wait_s_max = asked, since, wait_s_max
        self.attended, self.handoff = attended, handoff
        self.declined = False

    def __repr__(self) -> str:
        return f"{self.asked.agent} waits for {self.asked.names} {self.asked.mode}"


class Model:
    """Who holds what, who waits, who lives."""

    def __init__(self) -> None:
        self.holds: list[Held] = []
        self.line: list[Waiting] = []
        self.gone: set[Any] = set()
        self.moments = 0
        self.newest_token: dict[str, int] = {}

    # -- time and processes

    def tick(self, now: Now) -> None:
        """Drop what has ended by itself: a lease that ran out, a process that is gone. It never comes back."""
        self.holds = [h for h in self.holds if not self.is_over(h, now)]

    def is_over(self, held: Held, now: Now) -> bool:
        if age_s(held.last, now) >= held.ttl_s:
            held.has_expired = True
        return held.has_expired or (not held.claim and held.process in self.gone)

    def renew(self, lease: tuple[Any, ...], now: Now) -> None:
        for held in self.holds:
            if held.lease == lease and not self.is_over(held, now):
                held.last = now

    def stands(self, waiting: Waiting, now: Now) -> bool:
        in_time = waiting.wait_s_max is None or age_s(waiting.since, now) <= waiting.wait_s_max
        is_there = not waiting.attended or waiting.asked.process not in self.gone
        return in_time and is_there and not waiting.declined

    # -- who is in the way

    def is_mine(self, held: Held, asked: Asked) -> bool:
        if held.agent != asked.agent:
            return False
        return held.process == asked.process or (held.claim and held.process in self.gone)

    def holders_in_the_way(self, asked: Asked) -> list[Held]:
        return [
            held
            for held in self.holds
            if not self.is_mine(held, asked) and conflict(held.mode, asked.mode)
            if any(overlap(held.name, name) for name in asked.names)
        ]

    def waits_for(self, waiting: Waiting, asked: Asked) -> bool:
        return any(
            self.is_mine(held, asked) and conflict(held.mode, waiting.asked.mode) and overlap(held.name, name)
            for held in self.holds
            for name in waiting.asked.names
        )

    def waiters_in_the_way(self, asked: Asked, before: list[Waiting], now: Now) -> list[Waiting]:
        inside = {held.name for held in self.holds if self.is_mine(held, asked)}
        return [
            waiting
            for waiting in before
            if waiting.asked.request != asked.request and conflict(waiting.asked.mode, asked.mode)
            if any(overlap(n, m) and m not in inside for n in asked.names for m in waiting.asked.names)
            if self.stands(waiting, now) and not self.waits_for(waiting, asked)
        ]

    def is_free(self, asked: Asked, now: Now) -> bool:
        return not self.holders_in_the_way(asked) and not self.waiters_in_the_way(asked, self.line, now)

    def is_next(self, waiting: Waiting, now: Now) -> bool:
        before = self.line[: self.line.index(waiting)]
        if not self.stands(waiting, now) or self.holders_in_the_way(waiting.asked):
            return False
        return not self.waiters_in_the_way(waiting.asked, before, now)

    # -- what changes

    def grant(self, asked: Asked, token: int, now: Now) -> None:
        self.moments += 1
        for name in asked.names:
            own = [h for h in self.holds if h.name == name and self.is_mine(h, asked)]
            own.sort(key=lambda h: h.process != asked.process)
            if not own:
                newest = self.newest_token.get(name, 0)
                # Readers that are granted in one commit have one token.
                assert token > newest or (token == newest and asked.mode == "shared"), "a token did not grow"
                self.newest_token[name] = token
                self.holds.append(Held(name, asked, token, self.moments, now))
            else:
                self._enter(own[0], asked, token, now)
                for other in own[1:]:
                    self._join(own[0], other, now)

    def _enter(self, held: Held, asked: Asked, token: int, now: Now) -> None:
        if held.process != asked.process:
            held.entries = set()
        held.process = asked.process
        lease = held.lease
        if asked.bound == "process":
            held.entries.add(asked.request)
            held.entry_lease = asked.lease
        elif not held.claim:
            held.entry_lease, held.lease, held.claim = held.lease, asked.lease, True
        if asked.ttl_s > held.ttl_s or held.lease != lease:
            held.ttl_s = max(held.ttl_s, asked.ttl_s)
            held.begin(self.moments, now)
        if asked.mode == "exclusive" and held.mode == "shared":
            held.mode = "exclusive"
            held.tokens = [held.tokens[0], token]
            self.newest_token[held.name] = max(token, self.newest_token[held.name])

    def _join(self, held: Held, other: Held, now: Now) -> None:
        self.holds.remove(other)
        if not held.claim and other.claim:
            held.entry_lease, held.lease, held.claim = held.lease, other.lease, True
            held.ttl_s = max(held.ttl_s, other.ttl_s)
            held.begin(self.moments, now)

    def find(self, asked: Asked, name: str, token: int) -> Held | None:
        """The hold that a handle still speaks for."""
        for held in self.holds:
            if held.name == name and token in held.tokens and self.is_mine(held, asked):
                is_in = held.claim if asked.bound == "agent" else asked.request in held.entries
                return held if is_in else None
        return None

    def leave(self, held: Held, asked: Asked, now: Now) -> bool:
        """One entry leaves; true: the name is free of it now."""
        if asked.bound == "process":
            held.entries.discard(asked.request)
        else:
            held.claim = False
            if held.entries:
                held.lease = held.entry_lease
                held.begin(self.moments, now)
        if held.entries or held.claim:
            return False
        self.holds.remove(held)
        return True

    # -- deadlock

    def has_cycle(self, now: Now) -> bool:
        """Whether somebody in line waits for itself, over holders and over those before it."""
        edges = {id(w): self._waits_on(w, now) for w in self.line if self.stands(w, now)}
        for start in edges:
            todo, seen = list(edges[start]), set()
            while todo:
                node = todo.pop()
                if node == start:
                    return True
                if node not in seen:
                    seen.add(node)
                    todo += edges.get(node, [])
        return False

    def _waits_on(self, waiting: Waiting, now: Now) -> list[int]:
        holders = self.holders_in_the_way(waiting.asked)
        before = self.waiters_in_the_way(waiting.asked, self.line[: self.line.index(waiting)], now)
        theirs = [
            other
            for held in holders
            for other in self.line
            if other.attended and self.stands(other, now) and self.is_mine(held, other.asked)
        ]
        return [id(other) for other in [*before, *theirs]]
