"""Tally: what came of one phase, counted from the agents' own logs and the files; and what both phases prove."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from latchboard.surface.demo.edit import edits_in, without_edits


@dataclass
class Log:
    """What one agent wrote down."""

    edits: list[tuple[int, str, float]] = field(default_factory=list)
    sent: list[tuple[str, str]] = field(default_factory=list)
    received: list[str] = field(default_factory=list)


@dataclass
class Tally:
    """One phase in numbers.

    Attributes:
        coordinated: Whether the agents used Latchboard.
        seconds: From the start signal until the last agent had stopped.
        edits_made: Writes that returned.
        edits_lost: Of these, how many are not in the files.
        edits_kept: Of these, how many are.
        files_damaged: Files that are not what they were plus the edits: cut off, or two versions in one.
        waits: How long each agent that had to wait for a lock waited, seconds.
        takeovers: Locks that passed from a dead holder to another agent.
        messages_sent: Messages that were accepted.
        messages_received: Of these, how many their recipient has got.
        messages_kept: Of these, how many lie in the mailbox of an agent that was killed (or ended with an error).
        messages_lost: Of these, how many are nowhere, or came twice.
        failed: Agents that ended by themselves with an error, with its text.
    """

    coordinated: bool
    seconds: float = 0.0
    edits_made: int = 0
    edits_lost: int = 0
    edits_kept: int = 0
    files_damaged: int = 0
    waits: list[float] = field(default_factory=list)
    takeovers: int = 0
    messages_sent: int = 0
    messages_received: int = 0
    messages_kept: int = 0
    messages_lost: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def wait_median_s(self) -> float | None:
        """Half of all waits were shorter, seconds."""
        return median(self.waits) if self.waits else None

    @property
    def wait_longest_s(self) -> float | None:
        """The longest wait, seconds."""
        return max(self.waits, default=None)

    def count_edits(self, logs: list[Log], texts: list[bytes], originals: list[bytes]) -> None:
        """Compare what the agents say they made with what is in the files."""
        present = [edits_in(text) for text in texts]
        made = [(number, edit) for log in logs for number, edit, _ in log.edits]
        self.edits_made = len(made)
        self.edits_kept = sum(edit in present[number] for number, edit in made)
        self.edits_lost = self.edits_made - self.edits_kept
        self.files_damaged = sum(
            without_edits(text) != original for text, original in zip(texts, originals, strict=True)
        )
        self.waits = sorted(waited_s for log in logs for *_, waited_s in log.edits if waited_s > 0)

    def count_messages(self, logs: dict[str, Log], kept: dict[str, list[str]]) -> None:
        """Every accepted message is received by its recipient once, or lies in its mailbox."""
        got = {agent: [*log.received, *kept.get(agent, [])] for agent, log in logs.items()}
        sent = [message for log in logs.values() for message in log.sent]
        self.messages_sent = len(sent)
        self.messages_received = sum(len(log.received) for log in logs.values())
        self.messages_kept = sum(len(ids) for ids in kept.values())
        self.messages_lost = sum(got.get(to, []).count(message_id) != 1 for message_id, to in sent)

    def to_json(self) -> dict[str, Any]:
        """For `--json`; seconds as numbers, None where there was nothing to measure."""
        facts = asdict(self)
        waits = facts.pop("waits")
        longest, middle = self.wait_longest_s, self.wait_median_s
        return {
            **facts,
            "seconds": round(self.seconds, 3),
            "waits_count": len(waits),
            "wait_median_s": None if middle is None else round(middle, 6),
            "wait_longest_s": None if longest is None else round(longest, 6),
        }


def read_log(path: Path) -> Log:
    """An agent's log; the last line of a killed agent is whole or missing."""
    log = Log()
    if not path.exists():
        return log
    for line in path.read_text().splitlines():
        kind, *words = line.split()
        if kind == "edit":
            log.edits.append((int(words[0]), words[1], float(words[2])))
        elif kind == "sent":
            log.sent.append((words[0], words[1]))
        elif kind == "received":
            log.received.append(words[0])
    return log


def problems(without: Tally, coordinated: Tally) -> list[str]:
    """What speaks against the demo, in plain words; empty when it has proven its point."""
    found = [*_failures(without), *_failures(coordinated)]
    if coordinated.edits_lost:
        found.append(f"{coordinated.edits_lost} edits were lost with Latchboard: this must never happen")
    if coordinated.files_damaged:
        found.append(f"{coordinated.files_damaged} files were damaged with Latchboard: this must never happen")
    if coordinated.messages_lost:
        found.append(f"{coordinated.messages_lost} messages were lost or came twice: this must never happen")
    if not coordinated.edits_made:
        found.append("No edit was made with Latchboard: nothing is proven")
    if not coordinated.takeovers:
        found.append("Nobody took over the lock of the killed agent")
    if not without.edits_lost:
        found.append("No edit was lost without Latchboard either, not even under more pressure: nothing is proven")
    return found


def _failures(tally: Tally) -> list[str]:
    """One sentence for each way in which agents ended."""
    agents: dict[str, list[str]] = {}
    for agent, text in tally.failed.items():
        agents.setdefault(text.splitlines()[-1], []).append(agent)
    return [
        f"{who[0]}{f' and {len(who) - 1} more' if len(who) > 1 else ''} ended with an error: {last}"
        for last, who in agents.items()
    ]
