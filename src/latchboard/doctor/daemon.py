"""Daemon and orphans: whether what is recorded of the project's daemon is what runs, and what else runs.

Protocol: protocol/health.md, "Doctor" and "Orphans".
"""

from __future__ import annotations

from latchboard import __version__
from latchboard.doctor.check import Check, Seen
from latchboard.rules import doctor as rules
from latchboard.rules.finding import Finding, command, counted
from latchboard.rules.serving import drift, is_replaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.doctor.port import Server
    from latchboard.rules.serving import Health, State

_ASK_S = 1.0
"""Of the report's 2.5 s; a healthy daemon answers in milliseconds."""

_TEXTS = {
    ("F-006", "no-record"): "a daemon (process {registered}) has this project's place, and no state record names it",
    ("F-006", "unreadable"): "the daemon's state record cannot be read: nobody finds the daemon by it",
    ("F-005", "ended"): "the daemon that is recorded (process {pid}, port {port}) has ended",
    (
        "F-006",
        "other-answers",
    ): "the recorded daemon (process {pid}) has ended, and another answers at port {port}",
    (
        "F-006",
        "unknowable",
    ): "the recorded daemon (process {pid}) cannot be judged here, and port {port} is silent",
    ("F-006", "silent"): "the recorded daemon (process {pid}) runs, and does not answer at port {port}",
    ("F-004", "version"): "the daemon is version {answered}, this program {own}",
    ("F-006", "version"): "the daemon is version {answered}, and recorded as {version}",
    ("F-006", "pid"): "process {pid} is recorded, port {port} answers for process {answering}, and process "
    "{registered} has the place",
}
_VERBS = {"ended": "start", "unknowable": "status"}
"""What mends it, or shows it: what cannot be judged from here cannot be ended from here. Else it is restarted."""


def daemon(root: str, server: Server) -> Check:
    """The recorded daemon, its process, what answers at its port, and who has its place."""

    def look(_: float) -> Seen:
        has_record, state = server.record()
        standing, is_near = "none", True
        if state is not None:
            standing, is_near = server.standing(state), server.is_near(state)
        answer = server.ask(state, _ASK_S) if state is not None and is_near else None
        pid = server.registered()
        found = rules.daemon(
            state, answer, standing, has_record=has_record, registered_pid=pid, own_version=__version__
        )
        if not is_near:  # an address that a record names may be anybody's: it is not asked, and not called silent
            found = [one for one in found if one[1] not in ("silent", "unknowable")]
        said = _said(state, answer, pid)
        findings = [_finding(root, finding_id, word, said) for finding_id, word in found]
        text = findings[0].text if findings else _text(has_record, is_near, said)
        return Seen(text, findings, has_record=has_record, standing=standing, is_asked=is_near, **said)

    return Check("daemon", "recorded daemon", look)


def _said(state: State | None, answer: Health | None, registered_pid: int | None) -> dict[str, Any]:
    return {
        "pid": state.pid if state is not None else None,
        "port": state.port if state is not None else None,
        "version": state.version if state is not None else None,
        "started_at": state.started_at if state is not None else None,
        "answered": answer.version if answer is not None else None,
        "answering": answer.pid if answer is not None else None,
        "registered": registered_pid,
        "own": __version__,
    }


def _finding(root: str, finding_id: str, word: str, said: dict[str, Any]) -> Finding:
    text = _TEXTS[finding_id, word].format(**said)
    remedy = command("latchboard", "daemon", _VERBS.get(word, "restart"), "--root", root)
    if finding_id == "F-004" and not is_replaced(drift(str(said["answered"]), __version__)):
        remedy = command("python3", "-m", "pip", "install", "-U", "latchboard")
    return Finding(finding_id, text, remedy, why=word, pid=said["pid"], port=said["port"])


def _text(has_record: bool, is_near: bool, said: dict[str, Any]) -> str:
    if not has_record:
        return "none is recorded, and none is needed"
    if not is_near:
        return f"process {said['pid']} listens at another address than this machine's own, which is not asked"
    return f"process {said['pid']} answers at port {said['port']}, version {said['answered']}"


def orphans(root: str, server: Server) -> Check:
    """Daemons of this project that are not the recorded one."""

    def look(_: float) -> Seen:
        found, skipped = server.orphans()
        if not found:
            return Seen("none", orphans=[], skipped=skipped)
        text = f"{counted(len(found), 'daemon')} of this project beside the recorded one: "
        text += ", ".join(f"process {one['pid']} at port {one['port']}" for one in found)
        remedy = command("latchboard", "daemon", "sweep", "--root", root)
        return Seen(text, [Finding("F-002", text, remedy, orphans=found)], orphans=found, skipped=skipped)

    return Check("orphans", "scan", look)
