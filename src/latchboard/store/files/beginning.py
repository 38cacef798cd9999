"""Beginning: the records as they were when a journal began, in `journal/<base>.records`.

A journal has new values alone: what it changed was there before it, and only this file says what that was. Whoever
begins a journal makes it, while the guard is held and before the journal is there. Nothing depends on it but the past:
where it is missing, cut off or scribbled on, that journal's revisions cannot be read, and whoever asks is told so.

    {"format":1,"base":…,"previous":…,"count":2,"bytes":…,"body":"<CRC-32 of what follows>","crc":"…"}
    {"path":"src__a.py-634d4c77f99d4d9d.lock","record":{"key":"locks/src/a.py","mod_revision":…,…}}
    {"path":"agents/planner.json","reason":"the file is empty"}

Records are copied as they stand in their files, so that it costs some 9 microseconds each.

Protocol: protocol/store.md, "Rotation".
"""

from __future__ import annotations

import os
from binascii import crc32

from latchboard.codec import decode, encode
from latchboard.errors import CoordinationError, MalformedRecord
from latchboard.store.files import journal, layout, records, view
from latchboard.store.port import REPLAYED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.store.files.folder import Folder

FORMAT = 1
_BETWEEN = b',"record":'
_HEAD_BYTES_MAX = 512


# -- writing ----------------------------------------------------------------------------------------------------------


def keep(folder: Folder, base: int, previous: int) -> bool:
    """Write down the records as they are, for the journal that is about to begin. The guard is held.

    Returns:
        False: it could not be written; then that journal has no beginning.
    """
    name = layout.beginning(base)
    try:
        lines = [line for prefix in REPLAYED for path in view.files(folder.fd, prefix) if (line := _line(folder, path))]
        body = b"".join(lines)
        head = {"format": FORMAT, "base": base, "previous": previous, "count": len(lines), "bytes": len(body)}
        first = journal.seal(encode({**head, "body": f"{crc32(body):08x}"})[:-1])
        records.publish(folder.fd, records.stage(folder.fd, name, first + body, folder.mode, replaces=False), name)
    except (OSError, CoordinationError):  # a full disk must not keep anybody from committing
        records.discard(folder.fd, f"{name}.tmp")
        return False
    return True


def _line(folder: Folder, path: str) -> bytes:
    """One record as it stands in its file, or why it cannot be read; nothing when there is none."""
    try:
        data = records.read(folder.fd, path)
        if data is None:
            return b""
        if data[:1] != b"{" or data.find(b"\n") != len(data) - 1:  # JSON of another look, or none
            records.unpack(None, data, path)
            data = f"{encode(decode(data))}\n".encode()
        return b'{"path":%s%s%s}\n' % (encode(path).encode(), _BETWEEN, data[:-1])
    except MalformedRecord as exc:
        reason = str(exc.fields["reason"])
    except UnicodeEncodeError:
        path, reason = repr(path), "its name is no text"  # no record has such a name
    return f'{{"path":{encode(path)},"reason":{encode(reason)}}}\n'.encode()


def drop_but(folder: Folder, bases: set[int]) -> None:
    """Remove those of journals that are gone, or were never begun, if that can be done now."""
    try:
        names = view.names(folder.fd, layout.JOURNAL_FOLDER)
    except CoordinationError:
        return  # the next rotation looks again
    for name in names:
        base = layout.journal_base(name, "records")
        if base is not None and base not in bases:
            records.discard(folder.fd, layout.beginning(base))


# -- reading ----------------------------------------------------------------------------------------------------------


class Beginning:
    """What a journal began with.

    Attributes:
        values: By path: key and value of every record that can be read.
        damaged: By collection: what is wrong with the others.
    """

    __slots__ = ("damaged", "values")

    def __init__(self) -> None:
        self.values: dict[str, tuple[str, dict[str, Any]]] = {}
        self.damaged: dict[str, list[MalformedRecord]] = {}

    def note(self, damaged: MalformedRecord) -> None:
        """Remember a record that cannot be read."""
        where = str(damaged.fields["path"]).rpartition("/")[0]
        self.damaged.setdefault(f"{where}/" if where else layout.LOCKS, []).append(damaged)


def previous(folder: Folder, base: int) -> int | None:
    """The last revision in the beginning of a journal, as its first line says; None where there is none, or too short.

    Looks at nothing but the first line and the length. Raises OSError.
    """
    data = records.head(folder.fd, layout.beginning(base))
    head = _head(data, base)
    if head is None:
        return None
    try:
        size = os.stat(layout.beginning(base), dir_fd=folder.fd).st_size
    except FileNotFoundError:
        return None  # rotated away in this moment
    return int(head["previous"]) if size == head["bytes"] + data.find(b"\n") + 1 else None


def load(folder: Folder, base: int, *, but: set[str]) -> Beginning | None:
    """The records with which a journal began, without those in the files `but`; None: there is nothing to rely on.

    Raises:
        StoreError: It is there, but cannot be read just now.
    """
    try:
        data = records.read(folder.fd, layout.beginning(base), bytes_max=records.JOURNAL_BYTES_MAX)
    except MalformedRecord:
        return None
    if data is None or not is_whole(data, base):
        return None
    found = Beginning()
    for line in data[data.find(b"\n") + 1 :].split(b"\n")[:-1]:
        _take(found, line, but)
    return found


def is_whole(data: bytes, base: int) -> bool:
    """Whether it is a journal's beginning, all of it, and as it was written."""
    head = _head(data[:_HEAD_BYTES_MAX], base)
    if head is None:
        return False
    body = data[data.find(b"\n") + 1 :]
    return (len(body), f"{crc32(body):08x}") == (head["bytes"], head["body"])


def _head(data: bytes, base: int) -> dict[str, Any] | None:
    head = journal.unpack(data.split(b"\n", 1)[0])
    if head is None or head.get("format") != FORMAT or head.get("base") != base:
        return None
    return head if type(head.get("bytes")) is int and type(head.get("previous")) is int else None


def _take(found: Beginning, line: bytes, but: set[str]) -> None:
    """One line of the body. It is split by hand: what is in it may be no JSON, as the file was."""
    quoted, between, record = line.partition(_BETWEEN)
    if not between:
        entry = decode(line)
        if entry["path"] not in but:
            found.note(records.malformed(entry["path"], entry["path"], entry["reason"]))
        return
    path = decode(quoted + b"}")["path"]
    if path in but:
        return
    try:
        key, value, _ = records.unpack(None, record[:-1] + b"\n", path)
        if not view.is_path_of(key, path):
            raise records.malformed(path, path, f"it says that it is the record {key!r}")
        found.values[path] = (key, value)
    except MalformedRecord as exc:
        found.note(exc)
