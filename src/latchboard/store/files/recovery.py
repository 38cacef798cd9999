"""Recovery: bring record files and header in step with the journal. The guard is held throughout.

Law 1. A whole line behind `applied` was committed by a writer that died: apply it (redo is idempotent).
Law 2. A last line that is not whole was never committed: cut it off. Nothing else is ever cut off: where whole lines
follow, or `applied` is not the end of a line, the journal is damaged, and is kept as it is.
Law 3. A new journal's base is above every revision ever given: a token never comes back, whatever restarts.

Protocol: protocol/store.md, "Recovery" and "Rotation".
"""

from __future__ import annotations

import os

from latchboard.clock import STAND_IN_PREFIX, iso
from latchboard.codec import encode
from latchboard.errors import MalformedRecord
from latchboard.store.files import beginning, journal, layout, records
from latchboard.store.files.guard import Header, write_header
from latchboard.store.port import TRACE_PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.settings import Settings
    from latchboard.store.files.folder import Folder

GAP = 10**9
"""Added to the base when the tail of the journal may have been lost: more than the disk can have failed to keep."""

_JOURNALS_COUNT_MAX = 100
_BOOT_BYTES_MAX = 36
_BOOT_DRIFT_S = 60


def begin(folder: Folder, now: Now, settings: Settings) -> Header:
    """Make what a new store needs: self-test, FORMAT, first journal, header.

    Where there are journals already, the header was lost or damaged: everything is read from them.
    """
    folder.read_format()  # somebody else may have made it since the folder was opened
    os.ftruncate(folder.guard, 0)  # garbage may be longer than a header
    older = bases(folder)
    if older:
        folder.open_journal(older[-1])
        return settle(folder, Header(older[-1], 0, 0, ""), now, settings)
    folder.self_test()
    if not folder.store_id:
        folder.write_format(os.urandom(8).hex())
    return rotate(folder, Header(0, 0, 0, now.boot), now, settings)


def redo(folder: Folder, header: Header) -> Header | None:
    """Apply what a dead writer committed and cut off what it did not finish; None when the journal is damaged."""
    size = os.fstat(folder.journal).st_size
    tail = os.pread(folder.journal, size - header.applied + 1, header.applied - 1)
    if tail[:1] != b"\n":
        return None
    tail, applied, last = tail[1:], header.applied, header.last
    for end, entry in journal.whole_lines(tail):
        apply(folder, entry)
        applied, last = header.applied + end, entry["revision"]
    if any(journal.commits(tail[applied - header.applied :])):
        return None
    if applied != size:
        os.ftruncate(folder.journal, applied)
    header = Header(header.base, applied, last, header.boot)
    write_header(folder.guard, header)
    return header


def apply(folder: Folder, entry: dict[str, Any]) -> None:
    """Make the record files say what one journal line says."""
    for key, value in entry["puts"].items():
        if not key.startswith(TRACE_PREFIX):
            _put_file(folder, key, entry["revision"], value)
    for key in entry["deletes"]:
        _delete_file(folder, key)


def _put_file(folder: Folder, key: str, revision: int, value: dict[str, Any]) -> None:
    path = layout.record(key)
    data = records.pack(key, revision, encode(value))
    temporary = records.stage(folder.fd, path, data, folder.mode)
    try:
        records.publish(folder.fd, temporary, path)
    except IsADirectoryError:  # it must not stop everybody, now that the line is committed
        records.set_aside(folder.fd, path)
        records.publish(folder.fd, temporary, path)


def _delete_file(folder: Folder, key: str) -> None:
    path = layout.record(key)
    try:
        records.delete(folder.fd, path)
    except (IsADirectoryError, PermissionError):
        records.set_aside(folder.fd, path)


def settle(folder: Folder, header: Header, now: Now, settings: Settings) -> Header:
    """After a restart of the machine, a copy, or damage to the journal: trust nothing that was not flushed.

    Record files are compared with the last value the kept journals have for them, and a new journal starts far above.
    """
    if folder.is_copy or not folder.store_id:
        folder.self_test()  # it may have been copied to a place where locks do not exclude
        folder.write_format(os.urandom(8).hex())
    last = header.last
    latest: dict[str, tuple[int, Any]] = {}
    for base in bases(folder):
        last = max(last, previous(folder, base))
        for entry in entries(folder, base):
            last = max(last, entry["revision"])
            latest.update({key: (entry["revision"], value) for key, value in entry["puts"].items()})
            latest.update(dict.fromkeys(entry["deletes"], (entry["revision"], None)))
    for key, (revision, value) in latest.items():
        if not key.startswith(TRACE_PREFIX):
            last = max(last, _restore(folder, key, revision, value))
    return rotate(folder, Header(header.base, header.applied, last, now.boot), now, settings, gap=GAP)


