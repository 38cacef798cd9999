"""Sheet: the text of status_board.json, put together from pieces that are kept from one writing to the next.

A board of 10,000 locks is some 2.5 MB of JSON. Encoding all of it takes 150 ms; joining what is known already takes 5.
A piece is made anew when its record changed, when a lease or a heartbeat ran out, or when a verdict is another one.

Law. The text is that of `rules.board.render`, one entry on a line.
"""

from __future__ import annotations

from bisect import bisect_left

from latchboard.codec import encode
from latchboard.rules import board as rules
from latchboard.rules import lease as leases
from latchboard.rules import lock as locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.rules.board import State
    from latchboard.rules.lock import Judge

_NEVER_S = float("inf")
_PLACED_COUNT_MAX = 500  # more changes than that, and sorting all keys is cheaper than placing each


class _Piece:
    """The lines of one lock or one agent, until when they stay true, and whose verdicts they depend on."""

    __slots__ = ("first", "processes", "second", "until_mono_s")

    def __init__(self, first: str, second: str, until_mono_s: float, processes: list[_Process]) -> None:
        self.first = first  # active holds; an agent
        self.second = second  # holds that are over; an agent's assignment
        self.until_mono_s = until_mono_s
        self.processes = processes


class _Process:
    """A process that holds something: its last verdict, and the pieces that say so."""

    __slots__ = ("identity", "is_gone", "keys")

    def __init__(self, identity: Any, is_gone: bool) -> None:
        self.identity = identity
        self.is_gone = is_gone
        self.keys: set[str] = set()


