"""Metrics: what happened so far, in figures for Prometheus.

Counters are read from where events are counted when they happen, so they survive every restart; nothing here writes.

Protocol: protocol/singleton.md, "Metrics".
"""

from __future__ import annotations

from latchboard.errors import CoordinationError
from latchboard.rules import metrics as rules
from latchboard.rules.singleton import EVENTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.rules.metrics import Family
    from latchboard.singleton import Singletons

_HELP = {
    "enforced": "Processes that registered as an agent type.",
    "blocked": "Processes that were refused because another one runs as their agent type.",
    "stale_cleaned": "Entries of processes that had ended without removing them.",
    "cleaned": "Entries that were given back, or ended by an operator.",
}


class Metrics:
    """Collects figures from the services that count."""

    def __init__(self, singletons: Singletons) -> None:
        self._singletons = singletons

    def collect(self) -> list[Family]:
        """Every family of figures, in a fixed order.

        Raises:
            StoreError: They cannot be read.
        """
        counts = self._singletons.counts()
        families = [
            rules.family(
                f"singleton_{event}",
                "counter",
                _HELP[event],
                [({"agent_type": one}, of_type.get(event, 0)) for one, of_type in counts.items()],
            )
            for event in EVENTS
        ]
        try:
            standing = self._singletons.status()
        except (
            CoordinationError
        ):  # of a store that spans machines: who runs elsewhere is not known, what was counted is
            return families
        running = [({"agent_type": one["agent_type"]}, int(one["state"] == "running")) for one in standing]
        families.append(
            rules.family("singleton_running", "gauge", "Whether a process runs as an agent type: 1 or 0.", running)
        )
        return families

    def text(self) -> str:
        """The same in the text format of Prometheus."""
        return "".join(f"{line}\n" for line in rules.exposition(self.collect()))
