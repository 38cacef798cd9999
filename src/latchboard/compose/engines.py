"""Engines: the store that is no folder of this project, as the setting `store` names it.

Protocol: protocol/etcd.md, "Security".
"""

from __future__ import annotations

import os

from latchboard.errors import from_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from latchboard.clock import Clock
    from latchboard.compose import Latchboard
    from latchboard.settings import Settings
    from latchboard.singleton.everywhere import Everywhere
    from latchboard.store.etcd.access import Attendant
    from latchboard.store.etcd.relaying import Relaying
    from latchboard.store.etcd.store import EtcdStore


_RELAY = "data/.agent_pids/serve.relay"
"""A daemon's socket, beside its other files; it is made by whoever holds the daemon's place."""


def build(settings: Settings, clock: Clock, *, through: str = "") -> EtcdStore:
    """The store in etcd. Nothing is connected yet.

    Args:
        settings: Which one, and limits.
        clock: Times of commits.
        through: The project's folder, of whose daemon requests are asked to be passed on; empty: none.

    Raises:
        UsageError: The address is wrong.
    """
    return build_at(settings.store, settings, clock, relay=f"{through}/{_RELAY}" if through else "")


def build_at(address: str, settings: Settings, clock: Clock, *, relay: str = "") -> EtcdStore:
    """The store at an address. Raises as `build`."""
    from latchboard.store.etcd.access import from_environment
    from latchboard.store.etcd.store import EtcdStore

    access = from_environment(address, os.environ)
    access.relay = relay
    return EtcdStore(access, clock=clock, settings=settings)


def beside(board: Latchboard, address: str) -> EtcdStore:
    """A store of its own at an address, attended as the board's. Raises as `build`."""
    store = build_at(address, board.settings, board.clock)
    store.access.attendant = board.attendant
    return store


def hurried(board: Latchboard, limit_s: float) -> EtcdStore | None:
    """A store of its own, whose calls take at most so long, for who can do without an answer; None: it is files."""
    if not _is_elsewhere(board):
        return None
    store = build(board.settings, board.clock, through=board.root)
    store.access.call_s_max = limit_s
    store.access.attendant = board.attendant
    return store


def relaying(board: Latchboard, on_activity: Callable[[], None]) -> Relaying | None:
    """What passes requests of this machine's processes on, for who serves the project; None: the store is files.

    Args:
        board: The project.
        on_activity: Called in a thread whenever a process begins to ask.
    """
    store: Any = board.store
    return store.relaying(f"{board.root}/{_RELAY}", on_activity) if _is_elsewhere(board) else None


def attend(board: Latchboard, attendant: Attendant) -> None:
    """Have its calls that may take long attended, and those of every store that is made for it from now on."""
    board.attendant = attendant
    store: Any = board.store
    if _is_elsewhere(board):
        store.access.attendant = attendant


def give_up(board: Latchboard) -> None:
    """The process ends: what the store does not answer is waited for no longer. Of files nothing is waited for."""
    store: Any = board.store
    if _is_elsewhere(board):
        store.give_up()


def relays(board: Latchboard) -> bool | None:
    """Whether a daemon passes on what this process asks; None: the store is files."""
    if not _is_elsewhere(board):
        return None
    from latchboard.store.etcd.relay import Relay

    store: Any = board.store
    return Relay(store.access, f"{board.root}/{_RELAY}").answers()


def _is_elsewhere(board: Latchboard) -> bool:
    return board.files is None and board.settings.store != "files"


def everywhere(board: Latchboard, present: Callable[[], str]) -> Everywhere:
    """The singletons of all machines that the store spans."""
    from latchboard.singleton.everywhere import Everywhere

    leave = getattr(board.store, "leave", lambda: None)
    return Everywhere(board.store, board.host, present=present, leave=leave, host_name=os.uname().nodename)


def mark(board: Latchboard) -> None:
    """Make the folder by which a project is found, also where its shared state is an engine's.

    Its FORMAT is one that no file store knows: whoever comes without the setting is refused, and does not begin a
    second store in which everything is free.

    Raises:
        StoreError: The folder cannot be made.
    """
    from latchboard.codec import encode
    from latchboard.store.files import layout
    from latchboard.store.files.folder import FORMAT_ELSEWHERE

    folder = f"{board.root}/{layout.FOLDER}"
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        with open(f"{folder}/{layout.FORMAT}", "x", encoding="utf-8") as file:
            file.write(
                f"{encode({'format': FORMAT_ELSEWHERE, 'store_id': 'elsewhere', 'store': board.settings.store})}\n"
            )
    except FileExistsError:
        return
    except OSError as exc:
        raise from_os_error(exc, "make", folder) from exc
