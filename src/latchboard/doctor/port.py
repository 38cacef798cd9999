"""Ports of the doctor: a machine, a store, credentials and a daemon, seen by somebody who only looks.

Everything here is for type checkers; at run time a port is any object with these methods, joined with this machine by
`latchboard.compose.doctoring`.

Law. What a port does changes no byte, no time of a file, no process and no lock; it speaks to this machine alone, and
to the store that the settings name.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from latchboard.credential.grant import Grant
    from latchboard.rules.serving import Health, State

    class Place(Protocol):
        """Files and processes as the machine has them: see `latchboard.host.place`."""

        def mode(self, path: str) -> tuple[int, int, str] | None:
            """Permission bits, owner, and what it is."""
            ...

        def may_use(self, path: str) -> bool:
            """Whether this user may read and write it."""
            ...

        def is_read_only(self, path: str) -> bool:
            """Whether it is mounted so."""
            ...

        def space(self, path: str) -> dict[str, int]:
            """What is free, and of how much."""
            ...

        def network(self, path: str) -> tuple[str, str] | None:
            """(mount point, type) of the network file system that a path lies on; None: a local one."""
            ...

        def silence(self, folder: str) -> str:
            """Why the system would not tell of changes there; "": it would."""
            ...

        def limit(self, name: str) -> int:
            """A limit of the system, by its name; 0 where it is not told."""
            ...

        def lockers(self, path: str) -> list[int] | None:
            """Who has the kernel lock of a file; None: it cannot be told."""
            ...

        def is_stopped(self, pid: int) -> bool:
            """Whether that process stands still."""
            ...

        def names(self, folder: str) -> list[str]:
            """What lies in a folder."""
            ...

        def read(self, path: str, bytes_max: int) -> bytes | None:
            """The start of a plain file; None: there is none."""
            ...

        def here(self) -> dict[str, Any]:
            """`host`, `uid`, `pid` of who asks."""
            ...

    class Damage(Protocol):
        """See `latchboard.store.files.damage.Damage`."""

        kind: str
        where: str
        why: str
        key: str
        pids: tuple[int, ...]
        count: int

    class Standing(Protocol):
        """See `latchboard.store.files.damage.Health`."""

        is_there: bool
        is_whole_look: bool
        damage: list[Any]
        facts: dict[str, Any]
        last_commit_s: float | None

    class Shelf(Protocol):
        """The store's folder.

        Attributes:
            path: Absolute.
            is_shared: A group uses it.
            deciding: Collections whose records decide who may write.
        """

        path: str
        is_shared: bool
        deciding: tuple[str, ...]

        def file_of(self, key: str) -> str:
            """The file of a record, absolute."""
            ...

        def look(self, stop_at_s: float) -> Standing:
            """What is wrong with it, as far as that can be seen until then, on the monotonic clock."""
            ...

        def last_commit_s(self) -> float | None:
            """When the last commit says that it was made; None: there is none, or it does not say."""
            ...

        def leftovers(self) -> list[str]:
            """Files that killed processes left behind."""
            ...

    class Member(Protocol):
        """One server of the cluster that the store is in."""

        endpoint: str
        can_serve: bool
        is_full: bool
        trouble: str

    class Engine(Protocol):
        """The store that is elsewhere.

        Attributes:
            where: Its address; no secret is in it.
        """

        where: str

        def members(self) -> list[Member]:
            """How each stands; within a second."""
            ...

        def revision(self) -> int:
            """The newest. Raises CoordinationError: it cannot be used, and why."""
            ...

    class Kept(Protocol):
        """A credential that is configured.

        Attributes:
            name: Of the credential.
            where: For people: its file, or the keyring's entry.
            path: Of its file; "": it is in a keyring, which may ask its user something, and is not opened.
            lock_path: Of its machine lock.
            login_command: Gets a new grant.
            valid_s_min: So long must a grant be good.
            trouble: What is wrong with its configuration; "" for nothing.
        """

        name: str
        where: str
        path: str
        lock_path: str
        login_command: str
        valid_s_min: float
        trouble: str

        def load(self) -> Grant | None:
            """As `CredentialStore.load`."""
            ...

        def set_aside(self, name: str) -> str:
            """Rename the record if it still cannot be read, and say where it is now; "": it can."""
            ...

    class Server(Protocol):
        """The project's daemon, and others that answer in its range of ports."""

        token_path: str

        def record(self) -> tuple[bool, State | None]:
            """Whether there is a state record, and what it says; None: nothing that can be read."""
            ...

        def standing(self, state: State) -> str:
            """Of the recorded process: `running`, `stale`, `unknowable`."""
            ...

        def registered(self) -> int | None:
            """The process that provably has the daemon's place."""
            ...

        def is_near(self, state: State) -> bool:
            """Whether the recorded address is this machine's own: no other is asked."""
            ...

        def ask(self, state: State, within_s: float) -> Health | None:
            """What answers at the recorded port; None: no daemon of any kind."""
            ...

        def orphans(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
            """Daemons of this project that are not its daemon (`pid`, `port`, `version`), and what only looks so."""
            ...
