"""Storage: the store's journals and records, and the disk, mount and permissions of the folder that they lie in.

Protocol: protocol/health.md, "Store".
"""

from __future__ import annotations

import errno

from latchboard.doctor.check import Check, Seen
from latchboard.errors import StoreForbidden
from latchboard.rules import doctor as rules
from latchboard.rules.finding import Finding, command, counted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.doctor.port import Damage, Place, Shelf

_SHOWN_COUNT = 20
"""So many findings of one kind are told one by one; of more, their number."""
_WATCHES_COUNT = 65536

_HOW = {
    "missing": "it is not there",
    "left": "it is there, and was deleted",
    "older": "it is older than its last commit",
    "newer": "it is newer than every commit",
    "changed": "it says something else than its last commit",
    "unreadable": "it cannot be read",
}
_JOURNAL = {
    "torn": "F-101",
    "unapplied": "F-102",
    "journal": "F-103",
    "line": "F-103",
    "older-journal": "F-124",
    "copy": "F-123",
}


def store(root: str, shelf: Shelf, place: Place) -> Check:
    """Journals, header and records."""

    def look(stop_at_s: float) -> Seen:
        planted = _planted(shelf.path, place)
        if planted:
            text = f"{planted}: something that is no folder stands where a folder of the store belongs"
            return Seen(text, [Finding("F-122", text, command("ls", "-ld", planted), path=planted)], is_there=False)
        try:
            health = shelf.look(stop_at_s)
        except OSError as exc:
            if exc.errno in (errno.EACCES, errno.EPERM):
                raise StoreForbidden(f"cannot open {shelf.path}: {exc.strerror}") from exc
            raise
        if not health.is_there and not health.damage:
            return Seen("no store yet: the first lock makes it", is_there=False)
        findings = [_finding(root, shelf, one, place) for one in _limited(health.damage)]
        findings += _untold(root, shelf, health.damage)
        if not health.is_whole_look:
            text = "store: not all of it was seen in time"
            remedy = command("latchboard", "doctor", "--root", root)
            findings.append(Finding("F-100", text, remedy, section="storage", check="store"))
        facts = health.facts
        size = f"{facts.get('journal_bytes', 0) / 1e6:.1f} MB"
        text = f"{counted(facts.get('record_count', 0), 'record')}, "
        text += f"{counted(facts.get('journal_count', 0), 'journal')} of {size}, revision {facts.get('revision', 0)}"
        return Seen(text, findings, is_there=True, is_whole_look=health.is_whole_look, **facts)

    return Check("storage", "store", look)


def in_a_folder(check: Check, shelf: Shelf, place: Place) -> Check:
    """A check of what lies in the folder; where something else stands in its place, `store` tells it, and alone."""

    def look(stop_at_s: float) -> Seen:
        if _planted(shelf.path, place):
            return Seen("not looked at: something else stands in the place of the store's folder")
        return check.look(stop_at_s)

    return Check(check.section, check.name, look)


def _planted(path: str, place: Place) -> str:
    """What stands where the folder belongs, or the folder around it; "": nothing does. A link is none of ours."""
    found = place.mode(path)
    if found is not None:
        return "" if found[2] == "folder" else path
    around = path.rpartition("/")[0]
    return around if place.mode(around) is not None and place.mode(f"{around}/.") is None else ""


def _limited(damage: list[Damage]) -> list[Damage]:
    shown: dict[str, int] = {}
    kept = []
    for one in damage:
        shown[one.kind] = shown.get(one.kind, 0) + 1
        if shown[one.kind] <= _SHOWN_COUNT:
            kept.append(one)
    return kept


def _untold(root: str, shelf: Shelf, damage: list[Damage]) -> list[Finding]:
    """One finding for all those that are left out; for records that no repair moves, the command that lists them."""
    records, unreadable = (
        [one for one in damage if one.kind == kind][_SHOWN_COUNT:] for kind in ("record", "unreadable")
    )
    deciding = [one for one in unreadable if one.key in shelf.deciding]
    fix, listing = ("doctor", "--fix"), ("cleanup", "--dry-run")
    found = []
    for finding_id, count, what, words in (
        ("F-104", len(records), "", fix),
        ("F-105", len(deciding), " that decide who may write: each counts as held", listing),
        ("F-105", len(unreadable) - len(deciding), "", fix),
    ):
        if count:
            text = f"and {counted(count, 'more record', 'more records')}{what}"
            found.append(Finding(finding_id, text, command("latchboard", *words, "--root", root), count=count))
    return found


