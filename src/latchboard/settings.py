"""Settings: every limit and default, with its unit and its reason, in one frozen object.

Read from the environment or a file by `compose`; everything else is handed the object.
"""

from __future__ import annotations

from latchboard.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DEFAULTS: dict[str, tuple[Any, str]] = {
    "lease_ttl_s": (
        3600.0,
        "An hour: longer than a model thinks, short enough that a lost agent blocks nobody for a day.",
    ),
    "renew_s_min": (
        60.0,
        "Use within a minute of the last renewal renews nothing: one write a minute is plenty for an hour.",
    ),
    "guard_wait_s_max": (
        5.0,
        "A commit takes microseconds; five seconds means that its writer is stopped, and must be named.",
    ),
    "wait_poll_s": (1.0, "Safety net under the bell: a waiter looks again after this long even if nothing rang."),
    "watch_poll_s": (0.05, "How often a watcher looks where the file system cannot notify."),
    "journal_bytes_max": (8 * 1024 * 1024, "One journal before rotation: read in a quarter of a second."),
    "journals_kept_count": (4, "How many journals are kept for history and for watchers that fell behind."),
    "value_bytes_max": (1024 * 1024, "A record is a note, not a file."),
    "body_bytes_max": (256 * 1024, "A message is a letter; larger things are files with a path in the letter."),
    "names_count_max": (1000, "Paths in one request; more than that is a folder or a glob."),
    "agent_quiet_s": (300.0, "An agent without a heartbeat for this long is shown as quiet; its locks are untouched."),
    "agent_forget_s": (7 * 86400.0, "A gone agent leaves the board after a week."),
    "broadcast_ttl_s": (86400.0, "News for everybody is old after a day."),
    "archive_ttl_s": (7 * 86400.0, "Read and acknowledged messages are kept a week for threads."),
    "image_bytes_max": (1024 * 1024, "A source file is smaller; of a larger one no bytes are kept, and that is said."),
    "image_hash_bytes_max": (
        16 * 1024 * 1024,
        "Hashing it takes 50 ms; a larger file is known by size and time alone.",
    ),
    "conflict_ttl_s": (7 * 86400.0, "A week to see that something was lost, and to fetch it back."),
    "call_s_max": (600.0, "The longest time a client gives a call of its own; what is open longer has lost its end."),
    "handoff_wait_s": (300.0, "How long a request for a handoff stands when no time is given."),
    "board_history_count": (
        200,
        "Entries of history and of conflicts in status_board.json; all of it is in the journal.",
    ),
    "board_fold_s": (0.05, "How soon after the last change the board file is written; a burst is written once."),
    "board_age_s_max": (
        10.0,
        "A command leaves a large board file alone that is younger: writing 10,000 locks takes it 0.4 s each time.",
    ),
    "shared": (False, "One user by default: files 0600, folder 0700. True: 0660 and 2770 for the group."),
    "worktrees_shared": (False, "Work trees of one repository are told apart; true lets them share one board."),
    "singleton_types": (
        ("code_developer", "project_manager", "architect", "generator", "reflector", "curator"),
        "Agent types of which at most one process runs: those that write. Types that read (assistant, ...) are free.",
    ),
    "enforce_single_daemon_process": (
        False,
        "Ending processes is nobody's default. True: a daemon that starts in a container ends this project's others.",
    ),
    "daemon_port_first": (9400, "The first port that a daemon may have: a range that few other programs use."),
    "daemon_port_end": (9450, "Behind the last one: fifty projects of one machine may be served at once."),
    "daemon_tick_s": (30.0, "A daemon that is one too many is gone within a minute, and an idle one costs nothing."),
    "daemon_idle_s_max": (
        4 * 3600.0,
        "Nobody has looked for half a working day: its memory is better spent; whoever looks next starts one again.",
    ),
    "hooks_release": (
        "turn",
        "A turn that has ended may be the last one for hours: others go on meanwhile. `session`: held until that ends.",
    ),
    "hooks_failure": (
        "closed",
        "What cannot be read may be held, and a lost edit costs more than a repeated one. `open`: the call goes on.",
    ),
    "store": (
        "files",
        "A folder in the project needs no server. `etcd://host:2379,host:2379/prefix`: agents on many machines.",
    ),
    "queue_lease_ttl_s": (5400.0, "An hour and a half: longer than one job takes without a heartbeat."),
    "queue_backoff_s": (10.0, "The pause after a job's first failed attempt; each later one is twice as long."),
    "queue_backoff_s_max": (3600.0, "A job that keeps failing is tried once an hour at least."),
    "queue_place_s": (
        60.0,
        "A job keeps others from its files so long after a claim has looked at it: longer than a worker's interval.",
    ),
    "queue_file": ("", "No file. A path inside the project: the queue stands there too, for people to read and edit."),
    "agents_restart_s": (1.0, "A worker that died is started again after a second; each death in a row doubles that."),
    "agents_restart_s_max": (60.0, "What keeps dying is tried once a minute: it costs nothing, and heals by itself."),
    "agents_steady_s": (60.0, "A worker that has run for a minute has not died at once: its deaths are counted anew."),
    "durable": (False, "True: every commit is flushed to the disk; otherwise messages alone are."),
}

