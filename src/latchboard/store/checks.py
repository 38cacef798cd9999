"""Checks: what may be kept at all. The same in every backend, so that none takes what another would refuse.

Keys are text that UTF-8 can write, with no NUL. Values are JSON objects within a size; `key` and `mod_revision` are
names the store itself needs. Traces (`log/...`) can be put and nothing else.

Protocol: protocol/store.md, "Keys and values".
"""

from __future__ import annotations

from latchboard.codec import encode
from latchboard.errors import CommitTooLarge, UsageError
from latchboard.store.port import TRACE_PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KEY_BYTES_MAX = 8192
"""The longest path a system takes (4096 bytes) twice over, so that no name of a file is ever too long for a key."""


def check_key(key: str) -> None:
    """Refuse a key that cannot be kept. Raises UsageError."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError as exc:
        raise UsageError(f"the key {key!r} is no text that UTF-8 can write", key=repr(key)) from exc
    if not 0 < size <= KEY_BYTES_MAX:
        raise UsageError(f"a key has 1 to {KEY_BYTES_MAX} bytes, not {size}", key=key[:100])
    if "\0" in key:
        raise UsageError(f"the key {key!r} has a NUL in it", key=key)


def check_value(key: str, value: dict[str, Any], bytes_max: int) -> str:
    """The value as JSON text. Raises UsageError for what cannot be kept."""
    try:
        text = encode(value)
    except (TypeError, ValueError, RecursionError) as exc:
        raise UsageError(f"the value of {key} cannot be written as JSON: {exc}", key=key) from exc
    if text[0] != "{":
        raise UsageError(f"the value of {key} is no JSON object but {type(value).__name__}", key=key)
    if len(text) > bytes_max or (len(text) * 4 > bytes_max and len(text.encode()) > bytes_max):
        raise UsageError(f"the value of {key} is longer than {bytes_max} bytes", hint="put it into a file", key=key)
    if "key" in value or "mod_revision" in value:
        raise UsageError(f"the value of {key} may not have the fields key and mod_revision", key=key)
    return text


def check_who(who: str) -> None:
    """Refuse the name of an agent that cannot be written into the history. Raises UsageError."""
    try:
        who.encode()
    except UnicodeEncodeError as exc:
        raise UsageError(f"the name {who!r} is no text that UTF-8 can write") from exc


def check_commit(changes: dict[str, dict[str, Any] | None], keys_max: int) -> None:
    """Refuse too many keys, and a trace that is deleted. Raises CommitTooLarge, UsageError."""
    if len(changes) > keys_max:
        raise CommitTooLarge(
            f"one commit changes {len(changes)} records; this store takes {keys_max}",
            hint="lock the folder instead of its files, or do it in parts; nothing was changed",
            keys_max=keys_max,
        )
    for key, value in changes.items():
        if value is None and key.startswith(TRACE_PREFIX):
            raise UsageError(f"{key} is a trace: it can be put, never deleted", key=key)


def check_collection(prefix: str) -> None:
    """Refuse a prefix that is no collection. Raises UsageError."""
    if "/" not in prefix:
        raise UsageError(f"{prefix!r} is no collection: a slash must end its first part")
