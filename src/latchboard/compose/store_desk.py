"""Store desk: the stores that a command line names, of whichever engine, for who copies one or looks at it.

Protocol: protocol/etcd.md, "Copying".
"""

from __future__ import annotations

import os

from latchboard.codec import encode
from latchboard.compose import engines
from latchboard.compose.store_looking import counts
from latchboard.errors import UsageError
from latchboard.store import copying
from latchboard.store.files import filling, layout
from latchboard.store.files.folder import FORMAT_ELSEWHERE, STORE_ELSEWHERE, format_in
from latchboard.store.files.store import FileStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.compose import Latchboard
    from latchboard.store.copying import Whole
    from latchboard.store.etcd.access import Access
    from latchboard.store.etcd.store import EtcdStore

_SCHEMES = ("etcd://", "etcds://")


class _Files:
    """A store in files that can be read whole."""

    def __init__(self, store: FileStore) -> None:
        self._store = store

    def everything(self) -> Whole:
        return filling.everything(self._store)


def copy(board: Latchboard, source: str, destination: str) -> dict[str, Any]:
    """Copy a store; each is an address of etcd or the folder of a project.

    Raises:
        UsageError, StoreError, ProtocolError: See `latchboard.store.copying.copy`.
    """
    one, other = _name(source), _name(destination)
    if one == other:
        raise UsageError(f"{one} cannot be copied into itself", hint="name two stores")
    opened: list[Any] = []
    try:
        made_from = _open(board, one, opened)
        made_to = _filling(board, other, opened)
        _refuse_nested([store.access for store in opened if hasattr(store, "access")])
        whole = copying.copy(made_from, made_to, name=one, size_of=_size)
    finally:
        for store in opened:
            store.close()
    return {
        "from": one,
        "to": other,
        "revision": whole.revision,
        "record_count": len(whole.records),
        "counts": counts(whole.records),
    }


def _open(board: Latchboard, name: str, opened: list[Any]) -> Any:
    if name.startswith(_SCHEMES):
        return _etcd(board, name, opened)
    if not os.path.isdir(f"{name}/{layout.FOLDER}"):
        raise UsageError(f"there is no store in {name}", hint="name the folder of a project that has one")
    if _is_elsewhere(f"{name}/{layout.FOLDER}"):
        raise UsageError(
            f"the store of {name} is elsewhere", hint="copy from its address, which `latchboard store status` says"
        )
    store = FileStore(name, clock=board.clock, settings=board.settings)
    opened.append(store)
    return _Files(store)


def _is_elsewhere(path: str) -> bool:
    """Whether a folder says so; what it has besides is a mirror, and no record."""
    try:
        return format_in(path) == (FORMAT_ELSEWHERE, STORE_ELSEWHERE)
    except (OSError, ValueError, KeyError):
        return False  # reading the records says what is wrong with it


def _filling(board: Latchboard, name: str, opened: list[Any]) -> Any:
    if name.startswith(_SCHEMES):
        return _etcd(board, name, opened).filling()
    made = filling.Filling(name, clock=board.clock, settings=board.settings)
    opened.append(made)
    return made


def _etcd(board: Latchboard, name: str, opened: list[Any]) -> EtcdStore:
    store = engines.beside(board, name)
    opened.append(store)
    return store


def _refuse_nested(named: list[Access]) -> None:
    """Raises UsageError: the keys of one store would be among those of the other."""
    if len(named) == 2 and not set(named[0].endpoints).isdisjoint(named[1].endpoints):
        short, long = sorted((one.prefix for one in named), key=len)
        if f"{long}/".startswith(f"{short}/"):
            raise UsageError(f"{long} lies inside {short}", hint="choose a prefix of its own; nothing was changed")


def _name(text: str) -> str:
    """What both a person and `_open` understand. Raises UsageError."""
    if text.startswith(_SCHEMES):
        return text.rstrip("/")
    if text and os.path.isdir(text):  # of what can be no path that is no error, but no folder
        return os.path.realpath(text)
    raise UsageError(f"{text!r:.200} is neither an address of etcd nor a folder", hint="etcd://host:2379/prefix, or .")


def _size(value: dict[str, Any]) -> int:
    return len(encode(value).encode())
