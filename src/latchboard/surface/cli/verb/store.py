"""store status, check, copy: the whole of a store: how it stands, whether it is sound, from files into etcd and back.

Protocol: protocol/cli.md, "store status, store check".
"""

from __future__ import annotations

from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb, argument
from latchboard.surface.cli.table import table
from latchboard.surface.cli.wording import listing, plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.surface.cli.call import Call


_NOT_HEALTHY = 3
_CRITICAL = 1
_NEARBY_COUNT_MAX = 10


def status(call: Call) -> Answer:
    """Tell how it stands."""
    from latchboard.compose import store_looking

    facts = store_looking.status(call.board)
    lines = [f"{facts['engine']}: {printable(facts['where'])}"]
    if facts["store_id"]:
        lines.append(f"store {printable(facts['store_id'])}, revision {facts['revision']}")
    counts = ", ".join(f"{count} {printable(name)}" for name, count in facts["counts"].items())
    if facts["store_id"] or facts["is_healthy"] or not facts["members"]:
        lines.append(f"{plural(facts['record_count'], 'record')}{f': {counts}' if counts else ''}")
    else:
        lines.append("its records could not be read")
    if facts["is_vacant"]:
        lines += vacant(facts["nearby"])
    lines += members(facts["members"])
    lines += [f"trouble: {printable(text)}" for text in facts["trouble"]] or ["healthy"]
    return Answer(facts, lines, status=0 if facts["is_healthy"] else _NOT_HEALTHY)


def vacant(nearby: list[str]) -> list[str]:
    """That nobody has begun a store at the prefix, which may be mistyped."""
    lines = ["nothing was ever committed at this prefix: the first commit begins a new store there"]
    if nearby:
        more = f" and {len(nearby) - _NEARBY_COUNT_MAX} more" if len(nearby) > _NEARBY_COUNT_MAX else ""
        lines.append(f"there is a store at {listing(nearby[:_NEARBY_COUNT_MAX])}{more}: is the prefix right?")
    return lines


def members(found: list[dict[str, Any]]) -> list[str]:
    """What each of them says of itself; one that answers has some bytes, unless it tells them to others alone."""
    rows, is_reticent = [], False
    for one in found:
        leads, size = "yes" if one["is_leader"] else "no", f"{one['db_bytes'] / 1e6:.1f} MB"
        if not one["db_bytes"]:
            leads = size = "?" if one["version"] else ""
            is_reticent = is_reticent or bool(one["version"])
        rows.append((printable(one["endpoint"]), printable(one["version"]), leads, size))
    lines = table("Members", ("endpoint", "version", "leader", "data"), rows, cuts=("endpoint",))
    return [*lines, "who leads, how much data, and alarms: etcd tells its user root alone"] if is_reticent else lines


def check(call: Call) -> Answer:
    """Read everything, and tell what is not as it must be."""
    from latchboard.compose import store_looking

    facts = store_looking.check(call.board)
    lines = [
        f"{plural(facts['record_count'], 'record')} of revision {facts['revision']} and "
        f"{plural(facts['commit_count'], 'commit')} read: {printable(facts['where'])}"
    ]
    lines += [f"{one['severity']:<8} {printable(one['key'])}: {printable(one['text'])}" for one in facts["findings"]]
    if not facts["findings"]:
        lines.append("everything is what it must be")
    elif facts["engine"] == "files":
        lines.append(f"what can be mended: {call.command('doctor', '--fix', as_agent=False)}")
    is_critical = any(one["severity"] == "critical" for one in facts["findings"])
    return Answer(facts, lines, status=_CRITICAL if is_critical else 0)


def copy(call: Call, *, source: str, destination: str) -> Answer:
    """Copy, verify, and tell what is to be done next."""
    from latchboard.compose import store_desk

    facts = store_desk.copy(call.board, source, destination)
    one, other = printable(facts["from"]), printable(facts["to"])
    return Answer(
        facts,
        [
            f"{plural(facts['record_count'], 'record')} of revision {facts['revision']} copied, read back, compared: "
            f"{one} -> {other}",
            f"nothing was committed to {one} meanwhile; whatever is from now on is not in the copy",
            f"next: {_setting(other)}, and begin nothing before",
        ],
    )


def _setting(where: str) -> str:
    """What makes a store the one that is used."""
    if where.startswith(("etcd://", "etcds://")):
        return f"have `store` in latchboard.toml (or LATCHBOARD_STORE) name {where}"
    return f"take `store` out of {where}/latchboard.toml (and LATCHBOARD_STORE out of the environment)"


VERBS = (
    Verb(
        "store status",
        status,
        summary="Show which store this is, where, how much is in it, and whether it is healthy.",
        text="Of etcd also each member: its version, who leads, how large its data is, and what is wrong with it. "
        "Changes nothing.\n\nExit status 0: healthy; 3: something is wrong, or cannot be asked.",
        examples=("latchboard store status", "latchboard store status --json"),
    ),
    Verb(
        "store check",
        check,
        summary="Read the whole store and its history, and tell what is not as it must be.",
        text="Every record is read and held to what its kind must be; no token may be greater than the revision; the "
        "queue must be what its jobs say; of files journals and records must agree, in etcd every record must be a "
        "commit's. Changes nothing.\n\nExit status 0: nothing is critical; 1: something is.",
        examples=("latchboard store check", "latchboard store check --root /srv/project --json"),
    ),
    Verb(
        "store copy",
        copy,
        summary="Copy a whole store into an empty one: files into etcd, and back.",
        text="FROM and TO are addresses (etcd://host:2379/prefix) or folders of projects. Every record is read back "
        "and compared; tokens of the copy are greater than all that were given. Refused where TO is a store already, "
        "where processes hold or wait in etcd, and where somebody commits to FROM meanwhile: end the daemon and the "
        "agents first. FROM is not changed. Until it is all there TO is no store and says so; when it did not end, "
        "run it again.",
        parameters=(argument("source", "FROM"), argument("destination", "TO")),
        examples=(
            "latchboard store copy . etcd://127.0.0.1:2379/team/project",
            "latchboard store copy etcd://127.0.0.1:2379/team/project .",
        ),
    ),
)
