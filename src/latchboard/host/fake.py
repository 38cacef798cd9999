"""Fake host: a machine of one's own for tests, with a process table in memory.

A real implementation of the port: the verdict comes from the same `judge` as that of the system, only the process table
is another one. Processes are started, killed, turned into zombies and recycled by name, and every view sees the same
machine.

    machine = FakeHost()
    holder = machine.spawn()
    machine.kill(holder)
    assert machine.verdict(holder) == "dead"
"""

from __future__ import annotations

import _thread
import os

from latchboard.host.identity import Stat, judge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Literal

    from latchboard.host.port import Grip, Identity, Process, Surroundings, Verdict, Watchable


class _Facts:
    """What a process is besides its number: as `Process` of the port, and how it takes a signal."""

    __slots__ = ("argv", "exe", "listens", "mounts", "on_term", "parent", "uid")

    def __init__(self) -> None:
        self.argv: list[str] = ["init"]
        self.exe = "/sbin/init"
        self.uid: int | None = 1000
        self.parent = 1
        self.mounts = ""
        self.on_term = "ends"
        self.listens: list[tuple[str, int]] | None = None


class _Machine:
    """The process table that all views of one machine share."""

    __slots__ = (
        "before_call",
        "boot_count",
        "facts",
        "lock",
        "next_number",
        "signals",
        "surroundings",
        "table",
        "watches",
    )

    def __init__(self) -> None:
        self.lock = _thread.RLock()
        self.boot_count = 1
        self.next_number = 100
        self.table: dict[tuple[int, int], Stat] = {}  # (pid namespace, pid)
        self.watches: dict[tuple[int, int, int], list[_PipeWatch]] = {}  # (pid namespace, pid, start)
        self.facts: dict[tuple[int, int, int], _Facts] = {}
        self.signals: list[tuple[Identity, str]] = []
        self.before_call: Callable[[str], None] = lambda name: None
        self.surroundings: dict[str, object] = {}

    def new_number(self) -> int:
        with self.lock:
            self.next_number += 1
            return self.next_number


class _PipeWatch:
    """Readable once the process it watches has ended."""

    __slots__ = ("_reader", "_writer")

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    def ring(self) -> None:
        writer, self._writer = self._writer, -1
        if writer >= 0:
            os.close(writer)  # the reader sees the end of the pipe, for ever

    def fileno(self) -> int:
        return self._reader

    def close(self) -> None:
        self.ring()
        reader, self._reader = self._reader, -1
        if reader >= 0:
            os.close(reader)

    def __del__(self) -> None:
        self.close()


class _FakeGrip:
    """A hold on one process of the table."""

    __slots__ = ("_host", "_identity", "_watch")

    def __init__(self, host: FakeHost, identity: Identity, watch: Watchable) -> None:
        self._host = host
        self._identity = identity
        self._watch = watch

    def readables(self) -> list[Watchable]:
        return [self._watch]

    def send(self, signal: Literal["TERM", "KILL"]) -> str:
        return self._host._take(self._identity, signal)

    def reap(self) -> None:
        self._host.bury(self._identity)

    def close(self) -> None:
        self._watch.close()


