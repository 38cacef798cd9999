"""Serving: what a daemon's answers and its record say, and what follows from them; pure.

Law 1. What a listener says about itself proves nothing: it names a process, which is then judged (`rules.daemon`).
Law 2. A daemon retires for another one only when that one is proven to be there and to answer; whatever is missing,
malformed or dead in the record keeps it where it is.
Law 3. Whoever starts daemons replaces an older version by his own, and never a newer one: of two installations that
share a project one would else end the other's daemon for ever.

Protocol: protocol/health.md.
"""

from __future__ import annotations

from latchboard.rules.singleton import PID_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Literal

    Condition = Literal["running", "silent", "unrecorded", "elsewhere", "none"]
    Drift = Literal["", "older", "newer"]

PRODUCT = "latchboard"
PROTOCOL_VERSION = 1
"""That of protocol/README.md, "Versions"."""
SCHEMA_VERSION = 1
"""Of the state record."""
TEXT_LENGTH_MAX = 100
PORT_MAX = 65535
_PROCESS_FIELDS = ("host", "boot", "pid_ns", "pid", "start")


# -- what a daemon says about itself ----------------------------------------------------------------------------------


class Health:
    """A daemon's health answer.

    Attributes:
        version: Of the program.
        protocol_version: Of the protocol.
        pid: Its number as it sees itself; None: it says none that can be one.
        started_at: When it started, as it says; "" when it does not.
    """

    __slots__ = ("pid", "protocol_version", "started_at", "version")

    def __init__(self, version: str, protocol_version: int, pid: int | None, started_at: str) -> None:
        self.version = version
        self.protocol_version = protocol_version
        self.pid = pid
        self.started_at = started_at

    def __repr__(self) -> str:
        return f"Health({self.to_json()!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Health) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]  # a record

    def to_json(self) -> dict[str, Any]:
        """As `/api/health` has it (protocol/schema/health.json)."""
        return {
            "product": PRODUCT,
            "version": self.version,
            "protocol_version": self.protocol_version,
            "pid": self.pid,
            "started_at": self.started_at,
        }


def parse_health(value: object) -> Health | None:
    """What a health answer says; None: it is no daemon's, for it does not name the product and both versions."""
    if not isinstance(value, dict) or value.get("product") != PRODUCT:
        return None
    version: Any = value.get("version")
    protocol_version: Any = value.get("protocol_version")
    if not _is_text(version) or not _is_number(protocol_version, 1, 2**31):
        return None
    pid, started_at = value.get("pid"), value.get("started_at")
    return Health(
        version,
        protocol_version,
        pid if _is_number(pid, 1, PID_MAX) else None,
        str(started_at) if _is_text(started_at) else "",
    )


def status_of(answer: bytes) -> int:
    """The status of an HTTP/1 answer whose head is whole; 0: it is none."""
    head, blank, _ = answer.partition(b"\r\n\r\n")
    words = head.split(b"\r\n")[0].split(b" ", 2)
    if not blank or len(words) < 2 or words[0] not in (b"HTTP/1.0", b"HTTP/1.1"):
        return 0
    return int(words[1]) if len(words[1]) == 3 and words[1].isdigit() else 0


def body_of(answer: bytes) -> bytes | None:
    """The body of an HTTP/1 answer of status 200; None for everything else, redirects among it.

    With a `Content-Length` it is that long, or else (None) not all there; without one it is what came before the end.
    """
    if status_of(answer) != 200:
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            digits = value.strip()
            if not digits.isdigit() or len(digits) > 9 or len(body) < int(digits):
                return None
            return body[: int(digits)]
        if name.strip().lower() == b"transfer-encoding":
            return None  # no daemon does that to a question in HTTP/1.0
    return body


# -- the state record -------------------------------------------------------------------------------------------------


class State:
    """Which daemon was made ready last, and where it listens.

    Attributes:
        process: Its identity.
        host: The address that it listens on.
        port: Likewise.
        version: Of the program.
        protocol_version: Of the protocol.
        started_at: When it became ready, ISO 8601 UTC.
        allowed_hosts: Names by which it may be reached besides this machine's.
    """

    __slots__ = ("allowed_hosts", "host", "port", "process", "protocol_version", "started_at", "version")

    def __init__(
        self,
        process: Any,
        *,
        port: int,
        version: str,
        started_at: str,
        host: str = "127.0.0.1",
        protocol_version: int = PROTOCOL_VERSION,
        allowed_hosts: Iterable[str] = (),
    ) -> None:
        self.process = process
        self.host = host
        self.port = port
        self.version = version
        self.protocol_version = protocol_version
        self.started_at = started_at
        self.allowed_hosts = list(allowed_hosts)

    @property
    def pid(self) -> int:
        """Its number in its own pid namespace."""
        pid: int = self.process["pid"]
        return pid

    def __repr__(self) -> str:
        return f"State({self.to_json()!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]  # a record

    def to_json(self) -> dict[str, Any]:
        """As the record has it (protocol/schema/daemon_state.json)."""
        return {
            "schema_version": SCHEMA_VERSION,
            "pid": self.pid,
            "process": self.process,
            "host": self.host,
            "port": self.port,
            "version": self.version,
            "protocol_version": self.protocol_version,
            "started_at": self.started_at,
            "allowed_hosts": self.allowed_hosts,
        }


