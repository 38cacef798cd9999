"""metrics: what happened so far, as text that Prometheus reads; changes nothing.

Protocol: protocol/cli.md, "metrics".
"""

from __future__ import annotations

from latchboard.rules.metrics import exposition
from latchboard.surface.cli.answer import Answer
from latchboard.surface.cli.grammar import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.surface.cli.call import Call


def run(call: Call) -> Answer:
    """Collect and show."""
    families = call.board.metrics.collect()
    return Answer({"families": families}, exposition(families))


VERBS = (
    Verb(
        "metrics",
        run,
        summary="Print counters in the text format of Prometheus.",
        text="Counters are kept in the project and survive every restart. For the text-file collector of the node "
        "exporter, write them to a file now and then.",
        examples=(
            "latchboard metrics",
            "latchboard metrics --root /srv/project > /var/lib/node_exporter/latchboard.prom",
        ),
    ),
)
