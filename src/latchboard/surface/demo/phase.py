"""Phase: all agents at work for some seconds, one of them killed in the middle of an edit; then the count.

Order comes from what the agents say: nobody begins before everybody is ready, the victim is killed when it says that it
is in the middle, and mailboxes are emptied when nobody sends any more.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING

from latchboard.surface.demo.crew import Crew
from latchboard.surface.demo.edit import edits_in
from latchboard.surface.demo.lookout import Lookout
from latchboard.surface.demo.tally import Tally, read_log

if TYPE_CHECKING:
    from latchboard.surface.demo.worker import Job

LATE_S_MAX = 10.0
"""How much longer than planned a step may take on a busy machine, seconds; then the phase ends with what it has."""

_FRAME_S = 0.12
_KILL_AT = 0.4  # of the phase


@dataclass
class Row:
    """What one agent does now, as it said itself."""

    agent: str
    state: str = "starts"
    number: int | None = None
    edits: int = 0


@dataclass
class Kill:
    """The agent that was killed in the middle of an edit.

    Attributes:
        agent: Its id.
        file: What it was editing.
        held: Whether it held the lock of that file when it was killed.
        heir: Who took the lock over.
        heir_s: How long after the kill, seconds.
    """

    agent: str
    file: str
    held: bool = False
    heir: str | None = None
    heir_s: float | None = None
    at_s: float = 0.0


@dataclass
class Plan:
    """What is to be done.

    Attributes:
        folder: Where this phase has its files; the project is in `project`.
        files: What is edited, relative to the project.
        originals: What is in these files before, in the same order.
        agents: Ids.
        coordinated: Whether Latchboard is used.
        seconds: How long.
        deadline: When it must be over, whatever hangs; on the monotonic clock.
        think_s: Shortest and longest time between reading and writing, seconds.
    """

    folder: Path
    files: list[str]
    originals: list[bytes]
    agents: list[str]
    coordinated: bool
    seconds: float
    deadline: float
    think_s: tuple[float, float] = (0.010, 0.060)

    @property
    def project(self) -> Path:
        """The copy that is worked on."""
        return self.folder / "project"

    @property
    def victim(self) -> str:
        """Who is killed: one from the middle of the board."""
        return self.agents[len(self.agents) // 2]

    def log(self, agent: str) -> Path:
        """An agent's own log."""
        return self.folder / f"{agent}.log"

    def job(self, agent: str) -> Job:
        """What an agent is told."""
        return {
            "agent": agent,
            "peers": [other for other in self.agents if other != agent],
            "root": str(self.project),
            "files": self.files,
            "log": str(self.log(agent)),
            "coordinated": self.coordinated,
            "think_s": self.think_s,
            "seed": self.agents.index(agent),
        }


