"""Founding names: the functions that users of the founding protocol know, over the same services.

    from latchboard import acquire_lock, release_lock

    if acquire_lock("src/a.py", "planner", timeout=5):
        ...
        release_lock("src/a.py", "planner")

The project is the one around the current folder; the agent is `AGENT_ID` in the environment where none is given, else
`unknown_agent`. Locks are bound to the agent, not to the process: they last an hour from the last use, or until they
are released.

New code uses `Latchboard(root).agent(id)`: its holds have tokens, and its refusals say who is in the way.

Protocol: protocol/lock.md, protocol/mailbox.md, protocol/board.md.
"""

from __future__ import annotations

import os

from latchboard.compose import Latchboard
from latchboard.compose.finding import find_root
from latchboard.errors import AlreadyRunning as AgentAlreadyRunningError
from latchboard.errors import CoordinationError, Refused
from latchboard.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from latchboard.daemon.orphans import OrphanDaemon, SweepReport
    from latchboard.doctor import DoctorReport
    from latchboard.rules.container import Indicator
    from latchboard.singleton import Registration

__all__ = [
    "DAEMON_TICK_SECONDS",
    "SINGLETON_AGENTS",
    "UNKNOWN_AGENT",
    "AgentAlreadyRunningError",
    "acquire_lock",
    "assemble_report",
    "check_conflicts",
    "cleanup_singleton",
    "cleanup_stale_locks",
    "enforce_singleton",
    "ensure_running",
    "enumerate_orphans",
    "find_all_daemon_processes",
    "get_container_indicators",
    "is_container_environment",
    "is_daemon_running",
    "read_messages",
    "release_lock",
    "send_message",
    "sweep_orphans",
    "update_status_board",
    "verify_daemon_process",
]

UNKNOWN_AGENT = "unknown_agent"
SINGLETON_AGENTS: tuple[str, ...] = Settings().singleton_types
"""Agent types of which one process runs, unless the setting `singleton_types` says otherwise."""
DAEMON_TICK_SECONDS: float = Settings().daemon_tick_s
"""How often a daemon looks whether it is one too many, unless the setting `daemon_tick_s` says otherwise."""
_boards: dict[str, Latchboard] = {}


def acquire_lock(file_path: str, agent_id: str | None = None, timeout: float = 5.0) -> bool:
    """Lock a file, waiting in line for up to `timeout` seconds; 0 asks once.

    Returns:
        True: it is held by the agent, also when it was before. False: somebody else has it (the same id in another
            living process is somebody else), or waiting for it would be a deadlock.

    Raises:
        UsageError: The path, the agent id or the number cannot be right.
        ProtocolError: What is stored cannot be read; it counts as held.
        StoreError: The store cannot be used; nothing was taken.
    """
    board = _board()
    request = board.locks.request(_agent(agent_id), [file_path], bound="agent")
    try:
        board.locks.acquire(request, wait_s_max=timeout)
    except Refused:
        return False
    return True


def release_lock(file_path: str, agent_id: str | None = None) -> bool:
    """Give a lock back. False: the agent did not hold it, or not any more; nothing was changed."""
    return bool(_board().locks.release_names(_agent(agent_id), [file_path]))


def check_conflicts(files: Iterable[str], agent_id: str | None = None) -> list[dict[str, Any]]:
    """Who is in the way of locking `files`; the agent's own locks are not.

    Returns:
        One entry per lock: `file_path` (the name that was asked for), `locked_by`, `lock_timestamp` (ISO 8601),
            `status` ("locked"), and what `latchboard check --json` tells besides.
    """
    found = _board().locks.check(files, agent=_agent(agent_id))
    return [
        {
            **one,
            "file_path": one["asked"],
            "locked_by": one["agent"],
            "lock_timestamp": one["since"],
            "status": "locked",
        }
        for one in found
    ]


def update_status_board(agent_id: str | None, status: str, files: Iterable[str] = ()) -> None:
    """Say what an agent is doing, and to which files; renews its lease."""
    _board().board.update(_agent(agent_id), status, list(files))


def send_message(target_agent_id: str, message: str, agent_id: str | None = None) -> None:
    """Leave a message for exactly this agent; it waits for one that does not exist yet."""
    _board().mailbox.send(_agent(agent_id), target_agent_id, message)


def read_messages(agent_id: str | None = None) -> list[dict[str, Any]]:
    """Take the agent's messages, oldest first; each comes once, but for those that demand an acknowledgement.

    Returns:
        `from`, `to`, `message`, `timestamp` (ISO 8601), and every field of protocol/mailbox.md besides.
    """
    inbox = _board().mailbox.receive(_agent(agent_id))
    return [{**one, "message": one["body"], "timestamp": one["sent_at"]} for one in inbox.messages]


def cleanup_stale_locks() -> int:
    """Remove the locks whose holders have ended, and whatever else is over. Returns how many locks that were."""
    return len(_board().cleanup.run().locks)


