"""Sheet: the text of status_board.json, put together from pieces that are kept from one writing to the next.

A board of 10,000 locks is some 3 MB of JSON. Encoding all of it takes 100 ms; joining what is known already takes 10.
A piece is made anew when its record changed, when a lease or a heartbeat ran out, or when a verdict is another one.

Law. The text is that of `rules.board.render`, one entry on a line.
"""

from __future__ import annotations

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

_FOR_EVER_S = float("inf")


class _Piece:
    """The lines of one lock or one agent, and how long they stay true."""

    __slots__ = ("boot", "first", "gone", "processes", "second", "until_mono_s")

    def __init__(self, first: str, second: str, until_mono_s: float, boot: str) -> None:
        self.first = first  # active holds; an agent
        self.second = second  # holds that are over; an agent's assignment
        self.until_mono_s = until_mono_s
        self.boot = boot
        self.processes: list[Any] = []
        self.gone: list[bool] = []

    def is_true(self, now: Now) -> bool:
        """Whether no time has run out meanwhile."""
        return now.mono_s < self.until_mono_s and now.boot == self.boot


class Sheet:
    """Text of one `State`; the pieces of another one are thrown away."""

    def __init__(self, *, quiet_s: float) -> None:
        """Show agents as quiet after `quiet_s` seconds without a heartbeat."""
        self._quiet_s = quiet_s
        self._state: State | None = None
        self._pieces: dict[str, _Piece] = {}

    def follow(self, state: State) -> None:
        """Throw away the pieces of what changed since the last call."""
        if state is not self._state:
            self._state, self._pieces = state, {}
        elif len(state.touched) > len(self._pieces):
            self._pieces = {key: piece for key, piece in self._pieces.items() if key not in state.touched}
        else:
            for key in state.touched:
                self._pieces.pop(key, None)
        state.touched.clear()

    def text(self, state: State, now: Now, judge: Judge) -> bytes:
        """The whole file."""
        self.follow(state)
        judged = _Judged(judge)
        active, ended = [], []
        for name in sorted(state.known.locks):
            piece = self._lock(state, name, now, judged)
            if piece.first:
                active.append(piece.first)
            if piece.second:
                ended.append(piece.second)
        agents = [self._agent(state, agent, now) for agent in rules.agent_ids(state)]
        head = encode(rules.head(state))[1:-1]
        parts = [
            "{" + head,
            _list("active_locks", active),
            _list("ended_locks", ended),
            _object("agents", [piece.first for piece in agents]),
            _object("agent_assignments", [piece.second for piece in agents if piece.second]),
        ]
        parts += [_list(field, [encode(entry) for entry in entries]) for field, entries in rules.tail(state).items()]
        return (",\n".join(parts) + "\n}\n").encode()

    def _lock(self, state: State, name: str, now: Now, judged: _Judged) -> _Piece:
        key = f"locks/{name}"
        piece = self._pieces.get(key)
        if piece is not None and piece.is_true(now) and piece.gone == [judged.is_gone(p) for p in piece.processes]:
            return piece
        entries = rules.lock_entries(state, name, now, judged.verdict)
        piece = self._pieces[key] = _Piece(
            ",\n".join([encode(entry) for why, entry in entries if not why]),
            ",\n".join([encode(entry) for why, entry in entries if why]),
            _next_end_mono_s(state, name, now),
            now.boot,
        )
        holders = state.known.locks[name]["holders"]
        piece.processes = [held["process"] for held in holders if held["bound"] == "process"]
        piece.gone = [judged.is_gone(process) for process in piece.processes]
        return piece

    def _agent(self, state: State, agent: str, now: Now) -> _Piece:
        key = f"agents/{agent}"
        piece = self._pieces.get(key)
        if piece is not None and piece.is_true(now):
            return piece
        entry = rules.agent_entry(state, agent, now, self._quiet_s)
        until_mono_s = _FOR_EVER_S
        if entry["heartbeat_at"] is not None and not entry["quiet"]:
            heartbeat = state.known.agents[agent]["heartbeat"]
            until_mono_s = heartbeat["mono_s"] + self._quiet_s if heartbeat["boot"] == now.boot else now.mono_s
        assigned = f"{encode(agent)}:{encode(rules.assignment(entry))}" if entry["heartbeat_at"] is not None else ""
        piece = self._pieces[key] = _Piece(f"{encode(agent)}:{encode(entry)}", assigned, until_mono_s, now.boot)
        return piece


class _Judged:
    """Verdicts about processes, each asked for once per writing."""

    __slots__ = ("_judge", "_known")

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._known: dict[tuple[Any, ...], str] = {}

    def verdict(self, process: Any) -> str:
        try:
            key = tuple(process.get(field) for field in ("pid", "start", "pid_ns", "boot", "host"))
            known = self._known.get(key)
        except TypeError:  # fields of a foreign record that cannot be compared
            return self._judge(process)
        if known is None:
            known = self._known[key] = self._judge(process)
        return known

    def is_gone(self, process: Any) -> bool:
        return self.verdict(process) in locks.GONE


def _next_end_mono_s(state: State, name: str, now: Now) -> float:
    """Until when the answer of `lock_entries` stays the same, verdicts apart."""
    ends = []
    for held in state.known.locks[name]["holders"]:
        lease: Any = state.known.leases.get(held["lease"])
        left_s = leases.remaining_s(held["acquired"], held["ttl_s"], lease, now)
        if left_s > 0:
            ends.append(now.mono_s + left_s)
    return min(ends, default=_FOR_EVER_S)


def _list(field: str, lines: list[str]) -> str:
    return f'"{field}":[\n' + ",\n".join(lines) + "\n]" if lines else f'"{field}":[]'


def _object(field: str, lines: list[str]) -> str:
    return f'"{field}":{{\n' + ",\n".join(lines) + "\n}" if lines else f'"{field}":{{}}'
