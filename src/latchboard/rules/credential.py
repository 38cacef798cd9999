"""Credential: what a refresh may do to the grant in the store; pure. No token ever comes in here.

Law 1. A rejection ends the grant that was shown to the issuer, and no other one: what is newer stays, also when it came
during the call.
Law 2. Newer is a greater generation. Times of files and of clocks order nothing.
Law 3. Each outcome is a cell of `TABLE`; what the table does not say cannot happen.

A grant is seen here by its face: generation, fingerprint, whether it was cleared and for the refusal of which version,
and when its access token ends.

Guarantees that of all who found one grant expired, those that come later adopt what the first one got. Does not know
whether the issuer still honours a token: a caller that was refused shows the version it was refused with.

Protocol: protocol/credential.md, "Decisions". RFC 6749 section 6 (refresh); RFC 9700 section 4.14 (rotation).
"""

from __future__ import annotations

from latchboard.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class Version(TypedDict):
        """Which grant: it changes with every change of its tokens."""

        generation: int
        fingerprint: str

    class Face(Version):
        """What may be known of a grant without its tokens."""

        cleared: bool
        refused: str | None
        expires_s: float | None


ADOPTED_NEWER = "adopted_newer"
REFRESHED = "refreshed"
STALE_REJECTION_PRESERVED = "stale_rejection_preserved"
CURRENT_REJECTION_CLEARED = "current_rejection_cleared"
LOCK_TIMEOUT_ADOPTED = "lock_timeout_adopted"
LOCK_TIMEOUT_ERROR = "lock_timeout_error"
OUTCOMES = (
    ADOPTED_NEWER,
    REFRESHED,
    STALE_REJECTION_PRESERVED,
    CURRENT_REJECTION_CLEARED,
    LOCK_TIMEOUT_ADOPTED,
    LOCK_TIMEOUT_ERROR,
)

ADOPT, CALL, WRITE, CLEAR, AGAIN, FAIL, STOP = "adopt", "call", "write", "clear", "again", "fail", "stop"

TABLE: dict[str, dict[str, tuple[str, str]]] = {
    "loaded": {
        "missing": (STOP, ""),
        "cleared": (STOP, ""),
        "cleared_same": (STOP, ""),
        "same": (CALL, ""),
        "newer": (ADOPT, ADOPTED_NEWER),
        "newer_expired": (CALL, ""),
        "other": (CALL, ""),
    },
    "granted": {
        "missing": (STOP, ""),
        "cleared": (STOP, ""),
        "cleared_same": (WRITE, REFRESHED),
        "same": (WRITE, REFRESHED),
        "newer": (ADOPT, ADOPTED_NEWER),
        "newer_expired": (AGAIN, ""),
        "other": (AGAIN, ""),
    },
    "rejected": {
        "missing": (STOP, ""),
        "cleared": (STOP, ""),
        "cleared_same": (STOP, ""),
        "same": (CLEAR, CURRENT_REJECTION_CLEARED),
        "newer": (ADOPT, STALE_REJECTION_PRESERVED),
        "newer_expired": (ADOPT, STALE_REJECTION_PRESERVED),
        "other": (ADOPT, STALE_REJECTION_PRESERVED),
    },
    "locked_out": {
        "missing": (STOP, ""),
        "cleared": (STOP, ""),
        "cleared_same": (STOP, ""),
        "same": (FAIL, LOCK_TIMEOUT_ERROR),
        "newer": (ADOPT, LOCK_TIMEOUT_ADOPTED),
        "newer_expired": (FAIL, LOCK_TIMEOUT_ERROR),
        "other": (FAIL, LOCK_TIMEOUT_ERROR),
    },
}
"""Event, then how the grant in the store relates to the reference, to what is done and the outcome it has ("": none).

The reference is the grant that the caller found wanting (loaded, locked_out) or that was shown to the issuer (granted,
rejected).
"""


