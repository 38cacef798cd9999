"""Supervising: the workers of a project as commands deal with them, and the supervisor's own process, put together."""

from __future__ import annotations

import os

from latchboard import __version__
from latchboard.compose import engines
from latchboard.daemon.readiness import Readiness
from latchboard.daemon.spawning import command
from latchboard.daemon_process import Daemons
from latchboard.errors import CoordinationError
from latchboard.host.configuration import read_tables
from latchboard.host.daemon_entry import DaemonEntry
from latchboard.host.launching import empty_log, launch
from latchboard.host.registry import FOLDER, Registry
from latchboard.host.service_manager import ServiceManager
from latchboard.host.stopping import Stopping
from latchboard.rules import supervision as rules
from latchboard.rules import worker_role
from latchboard.rules.singleton import SUPERVISOR
from latchboard.store.files.mount import warn_if_network
from latchboard.supervision.keeping import Keeper
from latchboard.supervision.looking import Looking
from latchboard.supervision.record import LOG, Bell, ObservedFile, WantedFile
from latchboard.supervision.service import Agents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from latchboard.compose import Latchboard
    from latchboard.host.launching import Child
    from latchboard.singleton import Registration

_JOBS_S_MAX = 4.0
"""How long it may take to ask a store elsewhere what workers are at, which is the least of what is told of them."""


def agents(board: Latchboard) -> Agents:
    """What commands do with the workers of one project; nothing is opened."""
    supervisors = judge(board, rules.SUPERVISOR)
    registry = Registry(board.root, wait_s_max=board.settings.guard_wait_s_max, look_at_mount=warn_if_network)
    wanted_file, observed_file = WantedFile(board.root), ObservedFile(board.root)

    def make_folder() -> None:
        with registry.at_desk(make=True):
            return

    looking = Looking(
        board.root,
        machine=board.host,
        supervisors=supervisors,
        wanted_file=wanted_file,
        observed_file=observed_file,
        jobs=lambda: _jobs(board),
    )
    return Agents(
        board.root,
        clock=board.clock,
        machine=board.host,
        supervisors=supervisors,
        workers=judge(board, rules.WORKER),
        wanted_file=wanted_file,
        observed_file=observed_file,
        looking=looking,
        tables=lambda: read_tables(board.root, "roles"),
        make_folder=make_folder,
        is_place_taken=lambda: board.singletons.status([SUPERVISOR])[0]["state"] == "running",
    )


def supervise(board: Latchboard, *, ready_fd: int | None) -> str:
    """Be the project's supervisor, until nothing is left to be kept, or a signal; why it ended.

    Raises:
        AlreadyRunning: The project has one. Nothing was changed.
        StoreError: The registry cannot be used.
        HostError: Processes cannot be listed.
    """
    readiness = Readiness(ready_fd, os.environ)
    try:
        with board.singletons.enforce(SUPERVISOR) as place:
            bell = Bell(board.root)
            try:
                with Stopping(bell) as stop:
                    keeper = _keeper(board, bell, place)
                    keeper.take_over()
                    manager = ServiceManager(os.environ)
                    readiness.tell_ready({"process": board.host.me()})
                    why = keeper.run(is_asked_to_end=lambda: stop.count > 0, manager=manager)
                    readiness.tell_stopping()
                    keeper.close()
                    return why
            finally:
                bell.close()
    except CoordinationError as exc:
        readiness.tell_refused(exc.to_json())
        raise
    finally:
        readiness.close()


def _keeper(board: Latchboard, bell: Bell, place: Registration) -> Keeper:
    settings, root, log = board.settings, board.root, f"{board.root}/{FOLDER}/{LOG}"

    def start(role: str, number: int, on_end: Callable[[], object]) -> Child:
        words = command(root, ["--role", role, "--number", str(number)], verb=rules.WORKER)
        return launch(words, log=log, machine=board.host, environ=os.environ, on_end=on_end, is_log_shared=True)

    def stop_s(role: str) -> float:
        """As the configuration says now; what is wrong with it is told by those who start something."""
        try:
            return worker_role.stop_s_of(role, read_tables(root, "roles"))
        except CoordinationError:
            return worker_role.STOP_S_MAX

    return Keeper(
        root,
        clock=board.clock,
        machine=board.host,
        workers=judge(board, rules.WORKER),
        wanted_file=WantedFile(root),
        observed_file=ObservedFile(root),
        bell=bell,
        place=place,
        pace=rules.Pace(settings.agents_restart_s, settings.agents_restart_s_max, settings.agents_steady_s),
        launch=start,
        stop_s=stop_s,
        tidy=lambda: empty_log(log),
        version=__version__,
    )


def judge(board: Latchboard, verb: str) -> Daemons:
    """Who judges processes with this word in their command line; the record is the supervisor's."""
    return Daemons(board.root, board.clock, board.host, board.settings, DaemonEntry(board.root, SUPERVISOR), verb=verb)


def _jobs(board: Latchboard) -> dict[str, str]:
    """The job that each owner has a claim on. Raises StoreError, ProtocolError: it cannot be told, or not soon."""
    if board.files is not None and not os.path.isdir(board.files.path):
        return {}  # a look makes no store
    hurried = engines.hurried(board, _JOBS_S_MAX)
    try:
        active = (hurried or board.store).read("queue/active").get("queue/active")
        return {lease["owner"]: job for job, lease in active["claims"].items()} if active else {}
    except (KeyError, TypeError, AttributeError):  # the doctor tells of it
        return {}
    finally:
        if hurried is not None:
            hurried.close()
