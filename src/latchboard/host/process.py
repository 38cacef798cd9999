"""Process: how one is ended, and what is said about it afterwards.

Law 1. Before each signal, with the grip already on it, the process is judged anew: it is live, it is the one that was
meant, and whoever asks for its end still says that it is his.
Law 2. Never this process, never process 1.
Law 3. What is told is what was seen: ended, by which signal, or why not.

Where the kernel has pidfds the signal cannot meet a process that took over the pid. Where it has none, the time between
the last look and kill(2) is left. Nowhere can it be excluded that a process becomes another program (exec keeps its
identity) in the microseconds after the last look.

Protocol: protocol/daemon.md, "Ending a process".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    from latchboard.clock import Clock
    from latchboard.host.port import Grip, Identity, Machine

TERM_WAIT_S = 2.0
"""How long a process may take to end well."""
SWEEP_WAIT_S = 1.0
"""The same where many are ended one after the other."""
KILL_WAIT_S = 2.0
"""How long the kernel may take: a process in an uninterruptible call stays longer, and that is told."""
DYING_WAIT_S = 2.0
"""The same for one that cannot be read any more: whoever else killed it, its memory goes first, and the rest of it when
the machine has time for that."""
_LOOK_S = 0.02
_UNREADABLE = "unreadable"
"""What an asker says of a process whose arguments or program are not to be had (`rules.daemon.UNREADABLE`)."""

GONE = ("dead", "recycled")


class Ending:
    """What became of a process that was to end.

    Attributes:
        is_gone: It is not there any more.
        by: The last signal that it was sent; None: none was.
        why: "" when a signal ended it, else: `itself`, `init`, `dead` and `recycled` (it was gone before),
            `unknowable`, `not-permitted`, `no-grip`, what the asker said, or `survived` (it was sent KILL and is still
            there).
    """

    __slots__ = ("by", "is_gone", "why")

    def __init__(self, *, is_gone: bool, by: Literal["TERM", "KILL"] | None = None, why: str = "") -> None:
        self.is_gone = is_gone
        self.by = by
        self.why = why

    def __repr__(self) -> str:
        return f"Ending(is_gone={self.is_gone}, by={self.by!r}, why={self.why!r})"

    def to_json(self) -> dict[str, Any]:
        """As the report of an enforcement has it."""
        return {"is_gone": self.is_gone, "by": self.by, "why": self.why}


def end_process(
    machine: Machine,
    clock: Clock,
    identity: Identity,
    *,
    why_not: Callable[[], str] = lambda: "",
    term_wait_s: float = TERM_WAIT_S,
    kill_wait_s: float = KILL_WAIT_S,
    reaps: bool = True,
) -> Ending:
    """End exactly that process: TERM, wait, KILL, wait, reap.

    Args:
        machine: Where it runs.
        clock: For waiting.
        identity: Which one.
        why_not: Asked before each signal, with the grip already on the process: why it must not get it; "" to go on.
            With `unreadable` it gets no signal, and is waited for: it may be on its way out already.
        term_wait_s: Between TERM and KILL, seconds.
        kill_wait_s: After KILL, seconds.
        reaps: False for a child whose exit status somebody else in this process waits for: a status is told once.
    """
    own_pid = machine.me()["pid"]
    if identity["pid"] == own_pid:
        return Ending(is_gone=False, why="itself")
    if identity["pid"] <= 1:
        return Ending(is_gone=False, why="init")
    verdict = machine.verdict(identity)
    if verdict != "live":
        return Ending(is_gone=verdict in GONE, why=verdict)
    grip = machine.grip(identity)
    if grip is None:
        verdict = machine.verdict(identity)
        return Ending(is_gone=verdict in GONE, why="no-grip" if verdict == "live" else verdict)
    try:
        ending = _end(machine, clock, identity, grip, why_not, (("TERM", term_wait_s), ("KILL", kill_wait_s)))
        if reaps and ending.is_gone and machine.verdict(identity) == "dead":  # not when its pid is somebody else's
            grip.reap()
        return ending
    finally:
        grip.close()


def _end(
    machine: Machine,
    clock: Clock,
    identity: Identity,
    grip: Grip,
    why_not: Callable[[], str],
    steps: tuple[tuple[Literal["TERM", "KILL"], float], ...],
) -> Ending:
    sent: Literal["TERM", "KILL"] | None = None
    for signal, wait_s in steps:
        verdict = machine.verdict(identity)
        why = why_not() if verdict == "live" else verdict
        if not why:
            why = grip.send(signal)
        if why:
            if not _has_ended(machine, clock, identity, grip, DYING_WAIT_S if why == _UNREADABLE else 0.0):
                return Ending(is_gone=False, by=sent, why=why)
            return Ending(is_gone=True, by=sent, why="" if sent else machine.verdict(identity))
        sent = signal
        if _has_ended(machine, clock, identity, grip, wait_s):
            return Ending(is_gone=True, by=sent)
    return Ending(is_gone=False, by=sent, why="survived")


def _has_ended(machine: Machine, clock: Clock, identity: Identity, grip: Grip, wait_s: float) -> bool:
    """Whether it ends within `wait_s` seconds; what the verdict says counts, a readable pidfd only wakes."""
    deadline_s = clock.now().mono_s + wait_s
    while machine.verdict(identity) not in GONE:
        left_s = deadline_s - clock.now().mono_s
        if left_s <= 0:
            return False
        readables = grip.readables()
        if clock.wait(readables, left_s if readables else min(left_s, _LOOK_S)) and readables:
            return True
    return True
