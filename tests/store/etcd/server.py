"""Servers: etcds of the tests' own, on ports and folders of their own, ended by whoever started them."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latchboard.store.etcd.access import Access
from latchboard.store.etcd.store import EtcdStore
from tests.conftest import MEMORY
from tests.ports import Port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from latchboard.clock import Clock
    from latchboard.settings import Settings
    from tests.store.etcd.net import Machine

_TOOLS = Path(__file__).parents[3] / ".tools"
_FETCHED = str(_TOOLS / "etcd/usr/bin/etcd")
BINARY = os.environ.get("ETCD_FOR_TESTS") or (
    "etcd" if shutil.which("etcd") or not os.path.exists(_FETCHED) else _FETCHED
)
"""Which etcd: another one by its path, what the system brings, or what `.ci/etcd` has fetched instead."""
NEWEST = str(_TOOLS / "etcd-newest/usr/bin/etcd")
"""One that is no older than is asked for; `.ci/etcd` fetches it where it can."""
_READY = b"ready to serve"
_LOG_BYTES = 4 * 2**20
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # linux/falloc.h
_libc: Any = ctypes.CDLL(None)


class Member:
    """One etcd process, and the folder that it leaves behind when it is killed.

    Attributes:
        binary: Which etcd.
        client: Its client URL.
        peer: Its peer URL.
    """

    binary = BINARY

    def __init__(self, folder: Path, name: str = "one", scheme: str = "http", machine: Machine | None = None) -> None:
        """`machine`: in whose network it is; this one's by default."""
        self.name = name
        self._folder = folder / name
        self._before = machine.command if machine else []
        host = machine.address if machine else "127.0.0.1"
        at = host.strip("[]") if not self._before else "127.0.0.1"  # another machine's ports are nobody else's anyway
        self._ports = Port(at), Port(at)  # they are its own also while it is away
        self.client = f"{scheme}://{host}:{self._ports[0].number}"
        self.peer = f"http://{host}:{self._ports[1].number}"
        self._process: subprocess.Popen[bytes] | None = None
        self._drain: threading.Thread | None = None

    def start(self, peers: list[Member] | None = None, *options: str, waits: bool = True) -> None:
        """Start it; returns when it serves, or at once (a cluster serves when most of it is there)."""
        cluster = ",".join(f"{peer.name}={peer.peer}" for peer in peers or [self])
        command = [
            *self._before, self.binary, "--name", self.name, "--data-dir", str(self._folder),
            "--listen-client-urls", self.client, "--advertise-client-urls", self.client,
            "--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer,
            "--initial-cluster", cluster, *options,
        ]  # fmt: skip
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("ETCD_", "LATCHBOARD_"))}
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
        )
        if waits:
            self.wait()

    def wait(self) -> None:
        """Until it serves."""
        process = self._process
        assert process is not None
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if _READY in line:
                break
        else:
            raise AssertionError(b"etcd ended: " + b"".join(lines[-20:]))
        self._drain = threading.Thread(target=process.stderr.read, name="etcd's log", daemon=True)
        self._drain.start()
        self._take_less_room()

    def _take_less_room(self) -> None:
        """Give back most of what its log has set aside and not come near to, two files of 64 MB at each start.

        Twenty members, as four workers may have, would take more than two gigabytes of memory.
        """
        for path in self._folder.glob("member/wal/*"):
            with suppress(FileNotFoundError), path.open("r+b") as file:  # it goes by another name meanwhile
                file.seek(_LOG_BYTES)
                is_far = not file.read(_LOG_BYTES).strip(b"\0")  # it is written from its beginning on
                at, more = 2 * _LOG_BYTES, os.fstat(file.fileno()).st_size - 2 * _LOG_BYTES
                if is_far and more > 0:  # where the file system cannot do that it keeps its room
                    _libc.fallocate(file.fileno(), _PUNCH_HOLE | _KEEP_SIZE, ctypes.c_int64(at), ctypes.c_int64(more))

    @property
    def is_started(self) -> bool:
        """And was not killed since."""
        return self._process is not None

    def signal(self, number: int) -> None:
        """Send it; a SIGSTOP has stopped every thread when this returns."""
        assert self._process is not None
        self._process.send_signal(number)
        if number == signal.SIGSTOP:
            os.waitpid(self._process.pid, os.WUNTRACED)

    def kill(self) -> None:
        """SIGKILL; its folder stays."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
        if self._drain is not None:
            self._drain.join()
        assert process.stderr is not None
        process.stderr.close()

    def leave(self) -> None:
        """It does not come back."""
        for port in self._ports:
            port.give_back()


class Place:
    """A cluster, and prefixes of its own for whoever asks."""

    member = Member

    def __init__(self, count: int = 1, *options: str, scheme: str = "http", machines: Sequence[Machine] = ()) -> None:
        """`machines`: one for each member, in whose networks they are; this one's by default."""
        self.folder = Path(tempfile.mkdtemp(prefix="latchboard-etcd-", dir=MEMORY))
        wheres = machines or [None] * count
        self.members = [self.member(self.folder, f"m{n}", scheme, wheres[n]) for n in range(count)]
        self._options = options
        for member in self.members:
            member.start(self.members, *options, waits=False)
        for member in self.members:
            member.wait()

    def restart(self, member: Member) -> None:
        member.start(self.members, *self._options)

    def access(self, prefix: str = "", *, call_s_max: float = 10.0) -> Access:
        hosts = ",".join(member.client.partition("://")[2] for member in self.members)
        scheme = "etcds" if self.members[0].client.startswith("https") else "etcd"
        access = Access(f"{scheme}://{hosts}/tests/{prefix or uuid.uuid4().hex}")
        access.takes_any_version = True
        access.call_s_max = call_s_max
        return access

    def store(self, access: Access, clock: Clock, settings: Settings | None = None) -> EtcdStore:
        return EtcdStore(access, clock=clock, settings=settings)

    def close(self) -> None:
        for member in self.members:
            member.kill()
            member.leave()
        shutil.rmtree(self.folder)