def _finding(root: str, shelf: Shelf, one: Damage, place: Place) -> Finding:
    path = f"{shelf.path}/{one.where}"
    fix = command("latchboard", "doctor", "--fix", "--root", root)
    about: dict[str, Any] = {"path": path, "why": one.why}
    if one.kind in _JOURNAL:
        remedy = command("latchboard", "history", "--root", root) if one.kind == "older-journal" else fix
        return Finding(_JOURNAL[one.kind], _journal_text(one, path), remedy, **about, count=one.count)
    if one.kind == "guard":
        pid = one.pids[0]
        is_stopped = place.is_stopped(pid)
        text = f"process {pid} has had the guard {path} for half a second and commits nothing"
        text += ": it stands still" if is_stopped else ""
        words = ["kill", *(["-CONT"] if is_stopped else []), str(pid)]
        return Finding("F-111", text, command(*words), pids=list(one.pids), path=path)
    if one.kind == "format" and one.why == "unknown":
        text = f"{path} is of another format; nothing may operate on this store but what knows it"
        return Finding("F-106", text, command("python3", "-m", "pip", "install", "-U", "latchboard"), **about)
    if one.kind == "format":
        return Finding("F-106", f"{path} is {one.why}", fix, **about)
    if one.kind == "planted":
        text = f"{path}: {one.why} stands where a folder of the store belongs"
        return Finding("F-122", text, command("ls", "-ld", path), **about)
    if one.kind == "record":
        text = f"the record {one.key} is not what the journal says: {_HOW[one.why]}"
        return Finding("F-104", text, fix, **about, key=one.key)
    text = f"the record in {path} cannot be read, and no journal has it: {one.why}. It counts as held, never as free"
    return Finding("F-105", text, _unreadable_remedy(root, path, one, shelf), **about)


def _unreadable_remedy(root: str, path: str, one: Damage, shelf: Shelf) -> str:
    """Whoever decides about a lock is a person: moving it aside frees it."""
    if one.key in shelf.deciding:
        return command("mv", path, f"{path}.aside")
    return command("latchboard", "doctor", "--fix", "--root", root)


def _journal_text(one: Damage, path: str) -> str:
    next_one = "The next commit mends it"
    if one.kind == "torn":
        many = counted(one.count, "byte")
        return f"{path} ends in {many} of a line that was never finished: never committed. {next_one}"
    if one.kind == "unapplied":
        many = counted(one.count, "commit")
        return f"{path} has {many} that the writer did not take into the records. {next_one}"
    if one.kind == "copy":
        return "the folder is a copy, or a restored backup: the next commit gives it an identity of its own"
    if one.kind == "line":
        return f"{path}: {one.why}. History and watchers end there; no record depends on it"
    if one.kind == "older-journal":
        return f"{path}: {one.why}. What happened before cannot be followed; no record depends on it"
    return f"{path}: {one.why}. The next commit begins again from the journals that can be read"


def permissions(root: str, shelf: Shelf, place: Place) -> Check:
    """Who may use the folder, and who else."""

    def look(_: float) -> Seen:
        findings = _open_registry(f"{root}/data/.agent_pids", place)
        found = place.mode(shelf.path)
        if found is None:
            return Seen("no store yet", findings, is_there=False)
        mode, uid, kind = found
        facts = {"mode": f"{mode:04o}", "uid": uid, "is_shared": shelf.is_shared}
        if kind != "folder":
            return Seen(f"{shelf.path} is no folder but a {kind}", findings, **facts)
        if rules.is_too_open(mode, is_shared=shelf.is_shared):
            text = f"others than its users may use {shelf.path} (mode {mode:04o})"
            text += "; where a group is meant to, say shared = true in latchboard.toml" if mode & 0o020 else ""
            remedy = command("chmod", "2770" if shelf.is_shared else "700", shelf.path)
            findings.append(Finding("F-108", text, remedy, path=shelf.path, mode=f"{mode:04o}"))
        findings += _unusable(root, shelf, place)
        return Seen(f"mode {mode:04o}, user {uid}", findings, **facts)

    return Check("storage", "permissions", look)


