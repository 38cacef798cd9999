"""Recovery: bring record files and header in step with the journal. The guard is held throughout.

Law 1. A whole line behind `applied` was committed by a writer that died: apply it (redo is idempotent).
Law 2. Bytes that are no whole line were never committed: cut them off.
Law 3. A new journal's base is above every revision ever given: a token never comes back, whatever restarts.

Protocol: protocol/store.md, "Recovery" and "Rotation".
"""

from __future__ import annotations

import os

from latchboard.clock import iso
from latchboard.codec import encode
from latchboard.store.files import journal, layout, records
from latchboard.store.files.guard import Header, write_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.store.files.folder import Folder

GAP = 10**9
"""Added to the base when the tail of the journal may have been lost: more than the disk can have failed to keep."""


def begin(folder: Folder, now: Now) -> Header:
    """Make a new store: self-test, FORMAT, first journal, header."""
    folder.self_test()
    if not folder.store_id:
        folder.write_format(os.urandom(8).hex())
    newest = max([0, *bases(folder)])
    return rotate(folder, Header(newest, 0, newest, now.boot), now, kept_count=10**6, gap=GAP if newest else 0)


def redo(folder: Folder, header: Header) -> Header:
    """Apply what a dead writer committed and cut off what it did not finish."""
    size = os.fstat(folder.journal).st_size
    tail = os.pread(folder.journal, size - header.applied, header.applied)
    applied, last = header.applied, header.last
    for end, entry in journal.whole_lines(tail):
        apply(folder, entry)
        applied, last = header.applied + end, entry["revision"]
    if applied != size:
        os.ftruncate(folder.journal, applied)
    header = Header(header.base, applied, last, header.boot)
    write_header(folder.guard, header)
    return header


def apply(folder: Folder, entry: dict[str, Any]) -> None:
    """Make the record files say what one journal line says."""
    for key, value in entry["puts"].items():
        if not key.startswith("log/"):
            path = layout.record(key)
            data = records.pack(key, entry["revision"], encode(value))
            records.publish(folder.fd, records.stage(folder.fd, path, data, folder.mode), path)
    for key in entry["deletes"]:
        records.delete(folder.fd, layout.record(key))


def settle(folder: Folder, header: Header, now: Now, *, kept_count: int) -> Header:
    """After a restart of the machine, a copy, or damage to the journal: trust nothing that was not flushed.

    Record files are compared with the last value the kept journals have for them, and a new journal starts far above.
    """
    if folder.is_copy:
        folder.write_format(os.urandom(8).hex())
    last = header.last
    latest: dict[str, tuple[int, Any]] = {}
    for base in bases(folder):
        for entry in entries(folder, base):
            last = max(last, entry["revision"])
            latest.update({key: (entry["revision"], value) for key, value in entry["puts"].items()})
            latest.update({key: (entry["revision"], None) for key in entry["deletes"]})
    for key, (revision, value) in latest.items():
        if not key.startswith("log/"):
            last = max(last, _restore(folder, key, revision, value))
    return rotate(folder, Header(header.base, header.applied, last, now.boot), now, kept_count=kept_count, gap=GAP)


def _restore(folder: Folder, key: str, revision: int, value: Any) -> int:
    """Put back a record that is not what the journal says; a newer one stays. Returns the newest revision seen."""
    path = layout.record(key)
    data = records.read(folder.fd, path)
    if data is not None:
        try:
            records.unpack(key, data, path)
            found = int(data.split(b'"mod_revision":', 1)[1].split(b",", 1)[0].split(b"}", 1)[0])
        except (records.MalformedRecord, IndexError, ValueError):
            found = 0
        if found >= revision:
            return found
    if value is None:
        records.delete(folder.fd, path)
    else:
        packed = records.pack(key, revision, encode(value))
        records.publish(folder.fd, records.stage(folder.fd, path, packed, folder.mode), path)
    return revision


def rotate(folder: Folder, header: Header, now: Now, *, kept_count: int, gap: int = 0) -> Header:
    """Start a new journal. The header is written last: until then the old one is current and the new file is nobody's."""
    base = max(header.last + 1, header.base + header.applied + 1, int(now.wall_s * 1e6)) + gap
    older = bases(folder)
    for stray in [b for b in older if b > header.base]:  # of a writer that was killed while rotating
        records.delete(folder.fd, layout.journal(stray))
    inode = os.fstat(folder.guard).st_ino
    line = journal.first_line(
        base=base, previous=header.last, store_id=folder.store_id, boot=now.boot, inode=inode, at=iso(now.wall_s)
    )
    if folder.journal >= 0:
        os.fdatasync(folder.journal)
    records.create(folder.fd, layout.journal(base), line, folder.mode)
    _sync_folder(folder)
    header = Header(base, len(line), header.last, now.boot)
    write_header(folder.guard, header)
    for old in [b for b in older if b <= header.base][: -kept_count + 1 or None]:
        records.delete(folder.fd, layout.journal(old))
    return header


def bases(folder: Folder) -> list[int]:
    """The bases of the journals that are there, oldest first."""
    fd = os.open(layout.JOURNAL_FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder.fd)
    try:
        return sorted(b for name in os.listdir(fd) if (b := layout.journal_base(name)) is not None)
    finally:
        os.close(fd)


def entries(folder: Folder, base: int) -> list[dict[str, Any]]:
    """The commits in one journal, oldest first, up to the first line that is not whole."""
    data = records.read(folder.fd, layout.journal(base)) or b""
    return [entry for _, entry in journal.whole_lines(data) if "revision" in entry]


def _sync_folder(folder: Folder) -> None:
    """A new journal's name must be on the disk before a durable commit is in it."""
    fd = os.open(layout.JOURNAL_FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder.fd)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
