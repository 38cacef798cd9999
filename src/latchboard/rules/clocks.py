"""Clocks: what the instants of commits tell of the clocks of the machines that made them; pure.

A commit says when its function ran, by the clock of its own machine, and is applied within the limit of a call. Commits
have one order, which no clock makes.

Law 1. Nobody commits in the future: whose commit is later than now has a clock that is ahead of the one that says now.
Law 2. Whoever commits behind somebody else, and says that it was long before, has a clock that is behind that one's.
Law 3. What something else explains is no fault of a clock: a call's limit, or a machine that slept between the two
       steps of one commit; and what a clock was once is not told for ever.

Protocol: protocol/etcd.md, "Looking at a store".
"""

from __future__ import annotations

AHEAD_S = 2.0
"""Clocks that are kept together differ by less."""
BEHIND_S = 30.0
"""A commit is applied within 10 s, behind an effect within some more; this is far beyond both."""
_COUNT_MIN = 3
"""So many commits of one agent are behind before it is told: of one, its machine may have slept."""
_TOLD_S = 3600.0


class Clocks:
    """The commits of one history, in its order."""

    def __init__(self) -> None:
        """There is none yet."""
        self._newest_s, self._newest_who, self._newest_revision = 0.0, "", 0
        self._counts: dict[str, int] = {}
        self._apart, self._apart_s = "", 0.0

    def note(self, revision: int, who: str, at_s: float) -> None:
        """One commit: whose, and when it was made as it says, unix seconds."""
        behind_s = self._newest_s - at_s
        if behind_s > BEHIND_S:
            self._counts[who] = self._counts.get(who, 0) + 1
            if self._counts[who] >= _COUNT_MIN:
                self._apart_s = self._newest_s
                self._apart = (
                    f"the clocks of {who} and {self._newest_who} are apart: commit {revision} says that it was made "
                    f"{behind_s:.0f} s before {self._newest_revision}, which was there before it"
                )
        if behind_s < 0:
            self._newest_s, self._newest_who, self._newest_revision = at_s, who, revision

    def fault(self, now_s: float) -> str:
        """What is wrong; "": nothing that can be proven. `now_s`: read when every commit was there already."""
        ahead_s = self._newest_s - now_s
        if ahead_s > AHEAD_S:
            return (
                f"the clock of {self._newest_who} is ahead of this machine's: commit {self._newest_revision} says that "
                f"it was made in {ahead_s:.0f} s from now"
            )
        return self._apart if now_s - self._apart_s <= _TOLD_S else ""