def _open_registry(path: str, place: Place) -> list[Finding]:
    """The registry of singletons is there to be read; whoever may write to it can end a registration."""
    found = place.mode(path)
    if found is None or not found[0] & 0o022:
        return []
    text = f"others may change the registry {path} (mode {found[0]:04o})"
    return [Finding("F-108", text, command("chmod", "go-w", path), path=path, mode=f"{found[0]:04o}")]


def _unusable(root: str, shelf: Shelf, place: Place) -> list[Finding]:
    """What this user may not read or write."""
    path, guard = shelf.path, f"{shelf.path}/journal/guard"
    if place.is_read_only(path):
        text = f"{path} lies on a file system that is mounted read-only: nothing can be locked"
        return [Finding("F-122", text, command("findmnt", "--target", path), path=path)]
    for one in (path, f"{path}/journal", guard):  # from the outside in: what cannot be entered hides the rest
        if place.mode(one) is not None and not place.may_use(one):
            text = f"user {place.here()['uid']} may not read and write {one}"
            return [Finding("F-122", text, command("ls", "-ld", path, one), path=one)]
    return []


def mount(root: str, place: Place) -> Check:
    """What the project lies on."""

    def look(_: float) -> Seen:
        found = place.network(root)
        if found is None:
            return Seen("no network file system", network=None)
        point, kind = found
        text = f"{root} lies on {kind}, mounted at {point}: its locks and notifications are not to be trusted"
        remedy = command("git", "clone", root, "/var/tmp/" + root.rstrip("/").rpartition("/")[2])
        facts = {"point": point, "type": kind}
        return Seen(text, [Finding("F-107", text, remedy, **facts)], network=facts)

    return Check("storage", "mount", look)


def disk(root: str, shelf: Shelf, place: Place) -> Check:
    """How much space is left for this user."""

    def look(_: float) -> Seen:
        path = shelf.path if place.mode(shelf.path) is not None else root
        found: dict[str, Any] = dict(place.space(path))
        few = {"little": rules.LITTLE_FILES_COUNT, "none": rules.NONE_FILES_COUNT}
        ids = (
            rules.space(found["free_bytes"], found["total_bytes"], little=rules.LITTLE_BYTES, none=rules.NONE_BYTES),
            rules.space(found["free_files"], found["total_files"], **few),
        )
        text = f"{found['free_bytes'] / 1e6:.0f} MB are free"
        findings = []
        if ids[0]:
            findings.append(Finding(ids[0], f"{text} where {path} lies", command("df", "-h", path), **found))
        if ids[1]:
            many = f"{found['free_files']} more files fit where {path} lies"
            findings.append(Finding(ids[1], many, command("df", "-i", path), **found))
        return Seen(text, findings, **found)

    return Check("storage", "disk", look)


def notification(shelf: Shelf, place: Place) -> Check:
    """Whether the system tells of changes, or watchers must look again and again."""

    def look(_: float) -> Seen:
        folder = f"{shelf.path}/journal"
        why = place.silence(folder) if place.mode(folder) is not None else ""
        if not why:
            return Seen("the system tells of changes", is_told=True)
        text = f"the system tells of no changes ({why}): watchers look every 50 ms"
        enough = max(_WATCHES_COUNT, 2 * place.limit(why))  # a limit that is used up may be higher than most have it
        words = ["-w", f"{why}={enough}"] if why.startswith("fs.") else ["fs.inotify"]
        remedy = command("sysctl", *words)
        return Seen(text, [Finding("F-113", text, remedy, why=why)], is_told=False)

    return Check("storage", "notification", look)


def leftovers(root: str, shelf: Shelf) -> Check:
    """What killed processes left behind."""

    def look(_: float) -> Seen:
        found = shelf.leftovers()
        if not found:
            return Seen("none", count=0)
        text = f"killed processes left {counted(len(found), 'file')} behind, in nobody's way: {found[0]}"
        remedy = command("latchboard", "cleanup", "--root", root)
        return Seen(text, [Finding("F-112", text, remedy, files=found[:_SHOWN_COUNT])], count=len(found))

    return Check("storage", "leftovers", look)
