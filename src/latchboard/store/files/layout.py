"""Layout: which key lives in which file. Nothing else knows paths.

    <root>/data/.agent_locks/
      FORMAT                     format and store id; unknown format: do not operate
      journal/guard              the one guard, with the header; never unlinked, never replaced
      journal/<base>.jsonl       one line per commit: redo log, watch stream and history
      journal/<base>.records     the records as they were when that journal began
      <slug>-<hash>.lock         one record per locked name (keys `locks/...`)
      <collection>/<name>.json   every other record; messages and archive have a folder per recipient
      bells/<name>               FIFOs of processes that wait for a key
      status_board.json          derived; can be deleted at any time

A file name is the name itself where that is safe on every file system (lower case, digits, `._-#~@=+,`, not a leading
dot, at most 100 bytes), else a slug and the first 16 hex digits of the SHA-256 of the key. Locks always carry the hash.
The folder of a collection is named in the same way, but without dots: it must not look like a record.

Protocol: protocol/layout.md.
"""

from __future__ import annotations

from latchboard.store.checks import check_key
from latchboard.store.port import FOLDERS_PER_OWNER

try:
    from _sha256 import sha256  # CPython 3.11; importing hashlib loads OpenSSL, which a short-lived process feels
except ImportError:
    try:
        from _sha2 import sha256  # CPython 3.12 and later
    except ImportError:
        from hashlib import sha256

FOLDER = "data/.agent_locks"
FORMAT = "FORMAT"
GUARD = "journal/guard"
JOURNAL_FOLDER = "journal"
BELL_FOLDER = "bells"
STATUS_BOARD = "status_board.json"

LOCKS = "locks/"
COLLECTIONS_WITH_BELLS = ("waiters/",)
SLUG_BYTES_MAX = 120
PLAIN_BYTES_MAX = 100
_PATHS_COUNT_MAX = 4096

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-#~@=+,")
_PLAIN_COLLECTION = _PLAIN - {"."}
_STATUS_BOARD_KEY = STATUS_BOARD.removesuffix(".json")
# Beyond ASCII no table of letters is asked: two versions of Unicode would give one key two files.
_SLUG = {c: chr(c) if chr(c).isascii() and (chr(c).isalnum() or chr(c) in "._-") else "_" for c in range(0xA0)} | {
    ord("/"): "__"
}
_LOWER = {c: c + 32 for c in range(ord("A"), ord("Z") + 1)}


def journal(base: int) -> str:
    """The journal that starts at revision `base`; names sort by age."""
    return f"{JOURNAL_FOLDER}/{base:020d}.jsonl"


def beginning(base: int) -> str:
    """The records as they were when the journal with this base began."""
    return f"{JOURNAL_FOLDER}/{base:020d}.records"


def journal_base(file_name: str, ending: str = "jsonl") -> int | None:
    """The base in a journal's file name, or in that of its beginning ("records"); None for any other file."""
    stem, _, found = file_name.partition(".")
    return int(stem) if found == ending and len(stem) == 20 and stem.isascii() and stem.isdigit() else None


_paths: dict[str, str] = {}


def record(key: str) -> str:
    """The file of a record, relative to the folder; the last few thousand answers are remembered.

    Raises:
        UsageError: The key cannot be kept.
    """
    path = _paths.get(key)
    if path is None:
        check_key(key)
        if len(_paths) >= _PATHS_COUNT_MAX:
            _paths.clear()
        path = _paths[key] = _record(key)
    return path


def _record(key: str) -> str:
    if key.startswith(LOCKS):
        return f"{_slug(key[6:])}-{digest(key)}.lock"
    collection, slash, rest = key.partition("/")
    if not slash:
        return f"{_file_name(key, key)}.json" if key != _STATUS_BOARD_KEY else f"%{digest(key)}.json"
    folder = _collection(collection)
    if f"{collection}/" in FOLDERS_PER_OWNER:
        owner, _, name = rest.rpartition("/")
        return f"{folder}/{_file_name(owner, owner)}/{_file_name(name, key)}.json"
    return f"{folder}/{_file_name(rest, key)}.json"


def scan_folder(prefix: str) -> tuple[str, str, bool]:
    """Where the records lie whose keys start with `prefix`.

    Returns:
        The folder, the ending of their names, and whether they lie one folder deeper.
    """
    collection, _, rest = prefix.partition("/")
    if collection == "locks":
        return ".", ".lock", False
    folder = _collection(collection)
    if f"{collection}/" in FOLDERS_PER_OWNER:
        owner = rest.rpartition("/")[0]
        return (f"{folder}/{_file_name(owner, owner)}", ".json", False) if owner else (folder, ".json", True)
    return folder, ".json", False


def may_hold(file_name: str, prefix: str) -> bool:
    """Whether a record in that file can have a key that starts with `prefix`: spares reading the others."""
    collection, _, rest = prefix.partition("/")
    if not rest or collection == "locks" or f"{collection}/" in FOLDERS_PER_OWNER:
        return True
    return "%" in file_name or file_name.startswith(rest)


def _collection(name: str) -> str:
    """The folder of a collection; never one outside, and never one that looks like a record."""
    return name if name and _PLAIN_COLLECTION.issuperset(name) and len(name) <= PLAIN_BYTES_MAX else _escaped(name)


def has_bell(key: str) -> bool:
    """Whether a commit that changes `key` rings a bell."""
    return key.startswith(COLLECTIONS_WITH_BELLS)


def bell(key: str) -> str:
    """The FIFO of a process that waits for `key`."""
    return f"{BELL_FOLDER}/{_file_name(key.partition('/')[2], key)}"


def digest(key: str) -> str:
    """16 hex digits that tell two keys apart."""
    return str(sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16])


def _slug(name: str) -> str:
    if name.isascii():
        return name.translate(_SLUG)[-SLUG_BYTES_MAX:]
    return name.translate(_SLUG).encode("utf-8", "replace")[-SLUG_BYTES_MAX:].decode("utf-8", "ignore")


def _file_name(name: str, key: str) -> str:
    if name and name[0] != "." and len(name) <= PLAIN_BYTES_MAX and _PLAIN.issuperset(name):
        return name
    return f"{_slug(name).translate(_LOWER).lstrip('.')}%{digest(key)}"


def _escaped(collection: str) -> str:
    return f"{_slug(collection).translate(_LOWER).lstrip('.')}%{digest(collection + '/')}"
