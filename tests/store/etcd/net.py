"""Net: machines in network namespaces of their own, around one router that can be told to drop what goes between two.

What is dropped vanishes, as behind a cut cable: no refusal comes back, and connections that are open stay so. Whatever
is made here lives in the namespaces of processes that wait for us, and is gone with them; the machine's own network is
not touched.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

_CLONE_NEWNET = 0x40000000
_libc: Any = ctypes.CDLL(None, use_errno=True)


class NotAllowed(Exception):
    """This machine lets nobody make networks, or not us."""


class Machine:
    """A network namespace, kept by a process that ends when we do.

    Attributes:
        address: Of its one interface; empty for the router.
        path: Of the namespace.
    """

    def __init__(self, address: str = "") -> None:
        self.address = address
        self._keeper = subprocess.Popen(
            ["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        try:
            self._keeper.stdin.write(b"\n")
            self._keeper.stdin.flush()
            is_there = self._keeper.stdout.readline() == b"\n"
        except BrokenPipeError:
            is_there = False
        if not is_there:
            _, why = self._keeper.communicate()
            raise NotAllowed(why.decode().strip())
        self.path = f"/proc/{self._keeper.pid}/ns/net"

    @property
    def pid(self) -> int:
        """Whose namespace it is."""
        return self._keeper.pid

    @property
    def command(self) -> list[str]:
        """What to put before a command that is to run there."""
        return ["nsenter", f"--net={self.path}", "--"]

    def ip(self, *lines: str) -> None:
        """Have `ip` do these. Raises NotAllowed: it did not."""
        done = subprocess.run(
            [*self.command, "ip", "-batch", "-"], input="\n".join(lines), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NotAllowed(done.stderr.strip())

    def close(self) -> None:
        self._keeper.communicate()


class Net:
    """A router and the machines around it; a context manager that leaves nothing."""

    def __init__(self) -> None:
        """Raises NotAllowed."""
        self.machines: list[Machine] = []
        self._cuts: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._router = Machine()
        try:
            self._router.ip("link set lo up")
            with inside(self._router.path), open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as forward:
                forward.write("1")
        except (NotAllowed, OSError) as exc:
            self._router.close()
            raise NotAllowed(str(exc)) from exc

    def machine(self) -> Machine:
        """One more."""
        number = len(self.machines) + 1
        made = Machine(f"198.18.{number}.2")
        self.machines.append(made)
        self._router.ip(
            f"link add m{number} type veth peer name eth0 netns {made.pid}",
            f"address add 198.18.{number}.1/24 dev m{number}",
            f"link set m{number} up",
        )
        made.ip(
            "link set lo up",
            f"address add {made.address}/24 dev eth0",
            "link set eth0 up",
            f"route add default via 198.18.{number}.1",
        )
        return made

    def drop(self, sender: Machine, receiver: Machine) -> None:
        """From now on nothing that one sends reaches the other."""
        pair = (sender.address, receiver.address)
        with self._lock:
            if pair not in self._cuts:
                self._router.ip("rule add from {} to {} priority 100 blackhole".format(*pair))
                self._cuts.add(pair)

    def part(self, some: Iterable[Machine]) -> None:
        """From now on these reach each other, and nobody else; nor do the others reach them."""
        inside = list(some)
        for one in inside:
            for other in self.machines:
                if other not in inside:
                    self.drop(one, other)
                    self.drop(other, one)

    def heal(self) -> None:
        """Everybody reaches everybody."""
        with self._lock:
            if self._cuts:
                self._router.ip(*("rule delete from {} to {} priority 100".format(*pair) for pair in self._cuts))
                self._cuts.clear()

    def close(self) -> None:
        for machine in [*self.machines, self._router]:
            machine.close()

    def __enter__(self) -> Net:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def enter(path: str) -> None:
    """This thread, and what it starts from here on, is in that network. Raises NotAllowed."""
    namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(namespace, _CLONE_NEWNET) != 0:
            raise NotAllowed(f"setns: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(namespace)


@contextmanager
def inside(path: str) -> Iterator[None]:
    """This thread is in that network, and back in its own behind it."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(path)
        yield
    finally:
        enter(f"/proc/self/fd/{own}")
        os.close(own)
