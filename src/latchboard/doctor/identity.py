"""Identity: which project this is, who asks, on which machine, by which clock; who registered; whose hooks hold.

Protocol: protocol/health.md, "Doctor".
"""

from __future__ import annotations

from latchboard import __version__
from latchboard.clock import iso
from latchboard.codec import decode
from latchboard.doctor.check import Check, Seen
from latchboard.rules import container
from latchboard.rules import doctor as rules
from latchboard.rules import singleton as singletons
from latchboard.rules.finding import Finding, command, counted
from latchboard.rules.serving import PROTOCOL_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from latchboard.clock import Clock
    from latchboard.doctor.port import Place, Shelf
    from latchboard.doctor.probed import Probed
    from latchboard.host.port import Machine

_ENTRY_BYTES_MAX = 64 * 1024
_DAEMON = "daemon"
_SHOWN_COUNT = 3


def project(root: str, agent: str | None, trouble: bool) -> Check:
    """Which project, and as whom; `trouble`: its settings cannot be read."""

    def look(_: float) -> Seen:
        findings = []
        if trouble:
            text = "the settings cannot be read (latchboard.toml, pyproject.toml or LATCHBOARD_* in the environment)"
            text += "; `status` says why. Defaults were used here"
            findings.append(Finding("F-120", text, command("latchboard", "status", "--root", root)))
        facts = {"root": root, "agent": agent, "version": __version__, "format": PROTOCOL_VERSION}
        asked = f"as {agent}" if agent else "as nobody: AGENT_ID is not set"
        text = f"{root}, {asked}; latchboard {__version__}, format {PROTOCOL_VERSION}"
        return Seen(text, findings, **facts)

    return Check("identity", "project", look)


def machine(root: str, host: Machine, place: Place) -> Check:
    """On which machine, in a container or not."""

    def look(_: float) -> Seen:
        here, me = place.here(), host.me()
        found = container.indicators(host.surroundings(root))
        is_container = container.is_container(found)
        facts = {**here, "boot": me["boot"], "pid_ns": me["pid_ns"], "is_container": is_container}
        where = "in a container" if is_container else "in no container"
        return Seen(f"{here['host']}, user {here['uid']}, {where}", **facts)

    return Check("identity", "machine", look)


def clock(root: str, clock: Clock, shelf: Shelf) -> Check:
    """Whether the wall clock can be right."""

    def look(_: float) -> Seen:
        now, last_s = clock.now(), shelf.last_commit_s()
        why = rules.clock_is_wrong(now.wall_s, last_s)
        facts: dict[str, Any] = {"at": iso(now.wall_s), "last_commit_at": None if last_s is None else iso(last_s)}
        if not why:
            return Seen(f"{facts['at']}", **facts)
        text = f"the wall clock says {facts['at']}, before this program was made"
        if why == "back" and last_s is not None:
            text = f"the wall clock is {last_s - now.wall_s:.0f} s behind the last commit of this store"
        return Seen(text, [Finding("F-114", text, command("timedatectl", "status"), why=why)], **facts)

    return Check("identity", "clock", look)


def registry(root: str, types: Iterable[str], host: Machine, place: Place) -> Check:
    """Which singletons run, and which entries nobody stands behind."""
    folder = f"{root}/data/.agent_pids"

    def look(_: float) -> Seen:
        names = place.names(folder)
        running: list[dict[str, Any]] = []
        stale: list[str] = []
        for one in sorted({*types, *singletons.types_of(names)} - {_DAEMON}):
            state, pid = _standing(folder, one, names, host, place)
            if state == "running":
                running.append({"agent_type": one, "pid": pid})
            elif state == "stale":
                stale.append(one)
        words = ", ".join(str(one["agent_type"]) for one in running)
        text = f"{words} running" if running else "no singleton runs"
        findings = [
            Finding(
                "F-119",
                f"the entry of {one} is stale: no process holds its lock; the next start removes it",
                command("latchboard", "singleton", "release", one, "--root", root),
                agent_type=one,
            )
            for one in stale
        ]
        return Seen(text, findings, running=running, stale=stale)

    return Check("identity", "singletons", look)


def _standing(folder: str, agent_type: str, names: list[str], host: Machine, place: Place) -> tuple[str, int | None]:
    """`running`, `stale` or `free`, by the kernel's word and by that of the entry: no lock is tried."""
    pid_data = place.read(f"{folder}/{agent_type}.pid", singletons.PID_BYTES_MAX + 1)
    data = place.read(f"{folder}/{agent_type}.json", _ENTRY_BYTES_MAX)
    lock = singletons.lock_name(agent_type, singletons.newest_epoch(agent_type, names))
    pids = place.lockers(f"{folder}/{lock}")
    if pids:
        return "running", pids[0]
    if pid_data is None and data is None:
        return "free", None
    try:
        value = decode(data or b"")
    except ValueError:
        value = {}
    if singletons.check_record(value, agent_type):
        return ("stale" if pids is not None else "free"), None
    verdict = host.verdict(value["process"])
    pid: int = value["process"]["pid"]
    if verdict in ("dead", "recycled"):
        return "stale", pid
    return ("running" if verdict == "live" else "free"), pid


def hooks(root: str, look_only: Callable[[], Iterable[Probed]]) -> Check:
    """Whether the hooks that somebody wished for are in place; nothing is run."""

    def look(_: float) -> Seen:
        found: dict[tuple[str, str], list[Probed]] = {}
        for one in look_only():
            found.setdefault((one.client, one.state), []).append(one)
        clients = [client for client, state in found if state == "ok"]
        wrong = [(client, state, some) for (client, state), some in found.items() if state != "ok"]
        findings = [_hooks_finding(root, client, state, some) for client, state, some in wrong]
        if not clients and not findings:
            return Seen("none is set up, and none is missed (latchboard init sets them up)", clients=[])
        text = f"every hook of {' and '.join(clients)} is in place"
        text = counted(len(findings), "finding") if findings else text
        return Seen(f"{text} (looked at, not run: latchboard doctor --hooks)", findings, clients=clients)

    return Check("identity", "hooks", look)


def _hooks_finding(root: str, client: str, state: str, some: list[Probed]) -> Finding:
    first = some[0]
    what, mend = first.what, first.mend
    if not mend.startswith("latchboard "):  # a file that a person must look at; what is wrong in it is not repeated
        what, mend = f"the configuration of {client} cannot be used, or switches hooks off", "latchboard doctor --hooks"
    more = f" (and {len(some) - 1} more)" if len(some) > 1 else ""
    where = sorted({one.file for one in some if one.file})[:_SHOWN_COUNT]
    words: list[Any] = [*mend.split(" "), "--root", root]
    return Finding("F-115", f"{what}{more}", command(*words), client=client, state=state, files=where)