def decide(
    event: str, reference: Version | None, current: Face | None, *, now_s: float, valid_s_min: float
) -> tuple[str, str]:
    """What to do, and the outcome that this has; "" where there is none yet.

    Args:
        event: `loaded`, `granted`, `rejected` or `locked_out`.
        reference: See `TABLE`; None: the caller knows of no grant, any that is fresh will do.
        current: What the store says now; None: nothing.
        now_s: Unix seconds.
        valid_s_min: A grant that ends sooner than this is expired, seconds.
    """
    return TABLE[event][relation(reference, current, now_s=now_s, valid_s_min=valid_s_min)]


def relation(reference: Version | None, current: Face | None, *, now_s: float, valid_s_min: float) -> str:
    """How the grant in the store relates to the reference: a column of `TABLE`.

    `cleared_same`: cleared because the reference was refused. Who got a new grant for that very reference was there
    before the one that was refused, and knows better.

    One of the same or a lower generation with other tokens is `other`: nobody can say which came later. It is never
    taken for newer, and never removed.
    """
    if current is None:
        return "missing"
    if current["cleared"]:
        is_for_it = reference is not None and current["refused"] == version_text(reference)
        return "cleared_same" if is_for_it else "cleared"
    fresh = is_fresh(current, now_s=now_s, valid_s_min=valid_s_min)
    if reference is None:
        return "newer" if fresh else "newer_expired"
    if is_same(reference, current):
        return "same"
    if current["generation"] > reference["generation"]:
        return "newer" if fresh else "newer_expired"
    return "other"


def is_same(one: Version, other: Version) -> bool:
    """Whether both are the same grant with the same tokens."""
    return one["generation"] == other["generation"] and one["fingerprint"] == other["fingerprint"]


def is_fresh(face: Face, *, now_s: float, valid_s_min: float) -> bool:
    """Whether it can be used for `valid_s_min` seconds more. One whose end is not known is, until it is refused."""
    return not face["cleared"] and (face["expires_s"] is None or face["expires_s"] - now_s >= valid_s_min)


def state(face: Face | None, *, now_s: float, valid_s_min: float) -> str:
    """One word for people: `missing`, `cleared`, `fresh`, `expiring` or `expired`."""
    if face is None:
        return "missing"
    if face["cleared"]:
        return "cleared"
    if is_fresh(face, now_s=now_s, valid_s_min=valid_s_min):
        return "fresh"
    return "expiring" if is_fresh(face, now_s=now_s, valid_s_min=0.0) else "expired"


def version_text(version: Version) -> str:
    """A version as it is shown and typed: `7-0123456789abcdef`."""
    return f"{version['generation']}-{version['fingerprint']}"


def parse_version(text: str) -> Version:
    """The version that `text` names.

    Raises:
        UsageError: It names none.
    """
    number, _, fingerprint = text.partition("-")
    plain = number.isascii() and number.isdecimal() and len(number) <= 15
    if not plain or len(fingerprint) != 16 or set(fingerprint) - set("0123456789abcdef"):
        raise UsageError(
            f"{text[:60]!r} is no version of a credential",
            hint="`latchboard credential status NAME` shows it: a number, a dash, 16 hexadecimal digits",
        )
    return {"generation": int(number), "fingerprint": fingerprint}


def check_name(name: object) -> str:
    """The name of a credential, if it can be one: 1 to 64 of `a-z`, `A-Z`, `0-9`, `_`, `-` and `.`, no dot in front.

    It becomes a file's name.

    Raises:
        UsageError: It cannot.
    """
    good = isinstance(name, str) and 0 < len(name) <= 64 and name.isascii() and not name.startswith(".")
    if not good or not all(c.isalnum() or c in "_-." for c in str(name)):
        raise UsageError(
            f"{name!r:.80} cannot be the name of a credential",
            hint="take 1 to 64 letters, digits, dots, dashes and underscores, no dot in front",
        )
    return str(name)
