"""Probed: one hook that was tried, and how it stands; and the ports of whoever tries it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from typing import Any, Literal, Protocol

    class Ran(Protocol):
        """How a command ended: its exit status (-1: not in time), what it said, how long it took in seconds."""

        status: int
        out: str
        err: str
        took_s: float

    State = Literal["ok", "broken", "missing", "untrusted", "slow"]

    class Compiled(Protocol):
        """The compiled files of this installation."""

        folder: str

        def lacks_hooks(self) -> bool:
            """Whether every hook compiles what it loads."""
            ...

        def missing(self) -> list[str]:
            """The sources without a compiled file."""
            ...

        def can_be_kept(self, sources: Iterable[str]) -> bool:
            """Whether their compiled files can be written by whoever asks."""
            ...

        def command(self) -> list[str]:
            """What compiles them by hand."""
            ...

    class Bench(Protocol):
        """A place to try things out, away from everybody's files."""

        def scratch(self) -> AbstractContextManager[str]:
            """A fresh folder, absolute, without symbolic links; it goes afterwards."""
            ...

        def run(self, command: str, folder: str, stdin: str, *, timeout_s: float) -> Ran:
            """Run a command line by a shell, in a folder, as a client does; no variable of an agent is passed on."""
            ...

        def git(self, folder: str, *words: str, agent: str = "") -> Ran:
            """Run git there, with nobody's settings, as an agent or as nobody."""
            ...

        def hooks_folder(self, folder: str) -> str:
            """Where git looks for the hooks of a repository; "" where it is none."""
            ...

        def read(self, path: str) -> bytes | None:
            """A file, None for none that can be read."""
            ...

        def can_be_run(self, path: str) -> bool:
            """Whether it is a program."""
            ...

        def write(self, path: str, data: bytes, *, is_program: bool = False) -> None:
            """Make a file."""
            ...

        def resolved(self, path: str) -> str:
            """Without symbolic links."""
            ...


class Probed:
    """One hook, and how it stands.

    Attributes:
        client: Whose: a client, `git`, or `latchboard` for what is the same for all of them.
        file: Where it stands, as a path relative to the project, or absolute elsewhere.
        event: Which event; "" where the whole client is meant.
        matcher: For which tools.
        state: `ok`, `broken`, `missing`, `untrusted`, `slow`.
        what: In words.
        mend: The command that mends it; "" for nothing to mend.
        took_ms: The slowest call, milliseconds; None where none was made.
    """

    __slots__ = ("client", "event", "file", "matcher", "mend", "state", "took_ms", "what")

    def __init__(  # noqa: PLR0913 - a record: each field is an argument by its name
        self,
        client: str,
        state: State,
        what: str,
        *,
        file: str = "",
        event: str = "",
        matcher: str = "",
        mend: str = "",
        took_s: float | None = None,
    ) -> None:
        self.client = client
        self.file = file
        self.event = event
        self.matcher = matcher
        self.state = state
        self.what = what
        self.mend = mend
        self.took_ms = None if took_s is None else round(took_s * 1000, 1)

    def __repr__(self) -> str:
        return f"Probed({self.client!r}, {self.event!r}, {self.state!r}, {self.what!r})"

    def to_json(self) -> dict[str, Any]:
        """As `protocol/schema/doctor-hooks.json` has it."""
        return {name: getattr(self, name) for name in self.__slots__}
