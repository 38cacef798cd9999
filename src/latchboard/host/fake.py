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
    from latchboard.host.port import Identity, Verdict, Watchable


class _Machine:
    """The process table that all views of one machine share."""

    __slots__ = ("boot_count", "lock", "next_number", "table", "watches")

    def __init__(self) -> None:
        self.lock = _thread.RLock()
        self.boot_count = 1
        self.next_number = 100
        self.table: dict[tuple[int, int], Stat] = {}  # (pid namespace, pid)
        self.watches: dict[tuple[int, int, int], list[_PipeWatch]] = {}  # (pid namespace, pid, start)

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
        # A view's own process may have been killed by the test; it asks all the same, but is not "live" by asking.
        asker: Identity = {**self._me, "boot": self._boot[0], "pid": 1, "start": 0}
        with self._machine.lock:
            return judge(identity, asker, self._look)

    def death_watch(self, identity: object) -> Watchable | None:
        """As the port says, through a pipe."""
        with self._machine.lock:
            verdict = self.verdict(identity)
            if verdict == "unknowable" or not isinstance(identity, dict):
                return None
            watch = _PipeWatch()
            if verdict == "live":
                key = (identity["pid_ns"], identity["pid"], identity["start"])
                self._machine.watches.setdefault(key, []).append(watch)
            else:
                watch.ring()
            return watch

    # -- the machine

    def spawn(self, *, pid: int | None = None, pid_ns: int | None = None) -> Identity:
        """Start a process, with a new pid unless one is given, in this view's namespace unless another one is given."""
        machine = self._machine
        with machine.lock:
            number = machine.new_number()
            where = (self._pid_ns if pid_ns is None else pid_ns, number if pid is None else pid)
            if where in machine.table:
                raise ValueError(f"process {where[1]} is running")
            machine.table[where] = Stat(where[1], "S", 1, number * 100)
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
