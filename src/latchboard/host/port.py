"""Host port: who a process is, whether it still lives, and how to be told when it ends.

Law 1. A process is gone only when that is proven; everything that cannot be read or compared is "unknowable".
Law 2. A host name and a bare pid prove nothing.
Law 3. `verdict` and `death_watch` never raise for anything that can stand in a record.

Law 4. A signal goes to a grip, which is on one process for good; nothing sends one to a bare pid.

Everything here is for type checkers; at run time a host is any object with these methods. `Host` is what records need;
`Machine` adds what is needed to find processes and to end them.

Protocol: protocol/terms.md, "Identity" and "Verdict"; protocol/daemon.md.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal, Protocol, TypedDict

    class Identity(TypedDict):
        """One process, on one machine, in one boot: what a record says about its holder.

        `host` is the machine id ("" when it cannot be read), `boot` the boot id, `pid_ns` the inode of the pid
        namespace (0 where there are none), `pid` the number inside that namespace, `start` the start time: clock ticks
        since boot as in field 22 of /proc/PID/stat, or centiseconds since 1970 where there is no /proc.
        """

        host: str
        boot: str
        pid_ns: int
        pid: int
        start: int

    Verdict = Literal["live", "dead", "recycled", "unknowable"]

    class Watchable(Protocol):
        """Something poll(2) can wait for; its owner closes it."""

        def fileno(self) -> int:
            """Its descriptor."""
            ...

        def close(self) -> None:
            """Stop waiting for it."""
            ...

    class Host(Protocol):
        """This machine, seen from this process."""

        def me(self) -> Identity:
            """Who this process is; computed anew in a forked child. The caller may keep and change the answer."""
            ...

        def verdict(self, identity: object) -> Verdict:
            """Whether that process lives. Takes anything a record may hold; what is not an identity is "unknowable".

            "dead" (no such process, a zombie, an earlier boot) and "recycled" (its pid belongs to somebody else) mean
            that it is gone; "unknowable" never does.
            """
            ...

        def death_watch(self, identity: object) -> Watchable | None:
            """Something that becomes readable when that process ends, and is readable at once when it already has.

            None where it cannot be had (no pidfd, another namespace, no descriptor left): look again later instead.
            """
            ...

    class Process(TypedDict):
        """One process as the machine describes it; what cannot be read is None or empty, and proves nothing.

        `identity` has the pid namespace of that process, 0 when it cannot be read; `parent` is its parent's pid; `exe`
        the path of its program; `argv` is empty for zombies and threads of the kernel, too.
        """

        identity: Identity
        parent: int
        uid: int | None
        argv: list[str]
        exe: str

    class Surroundings(TypedDict):
        """What speaks for or against a container: see `latchboard.rules.container`, which judges it."""

        root: str
        has_config_folder: bool
        has_socket: bool
        uid: int | None
        environment: Mapping[str, str]
        init_environment: Mapping[str, str]
        has_dockerenv: bool
        has_containerenv: bool
        cgroups: list[str]

    class Grip(Protocol):
        """A hold on one process: who takes over its pid is out of reach. Its owner closes it."""

        def readables(self) -> list[Watchable]:
            """What becomes readable when it ends; empty where nothing can: look again instead."""
            ...

        def send(self, signal: Literal["TERM", "KILL"]) -> str:
            """Send it to exactly that process: "" when it was sent, else why not: `dead`, `not-permitted`."""
            ...

        def reap(self) -> None:
            """Take its exit status when it is a child of this process, so that no zombie stays."""
            ...

        def close(self) -> None:
            """Let go of it. Twice is harmless."""
            ...

    class Machine(Host, Protocol):
        """This machine, with its other processes."""

        def look(self, pid: int) -> Process | None:
            """That process, read twice so that all of it belongs to one; None when there is none.

            Raises:
                HostError: It cannot be known.
            """
            ...

        def scan(self, word: str) -> list[Process]:
            """Every process that has `word` as an argument of its command line; those that cannot be read are missing.

            Raises:
                HostError: Processes cannot be listed.
            """
            ...

        def folder(self, process: Process | None, path: str) -> str:
            """What identifies the folder at `path` as `process` sees it (None: this one); "" when that is not known."""
            ...

        def listening(self, pid: int) -> list[tuple[str, int]] | None:
            """Address and port of each TCP socket that it listens on; None where that cannot be told."""
            ...

        def grip(self, identity: Identity) -> Grip | None:
            """A hold on that process; None unless it is there. Judge it again afterwards, before a signal is sent."""
            ...

        def surroundings(self, root: str) -> Surroundings:
            """What this process can see of where it runs. Never raises."""
            ...
