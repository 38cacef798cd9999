"""Doctoring: a doctor's report, and what it did, as people read it: seven sections, and a remedy for each finding."""

from __future__ import annotations

from latchboard.rules.finding import SECTIONS, SEVERITIES
from latchboard.surface.cli.answer import printable
from latchboard.surface.cli.wording import listing, plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.doctor import DoctorReport, Probed
    from latchboard.doctor.check import Standing
    from latchboard.doctor.mending import Deed
    from latchboard.rules.finding import Finding

_TITLES = {"refresh_lock": "Refresh Lock"}
_SIGNS = {"done": " ", "unfinished": "?", "failed": "!"}
_DID = {"reset": "--reset", "unstick-lock": "--unstick-lock", "fix": "--fix"}


def report_lines(report: DoctorReport) -> list[str]:
    """The seven sections."""
    lines = []
    for section in SECTIONS:
        lines.append(_TITLES.get(section, section.capitalize()))
        lines += [_standing(one) for one in report.standings if one.section == section]
        lines.append("")
    lines.append("Findings")
    if not report.findings:
        lines.append("  none")
    for one in report.findings:
        lines += _finding(one)
    counts = [(word, sum(one.severity == word for one in report.findings)) for word in SEVERITIES]
    if report.is_broken:
        lines.append(
            "  The doctor itself made a mistake: this is a part of the report. LATCHBOARD_TRACEBACK=1 shows it."
        )
    elif report.findings:
        lines.append(f"  {', '.join(f'{count} {word}' for word, count in counts if count)}")
    return lines


def _standing(one: Standing) -> str:
    return f"{_SIGNS[one.state]} {one.name + ':':<17} {printable(one.text)}"


def _finding(one: Finding) -> list[str]:
    return [
        f"  {one.severity:<8} {one.id}  {printable(one.text)}",
        f"                  to mend it: {printable(one.remedy)}",
    ]


def deed_lines(deeds: list[Deed], *, asked: list[str], again: str) -> list[str]:
    """What was done, would be (`again` does it), or could not be."""
    lines = []
    for kind in asked:
        some = [one for one in deeds if one.kind == kind]
        if not some:
            lines.append(f"{_DID[kind]}: there is nothing to do")
        for one in some:
            if one.why_not:
                lines.append(f"{_DID[kind]}: not done: {printable(one.what)}: {printable(one.why_not)}")
            elif one.is_done:
                kept = f" (what was there is kept in {printable(one.kept)})" if one.kept else ""
                lines.append(f"{_DID[kind]}: done: {printable(one.what)}{kept}")
            else:
                lines.append(f"{_DID[kind]}: would be done: {printable(one.what)}")
    if any(not one.why_not and not one.is_done for one in deeds):
        lines.append(f"to do it: {again}")
    return [*lines, ""]


def hook_lines(probed: list[Probed]) -> list[str]:
    """What is well in one line for each file, and every trouble by itself."""
    if not probed:
        return ["no hook of ours, and no client that is used here: `latchboard init` sets up those that it finds"]
    lines = []
    for client, file in dict.fromkeys((one.client, _place(one)) for one in probed if one.state == "ok"):
        well = [one for one in probed if one.state == "ok" and (one.client, _place(one)) == (client, file)]
        slowest = max((one.took_ms for one in well if one.took_ms is not None), default=None)
        took = "" if slowest is None else f", {slowest:.0f} ms at most"
        lines.append(f"ok         {client}: {plural(len(well), 'hook')} in {printable(file)}{took}")
    troubles: dict[tuple[str, ...], list[str]] = {}
    for one in probed:
        if one.state != "ok":
            event = f"{one.event}{f' ({one.matcher})' if one.matcher else ''}"
            troubles.setdefault((one.state, one.client, one.file, one.what, one.mend), []).append(event)
    for (state, client, file, what, mend), events in troubles.items():
        lines.append(f"{state:<10} {client}: {printable(what)}")
        if file:
            lines.append(f"           in {printable(file)}{f': {listing(events)}' if any(events) else ''}")
        if mend:
            lines.append(f"           to mend it: {printable(mend)}")
    return lines


def _place(one: Probed) -> str:
    """Where a finding belongs: a client's file, or git's folder of hooks."""
    return one.file.rpartition("/")[0] if one.client == "git" else one.file
