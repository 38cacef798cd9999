"""Latchboard: coordination for several coding agents that work on one code base at once.

Public names are resolved when they are first used (PEP 562), so that `import latchboard` costs nothing.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.agent import Agent as Agent
    from latchboard.aio import AsyncAgent as AsyncAgent
    from latchboard.compose import Latchboard as Latchboard
    from latchboard.compose.finding import find_root as find_root
    from latchboard.credential import RefreshOutcome as RefreshOutcome
    from latchboard.credential import RefreshResult as RefreshResult
    from latchboard.credential import run_refresh_transaction as run_refresh_transaction
    from latchboard.daemon.orphans import OrphanDaemon as OrphanDaemon
    from latchboard.daemon.orphans import SweepReport as SweepReport
    from latchboard.doctor import DoctorReport as DoctorReport
    from latchboard.errors import CoordinationError as CoordinationError
    from latchboard.errors import HoldCeilingReached as HoldCeilingReached
    from latchboard.errors import HoldLost as HoldLost
    from latchboard.errors import LockAcquireTimeout as LockAcquireTimeout
    from latchboard.errors import LockFileGone as LockFileGone
    from latchboard.errors import LockHeld as LockHeld
    from latchboard.errors import Refused as Refused
    from latchboard.errors import StoreError as StoreError
    from latchboard.errors import WaitEnded as WaitEnded
    from latchboard.founding import DAEMON_TICK_SECONDS as DAEMON_TICK_SECONDS
    from latchboard.founding import SINGLETON_AGENTS as SINGLETON_AGENTS
    from latchboard.founding import AgentAlreadyRunningError as AgentAlreadyRunningError
    from latchboard.founding import acquire_lock as acquire_lock
    from latchboard.founding import assemble_report as assemble_report
    from latchboard.founding import check_conflicts as check_conflicts
    from latchboard.founding import cleanup_singleton as cleanup_singleton
    from latchboard.founding import cleanup_stale_locks as cleanup_stale_locks
    from latchboard.founding import enforce_singleton as enforce_singleton
    from latchboard.founding import ensure_running as ensure_running
    from latchboard.founding import enumerate_orphans as enumerate_orphans
    from latchboard.founding import find_all_daemon_processes as find_all_daemon_processes
    from latchboard.founding import get_container_indicators as get_container_indicators
    from latchboard.founding import is_container_environment as is_container_environment
    from latchboard.founding import is_daemon_running as is_daemon_running
    from latchboard.founding import read_messages as read_messages
    from latchboard.founding import release_lock as release_lock
    from latchboard.founding import send_message as send_message
    from latchboard.founding import sweep_orphans as sweep_orphans
    from latchboard.founding import update_status_board as update_status_board
    from latchboard.founding import verify_daemon_process as verify_daemon_process
    from latchboard.locks import Hold as Hold
    from latchboard.locks import Refusal as Refusal
    from latchboard.machine_lock import LockRecord as LockRecord
    from latchboard.machine_lock import MachineFileLock as MachineFileLock
    from latchboard.machine_lock import MachineHold as MachineHold
    from latchboard.machine_lock import force_release as force_release
    from latchboard.machine_lock import read_lock_record as read_lock_record
    from latchboard.settings import Settings as Settings

_HOMES = {
    "Agent": "agent",
    "AgentAlreadyRunningError": "founding",
    "AsyncAgent": "aio",
    "CoordinationError": "errors",
    "DAEMON_TICK_SECONDS": "founding",
    "DoctorReport": "doctor",
    "Hold": "locks",
    "HoldCeilingReached": "errors",
    "HoldLost": "errors",
    "Latchboard": "compose",
    "LockAcquireTimeout": "errors",
    "LockFileGone": "errors",
    "LockHeld": "errors",
    "LockRecord": "machine_lock",
    "MachineFileLock": "machine_lock",
    "MachineHold": "machine_lock",
    "OrphanDaemon": "daemon.orphans",
    "RefreshOutcome": "credential",
    "RefreshResult": "credential",
    "Refusal": "locks",
    "Refused": "errors",
    "SINGLETON_AGENTS": "founding",
    "Settings": "settings",
    "StoreError": "errors",
    "SweepReport": "daemon.orphans",
    "WaitEnded": "errors",
    "acquire_lock": "founding",
    "assemble_report": "founding",
    "check_conflicts": "founding",
    "cleanup_singleton": "founding",
    "cleanup_stale_locks": "founding",
    "enforce_singleton": "founding",
    "ensure_running": "founding",
    "enumerate_orphans": "founding",
    "find_all_daemon_processes": "founding",
    "find_root": "compose.finding",
    "force_release": "machine_lock",
    "get_container_indicators": "founding",
    "is_container_environment": "founding",
    "is_daemon_running": "founding",
    "read_lock_record": "machine_lock",
    "read_messages": "founding",
    "release_lock": "founding",
    "run_refresh_transaction": "credential",
    "send_message": "founding",
    "sweep_orphans": "founding",
    "update_status_board": "founding",
    "verify_daemon_process": "founding",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'latchboard' has no attribute {name!r}")
    module = __import__(f"latchboard.{home}", fromlist=[name])
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
