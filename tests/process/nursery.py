"""Nursery: one warm process that forks the processes of the tests, in milliseconds each.

A started process runs `function(channel, **arguments)` of an importable module and talks JSON with the test over its
channel. All of them are killed when the nursery is closed, or when the test run itself dies: the nursery then reads
the end of its own channel.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latchboard.store.port import Store

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
"""How long anything that is expected is waited for, seconds. Only a failing test waits as long as that."""


class Gone(Exception):
    """The process at the other end of a channel has ended."""


class Channel:
    """JSON messages to and from one process."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def send(self, **message: Any) -> None:
        """Raises Gone when the other end has closed."""
        try:
            self.sock.send(json.dumps(message).encode())
        except (BrokenPipeError, ConnectionResetError) as exc:
            raise Gone from exc

    def receive(self, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """The next message. Raises Gone when the other end has closed, TimeoutError when nothing came."""
        self.sock.settimeout(timeout_s)
        try:
            try:
                data = self.sock.recv(1 << 20)
            except ConnectionResetError:  # it ended without reading all that it was sent; what it said last is behind
                data = self.sock.recv(1 << 20)
        except ConnectionResetError as exc:
            raise Gone from exc
        if not data:
            raise Gone
        message: dict[str, Any] = json.loads(data)
        return message

    def close(self) -> None:
        self.sock.close()


class Child:
    """One started process, as the test sees it."""

    def __init__(self, nursery: Nursery, pid: int, channel: Channel) -> None:
        self._nursery = nursery
        self._pidfd = os.pidfd_open(pid)
        self._status: int | None = None
        self.pid = pid
        self.channel = channel

    def receive(self, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """The next message. What went wrong over there is raised here."""
        message = self.channel.receive(timeout_s)
        if "traceback" in message:
            raise AssertionError(f"process {self.pid} failed:\n{message['traceback']}")
        return message

    def ask(self, **message: Any) -> dict[str, Any]:
        """Send a message and receive its answer."""
        self.tell(**message)
        return self.receive()

    def tell(self, **message: Any) -> None:
        """Send a message; of one that has ended already, `receive` says why."""
        with contextlib.suppress(Gone):
            self.channel.send(**message)

    def kill(self, signum: int = signal.SIGKILL) -> None:
        if self._status is None:
            signal.pidfd_send_signal(self._pidfd, signum)

    def stop(self, store: Store | None = None) -> None:
        """SIGSTOP, and wait until it stands still.

        Args:
            store: Whose guard it must not have then: who is seen in line may be about to let go of it.
        """
        if store is not None:
            store.transact(lambda _: self.stop(), who="test")  # nobody else has it meanwhile
            return
        self.kill(signal.SIGSTOP)
        until(lambda: process_state(self.pid) == "T", f"process {self.pid} stands still")

    def has_ended(self, timeout_s: float = 0) -> bool:
        return self._status is not None or bool(select.select([self._pidfd], [], [], timeout_s)[0])

    def has_spoken(self) -> bool:
        """Whether there is a message to receive, or it has ended."""
        return bool(select.select([self.channel.sock], [], [], 0)[0])

    def terminate(self) -> int:
        """SIGTERM until it ends; its exit status.

        CPython calls no handler of a signal that came in the moment before a call that blocks, until that returns.
        """
        for _ in range(int(PATIENCE_S)):
            self.kill(signal.SIGTERM)
            if self.has_ended(1.0):
                break
        return self.wait()

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Its exit status once it has ended, negative for a signal. Raises TimeoutError."""
        if self._status is None:
            if not self.has_ended(timeout_s):
                raise TimeoutError(f"process {self.pid} is still there after {timeout_s} s")
            self._status = int(self._nursery.ask(reap=self.pid)["status"])
        return self._status

    def close(self) -> None:
        """End it, whatever it does."""
        if self._pidfd >= 0:
            self.kill()
            self.wait()
            os.close(self._pidfd)
            self._pidfd = -1
            self.channel.close()


class Nursery:
    """Starts processes; a context manager that leaves none behind."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.process.nursery", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
            )
        self._control = Channel(ours)
        self._children: list[Child] = []

    def start(self, function: Callable[..., None] | str, **arguments: Any) -> Child:
        """Run `function(channel, **arguments)` in a new process; the arguments are JSON."""
        name = function if isinstance(function, str) else f"{function.__module__}:{function.__qualname__}"
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            request = json.dumps({"function": name, "arguments": arguments}).encode()
            socket.send_fds(self._control.sock, [request], [theirs.fileno()])
            child = Child(self, self._control.receive()["pid"], Channel(ours))
        self._children.append(child)
        return child

    def ask(self, **message: Any) -> dict[str, Any]:
        self._control.send(**message)
        return self._control.receive()

    def clear(self) -> None:
        """End every process that was started."""
        children, self._children = self._children, []
        for child in children:
            child.close()

    def close(self) -> None:
        self.clear()
        self._control.close()
        self._process.wait(PATIENCE_S)

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def until(condition: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """The first true answer of `condition`, asked again and again. Raises TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s} s")
        time.sleep(0.001)
    return answer


def process_state(pid: int) -> str:
    """The letter of /proc/PID/stat: R running, S sleeping, T stopped, Z ended."""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0].decode()


def has_ended(pid: int) -> bool:
    """Whether there is nothing left of a process but, perhaps, its status."""
    try:
        return process_state(pid) == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


# -- in the nursery's own process --------------------------------------------------------------------------------------


def _serve(control: Channel) -> None:
    children: set[int] = set()
    while True:
        data, descriptors, _, _ = socket.recv_fds(control.sock, 1 << 20, 1)
        if not data:
            break
        request = json.loads(data)
        if "reap" in request:
            status = os.waitpid(request["reap"], 0)[1]
            children.discard(request["reap"])
            control.send(status=os.waitstatus_to_exitcode(status))
            continue
        _get_ready(request["function"])
        pid = os.fork()
        if pid == 0:
            control.close()
            _run(Channel(socket.socket(fileno=descriptors[0])), request["function"], request["arguments"])
        os.close(descriptors[0])
        children.add(pid)
        control.send(pid=pid)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _get_ready(name: str) -> None:
    """Load a function's module once for all the processes that run it: a sweep forks hundreds."""
    module = name.partition(":")[0]
    if module not in sys.modules:
        with contextlib.suppress(Exception):  # the process that is to run it fails again, and tells the test
            importlib.import_module(module)
            gc.freeze()  # what is loaded is not looked through, and so not copied, in each of them


def _run(channel: Channel, name: str, arguments: dict[str, Any]) -> None:
    """In the started process; never returns."""
    status = 1
    try:
        module, _, qualname = name.partition(":")
        function: Any = importlib.import_module(module)
        for part in qualname.split("."):
            function = getattr(function, part)
        function(channel, **arguments)
        status = 0
    except (Gone, BrokenPipeError):
        status = 0  # the test is over
    finally:
        if status:
            _tell(channel, traceback.format_exc())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _tell(channel: Channel, what_went_wrong: str) -> None:
    try:
        channel.send(traceback=what_went_wrong)
    except OSError:
        sys.stderr.write(what_went_wrong)


def _warm_up() -> None:
    """Load the library: a sweep is about what an operation does, not about finding its modules."""
    import latchboard

    for module in pkgutil.walk_packages(latchboard.__path__, "latchboard."):
        if not module.name.startswith(("latchboard.surface", "latchboard.testing", "latchboard.__main__")):
            importlib.import_module(module.name)


if __name__ == "__main__":
    _warm_up()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C is for the test run; it closes the nursery
    _serve(Channel(socket.socket(fileno=int(sys.argv[1]))))
