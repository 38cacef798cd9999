"""Option: those that several verbs take, spelled and explained once."""

from __future__ import annotations

from latchboard.surface.cli import kind
from latchboard.surface.cli.grammar import argument, flag, option

PATHS = argument("paths", "PATH...", count="some")
PATHS_IF_ANY = argument("paths", "[PATH...]", count="any")
PATHS_TEXT = (
    "PATH is a file, a folder with everything in it (src/), or a pattern relative to the project (glob:src/**/*.py)."
)
SHARED = flag("--shared", "Share with other shared holders; exclusive ones keep out, and are kept out.")
GLOB = flag("--glob", "Every PATH is a pattern.")
WAIT = option(
    "--wait-s-max",
    "SECONDS",
    "Longest wait in line; 0 asks once.",
    kind=kind.seconds,
    default=0.0,
)
TTL = option(
    "--ttl-s",
    "SECONDS",
    "Lease time; the hold ends so long after its last renewal. Default: 3600.",
    kind=kind.seconds_above_0,
)
REASON = option("--reason", "TEXT", "What for; whoever meets the lock reads it.", default="")
TOKEN = option("--token", "NUMBER", "Only the hold with this token.", kind=kind.number)
SHOWN = option(
    "--token",
    "NUMBER",
    "What this agent's hold with this token covers is not in the way. Default: the environment variable "
    "LATCHBOARD_TOKEN, which `latchboard run` sets.",
    kind=kind.number,
)
LIMIT = option("--limit", "NUMBER", "At most so many, the newest.", kind=kind.count)