_ENGINES = ("etcd://", "etcds://")
_CHOICES = {"hooks_release": ("turn", "session"), "hooks_failure": ("closed", "open")}


class Settings:
    """All limits and defaults; unknown names are refused, so that a typing mistake is seen.

    Units are in the names: `_s` seconds, `_bytes`, `_count`. `Settings.reasons()` tells why each default is what it is.
    """

    __slots__ = tuple(_DEFAULTS)

    if TYPE_CHECKING:
        lease_ttl_s: float
        renew_s_min: float
        guard_wait_s_max: float
        wait_poll_s: float
        watch_poll_s: float
        journal_bytes_max: int
        journals_kept_count: int
        value_bytes_max: int
        body_bytes_max: int
        names_count_max: int
        agent_quiet_s: float
        agent_forget_s: float
        broadcast_ttl_s: float
        archive_ttl_s: float
        image_bytes_max: int
        image_hash_bytes_max: int
        conflict_ttl_s: float
        call_s_max: float
        handoff_wait_s: float
        board_history_count: int
        board_fold_s: float
        board_age_s_max: float
        shared: bool
        worktrees_shared: bool
        singleton_types: tuple[str, ...]
        enforce_single_daemon_process: bool
        daemon_port_first: int
        daemon_port_end: int
        daemon_tick_s: float
        daemon_idle_s_max: float
        hooks_release: str
        hooks_failure: str
        store: str
        queue_lease_ttl_s: float
        queue_backoff_s: float
        queue_backoff_s_max: float
        agents_restart_s: float
        agents_restart_s_max: float
        agents_steady_s: float
        queue_place_s: float
        queue_file: str
        durable: bool

    def __init__(self, **changed: Any) -> None:
        for name, (default, _) in _DEFAULTS.items():
            object.__setattr__(self, name, _checked(name, changed.pop(name, default), default))
        if changed:
            known = ", ".join(_DEFAULTS)
            raise UsageError(f"unknown setting {', '.join(sorted(changed))}", hint=f"known settings: {known}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"settings are frozen: make new ones with Settings({name}=...)")

    def __repr__(self) -> str:
        changed = [f"{n}={getattr(self, n)!r}" for n, (d, _) in _DEFAULTS.items() if getattr(self, n) != d]
        return f"Settings({', '.join(changed)})"

    @staticmethod
    def reasons() -> dict[str, str]:
        """Why each default is what it is, by name."""
        return {name: reason for name, (_, reason) in _DEFAULTS.items()}


def _without_login(address: object) -> str:
    """An address as it may be shown: somebody may have put a password into it."""
    return repr(str(address).rpartition("@")[2])[:80]


def _checked(name: str, value: Any, default: Any) -> Any:
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise UsageError(f"setting {name} is true or false, not {value!r}")
        return value
    if name == "store":
        if value != "files" and (not isinstance(value, str) or not value.startswith(_ENGINES)):
            raise UsageError(f"setting store is files or {' or '.join(_ENGINES)}..., not {_without_login(value)}")
        return value
    if isinstance(default, str):
        if name not in _CHOICES:
            return _inside(name, value)
        if value not in _CHOICES[name]:
            raise UsageError(f"setting {name} is one of {', '.join(_CHOICES[name])}, not {value!r:.80}")
        return value
    if isinstance(default, tuple):
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) and one for one in value):
            raise UsageError(f"setting {name} is a list of names, not {value!r}")
        return tuple(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e15:
        raise UsageError(f"setting {name} is a number above zero, not {value!r}")
    if isinstance(default, int) and value != int(value):
        raise UsageError(f"setting {name} is a whole number, not {value!r}")
    return type(default)(value)


def _inside(name: str, value: Any) -> str:
    """A path inside the project, or none: a configuration that came with a repository names no file of others."""
    is_text = isinstance(value, str) and "\0" not in value
    if not is_text or (value and any(part in ("", ".", "..") for part in value.split("/"))):
        raise UsageError(f"setting {name} is a path inside the project, not {value!r:.80}", hint="such as queue.json")
    return str(value)
