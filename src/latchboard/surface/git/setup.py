"""Setup: write the hooks of a repository, and take out exactly what was written.

Law 1. A hook that was there before is kept beside ours and run by it; to remove ours puts it back, byte for byte, with
its mode.
Law 2. Killed at any moment, the repository has the old hook or the new one, and doing it again completes it.
Law 3. What is somebody else's to write is not touched: a hook manager's, a folder that several repositories share.

Protocol: protocol/git.md, "Scripts".
"""

from __future__ import annotations

import os
from functools import partial

from latchboard.errors import CoordinationError, UsageError, from_os_error
from latchboard.surface.git import managers, script
from latchboard.surface.git.hook import AFTER, BEFORE
from latchboard.surface.git.repository import GitFailed, ask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

NAMES = (*BEFORE, *AFTER)
_MODE = 0o755
_TEMPORARY = ".latchboard.tmp"


class Change:
    """One thing that was done, would be done, or is left to the reader.

    Attributes:
        kind: `made`, `updated`, `kept` (a hook that was there runs before ours), `removed`, `restored`; `told`: nothing
            was done, and `text` says what to do.
        path: The file.
        text: For people.
    """

    __slots__ = ("kind", "path", "text")

    def __init__(self, kind: str, path: str, text: str) -> None:
        self.kind = kind
        self.path = path
        self.text = text

    def __repr__(self) -> str:
        return f"Change({self.kind!r}, {self.path!r})"


def install(root: str, *, dry_run: bool = False) -> list[Change]:
    """Write our hooks into the folder that git runs hooks from. Doing it twice does it once.

    Args:
        root: A folder in the repository.
        dry_run: Say what would be done.

    Returns:
        What changed, empty when all of it was there; and what is left to do by hand.

    Raises:
        GitFailed: It is no repository.
        UsageError: The repository has no work tree.
        StoreError: A file cannot be written.
    """
    folder, told = _folder(root)
    if told is not None:
        return [told]
    changes: list[Change] = []
    made_folder = not os.path.isdir(folder)
    if made_folder:
        changes.append(Change("made", folder, "the folder of the hooks"))
        if not dry_run:
            _try(lambda: os.makedirs(folder), folder)
    else:
        made_folder = any(script.MADE_FOLDER in _read(f"{folder}/{name}").decode("utf-8", "replace") for name in NAMES)
    fallback = _own_command() if f"{os.sep}.git{os.sep}" in f"{folder}{os.sep}" else ""
    managed: dict[str, list[str]] = {}
    for name in NAMES:
        wanted = script.text(name, fallback=fallback, made_folder=made_folder).encode()
        changes += _try(partial(_install, folder, name, wanted, managed, dry_run=dry_run), f"{folder}/{name}")
    changes += [Change("told", folder, managers.advice(manager, names)) for manager, names in managed.items()]
    return changes


def remove(root: str, *, dry_run: bool = False) -> list[Change]:
    """Take out what `install` wrote, and put back what was there before; what others wrote into our files stays.

    Raises:
        As `install`.
    """
    folder, told = _folder(root)
    if told is not None:
        return []
    changes: list[Change] = []
    made_folder = False
    for name in NAMES:
        made_folder = made_folder or script.MADE_FOLDER.encode() in _read(f"{folder}/{name}")
        changes += _try(partial(_remove, folder, name, dry_run=dry_run), f"{folder}/{name}")
    if made_folder and (dry_run or (os.path.isdir(folder) and not os.listdir(folder))):
        changes.append(Change("removed", folder, "the folder of the hooks"))
        if not dry_run:
            _try(lambda: os.rmdir(folder), folder)
    return changes


def from_command_line(what: str, *, is_dry: bool) -> int:
    """`--install` and `--remove`, for the repository of the current folder; returns the exit status."""
    from latchboard.surface.git.wording import say, shown

    try:
        changes = install(".", dry_run=is_dry) if what == "install" else remove(".", dry_run=is_dry)
    except CoordinationError as exc:
        say([f"latchboard-git-hook: {exc}"])
        return exc.exit_status
    for one in changes:
        done = f"would be {one.kind}" if is_dry and one.kind != "told" else one.kind
        print(f"{done}: {shown(one.path)}: {one.text}" if one.kind != "told" else one.text)
    if not changes:
        print("nothing to do")
    return 0


def _install(folder: str, name: str, wanted: bytes, managed: dict[str, list[str]], *, dry_run: bool) -> list[Change]:
    path = f"{folder}/{name}"
    there = os.path.lexists(path)
    now = _read(path)
    if now == wanted and os.access(path, os.X_OK):
        return []
    if script.BEGIN.encode() in now:
        rest = _without_ours(now)
        new = wanted if rest in (b"", script.FIRST_LINE.encode()) else _with_ours(now, wanted)
        if now == new and os.access(path, os.X_OK):
            return []
        if not dry_run:
            _write(path, new)
        return [Change("updated", path, "our part is of this version now")]
    if there and (manager := managers.of_hook(now)):
        managed.setdefault(manager, []).append(name)
        return []
    if not there:
        if not dry_run:
            _write(path, wanted)
        return [Change("made", path, f"git {name}")]
    kept = path + script.KEPT
    if os.path.lexists(kept) and not os.path.samestat(os.lstat(kept), os.lstat(path)):
        return [Change("told", path, f"{kept} is there already, of an earlier time: move it away, and do this again")]
    if not dry_run:
        _keep(path, kept)
        _write(path, wanted)
    return [Change("kept", kept, f"the {name} that was here; ours runs it first")]


