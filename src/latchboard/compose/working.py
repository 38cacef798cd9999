"""Working: a worker of the project, put together, from its configuration to its end."""

from __future__ import annotations

import os

from latchboard.host.command_group import CommandGroup, check_command
from latchboard.host.configuration import read_tables
from latchboard.host.home import Home
from latchboard.host.kernel_lock import kernel_lock
from latchboard.host.lock_file import LockFile
from latchboard.host.registry import FOLDER
from latchboard.host.service_manager import ServiceManager
from latchboard.host.state_log import StateLog
from latchboard.host.stopping import Stopping
from latchboard.rules import worker as rules
from latchboard.rules import worker_role
from latchboard.store.wakeup import Wakeup
from latchboard.worker.port import Ports
from latchboard.worker.seating import take_seat
from latchboard.worker.service import INTERVAL_S, Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from latchboard.compose import Latchboard
    from latchboard.rules.worker_role import Role

_LOOK_S = 0.05


def role_of(root: str, name: str, environ: Mapping[str, str]) -> Role:
    """What the project's configuration says about a role whose command can be started.

    Raises:
        UsageError: It has none, or is wrong.
        CommandNotFound, CommandNotRunnable: Its program is not there.
    """
    role = worker_role.read(name, read_tables(root, "roles"))
    check_command(role.command, folder=os.path.join(root, role.folder), environment={**environ, **role.env})
    return role


def run(
    board: Latchboard,
    role: Role,
    *,
    number: int | None = None,
    interval_s: float = INTERVAL_S,
    once: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Any]:
    """Work until a signal asks for an end, or for one pass.

    Returns:
        `worker` (its name), `counts` by outcome, `last` (`job` and `outcome`), `refusal` (a code).

    Raises:
        AlreadyRunning: Its number is another's.
        CommandNotFound, CommandNotRunnable: The command cannot be started any more.
        StoreError: The registry cannot be used.
    """
    with Stopping(Wakeup()) as stop, take_seat(board.singletons, role.name, number) as seat:
        name, home = seat.agent_type, Home(board.root)
        log = StateLog(f"{board.root}/{FOLDER}/{name}.log", board.clock)
        lock = LockFile(f"{board.root}/{FOLDER}/{name}.keeper", kernel_lock())
        try:
            while not lock.try_lock() and not stop.count:  # the command of the one before is being ended
                board.clock.wait([stop.wakeup], _LOOK_S)
            manager = ServiceManager(environ)
            ports = Ports(
                clock=board.clock,
                log=log,
                manager=manager,
                stop=stop,
                start=lambda environment, text: CommandGroup(
                    role.command,
                    folder=os.path.join(board.root, role.folder),
                    environment=environment,
                    text=text,
                    grace_s=role.grace_s,
                    output_bytes_max=role.output_bytes,
                    lock=lock,
                ),
                make_wakeup=Wakeup,
                environment=environ,
                show=lambda text, files: board.board.update(name, text, files),
                before_claim=board.pick_up_edits,
                is_seated=seat.is_held,
                is_home=lambda: not home.is_gone(),
            )
            worker = Worker(name, role, board.root, queue=board.queue, ports=ports, interval_s=interval_s)
            log.say("worker.ready", name=name, pid=os.getpid(), command=role.command[0])
            try:
                worker.run(once=once)
            finally:
                log.say("worker.stopped", name=name, pid=os.getpid(), state=worker.state)
        finally:
            lock.close()
    return {
        "worker": name,
        "counts": worker.counts,
        "last": worker.last,
        "refusal": worker.refusal and worker.refusal["code"],
    }


def name_of(role: str, number: int) -> str:
    """What a worker is called."""
    return rules.name(role, number)
