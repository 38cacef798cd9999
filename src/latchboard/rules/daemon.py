"""Daemon: which process is this project's daemon, and which of them may be ended; pure.

Law 1. Ours is proven, never guessed: it lives, in our pid namespace, under our user; its program is a Python and its
command line is the one that we start daemons with, word by word; that names a folder which is our root, the very same
one; its start time is the recorded one where one was recorded. Whatever cannot be read proves nothing.
Law 2. Not ours is told apart from not known: a record goes only when it is proven that it names none of ours.
Law 3. Nobody is ended unless the option is on and hard evidence says container; never the asker, an ancestor of the
asker, process 1, the recorded daemon, or what a daemon that stays has forked (it has its command line).

Does not see through a program called Python that runs another package of our name, nor a command line that a process
has written over its own.

Protocol: protocol/daemon.md.
"""

from __future__ import annotations

from latchboard.rules import container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from typing import Any, Literal, TypedDict

    class Process(TypedDict):
        """What this machine says about one process: its `identity`, its `parent`'s pid, and so on.

        `uid` None, `argv` empty and `exe` "" stand for what cannot be read.
        """

        identity: Any
        parent: int
        uid: int | None
        argv: list[str]
        exe: str

    Mode = Literal["off", "host", "container"]
    State = Literal["none", "running", "stale", "unknowable"]

OPTION = "enforce_single_daemon_process"
PACKAGE = "latchboard"
VERB = "serve"

DEAD, RECYCLED, UNKNOWABLE = "dead", "recycled", "unknowable"
OTHER_PROGRAM, OTHER_PROJECT, OTHER_USER, UNREADABLE = "other-program", "other-project", "other-user", "unreadable"
GARBAGE = "garbage"
STALE = (DEAD, RECYCLED, OTHER_PROGRAM, OTHER_PROJECT, GARBAGE)
"""Reasons that prove that a record names no daemon of ours; all others leave it where it is."""

_FLAGS = ("-I", "-E", "-s", "-S", "-u", "-B", "-O", "-OO", "-P")
_FLAGS_WITH_VALUE = ("-X", "-W")


def command(python: str, root: str, options: Sequence[str] = (), *, verb: str = VERB) -> list[str]:
    """The one command line that a daemon is started with; a supervisor and its workers have another verb in it."""
    return [python, "-m", PACKAGE, verb, "--root", root, *options]


def root_in(argv: Sequence[str], *, verb: str = VERB) -> str | None:
    """The root that a daemon's command line names; None: it is no daemon's command line.

    `PYTHON [flags of the interpreter] -m latchboard serve --root FOLDER [options]`, FOLDER absolute and normal, named
    once. A shell, an editor, grep or pytest with the same words behind its own name is something else.
    """
    if not argv or not _is_python(argv[0]):
        return None
    at = 1
    while at < len(argv) and (argv[at] in _FLAGS or argv[at] in _FLAGS_WITH_VALUE):
        at += 1 if argv[at] in _FLAGS else 2
    if list(argv[at : at + 4]) != ["-m", PACKAGE, verb, "--root"] or len(argv) == at + 4:
        return None
    root, rest = argv[at + 4], argv[at + 5 :]
    if any(word == "--root" or word.startswith("--root=") for word in rest):
        return None
    return root if _is_normal(root) else None


def why_not_ours(
    process: Process | None,
    asker: Process,
    *,
    verdict: str,
    root: str,
    folder: str,
    recorded: Any = None,
    verb: str = VERB,
) -> str:
    """Why `process` is not provably a daemon of the project; "" when it is.

    Args:
        process: As the machine has just described it; None: there is none with that pid.
        asker: This process.
        verdict: The host's, about the process's identity as it was described.
        root: The project's folder by its identity, as the asker sees it; "" when that cannot be told.
        folder: The folder that the command line names by its identity, as the process sees it; "" likewise.
        recorded: Identity in a record that names this process, if one does.
        verb: In its command line: what kind of process it is.
    """
    if process is None or verdict == DEAD:
        return DEAD
    if verdict == RECYCLED or (recorded is not None and _is_another(recorded, process["identity"])):
        return RECYCLED
    if verdict != "live":
        return UNKNOWABLE
    if not process["argv"]:
        return UNREADABLE
    if root_in(process["argv"], verb=verb) is None:
        return OTHER_PROGRAM
    if process["uid"] is None or asker["uid"] is None:
        return UNREADABLE
    if process["uid"] != asker["uid"]:
        return OTHER_USER
    if not process["exe"]:
        return UNREADABLE
    if not _is_python(process["exe"]):
        return OTHER_PROGRAM
    if not root or not folder:
        return UNREADABLE
    return "" if folder == root else OTHER_PROJECT