def _remove(folder: str, name: str, *, dry_run: bool) -> list[Change]:
    path, kept = f"{folder}/{name}", f"{folder}/{name}{script.KEPT}"
    if not dry_run and os.path.lexists(f"{path}{_TEMPORARY}"):  # of a writer that was killed
        os.unlink(f"{path}{_TEMPORARY}")
    now = _read(path)
    if script.BEGIN.encode() not in now:
        if not os.path.lexists(kept):
            return []
        if os.path.lexists(path):
            if not os.path.samestat(os.lstat(kept), os.lstat(path)):
                return [Change("told", kept, f"{path} was written anew meanwhile: see which of the two is wanted")]
            if not dry_run:  # a removal, or an installation, was killed halfway
                os.unlink(kept)
            return [Change("restored", path, "as it was before")]
    rest = _without_ours(now)
    changes = []
    if rest not in (b"", script.FIRST_LINE.encode()):
        if not os.path.lexists(kept):
            if not dry_run:
                _write(path, rest)
            return [Change("removed", path, "our part of it; what others wrote there stays")]
        added = f"{path}.added-to-latchboard"
        if not dry_run:
            _write(added, rest)
        changes.append(Change("made", added, "what others wrote into our hook"))
    if os.path.lexists(kept):
        if not dry_run:
            os.rename(kept, path)
        return [*changes, Change("restored", path, "as it was before")]
    if not dry_run:
        os.unlink(path)
    return [Change("removed", path, f"git {name}")]


def _keep(path: str, kept: str) -> None:
    """Give a hook its second name: it stays under the first one until ours is renamed over it."""
    if os.path.lexists(kept):
        return
    try:
        os.link(path, kept, follow_symlinks=False)
    except (OSError, NotImplementedError):  # a file system without hard links, or without those of symbolic links
        import shutil

        shutil.copy2(path, f"{kept}.tmp", follow_symlinks=False)
        os.rename(f"{kept}.tmp", kept)


def _write(path: str, data: bytes) -> None:
    """The whole file or the old one, whatever happens."""
    temporary = f"{path}{_TEMPORARY}"
    if os.path.lexists(temporary):
        os.unlink(temporary)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    with open(fd, "wb") as file:
        file.write(data)
        os.fchmod(fd, _MODE)
    os.rename(temporary, path)


def _without_ours(data: bytes) -> bytes:
    """A hook without our part."""
    before, _, behind = data.partition(script.BEGIN.encode())
    _, end, behind = behind.partition(script.END.encode())
    return before + (behind.removeprefix(b"\n") if end else b"")


def _with_ours(data: bytes, wanted: bytes) -> bytes:
    """A hook that others wrote into, with our part as it should be."""
    before, _, behind = data.partition(script.BEGIN.encode())
    _, _, behind = behind.partition(script.END.encode())
    return before + wanted.removeprefix(script.FIRST_LINE.encode()).removesuffix(b"\n") + behind


def _read(path: str) -> bytes:
    """A file's content; empty where there is none, or none that can be read."""
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError:
        return b""


def _folder(root: str) -> tuple[str, Change | None]:
    """The hooks folder, and what is to be told instead of writing there."""
    where = os.path.realpath(root)
    try:
        is_bare = _ask(where, "--is-bare-repository") == "true"
    except GitFailed as exc:
        raise GitFailed(f"{where} is in no git repository", hint="git init") from exc
    if is_bare:
        raise UsageError(f"{where} is a bare repository: nobody commits in it", hint="install in a work tree of it")
    top = _ask(where, "--show-toplevel")
    common = os.path.realpath(os.path.join(top, _ask(top, "--git-common-dir")))
    folder = os.path.realpath(os.path.join(top, _ask(top, "--git-path", "hooks")))
    if manager := managers.of_folder(folder):
        return folder, Change("told", folder, managers.advice(manager, list(NAMES)))
    if not any(f"{folder}/".startswith(f"{inside}/") for inside in (common, top)):
        text = f"{folder} is shared with other repositories (core.hooksPath). Add to its hooks:"
        lines = [f'  {name}:  {script.COMMAND} {name} "$@"' for name in NAMES]
        return folder, Change("told", folder, "\n".join([text, *lines]))
    return folder, None


def _ask(folder: str, *words: str) -> str:
    """One answer of `git rev-parse` for a folder, whatever repository a hook that calls us runs in."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return os.fsdecode(ask("-C", folder, "rev-parse", *words, environment=environment)).removesuffix("\n")


def _own_command() -> str:
    """The guard's script beside this interpreter; "" where it is not installed so."""
    import sys

    path = os.path.join(os.path.dirname(sys.executable), script.COMMAND)
    return path if os.access(path, os.X_OK) else ""


def _try(do: Callable[[], T], path: str) -> T:
    try:
        return do()
    except OSError as exc:
        raise from_os_error(exc, "write", path) from exc
