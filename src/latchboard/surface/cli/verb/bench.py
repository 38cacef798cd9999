"""bench: what a lock costs on this machine, beside the floor that the file system sets.

Protocol: none; benchmarks/ measures more.
"""

from __future__ import annotations

from latchboard.surface.cli import kind
from latchboard.surface.cli.answer import Answer
from latchboard.surface.cli.grammar import Verb, option
from latchboard.surface.cli.table import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.surface.cli.call import Call


def run(call: Call, *, rounds: int) -> Answer:
    """Measure in a temporary folder."""
    from latchboard.surface.cli.bench import measure

    rows, ratio = measure(rounds)
    facts = {"rounds": rounds, "measured": rows, "acquire_release_per_floor": ratio}
    shown = [(r["what"], f"{r['p50_us']:.1f}", f"{r['p95_us']:.1f}") for r in rows]
    lines = table(f"{rounds} rounds, microseconds", ("what", "p50", "p95"), shown)
    lines.append(f"acquire + release costs {ratio:.1f} times the floor (p50)")
    return Answer(facts, lines)


VERBS = (
    Verb(
        "bench",
        run,
        summary="Measure a lock on this machine, beside the file system's floor.",
        text="The floor: create a file exclusively, write 300 bytes, close it, remove it. All in one process and in a "
        "temporary folder, in turns; `make bench` in a checkout measures much more.",
        parameters=(option("--rounds", "NUMBER", "How often each is measured.", kind=kind.count, default=500),),
        examples=("latchboard bench", "latchboard bench --rounds 2000 --json"),
    ),
)