class Sheet:
    """Text of one `State`; the pieces of another one are thrown away."""

    def __init__(self, *, quiet_s: float) -> None:
        """Show agents as quiet after `quiet_s` seconds without a heartbeat."""
        self._quiet_s = quiet_s
        self._state: State | None = None
        self._reset()

    def _reset(self) -> None:
        self._pieces: dict[str, _Piece] = {}
        self._processes: dict[str, _Process] = {}
        self._lines: dict[int, tuple[Any, str]] = {}
        self._keys: list[str] | None = None  # of every piece there should be, sorted; None: not known
        self._until_mono_s = _NEVER_S  # no piece is over earlier
        self._boot = ""

    def follow(self, state: State) -> None:
        """Throw away the pieces of what changed since the last call."""
        if state is not self._state:
            self._state = state
            self._reset()
        if len(state.touched) > _PLACED_COUNT_MAX:
            self._keys = None
        for key in state.touched:
            self._drop(key)
            self._place(key, is_there=_is_there(state, key))
        state.touched.clear()

    def text(self, state: State, now: Now, judge: Judge) -> bytes:
        """The whole file."""
        self.follow(state)
        self._drop_what_is_over(now)
        self._drop_what_is_judged_anew(judge)
        if self._keys is None:
            self._keys = [f"agents/{agent}" for agent in rules.agent_ids(state)]
            self._keys += [f"locks/{name}" for name in sorted(state.known.locks)]
        known = self._pieces
        pieces = [known.get(key) or self._make(state, key, now, judge) for key in self._keys]
        agents_count = bisect_left(self._keys, "locks/")
        agents, held = pieces[:agents_count], pieces[agents_count:]
        parts = [
            "{" + encode(rules.head(state))[1:-1],
            _list("active_locks", [piece.first for piece in held if piece.first]),
            _list("ended_locks", [piece.second for piece in held if piece.second]),
            _object("agents", [piece.first for piece in agents]),
            _object("agent_assignments", [piece.second for piece in agents if piece.second]),
        ]
        parts += self._tail(state)
        return (",\n".join(parts) + "\n}\n").encode()

    def _place(self, key: str, *, is_there: bool) -> None:
        """Keep the sorted keys those of what there is."""
        keys = self._keys
        if keys is not None:
            at = bisect_left(keys, key)
            was_there = at < len(keys) and keys[at] == key
            if is_there and not was_there:
                keys.insert(at, key)
            elif was_there and not is_there:
                del keys[at]

    def _tail(self, state: State) -> list[str]:
        """The short lists. Entries of the past stay the same objects, so the line of each is made once."""
        lines: dict[int, tuple[Any, str]] = {}
        parts = []
        for field, entries in rules.tail(state).items():
            for entry in entries:
                known = self._lines.get(id(entry))
                lines[id(entry)] = known if known is not None and known[0] is entry else (entry, encode(entry))
            parts.append(_list(field, [lines[id(entry)][1] for entry in entries]))
        self._lines = lines
        return parts

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _make(self, state: State, key: str, now: Now, judge: Judge) -> _Piece:
        collection, _, name = key.partition("/")
        make = self._lock if collection == "locks" else self._agent
        piece = self._pieces[key] = make(state, name, now, judge)
        self._until_mono_s = min(self._until_mono_s, piece.until_mono_s)
        for process in piece.processes:
            process.keys.add(key)
        return piece

    def _lock(self, state: State, name: str, now: Now, judge: Judge) -> _Piece:
        entries = rules.lock_entries(state, name, now, judge)
        return _Piece(
            ",\n".join([encode(entry) for why, entry in entries if not why]),
            ",\n".join([encode(entry) for why, entry in entries if why]),
            _next_end_mono_s(state, name, now),
            [
                self._process(held["process"], judge)
                for held in state.known.locks[name]["holders"]
                if held["bound"] == "process"
            ],
        )

    def _agent(self, state: State, agent: str, now: Now, _judge: Judge) -> _Piece:
        entry = rules.agent_entry(state, agent, now, self._quiet_s)
        until_mono_s = _NEVER_S
        if entry["heartbeat_at"] is not None and not entry["quiet"]:
            heartbeat = state.known.agents[agent]["heartbeat"]
            until_mono_s = heartbeat["mono_s"] + self._quiet_s if heartbeat["boot"] == now.boot else now.mono_s
        assigned = f"{encode(agent)}:{encode(rules.assignment(entry))}" if entry["heartbeat_at"] is not None else ""
        return _Piece(f"{encode(agent)}:{encode(entry)}", assigned, until_mono_s, [])

    def _process(self, identity: Any, judge: Judge) -> _Process:
        known = encode(identity)
        process = self._processes.get(known)
        if process is None:
            process = self._processes[known] = _Process(identity, judge(identity) in locks.GONE)
        return process

    def _drop(self, key: str) -> bool:
        """Whether there was such a piece."""
        piece = self._pieces.pop(key, None)
        for process in piece.processes if piece else ():
            process.keys.discard(key)
        return piece is not None

    def _drop_what_is_over(self, now: Now) -> None:
        if now.boot != self._boot:
            self._boot = now.boot
            for key in list(self._pieces):
                self._drop(key)
        elif now.mono_s >= self._until_mono_s:
            for key in [key for key, piece in self._pieces.items() if now.mono_s >= piece.until_mono_s]:
                self._drop(key)
            self._until_mono_s = min((p.until_mono_s for p in self._pieces.values()), default=_NEVER_S)

    def _drop_what_is_judged_anew(self, judge: Judge) -> None:
        for known, process in list(self._processes.items()):
            if not process.keys:
                del self._processes[known]
            elif (is_gone := judge(process.identity) in locks.GONE) != process.is_gone:
                process.is_gone = is_gone
                for key in list(process.keys):
                    self._drop(key)


def _is_there(state: State, key: str) -> bool:
    """Whether the board has a line for it."""
    collection, _, name = key.partition("/")
    if collection == "locks":
        return name in state.known.locks
    return name in state.known.agents or name in state.holds_of or name in state.waits_of


def _next_end_mono_s(state: State, name: str, now: Now) -> float:
    """Until when the answer of `lock_entries` stays the same, verdicts apart."""
    ends = []
    for held in state.known.locks[name]["holders"]:
        lease: Any = state.known.leases.get(held["lease"])
        left_s = leases.remaining_s(held["acquired"], held["ttl_s"], lease, now)
        if left_s > 0:
            ends.append(now.mono_s + left_s)
    return min(ends, default=_NEVER_S)


def _list(field: str, lines: list[str]) -> str:
    return f'"{field}":[\n' + ",\n".join(lines) + "\n]" if lines else f'"{field}":[]'


def _object(field: str, lines: list[str]) -> str:
    return f'"{field}":{{\n' + ",\n".join(lines) + "\n}" if lines else f'"{field}":{{}}'
