"""The mailbox against a model: what was accepted is delivered, in order, once; what is acknowledged never again.

The store fails now and then, before a commit or after it; clocks jump, the machine restarts, processes come and go.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from latchboard.clock import Now
from latchboard.errors import StoreUnavailable, UsageError
from latchboard.mailbox import Mailbox
from latchboard.settings import Settings
from latchboard.store.files.store import FileStore
from latchboard.store.memory import MemoryStore
from latchboard.testing import FakeHost, ManualClock
from tests.conftest import MEMORY, examples

AGENTS = ["a", "A", "a_b", "a/b"]
SETTINGS = Settings(archive_ttl_s=40, broadcast_ttl_s=30)
agents = st.sampled_from(AGENTS)
seconds = st.integers(1, 60)
maybe_seconds = st.none() | seconds


class Shaky:
    """A store whose next commit can be made to fail, before it happens or after it."""

    def __init__(self, store: Any) -> None:
        self.inner = store
        self.fails = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def transact(self, fn: Callable[[Any], Any], **options: Any) -> Any:
        fails, self.fails = self.fails, ""
        if fails == "before":
            raise StoreUnavailable("nothing was committed")
        done = self.inner.transact(fn, **options)
        if fails == "after":
            raise StoreUnavailable("it is not known whether it was committed")
        return done


class Letter:
    """What the model knows of an accepted message. `status` and `gone` are per reader."""

    def __init__(self, sent: dict[str, Any], now: Now, expires_s: int | None) -> None:
        self.id, self.body, self.sender, self.to = sent["id"], sent["body"], sent["from"], sent["to"]
        self.order = (sent["revision"], sent["id"])
        self.needs_ack = sent["ack"] == "required"
        self.sent, self.expires_s = now, expires_s
        self.status = {a: "waiting" for a in AGENTS if (a != self.sender if self.to is None else a == self.to)}
        self.gone: dict[str, Now] = {}
        self.swept: set[str] = set()

    def is_over(self, now: Now) -> bool:
        return self.expires_s is not None and age_s(self.sent, now) >= self.expires_s

    def end(self, agent: str, status: str, now: Now) -> None:
        self.status[agent] = status
        self.gone[agent] = now


def age_s(then: Now, now: Now) -> float:
    return now.mono_s - then.mono_s if then.boot == now.boot else max(0.0, now.wall_s - then.wall_s)


class MailboxMachine(RuleBasedStateMachine):
    folder = ""

    def make_store(self) -> Any:
        raise NotImplementedError

    def second_store(self) -> Any:
        """The store as another process has it."""
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.clock = ManualClock()
        self.store = Shaky(self.make_store())
        self.machine = FakeHost()
        self.boxes = [Mailbox(self.store, self.clock, self.machine.as_process(self.machine.spawn()), SETTINGS)]
        self.letters: list[Letter] = []
        self.count = 0
        self.behind_s = 0
        self.has_restarted = False

    # -- what happens

    @rule(
        sender=agents,
        to=agents | st.none() | st.none(),
        needs_ack=st.booleans(),
        expires_s=maybe_seconds,
        box=st.integers(0, 9),
    )
    def send(self, sender: str, to: str | None, needs_ack: bool, expires_s: int | None, box: int) -> None:
        self.count += 1
        fails = self.store.fails
        ack = "required" if needs_ack else "none"
        body = f"message {self.count}"
        mailbox = self.boxes[box % len(self.boxes)]
        if to is None and expires_s is None:
            expected_expiry: int | None = int(SETTINGS.broadcast_ttl_s)
        else:
            expected_expiry = expires_s
        now = self.clock.now()
        try:
            if to is None:
                sent = mailbox.broadcast(sender, body, ack=ack, expires_s=expires_s)
            else:
                sent = mailbox.send(sender, to, body, ack=ack, expires_s=expires_s)
        except StoreUnavailable:
            found = [m for m in self.everything() if m["body"] == body]
            assert len(found) == (fails == "after")
            if not found:
                return
            sent = found[0]
        self.letters.append(Letter(sent, now, expected_expiry))

    @rule(agent=agents, limit=st.none() | st.integers(1, 4), box=st.integers(0, 9))
    def receive(self, agent: str, limit: int | None, box: int) -> None:
        fails = self.store.fails
        now = self.clock.now()
        expected = self.expected(agent, limit)
        try:
            inbox = self.boxes[box % len(self.boxes)].receive(agent, limit=limit)
        except StoreUnavailable:
            if fails == "before":
                return
        else:
            assert [(m["body"], m["redelivered"]) for m in inbox] == [
                (letter.body, letter.status[agent] == "delivered") for letter in expected
            ]
            assert all(m["to"] == agent for m in inbox)
            assert inbox.damaged == []
            assert inbox.left_count == len(self.expected(agent, None)) - len(expected)
        for letter in expected:
            if letter.needs_ack:
                letter.status[agent] = "delivered"
            else:
                letter.end(agent, "taken", now)
        self.bury(now, [agent])

    @rule(agent=agents, number=st.integers(0, 1000))
    def ack(self, agent: str, number: int) -> None:
        if not self.letters:
            return
        letter = self.letters[number % len(self.letters)]
        fails = self.store.fails
        now = self.clock.now()
        status = letter.status.get(agent, "")
        is_new_and_over = letter.to is None and status == "waiting" and letter.is_over(now)
        open_ = status in ("waiting", "delivered") and not is_new_and_over
        try:
            assert self.boxes[0].ack(agent, letter.id) is open_
        except UsageError:
            assert not open_
            assert status in ("", "missed") or is_new_and_over or agent in letter.swept
        except StoreUnavailable:
            open_ = open_ and fails == "after"
        if open_:
            letter.end(agent, "acked", now)

    @rule(agent=agents, limit=st.none() | st.integers(1, 3))
    def look(self, agent: str, limit: int | None) -> None:
        expected = self.expected(agent, limit)

        assert [m["body"] for m in self.boxes[0].peek(agent, limit=limit)] == [letter.body for letter in expected]
        new = [letter for letter in self.expected(agent, None) if letter.status[agent] == "waiting"]
        assert self.boxes[0].unread(agent) == len(new)

    @rule()
    def sweep(self) -> None:
        now = self.clock.now()
        self.store.fails = ""
        old = [
            (letter, agent)
            for letter in self.letters
            for agent, gone in letter.gone.items()
            if age_s(gone, now) > SETTINGS.archive_ttl_s and (letter.expires_s is None or letter.is_over(now))
        ]
        new = [(letter, agent) for letter, agent in old if agent not in letter.swept]

        counts = self.boxes[0].sweep()

        assert counts["archived"] == len(new)
        for letter, agent in new:
            letter.swept.add(agent)
        self.bury(now, AGENTS)
        for letter in self.letters:
            if letter.to is None and letter.is_over(now):
                letter.status.update({a: "missed" for a, status in letter.status.items() if status == "waiting"})
        assert self.boxes[0].sweep(dry_run=True) == dict.fromkeys(counts, 0)

    @rule(s=seconds)
    def time_passes(self, s: int) -> None:
        self.clock.advance(s)

    @rule(s=st.integers(-100_000, 100_000))
    def wall_clock_jumps(self, s: int) -> None:
        # Only within one boot may it go back: across boots it is all there is, and what was expired would live again.
        if s > 0 or not self.has_restarted:
            self.clock.jump_wall(s)
            self.behind_s = max(0, self.behind_s - s)

    @rule(s=seconds)
    def machine_restarts(self, s: int) -> None:
        self.clock.jump_wall(self.behind_s)
        self.behind_s, self.has_restarted = 0, True
        self.clock.reboot(off_s=s)
        self.machine.reboot()

    @rule()
    def another_process_joins(self) -> None:
        host = self.machine.as_process(self.machine.spawn())
        self.boxes.append(Mailbox(self.store, self.clock, host, SETTINGS))

    @rule(agent=agents)
    def cursor_is_lost(self, agent: str) -> None:
        self.store.inner.transact(lambda view: view.delete(f"cursors/{agent}"), who="test")

    @rule(fails=st.sampled_from(["before", "after"]))
    def store_will_fail(self, fails: str) -> None:
        self.store.fails = fails

    # -- what must be true

    @invariant()
    def every_accepted_message_is_in_exactly_one_place(self) -> None:
        places: dict[tuple[str, str], list[str]] = {}
        for collection in ("messages/", "archive/"):
            for key, message in self.store.read(collection).scan(collection):
                places.setdefault((message["to"], message["body"]), []).append(key.partition("/")[0])
        for letter in self.letters:
            for agent, status in letter.status.items():
                found = places.pop((agent, letter.body), [])
                if agent in letter.swept or status == "missed" or (letter.to is None and status == "waiting"):
                    assert found == []
                else:
                    assert found == ["messages" if status in ("waiting", "delivered") else "archive"], (agent, status)
        assert places == {}, "a message in the mailbox of somebody it was not for"

    def expected(self, agent: str, limit: int | None) -> list[Letter]:
        now = self.clock.now()
        alive = [
            letter
            for letter in sorted(self.letters, key=lambda letter: letter.order)
            if letter.status.get(agent) in ("waiting", "delivered") and not letter.is_over(now)
        ]
        if limit is not None:
            alive = sorted(alive, key=lambda letter: letter.status[agent] == "delivered")[:limit]
        return sorted(alive, key=lambda letter: letter.order)

    def bury(self, now: Now, readers: list[str]) -> None:
        for letter in self.letters:
            for agent in readers:
                status = letter.status.get(agent)
                is_own = status == "delivered" or (status == "waiting" and letter.to is not None)
                if is_own and letter.is_over(now):
                    letter.end(agent, "dead", now)

    def everything(self) -> list[dict[str, Any]]:
        return [v for name in ("messages/", "broadcasts/") for _, v in self.store.read(name).scan(name)]


class MemoryMachine(MailboxMachine):
    def make_store(self) -> Any:
        return MemoryStore(clock=self.clock, settings=SETTINGS)


class FileMachine(MailboxMachine):
    def make_store(self) -> Any:
        self.folder = tempfile.mkdtemp(prefix="latchboard-machine-", dir=MEMORY)
        return FileStore(self.folder, clock=self.clock, settings=SETTINGS)

    @rule()
    def store_is_opened_anew(self) -> None:
        self.store.inner.close()
        self.store.inner = FileStore(self.folder, clock=self.clock, settings=SETTINGS)

    def teardown(self) -> None:
        self.store.inner.close()
        shutil.rmtree(self.folder)


TestMailboxOnMemory = MemoryMachine.TestCase
TestMailboxOnFiles = pytest.mark.slow(FileMachine.TestCase)
TestMailboxOnFiles.settings = examples(40)
