"""Finding: one thing that the doctor reports, with what it is worth and the command that mends it.

Law 1. Every finding names a command that can be pasted into a shell, whatever the names in it are.
Law 2. An id never changes its meaning; what it is worth is in the catalogue, and nowhere else.

Protocol: protocol/health.md, "Findings".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Literal

    Severity = Literal["critical", "warn", "info"]
    Section = Literal["identity", "tokens", "storage", "refresh_lock", "daemon", "orphans"]

SEVERITIES: tuple[Severity, ...] = ("critical", "warn", "info")
SECTIONS: tuple[Section, ...] = ("identity", "tokens", "storage", "refresh_lock", "daemon", "orphans")
"""In the order of a report; the findings themselves are its seventh section."""

CATALOGUE: dict[str, tuple[Severity, Section | None, str]] = {
    "F-001": ("critical", "tokens", "a credential that is configured cannot be used"),
    "F-002": ("warn", "orphans", "daemons of this project run that are not the recorded one"),
    "F-003": ("critical", "refresh_lock", "the record of a machine lock is older than the threshold"),
    "F-004": ("warn", "daemon", "the daemon is of another version than this program"),
    "F-005": ("info", "daemon", "a daemon is recorded, and none runs"),
    "F-006": ("warn", "daemon", "what is recorded of the daemon is not what is there"),
    "F-007": ("warn", "refresh_lock", "the record of a machine lock was written on another host"),
    "F-100": ("critical", None, "something could not be looked at, or not in time"),
    "F-101": ("warn", "storage", "the journal ends in a line that was never finished"),
    "F-102": ("warn", "storage", "a commit is in the journal and not yet in the records"),
    "F-103": ("critical", "storage", "the journal, or its header, is damaged"),
    "F-104": ("critical", "storage", "a record is not what the journal says"),
    "F-105": ("critical", "storage", "a record cannot be read"),
    "F-106": ("critical", "storage", "the store's format is unknown, or cannot be read"),
    "F-107": ("critical", "storage", "the project lies on a network file system"),
    "F-108": ("warn", "storage", "others than its users may change the folder"),
    "F-109": ("warn", "storage", "little space is left"),
    "F-110": ("critical", "storage", "no space is left"),
    "F-111": ("critical", "storage", "a process has had the guard for too long"),
    "F-112": ("info", "storage", "killed processes left files behind"),
    "F-113": ("warn", "storage", "the system gives no notification: watchers look every 50 ms"),
    "F-114": ("warn", "identity", "the clock is wrong"),
    "F-115": ("warn", "identity", "a client's hooks are not in place"),
    "F-116": ("warn", "storage", "held files were changed by others, and nobody has dealt with it"),
    "F-117": ("info", "storage", "holds, waiters or leases are over, and were not removed"),
    "F-118": ("warn", "storage", "messages that demand an acknowledgement are overdue"),
    "F-119": ("info", "identity", "entries of singletons are stale"),
    "F-120": ("critical", "identity", "the settings cannot be read"),
    "F-121": ("critical", "tokens", "others can read a secret"),
    "F-122": ("critical", "storage", "whoever asks may not use the folder"),
    "F-123": ("info", "storage", "the folder is a copy, and has not been used since"),
    "F-124": ("info", "storage", "an older journal, or what a journal began with, is damaged"),
    "F-125": ("critical", "storage", "a record of the queue is not what its jobs say"),
    "F-126": ("critical", "storage", "the store is elsewhere, and cannot be used"),
    "F-127": ("warn", "storage", "a member of the cluster that the store is in is in trouble"),
    "F-128": ("warn", "storage", "the store is elsewhere, and the project's folder is one, too"),
    "F-129": ("critical", "storage", "the cluster that the store is in has used up its quota"),
}
"""What each is worth, in which section it stands (None: in that of the check), and what it means."""

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_")
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "'": "\\'"}


class Finding:
    """One finding.

    Attributes:
        id: Of the catalogue.
        severity: `critical`, `warn` or `info`.
        section: Where it stands.
        text: For people: what was found. No secret is ever in it.
        remedy: The command that mends it, or that shows what does.
        about: What it is about, for programs: names, paths and numbers.
    """

    __slots__ = ("about", "id", "remedy", "section", "severity", "text")

    def __init__(self, finding_id: str, text: str, remedy: str, *, section: str = "", **about: Any) -> None:
        """What it is worth is looked up; `section` is that of the check, for ids that belong to none."""
        severity, own_section, _ = CATALOGUE[finding_id]
        self.id = finding_id
        self.severity: Severity = severity
        self.section: str = own_section or section
        self.text = text
        self.remedy = remedy
        self.about = about

    def __repr__(self) -> str:
        return f"Finding({self.id!r}, {self.text!r}, {self.remedy!r})"

    def to_json(self) -> dict[str, Any]:
        """As `protocol/schema/doctor.json` has it."""
        return {name: getattr(self, name) for name in ("id", "severity", "section", "text", "remedy", "about")}


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """The gravest first; then by id."""
    return sorted(findings, key=lambda one: (SEVERITIES.index(one.severity), one.id))


def exit_status(findings: Iterable[Finding], *, is_broken: bool) -> int:
    """What the doctor ends with: 2 where a check itself broke (the report is then a part), 1: something is critical."""
    if is_broken:
        return 2
    return 1 if any(one.severity == "critical" for one in findings) else 0


def counted(count: int, one: str, many: str = "") -> str:
    """`1 lock`, `3 locks`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def command(*words: str) -> str:
    """A command line that can be pasted into a POSIX shell (bash, zsh and ksh, where a word has control characters)."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    if word and _PLAIN.issuperset(word):
        return word
    if word.isprintable():
        return "'" + word.replace("'", "'\"'\"'") + "'"
    return "$'" + "".join(_escaped(char) for char in word) + "'"


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))