def enforce_singleton(
    agent_type: str, force: bool = False, *, root: str | os.PathLike[str] | None = None
) -> Registration:
    """Register this process as the one that runs as `agent_type`; the entry goes when the process ends.

    Args:
        agent_type: One of the setting `singleton_types`; every other type is free, and nothing is made for it.
        force: Register although another process runs. That one is not ended; it is named in the log.
        root: The project; a daemon's current folder is often none of it. Default: the one around the current folder.

    Returns:
        The registration, which may be used as a context manager.

    Raises:
        AgentAlreadyRunningError: Another process runs: `agent_type`, `pid`, `started_at`, `next_step`.
        UsageError: The type can be none.
        StoreError: The registry cannot be used; nothing was taken.
    """
    return _board(root).singletons.enforce(agent_type, force=force)


def cleanup_singleton(agent_type: str, *, root: str | os.PathLike[str] | None = None) -> bool:
    """Give this process's registration back. False: it had none; another process's entry is never touched."""
    return _board(root).singletons.cleanup(agent_type)


def is_container_environment() -> bool:
    """Whether there are points enough for a container (protocol/daemon.md, "Container"). Never raises."""
    from latchboard.rules.container import is_container

    return is_container(_indicators())


def get_container_indicators() -> list[dict[str, Any]]:
    """Everything that speaks for a container: `indicator`, `points`, `is_hard`; hard evidence first. Never raises."""
    return [dict(one) for one in _indicators()]


def _indicators() -> list[Indicator]:
    """Wherever this is asked: without a current folder, and beside settings that cannot be read, too."""
    from latchboard.host.container import surroundings
    from latchboard.rules.container import indicators

    try:
        root = find_root(os.getcwd())
    except (OSError, CoordinationError):
        root = ""
    return indicators(surroundings(root))


def is_daemon_running(pid: int, project_path: str | os.PathLike[str]) -> bool:
    """Whether this process is provably the daemon of the project at `project_path`, its root.

    False also for what cannot be known, another project's daemon, and whoever only has our name in its arguments.

    Raises:
        UsageError: `project_path` is no folder.
    """
    return type(pid) is int and not Latchboard(project_path, publishes=False).daemons.why_not(pid)


def find_all_daemon_processes(project_path: str | os.PathLike[str]) -> list[int]:
    """The pids of every process that is provably a daemon of the project at `project_path`, its root.

    Raises:
        HostError: Processes cannot be listed.
    """
    found = Latchboard(project_path, publishes=False).daemons.find()
    return sorted(one.process["identity"]["pid"] for one in found if not one.why)


def verify_daemon_process(pid: int) -> bool:
    """Whether this process is provably the daemon of the project around the current folder.

    Where the project's record names this pid, it is the recorded process, too: by its start time.
    """
    daemons = _board().daemons
    recorded = daemons.verify()
    if recorded.pid == pid:
        return recorded.state == "running"
    return type(pid) is int and not daemons.why_not(pid)


def assemble_report(
    root: str | os.PathLike[str] | None = None, *, stuck_threshold_s: float = 60.0, deadline_s: float = 2.5
) -> DoctorReport:
    """How everything stands, what is wrong, and the command that mends it; changes nothing, and shows no secret.

    Args:
        root: The project. Default: the one around the current folder.
        stuck_threshold_s: A machine lock that is older is stuck, seconds.
        deadline_s: For all of it; what is not seen by then is told as unfinished.

    Raises:
        UsageError: `root` is no folder. Nothing that is found is raised.
    """
    from latchboard.compose import doctoring
    from latchboard.host.root import root_of

    def find() -> tuple[Latchboard, str, bool]:
        board, has_trouble = doctoring.patient(os.fspath(root) if root is not None else root_of(os.getcwd()))
        return board, board.root, has_trouble

    told = os.fspath(root) if root is not None else os.getcwd()
    return doctoring.examine(find, told, threshold_s=stuck_threshold_s, deadline_s=deadline_s)


def ensure_running(*, root: str | os.PathLike[str] | None = None) -> int:
    """See to it that the project's daemon runs; any number of processes may ask at once, and all get one answer.

    Returns:
        Its port, on 127.0.0.1. It answers there.

    Raises:
        DaemonError: It is not ready, does not answer, or runs where it cannot be reached.
        StoreError: The registry cannot be used.
    """
    return _board(root).daemon.ensure_running().state.port


def enumerate_orphans(*, root: str | os.PathLike[str] | None = None) -> list[OrphanDaemon]:
    """Daemons of the project that are not its daemon, by port: `port`, `pid`, `version`, `protocol_version`, ...

    Raises:
        HostError: Processes cannot be listed.
    """
    return _board(root).daemon.orphans()


def sweep_orphans(*, root: str | os.PathLike[str] | None = None) -> SweepReport:
    """End them: asked, SIGTERM after a second, SIGKILL after one more. Tells of each what became of it.

    Raises:
        HostError: Processes cannot be listed; nothing was done.
    """
    return _board(root).daemon.sweep()


def _agent(agent_id: str | None) -> str:
    return agent_id or os.environ.get("AGENT_ID") or UNKNOWN_AGENT


def _board(root: str | os.PathLike[str] | None = None) -> Latchboard:
    """The project that is named, else the one around the current folder; one object per project and process."""
    if root is not None:
        board = Latchboard(root)  # opens nothing, and knows what cannot be a root
        return _boards.setdefault(board.root, board)
    found = find_root(os.getcwd())
    return _boards.get(found) or _boards.setdefault(found, Latchboard(found))  # two threads get the same one