def parse_state(value: object) -> State | None:
    """What a state record says; None when it is malformed, or of another schema: then it says nothing at all."""
    if not isinstance(value, dict) or value.get("schema_version") != SCHEMA_VERSION:
        return None
    process: Any = value.get("process")
    names = value.get("allowed_hosts", [])
    if not _is_identity(process) or value.get("pid") != process["pid"]:
        return None
    if not _is_number(value.get("port"), 1, PORT_MAX) or not _is_number(value.get("protocol_version"), 1, 2**31):
        return None
    if not isinstance(names, list) or not all(_is_text(one) for one in [*names, value.get("host", "127.0.0.1")]):
        return None
    if not _is_text(value.get("version")) or not _is_text(value.get("started_at")):
        return None
    return State(
        process,
        host=value.get("host", "127.0.0.1"),
        port=value["port"],
        version=value["version"],
        protocol_version=value["protocol_version"],
        started_at=value["started_at"],
        allowed_hosts=names,
    )


def _is_identity(value: object) -> bool:
    if not isinstance(value, dict) or not all(isinstance(value.get(name), str) for name in ("host", "boot")):
        return False
    return _is_number(value.get("pid"), 1, PID_MAX) and all(
        _is_number(value.get(name), 0, 2**63) for name in ("pid_ns", "start")
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= TEXT_LENGTH_MAX and value.isprintable()


def _is_number(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


# -- what follows -----------------------------------------------------------------------------------------------------


def names_another(state: State, me: Any, host: str, port: int) -> bool:
    """Whether a record names another process than `me`, at another address than its own."""
    is_elsewhere = (state.host, state.port) != (host, port)
    return is_elsewhere and any(state.process.get(name) != me.get(name) for name in _PROCESS_FIELDS)


def is_of_machine(state: State, me: Any) -> bool:
    """Whether a record was written on the machine of `me`: a repository, which may hold one, cannot know its id."""
    return bool(me["host"]) and state.process["host"] == me["host"]


def why_retire(
    *, is_superseded: bool, is_displaced: bool, is_homeless: bool, idle_s: float, idle_s_max: float | None
) -> str:
    """Why a daemon should end by itself; "" when it should not.

    Args:
        is_superseded: The record names another daemon of this project, on another port, which is there and answers.
        is_displaced: There is a newer epoch of the daemon's place in the registry.
        is_homeless: The project's folder is gone, or is another one.
        idle_s: Since anybody last used it.
        idle_s_max: How long it may be idle; None: for ever.
    """
    if is_superseded:
        return "superseded"
    if is_displaced:
        return "displaced"
    if is_homeless:
        return "homeless"
    return "idle" if idle_s_max is not None and idle_s >= idle_s_max else ""


def ports(first: int, end: int, preferred: int | None = None) -> list[int]:
    """Which ports a daemon tries, in order: the one it had before, for pages that are open; then all of the range.

    Args:
        first: Of the range.
        end: Behind its last one.
        preferred: Of the record; ignored outside the range.
    """
    tried = list(range(first, end))
    if preferred in tried:
        tried.remove(preferred)
        tried.insert(0, preferred)
    return tried


def drift(running: str, own: str) -> Drift:
    """What the version of a running daemon is to one's own: "" the same, `older` or `newer`.

    One of two different versions is always the older one, whoever asks: else each would end the other's daemon.
    """
    theirs, ours = _order(running), _order(own)
    if theirs == ours:
        return ""
    return "older" if theirs < ours else "newer"


def is_replaced(drifted: Drift) -> bool:
    """Whether who ensures that a daemon runs replaces one of that version."""
    return drifted == "older"


_PHASES = {"dev": 0, "a": 1, "b": 2, "rc": 3, "": 4, "post": 5}
"""What may stand behind a version's numbers, from the oldest; "" is the release itself."""


def _order(version: str) -> tuple[list[int], list[tuple[int, int]], str]:
    """By what versions are compared: numbers without zeros at the end, phases (1.0.dev1 < 1.0rc1 < 1.0), the rest.

    What is no version at all is older than every one that is; two such are compared as words.
    """
    public, _, local = version.partition("+")
    words = _words(public)
    numbers: list[int] = []
    while words and not words[0][0]:
        numbers.append(words.pop(0)[1])
    if not numbers or any(name not in _PHASES or not name for name, _ in words):
        return [], [], version
    while numbers and not numbers[-1]:
        numbers.pop()
    return [0, *numbers], [*((_PHASES[name], number) for name, number in words), (_PHASES[""], 0)], local


def _words(text: str) -> list[tuple[str, int]]:
    """`1.2rc3.dev4` as ("", 1), ("", 2), ("rc", 3), ("dev", 4)."""
    found = []
    for part in text.split("."):
        rest = part
        while rest:
            name, rest = _cut(rest, "abcdefghijklmnopqrstuvwxyz")
            digits, rest = _cut(rest, "0123456789")
            if not digits or len(digits) > 18:
                return []
            found.append((name, int(digits)))
    return found


def _cut(text: str, letters: str) -> tuple[str, str]:
    """The longest beginning that has these letters alone, and the rest."""
    rest = text.lstrip(letters)
    return text[: len(text) - len(rest)], rest


def allowed_hosts_in(argv: Sequence[str]) -> list[str]:
    """The names that a daemon's command line allows besides this machine's (`--allowed-hosts A,B`)."""
    text = ""
    for at, word in enumerate(argv):
        if word == "--allowed-hosts" and at + 1 < len(argv):
            text = argv[at + 1]
        elif word.startswith("--allowed-hosts="):
            text = word.partition("=")[2]
    return [name for name in text.split(",") if name]