def why_spared(
    pid: int,
    *,
    asker_pid: int,
    ancestors: Collection[int],
    recorded_pid: int | None,
    parents: Collection[int] = (),
    is_asker_daemon: bool = False,
) -> str:
    """Why a daemon of ours is not ended; "" when nothing spares it.

    Args:
        pid: Whom it is about.
        asker_pid: This process.
        ancestors: What started this process.
        recorded_pid: The recorded daemon, where it runs.
        parents: What started the process that it is about: a forked child has its parent's command line.
        is_asker_daemon: This process is a daemon itself, and has such children.
    """
    if pid == asker_pid:
        return "itself"
    if pid <= 1:
        return "init"
    if pid in ancestors:
        return "ancestor"
    if pid == recorded_pid:
        return "recorded"
    return "child" if recorded_pid in parents or (is_asker_daemon and asker_pid in parents) else ""


def mode(is_on: bool, listed: Iterable[container.Indicator]) -> Mode:
    """What enforcement may do.

    `off`: nothing, not even look. `host`: a stale record goes. `container`: besides, this project's other daemons end;
    only with points enough and hard evidence among them.
    """
    if not is_on:
        return "off"
    listed = list(listed)
    return "container" if container.is_container(listed) and container.has_hard_evidence(listed) else "host"


def state_of(why: str) -> State:
    """What a recorded daemon's reason makes of the record."""
    if not why:
        return "running"
    return "stale" if why in STALE else "unknowable"


# -- the generated configuration

_HEAD = "# One daemon for this project (written by `latchboard daemon config`)."
_ACTIVE = f"""{_HEAD}
# In this container, a daemon that starts ends this project's other daemons. Say false to keep them.
{OPTION} = true
"""
_COMMENTED = f"""{_HEAD}
# Inside a container, true lets a daemon that starts end this project's other daemons. This is no container, so it
# is left out; on a host nothing is ever ended, and true only removes a PID file whose daemon is gone.
# {OPTION} = true
"""


def configure(text: str, *, is_set: bool, is_container: bool) -> str:
    """The project's settings file with the option in it.

    Args:
        text: The file as it is; "" when there is none.
        is_set: The option has a value in it: the user's word, which stays.
        is_container: By points.
    """
    if is_set:
        return text
    wanted = _ACTIVE if is_container else _COMMENTED
    if _COMMENTED in text:
        return text.replace(_COMMENTED, wanted)
    lines = text.splitlines(keepends=True)
    table = next((n for n, line in enumerate(lines) if line.lstrip().startswith("[")), None)
    if table is not None:  # behind the header of a table it would belong to that table
        return f"{wanted}\n{text}" if table == 0 else "".join([*lines[:table], wanted, "\n", *lines[table:]])
    return text + ("" if not text or text.endswith("\n") else "\n") + ("\n" if text else "") + wanted


def _is_python(path: str) -> bool:
    name = path.rpartition("/")[2].removesuffix(" (deleted)")
    for start in ("python", "Python", "pypy"):
        if name.startswith(start):
            return not name[len(start) :].strip("0123456789.t")
    return False


def _is_normal(root: str) -> bool:
    parts = root.split("/")
    return root == "/" or (parts[0] == "" and len(parts) > 1 and not any(p in ("", ".", "..") for p in parts[1:]))


def _is_another(recorded: Any, found: Any) -> bool:
    """Whether two identities differ in what makes a process that process."""
    return not isinstance(recorded, dict) or any(
        recorded.get(name) != found.get(name) for name in ("boot", "pid_ns", "pid", "start")
    )
