"""Identity: how a process is named in a record, and what proves that it is gone.

Law 1. Gone is proven, never guessed. Same boot and same pid namespace: /proc decides. Another boot of the same machine:
gone.
Law 2. All else is "unknowable": another pid namespace, another machine, a /proc that shows another namespace's
processes, an identity that does not parse. Only expiry frees such a holder.
Law 3. `parse_stat`, `tag` and `judge` are pure.

Does not tell two machines apart that were cloned with one machine id and share a folder, nor a kernel of its own (a
virtual machine per container) that was given the machine id of its host.

Protocol: protocol/terms.md, "Identity" and "Verdict".
"""

from __future__ import annotations

import os
import sys

from latchboard.clock import STAND_IN_PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from latchboard.host.port import Identity, Verdict

PID_MAX = 2**31 - 1
"""Largest number a pid_t can hold."""
INITIAL_PID_NS = 0xEFFFFFFC
"""Inode of the pid namespace the kernel boots with (PROC_PID_INIT_INO)."""
_STAT_BYTES_MAX = 4096
_SHA256_HOMES = ("_sha2" if sys.version_info >= (3, 12) else "_sha256", "hashlib")
_sha256: Any = None  # found when first needed


class Stat:
    """The four fields of /proc/PID/stat that matter here.

    Attributes:
        pid: Number of the process in the pid namespace that /proc belongs to.
        state: One letter; Z and X are dead, everything else lives.
        thread_count: Threads that have not ended; 1 or less in a zombie that is dead as a whole.
        start: Clock ticks since boot.
    """

    __slots__ = ("pid", "start", "state", "thread_count")

    def __init__(self, pid: int, state: str, thread_count: int, start: int) -> None:
        self.pid = pid
        self.state = state
        self.thread_count = thread_count
        self.start = start

    @property
    def is_dead(self) -> bool:
        """Zombie or dead. A zombie with threads is a process whose first thread ended early: it lives."""
        return self.state in ("X", "x") or (self.state == "Z" and self.thread_count <= 1)


def parse_stat(data: bytes) -> Stat:
    """The content of /proc/PID/stat.

    The command name (field 2) may hold spaces, parentheses and newlines: what counts stands after the last parenthesis.

    Raises:
        ValueError: It is something else.
    """
    head, parenthesis, tail = data.rpartition(b")")
    fields = tail.split(None, 20)
    if not parenthesis or len(fields) < 20 or len(fields[0]) != 1:
        raise ValueError("not a /proc/PID/stat")
    return Stat(int(head[: head.index(b" ")]), fields[0].decode("ascii"), int(fields[17]), int(fields[19]))


def read_stat(pid: int | str) -> Stat | None:
    """What /proc says about `pid` (or "self"); None when there is no such process.

    Raises:
        OSError: /proc cannot be read, or hides that process from this user: it may live.
        ValueError: What was read is no stat.
    """
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        _confirm_absence(pid)
        return None
    try:
        data = os.read(fd, _STAT_BYTES_MAX)
    except ProcessLookupError:  # it ended between open and read
        return None
    finally:
        os.close(fd)
    return parse_stat(data)


def _confirm_absence(pid: int | str) -> None:
    """A /proc mounted with hidepid shows other users' processes as absent; kill(2) does not lie about that.

    Raises:
        OSError: The process exists after all, or that cannot be known.
    """
    if not isinstance(pid, int):
        raise OSError("/proc is not there")
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return
    raise OSError(f"/proc does not show process {pid}, which exists")


def machine_id() -> str:
    """The id of this installation of the system: 32 hexadecimal digits, or "" when it is unreadable or not set."""
    try:
        with open("/etc/machine-id", "rb") as file:
            text = file.read(64).strip().lower()
    except OSError:
        return ""
    is_set = len(text) == 32 and not text.strip(b"0123456789abcdef") and text.strip(b"0")
    return text.decode("ascii") if is_set else ""


def pid_namespace() -> int:
    """Inode of this process's pid namespace; 0 when it cannot be read."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def proc_is_ours(stat: Stat, pid_ns: int) -> bool:
    """Whether /proc numbers processes as this process does.

    After `unshare --pid --fork` without a new /proc it does not: its pids belong to the namespace outside, and judging
    by them would declare live holders gone.
    """
    if stat.pid != os.getpid() or pid_ns == 0:
        return False
    if pid_ns == INITIAL_PID_NS:
        return True
    try:  # the numbers may agree by chance: one pid per namespace, from that of /proc down to the process's own
        with open("/proc/self/status", "rb") as file:
            lines = file.read(8192).split(b"\n")
    except OSError:
        return False
    found = [line.split() for line in lines if line.startswith(b"NSpid:")]
    return not found or len(found[0]) == 2


def tag(identity: Identity) -> str:
    """Twelve hexadecimal digits that stand for `identity` in a lease id.

    The start of the SHA-256 of its five values, in the order host, boot, pid_ns, pid, start, joined by newlines.
    """
    text = f"{identity['host']}\n{identity['boot']}\n{identity['pid_ns']}\n{identity['pid']}\n{identity['start']}"
    return _sha256_hex(text.encode("utf-8", "surrogatepass"))[:12]


def _sha256_hex(data: bytes) -> str:
    digest: str = sha256_new(data).hexdigest()
    return digest


def sha256_new(data: bytes) -> Any:
    """A SHA-256 by the interpreter's own module: hashlib loads OpenSSL, which takes milliseconds."""
    global _sha256
    if _sha256 is None:
        for name in _SHA256_HOMES:
            try:
                _sha256 = __import__(name).sha256
                break
            except (ImportError, AttributeError):  # left out of this build, as some distributions do
                continue
    return _sha256(data)


def is_identity(value: object) -> bool:
    """Whether `value` has the shape of an identity; unknown fields are allowed."""
    if not isinstance(value, dict):
        return False
    get = value.get
    if type(get("host")) is not str or type(get("boot")) is not str or not get("boot"):
        return False
    pid_ns, pid, start = get("pid_ns"), get("pid"), get("start")
    if type(pid_ns) is not int or type(pid) is not int or type(start) is not int:  # also keeps booleans out
        return False
    return 0 < pid <= PID_MAX and start >= 0 and pid_ns >= 0


def judge(identity: object, me: Identity, look: Callable[[int], Stat | None]) -> Verdict:
    """The verdict on `identity` by process `me`.

    Args:
        identity: Anything a record may hold.
        me: Who asks.
        look: What this machine says about a pid of the asker's namespace: None when there is none; raises OSError or
            ValueError when that cannot be known.
    """
    if not is_identity(identity):
        return "unknowable"
    them: Identity = identity  # type: ignore[assignment]  # is_identity has just checked it
    same_machine = bool(me["host"]) and them["host"] == me["host"]
    is_stand_in = them["boot"].startswith(STAND_IN_PREFIX) or me["boot"].startswith(STAND_IN_PREFIX)
    if them["boot"] != me["boot"]:
        return "dead" if same_machine and not is_stand_in else "unknowable"
    if them["pid_ns"] != me["pid_ns"] or (is_stand_in and them["host"] != me["host"]):
        return "unknowable"
    if them["pid"] == me["pid"] and them["start"] == me["start"]:
        return "live"
    try:
        stat = look(them["pid"])
    except (OSError, ValueError):
        return "unknowable"
    if stat is None or stat.is_dead:
        return "dead"
    return "live" if stat.start == them["start"] else "recycled"
