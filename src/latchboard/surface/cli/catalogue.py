"""Catalogue: every verb there is, by name, and where it lives; a verb's module is imported when it is asked for."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.surface.cli.grammar import Verb

_HOME = "latchboard.surface.cli.verb"

VERBS = {
    "init": "init",
    "doctor": "doctor",
    "acquire": "acquire",
    "release": "release",
    "renew": "renew",
    "check": "check",
    "run": "run",
    "break": "break_",
    "handoff request": "handoff",
    "handoff list": "handoff",
    "handoff grant": "handoff",
    "handoff decline": "handoff",
    "conflict list": "conflict",
    "conflict show": "conflict",
    "conflict restore": "conflict",
    "status": "status",
    "top": "top",
    "agents": "agents",
    "agents start": "agents_life",
    "agents stop": "agents_life",
    "agents restart": "agents_life",
    "agents status": "agents_life",
    "supervise": "supervise",
    "service install": "service",
    "service uninstall": "service",
    "service status": "service",
    "update": "update",
    "history": "history",
    "store status": "store",
    "store check": "store",
    "store copy": "store",
    "watch": "watch",
    "send": "send",
    "inbox": "inbox",
    "cleanup": "cleanup",
    "queue add": "queue",
    "queue list": "queue",
    "queue show": "queue",
    "queue claim": "queue_work",
    "queue renew": "queue_work",
    "queue complete": "queue_work",
    "queue fail": "queue_work",
    "queue release": "queue_work",
    "queue retry": "queue",
    "queue cancel": "queue",
    "queue block": "queue",
    "queue board": "queue_board",
    "queue graph": "queue_board",
    "queue stats": "queue",
    "queue import": "queue_file",
    "queue export": "queue_file",
    "queue sync": "queue_file",
    "queue limits": "queue_limits",
    "worker": "worker",
    "singleton run": "singleton",
    "singleton status": "singleton",
    "singleton release": "singleton",
    "metrics": "metrics",
    "serve": "serve",
    "daemon start": "daemon_life",
    "daemon stop": "daemon_life",
    "daemon restart": "daemon_life",
    "daemon status": "daemon_life",
    "daemon open": "daemon_life",
    "daemon orphans": "daemon_orphans",
    "daemon sweep": "daemon_orphans",
    "daemon verify": "daemon",
    "daemon config": "daemon",
    "credential refresh": "credential",
    "credential status": "credential",
    "mcp": "mcp",
    "demo": "demo",
    "bench": "bench",
    "completion": "completion",
}
"""Verb to module, in the order in which help lists them."""

GROUPS = {
    "agents": "List the agents. Start, stop, restart, and look at the workers of a project.",
    "conflict": "Held files that somebody else changed: list, show, restore.",
    "credential": "Refresh a credential of this user once for everybody, and tell how credentials stand.",
    "daemon": "The daemon of a project: start, stop, look at, open, verify it; sweep what is left of others.",
    "handoff": "Ask a holder to hand its lock over, and answer such requests.",
    "queue": "Jobs: add, list, claim, complete them, look after those that failed; the queue as a board and as a file.",
    "service": "Units of the user's service manager: install, uninstall, look at them.",
    "store": "The store itself: how it stands, whether it is sound, and a copy of it into etcd or back.",
    "singleton": "One process per agent type: run a command as it, see who runs, end a registration.",
}


def load(name: str) -> Verb:
    """The verb of this name.

    Raises:
        KeyError: There is none.
    """
    home = f"{_HOME}.{VERBS[name]}"
    verbs: tuple[Verb, ...] = __import__(home, fromlist=["VERBS"]).VERBS
    return next(verb for verb in verbs if verb.name == name)


def split(words: list[str]) -> tuple[str, list[str]]:
    """The name of the verb at the beginning of a command line, and the words after it; "" when there is none."""
    if len(words) > 1 and words[0] in GROUPS and f"{words[0]} {words[1]}" in VERBS:
        return f"{words[0]} {words[1]}", words[2:]
    if words and words[0] in VERBS:
        return words[0], words[1:]
    return "", words