@dataclass
class Phase:
    """One phase while it runs; what a screen shows is read from here.

    Attributes:
        plan: What is to be done.
        show: Called some times a second.
        rows: Agents by id.
        made: Ids of the edits made so far, a set for each file.
        present: How many of these are in the file now.
        kill: Once it has happened.
        sent: Messages so far.
        received: Messages so far.
        stage: `starts`, `works`, `stops` or `over`.
        tally: The count, once it is over.
    """

    plan: Plan
    show: Callable[[Phase], None]
    rows: dict[str, Row] = field(default_factory=dict)
    made: list[set[str]] = field(default_factory=list)
    present: list[int] = field(default_factory=list)
    kill: Kill | None = None
    sent: int = 0
    received: int = 0
    stage: str = "starts"
    lookout: Lookout | None = None
    tally: Tally | None = None
    _started: float = 0.0
    _shown: float = 0.0

    def __post_init__(self) -> None:
        self.rows = {agent: Row(agent) for agent in self.plan.agents}
        self.made = [set() for _ in self.plan.files]
        self.present = [0 for _ in self.plan.files]

    @property
    def elapsed_s(self) -> float:
        """Since the start signal, seconds."""
        return monotonic() - self._started if self._started else 0.0

    @property
    def lost(self) -> int:
        """Edits made that are not in the files now."""
        return sum(len(made) for made in self.made) - sum(self.present)

    def run(self) -> Tally:
        """Run it to the end."""
        tally = Tally(self.plan.coordinated)
        if not self.plan.coordinated:
            self._work(tally)
            return self._count(tally)
        with closing(Lookout(self.plan.project)) as self.lookout:
            self._work(tally)
            return self._count(tally)

    # -- the agents' day ----------------------------------------------------------------------------------------------

    def _work(self, tally: Tally) -> None:
        plan = self.plan
        self._frame(now=True)
        with Crew([plan.job(agent) for agent in plan.agents]) as self._crew:
            self._until(lambda: self._all("ready"), LATE_S_MAX)
            self._started = monotonic()
            self.stage = "works"
            self._crew.tell_all("go")
            self._until(lambda: self.elapsed_s >= plan.seconds * _KILL_AT, plan.seconds)
            self._crew.members[plan.victim].tell("die")
            self._until(lambda: self.elapsed_s >= plan.seconds and self._is_killed(), plan.seconds + LATE_S_MAX)
            self.stage = "stops"
            self._crew.tell_all("stop")
            self._until(lambda: self._all("idle"), LATE_S_MAX)
            tally.seconds = self.elapsed_s
            self._crew.tell_all("drain")
            self._until(lambda: self._all("gone"), LATE_S_MAX)
            self._frame(now=True)
            tally.failed = self._failures()

    def _until(self, is_reached: Callable[[], bool], limit_s: float) -> None:
        """Hear the agents until a condition holds or none is left, at most for `limit_s` seconds."""
        deadline = min(monotonic() + limit_s, self.plan.deadline)
        while not is_reached() and not self._all("gone") and monotonic() < deadline:
            for agent, words in self._crew.hear(_FRAME_S / 2):
                self._heard(agent, words)
            self._frame()

    def _all(self, state: str) -> bool:
        return all(row.state in (state, "gone", "killed") for row in self.rows.values())

    def _heard(self, agent: str, words: list[str]) -> None:
        row = self.rows[agent]
        word, *rest = words
        if row.state == "killed":
            return
        if word == "made":
            row.edits += 1
            row.state, row.number = "rests", None
            self.made[int(rest[0])].add(rest[1])
        elif word == "sent":
            self.sent += 1
        elif word == "received":
            self.received += 1
        else:
            row.state = word
            row.number = int(rest[0]) if rest else None
        if word == "middle":
            self._kill(row)

    def _kill(self, row: Row) -> None:
        """It has read the file and not yet written it, and stands still there."""
        assert row.number is not None
        kill = Kill(row.agent, self.plan.files[row.number])
        kill.held = self.lookout is not None and row.agent in self.lookout.holders(kill.file)
        kill.at_s = time()
        self._crew.members[row.agent].kill()
        row.state = "killed"
        self.kill = kill

    def _is_killed(self) -> bool:
        """Whether the kill has had all its consequences."""
        return self.kill is not None and (self.lookout is None or self.kill.heir is not None)

    def _failures(self) -> dict[str, str]:
        failed = {}
        for agent, member in self._crew.members.items():
            if self.rows[agent].state != "killed" and member.process.poll() != 0:
                failed[agent] = member.last_words()
        return failed

    # -- looking and counting -----------------------------------------------------------------------------------------

    def _frame(self, *, now: bool = False) -> None:
        """Look at the files and the locks and show it, some times a second."""
        if self.lookout is not None:
            self.lookout.look()
            if self.kill is not None and self.kill.heir is None:
                self._find_heir(self.kill, self.lookout)
        if now or monotonic() - self._shown >= _FRAME_S:
            self._shown = monotonic()
            if self.lookout is not None:
                self.lookout.look_around()
            for number, text in enumerate(self._texts()):
                self.present[number] = len(self.made[number] & edits_in(text))
            self.show(self)

    def _find_heir(self, kill: Kill, lookout: Lookout) -> None:
        for takeover in lookout.takeovers:
            if takeover.of == kill.agent and takeover.name == kill.file:
                kill.heir, kill.heir_s = takeover.by, max(0.0, takeover.at_s - kill.at_s)

    def _texts(self) -> list[bytes]:
        return [(self.plan.project / name).read_bytes() for name in self.plan.files]

    def _count(self, tally: Tally) -> Tally:
        logs = {agent: read_log(self.plan.log(agent)) for agent in self.plan.agents}
        tally.count_edits(list(logs.values()), self._texts(), self.plan.originals)
        if self.lookout is not None:
            self.lookout.look()
            tally.takeovers = len(self.lookout.takeovers)
            ended = [agent for agent, row in self.rows.items() if row.state == "killed" or agent in tally.failed]
            tally.count_messages(logs, {agent: self.lookout.mail_of(agent) for agent in ended})
        self.tally = tally
        self.stage = "over"
        self.show(self)
        return tally
