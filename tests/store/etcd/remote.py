"""Remote: a client in a process and a network of its own, which does what it is told and says how it ended."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import Any

from latchboard.clock import SystemClock
from latchboard.compose import Latchboard
from latchboard.errors import CoordinationError, StoreUnavailable
from latchboard.locks.hold import Hold
from latchboard.store.etcd import presence
from latchboard.store.etcd.access import Access
from latchboard.store.etcd.store import EtcdStore
from tests.awake import Awake
from tests.process.nursery import Channel, Child, Gone, Nursery
from tests.store.etcd.net import Machine, enter

_PATIENCE_S = 60.0


class Remote:
    """A client elsewhere, as the test sees it."""

    def __init__(self, nursery: Nursery, machine: Machine, access: Access, root: str, *, ttl_s: int = 15) -> None:
        self.machine = machine
        self._child: Child = nursery.start(
            serve, path=machine.path, address=access.address, root=root, ttl_s=ttl_s, call_s_max=access.call_s_max
        )

    def begin(self, what: str, **arguments: Any) -> None:
        """Have it do something; `end` tells what came of it."""
        self._child.tell(do=what, **arguments)

    def end(self) -> dict[str, Any]:
        """What came of it: `value` or `error`, and `took_s`."""
        return self._child.receive(2 * _PATIENCE_S)

    def __call__(self, what: str, **arguments: Any) -> Any:
        """Have it do something that goes well: again, where nobody answered for a moment, as behind a cut."""
        told = self._answered(what, **arguments)
        assert "value" in told, told
        return told["value"]

    def fails(self, what: str, *, again: bool = False, **arguments: Any) -> dict[str, Any]:
        """Have it do something that does not: the error, with `took_s`; `again`: as long as nobody answered."""
        if again:
            told = self._answered(what, **arguments)
        else:
            self.begin(what, **arguments)
            told = self.end()
        assert "error" in told, told
        return {**told["error"], "took_s": told["took_s"]}

    def _answered(self, what: str, **arguments: Any) -> dict[str, Any]:
        """What came of it, at last."""
        until = monotonic() + _PATIENCE_S
        while True:
            self.begin(what, **arguments)
            told = self.end()
            if "value" in told or not told["error"].get("retryable") or monotonic() > until:
                return told


class Client:
    """What it can do. Each method's value is JSON."""

    def __init__(self, address: str, root: str, ttl_s: int, call_s_max: float) -> None:
        presence.TTL_S, presence.MARGIN_S = ttl_s, ttl_s / 5
        access = Access(address)
        access.takes_any_version = True
        access.call_s_max = call_s_max
        self.store = EtcdStore(access, clock=SystemClock())
        self.board = Latchboard(root, store=self.store, publishes=False)
        self.hold: Hold | None = None
        self.writer: Any = None

    def lock(self, agent: str, name: str, wait_s: float = 0.0) -> int:
        """As an agent does who waits: again, where most members cannot be asked for a while."""
        until = monotonic() + wait_s
        while True:
            try:
                self.hold = self.board.agent(agent).lock(name, wait_s_max=max(0.0, until - monotonic()))
                return self.hold.token
            except StoreUnavailable:
                if monotonic() >= until:
                    raise

    def write(self, name: str) -> None:
        self._held.write(name, "written")

    def renew(self) -> None:
        self._held.renew()

    def release(self) -> bool:
        return self._held.release()

    @property
    def _held(self) -> Hold:
        assert self.hold is not None
        return self.hold

    def mail(self, agent: str) -> list[str]:
        return [str(message["body"]) for message in self.board.mailbox.receive(agent)]

    def lost(self) -> list[list[Any]]:
        with self.board.stream.events("hold.lost", after=0, timeout_s=0) as events:
            return [[event["agent"], event["name"], event["token"]] for event in events]

    def leader(self) -> str:
        return next((member.endpoint for member in self.store.members() if member.is_leader), "")

    def count_from_now(self) -> None:
        from tests.store.etcd.test_faults import Writer

        self.writer = Writer(self.store, pause_s=0.02)

    def wait_for(self, more: int) -> None:
        self.writer.wait_for(more)

    def counted(self) -> dict[str, Any]:
        """What was counted so far, and how it failed."""
        writer = self.writer
        codes = [error.code for error in writer.failed]
        return {"done": list(writer.done), "codes": codes, "slowest_s": writer.slowest_s, "gap_s": writer.gap_s}

    def end_counting(self) -> None:
        self.writer.end()

    def watched(self, until: int) -> list[list[int]]:
        """Revision and number of each change of what is counted, from the beginning."""
        from tests.store.etcd.test_faults import seen

        watch = self.store.watch("agents/count", after=0)
        try:
            return [[change.revision, (change.value or {})["n"]] for change in seen(watch, until)]
        finally:
            watch.close()


def serve(channel: Channel, path: str, **arguments: Any) -> None:
    """In the process: do what is told until nobody is there."""
    enter(path)
    client = Client(**arguments)
    with suppress(Gone):
        while True:
            message = channel.receive(600)
            with Awake() as awake:
                try:
                    told = {"value": getattr(client, message.pop("do"))(**message)}
                except CoordinationError as exc:
                    told = {"error": exc.to_json()}
                channel.send(**told, took_s=awake.s)