class FakeHost:
    """A machine as one of its processes sees it. Safe for threads.

    Args:
        host: Its machine id; "" for one that cannot be read.
        boot: Its boot id, until `reboot`.
        pid_ns: The pid namespace new processes live in.
    """

    __slots__ = ("_boot", "_host", "_machine", "_me", "_pid_ns")

    def __init__(self, host: str = "fake-machine", boot: str = "fake-boot-1", pid_ns: int = 1) -> None:
        self._host = host
        self._boot = [boot]  # shared by all views
        self._pid_ns = pid_ns
        self._machine = _Machine()
        self._me = self.spawn()

    # -- the port

    def me(self) -> Identity:
        """The process this view belongs to."""
        return self._me.copy()

    def verdict(self, identity: object) -> Verdict:
        """As the port says; judged by the table, from the view's process."""
        self._machine.before_call("verdict")
        return self._judge(identity)

    def _judge(self, identity: object) -> Verdict:
        # A view's own process may have been killed by the test; it asks all the same, but is not "live" by asking.
        asker: Identity = {**self._me, "boot": self._boot[0], "pid": 1, "start": 0}
        with self._machine.lock:
            return judge(identity, asker, self._look)

    def death_watch(self, identity: object) -> Watchable | None:
        """As the port says, through a pipe."""
        with self._machine.lock:
            verdict = self._judge(identity)
            if verdict == "unknowable" or not isinstance(identity, dict):
                return None
            watch = _PipeWatch()
            if verdict == "live":
                key = (identity["pid_ns"], identity["pid"], identity["start"])
                self._machine.watches.setdefault(key, []).append(watch)
            else:
                watch.ring()
            return watch

    def look(self, pid: int) -> Process | None:
        self._machine.before_call("look")
        with self._machine.lock:
            stat = self._look(pid)
            return None if stat is None else self._describe(self._pid_ns, stat)

    def scan(self, word: str) -> list[Process]:
        """Everybody, as on a host that also sees into its containers."""
        self._machine.before_call("scan")
        with self._machine.lock:
            found = [self._describe(pid_ns, stat) for (pid_ns, _), stat in self._machine.table.items()]
        return [process for process in found if word in process["argv"]]

    def folder(self, process: Process | None, path: str) -> str:
        """Its path, and which mounts it is seen through."""
        self._machine.before_call("folder")
        identity = self._me if process is None else process["identity"]
        facts = self._machine.facts.get((identity["pid_ns"], identity["pid"], identity["start"]))
        return "" if facts is None else f"{facts.mounts}:{path}"

    def listening(self, pid: int) -> list[tuple[str, int]] | None:
        """What `dress` says; of others nothing can be told."""
        self._machine.before_call("listening")
        with self._machine.lock:
            stat = self._look(pid)
            return None if stat is None else self._machine.facts[(self._pid_ns, pid, stat.start)].listens

    def grip(self, identity: Identity) -> Grip | None:
        self._machine.before_call("grip")
        with self._machine.lock:
            if self._judge(identity) not in ("live", "dead"):
                return None
            watch = self.death_watch(identity)
        return None if watch is None else _FakeGrip(self, identity, watch)

    def surroundings(self, root: str) -> Surroundings:
        """A bare host, but for what `surround` says."""
        bare: Surroundings = {
            "root": root,
            "has_config_folder": False,
            "has_socket": False,
            "uid": 1000,
            "environment": {},
            "init_environment": {},
            "has_dockerenv": False,
            "has_containerenv": False,
            "cgroups": [],
        }
        bare.update(self._machine.surroundings)  # type: ignore[typeddict-item]  # what the test says
        return bare

    # -- the machine

    @property
    def signals(self) -> list[tuple[Identity, str]]:
        """Every signal that reached a process, with the identity of that process."""
        return self._machine.signals

    def surround(self, **found: object) -> None:
        """What `surroundings` tells from now on, by field."""
        self._machine.surroundings = found

    def interfere(self, action: Callable[[str], None]) -> None:
        """Call `action` with the name of each call of the port, before that looks: for what happens in between."""
        self._machine.before_call = action

    def dress(  # noqa: PLR0913 - each may be left out
        self,
        identity: Identity,
        *,
        argv: Sequence[str] | None = None,
        exe: str | None = None,
        uid: int | None = 1000,
        parent: int = 1,
        mounts: str = "",
        on_term: Literal["ends", "ignores", "denies", "survives"] = "ends",
        listens: Sequence[tuple[str, int]] | None = None,
    ) -> None:
        """Say what a process is; again for one that became another program.

        `on_term`: it "ends" by TERM; "ignores" TERM; "denies" signals to this user; "survives" KILL, too.
        `listens`: at which addresses and ports; None: that cannot be told.
        """
        with self._machine.lock:
            facts = self._machine.facts[(identity["pid_ns"], identity["pid"], identity["start"])]
            facts.argv = facts.argv if argv is None else list(argv)
            facts.exe = facts.exe if exe is None else exe
            facts.uid, facts.parent, facts.mounts, facts.on_term = uid, parent, mounts, on_term
            facts.listens = None if listens is None else list(listens)

    def bury(self, identity: Identity) -> None:
        """Take a zombie out of the table."""
        with self._machine.lock:
            stat = self._machine.table.get((identity["pid_ns"], identity["pid"]))
            if stat is not None and stat.start == identity["start"] and stat.is_dead:
                del self._machine.table[(identity["pid_ns"], identity["pid"])]

    def _describe(self, pid_ns: int, stat: Stat) -> Process:
        facts = self._machine.facts[(pid_ns, stat.pid, stat.start)]
        identity: Identity = {**self._me, "boot": self._boot[0], "pid_ns": pid_ns, "pid": stat.pid, "start": stat.start}
        argv = [] if stat.is_dead else list(facts.argv)
        return {"identity": identity, "parent": facts.parent, "uid": facts.uid, "argv": argv, "exe": facts.exe}

    def _take(self, identity: Identity, signal: str) -> str:
        self._machine.before_call("send")
        with self._machine.lock:
            if self._judge(identity) != "live":
                return "dead"
            on_term = self._machine.facts[(identity["pid_ns"], identity["pid"], identity["start"])].on_term
            if on_term == "denies":
                return "not-permitted"
            self._machine.signals.append((identity.copy(), signal))
            if on_term == "ends" or (on_term == "ignores" and signal == "KILL"):
                self.kill(identity, reap=False)
            return ""

    def spawn(self, *, pid: int | None = None, pid_ns: int | None = None) -> Identity:
        """Start a process, with a new pid unless one is given, in this view's namespace unless another one is given.

        `dress` says what kind of process it is.
        """
        machine = self._machine
        with machine.lock:
            number = machine.new_number()
            where = (self._pid_ns if pid_ns is None else pid_ns, number if pid is None else pid)
            if where in machine.table:
                raise ValueError(f"process {where[1]} is running")
            machine.table[where] = Stat(where[1], "S", 1, number * 100)
            machine.facts[(*where, number * 100)] = _Facts()
            return {
                "host": self._host,
                "boot": self._boot[0],
                "pid_ns": where[0],
                "pid": where[1],
                "start": number * 100,
            }

    def as_process(self, identity: Identity) -> FakeHost:
        """The same machine, as that process sees it."""
        view = FakeHost.__new__(FakeHost)
        view._host, view._boot, view._pid_ns = self._host, self._boot, identity["pid_ns"]
        view._machine, view._me = self._machine, identity.copy()
        return view

    def kill(self, identity: Identity, *, reap: bool = True) -> None:
        """End a process at once; with `reap=False` it stays as a zombie."""
        machine = self._machine
        where = (identity["pid_ns"], identity["pid"])
        with machine.lock:
            stat = machine.table.get(where)
            if stat is None or stat.start != identity["start"]:
                return
            if reap:
                del machine.table[where]
            else:
                stat.state, stat.thread_count = "Z", 0
            for watch in machine.watches.pop((*where, stat.start), []):
                watch.ring()

    def recycle(self, identity: Identity) -> Identity:
        """End a process and give its pid to a new one, whose identity is returned."""
        with self._machine.lock:
            self.kill(identity)
            return self.spawn(pid=identity["pid"], pid_ns=identity["pid_ns"])

    def reboot(self) -> None:
        """End every process and start a new boot. The view's own process comes back with a new identity."""
        machine = self._machine
        with machine.lock:
            for (pid_ns, pid), stat in list(machine.table.items()):
                self.kill({"host": self._host, "boot": "", "pid_ns": pid_ns, "pid": pid, "start": stat.start})
            machine.boot_count += 1
            self._boot[0] = f"fake-boot-{machine.boot_count}"
            self._me = self.spawn()

    def other_boot(self) -> Identity:
        """A process of an earlier boot of this machine: dead."""
        return {**self.spawn_nowhere(), "boot": "fake-boot-0"}

    def other_machine(self) -> Identity:
        """A process of another machine: unknowable."""
        return {**self.spawn_nowhere(), "host": "another-machine", "boot": "another-boot"}

    def other_namespace(self) -> Identity:
        """A living process in a pid namespace of its own: unknowable from here."""
        return self.spawn(pid_ns=self._machine.new_number() + 1_000_000)

    def spawn_nowhere(self) -> Identity:
        """An identity like that of a process here, for which there is none: dead."""
        gone = self.spawn()
        self.kill(gone)
        return gone

    def _look(self, pid: int) -> Stat | None:
        return self._machine.table.get((self._pid_ns, pid))
