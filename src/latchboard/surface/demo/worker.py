"""Worker: one agent as a process of its own. Reads a file, thinks, writes it back with an edit added; again and again.

Law 1. An edit is made when the write has returned; it is in the agent's own log before the next one begins.
Law 2. Nothing here waits for a time to pass but the thinking, which is the agent's work: order comes from pipes.

It is told what to do on standard input (`go`, `die`, `stop`, `drain`, one word a line) and says what it does on
standard output. When standard input ends, whoever started it is gone: it goes, too.

Log, one line each: `edit <file number> <id> <seconds waited>`, `sent <message id> <to>`, `received <message id>`.
"""

from __future__ import annotations

import json
import os
import random
import select
import sys
import time

from latchboard.surface.demo.edit import edit_id, with_edit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    from latchboard.agent import Agent

    class Job(TypedDict):
        """What an agent is told when it is started.

        Attributes:
            agent: Its id.
            peers: Ids of the others.
            root: The copied project.
            files: Which files to edit, relative to root.
            log: Its own log.
            coordinated: Whether it uses Latchboard.
            think_s: Shortest and longest time between reading and writing, seconds.
            seed: Of its choices.
        """

        agent: str
        peers: list[str]
        root: str
        files: list[str]
        log: str
        coordinated: bool
        think_s: tuple[float, float]
        seed: int


_BREAK = 0.5  # of the thinking time, spent elsewhere between two edits


class Orders:
    """What comes in on standard input."""

    def __init__(self) -> None:
        self._rest = b""
        self._given: set[str] = set()

    def fileno(self) -> int:
        """Readable when there is news; waiting for a lock ends then."""
        return 0

    def given(self, word: str) -> bool:
        """Whether this order was given by now."""
        while select.select([0], [], [], 0)[0]:
            self._read()
        return word in self._given

    def wait_for(self, word: str) -> None:
        """Return when this order is given."""
        while word not in self._given:
            self._read()

    def _read(self) -> None:
        data = os.read(0, 4096)
        if not data:
            raise SystemExit(0)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._given.update(line.decode() for line in lines)


class Worker:
    """One agent."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.orders = Orders()
        self.random = random.Random(job["seed"])
        self.count = 0
        self.log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.me: Agent | None = None
        if job["coordinated"]:
            from latchboard import Latchboard

            self.me = Latchboard(job["root"]).agent(job["agent"])

    def run(self) -> None:
        """Edit from `go` to `stop`, then read what is left in the mailbox."""
        tell("ready")
        self.orders.wait_for("go")
        while not self.orders.given("stop"):
            number = self.random.randrange(len(self.job["files"]))
            if self.me is None:
                self.edit_alone(number)
            else:
                self.edit_with_others(self.me, number)
            time.sleep(self.think_s() * _BREAK)
        tell("idle")
        if self.me is not None:
            self.orders.wait_for("drain")
            self.receive(self.me)
        tell("done")

    def edit_alone(self, number: int) -> None:
        """Read, think, write: nobody knows of anybody."""
        path = os.path.join(self.job["root"], self.job["files"][number])
        with open(path, "rb") as file:
            text = file.read()
        edit, text = self.think(number, text)
        with open(path, "wb") as file:
            file.write(text)
        self.made(number, edit, 0.0)

    def edit_with_others(self, me: Agent, number: int) -> None:
        """The same, with the lock held from before the reading until after the writing."""
        from latchboard.errors import Cancelled

        name = self.job["files"][number]
        me.board.board.update(me.id, f"adds a line to {name}", [name])
        tell("waits", number)
        try:
            hold = me.lock(name, wait_s_max=None, reason="adds a line", cancel=self.orders)
        except Cancelled:  # an order has come: it goes first
            return
        with hold:
            with open(os.path.join(self.job["root"], name), "rb") as file:
                text = file.read()
            edit, text = self.think(number, text)
            hold.write(name, text)
            self.made(number, edit, hold.waited_s)
        self.tell_a_peer(me, name, edit)
        self.receive(me)

    def think(self, number: int, text: bytes) -> tuple[str, bytes]:
        """The edit and the text with it; takes its time. This is the middle of an edit, where an agent is killed."""
        if self.orders.given("die"):
            tell("middle", number)
            self.orders.wait_for("never")
        tell("thinks", number)
        time.sleep(self.think_s())
        self.count += 1
        edit = edit_id(self.job["agent"], self.count)
        return edit, with_edit(text, edit, self.random.random())

    def think_s(self) -> float:
        """How long this agent thinks now, seconds."""
        return self.random.uniform(*self.job["think_s"])

    def made(self, number: int, edit: str, waited_s: float) -> None:
        """The write has returned: from here on the edit must be in the file."""
        self.note(f"edit {number} {edit} {waited_s:.6f}")
        tell("made", number, edit)

    def tell_a_peer(self, me: Agent, name: str, edit: str) -> None:
        """Tell one of the others what was changed."""
        peer = self.random.choice(self.job["peers"])
        message = me.board.mailbox.send(me.id, peer, f"I changed {name}: edit {edit}.")
        self.note(f"sent {message['id']} {peer}")
        tell("sent")

    def receive(self, me: Agent) -> None:
        """Take what has come in."""
        for message in me.board.mailbox.receive(me.id):
            self.note(f"received {message['id']}")
            tell("received")

    def note(self, line: str) -> None:
        """Into the log: one write, so that a killed agent leaves whole lines."""
        os.write(self.log, line.encode() + b"\n")


def tell(*words: object) -> None:
    """Say what is done, for whoever watches."""
    try:
        os.write(1, " ".join(map(str, words)).encode() + b"\n")
    except BrokenPipeError:  # whoever watched is gone
        raise SystemExit(1) from None


if __name__ == "__main__":
    Worker(json.loads(sys.argv[1])).run()
