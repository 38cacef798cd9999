"""Worker: one agent process that does random things and writes down each call before and after it.

What it writes survives SIGKILL: one write per line, to a file of its own. A call without a return may or may not have
happened.
"""

from __future__ import annotations

import json
import os
import random
import time
from typing import Any

from latchboard.compose import Latchboard
from latchboard.errors import CoordinationError, StoreUnavailable
from latchboard.locks.hold import Hold
from latchboard.settings import Settings
from tests.process.nursery import Channel

FILES = ("src/a.txt", "src/b.txt", "lib/c.txt")
FOLDERS = ("src/", "lib/")
GLOB = "glob:**/*.txt"
SHORT_TTL_S = 0.3
SUBJECT = "history"
DRAIN_S_MAX = 60.0
SETTINGS: dict[str, Any] = {"journal_bytes_max": 500_000, "journals_kept_count": 10_000, "wait_poll_s": 0.2}


def open_board(root: str, store: str) -> Latchboard:
    """The board of a process; on whatever etcd the system brings."""
    os.environ["LATCHBOARD_ETCD_ANY_VERSION"] = "1"
    return Latchboard(root, settings=Settings(**SETTINGS, store=store), publishes=False)


class Recorder:
    """Writes calls down. An operation is `{"id", "call", ...}` first and `{"id", "ok", ...}` when it returned."""

    def __init__(self, path: str, label: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._label = label
        self._count = 0

    def line(self, **fields: Any) -> None:
        os.write(self._fd, (json.dumps({**fields, "t": time.monotonic()}) + "\n").encode())

    def call(self, name: str, function: Any, **arguments: Any) -> Any:
        """Run `function(id)`; its value, or None when it ended with one of our errors."""
        self._count += 1
        op = f"{self._label}.{self._count}"
        self.line(id=op, call=name, **arguments)
        try:
            value, told = function(op)
        except CoordinationError as exc:
            self.line(id=op, ok=False, code=exc.code)
            return None
        self.line(id=op, ok=True, **told)
        return value


class Worker:
    """One agent, in one process.

    Attributes:
        files: What it writes.
    """

    files: tuple[str, ...] = FILES

    def __init__(
        self,
        root: str,
        path: str,
        agent: str,
        incarnation: int,
        others: list[str],
        seed: int,
        **options: Any,
    ) -> None:
        """`options`: `careless` writes without a token; `store` is that of the settings."""
        self.board = open_board(root, options.get("store", "files"))
        self.agent = agent
        self.others = others
        self.random = random.Random(seed)
        self.shared = False
        self.careless = bool(options.get("careless"))
        self.recorder = Recorder(path, f"{agent}.{incarnation}")
        self.recorder.line(agent=agent, process=self.board.host.me())

    def step(self) -> None:
        """One random thing."""
        self.random.choices([self.turn, self.send, self.receive], [6, 2, 2])[0]()

    def turn(self) -> None:
        """Lock something, do something with it, give it back."""
        hold = self.acquire()
        if hold is None:
            return
        for _ in range(self.random.randint(0, 3)):
            self.random.choices([self.increment, self.renew, self.think], [6, 1, 2])[0](hold)
        inner = self.acquire() if self.random.random() < 0.1 else None
        if inner is not None:
            self.increment(inner)
            self.release(inner)
        self.release(hold)

    def names(self) -> list[str]:
        """What to lock."""
        return self.random.choice(
            [*[[file] for file in FILES] * 3, [FOLDERS[0]], [FOLDERS[1]], [GLOB], list(FILES[:2])]
        )

    def acquire(self) -> Hold | None:
        names = self.names()
        shared = self.shared = self.random.random() < 0.25
        bound: Any = self.random.choice(["process", "process", "agent"])
        ttl_s = SHORT_TTL_S if bound == "agent" else self.random.choice([SHORT_TTL_S, 30.0])
        wait_s = self.random.choice([0, 0.01, 0.1, 0.5])
        me = self.board.agent(self.agent)

        def run(op: str) -> tuple[Hold, dict[str, Any]]:
            hold = me.lock(*names, shared=shared, bound=bound, ttl_s=ttl_s, wait_s_max=wait_s)
            return hold, {"tokens": hold.tokens}

        hold: Hold | None = self.recorder.call("acquire", run, names=names, shared=shared, bound=bound)
        return hold

    def increment(self, hold: Hold) -> None:
        """Read a file, think, write it back: it says who wrote it, and after whom."""
        if self.shared:
            return
        covered = (
            list(self.files)
            if self.careless
            else [file for file in self.files if any(covers(name, file) for name in hold.tokens)]
        )
        file = self.random.choice(covered)
        with open(f"{self.board.root}/{file}", encoding="utf-8") as old:
            previous = json.load(old)["op"]
        self.think(hold)

        def run(op: str) -> tuple[None, dict[str, Any]]:
            content = json.dumps({"op": op, "previous": previous})
            if self.careless:
                write_whole(f"{self.board.root}/{file}", content)
            else:
                hold.write(file, content)
            return None, {}

        tokens = {name: token for name, token in hold.tokens.items() if covers(name, file)}
        self.recorder.call("write", run, file=file, previous=previous, tokens=tokens)

    def renew(self, hold: Hold) -> None:
        self.recorder.call("renew", lambda op: (hold.renew(), {}), tokens=hold.tokens)

    def think(self, hold: Hold) -> None:
        time.sleep(self.random.random() * 0.005)

    def release(self, hold: Hold) -> None:
        self.recorder.call("release", lambda op: (None, {"was_held": hold.release()}), tokens=hold.tokens)

    def send(self) -> None:
        to = self.random.choice(self.others)

        def run(op: str) -> tuple[None, dict[str, Any]]:
            sent = self.board.mailbox.send(self.agent, to, op, subject=SUBJECT, ack="required", durable=False)
            return None, {"message": sent["id"]}

        self.recorder.call("send", run, to=to)

    def receive(self) -> None:
        """Receive, and acknowledge most of it."""

        def run(op: str) -> tuple[list[str], dict[str, Any]]:
            inbox = self.board.mailbox.receive(self.agent, limit=20)
            got = [[m["id"], m["from"], m["body"]] for m in inbox if m["subject"] == SUBJECT]  # others: news of locks
            return [m["id"] for m in inbox], {"got": got}

        for message in self.recorder.call("receive", run) or []:
            if self.random.random() < 0.8:
                self.ack(message)

    def drain(self) -> None:
        """Receive and acknowledge whatever waits for it."""
        self.random.random = lambda: 0.0  # type: ignore[method-assign]  # acknowledges everything
        until_s = time.monotonic() + DRAIN_S_MAX
        while self._is_waited_for() and time.monotonic() < until_s:
            self.receive()
        self.board.close()

    def _is_waited_for(self) -> bool:
        """Whether there is mail for it, or nobody says."""
        try:
            return bool(self.board.mailbox.peek(self.agent))
        except StoreUnavailable:
            return True

    def ack(self, message: str) -> None:
        def run(op: str) -> tuple[None, dict[str, Any]]:
            return None, {"was_first": self.board.mailbox.ack(self.agent, message)}

        self.recorder.call("ack", run, message=message)


def write_whole(path: str, content: str) -> None:
    """As one does without a token: whole, and whoever comes last wins."""
    with open(f"{path}.{os.getpid()}", "w", encoding="utf-8") as file:
        file.write(content)
    os.replace(file.name, path)


def covers(name: str, file: str) -> bool:
    """Whether a lock's name takes in a file; all there is to know about the few names used here."""
    return name in (file, GLOB) or (name.endswith("/") and file.startswith(name))


def overlap(a: str, b: str) -> bool:
    """Whether two names used here have a file in common; a name may be one."""
    return any(covers(a, file) and covers(b, file) for file in (*FILES, a, b))


def work(channel: Channel, **arguments: Any) -> None:
    """Random things, until told to end."""
    worker = Worker(**arguments)
    channel.sock.settimeout(0)
    while not _is_told(channel):
        worker.step()
    channel.sock.settimeout(None)
    worker.board.locks.release_names(worker.agent)
    channel.send(over=True)


def follow(channel: Channel, root: str, path: str, store: str = "files") -> None:
    """Watch everything from the beginning, and write down each change, and when it came, until told how far it goes.

    Nobody kills or stops this process: what it has received was committed before, by a clock that all processes share.
    """
    board = open_board(root, store)
    watch = board.store.watch("", after=0)
    channel.sock.settimeout(0)
    last, newest = 0, None
    with open(path, "w", encoding="utf-8") as log:
        while newest is None or last < newest:
            try:
                changes = watch.poll()
            except StoreUnavailable:
                changes = []  # its place is kept: what it would have given comes with a later poll
            there_s = time.monotonic()
            for change in changes:
                last = change.revision
                log.write(json.dumps([change.revision, change.key, change.value is not None, there_s]) + "\n")
            board.clock.wait([watch, channel.sock] if newest is None else [watch], 1.0)
            newest = _told_revision(channel) if newest is None else newest
    watch.close()
    channel.sock.settimeout(None)
    channel.send(mode=watch.mode)


def _told_revision(channel: Channel) -> int | None:
    try:
        return int(json.loads(channel.sock.recv(4096))["newest"])
    except BlockingIOError:
        return None


def _is_told(channel: Channel) -> bool:
    try:
        return bool(channel.sock.recv(4096)) or True
    except BlockingIOError:
        return False
