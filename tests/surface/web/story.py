"""Story: an hour of six agents, told to a real store in a moment: what the picture and the tests of the page show.

Time is the system's, shifted: it begins an hour ago and ends now, so that every record is as it would have been.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from latchboard.clock import Now, SystemClock
from latchboard.compose import Latchboard
from latchboard.locks import handoff

if TYPE_CHECKING:
    from pathlib import Path

    from latchboard.clock import HasFileno
    from latchboard.locks import Hold

LENGTH_S = 3000.0
WAIT_S_MAX = 20.0

PLAIN = '''"""The parser of settings."""


def parse(text):
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        found[name.strip()] = value.strip()
    return found
'''
CHANGED = PLAIN.replace(
    "        name, _, value",
    '        if not line or line.startswith("#"):\n            continue\n        name, _, value',
)


class Shifted:
    """The system's clock, some seconds behind until it is told to catch up."""

    def __init__(self, behind_s: float) -> None:
        self._system = SystemClock()
        self.behind_s = behind_s

    def now(self) -> Now:
        now = self._system.now()
        return Now(now.wall_s - self.behind_s, now.mono_s - self.behind_s, now.boot)

    def wait(self, readables: Iterable[HasFileno], timeout_s: float | None) -> bool:
        return self._system.wait(readables, timeout_s)


