"""Host port: who a process is, whether it still lives, and how to be told when it ends.

Law 1. A process is gone only when that is proven; everything that cannot be read or compared is "unknowable".
Law 2. A host name and a bare pid prove nothing.
Law 3. `verdict` and `death_watch` never raise for anything that can stand in a record.

Everything here is for type checkers; at run time a host is any object with these three methods.

Protocol: protocol/terms.md, "Identity" and "Verdict".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
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