def _restore(folder: Folder, key: str, revision: int, value: Any) -> int:
    """Put back a record that is not what the journal says; a newer one stays. Returns the newest revision seen."""
    path = layout.record(key)
    found = _revision_in(folder, key, path)
    if found >= revision:
        return found
    if value is not None:
        _put_file(folder, key, revision, value)
    elif found != 0:
        _delete_file(folder, key)
    return revision


def _revision_in(folder: Folder, key: str, path: str) -> int:
    """The revision of a record file; 0 when there is none, -1 when it cannot be read."""
    try:
        data = records.read(folder.fd, path)
        return 0 if data is None else records.unpack(key, data, path)[2]
    except MalformedRecord:
        return -1


def rotate(folder: Folder, header: Header, now: Now, settings: Settings, *, gap: int = 0) -> Header:
    """Start a new journal. The header is written last: until then the new file is nobody's."""
    older = bases(folder)
    for stray in [b for b in older if b > header.base or previous(folder, b) < 0]:
        if not entries(folder, stray):  # of a writer that was killed while rotating
            records.discard(folder.fd, layout.journal(stray))
            older.remove(stray)
    sizes = {b: os.stat(layout.journal(b), dir_fd=folder.fd).st_size for b in older}
    ends = [b + size + 1 for b, size in sizes.items()]
    base = max(header.last + 1, header.base + header.applied + 1, int(now.wall_s * 1e6), *ends) + gap
    line = journal.first_line(
        base=base,
        previous=header.last,
        store_id=folder.store_id,
        boot=boot_word(now.boot),
        marks=folder.marks(),
        at=iso(now.wall_s),
    )
    if folder.journal >= 0:
        os.fdatasync(folder.journal)
    name = layout.journal(base)
    staged = records.stage(folder.fd, name, line, folder.mode, replaces=False)
    beginning.keep(folder, base, header.last)  # behind the staging: it must not take the last space
    records.publish(folder.fd, staged, name)
    _sync_folder(folder)
    header = Header(base, len(line), header.last, boot_word(now.boot))
    write_header(folder.guard, header)
    old = _too_old(sizes, settings)
    for each in old:
        records.discard(folder.fd, layout.journal(each))
    beginning.drop_but(folder, {base, *sizes}.difference(old))
    return header


def _too_old(sizes: dict[int, int], settings: Settings) -> list[int]:
    """Which journals to remove, now that a new one is begun.

    Restarts of the machine begin journals that are far from full: they are kept as long as all of them together are no
    more than the full ones would be.
    """
    kept_count, kept_bytes = 1, 0
    enough_bytes = (settings.journals_kept_count - 1) * settings.journal_bytes_max
    for base in sorted(sizes, reverse=True):
        many = kept_count >= settings.journals_kept_count and kept_bytes >= enough_bytes
        if many or kept_count >= _JOURNALS_COUNT_MAX:
            return [b for b in sizes if b <= base]
        kept_count, kept_bytes = kept_count + 1, kept_bytes + sizes[base]
    return []


def is_other_boot(written: str, boot: str) -> bool:
    """Whether the machine was restarted since `written`.

    Boot ids that were computed from the boot time drift, each process reading its own: a minute proves nothing.
    """
    if written == boot_word(boot):
        return False
    try:
        numbers = [int(text.removeprefix(STAND_IN_PREFIX)) for text in (written, boot)]
    except ValueError:
        return True
    return abs(numbers[0] - numbers[1]) > _BOOT_DRIFT_S


def boot_word(boot: str) -> str:
    """A boot id as the header has room for it."""
    fits = boot.isascii() and len(boot.split()) == 1 and len(boot) <= _BOOT_BYTES_MAX
    return boot if fits else layout.digest(boot)


def bases(folder: Folder) -> list[int]:
    """The bases of the journals that are there, oldest first."""
    fd = os.open(layout.JOURNAL_FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder.fd)
    try:
        return sorted(b for name in os.listdir(fd) if (b := layout.journal_base(name)) is not None)
    finally:
        os.close(fd)


def entries(folder: Folder, base: int) -> list[dict[str, Any]]:
    """The commits in one journal, oldest first; lines that are damaged are left out."""
    return list(journal.commits(content(folder, base)))


def previous(folder: Folder, base: int) -> int:
    """The last revision before a journal, as its first line says; -1 when it has none that is whole."""
    first = next(journal.whole_lines(records.head(folder.fd, layout.journal(base))), (0, {"base": -1}))[1]
    return int(first["previous"]) if first.get("base") == base else -1


def content(folder: Folder, base: int) -> bytes:
    """What is in a journal; nothing where something that is no file stands in its place."""
    try:
        return records.read(folder.fd, layout.journal(base), bytes_max=records.JOURNAL_BYTES_MAX) or b""
    except MalformedRecord:
        return b""


def _sync_folder(folder: Folder) -> None:
    """A new journal's name must be on the disk before a durable commit is in it."""
    fd = os.open(layout.JOURNAL_FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder.fd)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