class Story:
    """The board of a story, with what it takes to go on telling it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = Shifted(LENGTH_S)
        self.board = Latchboard(root, clock=self.clock)
        self._holds: dict[tuple[str, str], Hold] = {}

    def at(self, minute: float) -> None:
        """Go on to a minute of the story; it does not go back."""
        self.clock.behind_s = min(self.clock.behind_s, LENGTH_S - minute * 60)

    def says(self, agent: str, status: str, *files: str) -> None:
        self.board.board.update(agent, status, files)

    def takes(self, agent: str, *paths: str, reason: str = "", shared: bool = False) -> None:
        hold = self.board.agent(agent).lock(*paths, bound="agent", reason=reason, shared=shared)
        self._holds[agent, paths[0]] = hold

    def lets_go(self, agent: str, *paths: str) -> None:
        for path in paths:
            self._holds.pop((agent, path)).release()

    def works(
        self, agent: str, path: str, start: float, end: float, reason: str = ""
    ) -> list[tuple[float, Callable[[], None]]]:
        """Two steps: from a minute to a minute, an agent holds a file."""
        return [
            (start, lambda: self.takes(agent, path, reason=reason)),
            (end, lambda: self.lets_go(agent, path)),
        ]

    def waits(self, agent: str, path: str, until_granted: Callable[[], None]) -> None:
        """A wait that is granted, when `until_granted` has made way for it."""
        found: list[Hold] = []

        def wait() -> None:
            found.append(
                self.board.agent(agent).lock(path, wait_s_max=3600, bound="agent", reason="the same change, next")
            )

        waiting = threading.Thread(target=wait)
        with self.board.stream.events(timeout_s=WAIT_S_MAX) as feed:
            waiting.start()
            assert any(event["event"] == "lock.waiting" and event["agent"] == agent for event in feed)
        until_granted()
        waiting.join(WAIT_S_MAX)
        self._holds[agent, path] = found[0]

    def asks(self, agent: str, path: str, reason: str) -> None:
        """A request that stands open."""
        locks = self.board.locks
        handoff.ask_and_go(locks, locks.request(agent, [path], bound="agent", reason=reason), wait_s_max=7200)

    def close(self) -> None:
        self.board.close()


def tell(root: Path) -> Story:
    """The whole story, up to now."""
    (root / "src").mkdir(exist_ok=True)
    for name in ("settings.py", "defaults.py"):
        (root / "src" / name).write_text(PLAIN)
    story = Story(root)
    steps = [*_work(story), *_talk(story), *_trouble(story)]
    for minute, step in sorted(steps, key=lambda one: one[0]):
        story.at(minute)
        step()
    story.at(LENGTH_S / 60)
    return story


def _work(story: Story) -> list[tuple[float, Callable[[], None]]]:
    """The everyday: what is held, for how long, and what for."""
    found: list[tuple[float, Callable[[], None]]] = []
    for agent, path, start, end, reason in (
        ("planner", "docs/plan.md", 1, 9, "cut the work into pieces"),
        ("planner", "docs/decisions/0004-settings.md", 14, 19, "write down why"),
        ("builder-1", "src/store/files.py", 4, 16, "rename Entry to Record"),
        ("builder-1", "src/store/port.py", 6, 15, "rename Entry to Record"),
        ("builder-1", "src/rules/lease.py", 17, 24, "rename Entry to Record"),
        ("builder-1", "src/codec.py", 25, 31, "strict numbers"),
        ("builder-2", "src/surface/web/app.py", 5, 13, "routes by a table"),
        ("builder-2", "src/surface/web/gate.py", 13.5, 22, "origin check"),
        ("builder-2", "src/surface/web/push.py", 23, 29, "resume by revision"),
        ("tester", "tests/rules/test_lease.py", 8, 18, "table of cases"),
        ("tester", "tests/store/test_files.py", 19, 27, "kill at each call"),
        ("tester", "tests/surface/test_gate.py", 28, 33, "cross-site requests"),
        ("reviewer", "docs/review.md", 11, 14, ""),
        ("reviewer", "docs/review.md", 26, 30, ""),
        ("writer", "README.md", 3, 7, "first words"),
        ("writer", "docs/setup.md", 9, 21, "clients and hooks"),
        ("writer", "docs/troubleshooting.md", 22, 32, "what people ask"),
    ):
        found += story.works(agent, path, start, end, reason)
    for i in range(40):
        agent, path = ("builder-1", "src/__init__.py") if i % 2 else ("tester", "tests/conftest.py")
        found += story.works(agent, path, 34 + i * 0.11, 34.07 + i * 0.11, "look, and look again")
    found += [
        (0.5, lambda: story.says("planner", "cutting the work into pieces", "docs/plan.md")),
        (2, lambda: story.says("writer", "first words of the manual")),
        (
            3,
            lambda: story.says("builder-1", "renaming Entry to Record, package by package", "src/store/", "src/rules/"),
        ),
        (4, lambda: story.says("builder-2", "routes of the web board")),
        (7, lambda: story.says("tester", "a table of cases for leases")),
        (10, lambda: story.says("reviewer", "reading what builder-2 did")),
        (39, lambda: story.says("reviewer", "waiting for the next change to read")),
        (
            41,
            lambda: story.takes(
                "builder-1", "src/settings.py", "tests/test_settings.py", reason="comments in settings"
            ),
        ),
        (42, lambda: story.takes("builder-2", "src/surface/web/page/", reason="new layout of the page")),
        (42.5, lambda: story.takes("tester", "tests/surface/web/", reason="a browser that looks at it")),
        (43, lambda: story.takes("writer", "docs/board.md", "docs/board.png", reason="the page, with its picture")),
        (43.5, lambda: story.takes("planner", "glob:packages/*.toml", reason="one version everywhere")),
        (44, lambda: story.takes("reviewer", "src/rules/", reason="reading", shared=True)),
        (44.5, lambda: story.takes("tester", "src/rules/", reason="reading", shared=True)),
        (45, lambda: story.says("planner", "one version number in every manifest")),
        (46, lambda: story.says("writer", "a page about the board, with a picture of it", "docs/board.md")),
        (47, lambda: story.says("tester", "opening the board in a browser, at two sizes", "tests/surface/web/")),
        (48, lambda: story.says("builder-2", "a new layout: tree above, lanes below", "src/surface/web/page/")),
        (49, lambda: story.says("builder-1", "settings may have comments now", "src/settings.py")),
    ]
    return found


def _talk(story: Story) -> list[tuple[float, Callable[[], None]]]:
    """What they write to each other."""
    box = story.board.mailbox

    def rename() -> None:
        first = box.send(
            "builder-1", "builder-2", "Entry is called Record from now on; store and rules are done.", subject="Rename"
        )
        box.send("builder-2", "builder-1", "Thanks. The web surface follows this afternoon.", reply_to=first["id"])
        box.receive("builder-1")

    def review() -> None:
        box.send(
            "reviewer",
            "builder-2",
            "The origin check must also cover requests without Origin.",
            subject="Review of gate.py",
            ack="required",
        )

    return [
        (16.5, rename),
        (27, review),
        (
            30,
            lambda: box.broadcast(
                "planner", "We freeze at five. Whoever holds files then, let go or say why.", subject="Freeze at five"
            ),
        ),
        (31, lambda: box.receive("builder-2")),
        (
            47.5,
            lambda: box.send(
                "tester", "builder-2", "The slider cannot be reached by keyboard.", subject="Board", urgency="high"
            ),
        ),
    ]


def _trouble(story: Story) -> list[tuple[float, Callable[[], None]]]:
    """Where they meet."""
    board = story.board

    def line_up() -> None:
        story.takes("builder-1", "src/version.py", reason="bump")

        def make_way() -> None:
            story.at(39.5)
            story.lets_go("builder-1", "src/version.py")

        story.waits("planner", "src/version.py", make_way)

    def broken() -> None:
        handoff.break_lock(board.locks, "src/version.py", by="operator", reason="the release must go out")

    def overwritten() -> None:
        board.editing.begin("builder-1", ["src/defaults.py"])
        board.editing.done("builder-1")
        board.foreign.before_call("tester")
        (story.root / "src/defaults.py").write_text(CHANGED)
        board.foreign.after_call("tester")

    def refused() -> None:
        assert not board.agent("reviewer").try_lock("src/settings.py", reason="a word in a comment")

    return [
        (38.7, line_up),
        (41.5, broken),
        (44.2, overwritten),
        (45.5, refused),
        (46.5, lambda: story.asks("reviewer", "src/settings.py", "one word in a comment, two minutes")),
        (47.8, lambda: story.asks("writer", "src/surface/web/page/", "names for the picture")),
        (48.5, lambda: story.asks("planner", "src/settings.py", "the version goes in here too")),
    ]
