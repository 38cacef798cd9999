"""Real processes send and receive at once, and are killed: K40, promise 4, failures 3.14 and 3.28."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from latchboard.compose import Latchboard
from tests.process.nursery import Channel, Nursery, until

pytestmark = pytest.mark.process

READERS = ["a", "A", "a_b", "a/b"]
"""As alike as ids can be."""
BROADCAST_EVERY = 7
ACK_EVERY = 3


class Log:
    """A file of what a process has done so far; one write per line, so that SIGKILL loses no line that was begun."""

    def __init__(self, path: Path | str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(self, *words: str) -> None:
        os.write(self._fd, ("\t".join(words) + "\n").encode())


def lines(folder: Path, kind: str) -> Iterator[list[str]]:
    for path in sorted(folder.glob(f"{kind}-*")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield line.split("\t")


# -- what the processes do


def send_all(channel: Channel, root: str, sender: str, count: int) -> None:
    """Send `count` messages to each reader in turn, as fast as it goes."""
    mailbox = Latchboard(root).mailbox
    channel.send(ready=True)
    channel.receive()
    for number in range(count):
        mailbox.send(sender, READERS[number % len(READERS)], f"{sender} {number}", durable=False)
    channel.send(done=True)


def receive_all(channel: Channel, root: str, agent: str) -> None:
    """Receive until told that nobody sends any more, and then once again."""
    mailbox = Latchboard(root).mailbox
    got: list[list[str]] = []
    channel.send(ready=True)
    channel.sock.settimeout(0)
    is_over = False
    while True:
        for message in mailbox.receive(agent):
            got.append([message["from"], message["to"], message["body"]])
        if is_over:
            break
        try:
            channel.sock.recv(1 << 10)
            is_over = True
        except BlockingIOError:
            time.sleep(0.001)
    channel.sock.settimeout(None)
    for start in range(0, len(got), 50):
        channel.send(got=got[start : start + 50])
    channel.send(got=[])


def send_until_killed(channel: Channel, root: str, sender: str, log: str) -> None:
    mailbox, accepted = Latchboard(root).mailbox, Log(log)
    channel.send(ready=True)
    channel.receive()
    for number in itertools.count():
        body = f"{sender} {number}"
        ack = "none" if number % ACK_EVERY else "required"
        if number % BROADCAST_EVERY == 0:
            mailbox.broadcast(sender, body, ack=ack)
            accepted.add("*", body)
        else:
            reader = READERS[number % len(READERS)]
            mailbox.send(sender, reader, body, ack=ack)
            accepted.add(reader, body)


def receive_until_killed(channel: Channel, root: str, agent: str, log: str) -> None:
    mailbox, done = Latchboard(root).mailbox, Log(log)
    channel.send(ready=True)
    channel.receive()
    while True:
        for message in mailbox.receive(agent, limit=5):
            done.add("got", message["to"], message["body"], "again" if message["redelivered"] else "new")
            if message["ack"] == "required":
                mailbox.ack(agent, message["id"])
                done.add("acked", message["to"], message["body"], "")


# -- the tests


def archived(board: Latchboard) -> Counter[tuple[str, str]]:
    entries = board.store.read("messages/", "archive/")
    return Counter(
        (message["to"], message["body"])
        for collection in ("messages/", "archive/")
        for _, message in entries.scan(collection)
    )


@pytest.mark.parametrize("is_read_meanwhile", [False, True])
def test_a_thousand_concurrent_sends_are_all_delivered_once_and_in_order(
    nursery: Nursery, tmp_path: Path, is_read_meanwhile: bool
) -> None:
    root, count = str(tmp_path), 125
    senders = [nursery.start(send_all, root=root, sender=f"s{n}", count=count) for n in range(8)]
    readers = [nursery.start(receive_all, root=root, agent=agent) for agent in READERS] if is_read_meanwhile else []
    for child in (*senders, *readers):
        child.receive()

    for child in senders:
        child.channel.send(go=True)
    for child in senders:
        child.receive()

    got: dict[str, list[list[str]]] = {agent: [] for agent in READERS}
    for agent, child in zip(READERS, readers, strict=False):
        child.channel.send(enough=True)
        while part := child.receive()["got"]:
            got[agent] += part
    mailbox = Latchboard(root).mailbox
    for agent in READERS:
        if not is_read_meanwhile:
            got[agent] = [[m["from"], m["to"], m["body"]] for m in mailbox.receive(agent)]
        assert mailbox.receive(agent).messages == []
    for place, agent in enumerate(READERS):
        assert {to for _, to, _ in got[agent]} == {agent}
        in_order: dict[str, list[str]] = defaultdict(list)
        for sender, _, body in got[agent]:
            in_order[sender].append(body)
        numbers = range(place, count, len(READERS))
        assert in_order == {f"s{n}": [f"s{n} {number}" for number in numbers] for n in range(8)}


@pytest.mark.parametrize("seed", range(3))
def test_killed_senders_and_receivers_lose_no_accepted_message(nursery: Nursery, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    root, logs = str(tmp_path / "root"), tmp_path / "logs"
    os.mkdir(root)
    logs.mkdir()
    rounds = 8
    for number in range(rounds):
        children = [
            nursery.start(send_until_killed, root=root, sender=f"s{number}.{n}", log=f"{logs}/sent-{number:02}-{n}")
            for n in range(3)
        ]
        children += [
            nursery.start(receive_until_killed, root=root, agent=agent, log=f"{logs}/read-{number:02}-{n}")
            for n, agent in enumerate(READERS)
        ]
        for child in children:
            child.receive()
        for child in children:
            child.channel.send(go=True)
        sent = list(logs.glob(f"sent-{number:02}-*"))
        until(lambda sent=sent: all(log.stat().st_size for log in sent), "every sender has sent")
        for child in chance.sample(children, len(children)):
            time.sleep(chance.uniform(0, 0.02))
            if child.has_spoken():
                child.receive()  # it was not to say anything: raises what went wrong there
            child.kill()
        nursery.clear()

    board = Latchboard(root)
    last = Log(logs / "read-last")
    for agent in READERS:
        for message in board.mailbox.receive(agent):
            last.add("got", message["to"], message["body"], "again" if message["redelivered"] else "new")
            if message["ack"] == "required":
                assert board.mailbox.ack(agent, message["id"])
        assert board.mailbox.receive(agent).messages == []

    accepted = {(reader, body) for to, body in lines(logs, "sent") for reader in (READERS if to == "*" else [to])}
    kept = archived(board)
    assert accepted - set(kept) == set(), "accepted, and lost"
    assert max(kept.values()) == 1, "in two places"
    unlogged = set(kept) - accepted
    assert len({body for _, body in unlogged}) <= 3 * rounds, "each killed sender can have one that it did not log"
    assert {to for to, _ in kept} <= set(READERS)
    check_deliveries(logs, set(kept))


def check_deliveries(logs: Path, kept: set[tuple[str, str]]) -> None:
    """What the readers got: everything that was sent, once or until it was acknowledged, in order per sender."""
    acked: set[tuple[str, str]] = set()
    got: Counter[tuple[str, str]] = Counter()
    newest: dict[tuple[str, str], int] = defaultdict(lambda: -1)
    for what, to, body, how in lines(logs, "read"):
        assert (to, body) in kept
        if what == "acked":
            acked.add((to, body))
            continue
        assert (to, body) not in acked, "acknowledged, and delivered again"
        got[to, body] += 1
        sender, number = body.split(" ")
        if how == "new":
            assert newest[to, sender] < int(number), "not in order"
            newest[to, sender] = int(number)
        is_demanding = int(number) % ACK_EVERY == 0
        assert got[to, body] == 1 or is_demanding, "delivered twice"
    assert len(got) > 20
